"""The plan while it is being made: the next status, and the effects found so far.

The stages of the planner each change the draft a little; nothing outside it is touched, so the whole stays a pure
function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sluice.api.analysis import ResolvedMetric
from sluice.api.conditions import Reason
from sluice.api.fleet import Pace
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import Confirmation, HistoryEntry, RolloutStatus, StableRevision, StepStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus, RunStep
from sluice.api.units import FULL, NONE, BasisPoints
from sluice.api.workload import Workload
from sluice.decide import audit
from sluice.decide.hold import Hold
from sluice.decide.model import (
    Answer,
    Apply,
    Cause,
    FinalizerChange,
    Measure,
    Note,
    Observed,
    Patch,
    Plan,
    Release,
    Removal,
    RunView,
    Shift,
)
from sluice.decide.pods import DeploymentView
from sluice.decide.revision import Desired, desired_of
from sluice.decide.switches import owner_id, run_id
from sluice.decide.texts import MESSAGE_BYTES, REASON_BYTES, clip, newest

SYSTEM = "sluice"
MAX_REJECTED = 10
_OF_A_RUN = ("step", "waiting", "next_transition_at", "paused_by", "held_by", "drilled", "drift", "sized_for")


@dataclass(slots=True)
class Draft:
    """What the stages work on."""

    observed: Observed
    now: datetime
    status: RolloutStatus
    urgent: list[Shift] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    trial: Apply | None = None
    applies: list[Apply] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    sought: BasisPoints = NONE  # the share that the run would go on to, once the candidate has the pods for it
    measures: list[Measure] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    run_statuses: dict[str, RolloutRunStatus] = field(default_factory=dict)
    create_run: RolloutRunSpec | None = None
    finalizer: FinalizerChange = FinalizerChange.NONE
    holds: list[Hold] = field(default_factory=list)  # what the run waits for, weightiest first
    stalled: Hold | None = None  # what is wrong and needs somebody
    wakes: list[datetime] = field(default_factory=list)

    # ------------------------------------------------------------------ reading

    @property
    def run(self) -> RunView | None:
        """The RolloutRun of the run under way or the last one."""
        return next((run for run in self.observed.runs if run.name == self.status.run), None)

    @property
    def pace(self) -> Pace | None:
        """How far a hub lets the run go; None where none leads."""
        return self.observed.spec.pace if self.observed.spec is not None else None

    @property
    def under_way(self) -> bool:
        """Whether a run is under way."""
        return self.status.under_way is not None

    @property
    def run_spec(self) -> RolloutRunSpec | None:
        """What the run under way executes, also in the pass that creates it."""
        if not self.under_way:
            return None
        if self.create_run is not None:
            return self.create_run
        return self.run.spec if self.run else None

    @property
    def step(self) -> RunStep | None:
        """The step that the run is in."""
        spec, at = self.run_spec, self.status.step
        return spec.steps[at.index - 1] if spec and at and 1 <= at.index <= len(spec.steps) else None

    @property
    def inline(self) -> tuple[ResolvedMetric, ...]:
        """The metrics of the analysis that is the present step; none in another step."""
        return self.step.metrics if self.step and self.step.kind == "analysis" else ()

    @property
    def candidate(self) -> Slot:
        """The slot that is not stable. Only with a stable slot."""
        return self.stable.slot.other

    @property
    def stable(self) -> StableRevision:
        """The stable revision, once it is known."""
        if self.status.stable is None:
            raise AssertionError("asked for the stable slot before adoption")
        return self.status.stable

    @property
    def desired(self) -> Desired | None:
        """The revision that the spec asks for; None where the spec, or the template it names, cannot be read."""
        spec = self.observed.spec
        return desired_of(spec, self.observed.asked, self.status.stable) if spec is not None else None

    @property
    def workload(self) -> Workload | None:
        """What the spec runs, where it is Sluice that runs it."""
        spec = self.observed.spec
        return spec.workload if spec is not None and spec.workload.managed else None

    def deployment(self, slot: Slot) -> DeploymentView | None:
        """A slot's Deployment."""
        return self.observed.slots[slot].deployment

    @property
    def intended(self) -> BasisPoints:
        """The share that the slot which is not stable shall have."""
        return (self.status.weight or NONE) if self.under_way and self.status.drilled is None else NONE

    @property
    def main_hold(self) -> Hold | None:
        """What the run waits for, in the first place: a cause rather than that something is not confirmed yet."""
        causes = [hold for hold in self.holds if hold.reason is not Reason.NOT_CONFIRMED]
        return next(iter(causes or self.holds), None)

    @property
    def exposed(self) -> bool:
        """Whether the candidate has, or is meant to have, any traffic."""
        return self.intended > NONE or self.served

    @property
    def served(self) -> bool:
        """Whether the candidate has any traffic, as far as the targets can be read."""
        return any(target.share(self.candidate) > NONE for target in self.observed.targets)

    @property
    def cleared(self) -> bool:
        """Whether the candidate has no traffic: what was just taken from it must be accepted, not only written."""
        level, history = self.status.confirmation, self.status.history
        just_taken = bool(history) and history[-1].outcome is not Outcome.COMPLETED
        return level is Confirmation.ACCEPTED or (level is Confirmation.WRITTEN and not just_taken)

    @property
    def stable_answers(self) -> bool:
        """Whether the stable slot has a ready endpoint; a first version answers once all of it is ready."""
        ready = self.observed.slots[self.stable.slot].ready_endpoints
        return ready >= max(1, self.workload.replicas) if self.workload and self.unserved else ready > 0

    @property
    def unserved(self) -> bool:
        """Whether what is called stable is a first version that did not come up yet.

        From the first run on it is what there is to go back to, be it with fewer pods than were asked for.
        """
        first = not self.stable.number and self.status.revision is None
        return self.workload is not None and first and self.stable.served_at is None

    @property
    def number(self) -> int:
        """The number of the current or last run."""
        return self.status.revision.number if self.status.revision else 0

    # ------------------------------------------------------------------ changing

    def update(self, **changes: Any) -> None:
        """Change fields of the next status."""
        self.status = self.status.model_copy(update=changes)

    def wake(self, at: datetime | None) -> None:
        """Look again at that time, if not before."""
        if at is not None:
            self.wakes.append(at)

    def hold(self, reason: Reason, message: str, *, counts: bool = False, until: datetime | None = None) -> None:
        """Name something that the run waits for."""
        self.holds.append(Hold(reason, message, counts, until))
        self.wake(until)

    def wait_for(self, hold: Hold) -> None:
        """Name what a gate says that the run waits for."""
        self.hold(hold.reason, hold.message, counts=hold.counts, until=hold.until)

    def stall(self, reason: Reason | str, message: str) -> None:
        """Name what is wrong. The first one counts."""
        if self.stalled is None:
            self.stalled = Hold(Reason(reason), message)

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
        actor: str = "",
        cause: str = "",
    ) -> None:
        """Add to the audit chain, unless it is told already."""
        telling = audit.Telling(
            identity=audit.entry_id(self.observed.ref.uid, self.number, cause, action),
            stage=stage,
            action=action,
            actor=actor or SYSTEM,
            reason=reason,
            message=message,
        )
        self.update(audit=audit.append(self.status.audit, telling, self.now))

    def record_seen(self, action: str, reason: Reason, message: str, *, cause: str = "") -> None:
        """Add that an effect was seen, where the kept entries tell that it was meant; each of the two is told once."""
        if audit.has(self.status.audit, audit.entry_id(self.observed.ref.uid, self.number, cause, action), "Intended"):
            self.record("Observed", action, reason, message, cause=cause)

    def cause(self, action: str, reason: str = "") -> Cause:
        """The stamp for a write of the current run."""
        return Cause(
            run=run_id(self.observed.ref.uid, self.number),
            action=action,
            reason=reason,
            actor=SYSTEM,
            at=audit.timestamp(self.now),
        )

    def command(self, verb: str) -> str:
        """The command line that a person can type next."""
        return f"sluice {verb} {self.observed.ref.name} -n {self.observed.ref.namespace}"

    def service(self, slot: Slot) -> str:
        """A slot's Service, for messages."""
        return f"Service {self.observed.ref.namespace}/{self.observed.slots[slot].service} ({slot})"

    def workload_of(self, slot: Slot) -> str:
        """A slot's Deployment, for messages."""
        return f"Deployment {self.observed.ref.namespace}/{self.observed.ref.name}-{slot}"

    @property
    def owner(self) -> str:
        """How targets name this Rollout."""
        return owner_id(self.observed.ref)

    def enter(self, index: int) -> None:
        """Begin step `index` (from 1) of the run under way."""
        spec = self.run_spec
        if spec is None:
            return
        step = spec.steps[index - 1]
        self.update(
            step=StepStatus(
                index=index, of=len(spec.steps), kind=step.kind, started_at=self.now, counted_until=self.now
            ),
            waiting=None,
            next_transition_at=None,
            approvals=(),
        )
        if step.kind == "setWeight":
            self.update(weight=step.share or NONE, confirmation=None, drift=None)
        if self.status.run is not None:
            self.run_statuses[self.status.run] = self._run_status.entered(index, self.status.baselines, self.now)

    @property
    def _run_status(self) -> RolloutRunStatus:
        """What the RolloutRun says, or will say, of the run under way."""
        written = self.run_statuses.get(self.status.run or "")
        return written or (self.run.status if self.run else RolloutRunStatus())

    def end_run(self, outcome: Outcome, reason: Reason, message: str, *, actor: str = "") -> None:
        """End the run under way: promote the candidate to stable, or take its share to 0.

        Shares are only intended here; they are moved, and kept, by the planner's steering.
        """
        revision, stable, name = self.status.revision, self.status.stable, self.status.run
        if revision is None or stable is None or name is None:
            return
        completed = outcome is Outcome.COMPLETED
        self.run_statuses[name] = self._run_status.ended(outcome, reason, message, self.now)
        entry = HistoryEntry(
            number=revision.number,
            hash=revision.hash,
            version=revision.version,
            from_slot=stable.slot,
            to_slot=revision.slot,
            outcome=outcome,
            reason=reason,
            message=clip(message, REASON_BYTES),
            ended_at=self.now,
        )
        limit = self.observed.spec.revision_history_limit if self.observed.spec else 10
        history = newest((*self.status.history, entry)[-max(1, limit) :])
        if outcome in {Outcome.ABORTED, Outcome.KILLED}:
            self.reject(revision.hash)
        if not completed:
            self.accept(stable.hash)  # an undo that came to nothing: what it was to leave still serves
        self.record(
            "Observed" if completed else "Intended",
            "complete" if completed else "return",
            reason,
            message,
            actor=actor,
        )
        self.update(
            revision=revision.model_copy(
                update={"outcome": outcome, "reason": reason, "message": clip(message, MESSAGE_BYTES)}
            ),
            stable=revision.made_stable(self.now) if completed else stable,
            weight=FULL if completed else NONE,
            confirmation=self.status.confirmation if completed else None,
            history=history,
            approvals=(),
            **dict.fromkeys(_OF_A_RUN),
        )
        self.holds.clear()
        self.note(reason, message, warning=outcome in {Outcome.ABORTED, Outcome.KILLED})

    def reject(self, revision_hash: str) -> None:
        """Remember a revision that is not tried again by itself; the oldest are forgotten."""
        self.accept(revision_hash)
        self.update(rejected=(*self.status.rejected, revision_hash)[-MAX_REJECTED:])

    def accept(self, revision_hash: str) -> None:
        """A revision may be tried again, or serves."""
        self.update(rejected=tuple(known for known in self.status.rejected if known != revision_hash))

    def start_run(self, spec: RolloutRunSpec, name: str, *, exists: bool) -> None:
        """Begin a run; its first step follows once the baselines are there.

        Args:
            spec: what it executes.
            name: of its RolloutRun.
            exists: the RolloutRun was created before a crash.
        """
        self.create_run = None if exists else spec
        self.update(
            revision=spec.begun(self.pace, self.now),
            run=name,
            step=None,
            weight=NONE,
            waiting=None,
            baselines={},
            metrics=(),
            paused_by=None,
            held_by=None,
            approvals=(),
            sized_for=None,
        )
        self.accept(spec.hash)

    def finish(self, *, delete_runs: tuple[str, ...]) -> Plan:
        """The plan."""
        return Plan(
            status=self.status,
            urgent=tuple(self.urgent),
            finalizer=self.finalizer,
            create_run=self.create_run,
            run_statuses=tuple(self.run_statuses.items()),
            trial=self.trial,
            shifts=tuple(self.shifts),
            applies=tuple(self.applies),
            patches=tuple(self.patches),
            releases=tuple(self.releases),
            removals=tuple(self.removals),
            measures=tuple(self.measures),
            answers=tuple(self.answers),
            notes=tuple(self.notes),
            delete_runs=delete_runs,
            wake_at=min((at for at in self.wakes if at > self.now), default=None),
        )
