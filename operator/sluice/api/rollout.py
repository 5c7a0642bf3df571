"""Rollout: spec and status."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from sluice.api.analysis import BackgroundAnalysis
from sluice.api.approval import ApprovalTally
from sluice.api.common import Model
from sluice.api.conditions import Condition
from sluice.api.coverage import Coverage
from sluice.api.fleet import Fleet, FleetStatus, Pace
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.strategy import Strategy
from sluice.api.units import Duration, StoredShare, Time
from sluice.api.workload import Workload


class RouteRef(Model):
    """A route whose rules name both slots' Services."""

    kind: Literal["HTTPRoute", "GRPCRoute"] = "HTTPRoute"
    name: str


class ServiceSwitch(Model):
    """A plain Service whose selector is switched from one slot to the other: 0 or 100 only."""

    active: str
    preview: str | None = None


class Traffic(Model):
    """What carries the traffic: one or more routes, or a plain Service, or both.

    `stable_service` is a plain Service for callers that go past the routes: it selects the stable slot, never the
    candidate.
    """

    routes: tuple[RouteRef, ...] = ()
    service: ServiceSwitch | None = None
    stable_service: str | None = None


class Readiness(StrEnum):
    """When Ready is True."""

    SERVING = "Serving"
    COMPLETE = "Complete"


class RollbackWindow(Model):
    """Going back to one of so many completed revisions needs no steps."""

    revisions: int


class RolloutSpec(Model):
    """Spec of a Rollout. The CRD refuses what CEL can tell to be wrong.

    `fleet` is a hub's: over which member clusters it goes. `pace` is a member's: how far the hub lets it go.
    """

    workload: Workload
    traffic: Traffic
    strategy: Strategy
    fleet: Fleet | None = None
    pace: Pace | None = None
    analysis: BackgroundAnalysis | None = None
    paused: bool = False
    progress_deadline: Duration = timedelta(minutes=10)
    on_deadline: Literal["Abort", "Hold"] = "Abort"
    rollback_window: RollbackWindow | None = None
    readiness: Readiness = Readiness.SERVING
    on_delete: Literal["Keep", "Remove"] = "Keep"
    revision_history_limit: int = 10


class Phase(StrEnum):
    """The state of a Rollout in one word."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    ABORTED = "Aborted"
    KILLED = "Killed"
    DEGRADED = "Degraded"


class StableRevision(Model):
    """What serves when no run is under way."""

    slot: Slot
    hash: str
    version: str | None = None
    number: int = 0  # of the run that made it stable; 0 where it was adopted
    served_at: Time | None = None  # when it was first seen ready, where Sluice runs it and no run brought it in
    since: Time | None = None  # since when it is stable, as far as Sluice saw it


class Revision(Model):
    """The candidate of the current or last run."""

    number: int
    hash: str
    slot: Slot
    version: str | None = None
    fleet_run: int | None = None  # the FleetRun that it was part of
    switch: str = ""  # the kill switch that returns to it, as causes name it; "" where none does
    started_at: Time
    outcome: Outcome | None = None  # None while the run is under way
    reason: str = ""  # why it ended; a Reason
    message: str = ""

    def made_stable(self, at: datetime) -> StableRevision:
        """The same once its run is complete."""
        return StableRevision(slot=self.slot, hash=self.hash, version=self.version, number=self.number, since=at)


class StepStatus(Model):
    """Where the run is.

    `counted_seconds` is the part of a pause or watch that counted so far, up to `counted_until`;
    time that no measurement covers does not count. `extended_seconds` is by how much a person lengthened it.
    """

    index: int  # from 1
    of: int
    kind: Literal["setWeight", "pause", "analysis", "watch", "setCanaryScale", "approval"]
    started_at: Time
    counted_seconds: float = 0.0
    counted_until: Time | None = None
    extended_seconds: float = 0.0
    done: bool = False  # and waits for the hub's word to go on


class Waiting(Model):
    """What the run waits for that progressDeadline counts (endpoints, routes), and since when."""

    reason: str
    since: Time


class PausedBy(Model):
    """A person's Pause."""

    actor: str
    reason: str = ""
    at: Time


class HeldBy(Model):
    """A person's Hold; without `until` it is for somebody to end."""

    actor: str
    reason: str = ""
    at: Time
    until: Time | None = None


class Queued(Model):
    """A run that waits for its turn by a RolloutPolicy. `since` is the same for all policies that it has to ask."""

    policy: str
    since: Time


class Drift(Model):
    """Foreign writes put back, one after the other. `count` starts anew after a quiet while."""

    count: int
    last_at: Time


class MetricPhase(StrEnum):
    """Where a metric stands: its last measurement, or its verdict once a limit is passed."""

    PENDING = "Pending"
    PASSING = "Passing"
    FAILING = "Failing"
    ERROR = "Error"
    NO_DATA = "NoData"
    INCONCLUSIVE = "Inconclusive"
    TOO_FEW_SAMPLES = "TooFewSamples"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


class MetricStatus(Model):
    """One metric's tally.

    `scope` is "background" or "step-<n>", and of what the hub measures of a fleet "fleet" or "batch-<name>"; with
    `name` it is the key.
    """

    name: str
    scope: str
    phase: MetricPhase = MetricPhase.PENDING
    value: float | None = None
    baseline: float | None = None
    threshold: str = ""
    passes: int = 0
    failures: int = 0
    errors: int = 0
    consecutive_errors: int = 0
    no_data: int = 0  # consecutive
    inconclusive: int = 0
    measured_at: Time | None = None  # last attempt
    covered_until: Time | None = None  # end of the last good measurement
    first_at: Time  # when measuring begins
    dry_run: bool = False
    held: bool = False  # keeps the run from going on, for good or until it can be measured again
    message: str = ""


class HistoryEntry(Model):
    """A run that ended."""

    number: int
    hash: str
    version: str | None = None
    from_slot: Slot
    to_slot: Slot
    outcome: Outcome
    reason: str
    message: str = ""
    ended_at: Time


class AuditEntry(Model):
    """One thing that was meant or seen. `hash` chains it to the entry before."""

    seq: int
    id: str
    stage: Literal["Intended", "Observed"]
    action: str
    actor: str
    reason: str
    message: str = ""
    at: Time
    hash: str


class AuditSignature(Model):
    """Of a chain's head, by who told the entries from `since` on.

    `key_id` is the SHA-256 of the public key (DER, SubjectPublicKeyInfo), in hex; `value` is base64.
    """

    key_id: str
    since: int
    value: str


class Audit(Model):
    """The tail of the audit chain; `signature` is of its head."""

    seq: int = 0
    head: str = ""
    entries: tuple[AuditEntry, ...] = ()
    signature: AuditSignature | None = None


class Confirmation(StrEnum):
    """How far the current weight is known to be in force."""

    WRITTEN = "Written"
    ACCEPTED = "Accepted"


class SlotStatus(Model):
    """A slot that Sluice runs, as it was last meant to be, and its pods as last seen.

    `applied` names the last write of its Deployment, `generation` is the Deployment's just after it: a later one is
    somebody else's. `idle_since`: since when the slot surely has no traffic.
    """

    hash: str
    replicas: int
    pods: int = 0
    ready: int = 0
    applied: str = ""
    generation: int = 0
    repairs: int = 0
    repaired_at: Time | None = None
    idle_since: Time | None = None
    restarted_at: Time | None = None


class RolloutStatus(Model):
    """Status of a Rollout, and all the state that a run needs to go on after a crash."""

    observed_generation: int = 0
    phase: Phase | None = None
    message: str = ""
    stable: StableRevision | None = None
    revision: Revision | None = None
    run: str | None = None  # the RolloutRun of `revision`
    replicas: int | None = None  # pods in both slots; for the scale subresource
    selector: str | None = None  # of the pods in both slots; likewise
    slots: dict[Slot, SlotStatus] = {}  # those that Sluice runs
    sized_for: StoredShare | None = None  # the share that the candidate was last given pods for
    source_idle_since: Time | None = None  # since when nothing sends traffic to the Deployment of workloadRef
    step: StepStatus | None = None
    weight: StoredShare | None = None  # the candidate's intended share, persisted before it is written
    next_transition_at: Time | None = None
    confirmation: Confirmation | None = None
    waiting: Waiting | None = None
    paused_by: PausedBy | None = None
    queued: Queued | None = None
    held_by: HeldBy | None = None
    approvals: tuple[ApprovalTally, ...] = ()  # what is asked for where the run waits
    covered_by: tuple[Coverage, ...] = ()  # engaged switches, strictest first
    drilled: str | None = None  # the engagement of a kill switch that drills: it has the candidate's traffic
    drift: Drift | None = None
    repairs: dict[str, Drift] = {}  # objects written within the last minutes, by name and what they shall say
    baselines: dict[str, float] = {}  # by metric name
    metrics: tuple[MetricStatus, ...] = ()
    rejected: tuple[str, ...] = ()  # revision hashes that need Retry
    conditions: tuple[Condition, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    fleet: FleetStatus | None = None
    audit: Audit = Audit()

    @property
    def under_way(self) -> Revision | None:
        """The revision of the run that is under way; None where none is."""
        return self.revision if self.revision is not None and self.revision.outcome is None else None
