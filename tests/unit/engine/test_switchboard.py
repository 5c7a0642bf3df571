"""The engaged switches and whom they cover, as the watch tells it."""

from __future__ import annotations

import pytest

from sluice.api.names import Kind
from sluice.engine.store import Store
from sluice.engine.switchboard import SwitchBoard
from unit.engine.objects import obj, rollout, switch

WIDE = Kind.CLUSTER_KILL_SWITCH


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
    return SwitchBoard(store)


def names(board: SwitchBoard, namespace: str = "shop", **labels: str) -> list[str]:
    """The switches that cover, strictest first."""
    return [f"{view.kind} {view.effect}" for view in board.covering(namespace, labels)]


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
    spec = board._engaged[Kind.KILL_SWITCH, ("shop", "stop")][0]
    assert [each["metadata"]["name"] for each in board.rollouts_of(Kind.KILL_SWITCH, "shop", spec)] == ["a"]
    spec = board._engaged[WIDE, ("", "stop")][0]
    assert [each["metadata"]["name"] for each in board.rollouts_of(WIDE, "", spec)] == ["a", "b"]


def test_an_older_event_releases_nothing(store: Store, board: SwitchBoard) -> None:
    """A relist that is behind the watch can't disengage a switch."""
    store.apply(Kind.KILL_SWITCH, "ADDED", switch(9, engaged=True))
    store.apply(Kind.KILL_SWITCH, None, switch(8, engaged=False))
    assert names(board) == ["KillSwitch Divert"]
