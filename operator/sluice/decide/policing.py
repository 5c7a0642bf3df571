"""What a RolloutPolicy says of itself, and whose turn it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sluice.api.conditions import ConditionType, Reason, merge_conditions
from sluice.api.errorbudget import BudgetStatus
from sluice.api.policy import Covered, PolicyState, RolloutPolicySpec, RolloutPolicyStatus
from sluice.decide.conditions import tell_condition
from sluice.decide.error_budget import BudgetOutcome
from sluice.decide.moments import earliest
from sluice.decide.policies import budget_of
from sluice.decide.texts import MESSAGE_BYTES, clip, count_of, some
from sluice.decide.turns import Applicant, deal, in_line
from sluice.decide.windows import changes_at, closed


@dataclass(frozen=True, slots=True)
class Picture:
    """The Rollouts that a policy covers: how many, and by UID those with a run under way and those that wait.

    `budget` is what was seen of its error budget.
    """

    rollouts: int
    under_way: Mapping[str, str]  # namespace/name
    applicants: Mapping[str, Applicant]
    last_began_at: datetime | None = None  # of all their runs, under way or not
    budget: BudgetStatus | None = None


def police(
    spec: RolloutPolicySpec | None,
    problem: str,
    old: RolloutPolicyStatus,
    picture: Picture,
    *,
    generation: int,
    now: datetime,
) -> tuple[RolloutPolicyStatus, datetime | None]:
    """Bring a policy's status up to date.

    Args:
        spec: None where it cannot be read; then `problem` says why.
        problem: see there.
        old: its status.
        picture: whom it covers.
        generation: of the spec.
        now: the time.

    Returns:
        The status, and when to look again by the clock.
    """
    covered = Covered(
        rollouts=picture.rollouts, under_way=len(picture.under_way), waiting=len(in_line(picture.applicants.values()))
    )
    if spec is None:
        return _invalid(problem, old, covered, generation=generation, now=now), None
    shut, changes = closed(spec.windows, now), changes_at(spec.windows, now)
    verdict = budget_of(spec, picture.budget, now)
    spent = verdict is not None and verdict.outcome is not BudgetOutcome.LEFT
    dealt = deal(
        spec,
        old.turns,
        old.last_turn_at,
        under_way=picture.under_way,
        last_began_at=picture.last_began_at,
        applicants=picture.applicants,
        now=now,
    )
    said = [f"no exposure grows: {shut}"] if shut is not None else []
    said += [verdict.message] if verdict is not None else []
    said += _told(spec, picture, {turn.uid for turn in dealt.turns})
    ready = tell_condition(ConditionType.READY, "True", Reason.IDLE, "", generation=generation, at=now)
    status = RolloutPolicyStatus(
        observed_generation=generation,
        state=PolicyState.FROZEN if shut is not None else PolicyState.HALTED if spent else PolicyState.OPEN,
        until=shut.until if shut is not None else changes,
        message=clip("; ".join(said), MESSAGE_BYTES),
        covered=covered,
        budget=picture.budget,
        turns=dealt.turns,
        last_turn_at=dealt.last_turn_at,
        conditions=merge_conditions(old.conditions, [ready], now),
    )
    return status, earliest(changes, dealt.look_at)


def _invalid(
    problem: str, old: RolloutPolicyStatus, covered: Covered, *, generation: int, now: datetime
) -> RolloutPolicyStatus:
    kind, reason = ConditionType.READY, Reason.INVALID_SPEC
    ready = tell_condition(kind, "False", reason, problem, generation=generation, at=now)
    return RolloutPolicyStatus(
        observed_generation=generation,
        state=PolicyState.INVALID,
        message=clip(f"nothing that it covers grows: {problem}", MESSAGE_BYTES),
        covered=covered,
        last_turn_at=old.last_turn_at,
        conditions=merge_conditions(old.conditions, [ready], now),
    )


def _told(spec: RolloutPolicySpec, picture: Picture, out: set[str]) -> list[str]:
    going = sorted({*picture.under_way.values(), *(_name(picture, uid) for uid in out)})
    most = f" of at most {spec.max_concurrent}" if spec.max_concurrent is not None else ""
    named = f" ({some(going)})" if going else ""
    told = [f"covers {count_of(picture.rollouts, 'Rollout')}", f"{len(going)}{most} with a run under way{named}"]
    waiting = [each for each in in_line(picture.applicants.values()) if each.uid not in out]
    if waiting:
        told.append(f"{len(waiting)} wait for their turn, next {waiting[0].rollout}")
    return told


def _name(picture: Picture, uid: str) -> str:
    return picture.applicants[uid].rollout
