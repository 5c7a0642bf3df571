"""Builds what the core decides from, and what becomes of it once a plan was carried out.

A Rollout `shop/checkout` with the Services `checkout-blue` and `checkout-green` and one HTTPRoute. Blue serves 1.0;
green can be asked for with 2.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.api.action import RolloutActionSpec, Verb
from sluice.api.analysis import ResolvedMetric
from sluice.api.common import ObjectRef
from sluice.api.killswitch import Effect
from sluice.api.names import Kind, Slot
from sluice.api.rollout import RolloutSpec, RolloutStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.api.units import BasisPoints
from sluice.api.workload import SlotServices
from sluice.decide.model import (
    Acceptance,
    ActionView,
    FinalizerChange,
    Measurement,
    Observed,
    Plan,
    Reading,
    ReadingKind,
    RunView,
    Shift,
    SlotView,
    SwitchView,
    TargetRef,
    TargetView,
    Templates,
)
from sluice.decide.planner import plan
from sluice.decide.revision import run_name

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
REF = ObjectRef(namespace="shop", name="checkout", uid="uid-checkout")
OWNER = "shop/checkout/uid-checkout"
SERVICES = SlotServices(blue="checkout-blue", green="checkout-green")
CANARY: dict[str, Any] = {"canary": {"steps": [{"setWeight": 10}, {"pause": {"duration": "10m"}}, {"setWeight": 50}]}}
OPEN_PAUSE: dict[str, Any] = {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}]}}


def metric(name: str = "errors", **fields: Any) -> ResolvedMetric:
    """A metric that fails above 0.01, asked every 30 s."""
    body = {"name": name, "prometheus": {"query": "up"}, "threshold": {"max": 0.01}} | fields
    return ResolvedMetric.model_validate(body)


def rollout_spec(
    active: Slot = Slot.GREEN, version: str | None = "2.0", *, strategy: dict[str, Any] | None = None, **fields: Any
) -> RolloutSpec:
    """A Rollout's spec; `fields` as in a manifest."""
    body = {
        "workload": {"services": SERVICES.dump(), "active": active, "version": version},
        "traffic": {"routes": [{"kind": "HTTPRoute", "name": "checkout"}]},
        "strategy": strategy or CANARY,
        **fields,
    }
    return RolloutSpec.parse(body, "spec")


STABLE_SPEC = rollout_spec(Slot.BLUE, "1.0")


def target(
    green: BasisPoints | None = 0,
    name: str = "checkout",
    *,
    kind: Kind = Kind.HTTP_ROUTE,
    found: bool = True,
    problem: str = "",
    **fields: Any,
) -> TargetView:
    """A route (or switched Service) that gives green a share; None: its shares cannot be read."""
    given: dict[str, Any] = {
        "ref": TargetRef(kind, "shop", name),
        "found": found,
        "uid": f"uid-{name}",
        "generation": 1,
        "resource_version": "1",
        "shares": (green,) if found and green is not None else (),
        "acceptance": Acceptance.ACCEPTED,
        "problem_reason": ("RouteUnsuitable" if found else "RouteMissing") if problem else "",
        "problem": problem,
        "owner": OWNER,
        "writer": "kubectl",
    }
    return TargetView(**given | fields)


def missing(name: str = "checkout") -> TargetView:
    """A route that is not there."""
    return target(name=name, found=False, problem=f"HTTPRoute shop/{name} does not exist. Create it")


def slots(blue: int = 3, green: int = 3) -> dict[Slot, SlotView]:
    """Both slots, with so many ready endpoints; -1: there is no such Service."""
    return {
        slot: SlotView(SERVICES.of(slot), exists=ready >= 0, ready_endpoints=max(0, ready))
        for slot, ready in ((Slot.BLUE, blue), (Slot.GREEN, green))
    }


def switch(effect: Effect = Effect.DIVERT, name: str = "stop", *, forced_by: str = "") -> SwitchView:
    """An engaged KillSwitch that covers the Rollout."""
    return SwitchView(
        kind=Kind.KILL_SWITCH,
        namespace="shop",
        name=name,
        uid=f"uid-{name}",
        generation=2,
        effect=effect,
        reason="5xx on checkout",
        actor="alice",
        forced_by=forced_by,
    )


def action(
    verb: Verb, revision: int | None = None, *, at: datetime = NOW, name: str = "", actor: str = "bob", **fields: Any
) -> ActionView:
    """A RolloutAction, bob's unless it is said whose, created at that time."""
    spec = RolloutActionSpec(rollout="checkout", action=verb, revision=revision, actor=actor, **fields)
    name = name or verb.value.lower()
    return ActionView(name=name, uid=f"uid-{name}", created_at=at, spec=spec)


def measured(value: float | Reading, at: datetime, name: str = "errors", scope: str = "background") -> Measurement:
    """An answer of Prometheus."""
    reading = value if isinstance(value, Reading) else Reading(ReadingKind.VALUE, value)
    return Measurement(name=name, scope=scope, at=at, reading=reading)


def run_view(spec: RolloutRunSpec, **status: Any) -> RunView:
    """A RolloutRun as stored."""
    name = run_name(spec.rollout, spec.revision)
    return RunView(name, f"uid-{name}", spec, RolloutRunStatus(**status), resource_version="1")


def observed(spec: RolloutSpec | None = STABLE_SPEC, **fields: Any) -> Observed:
    """A Rollout nobody has looked at yet, with everything well. `fields` replace what is given here."""
    given: dict[str, Any] = {
        "ref": REF,
        "generation": 1,
        "resource_version": "1",
        "deleting": False,
        "has_finalizer": False,
        "namespace_terminating": False,
        "labels": {},
        "requester": "alice",
        "spec": spec,
        "spec_problem": "" if spec else "Rollout shop/checkout: spec: strategy: missing",
        "status": RolloutStatus(),
        "runs": (),
        "services": SERVICES,
        "targets": (target(),),
        "preview": None,
        "slots": slots(),
        "templates": Templates(),
        "switches": (),
        "actions": (),
        "measurements": (),
    }
    return Observed(**given | fields)


def after(before: Observed, made: Plan, *, writes: bool = True) -> Observed:
    """The world once the plan was carried out; without `writes`, as a crash before the shifts leaves it."""
    shifts = (*made.urgent, *(made.shifts if writes else ()))
    runs = [*before.runs, *([run_view(made.create_run)] if made.create_run else [])]
    statuses = dict(made.run_statuses)
    finalizer = {FinalizerChange.ADD: True, FinalizerChange.REMOVE: False}.get(made.finalizer, before.has_finalizer)
    return replace(
        before,
        status=RolloutStatus.parse(made.status.dump(), "status"),
        runs=tuple(
            replace(run, status=statuses.get(run.name, run.status)) for run in runs if run.name not in made.delete_runs
        ),
        targets=tuple(shifted(view, shifts) for view in before.targets),
        preview=shifted(before.preview, shifts) if before.preview else None,
        has_finalizer=finalizer,
        actions=tuple(each for each in before.actions if each.name not in {answer.name for answer in made.answers}),
        measurements=(),
    )


def shifted(view: TargetView, shifts: Iterable[Shift]) -> TargetView:
    """A target once those of the shifts that are its own were written."""
    for shift in shifts:
        if shift.target.ref == view.ref:
            green = shift.share if shift.slot is Slot.GREEN else 10_000 - shift.share
            version = str(int(view.resource_version) + 1)
            shares = tuple(green for _ in view.shares)
            view = replace(
                view,
                shares=shares,
                written=green,
                dark=False,
                cause=shift.cause,
                owner=shift.owner,
                resource_version=version,
            )
    return view


def settle(seen: Observed, now: datetime, passes: int = 12) -> Observed:
    """Pass after pass at one moment, until nothing changes."""
    for _ in range(passes):
        made = plan(seen, now)
        then = after(seen, made)
        if then == seen:
            return seen
        seen = then
    raise AssertionError(f"not at rest after {passes} passes: {seen.status}")


def healthy(**fields: Any) -> Observed:
    """Blue serves and is asked for; at rest."""
    return replace(settle(observed(), NOW), **fields)


def ask(seen: Observed, spec: RolloutSpec) -> Observed:
    """Somebody changes the spec."""
    return replace(seen, spec=spec, generation=seen.generation + 1)


def running(**fields: Any) -> Observed:
    """A canary to green that has gone as far as it can at `NOW`: 10 % and the pause of ten minutes."""
    strategy, spec_fields = fields.pop("strategy", CANARY), fields.pop("spec", {})
    changes = {name: fields.pop(name) for name in ("templates", "baselines") if name in fields}
    seen = ask(healthy(**changes), rollout_spec(strategy=strategy, **spec_fields))
    return replace(settle(seen, NOW), **fields)


def completed() -> Observed:
    """Green (2.0) has taken over from blue in run 1; at rest, at `NOW`."""
    strategy = {"canary": {"steps": [{"setWeight": 50}]}}
    return running(strategy=strategy)


def aborted() -> Observed:
    """Run 1 was aborted by bob; at rest, at `NOW`."""
    return settle(running(actions=(action(Verb.ABORT),)), NOW)
