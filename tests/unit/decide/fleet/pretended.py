"""A fleet that the planner is asked about, and members that do at once what they are told; no engine, no cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.api.action import RolloutActionSpec, Verb
from sluice.api.analysis import AnalysisTemplateSpec, TemplateRef
from sluice.api.common import ObjectRef
from sluice.api.conditions import Condition, ConditionType, condition_of
from sluice.api.fleet import BatchStatus, FleetRunStatus, FleetStatus
from sluice.api.killswitch import Effect
from sluice.api.names import Kind
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec, RolloutStatus
from sluice.decide.fleet import parts
from sluice.decide.fleet.model import Directive, FleetObserved, FleetPlan, FleetRunView, LegView, MemberView
from sluice.decide.fleet.planner import plan_fleet
from sluice.decide.model import ActionView, FinalizerChange, Measure, Measurement, Reading, ReadingKind, SwitchView
from sluice.decide.policyview import PolicyView
from sluice.decide.revision import run_name
from sluice.decide.templates import resolve_all

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
PILOT: dict[str, Any] = {"name": "pilot", "size": 1}
REST: dict[str, Any] = {"name": "rest"}
STEPS = [{"setWeight": 10}, {"setWeight": 50}]
LAST = 3  # steps of a run: those, and all of the traffic
DIVERT = SwitchView(Kind.KILL_SWITCH, "shop", "stop", "uid-stop", 1, Effect.DIVERT, "5xx", "alice")
HOLD = replace(DIVERT, effect=Effect.HOLD)


def spec_of(version: str, batches: Iterable[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A Rollout's spec as people write it; `fleet` in the fields goes into spec.fleet."""
    container = {"name": "app", "image": f"shop/checkout:{version}"}
    return {
        "workload": {"template": {"spec": {"containers": [container]}}, "replicas": 2},
        "traffic": {"routes": [{"name": "checkout"}]},
        "strategy": {"canary": {"steps": STEPS}},
        **fields,
        "fleet": {"batches": list(batches), **fields.get("fleet", {})},
    }


class Pretended:
    """A hub with members, by letters.

    Args:
        names: a letter for each member.
        batches: of the fleet.
        fields: see `spec_of`.

    Attributes:
        members: those that are registered.
        legs: what each tells.
        told: what each was told last.
        deaf: those that do nothing of what they are told.
        plan: the last.
        notes: all that was told to people.
        prometheus: what it says to a question of the hub's; None stands for an empty answer.
        asked: every question of the hub's, oldest first.
    """

    def __init__(self, names: Iterable[str], *batches: dict[str, Any], **fields: Any) -> None:
        self.now = NOW
        self.members = {name: MemberView(name, {}) for name in names}
        self.legs: dict[str, LegView] = {}
        self.told: dict[str, Directive] = {}
        self.deaf: set[str] = set()
        self.switches: tuple[SwitchView, ...] = ()
        self.actions: tuple[ActionView, ...] = ()
        self.policies: tuple[PolicyView, ...] = ()
        self.runs: tuple[FleetRunView, ...] = ()
        self.status = RolloutStatus()
        self.plan = FleetPlan(self.status)
        self.notes: list[str] = []
        self.prometheus: Callable[[Measure], float | Reading | None] = lambda _: None
        self.asked: list[Measure] = []
        self._answers: tuple[Measurement, ...] = ()
        self.deleting = False
        self.finalizer = False
        self.templates: dict[TemplateRef, AnalysisTemplateSpec] = {}
        self._batches = batches
        self._fields = fields
        self.given: dict[str, Any] = {}
        self.ask("1.0")

    def ask(self, version: str, **fields: Any) -> None:
        """Ask for a version, and for other fields."""
        self._fields |= fields
        self.given = spec_of(version, self._batches, **self._fields)

    # ------------------------------------------------------------------ time

    def look(self) -> FleetPlan:
        """One pass, carried out in the hub and told to members."""
        self.plan = plan_fleet(self._observed(), self.now)
        self.status = self.plan.status
        self.asked += self.plan.measures
        self._answers = tuple(self._answered(measure) for measure in self.plan.measures)
        if self.plan.finalizer is not FinalizerChange.NONE:
            self.finalizer = self.plan.finalizer is FinalizerChange.ADD
        if self.plan.create_run is not None:
            name = run_name("checkout", self.plan.create_run.revision)
            view = FleetRunView(name, f"uid-{name}", self.plan.create_run, FleetRunStatus())
            self.runs = (*self.runs, view)
        for name, record in (*self.plan.closed, *self.plan.run_statuses):
            self.runs = tuple(replace(run, status=record) if run.name == name else run for run in self.runs)
        self.runs = tuple(run for run in self.runs if run.name not in self.plan.delete_runs)
        self.notes += [note.message for note in self.plan.notes]
        self.actions = ()
        self.told |= self.plan.directives
        return self.plan

    def go(self, passes: int = 60, *, each: timedelta = timedelta(0)) -> None:
        """Passes in which members do what they are told, until nothing changes any more."""
        for _ in range(passes):
            before = (self.status, dict(self.legs))
            self.look()
            self.carry()
            self.now += each
            if not each and before == (self.status, self.legs):
                return

    def reach(self, batch: str, step: int) -> None:
        """Passes up to the one in which the clusters of a batch may enter a step, and have done so."""
        for _ in range(60):
            self.look()
            self.carry()
            at = self.fleet.batch
            if at is not None and at.name == batch and self.step >= step:
                return
        raise AssertionError(f"step {step} of batch {batch} is not reached: {self.status.message}")

    def wait(self, delta: timedelta, *, every: timedelta = timedelta(seconds=15)) -> None:
        """Let time pass, looking every now and then."""
        end = self.now + delta
        while self.now < end:
            self.now = min(end, self.now + every)
            self.look()
            self.carry()

    def carry(self, *names: str) -> None:
        """Members (all that hear) do what they were told last."""
        for name in names or tuple(self.members):
            if name in self.told and name not in self.deaf and self.members[name].lost_since is None:
                self._do(name, self.told[name])

    # ------------------------------------------------------------------ what happens

    def lose(self, *names: str) -> None:
        """Members do not answer."""
        for name in names:
            self.members[name] = replace(self.members[name], lost_since=self.now)

    def find(self, *names: str) -> None:
        """They do again."""
        for name in names:
            self.members[name] = replace(self.members[name], lost_since=None)

    def fail(self, *names: str, message: str = "errors is 0.2") -> None:
        """Their own runs are aborted."""
        for name in names:
            failed: dict[str, Any] = {"outcome": Outcome.ABORTED, "reason": "AnalysisFailed", "message": message}
            self.legs[name] = replace(self.legs[name], under_way=False, step_done=False, weight=0, **failed)

    def act(self, verb: Verb, *, revision: int | None = None, **fields: Any) -> None:
        """A RolloutAction for the next pass."""
        spec = RolloutActionSpec(
            **{"rollout": "checkout", "action": verb, "actor": "bob", "revision": revision, **fields}
        )
        self.actions = (*self.actions, ActionView(f"{verb}-1", f"uid-{verb}-{spec.actor}-{self.now}", self.now, spec))

    # ------------------------------------------------------------------ what is seen

    @property
    def fleet(self) -> FleetStatus:
        """What the status says of the fleet."""
        assert self.status.fleet is not None
        return self.status.fleet

    @property
    def batch(self) -> BatchStatus:
        """The batch that the run is in."""
        assert self.fleet.batch is not None
        return self.fleet.batch

    @property
    def letters(self) -> list[str]:
        """The record of the newest run."""
        return [record.clusters for record in self.runs[-1].status.batches]

    @property
    def outcome(self) -> Outcome | None:
        """How the current or last run ended."""
        assert self.fleet.revision is not None
        return self.fleet.revision.outcome

    @property
    def step(self) -> int:
        """The step that those which move may enter."""
        return self.status.step.index if self.status.step is not None else 0

    def up_to(self, name: str) -> int | None:
        """The last step that a member was told it may enter; None outside of a run."""
        spec = self.told[name].spec if name in self.told else None
        return spec["pace"]["upTo"] if spec is not None and "pace" in spec else None

    def serves(self, name: str) -> str:
        """The hash of what is stable in a member."""
        return self.legs[name].stable_hash

    def condition(self, kind: ConditionType) -> Condition:
        """A condition of the Rollout."""
        found = condition_of(self.status.conditions, kind)
        assert found is not None
        return found

    # ------------------------------------------------------------------ inside

    def _observed(self) -> FleetObserved:
        return FleetObserved(
            ref=ObjectRef(namespace="shop", name="checkout", uid="uid-checkout"),
            generation=1,
            resource_version="1",
            deleting=self.deleting,
            has_finalizer=self.finalizer,
            labels={},
            requester="",
            hub="uid-hub",
            given=self.given,
            spec=RolloutSpec.parse(self.given, "spec"),
            spec_problem="",
            status=self.status,
            runs=self.runs,
            members=dict(self.members),
            legs={name: leg for name, leg in self.legs.items() if name in self.members},
            switches=self.switches,
            actions=self.actions,
            measurements=self._answers,
            policies=self.policies,
            resolve=lambda spec: resolve_all(spec, self.templates.get),
        )

    def _answered(self, measure: Measure) -> Measurement:
        said = self.prometheus(measure)
        reading = Reading(ReadingKind.NO_DATA) if said is None else said
        if not isinstance(reading, Reading):
            reading = Reading(ReadingKind.VALUE, reading)
        return Measurement(measure.metric.name, measure.scope, self.now, reading)

    def _do(self, name: str, directive: Directive) -> None:
        if directive.spec is None:
            self.legs.pop(name, None)
            return
        leg = self.legs.get(name, LegView())
        wanted, _ = parts.revision_of(RolloutSpec.parse(directive.spec, "spec"))
        rest = LegView(stable_hash=wanted, confirmed=True, up_to_date=True, serves=True)
        pace = directive.spec.get("pace")
        if not leg.stable_hash or pace is None:
            self.legs[name] = rest if not leg.under_way else replace(rest, stable_hash=leg.stable_hash)
            return
        ended = leg.outcome is not None and leg.fleet_run == pace["run"]
        if wanted == leg.stable_hash or ended:
            return
        mine = {"hash": wanted, "fleet_run": pace["run"]}
        if pace["upTo"] > LAST:
            self.legs[name] = replace(rest, outcome=Outcome.COMPLETED, **mine)
        else:
            at = {"step": pace["upTo"], "step_done": True, "weight": 1000}
            self.legs[name] = replace(rest, stable_hash=leg.stable_hash, under_way=True, **mine, **at)


def installed(names: Sequence[str], *batches: dict[str, Any], **fields: Any) -> Pretended:
    """A fleet in which 1.0 serves everywhere, and 2.0 is asked for."""
    hub = Pretended(names, *batches, **fields)
    for name in names:
        wanted, _ = parts.revision_of(RolloutSpec.parse(hub.given, "spec"))
        hub.legs[name] = LegView(stable_hash=wanted, confirmed=True, up_to_date=True, serves=True)
    for _ in range(60):
        if hub.status.fleet is not None and hub.fleet.revision is not None and hub.outcome is Outcome.COMPLETED:
            break
        if hub.status.phase == "Paused":
            hub.act(Verb.PROMOTE, revision=1)
        hub.go(4, each=MINUTE)
    assert hub.outcome is Outcome.COMPLETED
    hub.notes.clear()
    hub.ask("2.0")
    return hub
