"""Two MemberClusters that lead to one cluster: one of them works there, and says so of the other."""

from __future__ import annotations

from typing import Any

from sluice.engine.claims import Claims

Obj = dict[str, Any]
OLD, NEW = "2026-03-01T09:00:00Z", "2026-03-02T09:00:00Z"


def member(created: str = OLD, cluster: str = "") -> Obj:
    """A MemberCluster."""
    status = {"clusterUid": cluster} if cluster else {}
    return {"metadata": {"creationTimestamp": created}, "status": status}


def test_the_first_that_was_made_has_the_cluster() -> None:
    """Then the first by name; whoever asks first. The other hears who has it, and looks again when that one is gone."""
    woken: list[str] = []
    members = {"a": member(NEW), "b": member(OLD), "c": member(OLD)}
    claims = Claims(members, woken.append)
    assert claims.take("b", "uid-1") == ""
    assert [claims.take(name, "uid-1") for name in "abc"] == ["b", "", "b"]
    del members["b"]
    claims.forget("b")
    claims.leave("b")
    assert woken == ["a", "c"]
    assert [claims.take(name, "uid-1") for name in "ac"] == ["c", ""]


def test_who_comes_first_waits_until_the_other_has_left() -> None:
    """Never two at work: the one that has to give way is woken, and ends its work before the first begins."""
    woken: list[str] = []
    claims = Claims({"late": member(NEW), "early": member(OLD)}, woken.append)
    assert claims.take("late", "uid-1") == ""
    assert (claims.take("early", "uid-1"), woken) == ("late", ["late"])
    assert claims.take("late", "uid-1") == "early"
    claims.leave("late")
    assert woken == ["late", "early"]
    assert (claims.take("early", "uid-1"), claims.take("late", "uid-1")) == ("", "early")


def test_who_has_a_cluster_keeps_it() -> None:
    """An older member whose kubeconfig leads there by mistake takes it from nobody, nor does a restart."""
    members = {"older": member(OLD, "uid-2"), "newer": member(NEW, "uid-1")}
    claims = Claims(members, lambda _: None)
    assert (claims.take("older", "uid-1"), claims.take("newer", "uid-1")) == ("newer", "")


def test_other_clusters_are_others() -> None:
    """Members that lead elsewhere are in nobody's way; one whose cluster changed gives the old one up."""
    claims = Claims({"a": member(), "b": member()}, lambda _: None)
    assert (claims.take("a", "uid-1"), claims.take("b", "uid-2")) == ("", "")
    claims.forget("a")
    claims.leave("a")
    assert claims.take("a", "uid-3") == ""
    assert claims.take("b", "uid-1") == ""
