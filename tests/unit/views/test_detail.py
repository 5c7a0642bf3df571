"""The read models of a Rollout: rows, details and what to do next."""

import dataclasses
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.views.detail import rollout_detail
from sluice.views.rows import rollout_row

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def stamp(seconds: float) -> str:
    """A time so many seconds from NOW."""
    return (NOW + timedelta(seconds=seconds)).isoformat()


def condition(kind: str, reason: str, status: str = "True", message: str = "") -> dict[str, Any]:
    """A condition that changed a minute ago."""
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": stamp(-60)}


def rollout(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A Rollout that goes from blue to green, with this status over a run that is at step 3 of 6."""
    under_way = {
        "observedGeneration": 2,
        "phase": "Progressing",
        "stable": {"slot": "blue", "hash": "aaaaaaaaaaaaaaaa", "version": "1.4.0", "number": 6},
        "revision": {"number": 7, "hash": "bbbbbbbbbbbbbbbb", "slot": "green", "version": "1.5.0"},
        "step": {"index": 3, "of": 6, "kind": "pause", "startedAt": stamp(-30)},
        "weight": "25%",
    }
    return {
        "kind": "Rollout",
        "metadata": {"namespace": "shop", "name": "checkout", "generation": 2, **metadata},
        "spec": {
            "workload": {"services": {"blue": "checkout-blue", "green": "checkout-green"}, "active": "green"},
            "strategy": {"canary": {"steps": []}},
        },
        "status": under_way | (status or {}),
    }


def switch(name: str = "stop", kind: str = "KillSwitch", **spec: Any) -> dict[str, Any]:
    """An engaged kill switch in shop."""
    metadata = {"name": name, "generation": 1, **({"namespace": "shop"} if kind == "KillSwitch" else {})}
    return {"kind": kind, "metadata": metadata, "spec": {"engaged": True, "reason": "5xx", **spec}}


def hint(obj: dict[str, Any], *switches: dict[str, Any]) -> str:
    """What to do next about it."""
    return rollout_detail(obj, switches, now=NOW).hint


def test_a_row_tells_where_a_run_stands() -> None:
    """Step, share, version of the candidate and the countdown, each as a person reads it."""
    row = rollout_row(rollout({"nextTransitionAt": stamp(252)}, creationTimestamp=stamp(-90_000)), NOW)
    assert (row.phase, row.step, row.weight, row.version) == ("Progressing", "3/6 pause", "25%", "1.5.0")
    assert (row.next, row.age, row.strategy, row.revision) == ("in 4m12s", "1d1h", "canary", "7")


def test_a_row_names_what_serves_when_no_run_is_under_way() -> None:
    """After a run that was aborted, the version is the stable one, and nothing is due."""
    ended = {"revision": {"number": 7, "slot": "green", "outcome": "Aborted"}, "nextTransitionAt": stamp(9)}
    row = rollout_row(rollout(ended), NOW)
    assert (row.version, row.next) == ("1.4.0", "")


def test_a_row_without_status_is_empty_not_wrong() -> None:
    """A Rollout that the operator has not seen has no phase; nothing is made up."""
    row = rollout_row({"metadata": {"name": "checkout"}}, NOW)
    assert (row.name, row.phase, row.step, row.weight, row.strategy) == ("checkout", "", "", "", "?")


def test_a_broken_field_shows_as_such_and_the_rest_goes_on() -> None:
    """One rubbish field costs one cell."""
    row = rollout_row(rollout({"step": "three", "phase": 5}), NOW)
    assert (row.step, row.phase, row.weight, row.version) == ("?/? ?", "?", "25%", "1.5.0")


@pytest.mark.parametrize(
    "status, shares",
    [
        ({}, ("75%", "25%")),
        ({"revision": None, "weight": None}, ("100%", "")),
        ({"weight": "lots"}, ("?", "?")),
        ({"revision": {"slot": "green", "outcome": "Killed"}, "weight": "0%"}, ("100%", "0%")),
        (
            {"stable": {"slot": "green"}, "revision": {"slot": "green", "outcome": "Completed"}, "weight": 100},
            ("0%", "100%"),
        ),
    ],
)
def test_shares_of_the_slots_add_up(status: dict[str, Any], shares: tuple[str, str]) -> None:
    """`weight` is the share of the slot that the run goes to; the other has the rest."""
    detail = rollout_detail(rollout(status), now=NOW)
    assert tuple(slot.share for slot in detail.slots) == shares


@pytest.mark.parametrize(
    "outcome, role", [(None, "candidate"), ("Aborted", "rejected"), ("Killed", "rejected"), ("Completed", "idle")]
)
def test_the_other_slot_has_a_role(outcome: str | None, role: str) -> None:
    """A candidate that was rejected is kept for a look, and said to be."""
    status = {"revision": {"number": 7, "slot": "green", "outcome": outcome}}
    assert rollout_detail(rollout(status), now=NOW).slots[1].role == role


@pytest.mark.parametrize(
    "status, expected",
    [
        ({"phase": None}, "no status yet: is the operator running? Look at its pods and their logs"),
        (
            {"phase": "Paused", "conditions": [condition("Paused", "AwaitsPromotion")]},
            "waits for you: sluice promote checkout -n shop",
        ),
        (
            {"phase": "Paused", "conditions": [condition("Paused", "PausedByAction")], "pausedBy": {"actor": "alice"}},
            "paused by alice: sluice resume checkout -n shop",
        ),
        (
            {"phase": "Paused", "conditions": [condition("Paused", "HeldByAction")], "heldBy": {"actor": "dave"}},
            "held by dave: sluice resume checkout -n shop",
        ),
        (
            {
                "phase": "Paused",
                "conditions": [condition("Paused", "HeldByAction")],
                "heldBy": {"actor": "dave", "until": stamp(90)},
            },
            "held by dave: sluice resume checkout -n shop, or it goes on in 1m30s",
        ),
        (
            {"phase": "Paused", "conditions": [condition("Paused", "PausedBySpec")]},
            "paused in its manifest: set spec.paused to false",
        ),
        (
            {"phase": "Paused", "conditions": [condition("Paused", "AnalysisHolds")]},
            "the analysis holds it; you decide: sluice promote checkout -n shop (past an inline one), "
            "or sluice abort checkout -n shop",
        ),
        ({"nextTransitionAt": stamp(252)}, "goes on in 4m12s; sooner: sluice promote checkout -n shop"),
        ({"step": {"kind": "analysis"}, "nextTransitionAt": stamp(5)}, "goes on in 5s"),
        ({"waiting": {"reason": "WaitsForEndpoints", "since": stamp(-42)}}, "waits (WaitsForEndpoints) since 42s"),
        (
            {"phase": "Aborted", "revision": {"number": 7, "outcome": "Aborted"}},
            "stable serves; to try this revision again: sluice retry checkout -n shop, "
            "or set spec.workload.active back to blue",
        ),
        ({"phase": "Killed"}, "no kill switch covers it any more: sluice retry checkout -n shop"),
        (
            {"phase": "Degraded", "conditions": [condition("Stalled", "RouteMissing")]},
            "stalled (RouteMissing): mend what its message names; "
            "the operator goes on by itself when it sees the change",
        ),
        ({"phase": "Healthy"}, "nothing to do"),
    ],
)
def test_each_state_has_a_next_step(status: dict[str, Any], expected: str) -> None:
    """Whoever reads the page knows what to type, or that there is nothing to."""
    assert hint(rollout(status)) == expected


def test_what_stalls_a_run_is_named_where_the_message_speaks_of_its_step() -> None:
    """Nobody has to look for it among the conditions."""
    message = "HTTPRoute shop/checkout does not exist. Create it"
    stalled = [condition("Stalled", "RouteMissing", message=message)]
    assert hint(rollout({"message": "step 2 of 3", "conditions": stalled})) == f"stalled (RouteMissing): {message}"


@pytest.mark.parametrize(
    "workload, version, back",
    [
        ({"template": {}}, "1.4.0", "apply the pod template that serves (1.4.0) again"),
        ({"template": {}}, None, "apply the pod template that serves again"),
        (
            {"workloadRef": {"name": "web"}},
            "1.4.0",
            "apply the pod template that serves (1.4.0) again, in Deployment web",
        ),
    ],
)
def test_the_way_back_where_sluice_runs_the_pods(workload: dict[str, Any], version: str | None, back: str) -> None:
    """There is no slot to ask for, and undo would go one further back: the former template is applied again."""
    stable = {"slot": "blue", "hash": "aa", "version": version}
    obj = rollout({"phase": "Aborted", "stable": stable, "revision": {"number": 7, "outcome": "Aborted"}})
    obj["spec"]["workload"] = workload
    assert hint(obj).endswith(f"sluice retry checkout -n shop, or {back}")


def test_a_first_version_that_comes_up_says_where_to_look() -> None:
    """Until a pod of it answers, the hint names the pods, and how to see them."""
    pods = {"hash": "aa", "replicas": 3, "ready": 0}
    obj = rollout({"phase": "Degraded", "revision": None, "slots": {"blue": pods}})
    obj["spec"]["workload"] = {"template": {}}
    assert hint(obj) == (
        "waits for the pods of checkout-blue, of which 0 of 3 are ready: "
        "kubectl get pods -n shop -l sluice.dev/rollout=checkout,sluice.dev/slot=blue"
    )


def test_a_run_that_waits_for_pods_says_how_long_and_where_to_look() -> None:
    """The deadline is what ends the wait, where it ends it; the pods are those of the slot that comes up."""
    obj = rollout({"waiting": {"reason": "WaitsForEndpoints", "since": stamp(-42)}})
    obj["spec"] |= {"workload": {"template": {}}, "progressDeadline": "10m", "onDeadline": "Abort"}
    look = "see kubectl get pods -n shop -l sluice.dev/rollout=checkout,sluice.dev/slot=green"
    obj["status"]["revision"] = {"number": 7, "slot": "green"}
    assert hint(obj) == f"waits (WaitsForEndpoints) since 42s, at most 10m; {look}"
    obj["spec"]["onDeadline"] = "Hold"
    assert hint(obj) == f"waits (WaitsForEndpoints) since 42s; {look}"


def test_a_rollout_without_pods_says_how_it_gets_some() -> None:
    """Zero replicas are no mystery of endpoints: they are what the spec asks for."""
    obj = rollout({"phase": "Degraded", "revision": None})
    obj["spec"]["workload"] = {"template": {}, "replicas": 0}
    assert hint(obj) == (
        "spec.workload.replicas is 0, so there are no pods: kubectl scale rollout/checkout -n shop --replicas=1"
    )


def test_a_switch_that_nobody_acted_on_is_the_next_thing() -> None:
    """The status is from before the switch: nobody is told to promote while an operator is missing."""
    obj = rollout({"nextTransitionAt": stamp(252)})
    assert hint(obj, switch()) == (
        "KillSwitch shop/stop is engaged, and the operator has not acted on it yet; if that lasts, it does not answer: "
        "kubectl get pods,lease -n sluice-system"
    )
    obj["status"]["conditions"] = [condition("Killed", "HeldBySwitch"), condition("Paused", "PausedBySpec")]
    assert hint(obj, switch()).startswith("paused in its manifest")


def test_a_run_at_work_needs_nobody() -> None:
    """While a slot is drained there is nothing to type."""
    assert hint(rollout()) == "nothing to do: it goes on by itself"


def test_what_is_held_by_hand_says_how_it_is_let_go() -> None:
    """While it is held, and after it ended a run: retry is refused before the annotation is gone."""
    let_go = "kubectl annotate KIND NAME -n shop sluice.dev/hold-"
    held = rollout({"phase": "Paused", "conditions": [condition("Paused", "HeldByHand")]})
    assert hint(held) == f"held by hand, as its message names; to let it go on: {let_go}"
    killed = rollout({"phase": "Killed", "conditions": [condition("Killed", "HeldByHand")]})
    assert hint(killed) == f"once nobody holds it by hand any more ({let_go}): sluice retry checkout -n shop"


def test_a_killed_rollout_is_released_first() -> None:
    """While a switch covers it, retry would be refused: the hint names the switch and both steps in order."""
    assert hint(rollout({"phase": "Killed"}), switch()) == (
        "held by KillSwitch shop/stop: sluice release stop -n shop --reason '...', then sluice retry checkout -n shop"
    )


def test_a_cluster_switch_is_released_with_its_flag() -> None:
    """The command in the hint works as it stands."""
    held = rollout({"phase": "Paused", "conditions": [condition("Paused", "HeldBySwitch")]})
    assert "sluice release all --cluster" in hint(held, switch("all", "ClusterKillSwitch"))


def test_a_deleted_rollout_says_so_first() -> None:
    """Whatever else holds, it is going away."""
    assert hint(rollout({"phase": "Healthy"}, deletionTimestamp=stamp(-1))).startswith("being deleted")


def test_hints_use_the_program_that_was_called() -> None:
    """As kubectl's plugin, the commands are kubectl's."""
    obj = rollout({"phase": "Killed"})
    assert "kubectl sluice retry" in rollout_detail(obj, now=NOW, program="kubectl sluice").hint


def test_it_tells_that_the_operator_is_behind() -> None:
    """A status of an older generation speaks of an older spec."""
    assert rollout_detail(rollout(generation=3), now=NOW).behind
    assert not rollout_detail(rollout(), now=NOW).behind


def test_newest_comes_first() -> None:
    """History and audit trail are read from the present backwards, and only their end is shown."""
    history = [{"number": number, "outcome": "Completed"} for number in range(1, 9)]
    entries = [{"seq": number} for number in range(1, 33)]
    detail = rollout_detail(rollout({"history": history, "audit": {"entries": entries}}), now=NOW)
    assert [line.revision for line in detail.history] == ["8", "7", "6", "5", "4"]
    assert [line.seq for line in detail.audit][:2] == ["32", "31"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "phase",
    "message",
    "stable",
    "revision",
    "step",
    "weight",
    "nextTransitionAt",
    "confirmation",
    "waiting",
    "pausedBy",
    "heldBy",
    "approvals",
    "metrics",
    "conditions",
    "history",
    "audit",
    "observedGeneration",
    "slots",
]


def texts(value: object) -> list[str]:
    """Every string in a read model."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, (tuple, list)):
        return [text for item in value for text in texts(item)]
    return [text for item in value.values() for text in texts(item)] if isinstance(value, dict) else []


@given(
    status=JSON | st.dictionaries(st.sampled_from(FIELDS), JSON | st.lists(st.dictionaries(st.just("message"), JSON))),
    spec=JSON,
    switches=st.lists(
        st.fixed_dictionaries({"metadata": JSON, "spec": JSON | st.just({"engaged": True}), "status": JSON})
    ),
)
def test_no_object_is_too_broken_to_show(status: Any, spec: Any, switches: list[dict[str, Any]]) -> None:
    """Whatever sits in a status, the page comes, and nothing in it can command a terminal."""
    obj = {"metadata": {"name": "checkout", "namespace": "shop"}, "spec": spec, "status": status}
    detail = rollout_detail(obj, switches, now=NOW)
    shown = "".join(texts(dataclasses.asdict(detail)))
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Zl", "Zp"}
