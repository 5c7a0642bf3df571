"""From the caches to what runs in the slots: Deployments, pods, who else selects them, and the template asked for."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.names import Kind, Slot
from sluice.decide.model import Observed
from sluice.decide.revision import template_hash
from sluice.engine.workloads import deployment_view
from sluice.ports import Obj
from unit.decide import observed as core
from unit.engine.caches import Caches
from unit.engine.objects import budget, deployment, endpoints, managed, obj, pod, rollout, service, template

OWN = {"sluice.dev/rollout": "checkout", "sluice.dev/slot": "green"}


@pytest.fixture
def caches() -> Caches:
    """Empty caches."""
    return Caches()


def look(caches: Caches, body: Obj | None = None, *, stable: str = "", slots: Any = None) -> Observed:
    """What is seen of the Rollout `checkout`, whose pods carry `app: checkout`; blue or green may be stable."""
    found = body or managed("checkout", 1)
    found["metadata"]["creationTimestamp"] = "2026-03-02T09:00:00Z"
    found["status"] = {
        **({"stable": {"slot": stable, "hash": "old"}} if stable else {}),
        **({"slots": slots} if slots else {}),
    }
    caches.put(Kind.ROLLOUT, found)
    return caches.see()


# ---------------------------------------------------------------------------------------------- Deployments


def test_a_slots_deployment(caches: Caches) -> None:
    """How many pods it is to have, has, and has ready; what it runs, and whose writes are in it."""
    annotations = {
        "sluice.dev/revision": "abc",
        "sluice.dev/applied": "f00.1",
        "sluice.dev/rollout": "shop/checkout/uid-checkout",
    }
    status = {"replicas": 4, "updatedReplicas": 4, "availableReplicas": 3, "observedGeneration": 1}
    body = deployment("checkout-green", 1, annotations=annotations, status=status)
    body["metadata"]["managedFields"] = [{"manager": "kubectl-edit", "time": "1", "fieldsV1": {"f:spec": {}}}]
    caches.put(Kind.DEPLOYMENT, body)
    seen = look(caches)
    view = seen.slots[Slot.GREEN].deployment
    assert view is not None
    assert (view.replicas, view.pods, view.available, view.rolled, view.deleting) == (4, 4, 3, True, False)
    assert (view.hash, view.applied, view.writer) == ("abc", "f00.1", "kubectl-edit")
    assert view.owner == "shop/checkout/uid-checkout"
    assert view.template == body["spec"]["template"]
    assert seen.slots[Slot.BLUE].deployment is None


@pytest.mark.parametrize(
    "status, rolled",
    [
        ({"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4}, True),
        ({"observedGeneration": 1, "replicas": 5, "updatedReplicas": 4}, False),
        ({"observedGeneration": 0, "replicas": 4, "updatedReplicas": 4}, False),
        ({"observedGeneration": 1}, True),
        ({}, False),
    ],
)
def test_when_a_deployment_has_rolled(status: Obj, rolled: bool) -> None:
    """The controller has seen the newest spec, and there is no pod of an older template."""
    assert deployment_view(deployment("a", 1, status=status)).rolled is rolled


def test_the_pods_of_a_slot(caches: Caches) -> None:
    """Members by the slot's labels; faults only of the revision that the Deployment makes."""
    labels = {**OWN, "app": "checkout", "sluice.dev/revision": "new"}
    caches.put(Kind.DEPLOYMENT, deployment("checkout-green", 1, labels=labels))
    waiting = [{"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "gone"}}}]
    caches.put(Kind.POD, pod("g-1", 1, "checkout", revision="new", containerStatuses=waiting))
    caches.put(Kind.POD, pod("g-2", 1, "checkout", revision="old", containerStatuses=waiting))
    caches.put(Kind.POD, pod("b-1", 1, "checkout", "blue", revision="new", containerStatuses=waiting))
    caches.put(Kind.POD, pod("x-1", 1, "other", revision="new"))
    view = look(caches).slots[Slot.GREEN].deployment
    assert view is not None
    assert [member.name for member in view.members] == ["g-1", "g-2"]
    assert [(fault.pod, fault.reason, fault.message) for fault in view.faults] == [("g-1", "ImagePullBackOff", "gone")]


def test_ready_pods_of_another_revision_are_told_apart(caches: Caches) -> None:
    """While a slot takes another revision, its Deployment counts the pods of both; one without status is not ready."""
    labels = {**OWN, "app": "checkout", "sluice.dev/revision": "new"}
    caches.put(Kind.DEPLOYMENT, deployment("checkout-green", 1, labels=labels, status={"availableReplicas": 2}))
    for name, revision, ready in (("g-1", "new", True), ("g-2", "old", True), ("g-3", "old", False)):
        statuses = [{"name": "app", "ready": ready}]
        caches.put(Kind.POD, pod(name, 1, "checkout", revision=revision, containerStatuses=statuses))
    caches.put(Kind.POD, pod("g-4", 1, "checkout", revision="old"))
    view = look(caches).slots[Slot.GREEN].deployment
    assert view is not None
    assert (view.available, view.former) == (2, 1)


def test_with_services_of_the_users_own_there_is_nothing_to_see(caches: Caches) -> None:
    """A Deployment that happens to be called like a slot is the user's, and so is the Service."""
    caches.put(Kind.DEPLOYMENT, deployment("checkout-green", 1))
    caches.put(Kind.SERVICE, service("checkout-green", 1, {"app": "checkout"}))
    caches.rollout()
    seen = caches.see()
    slot = seen.slots[Slot.GREEN]
    assert (slot.exists, slot.kept, slot.deployment, slot.exposed_by) == (True, None, None, ())
    assert (seen.asked, seen.source, seen.budgets) == (None, None, ())


def test_what_was_kept_is_seen_until_it_is_let_go(caches: Caches) -> None:
    """The spec cannot be read, or names Services of the user's own by now: the slots that the status knows are seen."""
    caches.put(Kind.DEPLOYMENT, deployment("checkout-blue", 1))
    known = {"blue": {"hash": "old", "replicas": 4}}
    for body in (obj("checkout", 1, spec={"strategy": 7}), rollout("checkout", 1)):
        seen = look(caches, body, slots=known)
        assert seen.slots[Slot.BLUE].deployment is not None
        assert seen.slots[Slot.BLUE].service == "checkout-blue"
        assert seen.asked is None


# ---------------------------------------------------------------------------------------------- Services


def test_a_slots_service(caches: Caches) -> None:
    """Its owner, selector and ports, as the API server stored them: a targetPort is the port where none is named."""
    body = service("checkout-green", 1, OWN, owner=core.OWNER)
    body["spec"]["ports"] = [
        {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP", "nodePort": 30_080, "appProtocol": "h2c"},
        {"name": "admin", "port": 9000, "protocol": "TCP"},
    ]
    caches.put(Kind.SERVICE, body)
    slot = look(caches).slots[Slot.GREEN]
    assert slot.exists
    assert slot.kept is not None
    assert (slot.kept.uid, slot.kept.owner, slot.kept.selector) == ("uid-checkout-green", core.OWNER, OWN)
    assert [(port.port, port.target_port) for port in slot.kept.ports] == [(80, "web"), (9000, 9000)]
    assert slot.kept.ports[0].app_protocol == "h2c"


def test_a_service_that_is_in_the_way(caches: Caches) -> None:
    """One of a slot's name that somebody else made is seen, with no owner."""
    caches.put(Kind.SERVICE, service("checkout-green", 1, {"app": "else"}))
    kept = look(caches).slots[Slot.GREEN].kept
    assert kept is not None
    assert (kept.owner, kept.selector) == ("", {"app": "else"})


def test_endpoints_count_once(caches: Caches) -> None:
    """A pod with an IPv4 and an IPv6 address is in two slices, and still one pod."""
    caches.put(Kind.SERVICE, service("checkout-green", 1, OWN))
    for family in ("4", "6"):
        slice_ = endpoints(f"green-{family}", 1, "checkout-green", 2)
        slice_["endpoints"] = [
            {**each, "targetRef": {"kind": "Pod", "name": f"p-{n}"}} for n, each in enumerate(slice_["endpoints"])
        ]
        caches.put(Kind.ENDPOINT_SLICE, slice_)
    assert look(caches).slots[Slot.GREEN].ready_endpoints == 2


# ---------------------------------------------------------------------------------------------- who else selects them


def exposing(caches: Caches, body: Obj | None = None, **fields: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The Services that select the pods of blue and of green, past every declaration."""
    seen = look(caches, body, **fields)
    return seen.slots[Slot.BLUE].exposed_by, seen.slots[Slot.GREEN].exposed_by


@pytest.mark.parametrize(
    "selector, blue, green",
    [
        ({"app": "checkout"}, True, True),
        ({"sluice.dev/rollout": "checkout"}, True, True),
        ({"sluice.dev/slot": "green"}, False, True),
        ({"app": "checkout", "sluice.dev/slot": "blue"}, True, False),
        ({"app": "checkout", "tier": "web"}, False, False),
        ({"app": "else"}, False, False),
        (None, False, False),
    ],
)
def test_a_service_that_selects_pods_to_come(
    caches: Caches, selector: dict[str, str] | None, blue: bool, green: bool
) -> None:
    """Before there is a Deployment: by the template's labels and those that Sluice adds."""
    caches.put(Kind.SERVICE, service("web", 1, selector))
    elsewhere = service("web", 1, {"app": "checkout"})
    elsewhere["metadata"]["namespace"] = "other"
    caches.put(Kind.SERVICE, elsewhere)
    assert exposing(caches) == (("web",) if blue else (), ("web",) if green else ())


def test_a_service_that_selects_pods_which_are_there(caches: Caches) -> None:
    """By the labels in the slot's Deployment, which may be those of an older template; and by its revision."""
    caches.put(Kind.DEPLOYMENT, deployment("checkout-blue", 1, labels={"app": "former", "sluice.dev/revision": "old"}))
    caches.put(Kind.SERVICE, service("former", 1, {"app": "former"}))
    caches.put(Kind.SERVICE, service("by-revision", 1, {"sluice.dev/revision": "old"}))
    coming = service("by-next-revision", 1, {"sluice.dev/revision": template_hash(template())})
    caches.put(Kind.SERVICE, coming)
    assert exposing(caches) == (("by-next-revision", "by-revision", "former"), ("by-next-revision",))


def test_a_service_that_selects_a_role(caches: Caches) -> None:
    """Labels of a role are on the pods of the slot that has it: a Service for stable pods exposes no others."""
    roles = {"stableMetadata": {"labels": {"role": "stable"}}, "candidateMetadata": {"labels": {"role": "canary"}}}
    caches.put(Kind.SERVICE, service("stable-pods", 1, {"app": "checkout", "role": "stable"}))
    caches.put(Kind.SERVICE, service("canary-pods", 1, {"role": "canary"}))
    body = managed("checkout", 1, workload=roles)
    assert exposing(caches, body, stable="blue") == (("stable-pods",), ("canary-pods",))
    assert exposing(caches, body, stable="green") == (("canary-pods",), ("stable-pods",))


def test_declared_services_expose_nothing(caches: Caches) -> None:
    """The slots' own, the switched ones and the one that follows stable are Sluice's to point."""
    for name in ("checkout-blue", "checkout-green", "live", "preview", "internal", "stray"):
        caches.put(Kind.SERVICE, service(name, 1, {"app": "checkout"}))
    traffic = {"service": {"active": "live", "preview": "preview"}, "stableService": "internal"}
    assert exposing(caches, managed("checkout", 1, traffic=traffic)) == (("stray",), ("stray",))


def test_a_rollout_with_services_of_its_own_is_not_asked_whom_else_they_select(caches: Caches) -> None:
    """Its pods are the user's, and so is what selects them."""
    caches.put(Kind.SERVICE, service("web", 1, {"app": "checkout"}))
    assert exposing(caches, rollout("checkout", 1)) == ((), ())


def test_the_service_that_follows_stable_is_observed(caches: Caches) -> None:
    """With its share, or with what is wrong with it."""
    body = managed("checkout", 1, traffic={"routes": [], "stableService": "internal"})
    [missing] = look(caches, body).followers
    assert (missing.found, missing.ref.name) == (False, "internal")
    for name, slot in (("checkout-blue", "blue"), ("checkout-green", "green"), ("internal", "green")):
        caches.put(Kind.SERVICE, service(name, 1, {**OWN, "sluice.dev/slot": slot}))
    [follower] = look(caches, body).followers
    assert (follower.found, follower.shares, follower.problem) == (True, (10_000,), "")
    caches.put(Kind.SERVICE, service("internal", 1, {"app": "checkout"}))
    [follower] = look(caches, body).followers
    assert follower.shares == (5_000,)
    assert "selects neither slot" in follower.problem


def test_two_rollouts_cannot_lead_one_service(caches: Caches) -> None:
    """The second is told of the first, as with routes."""
    body = managed("checkout", 1, traffic={"routes": [], "stableService": "internal"})
    caches.put(Kind.SERVICE, service("internal", 1, {"app": "checkout"}, owner="shop/second/uid-second"))
    second = managed("second", 1, traffic={"routes": [], "stableService": "internal"})
    second["metadata"]["creationTimestamp"] = "2026-03-02T10:00:00Z"
    caches.put(Kind.ROLLOUT, second)
    assert look(caches, body).rival == "shop/second"


def test_budgets_that_cover_the_slots(caches: Caches) -> None:
    """By the labels of the pods that are there; how many may go, as the disruption controller counts."""
    for slot in ("blue", "green"):
        labels = {"app": "checkout", **OWN, "sluice.dev/slot": slot}
        caches.put(Kind.DEPLOYMENT, deployment(f"checkout-{slot}", 1, labels=labels))
    caches.put(Kind.POD_DISRUPTION_BUDGET, budget("both", 1, {"matchLabels": {"app": "checkout"}}, 2))
    green = {"matchLabels": {"app": "checkout", "sluice.dev/slot": "green"}}
    caches.put(Kind.POD_DISRUPTION_BUDGET, budget("green", 1, green, 0))
    caches.put(Kind.POD_DISRUPTION_BUDGET, budget("all", 1, {}, 7))
    caches.put(Kind.POD_DISRUPTION_BUDGET, budget("none", 1, None, 7))
    caches.put(Kind.POD_DISRUPTION_BUDGET, budget("else", 1, {"matchLabels": {"app": "else"}}, 7))
    uncounted = budget("uncounted", 1, green)
    del uncounted["status"]
    caches.put(Kind.POD_DISRUPTION_BUDGET, uncounted)
    assert [(view.name, view.allowed, sorted(view.slots)) for view in look(caches).budgets] == [
        ("all", 7, ["blue", "green"]),
        ("both", 2, ["blue", "green"]),
        ("green", 0, ["green"]),
        ("uncounted", 0, ["green"]),
    ]


# ---------------------------------------------------------------------------------------------- what is asked for


def test_the_template_in_the_spec(caches: Caches) -> None:
    """Its hash, and the version that the image's tag tells unless the spec tells another."""
    asked = look(caches).asked
    assert asked is not None
    assert (asked.template, asked.hash, asked.version) == (template(), template_hash(template()), "1.0")
    asked = look(caches, managed("checkout", 1, workload={"version": "spring"})).asked
    assert asked is not None
    assert asked.version == "spring"


def test_the_template_of_the_deployment_that_is_named(caches: Caches) -> None:
    """It is asked for as it is stored; and it is seen how many pods of its own run, and who sends them traffic."""
    body = deployment("legacy", 1, labels={"app": "legacy"}, status={"replicas": 4})
    caches.put(Kind.DEPLOYMENT, body)
    caches.put(Kind.SERVICE, service("web", 1, {"app": "legacy"}))
    caches.put(Kind.SERVICE, service("live", 1, {"app": "legacy"}))
    traffic = {"service": {"active": "live"}}
    seen = look(caches, managed("checkout", 1, source="legacy", traffic=traffic))
    assert seen.asked is not None
    assert seen.asked.template == body["spec"]["template"]
    assert seen.source is not None
    assert (seen.source.name, seen.source.replicas, seen.source.pods) == ("legacy", 4, 4)
    assert seen.source_selected_by == ("live", "web")
    assert seen.slots[Slot.GREEN].exposed_by == ("web",)


def test_a_deployment_that_is_missing(caches: Caches) -> None:
    """It says so, and what to do; nothing else is known."""
    seen = look(caches, managed("checkout", 1, source="legacy"))
    assert seen.asked is not None
    assert (seen.asked.hash, seen.asked.problem_reason) == ("", "SourceMissing")
    assert seen.asked.problem.startswith("Deployment shop/legacy does not exist. Create it")
    assert (seen.source, seen.source_selected_by) == (None, ())


@pytest.mark.parametrize(
    "nonsense",
    [
        {"metadata": "x", "spec": {"containers": [{}]}},
        {"metadata": {"labels": ["x"]}, "spec": {"containers": [{}]}},
        {"spec": {"containers": {"name": "app"}}},
        {"spec": {"containers": ["app"]}},
        {"spec": {"containers": [{"ports": 80}]}},
        {"spec": "x"},
        {"spec": {}},
    ],
)
def test_what_is_no_pod_template(caches: Caches, nonsense: Any) -> None:
    """Content that a CRD cannot refuse is a problem that is told, not a pass that fails."""
    body = managed("checkout", 1)
    body["spec"]["workload"]["template"] = nonsense
    asked = look(caches, body).asked
    assert asked is not None
    assert (asked.hash, asked.problem_reason) == ("", "InvalidSpec")
    assert "spec.workload.template is no pod template" in asked.problem
