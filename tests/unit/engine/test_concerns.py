"""Which Rollouts an event wakes: those it concerns, and however many there are, no others."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.engine.concerns import Concerns
from sluice.engine.index import Index
from sluice.engine.store import Key, Store
from sluice.ports import Obj
from unit.engine.objects import budget, deployment, endpoints, managed, obj, pod, rollout, run, service

A, B = ("shop", "a"), ("shop", "b")


class Woken:
    """Caches, and whom each of their changes concerns."""

    def __init__(self) -> None:
        self.store = Store()
        self._concerns = Concerns(self.store, Index(self.store))
        self._version = 0
        self._told: list[Key] = []
        self.store.listen(self._listen)

    def _listen(self, kind: Kind, before: Obj | None, after: Obj | None) -> None:
        if kind is not Kind.ROLLOUT:
            self._told += self._concerns.rollouts(kind, before, after)

    def by(self, kind: Kind, body: Obj, event: str = "MODIFIED") -> set[Key]:
        """Cache an object as its newest version; whom that wakes."""
        self._version += 1
        self._told = []
        metadata = {**body["metadata"], "resourceVersion": str(self._version)}
        self.store.apply(kind, event, {**body, "metadata": metadata})
        return set(self._told)


@pytest.fixture
def woken() -> Woken:
    """Two Rollouts with pods of their own, told apart by the label `app`, and one with Services of the user's."""
    made = Woken()
    made.by(Kind.ROLLOUT, managed("a", 1, labels={"app": "a", "part-of": "shop"}))
    made.by(Kind.ROLLOUT, managed("b", 1, labels={"app": "b", "part-of": "shop"}))
    made.by(Kind.ROLLOUT, rollout("plain", 1))
    return made


# ---------------------------------------------------------------------------------------------- its own objects


@pytest.mark.parametrize("name", ["a-blue", "a-green"])
def test_a_slots_objects(woken: Woken, name: str) -> None:
    """Its Deployment and its Service, and the endpoints of that."""
    assert woken.by(Kind.DEPLOYMENT, deployment(name, 1)) == {A}
    assert woken.by(Kind.SERVICE, service(name, 1, {"sluice.dev/rollout": "a", "sluice.dev/slot": "blue"})) == {A}
    assert woken.by(Kind.ENDPOINT_SLICE, endpoints(f"{name}-x", 1, name)) == {A}
    assert woken.by(Kind.DEPLOYMENT, deployment(name, 1), "DELETED") == {A}


def test_objects_that_only_look_like_a_slots(woken: Woken) -> None:
    """Of a Rollout with Services of the user's own, a Deployment of that name is nobody's business."""
    assert woken.by(Kind.DEPLOYMENT, deployment("plain-blue", 1)) == set()
    assert woken.by(Kind.SERVICE, service("plain-blue", 1, {"app": "plain"})) == {("shop", "plain")}


def test_a_deployment_that_is_still_marked(woken: Woken) -> None:
    """One that carries a Rollout's stamp concerns it, whatever its spec names by now; only in its own namespace."""
    ours = deployment("old", 1, annotations={"sluice.dev/rollout": "shop/plain/uid"})
    assert woken.by(Kind.DEPLOYMENT, ours) == {("shop", "plain")}
    theirs = deployment("older", 1, annotations={"sluice.dev/rollout": "other/plain/uid"})
    assert woken.by(Kind.DEPLOYMENT, theirs) == set()


def test_the_deployment_that_is_named(woken: Woken) -> None:
    """Its template is what is asked for: it wakes the Rollout when it comes, changes and goes."""
    woken.by(Kind.ROLLOUT, managed("c", 1, source="legacy"))
    assert woken.by(Kind.DEPLOYMENT, deployment("legacy", 1)) == {("shop", "c")}
    assert woken.by(Kind.DEPLOYMENT, deployment("legacy", 1), "DELETED") == {("shop", "c")}


def test_the_service_that_follows_stable(woken: Woken) -> None:
    """It is put right when somebody changes it, also that of a run whose spec names another by now."""
    traffic = {"routes": [], "stableService": "internal"}
    woken.by(Kind.ROLLOUT, managed("c", 1, traffic=traffic))
    assert woken.by(Kind.SERVICE, service("internal", 1, {"app": "else"})) == {("shop", "c")}
    under_way = run("a-1", 1, "a")
    under_way["spec"]["traffic"]["stableService"] = "former"
    woken.by(Kind.ROLLOUT_RUN, under_way)
    assert woken.by(Kind.SERVICE, service("former", 1, {"app": "else"})) == {A}


# ---------------------------------------------------------------------------------------------- pods


def test_a_pod_wakes_whose_label_it_carries(woken: Woken) -> None:
    """When it comes, changes, changes hands and goes; not when only what nobody looks at changes."""
    first = pod("a-green-1", 1, "a")
    assert woken.by(Kind.POD, first) == {A}
    assert woken.by(Kind.POD, {**first, "status": {**first["status"], "hostIP": "10.0.0.1"}}) == set()
    failing = [{"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    assert woken.by(Kind.POD, pod("a-green-1", 1, "a", containerStatuses=failing)) == {A}
    assert woken.by(Kind.POD, pod("a-green-1", 1, "b")) == {A, B}
    assert woken.by(Kind.POD, pod("a-green-1", 1, "b"), "DELETED") == {B}
    assert woken.by(Kind.POD, pod("stray", 1, "nobody")) == set()


# ---------------------------------------------------------------------------------------------- selectors


def test_a_service_that_begins_or_ends_to_select_the_pods(woken: Woken) -> None:
    """Only the Rollouts whose pods it selects, and only when its selector changed: not at each of its other changes."""
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "a"})) == {A}
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "a"}, sessionAffinity="ClientIP")) == set()
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "b"})) == {A, B}
    assert woken.by(Kind.SERVICE, service("web", 1, {"part-of": "shop"})) == {A, B}
    assert woken.by(Kind.SERVICE, service("web", 1, {"part-of": "shop", "app": "b"})) == {A, B}
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "else"})) == {B}
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "else"}), "DELETED") == set()
    assert (
        woken.by(
            Kind.SERVICE, {**service("web", 2, {"app": "a"}), "metadata": obj("web", 9, namespace="other")["metadata"]}
        )
        == set()
    )


@pytest.mark.parametrize(
    "selector, concerned",
    [
        ({"sluice.dev/rollout": "a"}, {A}),
        ({"sluice.dev/rollout": "a", "app": "whatever"}, {A}),
        ({"sluice.dev/rollout": "plain"}, set()),
        ({"sluice.dev/slot": "blue"}, {A, B}),
        ({"sluice.dev/slot": "blue", "app": "b"}, {B}),
    ],
)
def test_a_service_that_selects_by_our_own_labels(woken: Woken, selector: dict[str, str], concerned: set[Key]) -> None:
    """Which the pods will carry, though no template does."""
    assert woken.by(Kind.SERVICE, service("web", 1, selector)) == concerned


def test_labels_of_roles_and_of_older_pods_count(woken: Woken) -> None:
    """A Service may select by what a role gives the pods, or by what those of the slot's Deployment carry still."""
    role = {"stableMetadata": {"labels": {"role": "stable"}}}
    woken.by(Kind.ROLLOUT, managed("c", 1, labels={"app": "c"}, workload=role))
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "c", "role": "stable"})) == {("shop", "c")}
    woken.by(Kind.DEPLOYMENT, deployment("a-blue", 1, labels={"app": "former"}))
    assert woken.by(Kind.SERVICE, service("old", 1, {"app": "former"})) == {A}
    woken.by(Kind.DEPLOYMENT, deployment("a-blue", 1, labels={"app": "a"}))
    assert woken.by(Kind.SERVICE, service("older", 1, {"app": "former"})) == set()


def test_a_rollout_that_comes_after_its_deployments(woken: Woken) -> None:
    """The order in which the caches fill does not matter; one that is gone, or no longer ours, is not woken."""
    woken.by(Kind.DEPLOYMENT, deployment("legacy", 1, labels={"app": "legacy"}))
    woken.by(Kind.ROLLOUT, managed("c", 1, source="legacy"))
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "legacy"})) == {("shop", "c")}
    woken.by(Kind.ROLLOUT, rollout("c", 1))
    assert woken.by(Kind.SERVICE, service("web", 1, None)) == set()
    woken.by(Kind.ROLLOUT, managed("a", 1), "DELETED")
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "a"})) == set()


def test_a_budget_that_lets_more_go(woken: Woken) -> None:
    """Only the Rollouts whose pods it covers, and only when it changed in what decides."""
    covers = {"matchLabels": {"app": "a"}}
    assert woken.by(Kind.POD_DISRUPTION_BUDGET, budget("web", 1, covers, 0)) == {A}
    assert woken.by(Kind.POD_DISRUPTION_BUDGET, {**budget("web", 1, covers, 0), "kind": "x"}) == set()
    assert woken.by(Kind.POD_DISRUPTION_BUDGET, budget("web", 1, covers, 1)) == {A}
    assert woken.by(Kind.POD_DISRUPTION_BUDGET, budget("web", 1, {}, 1)) == {A, B}
    assert woken.by(Kind.POD_DISRUPTION_BUDGET, budget("web", 1, None, 1)) == {A, B}


def test_templates_and_namespaces_wake_all_there(woken: Woken) -> None:
    """They are rare, and any Rollout there may need them."""
    everybody = {A, B, ("shop", "plain")}
    assert woken.by(Kind.ANALYSIS_TEMPLATE, obj("errors", 1)) == everybody
    assert woken.by(Kind.CLUSTER_ANALYSIS_TEMPLATE, obj("errors", 1, namespace="")) == everybody
    assert woken.by(Kind.NAMESPACE, obj("shop", 1, namespace="")) == everybody
    assert woken.by(Kind.NAMESPACE, obj("other", 1, namespace="")) == set()


@pytest.mark.parametrize(
    "spec",
    [
        {"workload": {"template": "text"}},
        {"workload": {"template": {"metadata": 7, "spec": []}}},
        {"workload": {"template": {"metadata": {"labels": ["x"]}}, "stableMetadata": 3}},
        {"workload": {"workloadRef": {"name": {}}}, "traffic": {"stableService": []}},
        {"workload": {"workloadRef": "legacy"}},
    ],
)
def test_nonsense_harms_nobody(woken: Woken, spec: Any) -> None:
    """Whatever stands in a spec, the others are woken as before."""
    woken.by(Kind.ROLLOUT, obj("bad", 1, spec=spec))
    woken.by(Kind.DEPLOYMENT, obj("bad-blue", 1, spec={"template": spec}))
    assert woken.by(Kind.SERVICE, service("web", 1, {"app": "a"})) == {A}
    woken.by(Kind.ROLLOUT, obj("bad", 1, spec=spec), "DELETED")


def test_ten_thousand_rollouts_cost_an_event_nothing(woken: Woken) -> None:
    """An event finds its one Rollout among many, by looking at few: the count of what is looked at does not grow."""
    for number in range(10_000):
        woken.by(Kind.ROLLOUT, managed(f"many-{number}", 1, labels={"app": f"many-{number}", "part-of": "shop"}))
        woken.by(Kind.SERVICE, service(f"many-{number}", 1, {"app": f"many-{number}", "part-of": "shop"}))
    one = {("shop", "many-77")}
    assert woken.by(Kind.SERVICE, service("web", 1, {"part-of": "shop", "app": "many-77"})) == one
    assert woken.by(Kind.POD_DISRUPTION_BUDGET, budget("web", 1, {"matchLabels": {"app": "many-77"}})) == one
    index = woken._concerns._index
    under = index._selectors[Kind.SERVICE]._under
    looked_at = sum(len(under.get(("shop", *pair), ())) for pair in {"app": "many-77", "part-of": "shop"}.items())
    assert looked_at <= 5
    assert sorted(index.selecting(Kind.SERVICE, "shop", {"app": "many-77", "part-of": "shop"})) == ["many-77", "web"]
