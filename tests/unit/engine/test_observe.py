"""From the caches to what one decision needs: whose Services and routes count, what is free, and whose route it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.common import ObjectRef
from sluice.api.names import CAUSE_ANNOTATION, OWNER_ANNOTATION, Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.decide.metadata import requester_of
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from sluice.ports import Obj
from unit.decide import observed as core
from unit.engine.caches import Caches
from unit.engine.objects import deployment, endpoints, managed, obj, rollout, switch


@pytest.fixture
def caches() -> Caches:
    """Empty caches."""
    return Caches()


def names(seen: Observed) -> list[str]:
    """The targets."""
    return [view.ref.name for view in seen.targets]


# ---------------------------------------------------------------------------------------------- what counts


def test_at_rest_the_spec_counts(caches: Caches) -> None:
    """Routes and Services as the spec names them."""
    caches.route("other", 0)
    caches.rollout(core.completed(), route="other")
    assert names(caches.see()) == ["other"]


def test_in_mid_run_the_runs_own_count(caches: Caches) -> None:
    """Whatever the spec names by now."""
    caches.route("checkout", 10)
    caches.rollout(core.running(), route="other")
    assert names(caches.see()) == ["checkout"]


@pytest.mark.parametrize(
    "green, owner, found",
    [(10, core.OWNER, "checkout"), (0, core.OWNER, "other"), (10, "shop/someone/else", "other"), (10, "", "other")],
)
def test_after_a_run_its_own_count_until_they_are_returned(caches: Caches, green: int, owner: str, found: str) -> None:
    """What the run gave and still stands, under our stamp, is returned before the spec's routes are looked at."""
    caches.route("checkout", green, owner=owner)
    caches.route("other", 0)
    unwritten = core.after(made := core.running(actions=(core.action(Verb.ABORT),)), plan(made, core.NOW), writes=False)
    caches.rollout(unwritten, route="other")
    assert names(caches.see()) == [found]


def test_an_unreadable_spec_leaves_the_last_run(caches: Caches) -> None:
    """So that a deletion or a kill still finds what to move."""
    caches.route("checkout", 10)
    body = caches.rollout(core.running())
    caches.put(Kind.ROLLOUT, {**body, "metadata": dict(body["metadata"]), "spec": {"strategy": 7}})
    seen = caches.see()
    assert (seen.spec, names(seen)) == (None, ["checkout"])
    assert "Rollout shop/checkout: spec" in seen.spec_problem


def test_an_unreadable_status_counts_as_lost(caches: Caches) -> None:
    """The next pass adopts anew, past the RolloutRuns."""
    body = caches.rollout(core.running())
    caches.put(Kind.ROLLOUT, {**body, "metadata": dict(body["metadata"]), "status": {"step": "x"}})
    assert caches.see().status == RolloutStatus()


def test_endpoints_count_while_they_are_ready(caches: Caches) -> None:
    """Absent means ready (as Kubernetes defines it); False does not count, nor does a Service that is not there."""
    caches.rollout()
    conditions: list[dict[str, Any]] = [{"ready": True}, {"ready": False}, {}, {"ready": None}]
    body = endpoints("slice", 1, "checkout-green")
    caches.put(Kind.ENDPOINT_SLICE, {**body, "endpoints": [{"conditions": each} for each in conditions]})
    assert caches.see().slots[Slot.GREEN].ready_endpoints == 0
    caches.put(Kind.SERVICE, obj("checkout-green", 1))
    seen = caches.see()
    assert (seen.slots[Slot.GREEN].ready_endpoints, seen.slots[Slot.BLUE].exists) == (3, False)


def test_what_an_ending_namespace_and_switches_say(caches: Caches) -> None:
    """Taken from the namespace's phase and the engaged switches."""
    caches.rollout()
    caches.put(Kind.NAMESPACE, obj("shop", 1, namespace="", status={"phase": "Terminating"}))
    caches.put(Kind.KILL_SWITCH, switch(1, engaged=True))
    seen = caches.see()
    assert (seen.namespace_terminating, [view.name for view in seen.switches]) == (True, ["stop"])


# ---------------------------------------------------------------------------------------------- runs and actions


def test_runs_come_in_their_order_and_unreadable_ones_not_at_all(caches: Caches) -> None:
    """But a name that an unreadable one has is taken."""
    caches.rollout(core.completed())
    caches.put(Kind.ROLLOUT_RUN, obj("checkout-2", 1, spec={"rollout": "checkout", "revision": "x"}))
    caches.put(Kind.ROLLOUT_RUN, obj("checkout-3", 1, spec={"rollout": "somebody"}))
    caches.put(Kind.ROLLOUT_RUN, obj("checkout-5", 1, spec={"rollout": "somebody"}))
    seen = caches.see()
    assert ([run.name for run in seen.runs], seen.taken_number) == (["checkout-1"], 3)


def test_only_unanswered_actions_are_seen(caches: Caches) -> None:
    """Oldest first; what can't be read is passed over."""
    caches.rollout()
    actions: list[tuple[str, str, dict[str, Any]]] = [
        ("late", "2026-03-02T09:00:05Z", {}),
        ("early", "2026-03-02T09:00:01Z", {}),
        ("done", "2026-03-02T09:00:00Z", {"status": {"phase": "Done"}}),
        ("odd", "2026-03-02T09:00:00Z", {"spec": {"rollout": "checkout", "action": "Dance"}}),
    ]
    for name, created, extra in actions:
        body = obj(name, 1, **{"spec": {"rollout": "checkout", "action": "Pause"}, **extra})
        body["metadata"]["creationTimestamp"] = created
        caches.put(Kind.ROLLOUT_ACTION, body)
    assert [action.name for action in caches.see().actions] == ["early", "late"]


def test_templates_are_looked_up_where_a_run_may_start(caches: Caches) -> None:
    """Not at rest, where they would only cost; but whenever a person asked for something, who may mean Retry."""
    caches.rollout(core.healthy())
    assert "not looked up" in caches.see().templates.problem
    body = obj("retry", 1, spec={"rollout": "checkout", "action": "Retry"})
    caches.put(Kind.ROLLOUT_ACTION, body)
    assert caches.see().templates.problem == ""


def test_nothing_is_kept_of_runs_that_are_gone(caches: Caches) -> None:
    """Parsed views go with their object."""
    caches.rollout(core.completed())
    caches.see()
    caches.observer.forget_run("uid-checkout-1")
    caches.observer.forget("uid-checkout")
    assert (caches.observer._records._runs, caches.observer._parsed) == ({}, {})


# ---------------------------------------------------------------------------------------------- rivals


def second(caches: Caches, *, created: str, adopted: bool = False) -> None:
    """Another Rollout of the same route."""
    body = rollout("second", 1, route="checkout")
    body["metadata"]["creationTimestamp"] = created
    if adopted:
        body["status"] = core.healthy().status.dump()
    caches.put(Kind.ROLLOUT, body)


@pytest.mark.parametrize(
    "created, adopted, owner, rival",
    [
        ("2026-03-02T08:00:00Z", False, "", "shop/second"),
        ("2026-03-02T10:00:00Z", False, "", ""),
        ("2026-03-02T10:00:00Z", True, "", "shop/second"),
        ("2026-03-02T08:00:00Z", True, core.OWNER, ""),
        ("2026-03-02T10:00:00Z", False, "shop/second/uid-second", "shop/second"),
        ("2026-03-02T10:00:00Z", False, "shop/gone/uid-gone", ""),
    ],
)
def test_whose_route_it_is(caches: Caches, created: str, adopted: bool, owner: str, rival: str) -> None:
    """The stamp on the route decides; without one of either's, who adopted first, then who is older."""
    caches.route("checkout", 0, owner=owner)
    caches.rollout()
    second(caches, created=created, adopted=adopted)
    assert caches.see().rival == rival


@pytest.mark.parametrize(
    "managing, owner, rival",
    [
        (True, "shop/web/uid-web", "shop/web"),
        (True, "", "shop/web"),
        (True, "shop/gone/uid-gone", "shop/web"),
        (True, core.OWNER, ""),
        (False, "shop/web/uid-web", ""),
    ],
)
def test_the_service_of_anothers_slot_is_not_this_ones_to_switch(
    caches: Caches, managing: bool, owner: str, rival: str
) -> None:
    """Pointed at these pods, the other Rollout's slot would serve them: who comes first keeps it."""
    web = managed("web", 1)
    if not managing:
        web = rollout("web", 1)
        web["spec"]["workload"]["services"] = {"blue": "their-blue", "green": "their-green"}
    web["metadata"]["creationTimestamp"] = "2026-03-02T08:00:00Z"
    caches.put(Kind.ROLLOUT, web)
    annotations = {OWNER_ANNOTATION: owner} if owner else {}
    service = {"metadata": {"name": "web-blue", "namespace": "shop", "annotations": annotations}, "spec": {}}
    caches.put(Kind.SERVICE, service)
    body = caches.rollout()
    body["spec"]["traffic"] = {"service": {"active": "web-blue"}}
    caches.put(Kind.ROLLOUT, body)
    assert caches.see().rival == rival


def test_a_kill_finds_nothing_to_move_on_a_rivals_route(caches: Caches) -> None:
    """What belongs to another Rollout is not this one's to divert."""
    caches.route("checkout", 10, owner="shop/second/uid-second")
    body = caches.rollout(core.running())
    assert len(caches.observer.moves_of(body).targets) == 1
    second(caches, created="2026-03-02T10:00:00Z")
    assert caches.observer.moves_of(body).targets == ()


@pytest.mark.parametrize(
    "dynamic, ready, others, bears",
    [
        (False, 0, 1, 0),
        (False, 1, 4, 10_000),
        (True, 0, 4, 0),
        (True, 1, 4, 2500),
        (True, 1, 0, 10_000),
        (True, 4, 4, 10_000),
    ],
)
def test_a_kill_knows_what_stable_can_take(caches: Caches, dynamic: bool, ready: int, others: int, bears: int) -> None:
    """All or nothing; or, in a run that let stable shrink, its ready pods' part of those needed, or there."""
    found = core.running()
    spec = found.runs[0].spec.model_copy(update={"dynamic_stable": dynamic})
    caches.rollout(replace(found, runs=(replace(found.runs[0], spec=spec),)))
    body = managed("checkout", 1)
    body["status"] = found.status.dump()
    caches.put(Kind.ROLLOUT, body)
    caches.put(Kind.ENDPOINT_SLICE, endpoints("blue", 1, "checkout-blue", ready))
    caches.put(Kind.ENDPOINT_SLICE, endpoints("green", 1, "checkout-green", others))
    assert caches.observer.moves_of(body).stable_bears == bears


# ---------------------------------------------------------------------------------------------- what is named no more


def test_what_the_spec_names_no_more_is_seen_by_its_stamp(caches: Caches) -> None:
    """A route taken out of the spec, and a Deployment that workloadRef named; nothing of others, or of a namesake."""
    caches.route("checkout", 0, owner=core.OWNER)
    caches.route("second", 0, owner=core.OWNER)
    caches.route("third", 0, owner="shop/other/uid-other")
    caches.route("fourth", 0, owner="shop/checkout/uid-before")
    legacy = obj("legacy", 1, spec={})
    legacy["metadata"]["annotations"] = {OWNER_ANNOTATION: core.OWNER}
    caches.put(Kind.DEPLOYMENT, legacy)
    caches.rollout(core.healthy())
    assert [(each.kind, each.name) for each in caches.see().dropped] == [
        (Kind.DEPLOYMENT, "legacy"),
        (Kind.HTTP_ROUTE, "second"),
    ]
    caches.route("second", 0)
    caches.store.apply(Kind.DEPLOYMENT, "DELETED", legacy)
    assert caches.see().dropped == ()


def test_what_a_run_moves_is_named_until_it_is_over(caches: Caches) -> None:
    """The spec names another route by now; nor is anything let go of where the spec cannot be read."""
    caches.route("checkout", 10, owner=core.OWNER)
    caches.rollout(core.running(), route="other")
    assert caches.see().dropped == ()
    body = caches.rollout(core.completed(), route="other")
    assert [each.name for each in caches.see().dropped] == ["checkout"]
    body["spec"] = {"traffic": {}}
    caches.put(Kind.ROLLOUT, body)
    assert caches.see().dropped == ()


# ---------------------------------------------------------------------------------------------- requester


@pytest.mark.parametrize(
    "fields, requester",
    [
        ([], "unattributed"),
        ([{"manager": "helm", "time": "1", "fieldsV1": {"f:spec": {}}}], "unattributed (field manager helm)"),
        (
            [
                {"manager": "flux", "time": "2", "fieldsV1": {"f:spec": {}}},
                {"manager": "sluice", "time": "3", "fieldsV1": {"f:status": {}}, "subresource": "status"},
                {"manager": "labeller", "time": "4", "fieldsV1": {"f:metadata": {}}},
                {"manager": "old", "time": "1", "fieldsV1": {"f:spec": {}}},
            ],
            "unattributed (field manager flux)",
        ),
    ],
)
def test_who_wrote_the_spec_is_told_as_far_as_it_is_known(fields: list[Obj], requester: str) -> None:
    """The newest field manager of the spec, which anyone can choose: said to be unattributed."""
    assert requester_of({"metadata": {"managedFields": fields}}) == requester


STAMPED: Obj = {
    "metadata": {
        "annotations": {"sluice.dev/requester": "alice", "sluice.dev/changed-by": "argocd"},
        "managedFields": [{"manager": "kubectl", "time": "9", "fieldsV1": {"f:spec": {}}}],
    }
}


def test_whom_the_api_server_stamped_asked() -> None:
    """That is told rather than the field manager, as it stands, so that it can be held against who approves."""
    assert requester_of(STAMPED) == "alice"
    whole = "a" * 500
    assert requester_of({"metadata": {"annotations": {"sluice.dev/requester": whole}}}) == whole


def test_a_stamp_says_nothing_of_a_template_that_is_elsewhere() -> None:
    """Who changed the Deployment of a workloadRef is not stamped: nobody is taken for having asked for it."""
    source = {"metadata": {"managedFields": [{"manager": "helm", "time": "1", "fieldsV1": {"f:spec": {}}}]}}
    assert requester_of(STAMPED, source) == "unattributed (field manager kubectl)"


def test_who_changed_the_deployment_asked_for_its_version(caches: Caches) -> None:
    """With workloadRef, a release is a write of the Deployment; that Sluice scaled it, or somebody else, is none."""
    body = managed("checkout", 1, source="legacy")
    body["metadata"]["managedFields"] = [{"manager": "helm", "time": "1", "fieldsV1": {"f:spec": {}}}]
    source = deployment("legacy", 1)
    source["metadata"]["managedFields"] = [
        {"manager": "kubectl-set", "time": "2", "fieldsV1": {"f:spec": {}}},
        {"manager": "sluice", "time": "3", "fieldsV1": {"f:spec": {}}},
        {"manager": "kubectl", "time": "4", "fieldsV1": {"f:spec": {}}, "subresource": "scale"},
    ]
    assert caches.observer.observe(body).requester == "unattributed (field manager helm)"
    caches.put(Kind.DEPLOYMENT, source)
    assert caches.observer.observe(body).requester == "unattributed (field manager kubectl-set)"


def test_the_caches_are_not_changed_by_observing(caches: Caches) -> None:
    """Objects of the store are shared: whoever observes leaves them as they are."""
    caches.route("checkout", 10, owner=core.OWNER)
    body = caches.rollout(core.running())
    before = repr(caches.store._objects)
    caches.see()
    caches.observer.moves_of(body)
    assert repr(caches.store._objects) == before
    assert CAUSE_ANNOTATION not in before
    assert ObjectRef(namespace="shop", name="checkout", uid="uid-checkout") == caches.see().ref
