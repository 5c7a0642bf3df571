"""What is said of a member cluster, from what was found there. Pure.

The order of the questions is the order of the causes: a kubeconfig that cannot be used, no answer, credentials that are
refused, rights that are missing. Ready carries the first that is not as it should be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sluice.api.conditions import Condition, ConditionType, Reason, Status, condition_of, is_true, merge_conditions
from sluice.api.member import MemberClusterStatus
from sluice.decide.rights import Right
from sluice.decide.texts import some

FAILURES_UNTIL_UNREACHABLE = 2
REWORDED_AFTER = timedelta(minutes=5)
_RIGHTS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is not as it should be."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of a member now.

    Attributes:
        waits: why it was not even tried yet, where that is not for a moment only.
        stalled: what has to be mended in the hub before anything can be asked.
        failure: how the last probe failed; None where it did not.
        failures: how many failed in a row.
        host: of its API server; "" where the kubeconfig cannot be read.
        version: "" before the first answer.
        cluster: which it is, by the UID of its Namespace kube-system; "" where that was not asked for.
        twin: another member has that cluster.
        missing: rights that it does not have; None where they were not asked for.
        answered_at: of the last answer; None before the first.
    """

    waits: Problem | None = None
    stalled: Problem | None = None
    failure: Problem | None = None
    failures: int = 0
    host: str = ""
    version: str = ""
    cluster: str = ""
    twin: Problem | None = None
    missing: tuple[Right, ...] | None = None
    answered_at: datetime | None = None


def assess(findings: Findings, before: MemberClusterStatus, generation: int, now: datetime) -> MemberClusterStatus:
    """The status to be.

    Args:
        findings: what is known now.
        before: the status as it is stored.
        generation: of the spec that was followed.
        now: for conditions that change.

    Returns:
        `before` itself where what is known does not allow to say anything else yet: one failed probe of a member that
        answered before, or nothing asked so far.
    """
    told = _conditions(findings, before, generation)
    if told is None:
        return before
    conditions = merge_conditions(before.conditions, _dated(told, generation, now), now)
    answers = is_true(conditions, ConditionType.REACHABLE)
    return MemberClusterStatus(
        observed_generation=generation,
        server=findings.host,
        version=findings.version or (before.version if findings.host == before.server else ""),
        cluster_uid="" if findings.twin is not None else findings.cluster or before.cluster_uid,
        missing_rights=tuple(str(right) for right in findings.missing or ()) if answers else (),
        last_seen_at=None if answers else (findings.answered_at or before.last_seen_at),
        conditions=conditions,
    )


def same_cluster(other: str) -> Problem:
    """What is said of a member whose cluster another one has."""
    return Problem(
        Reason.SAME_CLUSTER,
        f"it leads to the same cluster as MemberCluster {other}, and is not used: "
        "remove one of the two, or change its kubeconfig",
    )


def write_due(
    before: MemberClusterStatus, after: MemberClusterStatus, written_at: datetime | None, now: datetime
) -> bool:
    """Whether a status is worth a write.

    What differs in words only waits until the last write of ours is five minutes old: a server that fails in two ways
    by turns must not cost a write each time.
    """
    if after == before:
        return False
    in_words_only = _without_words(after) == _without_words(before)
    return not in_words_only or written_at is None or now - written_at >= REWORDED_AFTER


class MemberState(StrEnum):
    """A member at a glance, for counting."""

    READY = "Ready"
    UNREACHABLE = "Unreachable"
    UNAUTHORIZED = "Unauthorized"
    STALLED = "Stalled"
    UNKNOWN = "Unknown"


def state_of(status: MemberClusterStatus) -> MemberState:
    """What the conditions come to."""
    if is_true(status.conditions, ConditionType.STALLED):
        return MemberState.STALLED
    if is_true(status.conditions, ConditionType.READY):
        return MemberState.READY
    for kind, state in (
        (ConditionType.REACHABLE, MemberState.UNREACHABLE),
        (ConditionType.AUTHORIZED, MemberState.UNAUTHORIZED),
    ):
        found = condition_of(status.conditions, kind)
        if found is not None and found.status == "False":
            return state
    return MemberState.UNKNOWN


_Told = tuple[ConditionType, Status, Problem]


def _conditions(findings: Findings, before: MemberClusterStatus, generation: int) -> tuple[_Told, ...] | None:
    """What to say; None for nothing new."""
    if findings.stalled is not None:
        return _all("Unknown", findings.stalled, stalled=True)
    if findings.waits is not None:
        return None if _known(before, generation) else _all("Unknown", findings.waits)
    if findings.failure is not None:
        return _failing(findings, findings.failure, before, generation)
    if not findings.version:
        return None
    return _answering(findings, before, generation)


def _failing(
    findings: Findings, failure: Problem, before: MemberClusterStatus, generation: int
) -> tuple[_Told, ...] | None:
    if failure.reason is Reason.CREDENTIALS_REFUSED:
        refused: _Told = (ConditionType.AUTHORIZED, "False", failure)
        return (_ANSWERS, refused, (ConditionType.READY, "False", failure))
    is_first = findings.failures < FAILURES_UNTIL_UNREACHABLE
    if is_first and _known(before, generation) and is_true(before.conditions, ConditionType.REACHABLE):
        return None
    not_asked = Problem(failure.reason, "its API server is not reached, so its rights are not known")
    return (
        (ConditionType.REACHABLE, "False", failure),
        (ConditionType.AUTHORIZED, "Unknown", not_asked),
        (ConditionType.READY, "False", failure),
    )


def _answering(findings: Findings, before: MemberClusterStatus, generation: int) -> tuple[_Told, ...] | None:
    if findings.missing is None:
        # It answers, and whether it lets us work is asked next: say nothing in between.
        return (
            None
            if _known(before, generation)
            else (
                _ANSWERS,
                (ConditionType.AUTHORIZED, "Unknown", _ASKS),
                (ConditionType.READY, "Unknown", _ASKS),
            )
        )
    if findings.missing:
        lacking = Problem(Reason.RIGHTS_MISSING, _lacking(findings.missing))
        return (
            _ANSWERS,
            (ConditionType.AUTHORIZED, "False", lacking),
            (ConditionType.READY, "False", lacking),
        )
    if findings.twin is not None:
        granted: _Told = (ConditionType.AUTHORIZED, "True", _GRANTED)
        refused: _Told = (ConditionType.READY, "False", findings.twin)
        return (_ANSWERS, granted, refused, (ConditionType.STALLED, "True", findings.twin))
    ready = Problem(Reason.MEMBER_READY, f"Kubernetes {findings.version} answers, and lets Sluice do what it needs to")
    return (_ANSWERS, (ConditionType.AUTHORIZED, "True", _GRANTED), (ConditionType.READY, "True", ready))


def _lacking(missing: tuple[Right, ...]) -> str:
    return (
        f"it may not {some(missing, _RIGHTS_SHOWN)} in all namespaces of the member: see `sluice clusters check`; "
        "`sluice clusters add` once more gives them"
    )


def _all(status: Status, problem: Problem, *, stalled: bool = False) -> tuple[_Told, ...]:
    told: tuple[_Told, ...] = (
        (ConditionType.REACHABLE, status, problem),
        (ConditionType.AUTHORIZED, status, problem),
        (ConditionType.READY, "False" if stalled else status, problem),
    )
    return (*told, (ConditionType.STALLED, "True", problem)) if stalled else told


def _known(status: MemberClusterStatus, generation: int) -> bool:
    """Whether a status answers this very spec, so that it holds until something else is found."""
    return status.observed_generation == generation and bool(status.conditions)


def _dated(told: Iterable[_Told], generation: int, now: datetime) -> Iterable[Condition]:
    for kind, status, problem in told:
        yield Condition(
            type=kind.value,
            status=status,
            reason=problem.reason.value,
            message=problem.message,
            observed_generation=generation,
            last_transition_time=now,
        )


def _without_words(status: MemberClusterStatus) -> MemberClusterStatus:
    wordless = tuple(condition.model_copy(update={"message": ""}) for condition in status.conditions)
    return status.model_copy(update={"conditions": wordless})


_ANSWERS: _Told = (ConditionType.REACHABLE, "True", Problem(Reason.ANSWERS, "its API server answers"))
_GRANTED = Problem(Reason.RIGHTS_GRANTED, "it has every right that Sluice needs")
_ASKS = Problem(Reason.CONNECTING, "its rights are being asked for")
