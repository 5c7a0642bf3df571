"""What the stages of a decision about a fleet work on: the next status, where each cluster is, what is waited for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from sluice.api.analysis import ResolvedMetric
from sluice.api.conditions import Reason
from sluice.api.fleet import (
    BatchRecord,
    BatchStage,
    BatchStatus,
    ClusterFailure,
    ClusterPhase,
    FleetRevision,
    FleetRunSpec,
    FleetRunStatus,
    FleetStatus,
    RunBatch,
)
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutStatus, StepStatus
from sluice.api.run import RunStep
from sluice.decide import audit
from sluice.decide.draft import MAX_REJECTED, SYSTEM
from sluice.decide.fleet import parts
from sluice.decide.fleet.failures import with_failures
from sluice.decide.fleet.model import Directive, FleetObserved, FleetPlan, FleetRunView, LegView, MemberView
from sluice.decide.fleet.record import phases_of, recorded
from sluice.decide.fleet.tallies import FLEET, scope_of
from sluice.decide.fleet.tallies import recorded as numbers
from sluice.decide.hold import Hold
from sluice.decide.model import Answer, FinalizerChange, Measure, Note
from sluice.decide.texts import MESSAGE_BYTES, REASON_BYTES, clip

MOST_FAILURES = 50
_NOTHING = LegView()


@dataclass(slots=False)
class Course:
    """One decision in the making."""

    observed: FleetObserved
    now: datetime
    status: RolloutStatus
    phases: dict[str, ClusterPhase] = field(default_factory=dict)
    failures: list[ClusterFailure] = field(default_factory=list)
    directives: dict[str, Directive] = field(default_factory=dict)
    kept_out: list[str] = field(default_factory=list)  # clusters that wait to join the fleet
    holds: list[Hold] = field(default_factory=list)
    stalled: Hold | None = None
    answers: list[Answer] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    wakes: list[datetime] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    create_run: FleetRunSpec | None = None
    finalizer: FinalizerChange = FinalizerChange.NONE
    compiled: dict[tuple[int, str], tuple[RunStep, ...]] = field(default_factory=dict)
    measured: dict[str, tuple[ResolvedMetric, ...]] = field(default_factory=dict)  # what the hub measures, by scope
    closed: list[tuple[str, FleetRunStatus]] = field(default_factory=list)
    unread: str = ""  # why the record of the current or last run tells nothing
    untold: dict[str, tuple[str, str]] = field(default_factory=dict)  # who failed in this pass: reason and message
    record_first: bool = False  # what nobody but the record tells is in it before the status speaks of it

    def __post_init__(self) -> None:
        """Take up where each cluster is by the record of the current or last run."""
        run = self.run
        if run is None:
            return
        kept = {record.name: record for record in run.status.batches}
        for batch in run.spec.batches:
            try:
                self.phases |= phases_of(batch, kept.get(batch.name))
            except ValueError as error:
                self.unread = self.unread or str(error)
        if self.unread:
            self.phases = {}
        self.failures = list(run.status.failures)

    # ------------------------------------------------------------------ reading

    @property
    def fleet(self) -> FleetStatus:
        """What the status says of the fleet."""
        return self.status.fleet or FleetStatus()

    @cached_property
    def run(self) -> FleetRunView | None:
        """The FleetRun of the current or last run, as it was observed."""
        name = self.observed.status.fleet.run if self.observed.status.fleet else None
        return next((run for run in self.observed.runs if run.name == name), None)

    @property
    def under_way(self) -> bool:
        """Whether a run is under way."""
        revision = self.fleet.revision
        return revision is not None and revision.outcome is None

    @property
    def run_spec(self) -> FleetRunSpec | None:
        """What the current or last run executes, also in the pass that creates it."""
        if self.create_run is not None:
            return self.create_run
        return self.run.spec if self.run is not None else None

    @property
    def batch(self) -> RunBatch | None:
        """The batch that the run is in."""
        spec, at = self.run_spec, self.fleet.batch
        if spec is None or at is None or not 1 <= at.index <= len(spec.batches):
            return None
        return spec.batches[at.index - 1]

    @property
    def steps(self) -> tuple[RunStep, ...]:
        """The steps of the batch that the run is in."""
        return self.steps_of(self.batch) if self.batch is not None else ()

    def steps_of(self, batch: RunBatch) -> tuple[RunStep, ...]:
        """The steps of a batch of the run."""
        spec = self.run_spec
        if spec is None:
            return ()
        key = (spec.revision, batch.name if batch.steps else "")  # most batches go by the same steps
        if key not in self.compiled:
            self.compiled[key] = parts.steps_of(spec, batch)
        return self.compiled[key]

    @property
    def at(self) -> BatchStatus:
        """Where the run is. Only with a batch."""
        if self.fleet.batch is None:
            raise AssertionError("asked for the batch of a run that is in none")
        return self.fleet.batch

    @property
    def step(self) -> int:
        """The step that the clusters which move now may enter; 0 while none moves."""
        return self.status.step.index if self.status.step is not None else 0

    @property
    def awaits_person(self) -> bool:
        """Whether the step that the clusters may enter is a pause without an end."""
        step = self.steps[self.step - 1] if 1 <= self.step <= len(self.steps) else None
        return step is not None and step.kind == "pause" and step.duration is None

    @property
    def wave(self) -> tuple[str, ...]:
        """The clusters of the batch that move at the same time, now."""
        batch = self.batch
        return batch.clusters[self.at.first : self.at.first + batch.max_concurrency] if batch is not None else ()

    def leg(self, name: str) -> LegView:
        """A cluster's part; one that says nothing where it has none."""
        return self.observed.legs.get(name, _NOTHING)

    def member(self, name: str) -> MemberView | None:
        """A cluster, unless it is no member any more."""
        return self.observed.members.get(name)

    def refusal(self, name: str) -> str:
        """Why a cluster does not take this Rollout; "" where it does."""
        member, namespace = self.member(name), self.observed.ref.namespace
        if member is None or member.allows is None or member.allows.admit(namespace, self.observed.home):
            return ""
        return f"{name} does not take Rollouts of namespace {namespace} (spec.allowedNamespaces of its MemberCluster)"

    def among(self, names: tuple[str, ...], *phases: ClusterPhase) -> tuple[str, ...]:
        """Those of the clusters that are in one of these phases."""
        return tuple(name for name in names if self.phases.get(name) in phases)

    @property
    def main_hold(self) -> Hold | None:
        """What the run waits for, in the first place."""
        return next(iter(self.holds), None)

    # ------------------------------------------------------------------ changing

    def update(self, **changes: Any) -> None:
        """Change fields of the next status."""
        self.status = self.status.model_copy(update=changes)

    def update_fleet(self, **changes: Any) -> None:
        """Change fields of what it says of the fleet."""
        self.update(fleet=self.fleet.model_copy(update=changes))

    def hold(self, reason: Reason, message: str, *, counts: bool = False, until: datetime | None = None) -> None:
        """Name something that the run waits for."""
        self.holds.append(Hold(reason, message, counts, until))
        if until is not None:
            self.wakes.append(until)

    def stall(self, reason: Reason, message: str) -> None:
        """Name what is wrong. The first one counts."""
        if self.stalled is None:
            self.stalled = Hold(reason, message)

    def note(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        """Tell people by a Kubernetes Event."""
        self.notes.append(Note(warning, reason, message))

    def record(
        self,
        stage: Literal["Intended", "Observed"],
        action: str,
        reason: Reason,
        message: str,
        *,
        actor: str = SYSTEM,
        cause: str = "",
    ) -> None:
        """Add to the audit chain, unless it is told already."""
        number = self.fleet.revision.number if self.fleet.revision else 0
        identity = audit.entry_id(self.observed.ref.uid, number, cause, action)
        self.tell(audit.Telling(identity, stage, action, actor, reason, message))

    def tell(self, telling: audit.Telling) -> None:
        """Add to the audit chain, after the clusters that failed before."""
        self.tell_failures()
        self.update(audit=audit.append(self.status.audit, telling, self.now))

    def tell_failures(self) -> None:
        """Add the clusters that failed to the audit chain."""
        failed, self.untold = self.untold, {}
        self.update(audit=with_failures(self.status, self.observed.ref.uid, failed, self.now))

    def fail(self, name: str, reason: str, message: str) -> None:
        """A cluster failed: it returns, and counts."""
        self.phases[name] = ClusterPhase.FAILED
        failure = ClusterFailure(name=name, reason=reason, message=clip(message, REASON_BYTES), at=self.now)
        self.failures = [*(each for each in self.failures if each.name != name), failure][-MOST_FAILURES:]
        self.note(Reason.CLUSTER_FAILED, f"{name}: {message}", warning=True)
        self.untold[name] = (reason, message)

    def enter_batch(self, index: int) -> None:
        """Begin a batch: with its pause, where it has one."""
        spec = self.run_spec
        if spec is None:
            return
        batch = spec.batches[index - 1]
        self.update_fleet(
            batch=BatchStatus(
                name=batch.name,
                index=index,
                of=len(spec.batches),
                stage=BatchStage.PAUSED if batch.pause is not None else stage_after_pause(batch),
                started_at=self.now,
                counted_until=self.now,
            )
        )
        self.update(step=None, weight=None, next_transition_at=None, approvals=())

    def enter_stage(self, stage: BatchStage) -> None:
        """Go on to the batch's next stage."""
        changes = {"stage": stage, "started_at": self.now, "counted_seconds": 0.0, "counted_until": self.now}
        self.update_fleet(batch=self.at.model_copy(update={**changes, "extended_seconds": 0.0}))
        self.update(next_transition_at=None, approvals=())

    def enter_step(self, index: int) -> None:
        """Let the clusters which move now enter a step, all of them together."""
        step = self.steps[index - 1]
        self.update_fleet(batch=self.at.model_copy(update={"step_done_at": None}))
        self.update(
            step=StepStatus(index=index, of=len(self.steps), kind=step.kind, started_at=self.now),
            waiting=None,
            next_transition_at=None,
            approvals=(),
        )
        if step.kind == "setWeight":
            self.update(weight=step.share)

    def start_run(self, spec: FleetRunSpec, name: str, *, exists: bool) -> None:
        """Begin a run: at the first batch that has a cluster."""
        self.create_run = None if exists else spec
        self.__dict__["run"] = next((run for run in self.observed.runs if run.name == name), None)
        self.phases = {name: ClusterPhase.WAITING for batch in spec.batches for name in batch.clusters}
        self.failures, self.unread = [], ""
        self.measured.clear()
        self.update_fleet(
            revision=FleetRevision(number=spec.revision, hash=spec.hash, version=spec.version, started_at=self.now),
            run=name,
            batch=None,
        )
        self.accept(spec.hash)
        self.update(step=None, weight=None, waiting=None, paused_by=None, held_by=None, approvals=(), metrics=())

    def end_run(self, outcome: Outcome, reason: Reason, message: str, *, actor: str = SYSTEM) -> None:
        """End the run under way. Where each cluster goes from here is for the caller to say, by their phases."""
        revision, spec = self.fleet.revision, self.run_spec
        if revision is None:
            return
        ended = revision.model_copy(
            update={"outcome": outcome, "reason": reason, "message": clip(message, MESSAGE_BYTES)}
        )
        completed = outcome is Outcome.COMPLETED and spec is not None
        if outcome in {Outcome.ABORTED, Outcome.KILLED}:
            self.reject(revision.hash)
        self.record(
            "Observed" if completed else "Intended", "complete" if completed else "return", reason, message, actor=actor
        )
        if self.fleet.run is not None:
            ending = {"outcome": outcome, "reason": reason, "message": ended.message, "ended_at": self.now}
            self.closed.append((self.fleet.run, self._run_status(over=True).model_copy(update=ending)))
        stable = FleetRevision(number=revision.number, hash=revision.hash, version=revision.version, since=self.now)
        self.update_fleet(revision=ended, batch=None, stable=stable if completed else self.fleet.stable)
        gone = ("step", "weight", "waiting", "next_transition_at", "paused_by", "held_by")
        self.update(**dict.fromkeys(gone), approvals=())
        self.holds.clear()
        self.note(reason, message, warning=outcome in {Outcome.ABORTED, Outcome.KILLED})

    def reject(self, revision_hash: str) -> None:
        """Remember a revision that is not tried again by itself."""
        self.accept(revision_hash)
        self.update(rejected=(*self.status.rejected, revision_hash)[-MAX_REJECTED:])

    def accept(self, revision_hash: str) -> None:
        """A revision may be tried again."""
        self.update(rejected=tuple(known for known in self.status.rejected if known != revision_hash))

    def finish(self, delete_runs: tuple[str, ...] = ()) -> FleetPlan:
        """The plan."""
        self.tell_failures()
        return FleetPlan(
            status=self.status,
            create_run=self.create_run,
            finalizer=self.finalizer,
            closed=self._records_first(),
            directives=self.directives,
            measures=tuple(self.measures),
            run_statuses=self._run_statuses(),
            answers=tuple(self.answers),
            notes=tuple(self.notes),
            delete_runs=delete_runs,
            wake_at=min((at for at in self.wakes if at > self.now), default=None),
        )

    def _records_first(self) -> tuple[tuple[str, FleetRunStatus], ...]:
        name = self.fleet.run
        if not self.record_first or name is None or any(name == ended for ended, _ in self.closed):
            return tuple(self.closed)
        return (*self.closed, (name, self._run_status()))

    def _run_statuses(self) -> tuple[tuple[str, FleetRunStatus], ...]:
        """The record of the current or last run, where it says something new, and does not end in this pass."""
        name, before = self.fleet.run, self.run.status if self.run is not None else FleetRunStatus()
        if self.unread or name is None or any(name == ended for ended, _ in self._records_first()):
            return ()
        status = self._run_status()
        return ((name, status),) if status != before else ()

    def _run_status(self, *, over: bool = False) -> FleetRunStatus:
        run, spec = self.run, self.run_spec
        before = run.status if run is not None else FleetRunStatus()
        if spec is None:
            return before
        kept = {record.name: record for record in before.batches}
        batches = tuple(self._batch_record(batch, kept.get(batch.name)) for batch in spec.batches)
        changes: dict[str, Any] = {"batches": batches, "failures": tuple(self.failures)}
        if before.outcome is None:  # one that was closed before a crash knows more than the status
            changes["batches"] = tuple(self._with_numbers(batch, over=over) for batch in batches)
            changes["metrics"] = numbers(self.status.metrics, FLEET) if over else before.metrics
        return before.model_copy(update=changes)

    def _with_numbers(self, record: BatchRecord, *, over: bool) -> BatchRecord:
        """The same with what the hub measured of it, once it measures no more."""
        at = self.fleet.batch
        closing = at is not None and at.name == record.name and at.stage is BatchStage.CLOSING
        if not (over or closing or record.ended_at is not None):
            return record
        return record.model_copy(
            update={"metrics": numbers(self.status.metrics, scope_of(record.name)) or record.metrics}
        )

    def _batch_record(self, batch: RunBatch, before: BatchRecord | None) -> BatchRecord:
        known = before or BatchRecord(name=batch.name, clusters="")
        at = self.fleet.batch
        changes: dict[str, Any] = {"clusters": recorded(batch, self.phases)}
        if at is not None and at.name == batch.name:
            changes["step"] = self.step
            changes["started_at"] = known.started_at or self.now
            if at.stage in {BatchStage.SOAKING, BatchStage.CLOSING}:
                changes["done_at"] = known.done_at or self.now
        elif known.started_at is not None and known.ended_at is None:
            changes["ended_at"] = self.now
        return known.model_copy(update=changes)


def stage_after_pause(batch: RunBatch) -> BatchStage:
    """What comes of a batch once its pause, if any, is over."""
    return BatchStage.APPROVING if batch.approval is not None else BatchStage.MOVING
