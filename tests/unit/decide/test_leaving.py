"""Letting go of a deleted Rollout: traffic returns first; then what it kept is left to people, or removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.names import Kind, Slot
from sluice.api.rollout import Outcome, RolloutStatus
from sluice.decide.model import FinalizerChange, Marked, Observed, Plan
from sluice.decide.planner import plan
from unit.decide import observed as plain
from unit.decide.cluster import after, settle, slowly
from unit.decide.observed import NOW, target
from unit.decide.workloads import (
    CAPACITY,
    finished,
    follower,
    pods_in,
    serving,
    source,
    stepping,
    unborn,
    with_deployment,
    with_slot,
)

OWNED = "shop/checkout/uid-checkout"
ALL = {
    ("Deployment", "checkout-blue"),
    ("Deployment", "checkout-green"),
    ("Service", "checkout-blue"),
    ("Service", "checkout-green"),
}
ROUTE = ("HTTPRoute", "checkout")


def leaving(seen: Observed, **fields: Any) -> Observed:
    """Somebody deletes the Rollout."""
    return replace(seen, deleting=True, **fields)


def removing(**fields: Any) -> dict[str, Any]:
    """With `onDelete: Remove`."""
    return {"spec": {"onDelete": "Remove"}, **fields}


def released(made: Plan) -> set[tuple[str, str]]:
    """What a plan takes Sluice's marks off."""
    return {(str(each.kind), each.name) for each in made.releases}


def removed(made: Plan) -> set[tuple[str, str]]:
    """What a plan deletes."""
    return {(str(each.kind), each.name) for each in made.removals}


def last_of(seen: Observed) -> Plan:
    """The plan that lets go."""
    for _ in range(20):
        made = plan(seen, NOW)
        if made.finalizer is FinalizerChange.REMOVE:
            return made
        assert (made.releases, made.removals) == ((), ()), "let go of something before the traffic had returned"
        seen = after(seen, made)
    raise AssertionError("it never lets go")


def test_keep_leaves_all_that_serves_and_takes_the_marks_off() -> None:
    """Deployments, Services, the route and the plain Service: nothing pins them any longer, and nothing is written."""
    made = last_of(leaving(finished(followers=(follower(0),))))
    assert released(made) == ALL | {ROUTE, ("Service", "checkout")}
    assert (made.removals, made.applies, made.patches, made.shifts) == ((), (), (), ())
    assert "sluice.dev/weights" in made.releases[0].annotations


def test_remove_takes_the_slots_away_and_nothing_of_the_users() -> None:
    """Deployments and Services that Sluice made go, by their uid; routes and the plain Service stay, without marks."""
    seen = finished(**removing(followers=(follower(0),)))
    made = last_of(leaving(seen))
    assert removed(made) == ALL
    assert released(made) == {ROUTE, ("Service", "checkout")}
    assert all(each.uid for each in made.removals)
    assert made.applies == ()


@pytest.mark.parametrize("fields", [{}, removing()])
def test_in_mid_run_everything_returns_to_stable_first(fields: dict[str, Any]) -> None:
    """The finalizer stays, and every object, until the share is read back at 0."""
    seen = leaving(stepping(**fields))
    first = plan(seen, NOW)
    assert ([shift.share for shift in first.shifts], first.finalizer) == ([0], FinalizerChange.NONE)
    assert (first.releases, first.removals) == ((), ())
    assert first.status.revision is not None
    assert first.status.revision.outcome is Outcome.RETURNED
    assert last_of(seen).finalizer is FinalizerChange.REMOVE


def test_a_small_stable_slot_grows_before_it_is_left_alone() -> None:
    """With dynamicStable it takes the traffic back as its pods become ready, and stays at all of them."""
    strategy = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}], "dynamicStable": True}}
    seen = settle(leaving(stepping(strategy=strategy)), NOW, slowly)
    assert (seen.has_finalizer, pods_in(seen), seen.targets[0].shares) == (True, (CAPACITY, 5), (5000,))
    rest = settle(with_deployment(seen, Slot.BLUE, ready=CAPACITY), NOW)
    assert (rest.has_finalizer, pods_in(rest), rest.targets[0].shares) == (False, (CAPACITY, 5), (0,))


def test_the_followers_are_led_back_before() -> None:
    """Whoever goes past the routes gets stable in the end, too."""
    seen = leaving(stepping(followers=(follower(10_000, owner=OWNED),)))
    seen = settle(seen, NOW)
    assert (seen.has_finalizer, seen.followers[0].shares, seen.followers[0].owner) == (False, (0,), "")


def test_what_is_not_ours_is_not_touched() -> None:
    """Another Rollout's mark on a route, a Service without one, a Deployment of an earlier uid."""
    seen = with_deployment(finished(**removing()), Slot.BLUE, owner="shop/checkout/uid-of-before")
    kept = seen.slots[Slot.GREEN].kept
    assert kept is not None
    seen = with_slot(seen, Slot.GREEN, kept=replace(kept, owner=""))
    made = last_of(leaving(seen, targets=(target(10_000, owner="shop/other/uid-other"),)))
    assert removed(made) == {("Deployment", "checkout-green"), ("Service", "checkout-blue")}
    assert released(made) == set()


def test_the_source_gets_its_pods_back_to_people() -> None:
    """Its replicas are nobody's pin any more."""
    made = last_of(leaving(finished(source=source(owner=OWNED, replicas=0))))
    assert ("Deployment", "legacy") in released(made)


@pytest.mark.parametrize(
    "fields",
    [
        {"namespace_terminating": True},
        {"targets": (plain.missing(),)},
        {"targets": (target(None, problem="no rule names both"),)},
    ],
)
def test_what_cannot_be_returned_keeps_no_deletion(fields: dict[str, Any]) -> None:
    """The namespace goes, or no route is left that could be read."""
    made = plan(leaving(stepping(), **fields), NOW)
    assert made.finalizer is FinalizerChange.REMOVE


def test_a_namespace_that_ends_takes_everything_with_it() -> None:
    """Nothing is written into it, also with `onDelete: Remove`."""
    made = plan(leaving(stepping(**removing()), namespace_terminating=True), NOW)
    assert (made.releases, made.removals, made.applies, made.shifts) == ((), (), (), ())


def test_a_stable_slot_without_a_ready_pod_keeps_no_deletion() -> None:
    """There is nothing to return to, and a first version that never came up can be deleted."""
    assert settle(leaving(settle(unborn(), NOW, slowly)), NOW, slowly).has_finalizer is False
    gone = with_deployment(stepping(), Slot.BLUE, ready=0)
    made = plan(leaving(gone), NOW)
    assert (made.finalizer, made.shifts) == (FinalizerChange.REMOVE, ())


@pytest.mark.parametrize("fields", [{"status": RolloutStatus()}, {"rival": "shop/first"}], ids=["lost status", "rival"])
def test_marks_never_outlive_their_rollout(fields: dict[str, Any]) -> None:
    """Its status is gone, or another Rollout has one of its routes: what it stamped would stay pinned for ever."""
    made = plan(leaving(finished(), **fields), NOW)
    assert made.finalizer is FinalizerChange.REMOVE
    assert released(made) == ALL | {ROUTE}
    assert made.shifts == ()


def test_an_unreadable_spec_removes_nothing() -> None:
    """Nobody knows whether that was asked for: what serves stays."""
    made = last_of(leaving(finished(**removing()), spec=None, spec_problem="no"))
    assert (made.removals, released(made)) == ((), ALL | {ROUTE})


def test_people_read_why_nothing_is_done_any_more() -> None:
    """An action on a Rollout that goes is answered."""
    asks = leaving(serving(), actions=(plain.action(Verb.PAUSE),))
    (answer,) = plan(asks, NOW).answers
    assert (answer.done, "is being deleted" in answer.message) == (False, True)


def test_created_anew_after_keep_it_takes_up_what_it_finds() -> None:
    """The same pods in the same slots; nothing is written but the marks, and no traffic moves."""
    kept = settle(leaving(finished()), NOW)
    ref = kept.ref.model_copy(update={"uid": "uid-anew"})
    anew = replace(kept, deleting=False, ref=ref, status=RolloutStatus())
    first = plan(anew, NOW)
    assert (first.create_run, first.shifts) == (None, ())
    seen = settle(anew, NOW)
    assert seen.status.stable is not None
    assert (seen.status.stable.slot, seen.status.stable.version, pods_in(seen)) == (
        Slot.GREEN,
        "2.0",
        (CAPACITY, CAPACITY),
    )
    assert condition_of(seen.status.conditions, "Stalled") is None
    assert {view.deployment.owner for view in seen.slots.values() if view.deployment} == {"shop/checkout/uid-anew"}


def test_nothing_of_the_users_is_ever_among_what_is_removed() -> None:
    """With Services of the user's own, `onDelete: Remove` has nothing to remove."""
    seen = plain.healthy()
    assert seen.spec is not None
    spec = seen.spec.model_copy(update={"on_delete": "Remove"})
    made = plan(replace(seen, spec=spec, deleting=True), NOW)
    assert (made.removals, [each.kind for each in made.releases]) == ((), [Kind.HTTP_ROUTE])


# ---------------------------------------------------------------------------------------------- what is named no more

DROPPED = (Marked(Kind.HTTP_ROUTE, "second", "uid-second"), Marked(Kind.DEPLOYMENT, "legacy", "uid-legacy"))


def test_what_the_spec_names_no_more_is_let_go_of() -> None:
    """A route that was taken out of the spec: nobody could change its weights for ever, were it pinned still."""
    made = plan(replace(serving(), dropped=DROPPED), NOW)
    assert released(made) == {("HTTPRoute", "second"), ("Deployment", "legacy")}
    assert {"sluice.dev/rollout", "sluice.dev/weights"} <= set(made.releases[0].annotations)


def test_a_manifest_that_has_sluices_stamp_gets_no_tight_loop() -> None:
    """Copied from the live object into Git: it is let go of at once at first, and then now and then."""
    seen = settle(replace(serving(), dropped=DROPPED[:1]), NOW)
    made = plan(seen, NOW)
    assert (made.releases, made.wake_at) == ((), NOW + plain.SECOND / 4)


def test_it_goes_with_the_rollout_too() -> None:
    """No mark outlives the Rollout."""
    assert ("HTTPRoute", "second") in released(last_of(leaving(finished(), dropped=DROPPED)))
