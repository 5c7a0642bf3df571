"""Undo the registration of a member cluster, and say what is left."""

from __future__ import annotations

from sluice.api.names import MEMBER_LABEL, Kind
from sluice.ops import member_objects as objects
from sluice.ops.explain import explaining
from sluice.ops.outcome import Ending, Outcome, Target
from sluice.ops.steps import Change, Hand, Step


async def unregister(hub: Hand, member: Hand | None, name: str, namespace: str = objects.NAMESPACE) -> Outcome:
    """Undo `register`. Deletes: the MemberCluster and its Secret; in the member the account, its role and its tokens.

    The kinds that `register` installed in the member stay: deleting them would delete every object of theirs.

    Args:
        hub: as for `register`.
        member: as its administrator; None leaves what is there.
        name: of the MemberCluster.
        namespace: the operator's, in the hub.

    Raises:
        Forbidden, Unavailable: with a sentence for the person. What was told is done; doing it again does the rest.
    """
    target = Target(Kind.MEMBER_CLUSTER, "", name)
    await hub.delete(target)
    await _delete_secret(hub, Target(Kind.SECRET, namespace, objects.secret_name(name)), name)
    if member is None:
        left = "what was made in the member is still there: its token is good until it is deleted"
        return Outcome(Ending.DONE, f"{target} is removed; {left}", target)
    for each in (objects.BINDING_TARGET, objects.ROLE_TARGET):
        await member.delete(each)
    with explaining("list", Target(Kind.SECRET, objects.NAMESPACE, ""), "list on secrets in the member"):
        secrets = await member.cluster.list(Kind.SECRET, objects.NAMESPACE)
    for secret in secrets:
        if objects.is_token_secret(secret):
            await member.delete(Target(Kind.SECRET, objects.NAMESPACE, secret["metadata"]["name"]))
    await member.delete(objects.ACCOUNT_TARGET)
    for each in objects.DEFINITION_TARGETS:
        if await member.find(each) is not None:
            member.tell(Step(member.where, each, Change.LEFT, "with it would go what rollouts left there"))
    home = Target(Kind.NAMESPACE, "", objects.NAMESPACE)
    if await member.find(home) is not None:
        member.tell(Step(member.where, home, Change.LEFT, "something else may be in it"))
    return Outcome(Ending.DONE, f"{target} is removed", target)


async def _delete_secret(hub: Hand, secret: Target, name: str) -> None:
    found = await hub.find(secret)
    if found is not None and ((found["metadata"].get("labels")) or {}).get(MEMBER_LABEL) != name:
        hub.tell(Step(hub.where, secret, Change.LEFT, f"its label {MEMBER_LABEL} does not name this member"))
        return
    await hub.delete(secret)
