"""A fleet whose members do at once what they are told: for what is decided, pass after pass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.api.action import RolloutActionSpec, Verb
from sluice.api.common import ObjectRef
from sluice.api.fleet import ClusterPhase, FleetRunStatus
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec, RolloutStatus
from sluice.api.units import FULL
from sluice.decide.fleet import parts
from sluice.decide.fleet.course import Course
from sluice.decide.fleet.model import Directive, FleetObserved, FleetRunView, LegView, MemberView
from sluice.decide.fleet.planner import plan_fleet
from sluice.decide.fleet.record import phases_of
from sluice.decide.model import ActionView, Answer, SwitchView
from sluice.decide.revision import run_name

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
REF = ObjectRef(namespace="shop", name="checkout", uid="u-1")
MOST_PASSES = 80


def given(version: str, **fleet: Any) -> dict[str, Any]:
    """A Rollout's spec: c1 alone, then c2 and c3 together, then the rest; 25 % first."""
    template = {"spec": {"containers": [{"name": "app", "image": f"registry.example/checkout:{version}"}]}}
    batches = [{"name": "pilot", "clusters": ["c1"]}, {"name": "wave", "clusters": ["c2", "c3"]}, {"name": "rest"}]
    return {
        "workload": {"template": template},
        "traffic": {"routes": [{"name": "checkout"}]},
        "strategy": {"canary": {"steps": [{"setWeight": 25}]}},
        "fleet": {"batches": batches, **fleet},
    }


@dataclass
class Fleet:
    """A Rollout over c1 to c4.

    Attributes:
        deaf: members that do nothing of what they are told.
        directives: what each was told last.
    """

    spec: dict[str, Any] = field(default_factory=lambda: given("v1"))
    status: RolloutStatus = field(default_factory=RolloutStatus)
    runs: tuple[FleetRunView, ...] = ()
    names: tuple[str, ...] = ("c1", "c2", "c3", "c4")
    legs: dict[str, LegView] = field(default_factory=dict)
    switches: tuple[SwitchView, ...] = ()
    now: datetime = START
    deaf: set[str] = field(default_factory=set)
    directives: dict[str, Directive] = field(default_factory=dict)

    def observed(self, *actions: ActionView) -> FleetObserved:
        """What a pass sees now."""
        return FleetObserved(
            ref=REF,
            generation=1,
            resource_version="1",
            deleting=False,
            has_finalizer=True,
            labels={},
            requester="",
            hub="hub-uid",
            given=self.spec,
            spec=RolloutSpec.parse(self.spec, "spec"),
            spec_problem="",
            status=self.status,
            runs=self.runs,
            members={name: MemberView(name, {}) for name in self.names},
            legs=self.legs,
            switches=self.switches,
            actions=actions,
        )

    def step(self, *actions: ActionView) -> tuple[Answer, ...]:
        """One pass, a second later, and what members make of it."""
        self.now += SECOND
        plan = plan_fleet(self.observed(*actions), self.now)
        self.status = plan.status
        if plan.create_run is not None:
            name = run_name(REF.name, plan.create_run.revision)
            self.runs += (FleetRunView(name, f"u-{name}", plan.create_run, FleetRunStatus()),)
        self._write((*plan.closed, *plan.run_statuses))
        for name, told in plan.directives.items():
            self.directives[name] = told
            if name not in self.deaf and told.spec is not None:
                self.legs[name] = _obey(self.legs.get(name, LegView()), told.spec)
        return plan.answers

    def settle(self) -> Fleet:
        """Passes until nothing changes any more."""
        for _ in range(MOST_PASSES):
            before = (self.status.fleet, self.legs.copy())
            self.step()
            if before == (self.status.fleet, self.legs):
                return self
        raise AssertionError(f"does not settle: {self.status.message}")

    def until(self, text: str) -> Fleet:
        """Passes until the message has this in it."""
        for _ in range(MOST_PASSES):
            if text in self.status.message:
                return self
            self.step()
        raise AssertionError(f"{text!r} does not come: {self.status.message}")

    def release(self, version: str, **fleet: Any) -> Fleet:
        """Ask for another version."""
        self.spec = given(version, **fleet)
        return self

    def tell(self, verb: Verb, **fields: Any) -> Answer:
        """The answer to a person's word on the current revision."""
        [answer] = self.step(self._action(verb, fields))
        return answer

    def crash_after_the_record(self, verb: Verb, **fields: Any) -> Answer:
        """The same, by an operator that follows one that wrote the record first and died."""
        action = self._action(verb, fields)
        self.crash(action)
        [answer] = self.step(action)
        return answer

    def crash(self, *actions: ActionView) -> None:
        """The first half of a pass: records that come before the status."""
        self._write(plan_fleet(self.observed(*actions), self.now + SECOND).closed)

    def _action(self, verb: Verb, fields: dict[str, Any]) -> ActionView:
        number = self.status.fleet.revision.number if self.status.fleet and self.status.fleet.revision else None
        spec = RolloutActionSpec.model_validate(
            {"rollout": REF.name, "action": verb, "actor": "alice", "revision": number, **fields}
        )
        return ActionView("a", f"uid-{self.now}", self.now, spec)

    def _write(self, records: tuple[tuple[str, FleetRunStatus], ...]) -> None:
        written = dict(records)
        self.runs = tuple(replace(run, status=written.get(run.name, run.status)) for run in self.runs)

    def phases(self) -> dict[str, ClusterPhase]:
        """Where each cluster is, by the record of the current or last run."""
        run = self.runs[-1]
        kept = {record.name: record for record in run.status.batches}
        return {
            name: phase for each in run.spec.batches for name, phase in phases_of(each, kept.get(each.name)).items()
        }

    def serves(self) -> dict[str, str]:
        """The version that is stable in each cluster."""
        known = {parts.revision_of(RolloutSpec.parse(given(tag), ""))[0]: tag for tag in ("v1", "v2", "v3")}
        return {name: known[leg.stable_hash] for name, leg in self.legs.items()}

    def course(self) -> Course:
        """A decision in the making."""
        return Course(observed=self.observed(), now=self.now, status=self.status)


def healthy(**fleet: Any) -> Fleet:
    """A fleet on v1."""
    return Fleet(spec=given("v1", **fleet)).settle()


def _obey(leg: LegView, spec: dict[str, Any]) -> LegView:
    """A member that got this spec and is done with it."""
    wanted, _ = parts.revision_of(RolloutSpec.parse(spec, "part"))
    pace = spec.get("pace")
    at_rest = replace(leg, under_way=False, step=0, step_done=False, weight=0, confirmed=True, up_to_date=True)
    if not leg.stable_hash or leg.stable_hash == wanted:
        return replace(at_rest, stable_hash=wanted, serves=True)
    if pace is None:
        return replace(at_rest, stable_hash=wanted, hash=wanted, fleet_run=None, weight=FULL, outcome=Outcome.COMPLETED)
    moved = replace(at_rest, hash=wanted, fleet_run=pace["run"])
    if pace["upTo"] > len(spec["strategy"]["canary"]["steps"]) + 1:
        return replace(moved, stable_hash=wanted, outcome=Outcome.COMPLETED)
    return replace(moved, under_way=True, outcome=None, step=pace["upTo"], step_done=True, weight=2500)
