"""The engaged switches and whom they cover, as the watch tells it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sluice.api.names import ACTION_LABEL, PLATFORM_LABEL, Kind
from sluice.decide.switches import Reached, kept
from sluice.engine.store import Store
from sluice.engine.switchboard import SwitchBoard
from unit.engine.objects import obj, rollout, switch

WIDE = Kind.CLUSTER_KILL_SWITCH
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def store() -> Store:
    """Two namespaces, of which shop is labelled."""
    store = Store()
    store.apply(Kind.NAMESPACE, "ADDED", obj("shop", 1, namespace="", labels={"team": "shop"}))
    store.apply(Kind.NAMESPACE, "ADDED", obj("other", 2, namespace=""))
    return store


@pytest.fixture
def board(store: Store) -> SwitchBoard:
    """The board over them."""
    return SwitchBoard(store, lambda: NOW)


def names(board: SwitchBoard, namespace: str = "shop", **labels: str) -> list[str]:
    """The switches that cover, strictest first."""
    return [f"{view.kind} {view.effect}" for view in board.covering(Reached(namespace, labels))]


def rollouts_of(board: SwitchBoard, kind: Kind, namespace: str) -> list[str]:
    """The names of the Rollouts that the switch `stop` covers."""
    return [each["metadata"]["name"] for each in board.rollouts_of(*board._engaged[kind, (namespace, "stop")])]


def test_a_switch_covers_while_it_is_engaged(store: Store, board: SwitchBoard) -> None:
    """Engaged, released, engaged again, deleted."""
    store.apply(Kind.KILL_SWITCH, "ADDED", switch(3, engaged=False))
    assert names(board) == []
    store.apply(Kind.KILL_SWITCH, "MODIFIED", switch(4, engaged=True))
    assert names(board) == ["KillSwitch Divert"]
    assert names(board, "other") == []
    store.apply(Kind.KILL_SWITCH, "MODIFIED", switch(5, engaged=False))
    assert names(board) == []
    store.apply(Kind.KILL_SWITCH, "MODIFIED", switch(6, engaged=True))
    store.apply(Kind.KILL_SWITCH, "DELETED", switch(7, engaged=True))
    assert (names(board), board.engaged) == ([], ())


def test_scopes_narrow(store: Store, board: SwitchBoard) -> None:
    """By the Rollout's labels, and for ClusterKillSwitches by the namespace's."""
    scope = {"selector": {"matchLabels": {"tier": "edge"}}, "namespaceSelector": {"matchLabels": {"team": "shop"}}}
    store.apply(WIDE, "ADDED", switch(3, engaged=True, kind=WIDE, scope=scope))
    assert names(board, tier="edge") == ["ClusterKillSwitch Divert"]
    assert names(board, tier="core") == []
    assert names(board, "other", tier="edge") == []


def test_the_strictest_comes_first(store: Store, board: SwitchBoard) -> None:
    """Divert before Hold, whichever came first."""
    store.apply(Kind.KILL_SWITCH, "ADDED", switch(3, engaged=True, effect="Hold"))
    store.apply(WIDE, "ADDED", switch(4, engaged=True, kind=WIDE))
    assert names(board) == ["ClusterKillSwitch Divert", "KillSwitch Hold"]


def test_a_relabelled_namespace_is_covered_at_once(store: Store, board: SwitchBoard) -> None:
    """What matches now is covered: the board asks the present labels."""
    scope = {"namespaceSelector": {"matchLabels": {"team": "new"}}}
    store.apply(WIDE, "ADDED", switch(3, engaged=True, kind=WIDE, scope=scope))
    assert names(board) == []
    store.apply(Kind.NAMESPACE, "MODIFIED", obj("shop", 4, namespace="", labels={"team": "new"}))
    assert names(board) == ["ClusterKillSwitch Divert"]


def test_the_rollouts_of_a_switch(store: Store, board: SwitchBoard) -> None:
    """A KillSwitch reaches its namespace, a ClusterKillSwitch all."""
    store.apply(Kind.ROLLOUT, "ADDED", rollout("a", 5))
    store.apply(Kind.ROLLOUT, "ADDED", rollout("b", 6, namespace="other"))
    store.apply(Kind.KILL_SWITCH, "ADDED", switch(7, engaged=True))
    store.apply(WIDE, "ADDED", switch(8, engaged=True, kind=WIDE))
    assert rollouts_of(board, Kind.KILL_SWITCH, "shop") == ["a"]
    assert rollouts_of(board, WIDE, "") == ["a", "b"]


def test_an_older_event_releases_nothing(store: Store, board: SwitchBoard) -> None:
    """A relist that is behind the watch can't disengage a switch."""
    store.apply(Kind.KILL_SWITCH, "ADDED", switch(9, engaged=True))
    store.apply(Kind.KILL_SWITCH, None, switch(8, engaged=False))
    assert names(board) == ["KillSwitch Divert"]


def test_platforms_and_actions_narrow(store: Store, board: SwitchBoard) -> None:
    """By the labels that say which platform and which action a Rollout serves; one of the named ones is enough."""
    store.apply(
        Kind.KILL_SWITCH, "ADDED", switch(3, engaged=True, scope={"platforms": ["ios", "web"], "actions": ["publish"]})
    )
    assert names(board, **{PLATFORM_LABEL: "ios", ACTION_LABEL: "publish"}) == ["KillSwitch Divert"]
    assert names(board, **{PLATFORM_LABEL: "web", ACTION_LABEL: "publish"}) == ["KillSwitch Divert"]
    assert names(board, **{PLATFORM_LABEL: "android", ACTION_LABEL: "publish"}) == []
    assert names(board, **{PLATFORM_LABEL: "ios"}) == []


def test_whom_it_covered_it_covers_until_it_is_released(store: Store, board: SwitchBoard) -> None:
    """Another label frees nobody; a release does, and so does another scope, which takes the right to release."""
    scope = {"selector": {"matchLabels": {"tier": "edge"}}}
    store.apply(Kind.KILL_SWITCH, "ADDED", switch(3, engaged=True, scope=scope))
    views = board.covering(Reached("shop", {"tier": "edge"}))
    status = {"coveredBy": [each.dump() for each in kept(views)]}
    relabelled = rollout("a", 4, labels={"tier": "core"}, status=status)
    store.apply(Kind.ROLLOUT, "ADDED", relabelled)
    assert board.covering(Reached.read(relabelled)) == views
    assert rollouts_of(board, Kind.KILL_SWITCH, "shop") == ["a"]
    store.apply(Kind.KILL_SWITCH, "MODIFIED", switch(5, engaged=True, scope={"selector": {"matchLabels": {"x": "y"}}}))
    assert board.covering(Reached.read(relabelled)) == ()
    store.apply(Kind.KILL_SWITCH, "MODIFIED", switch(6, engaged=True, scope=scope))
    store.apply(Kind.KILL_SWITCH, "MODIFIED", switch(7, engaged=False, scope=scope))
    assert board.covering(Reached.read(relabelled)) == ()


def test_a_switch_of_another_uid_keeps_nobody(store: Store, board: SwitchBoard) -> None:
    """One of the same name that was made anew covers what matches it."""
    known = switch(3, engaged=True, scope={"selector": {"matchLabels": {"tier": "edge"}}})
    store.apply(Kind.KILL_SWITCH, "ADDED", known)
    grips = [(each.uid, each.scope) for each in kept(board.covering(Reached("shop", {"tier": "edge"})))]
    store.apply(Kind.KILL_SWITCH, "DELETED", known)
    other = switch(5, engaged=True, scope=known["spec"]["scope"])
    other["metadata"]["uid"] = "another"
    store.apply(Kind.KILL_SWITCH, "ADDED", other)
    assert board.covering(Reached("shop", {"tier": "core"}, grips)) == ()


@pytest.mark.parametrize("rubbish", [None, 7, [7], [{"uid": 7}], {"uid": "x"}, [{"uid": None, "scope": []}]])
def test_a_status_full_of_rubbish_keeps_and_frees_nobody(store: Store, board: SwitchBoard, rubbish: object) -> None:
    """Whatever somebody wrote there, what matches is covered, and nothing else is."""
    store.apply(
        Kind.KILL_SWITCH, "ADDED", switch(3, engaged=True, scope={"selector": {"matchLabels": {"tier": "edge"}}})
    )
    for tier, covered in (("edge", 1), ("core", 0)):
        obj = rollout("a", 4, labels={"tier": tier}, status={"coveredBy": rubbish})
        assert len(board.covering(Reached.read(obj))) == covered


@pytest.mark.parametrize(
    "effect, status, covers",
    [
        ("Hold", {"engagedAt": "2026-03-02T01:00:01Z"}, True),
        ("Hold", {"engagedAt": "2026-03-02T01:00:00Z"}, False),
        ("Hold", {"engagedAt": "2026-03-02T01:00:00Z", "observedGeneration": 4}, False),
        ("Hold", {"engagedAt": "2026-03-02T01:00:00Z", "observedGeneration": 3}, True),
        ("Hold", {"engagedAt": "2026-03-02T01:00:00Z", "observedGeneration": "5"}, True),
        ("Hold", {"engagedAt": "2026-03-02T01:00:00Z", "state": "Armed"}, True),
        ("Hold", {}, True),
        ("Hold", {"engagedAt": "yesterday"}, True),
        ("Hold", {"engagedAt": "9999-12-31T23:59:59Z"}, True),
        ("Divert", {"engagedAt": "2026-03-02T01:00:00Z"}, True),
    ],
)
def test_a_hold_expires(store: Store, board: SwitchBoard, effect: str, status: dict[str, object], covers: bool) -> None:
    """Eight hours after it was engaged, by a status that tells of this engagement; a Divert never does."""
    made = switch(3, engaged=True, effect=effect, expires="8h")
    made["metadata"]["generation"] = 5
    told = {"state": "Engaged", "observedGeneration": 5, **status}
    store.apply(Kind.KILL_SWITCH, "ADDED", {**made, "status": told})
    assert bool(names(board)) is covers
