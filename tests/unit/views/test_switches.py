"""Kill switches as a person sees them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.views.switches import bearing_on, switch_row

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ROLLOUT = {"metadata": {"namespace": "shop", "name": "checkout", "labels": {"app": "checkout"}}}


def switch(kind: str = "KillSwitch", namespace: str = "shop", **fields: Any) -> dict[str, Any]:
    """A kill switch; engaged unless its spec says otherwise."""
    spec = {"engaged": True, "reason": "5xx", "engagedBy": "alice", "effect": "Divert"} | fields.pop("spec", {})
    metadata = {"name": "stop", "generation": 2} | ({"namespace": namespace} if kind == "KillSwitch" else {})
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": fields.pop("status", {})}


@pytest.mark.parametrize(
    "engaged, status, state",
    [
        (False, {}, "Armed"),
        (True, {}, "Engaging"),
        (True, {"state": "Armed", "observedGeneration": 1}, "Engaging"),
        (True, {"state": "Engaging", "observedGeneration": 2}, "Engaging"),
        (True, {"state": "Engaged", "observedGeneration": 2}, "Engaged"),
        (True, {"state": "Engaged", "observedGeneration": 1}, "Engaging"),
        (False, {"state": "Engaged", "observedGeneration": 1}, "Releasing"),
        (True, {"state": "Expired", "observedGeneration": 1}, "Engaging"),
        (False, {"state": "Expired", "observedGeneration": 1}, "Releasing"),
        (True, {"state": 7}, "?"),
    ],
)
def test_state_never_claims_more_than_the_operator_saw(engaged: bool, status: dict[str, Any], state: str) -> None:
    """Between a person's word and the operator's answer, the state is on its way."""
    assert switch_row(switch(spec={"engaged": engaged}, status=status), NOW).state == state


def watched(status: str, **more: Any) -> dict[str, Any]:
    """A status that says so of Watching."""
    return {"observedGeneration": 2, "conditions": [{"type": "Watching", "status": status}], **more}


@pytest.mark.parametrize(
    "spec, status, told",
    [
        ({}, {}, ""),
        ({"autoTrip": {"metrics": [{}]}, "engaged": False}, {}, "not yet"),
        ({"autoTrip": {"metrics": [{}]}, "engaged": False}, watched("True"), "watching"),
        ({"autoTrip": {"metrics": [{}]}, "engaged": False}, watched("False"), "blind"),
        ({"autoTrip": {"metrics": [{}]}, "engaged": False}, watched("Unknown"), "not yet"),
        ({"autoTrip": {"metrics": [{}]}, "engaged": False}, watched("True", observedGeneration=1), "not yet"),
        ({"autoTrip": {"metrics": [{}]}}, watched("False"), "no: engaged"),
        ({"autoTrip": {"metrics": [{}]}}, watched("False", trippedBy={"metric": "cost"}), "tripped"),
    ],
)
def test_whether_it_sees_what_may_trip_it(spec: dict[str, Any], status: dict[str, Any], told: str) -> None:
    """Never called watching on the word of a status that answers another spec."""
    assert switch_row(switch(spec=spec, status=status), NOW).watch == told


def test_what_tripped_it_is_who_engaged_it() -> None:
    """The metric is named instead of the operator's account; a person who was first keeps their name."""
    tripped, operator = {"trippedBy": {"metric": "cost"}}, "system:serviceaccount:sluice-system:sluice"
    assert switch_row(switch(spec={"engagedBy": operator}, status=tripped), NOW).by == "itself: cost"
    assert switch_row(switch(status=tripped), NOW).by == "alice"


@pytest.mark.parametrize(
    "kind, scope, text",
    [
        ("KillSwitch", {}, "all in shop"),
        ("ClusterKillSwitch", {}, "all"),
        ("KillSwitch", {"selector": {"matchLabels": {"app": "checkout"}}}, "app=checkout"),
        (
            "KillSwitch",
            {"selector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}},
            "tier In (a,b)",
        ),
        ("ClusterKillSwitch", {"namespaceSelector": {"matchLabels": {"env": "prod"}}}, "namespaces env=prod"),
        ("KillSwitch", {"selector": {"matchLabels": "all of them"}}, "?"),
        ("KillSwitch", {"platforms": ["ios", "web"], "actions": ["publish"]}, "platforms ios,web; actions publish"),
        ("ClusterKillSwitch", {"clusters": {"matchLabels": {"region": "eu"}}}, "clusters region=eu"),
    ],
)
def test_scope_reads_as_a_selector(kind: str, scope: dict[str, Any], text: str) -> None:
    """What a switch covers is said in the words that kubectl takes."""
    assert switch_row(switch(kind, spec={"scope": scope}), NOW).scope == text


def test_what_is_not_engaged_has_no_actor() -> None:
    """Who and why are of the present engagement; those of the last one would mislead."""
    row = switch_row(switch(spec={"engaged": False}, status={"diverted": {"routes": 3}}), NOW)
    assert (row.by, row.reason, row.engaged, row.diverted) == ("", "", "", "")


def test_a_switch_of_some_clusters_bears_on_fleets_alone() -> None:
    """It may cover parts of a Rollout over a fleet; a Rollout of this cluster it never covers."""
    some = switch(spec={"scope": {"clusters": {"matchLabels": {"region": "eu"}}}})
    over_fleet = {**ROLLOUT, "spec": {"fleet": {"batches": [{"name": "all"}]}}}
    assert not bearing_on(ROLLOUT, [some], namespace_labels=None, now=NOW)
    assert bearing_on(over_fleet, [some], namespace_labels=None, now=NOW)


def test_force_is_told_with_the_effect() -> None:
    """Who reads the list sees which switch does not ask whether stable answers."""
    assert switch_row(switch(spec={"force": True}), NOW).effect == "Divert, forced"


def test_progress_of_a_divert() -> None:
    """Routes that are at 0 and confirmed, of all that it concerns."""
    assert switch_row(switch(status={"diverted": {"routes": 2, "pending": 1}}), NOW).diverted == "2/3 routes"


@pytest.mark.parametrize(
    "given, labels, covers",
    [
        (switch(), None, True),
        (switch(namespace="bank"), None, False),
        (switch(spec={"engaged": False}), None, False),
        (switch(spec={"scope": {"selector": {"matchLabels": {"app": "cart"}}}}), None, False),
        (switch(spec={"scope": {"platforms": ["ios"]}}), None, False),
        (switch("ClusterKillSwitch"), None, True),
        (switch("ClusterKillSwitch", spec={"scope": {"namespaceSelector": {"matchLabels": {"env": "x"}}}}), {}, False),
        (switch("ClusterKillSwitch", spec={"scope": {"namespaceSelector": {"matchLabels": {"env": "x"}}}}), None, True),
        (switch(spec={"scope": "everything"}), None, True),
    ],
)
def test_which_switches_bear_on_a_rollout(given: dict[str, Any], labels: dict[str, str] | None, covers: bool) -> None:
    """Those that are engaged and cover it; where that cannot be known, better shown than hidden."""
    assert bool(bearing_on(ROLLOUT, [given], namespace_labels=labels, now=NOW)) is covers
