"""One line per Rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
    step: str  # "3/6 pause"
    weight: str  # the candidate's share
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
        step=step_of(status),
        weight=status.share("weight"),
        next=countdown(status.moment("nextTransitionAt"), now) if running(status) else "",
        age=age(fields.moment("metadata", "creationTimestamp"), now),
        message=status.text("message"),
    )


def running(status: Fields) -> bool:
    """Whether a run is under way."""
    revision = status.at("revision")
    return bool(revision.value) and not revision.at("outcome")


def strategy_of(rollout: Fields) -> str:
    """The name of the strategy."""
    strategy = rollout.at("spec", "strategy")
    named = [name for name in ("canary", "blueGreen") if strategy.at(name).value is not None]
    return named[0] if len(named) == 1 else UNKNOWN


def version_of(rollout: Fields) -> str:
    """What the candidate is called while a run is under way, else what serves."""
    status = rollout.at("status")
    what = status.at("revision") if running(status) else status.at("stable")
    return what.text("version") or what.text("hash")[:10]


def step_of(status: Fields) -> str:
    """Where the run is, such as "3/6 pause"."""
    step = status.at("step")
    if not step:
        return ""
    return f"{step.count('index') or UNKNOWN}/{step.count('of') or UNKNOWN} {step.text('kind') or UNKNOWN}"
