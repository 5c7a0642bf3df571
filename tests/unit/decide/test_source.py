"""The Deployment that `workloadRef` names: its template is what runs, and its own pods end once nothing needs them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.conditions import condition_of
from sluice.api.names import Kind, Slot
from sluice.decide.model import Observed, Plan
from sluice.decide.planner import plan
from sluice.decide.pods import AskedTemplate
from unit.decide.cluster import settle, slowly
from unit.decide.observed import MINUTE, NOW, SECOND, target
from unit.decide.workloads import (
    CAPACITY,
    asked_for,
    follower,
    pods_in,
    source,
    template,
    unborn,
    version_in,
    with_deployment,
)

DRAINED = NOW + 10 * SECOND
NEITHER = follower(5000, problem="selects neither slot", problem_reason="RouteUnsuitable", owner="")


def adopting(*, scale_down: str = "OnceServing", **fields: Any) -> Observed:
    """A Rollout of the Deployment `legacy`, whose pods the Service `checkout` selects still; it shall follow stable."""
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "legacy", "scaleDown": scale_down}
    given: dict[str, Any] = {
        "source": source(),
        "source_selected_by": ("checkout",),
        "followers": (NEITHER,),
        "workload": {"template": None, "workloadRef": ref},
    }
    return unborn(**given | fields)


def adopted(seen: Observed, **fields: Any) -> Observed:
    """All of the slot serves, and the Service follows; at rest."""
    seen = settle(seen, NOW)
    followers = tuple(replace(view, problem="", problem_reason="") for view in seen.followers)
    return settle(replace(seen, **{"followers": followers, "source_selected_by": (), **fields}), NOW)


def retired(made: Plan) -> bool:
    """Whether a plan ends the source's pods."""
    return any(patch.kind is Kind.DEPLOYMENT and patch.name == "legacy" for patch in made.patches)


def test_its_template_runs_in_the_slots() -> None:
    """Beside its own pods, as many as the Rollout asks for."""
    seen = settle(adopting(), NOW)
    assert (version_in(seen, Slot.BLUE), pods_in(seen)) == ("1.0", (CAPACITY, 0))
    assert (seen.source, seen.followers[0].shares) == (source(), (0,))


def test_its_own_pods_end_once_nothing_selects_them() -> None:
    """And what was under way there has had its time; its template stays what is asked for. People are told."""
    seen = adopted(adopting())
    assert (seen.status.source_idle_since, plan(seen, NOW).wake_at) == (NOW, DRAINED)
    made = plan(seen, DRAINED)
    assert retired(made)
    assert made.notes[0].message.startswith("Deployment shop/legacy has no traffic any more: its 10 pods end")
    rest = settle(seen, DRAINED)
    assert rest.source is not None
    assert (rest.source.replicas, rest.source.owner) == (0, "shop/checkout/uid-checkout")
    assert rest.status.source_idle_since is None
    assert not retired(plan(rest, DRAINED + MINUTE))


def test_the_write_rests_on_what_was_seen() -> None:
    """Another Deployment of the name is left alone, and an annotation is added to those that are there."""
    (patch,) = plan(settle(adopted(adopting()), NOW), DRAINED).patches
    assert patch.operations[0] == {"op": "test", "path": "/metadata/uid", "value": "uid-legacy"}
    assert patch.operations[1] == {"op": "replace", "path": "/spec/replicas", "value": 0}


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"source_selected_by": ("internal",)}, "another Service selects them"),
        ({"source_selected_by": ("checkout",), "followers": (NEITHER,)}, "the Service was not moved yet"),
        ({"targets": (target(0, problem="rule 2 also names Service legacy"),)}, "a route may still send them traffic"),
        ({"targets": (target(None, problem="cannot be read"),)}, "nobody knows what a route does"),
        ({"targets": (target(0, acceptance="Pending"),)}, "the routes are not accepted"),
        ({"source": source(owner="shop/other/uid-other")}, "it is another Rollout's"),
        ({"source": source(deleting=True)}, "somebody deletes it"),
    ],
)
def test_its_pods_stay_while_anything_may_need_them(changes: dict[str, Any], why: str) -> None:
    """Nothing is ended on a guess (I2)."""
    seen = settle(replace(adopted(adopting()), **changes), NOW)
    assert not retired(plan(seen, NOW + 100 * MINUTE)), why


def test_its_pods_stay_until_the_slot_has_as_many() -> None:
    """Nine of ten ready are not enough; nor is a slot whose pods are not in the endpoints."""
    seen = adopted(adopting())
    for ready in (0, CAPACITY - 1):
        short = settle(with_deployment(seen, Slot.BLUE, ready=ready), NOW, slowly)
        assert (short.status.source_idle_since, retired(plan(short, DRAINED))) == (None, False)


def test_what_selects_them_again_begins_the_wait_anew() -> None:
    """Drain time counts from when nothing did."""
    seen = adopted(adopting())
    selected = settle(replace(seen, source_selected_by=("internal",)), NOW + 9 * SECOND)
    again = settle(replace(selected, source_selected_by=()), NOW + 15 * SECOND)
    assert not retired(plan(again, NOW + 24 * SECOND))
    assert retired(plan(again, NOW + 25 * SECOND))


def test_who_gives_it_pods_again_and_again_is_named() -> None:
    """A Git sync that states replicas: they end each time, and people read who has to stop."""
    seen, now = adopted(adopting()), NOW
    for _ in range(4):
        now += 10 * SECOND
        assert retired(plan(seen, now))
        seen = settle(replace(settle(seen, now), source=source(owner="shop/checkout/uid-checkout")), now)
    stalled = condition_of(plan(seen, now + 10 * SECOND).status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, "Deployment shop/legacy" in stalled.message) == ("ForeignWriter", True)


def test_never_means_never() -> None:
    """`scaleDown: Never` leaves them to people."""
    assert not retired(plan(adopted(adopting(scale_down="Never")), DRAINED + MINUTE))


def test_a_new_template_in_it_starts_a_run() -> None:
    """Git changes the Deployment, at zero replicas: that is what shall run next."""
    seen = settle(adopted(adopting()), DRAINED)
    assert seen.source is not None
    shipped = replace(seen, source=replace(seen.source, template=template("2.0")), asked=asked_for(template("2.0")))
    seen = settle(shipped, DRAINED)
    assert (version_in(seen, Slot.GREEN), seen.targets[0].shares) == ("2.0", (2500,))


def test_one_that_is_gone_stops_nothing_that_runs() -> None:
    """It is named; what serves goes on, and so does the run under way."""
    seen = adopted(adopting())
    gone = AskedTemplate(problem_reason="SourceMissing", problem="Deployment shop/legacy does not exist. Create it")
    rest = settle(replace(seen, source=None, asked=gone), NOW)
    stalled = condition_of(rest.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, pods_in(rest)) == ("SourceMissing", (CAPACITY, 0))


def test_one_that_is_gone_from_the_start_is_named() -> None:
    """Nothing is adopted, and nothing is written."""
    gone = AskedTemplate(problem_reason="SourceMissing", problem="Deployment shop/legacy does not exist. Create it")
    made = plan(adopting(source=None, asked=gone), NOW)
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, made.status.stable, made.applies) == ("SourceMissing", None, ())


def test_a_deployment_made_of_its_template_is_stopped_while_the_old_service_selects_it() -> None:
    """Its pods carry the same labels, so they would get requests past the weights before all of them are ready."""
    seen = adopting(followers=())
    slots = {slot: replace(view, exposed_by=("checkout",)) for slot, view in seen.slots.items()}
    made = plan(replace(seen, slots=slots), NOW)
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, "Service shop/checkout" in stalled.message) == ("ExposedOutsideWeight", True)
