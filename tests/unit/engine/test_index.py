"""Which Rollouts an object concerns, kept up to date by the store's changes."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.engine.index import Index
from sluice.engine.store import Store
from unit.engine.objects import obj, rollout, run


@pytest.fixture
def store() -> Store:
    """Empty caches."""
    return Store()


@pytest.fixture
def index(store: Store) -> Index:
    """An index over them."""
    return Index(store)


def test_a_rollout_is_found_by_what_it_moves_and_reads(store: Store, index: Index) -> None:
    """Its route, and the Services of its slots."""
    store.apply(Kind.ROLLOUT, "ADDED", rollout("a", 1))
    assert index.concerned(Kind.HTTP_ROUTE, "shop", "a") == {("shop", "a")}
    assert index.concerned(Kind.SERVICE, "shop", "a-green") == {("shop", "a")}
    assert index.movers(Kind.SERVICE, "shop", "a-green") == set()
    assert index.concerned(Kind.HTTP_ROUTE, "other", "a") == set()


def test_an_edit_moves_it(store: Store, index: Index) -> None:
    """It is found by its new route, and by the old one no more; a deleted one by nothing."""
    store.apply(Kind.ROLLOUT, "ADDED", rollout("a", 1))
    store.apply(Kind.ROLLOUT, "MODIFIED", rollout("a", 2, route="b"))
    assert index.movers(Kind.HTTP_ROUTE, "shop", "a") == set()
    assert index.movers(Kind.HTTP_ROUTE, "shop", "b") == {("shop", "a")}
    store.apply(Kind.ROLLOUT, "DELETED", rollout("a", 3, route="b"))
    assert index.concerned(Kind.HTTP_ROUTE, "shop", "b") == set()
    assert index.concerned(Kind.SERVICE, "shop", "a-blue") == set()


def test_two_rollouts_of_one_route_are_both_found(store: Store, index: Index) -> None:
    """So that the second can be told of the first."""
    store.apply(Kind.ROLLOUT, "ADDED", rollout("a", 1))
    store.apply(Kind.ROLLOUT, "ADDED", rollout("b", 2, route="a"))
    assert index.movers(Kind.HTTP_ROUTE, "shop", "a") == {("shop", "a"), ("shop", "b")}


def test_a_run_under_way_is_woken_by_its_own_services(store: Store, index: Index) -> None:
    """The spec names others by now; the run still depends on the ones that it began with."""
    store.apply(Kind.ROLLOUT, "ADDED", rollout("a", 1))
    services = {"blue": "old-blue", "green": "old-green"}
    store.apply(Kind.ROLLOUT_RUN, "ADDED", run("a-1", 2, "a", services))
    assert index.concerned(Kind.SERVICE, "shop", "old-green") == {("shop", "a")}
    store.apply(Kind.ROLLOUT_RUN, "MODIFIED", run("a-1", 3, "a", services, outcome="Completed"))
    assert index.concerned(Kind.SERVICE, "shop", "old-green") == set()


def test_runs_and_actions_are_found_by_their_rollout(store: Store, index: Index) -> None:
    """Only those of that name and namespace, until they are gone."""
    store.apply(Kind.ROLLOUT_RUN, "ADDED", run("a-1", 1, "a"))
    store.apply(Kind.ROLLOUT_RUN, "ADDED", run("b-1", 2, "b"))
    store.apply(Kind.ROLLOUT_ACTION, "ADDED", obj("x", 3, spec={"rollout": "a", "action": "Pause"}))
    assert [each["metadata"]["name"] for each in index.runs("shop", "a")] == ["a-1"]
    assert [each["metadata"]["name"] for each in index.actions("shop", "a")] == ["x"]
    assert list(index.runs("other", "a")) == []
    store.apply(Kind.ROLLOUT_RUN, "DELETED", run("a-1", 4, "a"))
    assert list(index.runs("shop", "a")) == []


@pytest.mark.parametrize(
    "spec",
    [
        None,
        "text",
        {"traffic": None, "workload": []},
        {"traffic": {"routes": "x"}},
        {"traffic": {"routes": [None, 7, {"kind": "TCPRoute"}, {}]}, "workload": {"services": {"blue": 3}}},
        {"traffic": {"routes": {"a": 1}, "service": {"active": {}}}},
    ],
)
def test_nonsense_is_indexed_without_harm(store: Store, index: Index, spec: Any) -> None:
    """Whatever stands in a spec, the caches take it in and the others are found as before."""
    store.apply(Kind.ROLLOUT, "ADDED", rollout("good", 1))
    store.apply(Kind.ROLLOUT, "ADDED", obj("bad", 2, spec=spec))
    store.apply(Kind.ROLLOUT_RUN, "ADDED", obj("bad-1", 3, spec=spec))
    assert index.concerned(Kind.HTTP_ROUTE, "shop", "good") == {("shop", "good")}
    store.apply(Kind.ROLLOUT, "DELETED", obj("bad", 4, spec=spec))
