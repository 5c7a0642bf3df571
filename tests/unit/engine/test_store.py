"""The caches: the newest version counts, whatever order it comes in; a LIST heals what a lost watch missed."""

from __future__ import annotations

from sluice.api.names import Kind
from sluice.engine.store import Store, service_of
from sluice.ports import Obj
from unit.engine.objects import endpoints, obj

ROUTE = Kind.HTTP_ROUTE


def seen(store: Store) -> list[tuple[str, str]]:
    """The versions of every change that listeners are told, before and after."""
    told: list[tuple[str, str]] = []

    def version(of: Obj | None) -> str:
        return of["metadata"]["resourceVersion"] if of else ""

    store.listen(lambda kind, before, after: told.append((version(before), version(after))))
    return told


def test_an_older_version_never_replaces_a_newer_one() -> None:
    """A watch that trails behind the answer to our own write changes nothing, and nobody is told."""
    store = Store()
    told = seen(store)
    assert store.apply(ROUTE, "ADDED", obj("a", 5))
    assert store.apply(ROUTE, "MODIFIED", obj("a", 7))
    assert not store.apply(ROUTE, "MODIFIED", obj("a", 6))
    assert not store.apply(ROUTE, "MODIFIED", obj("a", 7))
    assert store.versions(ROUTE) == {("shop", "a"): 7}
    assert told == [("", "5"), ("5", "7")]


def test_versions_are_numbers_not_text() -> None:
    """10 is newer than 9."""
    store = Store()
    store.apply(ROUTE, "ADDED", obj("a", 9))
    assert store.apply(ROUTE, "MODIFIED", obj("a", 10))


def test_a_deleted_object_does_not_come_back_by_an_old_event() -> None:
    """Neither by a late MODIFIED nor by the answer to a write that was under way."""
    store = Store()
    store.apply(ROUTE, "ADDED", obj("a", 5))
    assert store.apply(ROUTE, "DELETED", obj("a", 8))
    assert not store.apply(ROUTE, "MODIFIED", obj("a", 7))
    assert store.get(ROUTE, "shop", "a") is None
    assert store.apply(ROUTE, "ADDED", obj("a", 9, uid="another"))


def test_the_end_of_an_earlier_object_does_not_bury_its_successor() -> None:
    """A DELETED that comes after the object of the same name was created anew and answered to us."""
    store = Store()
    store.apply(ROUTE, "ADDED", obj("a", 9, uid="second"))
    assert not store.apply(ROUTE, "DELETED", obj("a", 8, uid="first"))
    assert store.get(ROUTE, "shop", "a") is not None


def test_a_list_heals_what_a_lost_watch_missed() -> None:
    """Missing in the list is gone, new in it is there; what came while it was on its way stays."""
    store = Store()
    for name, version in (("kept", 1), ("gone", 2), ("changed", 3)):
        store.apply(ROUTE, "ADDED", obj(name, version))
    before = store.versions(ROUTE)
    store.apply(ROUTE, "ADDED", obj("late", 11))
    store.apply(ROUTE, "MODIFIED", obj("changed", 12))
    store.replace(ROUTE, [obj("kept", 1), obj("new", 4)], before)
    assert sorted(name for _, name in store.versions(ROUTE)) == ["changed", "kept", "late", "new"]


def test_endpoint_slices_are_found_by_their_service() -> None:
    """Also after one moves to another Service, and after it is gone."""
    store, kind = Store(), Kind.ENDPOINT_SLICE
    store.apply(kind, "ADDED", endpoints("x", 1, "blue"))
    store.apply(kind, "ADDED", endpoints("y", 2, "blue"))
    store.apply(kind, "MODIFIED", endpoints("y", 3, "green"))
    assert [service_of(each) for each in store.endpoint_slices("shop", "green")] == ["green"]
    store.apply(kind, "DELETED", endpoints("x", 4, "blue"))
    assert list(store.endpoint_slices("shop", "blue")) == []


def test_namespaces_are_kept_apart() -> None:
    """The same name in two namespaces is two objects."""
    store = Store()
    store.apply(ROUTE, "ADDED", obj("a", 1))
    store.apply(ROUTE, "ADDED", obj("a", 2, namespace="other"))
    store.apply(ROUTE, "DELETED", obj("a", 3))
    assert [each["metadata"]["namespace"] for each in store.all(ROUTE)] == ["other"]
    assert (list(store.of_namespace(ROUTE, "shop")), store.count(ROUTE)) == ([], 1)


def test_nothing_is_kept_of_what_is_gone() -> None:
    """Names that come and go (EndpointSlices do) leave nothing behind but their tombstones."""
    store = Store()
    for number in range(100):
        store.apply(Kind.ENDPOINT_SLICE, "ADDED", endpoints(f"slice-{number}", 2 * number + 1, f"service-{number}"))
        store.apply(Kind.ENDPOINT_SLICE, "DELETED", endpoints(f"slice-{number}", 2 * number + 2, f"service-{number}"))
    assert (dict(store._slices), dict(store._by_namespace)) == ({}, {})
