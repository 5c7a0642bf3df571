"""What may stop exposure from growing: an ordered list of small checks, each named for what it finds. Pure.

The list reads as policy. Each check answers None, or a `Hold` that says what is in the way and what would let go.
`FREEZING` stops the run wherever it is; `GROWTH` adds what only matters where the candidate is to get more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sluice.api.conditions import Reason
from sluice.api.names import HOLD_ANNOTATION
from sluice.api.units import NONE, format_share
from sluice.decide import analysis, coverage, oncall, policies
from sluice.decide.analysis import Outcome
from sluice.decide.approvals import petitions
from sluice.decide.consent import await_consent
from sluice.decide.coverage import BACKGROUND
from sluice.decide.draft import Draft
from sluice.decide.faults import cause_of
from sluice.decide.hold import Hold
from sluice.decide.rendering import revision_in
from sluice.decide.slots import exposure, vacant
from sluice.decide.switches import held_by
from sluice.decide.texts import REASON_BYTES, clip
from sluice.decide.traffic import drained_at, needed_pods, ready_pods, stopped_by

Gate = Callable[[Draft], Hold | None]


def held_by_switch(draft: Draft) -> Hold | None:
    """An engaged kill switch covers the Rollout, with whatever effect."""
    return held_by(stopped_by(draft))


def spec_unreadable(draft: Draft) -> Hold | None:
    """The spec means nothing, so nobody knows what is asked for now."""
    if draft.observed.spec is not None:
        return None
    return Hold(Reason.INVALID_SPEC, f"{draft.observed.spec_problem}; goes on when it is mended")


def run_unseen(draft: Draft) -> Hold | None:
    """The RolloutRun of the run under way is not there: nobody knows what comes next, or what is measured."""
    if not draft.under_way or draft.run_spec is not None:
        return None
    return Hold(Reason.RUN_LOST, f"RolloutRun {draft.observed.ref.namespace}/{draft.status.run} is not there")


def paused_by_spec(draft: Draft) -> Hold | None:
    """spec.paused is true."""
    if draft.observed.spec is None or not draft.observed.spec.paused:
        return None
    return Hold(Reason.PAUSED_BY_SPEC, "spec.paused is true; goes on when it is false")


def paused_by_person(draft: Draft) -> Hold | None:
    """Somebody paused it by a RolloutAction."""
    paused = draft.status.paused_by
    if paused is None:
        return None
    why = f": {paused.reason}" if paused.reason else ""
    return Hold(Reason.PAUSED_BY_ACTION, f"paused by {paused.actor}{why}; goes on with: {draft.command('resume')}")


def held_by_policy(draft: Draft) -> Hold | None:
    """A RolloutPolicy lets exposure not grow now; it has no say in a run that goes back to what served before."""
    spec = draft.run_spec
    if spec is not None and spec.goes_back:
        return None
    return policies.hold_growth(draft.observed.policies, draft.now)


def unapproved(draft: Draft) -> Hold | None:
    """A RolloutPolicy wants people to agree before anything of the run is exposed, and they did not yet.

    A share that somebody else gave the candidate is no word of theirs.
    """
    spec = draft.run_spec
    if spec is None or spec.goes_back or draft.intended > NONE:
        return None
    petition = petitions(draft.observed.ref, spec)
    return await_consent(draft, draft.observed.policies, petition, begins_run=True)


def held_by_person(draft: Draft) -> Hold | None:
    """Somebody on call holds it by a RolloutAction."""
    return oncall.in_the_way(draft.status.held_by, draft.command("resume"))


def target_unfit(draft: Draft) -> Hold | None:
    """A route or Service is missing, cannot carry both slots, or belongs to another Rollout."""
    if draft.observed.rival:
        return Hold(
            Reason.ROUTE_CLAIMED,
            f"Rollout {draft.observed.rival} already has one of this Rollout's routes or Services; "
            "remove it from one of the two",
        )
    for target in draft.observed.targets:
        if target.problem_reason:
            return Hold(Reason(target.problem_reason), target.problem, counts=True)
    return None


def analysis_in_the_way(draft: Draft) -> Hold | None:
    """Background analysis failed, is unsure, or has not yet seen the present share."""
    spec, step = draft.run_spec, draft.status.step
    if spec is None or not spec.analysis.metrics or not draft.exposed:
        return None
    bad = analysis_bad(draft)
    if bad is not None:
        return bad
    covered = coverage.covered_until(spec.analysis.metrics, draft.status.metrics, BACKGROUND, draft.now)
    if step is not None and draft.intended > NONE and (covered is None or covered < step.started_at):
        return Hold(Reason.NO_MEASUREMENT, f"waits for every metric to be measured at {format_share(draft.intended)}")
    return None


def analysis_bad(draft: Draft) -> Hold | None:
    """Background analysis failed, waits for a person, or its last measurement was none."""
    spec = draft.run_spec
    if spec is None:
        return None
    verdict = analysis.verdict(spec.analysis.metrics, draft.status.metrics, BACKGROUND)
    if verdict.outcome is Outcome.UNSURE:
        return Hold(verdict.reason, verdict.message)
    if verdict.outcome in {Outcome.FAILED, Outcome.HELD}:
        return Hold(Reason.ANALYSIS_HOLDS, verdict.message)
    return None


def freshly_measured(draft: Draft) -> bool:
    """Whether every metric has a good measurement that still speaks for now."""
    spec = draft.run_spec
    if spec is None:
        return False
    metrics = spec.analysis.metrics
    return coverage.covered_until(metrics, draft.status.metrics, BACKGROUND, draft.now) is not None


def held_by_hand(draft: Draft) -> Hold | None:
    """Somebody broke the glass: a route carries `sluice.dev/hold`."""
    text = broken_glass(draft)
    return Hold(Reason.HELD_BY_HAND, f"{text}; goes on when it is removed") if text else None


def broken_glass(draft: Draft) -> str:
    """Which route or Service is held by hand, by whom and why; "" where none is."""
    held = (target for target in draft.observed.targets if target.hold)
    told = (f"{target.ref} carries {HOLD_ANNOTATION} ({clip(target.hold, REASON_BYTES)})" for target in held)
    return next(told, "")


def exposed_outside_weight(draft: Draft) -> Hold | None:
    """A Service that nobody declared selects the candidate's pods."""
    found = exposure(draft, draft.candidate) if draft.workload is not None else ""
    return Hold(Reason.EXPOSED_OUTSIDE_WEIGHT, found) if found else None


def candidate_too_small(draft: Draft) -> Hold | None:
    """The candidate has not the pods yet that the share needs which it has, or is to get."""
    workload, run = draft.workload, draft.run_spec
    if workload is None or run is None:
        return None
    slot = draft.candidate
    name = draft.workload_of(slot)
    if workload.replicas == 0:
        return Hold(Reason.WAITS_FOR_ENDPOINTS, f"{name} has no pods: spec.workload.replicas is 0")
    deployment = draft.deployment(slot)
    running = revision_in(deployment.template) if deployment is not None else run.hash
    if running != run.hash and not vacant(draft, workload, slot):
        message = f"{name} still runs revision {running}, which is drained before it is replaced"
        return Hold(Reason.DRAINING, message, until=drained_at(draft, workload, slot))
    needed, ready = max(1, needed_pods(draft, workload, run)), ready_pods(draft, slot, run.hash)
    if ready >= needed:
        return None
    cause = cause_of(draft, slot)
    message = f"{name} has {ready} of {needed} pods ready" + (f": {cause}" if cause else "")
    return Hold(Reason.WAITS_FOR_ENDPOINTS, message, counts=True)


def candidate_not_ready(draft: Draft) -> Hold | None:
    """The candidate has no ready endpoint: its share would answer 503."""
    if draft.workload is not None:
        return candidate_too_small(draft)
    slot = draft.observed.slots[draft.candidate]
    if not slot.exists:
        return Hold(
            Reason.SERVICE_MISSING,
            f"Service {draft.observed.ref.namespace}/{slot.service} ({draft.candidate}) does not exist; create it",
            counts=True,
        )
    if slot.ready_endpoints == 0:
        return Hold(
            Reason.WAITS_FOR_ENDPOINTS,
            f"Service {draft.observed.ref.namespace}/{slot.service} ({draft.candidate}) has no ready endpoint",
            counts=True,
        )
    return None


def beyond_pace(draft: Draft, index: int) -> Hold | None:
    """The hub does not let this cluster enter step `index` yet; one past the last stands for the end of the run."""
    spec = draft.observed.spec
    if spec is None or spec.pace is None or index <= spec.pace.up_to:
        return None
    return Hold(Reason.WAITS_FOR_FLEET, "waits for the hub: the clusters of its batch go step by step together")


FREEZING: Sequence[Gate] = (
    held_by_switch,
    held_by_hand,
    spec_unreadable,
    run_unseen,
    paused_by_spec,
    paused_by_person,
    held_by_person,
)
GROWTH: Sequence[Gate] = (
    *FREEZING,
    held_by_policy,
    unapproved,
    target_unfit,
    exposed_outside_weight,
    analysis_in_the_way,
    candidate_not_ready,
)


def first(gates: Sequence[Gate], draft: Draft) -> Hold | None:
    """The first thing in the way, or None."""
    return next((hold for gate in gates if (hold := gate(draft)) is not None), None)
