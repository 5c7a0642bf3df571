"""Whom a policy covers, and who goes first by it: kept up with the caches, never looked for again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluice.api.common import ObjectRef
from sluice.api.names import Kind
from sluice.decide.policyview import Reference
from sluice.engine.policyboard import PolicyBoard
from sluice.engine.standing import Standing
from sluice.engine.store import Key, Store
from sluice.sim import manifests

RINGS = st.sampled_from(["house", "client"])
HOMES = st.sampled_from(["shop", "bank"])
ROLLOUTS = st.tuples(
    st.just(Kind.ROLLOUT),
    HOMES,
    st.sampled_from(["a", "b", "c"]),
    st.none()
    | st.tuples(RINGS, st.sampled_from(["", "1.0", "2.0"]), st.sampled_from(["Healthy", "Degraded", "Paused"])),
)
NAMESPACES = st.tuples(
    st.just(Kind.NAMESPACE), st.just(""), HOMES, st.none() | st.sampled_from(["", "house", "client"])
)
POLICIES = st.tuples(st.just(Kind.ROLLOUT_POLICY), st.just(""), st.just("prod"), st.none() | RINGS)
CHANGES = st.lists(ROLLOUTS | NAMESPACES | POLICIES, max_size=20)


def body(kind: Kind, said: Any) -> dict[str, Any]:
    """What is said of an object, beside its name."""
    if kind is Kind.NAMESPACE:
        return {"metadata": {"labels": {"ring": said} if said else {}}}
    if kind is Kind.ROLLOUT_POLICY:
        selectors = {"selector": {"matchLabels": {"ring": said}}, "namespaceSelector": {"matchLabels": {"ring": said}}}
        others = {"matchExpressions": [{"key": "ring", "operator": "NotIn", "values": [said]}]}
        return {"spec": manifests.policy("prod", selector=others, requireStable={"for": "1m", **selectors})["spec"]}
    ring, version, phase = said
    since = "2026-03-01T12:00:00Z"
    stable = {"stable": {"slot": "blue", "version": version, "hash": "0123456789", "number": 1, "since": since}}
    queued = {"queued": {"policy": "prod", "since": since}}
    status = {"phase": phase, **(stable if version else {}), **(queued if phase == "Paused" else {})}
    return {"metadata": {"labels": {"ring": ring}}, "status": status}


class Caches:
    """A cache that is told of changes, and the policies in it."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store if store is not None else Store()
        self.board = PolicyBoard(self.store)
        self._versions = count(1)
        self.told(Kind.ROLLOUT_POLICY, "", "prod", "house")

    def told(self, kind: Kind, namespace: str, name: str, said: Any) -> None:
        """Let it be told of an object; None: it is gone."""
        stored = self.store.get(kind, namespace, name)
        changed = body(kind, said) if said is not None else (stored or {})
        version = str(next(self._versions))
        uid = stored["metadata"]["uid"] if stored is not None else version
        named = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version}
        obj = {**changed, "metadata": {**changed.get("metadata", {}), **named}}
        self.store.apply(kind, "DELETED" if said is None else "MODIFIED", obj)

    def anew(self) -> PolicyBoard:
        """The policies as a process sees them that begins now."""
        store = Store()
        board = PolicyBoard(store)
        for kind in (Kind.NAMESPACE, Kind.ROLLOUT_POLICY, Kind.ROLLOUT):
            for obj in self.store.all(kind):
                store.apply(kind, None, obj)
        return board


def first_by(board: PolicyBoard) -> list[tuple[Reference, ...]]:
    """Who goes first for a Rollout that every policy covers."""
    ref = ObjectRef(namespace="elsewhere", name="waits", uid="w")
    return [view.references for view in board.covering(ref, {}, begins=True)]


def covered_by(board: PolicyBoard) -> dict[Key, Standing] | None:
    """How those stand that the policy covers; None without it."""
    policy = board.get("prod")
    return dict(board.covered_by(policy).items()) if policy is not None else None


@given(CHANGES)
def test_whatever_came_before_they_are_those_that_are_there_now(
    changes: list[tuple[Kind, str, str, Any]],
) -> None:
    """After any changes of Rollouts, namespaces and the policy, they are who a new process would find."""
    caches = Caches()
    for change in changes:
        caches.told(*change)
        anew = caches.anew()
        assert first_by(caches.board) == first_by(anew)
        assert covered_by(caches.board) == covered_by(anew)


def test_nobody_looks_at_all_again() -> None:
    """A pass of one of ten thousand that wait must not cost a look at ten thousand, nor must one of their policy."""

    class Counted(Store):
        scans = 0

        def all(self, kind: Kind) -> Iterator[dict[str, Any]]:
            """All objects of a kind."""
            self.scans += 1
            return super().all(kind)

    store = Counted()
    caches = Caches(store)
    caches.told(Kind.NAMESPACE, "", "shop", "house")
    caches.told(Kind.ROLLOUT, "shop", "a", ("house", "1.0", "Healthy"))
    caches.told(Kind.ROLLOUT, "shop", "b", ("client", "1.0", "Healthy"))
    first_by(caches.board)
    covered_by(caches.board)
    before = store.scans
    for version in ("2.0", "3.0"):
        caches.told(Kind.ROLLOUT, "shop", "a", ("house", version, "Healthy"))
        [[reference]] = first_by(caches.board)
        assert reference.version == version
        covered = covered_by(caches.board)
        assert covered is not None
        assert list(covered) == [("shop", "b")]
    assert store.scans == before
