"""Revisions: what the spec asks for, what serves, and the run that leads from one to the other. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.api.analysis import Baseline
from sluice.api.names import Slot
from sluice.api.rollout import RolloutSpec, StableRevision
from sluice.api.run import RolloutRunSpec, RunAnalysis, RunStep
from sluice.api.units import FULL
from sluice.decide.model import Observed, RunView, TargetView, Templates
from sluice.decide.steps import compile_steps


@dataclass(frozen=True, slots=True)
class Desired:
    """The revision that the spec asks for."""

    slot: Slot
    version: str | None
    hash: str


def desired_of(spec: RolloutSpec) -> Desired:
    """What the spec asks for. Two specs ask for the same revision when slot and version are equal."""
    slot, version = spec.workload.active, spec.workload.version
    digest = hashlib.sha256(f"{slot}\0{version or ''}".encode()).hexdigest()
    return Desired(slot, version, digest[:10])


def run_name(rollout: str, number: int) -> str:
    """The name of a run's RolloutRun."""
    return f"{rollout}-{number}"


def serving_slot(targets: Sequence[TargetView], unfinished: RunView | None, desired: Desired) -> Slot | None:
    """The slot to adopt as stable where no status tells.

    An unfinished run's candidate is never taken for stable: deleting and creating a Rollout anew must not skip its
    gates. Otherwise the slot with the greater share serves; where both get half, the one that is not asked for.

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
        return desired.slot.other
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
    return _run(observed, spec, stable, desired, steps=compile_steps(spec.strategy, templates.inline)).model_copy(
        update={
            "analysis": RunAnalysis(baseline=baseline, metrics=templates.background),
            "cause": "Retry" if retry else "SpecChanged",
        }
    )


def undo_run(observed: Observed, spec: RolloutSpec, stable: StableRevision, back_to: Desired) -> RolloutRunSpec:
    """The run that swings back to the revision before, which already served: one step, no analysis."""
    steps = (RunStep(kind="setWeight", share=FULL),)
    return _run(observed, spec, stable, back_to, steps=steps).model_copy(update={"cause": "Undo"})


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
        services=spec.workload.services,
        traffic=spec.traffic,
        steps=steps,
        progress_deadline=spec.progress_deadline,
        requester=observed.requester,
    )
