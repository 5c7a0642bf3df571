"""A fleet: over which member clusters a Rollout goes, in which batches, and how far each of them is."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

from sluice.api.analysis import Analysis, ResolvedMetric
from sluice.api.approval import Approval
from sluice.api.common import LabelSelector, Model
from sluice.api.outcome import Outcome
from sluice.api.strategy import Pause, Step
from sluice.api.units import Duration, Time


class OnFailure(StrEnum):
    """What happens once more clusters failed than may."""

    ROLLBACK_CLUSTER = "RollbackCluster"  # those alone return; their batch goes on, and no other begins
    ROLLBACK_BATCH = "RollbackBatch"  # their batch returns, and the run ends
    ROLLBACK_FLEET = "RollbackFleet"  # every cluster returns, those of completed batches too, and the run ends
    HOLD = "Hold"  # everything stays where it is, until somebody decides


class FleetBatch(Model):
    """Clusters that go together. Exactly one, or none, of `selector`, `clusters` and `size` is set; none: all the rest.

    A cluster belongs to the first batch that takes it. `size` and `max_concurrency` are a count, or a share such as
    "10%" that never comes to nothing: of what earlier batches left, or of the batch. A share of `max_failures` is
    rounded down, and may. With `size_by` Weight, `size` counts what the clusters stand for. `steps` replace the
    canary's. `pause`, and then `approval`, come before the batch, `soak` after it. `analysis` is of its clusters as a
    whole, by the hub.
    """

    name: str
    selector: LabelSelector | None = None
    clusters: tuple[str, ...] = ()
    size: int | str | None = None
    size_by: Literal["Clusters", "Weight"] = "Clusters"
    max_concurrency: int | str | None = None
    steps: tuple[Step, ...] = ()
    pause: Pause | None = None
    approval: Approval | None = None
    soak: Duration | None = None
    analysis: Analysis | None = None
    max_failures: int | str | None = None


class Fleet(Model):
    """The clusters that `selector` matches, batch by batch. `max_failures` is for each batch that names none.

    `analysis` is of all clusters that the run has come to, as a whole, by the hub.
    """

    selector: LabelSelector = LabelSelector()
    batches: tuple[FleetBatch, ...]
    max_failures: int | str = 0
    on_failure: OnFailure = OnFailure.ROLLBACK_BATCH
    analysis: Analysis | None = None


class StepMetrics(Model):
    """The metrics of one analysis that is a step."""

    metrics: tuple[ResolvedMetric, ...] = ()


class FixedAnalysis(Model):
    """The metrics of a run, templates resolved: in the background, and of each step that is an analysis, in order."""

    background: tuple[ResolvedMetric, ...] = ()
    inline: tuple[StepMetrics, ...] = ()


class HubAnalysis(Model):
    """What the hub measures of clusters as a whole, templates resolved."""

    metrics: tuple[ResolvedMetric, ...] = ()


class Pace(Model):
    """How far a cluster may go in the run to the revision that the same spec names.

    `analysis` is a `FixedAnalysis`: what it is measured by, as the hub looked it up when the run over the fleet began.
    `run` is the number of the FleetRun that it is part of: what was rejected in an earlier one is tried again. `up_to`
    is the last step that it may enter; one more than there are, and it may complete.
    """

    run: int
    up_to: int
    analysis: dict[str, Any] | None = None


class RunBatch(Model):
    """A batch as its run fixed it. `clusters` are in the order in which they go; `analysis` goes with `steps`.

    `hub_analysis` is a `HubAnalysis`, of the batch.
    """

    name: str
    clusters: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    analysis: dict[str, Any] | None = None
    hub_analysis: dict[str, Any] | None = None
    max_concurrency: int
    max_failures: int
    pause: Pause | None = None
    approval: Approval | None = None
    soak: Duration = timedelta(0)


class FleetRunSpec(Model):
    """Spec of a FleetRun: what a run over a fleet executes. Immutable (CEL).

    `spec` is what clusters get of the Rollout's spec, `stable_spec` what they had; None where there was nothing before.
    `analysis` is a `FixedAnalysis`: what clusters are measured by, unless their batch has its own. `hub_analysis` is a
    `HubAnalysis`, of the whole fleet.
    """

    rollout: str
    rollout_uid: str
    revision: int
    hash: str
    version: str | None = None
    stable_hash: str = ""
    stable_version: str | None = None
    batches: tuple[RunBatch, ...]
    on_failure: OnFailure = OnFailure.ROLLBACK_BATCH
    progress_deadline: Duration = timedelta(minutes=10)
    spec: dict[str, Any]
    analysis: dict[str, Any] | None = None
    hub_analysis: dict[str, Any] | None = None
    stable_spec: dict[str, Any] | None = None
    cause: Literal["First", "SpecChanged", "Retry"] = "SpecChanged"
    requester: str = ""


class ClusterPhase(StrEnum):
    """Where a cluster is in a run over a fleet."""

    WAITING = "Waiting"  # its turn has not come
    MOVING = "Moving"
    DONE = "Done"  # all of its traffic is on the new revision, which can still be taken back at once
    COMPLETED = "Completed"
    FAILED = "Failed"
    RETURNING = "Returning"
    RETURNED = "Returned"
    LEFT = "Left"  # it is no member any more


class MetricRecord(Model):
    """What came of a metric that the hub measured. `phase` is a `MetricPhase`."""

    name: str
    phase: str
    value: float | None = None  # the last number
    threshold: str = ""
    passes: int = 0
    failures: int = 0
    measured_at: Time | None = None
    message: str = ""


class BatchRecord(Model):
    """How a batch went. `clusters` has a letter for each cluster, in the batch's order: see `decide.fleet.record`."""

    name: str
    clusters: str
    step: int = 0
    started_at: Time | None = None
    done_at: Time | None = None  # when its last cluster was done: soak counts from there
    ended_at: Time | None = None
    metrics: tuple[MetricRecord, ...] = ()  # of its own analysis, once its soak or the run is over


class ClusterFailure(Model):
    """A cluster that failed, and why."""

    name: str
    reason: str
    message: str = ""
    at: Time


class FleetRunStatus(Model):
    """Status of a FleetRun: where each cluster is."""

    outcome: Outcome | None = None
    reason: str = ""
    message: str = ""
    batches: tuple[BatchRecord, ...] = ()
    failures: tuple[ClusterFailure, ...] = ()
    metrics: tuple[MetricRecord, ...] = ()  # of the whole fleet, once the run is over
    ended_at: Time | None = None


class FleetRevision(Model):
    """A revision as a fleet has it. `number` is that of the FleetRun that brought it."""

    number: int
    hash: str
    version: str | None = None
    started_at: Time | None = None
    since: Time | None = None  # of what is stable: since when
    outcome: Outcome | None = None  # of the run; None while it is under way
    reason: str = ""
    message: str = ""


class ClusterCounts(Model):
    """How many clusters of a batch are where."""

    total: int = 0
    waiting: int = 0
    moving: int = 0
    done: int = 0
    failed: int = 0


class BatchStage(StrEnum):
    """How far a batch is."""

    PAUSED = "Paused"  # the pause before it
    APPROVING = "Approving"  # people have to approve it
    MOVING = "Moving"
    SOAKING = "Soaking"
    CLOSING = "Closing"  # its clusters let go of the revision before


class BatchStatus(Model):
    """The batch that a run is in. `counted_seconds` is what counted of its pause or soak, up to `counted_until`.

    `extended_seconds` is by how much a person lengthened that.

    `step_done_at`: since when all that move now have done the present step; kept where the hub measures.
    """

    name: str
    index: int  # from 1
    of: int
    stage: BatchStage
    clusters: ClusterCounts = ClusterCounts()
    first: int = 0  # of the clusters that move now, in the batch's order
    started_at: Time  # the stage
    counted_seconds: float = 0.0
    counted_until: Time | None = None
    extended_seconds: float = 0.0
    step_done_at: Time | None = None


class ClusterStatus(Model):
    """A cluster that moves, waits for something, or failed."""

    name: str
    phase: ClusterPhase
    weight: str = ""
    message: str = ""
    since: Time | None = None


class FleetStatus(Model):
    """What a Rollout says of its fleet."""

    total: int = 0
    ready: int = 0
    stable: FleetRevision | None = None
    revision: FleetRevision | None = None
    run: str | None = None
    batch: BatchStatus | None = None
    clusters: tuple[ClusterStatus, ...] = ()
    not_shown: int = 0
