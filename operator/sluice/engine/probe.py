"""What is asked of a member cluster, and what its failures mean."""

from __future__ import annotations

import asyncio

from sluice.api.conditions import Reason
from sluice.api.names import GROUP
from sluice.decide.members import Problem
from sluice.decide.rights import RIGHTS, Right
from sluice.errors import Forbidden, InvalidSpec, SluiceError, Unavailable
from sluice.ports import Member
from sluice.views.fields import clean

REVIEWS_AT_ONCE = 4
_MESSAGE_CHARACTERS = 500


async def review(connection: Member) -> tuple[Right, ...]:
    """The rights that are missing, in order. The first failure ends the asking.

    A kind of ours that the member does not serve gives no rights: whatever a role says, nothing can be done with it.
    """
    turns = asyncio.Semaphore(REVIEWS_AT_ONCE)
    served = await connection.fetch_kinds()

    async def ask(right: Right) -> bool:
        if right.group == GROUP and right.resource not in served:
            return False
        async with turns:
            return await connection.may(right)

    try:
        async with asyncio.TaskGroup() as group:
            asked = {right: group.create_task(ask(right)) for right in RIGHTS}
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return tuple(right for right, task in asked.items() if not task.result())


def problem_of(error: SluiceError) -> Problem:
    """What a failed question says of the member."""
    match error:
        case InvalidSpec():
            return Problem(Reason(error.reason), cut(error))
        case Forbidden():
            return Problem(Reason.CREDENTIALS_REFUSED, cut(error))
        case Unavailable():
            return Problem(Reason.NO_ANSWER, cut(error))
    return Problem(Reason.NOT_KUBERNETES, cut(error))


def cut(error: SluiceError) -> str:
    """An error's words, made fit for a status: they may be a member's."""
    return clean(str(error), _MESSAGE_CHARACTERS)
