"""The verbs on the command line: what they create, print and exit with."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.errors import Forbidden, Rejected
from sluice.sim.cluster import Call

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def shop(shell: Any, rollout: Make) -> Any:
    """A Rollout at revision 7."""
    shell.add(Kind.ROLLOUT, rollout())
    return shell


def actions(shell: Any) -> list[dict[str, Any]]:
    """The specs of all RolloutActions."""
    return [action["spec"] for action in shell.cluster.store.all(Kind.ROLLOUT_ACTION)]


@pytest.mark.parametrize(
    "line, spec",
    [
        ("promote checkout", {"action": "Promote", "revision": 7}),
        ("promote checkout --full", {"action": "PromoteFully", "revision": 7}),
        ("promote checkout --revision 6", {"action": "Promote", "revision": 6}),
        ("retry checkout", {"action": "Retry", "revision": 7}),
        ("undo checkout", {"action": "Undo", "revision": 7}),
        ("pause checkout", {"action": "Pause"}),
        ("resume checkout", {"action": "Resume"}),
        ("abort checkout", {"action": "Abort"}),
        ("restart checkout", {"action": "Restart"}),
        ("restart checkout --revision 7", {"action": "Restart", "revision": 7}),
        ("reject checkout", {"action": "Reject"}),
        ("hold checkout", {"action": "Hold"}),
        ("hold checkout --for 90m", {"action": "Hold", "duration": "1h30m"}),
        ("extend checkout --by 2h", {"action": "Extend", "duration": "2h"}),
    ],
)
def test_each_verb_is_one_action(shop: Any, answering: Callable[..., None], line: str, spec: dict[str, Any]) -> None:
    """What lets more through names the revision; what stops does not have to. The actor is the API server's to say."""
    answering(shop, "Done", "as you wish")
    result = shop(line, "--reason", "because")
    assert (result.exit_code, result.stdout) == (0, "Rollout shop/checkout: as you wish\n")
    assert actions(shop) == [{"rollout": "checkout", "reason": "because", **spec}]


def test_a_rejected_action_exits_with_1(shop: Any, answering: Callable[..., None]) -> None:
    """The operator's reason goes to stderr."""
    answering(shop, "Rejected", "no wait to skip")
    result = shop("promote checkout")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: Rollout shop/checkout: no wait to skip\n"


def test_no_answer_exits_with_4(shop: Any) -> None:
    """A script can tell "not yet" from "no"."""
    result = shop("promote checkout --timeout 3")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "no answer within 3 s" in result.stderr


def test_no_wait_exits_with_0(shop: Any) -> None:
    """It was taken, and that was all that was asked."""
    result = shop("abort checkout --no-wait")
    assert result.exit_code == 0
    assert "is created; its status will tell" in result.stdout


def test_a_rollout_that_is_not_there_exits_with_3(shell: Any) -> None:
    """No action is left behind."""
    assert shell("promote checkout").exit_code == 3
    assert actions(shell) == []


def test_what_the_api_server_refuses_exits_with_1(shop: Any) -> None:
    """With its sentence."""

    def refuse(call: Any) -> None:
        if call.verb == "create":
            raise Rejected("say which revision you mean")

    shop.cluster.faults.append(refuse)
    result = shop("promote checkout")
    assert result.exit_code == 1
    assert "say which revision you mean" in result.stderr


def test_the_outcome_as_data(shop: Any, answering: Callable[..., None]) -> None:
    """Also of what was rejected: data to stdout, the message to stderr as well."""
    answering(shop, "Rejected", "no wait to skip")
    result = shop("promote checkout -o json")
    outcome = json.loads(result.stdout)
    assert (result.exit_code, outcome["ending"], outcome["kind"]) == (1, "Rejected", "RolloutAction")
    assert outcome["message"] == "Rollout shop/checkout: no wait to skip"
    assert shop("abort checkout --no-wait -o name").stdout.startswith("rolloutaction.sluice.dev/checkout-abort-")


@pytest.mark.parametrize(
    "line", ["promote", "promote Checkout", "promote a/b", "promote checkout --revision 0", "abort x --timeout 0"]
)
def test_wrong_usage_exits_with_2(shop: Any, line: str) -> None:
    """Nothing is created."""
    assert shop(line).exit_code == 2
    assert actions(shop) == []


def test_kill_creates_and_waits_for_the_effect(shell: Any) -> None:
    """The default is one switch for the namespace, named stop; without an operator it stays pending."""
    result = shell("kill --timeout 2 --reason", "5xx on checkout")
    assert result.exit_code == 4
    assert "the operator has not answered yet" in result.stderr
    stored = shell.cluster.store.get(Kind.KILL_SWITCH, "shop", "stop")
    assert stored["spec"] == {"engaged": True, "reason": "5xx on checkout", "effect": "Divert"}


def test_kill_without_an_operator(shell: Any) -> None:
    """It engages, and does not wait for who does not answer; what it cannot read it says, with what it takes."""
    done = shell("kill --direct --reason 5xx")
    assert done.exit_code == 0
    assert done.stdout == "KillSwitch shop/stop is engaged, and 0 targets diverted and held from here\n"
    shell.add(
        Kind.ROLLOUT,
        {"metadata": {"name": "wide", "namespace": "shop"}, "spec": {"fleet": {"batches": [{"name": "all"}]}}},
    )
    done = shell("kill --direct --reason 5xx")
    assert done.exit_code == 1
    assert "Rollout shop/wide: is over a fleet: its traffic is in its members" in done.stderr
    assert "1 of what it covers may still give the candidate traffic" in done.stderr

    def refuse(call: Call) -> None:
        if (call.verb, call.kind) == ("list", Kind.HTTP_ROUTE):
            raise Forbidden('User "rita" cannot list resource "httproutes"')

    shell.cluster.faults.append(refuse)
    done = shell("kill --direct --reason 5xx")
    assert done.exit_code == 1
    assert 'cannot list resource "httproutes"' in done.stderr
    assert "sluice-breakglass" in done.stderr


def test_kill_with_a_scope(shell: Any) -> None:
    """Labels of Rollouts and namespaces, in kubectl's syntax."""
    shell(
        "kill prod --cluster --no-wait --reason 5xx --effect hold -l app=checkout --namespaces", "env in (prod,stage)"
    )
    spec = shell.cluster.store.get(Kind.CLUSTER_KILL_SWITCH, "", "prod")["spec"]
    assert spec["effect"] == "Hold"
    assert spec["scope"] == {
        "selector": {"matchLabels": {"app": "checkout"}},
        "namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "stage"]}]},
    }


def test_kill_in_some_members(shell: Any) -> None:
    """By the labels of MemberClusters; what is not said of a scope is not written."""
    shell("kill eu --no-wait --reason 5xx --members region=eu")
    spec = shell.cluster.store.get(Kind.KILL_SWITCH, "shop", "eu")["spec"]
    assert spec["scope"] == {"clusters": {"matchLabels": {"region": "eu"}}}


def test_kill_that_expires(shell: Any) -> None:
    """A hold for some hours."""
    shell("kill freeze --no-wait --reason maintenance --effect hold --expires 1h30m")
    spec = shell.cluster.store.get(Kind.KILL_SWITCH, "shop", "freeze")["spec"]
    assert (spec["effect"], spec["expires"]) == ("Hold", "1h30m")


@pytest.mark.parametrize(
    "line",
    [
        "kill",
        "release",
        "kill --reason x --namespaces a=b",
        "kill --reason x --effect stop",
        "kill --reason x --expires 8h",
        "kill --reason x --effect divert --expires 8h",
        "kill --reason x --effect hold --expires 8d",
        "kill --reason x --effect hold --direct",
    ],
)
def test_kill_and_release_want_a_reason(shell: Any, line: str) -> None:
    """And what fits together."""
    assert shell(line).exit_code == 2


def test_release(shell: Any, switch: Make) -> None:
    """The switch is let go with its reason; what is not there exits with 3."""
    shell.add(Kind.KILL_SWITCH, switch())
    assert shell("release --no-wait --reason fixed").exit_code == 0
    spec = shell.cluster.store.get(Kind.KILL_SWITCH, "shop", "stop")["spec"]
    assert (spec["engaged"], spec["releaseReason"]) == (False, "fixed")
    assert shell("release --cluster --reason fixed").exit_code == 3
