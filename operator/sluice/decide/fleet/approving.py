"""Where people have to approve a run over a fleet: before a batch, and at a step of those that move. Pure."""

from __future__ import annotations

from sluice.api.approval import Approval
from sluice.api.fleet import BatchStage
from sluice.decide import approvals
from sluice.decide.approvals import Petition, petitions
from sluice.decide.consent import await_consent
from sluice.decide.fleet.course import Course
from sluice.decide.hold import Hold


def in_the_way(course: Course) -> Hold | None:
    """What is missing of the approval that the present stage, or step, asks for; None where nothing is."""
    petition = _petition(course)
    return approvals.ask(course, petition) if petition is not None else None


def unapproved(course: Course) -> Hold | None:
    """What is missing of the approval that RolloutPolicies want before the batch, or the run, begins.

    No run gets past the first clusters of its first batch without it, so it begins there. Where each cluster is does
    not tell: one that left, or failed, may never have had anything of the run.
    """
    spec = course.run_spec
    if spec is None or course.at.first:
        return None
    petition = petitions(course.observed.ref, spec)
    begins_run = course.batch == next((batch for batch in spec.batches if batch.clusters), None)
    policies = course.observed.policies
    return await_consent(course, policies, petition, begins_run=begins_run, batch=course.at.name)


def is_missing(course: Course) -> bool:
    """Whether it asks for approval that it has not got yet, by what was said up to now."""
    petition = _petition(course)
    return petition is not None and not approvals.is_granted(course, petition)


def wanted(course: Course) -> Approval | None:
    """What the present stage, or step, asks for."""
    batch, at = course.batch, course.fleet.batch
    if batch is None or at is None:
        return None
    if at.stage is BatchStage.APPROVING:
        return batch.approval
    present = 1 <= course.step <= len(course.steps)
    return course.steps[course.step - 1].approval if present and at.stage is BatchStage.MOVING else None


def _petition(course: Course) -> Petition | None:
    spec, asked = course.run_spec, wanted(course)
    if spec is None or asked is None:
        return None
    return petitions(course.observed.ref, spec)(_point(course), asked)


def _point(course: Course) -> str:
    """The batch; or the step, of those clusters of it that move at the same time."""
    point = f"batch/{course.at.name}"
    if course.at.stage is BatchStage.APPROVING:
        return point
    later = f"/from-{course.at.first + 1}" if course.at.first else ""
    return f"{point}/step-{course.step}{later}"
