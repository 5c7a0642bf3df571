"""RolloutRun: what a run executes, fixed when it began, and how it went."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from sluice.api.analysis import Baseline, ResolvedMetric
from sluice.api.approval import Approval
from sluice.api.common import Model
from sluice.api.fleet import Pace
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import Revision, Traffic
from sluice.api.units import Duration, StoredShare, Time
from sluice.api.workload import CanarySize, SlotServices


class RunStep(Model):
    """One step of the one mechanism that canary and blue-green compile to.

    `share` with setWeight; `duration` with watch and timed pauses; `metrics` with analysis; `size` with setCanaryScale;
    `approval` with approval.
    """

    kind: Literal["setWeight", "pause", "analysis", "watch", "setCanaryScale", "approval"]
    share: StoredShare | None = None
    duration: Duration | None = None
    metrics: tuple[ResolvedMetric, ...] = ()
    size: CanarySize | None = None
    approval: Approval | None = None


class RunAnalysis(Model):
    """Background analysis, templates resolved."""

    baseline: Baseline = Baseline.SNAPSHOT
    metrics: tuple[ResolvedMetric, ...] = ()


class RolloutRunSpec(Model):
    """Spec of a RolloutRun. Immutable (CEL).

    `template` and `stable_template` are the pod templates of the two revisions, where Sluice runs them: by these a slot
    is made anew that somebody deleted, and an older revision is brought back.
    """

    rollout: str
    rollout_uid: str = ""
    revision: int
    hash: str
    version: str | None = None
    stable_hash: str
    stable_version: str | None = None
    from_slot: Slot
    to_slot: Slot
    services: SlotServices
    traffic: Traffic
    steps: tuple[RunStep, ...]
    analysis: RunAnalysis = RunAnalysis()
    template: dict[str, Any] | None = None
    stable_template: dict[str, Any] | None = None
    canary_size: CanarySize = CanarySize()
    dynamic_stable: bool = False
    progress_deadline: Duration = timedelta(minutes=10)
    on_deadline: Literal["Abort", "Hold"] = "Abort"
    cause: Literal["SpecChanged", "Retry", "Undo", "Rollback", "KillSwitch"] = "SpecChanged"
    switch: str = ""  # which, of cause KillSwitch, as causes name it
    reason: str = ""  # why, of cause KillSwitch
    requester: str = ""

    @property
    def goes_back(self) -> bool:
        """Whether it goes back to what served before, for which nobody should have to wait."""
        return self.cause in {"Undo", "Rollback", "KillSwitch"}

    def begun(self, pace: Pace | None, at: datetime) -> Revision:
        """The revision that it is about, as a Rollout's status tells of it from now on."""
        return Revision(
            number=self.revision,
            hash=self.hash,
            slot=self.to_slot,
            version=self.version,
            fleet_run=pace.run if pace is not None else None,
            switch=self.switch,
            started_at=at,
        )


class StepTimes(Model):
    """When a step began and ended."""

    index: int
    started_at: Time
    ended_at: Time | None = None


class RolloutRunStatus(Model):
    """Status of a RolloutRun: the record that reports are made from."""

    outcome: Outcome | None = None
    reason: str = ""
    message: str = ""
    step: int = 0
    steps: tuple[StepTimes, ...] = ()
    baselines: dict[str, float] = {}
    ended_at: Time | None = None

    def entered(self, index: int, baselines: dict[str, float], at: datetime) -> RolloutRunStatus:
        """The same once step `index` has begun; the steps before it have ended."""
        steps = (*self._closed(at), StepTimes(index=index, started_at=at))
        return self.model_copy(update={"step": index, "steps": steps, "baselines": baselines})

    def ended(self, outcome: Outcome, reason: str, message: str, at: datetime) -> RolloutRunStatus:
        """The same once the run is over."""
        changes = {"outcome": outcome, "reason": reason, "message": message[:1024], "ended_at": at}
        return self.model_copy(update={**changes, "steps": self._closed(at)})

    def _closed(self, at: datetime) -> tuple[StepTimes, ...]:
        return tuple(step.model_copy(update={"ended_at": at}) if step.ended_at is None else step for step in self.steps)
