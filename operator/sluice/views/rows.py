"""One line per Rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.names import Slot
from sluice.views.fields import UNKNOWN, Fields
from sluice.views.moments import age, countdown


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A Rollout in a list. Every field is text; "" is absent, "?" is a value that makes no sense."""

    namespace: str
    name: str
    phase: str
    strategy: str  # "canary" or "blueGreen"
    revision: str
    version: str  # of the candidate while a run is under way, else what serves
    stable: str  # the version that is stable
    step: str  # "3/6 pause"
    weight: str  # the candidate's share
    pods: str  # "7/8": ready, of those asked for, in both slots; "" where others run them
    replicas: str  # pods for all of the traffic; likewise
    next: str  # "in 4m12s"
    age: str
    message: str


def rollout_row(rollout: Mapping[str, Any], now: datetime) -> RolloutRow:
    """Read a Rollout."""
    fields = Fields(rollout)
    status = fields.at("status")
    return RolloutRow(
        namespace=fields.text("metadata", "namespace"),
        name=fields.text("metadata", "name"),
        phase=status.text("phase"),
        strategy=strategy_of(fields),
        revision=status.count("revision", "number"),
        version=version_of(fields),
        stable=_name_of(status.at("stable")),
        step=step_of(status),
        weight=status.share("weight"),
        pods=pods_of(status),
        replicas=(fields.count("spec", "workload", "replicas") or "1") if is_managed(fields) else "",
        next=countdown(status.moment("nextTransitionAt"), now) if running(status) else "",
        age=age(fields.moment("metadata", "creationTimestamp"), now),
        message=status.text("message"),
    )


def running(status: Fields) -> bool:
    """Whether a run is under way."""
    revision = status.at("revision")
    return bool(revision.value) and not revision.at("outcome")


def is_managed(rollout: Fields) -> bool:
    """Whether Sluice runs the pods."""
    workload = rollout.at("spec", "workload")
    return not workload.at("services") and bool(workload.at("template") or workload.at("workloadRef"))


def pods_of(status: Fields) -> str:
    """Pods that are ready and pods that are asked for, in both slots."""
    slots = [found for slot in Slot if (found := status.at("slots", slot.value))]
    if not slots:
        return ""
    numbers = [(slot.whole("ready") or 0, slot.whole("replicas")) for slot in slots]
    asked = [replicas for _, replicas in numbers if replicas is not None]
    return f"{sum(ready for ready, _ in numbers)}/{sum(asked)}" if len(asked) == len(slots) else UNKNOWN


def strategy_of(rollout: Fields) -> str:
    """The name of the strategy."""
    strategy = rollout.at("spec", "strategy")
    named = [name for name in ("canary", "blueGreen") if strategy.at(name).value is not None]
    return named[0] if len(named) == 1 else UNKNOWN


def version_of(rollout: Fields) -> str:
    """What the candidate is called while a run is under way, else what serves."""
    status = rollout.at("status")
    return _name_of(status.at("revision") if running(status) else status.at("stable"))


def _name_of(revision: Fields) -> str:
    return revision.text("version") or revision.text("hash")[:10]


def step_of(status: Fields) -> str:
    """Where the run is, such as "3/6 pause"."""
    step = status.at("step")
    if not step:
        return ""
    return f"{step.count('index') or UNKNOWN}/{step.count('of') or UNKNOWN} {step.text('kind') or UNKNOWN}"
