"""Whatever is observed of pods and routes: no slot that may serve loses what it serves with, and plans come to rest.

An example is a scene (a first version, a run at 25 %, one superseded, aborted, over, ...) of which many things are
replaced at random: shares, pods, endpoints, confirmations, what the spec asks for, switches, people, clocks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluice.api.action import Verb
from sluice.api.killswitch import Effect
from sluice.api.names import Kind, Slot
from sluice.api.rollout import Confirmation
from sluice.decide.model import Acceptance, Observed, Plan, TargetView
from sluice.decide.planner import plan
from sluice.decide.pods import BudgetView, PodFault
from sluice.decide.rendering import revision_in
from sluice.decide.sizing import pods_for
from unit.decide.cluster import after, at_once, settle, slowly
from unit.decide.observed import HOUR, MINUTE, NOW, SECOND, action, switch, target
from unit.decide.workloads import (
    CAPACITY,
    aborted,
    finished,
    follower,
    serving,
    ship,
    stepping,
    template,
    unborn,
    with_deployment,
    with_slot,
)

PASSES = 40
HALF = {"steps": [{"setWeight": 50}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}]}
DYNAMIC: dict[str, Any] = {"strategy": {"canary": {**HALF, "dynamicStable": True}}}
DOWN: dict[str, Any] = {"strategy": {"canary": {"steps": [{"setWeight": 75}, {"setWeight": 10}, {"pause": {}}]}}}

SCENES: tuple[Observed, ...] = (
    unborn(),
    settle(unborn(), NOW, slowly),
    serving(),
    ship(serving(), template("2.0")),
    stepping(),
    stepping(**DYNAMIC),
    stepping(**DOWN),
    stepping(followers=(follower(0),)),
    settle(ship(stepping(), template("3.0")), NOW),
    settle(ship(stepping(), template("3.0")), NOW + MINUTE),
    settle(ship(stepping(), template("1.0")), NOW),
    settle(replace(stepping(), switches=(switch(),)), NOW),
    aborted(),
    finished(),
    finished(**DYNAMIC),
    settle(ship(finished(), template("3.0")), NOW),
    settle(finished(), NOW + HOUR),
    replace(stepping(**DYNAMIC), deleting=True),
)

offsets = st.sampled_from([-HOUR, 0 * SECOND, SECOND, 9 * SECOND, 10 * SECOND, 10 * MINUTE, HOUR])
counts = st.sampled_from([0, 1, 3, 5, CAPACITY, 20])
shares = st.sampled_from([0, 1, 1000, 2500, 5000, 9999, 10_000])


@st.composite
def routes(draw: st.DrawFn) -> tuple[TargetView, ...]:
    """One or two routes in any state."""
    found = []
    for index in range(draw(st.integers(1, 2))):
        rules = tuple(draw(st.lists(shares, max_size=2)))
        view = target(
            name=f"route-{index}" if index else "checkout",
            shares=rules,
            found=bool(rules) or draw(st.booleans()),
            problem="" if rules else "no rule names both Services",
            acceptance=draw(st.sampled_from(Acceptance)),
            all_or_nothing=draw(st.booleans()) and set(rules) <= {0, 10_000},
        )
        found.append(view)
    return tuple(found)


def _pods(draw: st.DrawFn, seen: Observed, slot: Slot) -> Observed:
    """Another state of a slot's pods."""
    choices: dict[str, Any] = {
        "replicas": counts,
        "pods": counts,
        "ready": counts,
        "rolled": st.booleans(),
        "generation": st.integers(1, 9),
        "faults": st.just((PodFault("p", "app", "CrashLoopBackOff", "again"),)),
    }
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=4, unique=True))
    return with_deployment(seen, slot, **{name: draw(choices[name]) for name in names})


def _status(draw: st.DrawFn, seen: Observed) -> Observed:
    """What the status says, as a crash or an edit may have left it."""
    changes: list[dict[str, Any]] = [
        {"confirmation": None},
        {"confirmation": Confirmation.WRITTEN},
        {"confirmation": Confirmation.ACCEPTED},
        {"weight": 7700},
        {"sized_for": None},
        {"slots": {}},
    ]
    return replace(seen, status=seen.status.model_copy(update=draw(st.sampled_from(changes))))


@st.composite
def observations(draw: st.DrawFn) -> tuple[Observed, datetime]:
    """A scene with some of it replaced, and the time."""
    seen = draw(st.sampled_from(SCENES))
    for slot in Slot:
        if seen.slots[slot].deployment is not None and draw(st.booleans()):
            seen = _pods(draw, seen, slot)
        if draw(st.integers(0, 9)) == 0:
            seen = with_slot(seen, slot, deployment=None, ready_endpoints=0)
        if draw(st.integers(0, 9)) == 0:
            seen = with_slot(seen, slot, exposed_by=("backdoor",))
    if draw(st.integers(0, 2)) == 0:
        seen = _status(draw, seen)
    if draw(st.integers(0, 2)) == 0:
        size = {"workload": {"replicas": draw(counts)}}
        seen = ship(seen, template(draw(st.sampled_from(["1.0", "2.0", "3.0", "4.0"]))), **size)
    choices: dict[str, st.SearchStrategy[Any]] = {
        "targets": routes(),
        "followers": st.sampled_from([(follower(0),), (follower(10_000),), (follower(5000, problem="neither"),)]),
        "switches": st.sampled_from([(switch(),), (switch(Effect.HOLD),)]),
        "actions": st.sampled_from(Verb).map(lambda verb: (action(verb, 1),)),
        "budgets": st.integers(0, 4).map(lambda allowed: (BudgetView("web", allowed, frozenset(Slot)),)),
        "deleting": st.booleans(),
        "runs": st.just(()),
        "rival": st.just("shop/first"),
    }
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=3, unique=True))
    return replace(seen, **{name: draw(choices[name]) for name in names}), NOW + draw(offsets)


def to_rest(seen: Observed, now: datetime, kubelet: Any = at_once) -> list[tuple[Observed, Plan]]:
    """Every pass until nothing changes, each with what it saw."""
    passes = []
    for _ in range(PASSES):
        made = plan(seen, now)
        passes.append((seen, made))
        then = after(seen, made, kubelet)
        if then == seen:
            return passes
        seen = then
    raise AssertionError(f"not at rest after {PASSES} passes: {seen.status.message}")


kubelets = st.sampled_from([at_once, slowly])


# ---------------------------------------------------------------------------------------------- I2


def reaches(seen: Observed, slot: Slot) -> int:
    """The greatest part of the traffic that anything may send to a slot: all of it where that cannot be told."""
    found = [view for view in (*seen.targets, *seen.followers) if view.found]
    return max((view.share(slot) if view.shares and not view.dark else 10_000 for view in found), default=0)


@settings(max_examples=600)
@given(observations(), kubelets)
def test_no_slot_that_may_serve_is_given_another_template(example: tuple[Observed, datetime], kubelet: Any) -> None:
    """Nothing may reach it, that was accepted, and its pods had their drain time; or it has no pod at all."""
    seen, now = example
    for before, made in to_rest(seen, now, kubelet):
        for apply in made.applies:
            slot = Slot(apply.name.rpartition("-")[2])
            view = before.slots[slot].deployment
            if apply.kind is not Kind.DEPLOYMENT or view is None or not (view.pods or view.replicas):
                continue
            if revision_in(apply.body["spec"]["template"]) == revision_in(view.template):
                continue
            assert made.status.stable is not None
            if slot is made.status.stable.slot:
                assert (made.status.stable.served_at, before.slots[slot].ready_endpoints) == (None, 0)
                continue
            assert reaches(before, slot) == 0
            assert made.status.confirmation is Confirmation.ACCEPTED
            entry = before.status.slots[slot]
            assert entry.idle_since is not None
            assert now - entry.idle_since >= timedelta(seconds=10)


@settings(max_examples=600)
@given(observations(), kubelets)
def test_no_slot_loses_pods_that_its_share_needs(example: tuple[Observed, datetime], kubelet: Any) -> None:
    """For random shares, pods, capacities and phases: what anything may send it is always served by enough pods."""
    seen, now = example
    for before, made in to_rest(seen, now, kubelet):
        assert before.spec is not None
        capacity = before.spec.workload.replicas
        for apply in made.applies:
            slot = Slot(apply.name.rpartition("-")[2])
            view = before.slots[slot].deployment
            if apply.kind is Kind.DEPLOYMENT and view is not None:
                needed = pods_for(capacity, reaches(before, slot))
                assert apply.body["spec"]["replicas"] >= min(view.replicas, needed)
        assert made.removals == ()


@settings(max_examples=300)
@given(observations())
def test_pods_that_a_slot_of_unknown_traffic_has_are_left(example: tuple[Observed, datetime]) -> None:
    """Where it is not confirmed that an idle slot gets nothing, it keeps all that it has."""
    seen, now = example
    made = plan(seen, now)
    stable = made.status.stable
    if stable is None or made.status.confirmation is Confirmation.ACCEPTED:
        return
    under_way = made.status.revision is not None and made.status.revision.outcome is None
    view = seen.slots[stable.slot.other].deployment
    for apply in made.applies:
        if view is not None and not under_way and apply.kind is Kind.DEPLOYMENT and apply.name == view.name:
            assert apply.body["spec"]["replicas"] >= view.replicas


# ---------------------------------------------------------------------------------------------- I1, I3


@settings(max_examples=400)
@given(observations(), kubelets)
def test_a_growing_share_finds_the_pods_that_it_needs(example: tuple[Observed, datetime], kubelet: Any) -> None:
    """Ready, of the right revision, rolled out and in the endpoints; and nobody holds the run."""
    seen, now = example
    for before, made in to_rest(seen, now, kubelet):
        for shift in made.shifts:
            if not shift.grows:
                continue
            view = before.slots[shift.slot]
            assert view.deployment is not None
            assert made.status.revision is not None
            assert revision_in(view.deployment.template) == made.status.revision.hash
            assert view.deployment.rolled
            assert before.spec is not None
            needed = pods_for(before.spec.workload.replicas, shift.share)
            assert min(view.deployment.available, view.ready_endpoints) >= max(1, needed)
            assert (before.switches, before.deleting, view.exposed_by) == ((), False, ())


@settings(max_examples=400)
@given(observations(), kubelets)
def test_no_share_goes_to_a_slot_without_ready_pods(example: tuple[Observed, datetime], kubelet: Any) -> None:
    """In both directions, on routes and on plain Services."""
    seen, now = example
    for before, made in to_rest(seen, now, kubelet):
        for shift in (*made.urgent, *made.shifts):
            for slot in Slot:
                wanted = shift.share if slot is shift.slot else 10_000 - shift.share
                had = [share if slot is Slot.GREEN else 10_000 - share for share in shift.target.shares]
                if any(share < wanted for share in had):
                    assert before.slots[slot].ready_endpoints > 0


# ---------------------------------------------------------------------------------------------- rest


@settings(max_examples=400)
@given(observations(), kubelets)
def test_replanning_comes_to_rest(example: tuple[Observed, datetime], kubelet: Any) -> None:
    """On its own outcome a plan changes less and less, and then nothing: no write at all, the same status."""
    seen, made = to_rest(*example, kubelet)[-1]
    writes = (made.shifts, made.urgent, made.applies, made.patches, made.create_run, made.run_statuses, made.notes)
    assert writes == ((), (), (), (), None, (), ())
    assert made.status == seen.status


@settings(max_examples=300)
@given(observations(), st.integers(0, 6))
def test_a_crash_before_the_writes_costs_nothing(example: tuple[Observed, datetime], passes: int) -> None:
    """Whenever the status was written and nothing else: the next process ends with the same pods and shares."""
    seen, now = example
    assume(not seen.budgets)  # what a budget let go of is counted anew by a later pass
    # An old slot that somebody deleted comes back, unless the crash lets the next version be the first to take it.
    assume(all(seen.slots[slot].deployment is not None for slot in seen.status.slots))
    rest = to_rest(seen, now)[-1][0]
    for _ in range(passes):
        seen = after(seen, plan(seen, now))
    crashed = after(seen, plan(seen, now), writes=False)
    assume(crashed.status.drift is None)  # what others wrote is put back with patience
    again = to_rest(crashed, now)[-1][0]
    assume(all(entry.repaired_at is None for entry in again.status.slots.values()))
    assert [view.shares for view in again.targets] == [view.shares for view in rest.targets]
    for slot in Slot:
        pods = [view.slots[slot].deployment for view in (rest, again)]
        assert len({view.replicas if view else 0 for view in pods}) == 1
        assert len({revision_in(view.template) if view else "" for view in pods}) == 1
