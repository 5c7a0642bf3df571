"""What members get of a Rollout's spec, by where they are in a run. Pure."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from sluice.api.fleet import FleetRunSpec, RunBatch
from sluice.api.rollout import RolloutSpec
from sluice.api.run import RunStep
from sluice.api.strategy import Canary, Step, Strategy
from sluice.api.units import FULL, format_share
from sluice.decide.fleet.model import FleetRunView
from sluice.decide.metadata import mapping
from sluice.decide.revision import desired_of, image_version, template_hash
from sluice.decide.steps import compile_steps

_NOT_MEMBERS = ("fleet", "pace", "paused")
_STRAIGHT = {"steps": [{"setWeight": format_share(FULL)}]}


def part_of(given: dict[str, Any]) -> dict[str, Any]:
    """What a run keeps of the spec for its members: all but the fleet, and what is never a run's."""
    return {field: copy.deepcopy(value) for field, value in given.items() if field not in _NOT_MEMBERS}


def revision_of(spec: RolloutSpec) -> tuple[str, str | None]:
    """Hash and version of the revision that a spec asks for; a member comes to the same."""
    template = spec.workload.template
    if template is not None:
        return template_hash(template), spec.workload.version or image_version(template)
    desired = desired_of(spec)
    return (desired.hash, desired.version) if desired is not None else ("", None)


def steps_of(run: FleetRunSpec, batch: RunBatch) -> tuple[RunStep, ...]:
    """The steps that clusters of a batch go through, as their own operator's passes compile them."""
    strategy = Strategy.parse(mapping(run.spec.get("strategy")), f"FleetRun {run.revision}: strategy")
    if batch.steps and strategy.canary is not None:
        strategy = Strategy(canary=Canary(steps=batch.steps))
    return compile_steps(strategy, repeat(()))


def with_steps(spec: RolloutSpec, steps: tuple[Step, ...]) -> RolloutSpec:
    """A spec with a batch's steps in place of its canary's."""
    canary = (spec.strategy.canary or Canary(steps=())).model_copy(update={"steps": steps})
    return spec.model_copy(update={"strategy": Strategy(canary=canary)})


def going(run: FleetRunSpec, batch: RunBatch, up_to: int, live: dict[str, Any]) -> dict[str, Any]:
    """The spec of a cluster that is in the run, and may enter steps up to `up_to`."""
    spec = _alive(run.spec, live)
    if batch.steps:
        steps = [step.dump() for step in batch.steps]
        spec["strategy"] = {"canary": {**mapping(mapping(spec.get("strategy")).get("canary")), "steps": steps}}
    pace: dict[str, Any] = {"run": run.revision, "upTo": up_to}
    analysis = batch.analysis or run.analysis
    return {**spec, "pace": {**pace, "analysis": analysis} if analysis else pace}


def back(run: FleetRunSpec, live: dict[str, Any]) -> dict[str, Any] | None:
    """The spec of a cluster that returns to what was stable before the run, in one step; None where nothing was.

    Where the pods are Sluice's, all of them come up first. Of others' pods a spec may not say how many there are.
    """
    if run.stable_spec is None:
        return None
    spec = _alive(run.stable_spec, live)
    spec.pop("analysis", None)
    size = {} if "services" in mapping(spec.get("workload")) else {"canarySize": {"full": True}}
    return {**spec, "strategy": {"canary": {**copy.deepcopy(_STRAIGHT), **size}}}


def resting(kept: dict[str, Any], live: dict[str, Any], *, same: bool) -> dict[str, Any]:
    """The spec of a cluster that no run moves.

    Args:
        kept: what the run that made its revision stable kept.
        live: the Rollout's spec now.
        same: whether that asks for the same revision: then all of it counts.
    """
    return {**part_of(live), **_paused(live)} if same else _alive(kept, live)


def kept_spec(runs: Sequence[FleetRunView], revision_hash: str) -> dict[str, Any] | None:
    """The spec by which a revision came to members; of `runs`, oldest first, the newest that knows it tells."""
    for run in reversed(runs):
        if run.spec.hash == revision_hash:
            return run.spec.spec
        if run.spec.stable_hash == revision_hash and run.spec.stable_spec is not None:
            return run.spec.stable_spec
    return None


def digest(body: dict[str, Any]) -> str:
    """Tells orders apart."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _alive(kept: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    """What was kept, with what applies at once whenever it changes: the capacity, and whether all is paused."""
    spec = copy.deepcopy(kept)
    replicas = mapping(live.get("workload")).get("replicas")
    workload = mapping(spec.get("workload"))
    if replicas is not None and "services" not in workload:
        workload["replicas"] = replicas
    return {**spec, **_paused(live)}


def _paused(live: dict[str, Any]) -> dict[str, Any]:
    return {"paused": True} if live.get("paused") is True else {}
