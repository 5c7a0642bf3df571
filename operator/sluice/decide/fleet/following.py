"""Following the spec of a fleet: when a run over it starts, is superseded, or goes back. Pure."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, Literal

from sluice.api.analysis import ResolvedMetric
from sluice.api.conditions import Reason
from sluice.api.fleet import ClusterPhase, FixedAnalysis, FleetRunSpec, HubAnalysis, RunBatch, StepMetrics
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec
from sluice.decide.fleet import parts
from sluice.decide.fleet.advance import freeze
from sluice.decide.fleet.batches import Assignment, Candidate, assign
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.failing import send_back
from sluice.decide.fleet.model import FleetRunView
from sluice.decide.model import Templates
from sluice.decide.policies import Asked, keep_from_beginning
from sluice.decide.revision import run_name
from sluice.decide.texts import some

_SHOWN = 5
_MOST_FORGOTTEN = 100  # so that no member makes numbers grow without end
Cause = Literal["First", "SpecChanged", "Retry"]


def follow(course: Course, spec: RolloutSpec) -> None:
    """Compare what the spec asks for with what the fleet has, and with what is under way."""
    wanted, version = parts.revision_of(spec)
    fleet = course.fleet
    if course.under_way:
        _keep_or_leave(course, wanted, version)
        if course.under_way:
            return
    if fleet.stable is not None and wanted == fleet.stable.hash:
        if fleet.stable.version != version:
            changes = {"version": version, "since": course.now}  # policies ask since when that version is stable
            course.update_fleet(stable=fleet.stable.model_copy(update=changes))
        return
    if wanted not in course.status.rejected:
        start(course, spec, "First" if fleet.stable is None else "SpecChanged")


def _keep_or_leave(course: Course, wanted: str, version: str | None) -> None:
    fleet = course.fleet
    if fleet.revision is None or wanted == fleet.revision.hash:
        return
    send_back(course, course.among(tuple(course.phases), ClusterPhase.MOVING, ClusterPhase.DONE))
    if fleet.stable is not None and wanted == fleet.stable.hash:
        course.end_run(Outcome.RETURNED, Reason.RETURNED_TO_STABLE, "the spec asks for what is stable again")
        return
    course.end_run(Outcome.SUPERSEDED, Reason.SUPERSEDED, f"superseded by {version or wanted}")


def start(course: Course, spec: RolloutSpec, cause: Cause) -> bool:
    """Begin a run to what the spec asks for. Returns whether it did; otherwise a hold, or what is wrong, says why."""
    frozen = freeze(course)
    wanted, version = parts.revision_of(spec)
    if frozen is not None:
        course.hold(frozen.reason, f"revision {version or wanted} waits: {frozen.message}")
        return False
    assignment = _assigned(course, spec)
    run = _measured(course, spec, _run(course, spec, assignment, cause)) if assignment is not None else None
    if run is None:
        return False
    # Last of all: a turn that was given and not taken would have kept others waiting.
    observed = course.observed
    if keep_from_beginning(course, observed.policies, Asked(wanted, version), observed.status.queued):
        return False
    begun = _begun(course, run)
    run = begun.spec if begun is not None else run
    course.start_run(run, run_name(course.observed.ref.name, run.revision), exists=begun is not None)
    clusters = sum(len(batch.clusters) for batch in run.batches)
    message = f"revision {run.revision}{f' ({run.version})' if run.version else ''} begins: {clusters} clusters in "
    message += f"{len(run.batches)} batch{'' if len(run.batches) == 1 else 'es'}"
    course.note(Reason.RUN_STARTED, message)
    course.record("Observed", "start", Reason.RUN_STARTED, message, actor=run.requester)
    return True


def _assigned(course: Course, spec: RolloutSpec) -> Assignment | None:
    """Who goes when; None, and what is wrong is told, where that is not clear."""
    if spec.fleet is None:
        return None
    members = [Candidate(each.name, each.labels, each.weight) for each in course.observed.members.values()]
    refusals = (course.refusal(each.name) for each in members if spec.fleet.selector.matches(each.labels))
    refused = tuple(why for why in refusals if why)
    if refused:
        course.stall(
            Reason.NAMESPACE_REFUSED,
            f"{some(refused, _SHOWN)}: let it be allowed there, or leave that cluster out by spec.fleet.selector",
        )
        return None
    found = assign(spec.fleet, members)
    if found.unknown:
        names = some(found.unknown, _SHOWN)
        course.stall(
            Reason.CLUSTER_UNKNOWN,
            f"spec.fleet.batches names {names}, which the fleet does not have: register it (sluice clusters add), or "
            "correct the name, or spec.fleet.selector",
        )
        return None
    if found.unassigned:
        names = some(found.unassigned, _SHOWN)
        course.stall(
            Reason.CLUSTER_UNASSIGNED,
            f"no batch takes {names}: add a last batch without selector, clusters and size, which takes the rest",
        )
        return None
    if not any(batch.clusters for batch in found.batches):
        course.stall(
            Reason.NO_CLUSTERS,
            "spec.fleet.selector matches no MemberCluster: register one (sluice clusters add), or correct the selector",
        )
        return None
    return found


def _measured(course: Course, spec: RolloutSpec, run: FleetRunSpec) -> FleetRunSpec | None:
    """The run with the metrics of its analyses, fixed from here on; None, and it is told, where one cannot be had."""
    found = course.observed.resolve(spec)
    usual = _fixed(course, found, "")
    batches = tuple(
        _batch_measured(course, spec, batch, by_hub) for batch, by_hub in zip_longest(run.batches, found.batches)
    )
    if course.stalled is not None:
        return None
    return run.model_copy(update={"batches": batches, "analysis": usual, "hub_analysis": _by_hub(found.fleet)})


def _batch_measured(
    course: Course, spec: RolloutSpec, batch: RunBatch, by_hub: tuple[ResolvedMetric, ...] | None
) -> RunBatch:
    changes: dict[str, Any] = {"hub_analysis": _by_hub(by_hub or ())}
    if batch.steps:
        found = course.observed.resolve(parts.with_steps(spec, batch.steps))
        changes["analysis"] = _fixed(course, found, batch.name)
    return batch.model_copy(update=changes)


def _by_hub(metrics: tuple[ResolvedMetric, ...]) -> dict[str, Any] | None:
    return HubAnalysis(metrics=metrics).dump() if metrics else None


def _fixed(course: Course, found: Templates, batch: str) -> dict[str, Any]:
    if found.problem:
        course.stall(Reason(found.problem_reason), f"batch {batch}: {found.problem}" if batch else found.problem)
    inline = tuple(StepMetrics(metrics=metrics) for metrics in found.inline)
    return FixedAnalysis(background=found.background, inline=inline).dump()


def _run(course: Course, spec: RolloutSpec, assignment: Assignment, cause: Cause) -> FleetRunSpec:
    wanted, version = parts.revision_of(spec)
    stable, fleet = course.fleet.stable, spec.fleet
    before = next((run for run in course.observed.runs if stable and run.spec.revision == stable.number), None)
    if fleet is None:
        raise AssertionError("asked for a run over no fleet")
    return FleetRunSpec(
        rollout=course.observed.ref.name,
        rollout_uid=course.observed.ref.uid,
        revision=_next_number(course),
        hash=wanted,
        version=version,
        stable_hash=stable.hash if stable is not None else "",
        stable_version=stable.version if stable is not None else None,
        batches=assignment.batches,
        on_failure=fleet.on_failure,
        progress_deadline=spec.progress_deadline,
        spec=parts.part_of(course.observed.given),
        stable_spec=before.spec.spec if before is not None else _kept(course),
        cause=cause,
        requester=course.observed.requester,
    )


def _kept(course: Course) -> dict[str, Any] | None:
    """What is stable, by another run than the one that brought it: that one may be gone."""
    stable = course.fleet.stable
    return parts.kept_spec(course.observed.runs, stable.hash) if stable is not None else None


def _next_number(course: Course) -> int:
    known = [run.spec.revision for run in course.observed.runs]
    fleet = course.fleet
    known += [each.number for each in (fleet.stable, fleet.revision) if each is not None]
    number = max(known, default=0) + 1
    # A hub that was restored from a backup forgot runs of which members still tell.
    told = (leg.fleet_run for leg in course.observed.legs.values() if leg.fleet_run is not None)
    number = max((each + 1 for each in told if number <= each < number + _MOST_FORGOTTEN), default=number)
    while run_name(course.observed.ref.name, number) in course.observed.unreadable:
        number += 1  # one that cannot be read has its name all the same
    return number


def _begun(course: Course, run: FleetRunSpec) -> FleetRunView | None:
    """A FleetRun created just before a crash, which no status speaks of yet."""
    last = course.observed.runs[-1] if course.observed.runs else None
    revision = course.fleet.revision
    if (
        last is None
        or last.status.outcome is not None
        or last.spec.rollout_uid != course.observed.ref.uid
        or (last.spec.hash, last.spec.cause) != (run.hash, run.cause)
        or last.spec.revision <= (revision.number if revision is not None else 0)
    ):
        return None
    return last
