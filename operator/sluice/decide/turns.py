"""Whose run may begin: a policy's turns, given in the order in which they were asked for. Pure.

A turn is the right to begin one run. Who has one counts as under way from then on, so a policy never lets more go than
it says, whichever process looks; and who waits for long is always before who began to wait later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sluice.api.policy import RolloutPolicySpec, Turn
from sluice.decide.moments import latest


@dataclass(frozen=True, slots=True)
class Applicant:
    """A Rollout that waits: for this policy's turn, or, with a turn of this one, for another's."""

    rollout: str  # namespace/name
    uid: str
    since: datetime  # when it began to wait for its turns; later than now: it does not yet
    asks: bool  # for one of this policy


@dataclass(frozen=True, slots=True)
class Dealt:
    """The turns that are out now, when the last one was given, and when there may be another by the clock."""

    turns: tuple[Turn, ...]
    last_turn_at: datetime | None
    look_at: datetime | None


def deal(
    spec: RolloutPolicySpec,
    given: Collection[Turn],
    last_turn_at: datetime | None,
    *,
    under_way: Collection[str],
    last_began_at: datetime | None = None,
    applicants: Mapping[str, Applicant],
    now: datetime,
) -> Dealt:
    """Give turns to those who waited longest, as many as the policy lets go.

    Args:
        spec: of the policy.
        given: the turns that are out.
        last_turn_at: when the last one was given.
        under_way: the UIDs of covered Rollouts with a run under way.
        last_began_at: when the newest of all their runs began, under way or not.
        applicants: covered Rollouts that wait, by UID.
        now: the time.
    """
    if not spec.rations:
        return Dealt((), None, None)
    turns = [turn for turn in given if turn.uid not in under_way and _holds(turn, applicants.get(turn.uid))]
    out = {turn.uid for turn in turns}
    waiting = [each for each in in_line(applicants.values()) if each.uid not in out]
    look_at = min((each.since for each in waiting if each.since > now), default=None)
    for each in waiting:
        if each.since > now:
            break  # it asks from then on
        if spec.max_concurrent is not None and len(under_way) + len(turns) >= spec.max_concurrent:
            break
        if spec.min_interval is not None and any(applicants[turn.uid].asks for turn in turns):
            break  # the next one counts from when that run begins
        last = latest(last_turn_at, last_began_at)
        due = last + spec.min_interval if spec.min_interval is not None and last is not None else now
        if due > now:
            look_at = due
            break
        turns.append(Turn(rollout=each.rollout, uid=each.uid, since=each.since))
        last_turn_at = now
    return Dealt(tuple(turns), last_turn_at, look_at)


def in_line(applicants: Iterable[Applicant]) -> list[Applicant]:
    """Those that ask for a turn of this policy, in the order in which they get it."""
    return sorted((each for each in applicants if each.asks), key=lambda each: (each.since, each.rollout))


def _holds(turn: Turn, applicant: Applicant | None) -> bool:
    """Whether a turn still counts: it answers what its Rollout asks for now, and not something that was over since."""
    return applicant is not None and applicant.since == turn.since
