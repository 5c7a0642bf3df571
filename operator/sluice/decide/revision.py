"""Revisions: what the spec asks for, what serves, and the run that leads from one to the other. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sluice.api.analysis import Baseline
from sluice.api.names import Slot
from sluice.api.rollout import RolloutSpec, StableRevision
from sluice.api.run import RolloutRunSpec, RunAnalysis, RunStep
from sluice.api.units import FULL
from sluice.api.workload import CanarySize
from sluice.decide.model import Observed, RunView, TargetView, Templates
from sluice.decide.pods import AskedTemplate
from sluice.decide.rendering import revision_in, users_template
from sluice.decide.steps import compile_steps


@dataclass(frozen=True, slots=True)
class Desired:
    """The revision that the spec asks for."""

    slot: Slot
    version: str | None
    hash: str


def desired_of(
    spec: RolloutSpec, asked: AskedTemplate | None = None, stable: StableRevision | None = None
) -> Desired | None:
    """What the spec asks for.

    With Services of the user's own, two specs ask for the same revision when slot and version are equal. With a pod
    template they do when the templates are equal: a template belongs into the stable slot where that has it, else into
    the other.

    Args:
        spec: of the Rollout.
        asked: the pod template, where Sluice runs the pods.
        stable: what serves, if known.

    Returns:
        None where there is no template to be had, see `asked.problem`.
    """
    workload = spec.workload
    if workload.managed:
        if asked is None or asked.problem:
            return None
        serving = stable.slot if stable else Slot.BLUE
        known = stable is None or stable.hash == asked.hash
        return Desired(serving if known else serving.other, asked.version, asked.hash)
    slot, version = workload.active or Slot.BLUE, workload.version
    digest = hashlib.sha256(f"{slot}\0{version or ''}".encode()).hexdigest()
    return Desired(slot, version, digest[:10])


def template_hash(template: dict[str, Any]) -> str:
    """What tells pod templates apart: equal but for empty values and the API server's bookkeeping, equal hashes.

    >>> template_hash({"spec": {"a": 1}}) == template_hash({"metadata": {"creationTimestamp": None}, "spec": {"a": 1}})
    True
    """
    metadata = template.get("metadata") or {}
    kept = {field: metadata[field] for field in ("labels", "annotations") if metadata.get(field)}
    canonical = json.dumps(
        {"metadata": kept, "spec": template.get("spec") or {}}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def image_version(template: dict[str, Any]) -> str | None:
    """The tag of the first container's image; None where it has none.

    >>> image_version({"spec": {"containers": [{"image": "registry:5000/shop/checkout:1.4.2@sha256:abc"}]}})
    '1.4.2'
    >>> image_version({"spec": {"containers": [{"image": "registry:5000/checkout"}]}})
    """
    containers = (template.get("spec") or {}).get("containers") or [{}]
    image = str(containers[0].get("image") or "") if isinstance(containers[0], dict) else ""
    _, colon, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    return tag[:128] if colon and tag else None


def template_of(observed: Observed, revision_hash: str) -> dict[str, Any] | None:
    """The pod template of a revision: from the spec, the RolloutRuns, or else a slot that has it; else None."""
    asked = observed.asked
    if asked is not None and not asked.problem and asked.hash == revision_hash:
        return asked.template
    for run in observed.runs:
        for known, template in ((run.spec.hash, run.spec.template), (run.spec.stable_hash, run.spec.stable_template)):
            if known == revision_hash and template is not None:
                return template
    for view in observed.slots.values():
        stored = view.deployment.template if view.deployment is not None else {}
        if revision_in(stored) == revision_hash:
            return users_template(stored)
    return None


def run_name(rollout: str, number: int) -> str:
    """The name of a run's RolloutRun."""
    return f"{rollout}-{number}"


def serving_slot(targets: Sequence[TargetView], unfinished: RunView | None, *, even: Slot) -> Slot | None:
    """The slot to adopt as stable where no status tells.

    An unfinished run's candidate is never taken for stable: deleting and creating a Rollout anew must not skip its
    gates. Otherwise the slot with the greater share serves.

    Args:
        targets: the routes.
        unfinished: a run that has not ended.
        even: the slot to take where both get half.

    Returns:
        None where no target could be read.
    """
    if unfinished is not None:
        return unfinished.spec.from_slot
    readable = [target for target in targets if target.shares]
    if not readable:
        return None
    green = sum(sum(target.shares) / len(target.shares) for target in readable) / len(readable)
    if green == FULL / 2:
        return even
    return Slot.GREEN if green > FULL / 2 else Slot.BLUE


def next_number(observed: Observed) -> int:
    """One more than any run of this name ever had, also across deletion of the Rollout, and whose name is free."""
    status = observed.status
    known = [observed.taken_number, *(run.spec.revision for run in observed.runs)]
    known += [status.revision.number if status.revision else 0, status.stable.number if status.stable else 0]
    return max(known) + 1


def new_run(
    observed: Observed,
    spec: RolloutSpec,
    stable: StableRevision,
    desired: Desired,
    templates: Templates,
    *,
    retry: bool,
) -> RolloutRunSpec:
    """The run that the spec asks for, fixed from here on."""
    baseline = spec.analysis.baseline if spec.analysis else Baseline.SNAPSHOT
    canary = spec.strategy.canary
    return _run(observed, spec, stable, desired, steps=compile_steps(spec.strategy, templates.inline)).model_copy(
        update={
            "analysis": RunAnalysis(baseline=baseline, metrics=templates.background),
            "canary_size": canary.canary_size if canary else CanarySize(full=True),
            "dynamic_stable": canary is not None and canary.dynamic_stable,
            "cause": "Retry" if retry else "SpecChanged",
        }
    )


def return_run(
    observed: Observed,
    spec: RolloutSpec,
    stable: StableRevision,
    back_to: Desired,
    *,
    cause: Literal["Undo", "Rollback", "KillSwitch"],
) -> RolloutRunSpec:
    """The run that swings back to a revision which already served: one step, no analysis."""
    steps = (RunStep(kind="setWeight", share=FULL),)
    return _run(observed, spec, stable, back_to, steps=steps).model_copy(
        update={"cause": cause, "canary_size": CanarySize(full=True)}
    )


def _run(
    observed: Observed, spec: RolloutSpec, stable: StableRevision, to: Desired, *, steps: tuple[RunStep, ...]
) -> RolloutRunSpec:
    """A run from what is stable to another revision, under the next free number."""
    return RolloutRunSpec(
        rollout=observed.ref.name,
        rollout_uid=observed.ref.uid,
        revision=next_number(observed),
        hash=to.hash,
        version=to.version,
        stable_hash=stable.hash,
        stable_version=stable.version,
        from_slot=stable.slot,
        to_slot=to.slot,
        services=spec.workload.services_of(observed.ref.name),
        traffic=spec.traffic,
        steps=steps,
        template=template_of(observed, to.hash) if spec.workload.managed else None,
        stable_template=template_of(observed, stable.hash) if spec.workload.managed else None,
        progress_deadline=spec.progress_deadline,
        on_deadline=spec.on_deadline,
        requester=observed.requester,
    )
