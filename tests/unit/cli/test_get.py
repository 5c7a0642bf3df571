"""`sluice get`."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from sluice.api.names import Kind
from sluice.errors import Forbidden, Unavailable

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def shop(shell: Any, rollout: Make, switch: Make) -> Any:
    """Two Rollouts in shop, one of them broken, one in bank, and two switches."""
    shell.add(Kind.ROLLOUT, rollout())
    shell.add(Kind.ROLLOUT, rollout("cart", status={"phase": ["Healthy"], "step": 7, "weight": "lots", "message": "?"}))
    shell.add(Kind.ROLLOUT, rollout("ledger", "bank"))
    shell.add(Kind.KILL_SWITCH, switch())
    shell.add(Kind.CLUSTER_KILL_SWITCH, switch("freeze", "", effect="Hold", engaged=False))
    return shell


@pytest.mark.parametrize(
    "line, name",
    [
        ("get", "get.txt"),
        ("get -A -o wide", "get-all-wide.txt"),
        ("get rollouts checkout -o json", "get-one.json"),
        ("get -o yaml -l app=checkout", "get-selected.yaml"),
        ("get switches", "get-switches.txt"),
        ("get switches -A -o wide", "get-switches-wide.txt"),
    ],
)
def test_what_it_prints(shop: Any, golden: Callable[[str, str], None], line: str, name: str) -> None:
    """The tables and documents, to the letter; a broken object costs its own cells and nothing else."""
    result = shop(line)
    assert result.exit_code == 0
    golden(name, result.stdout)


@pytest.mark.parametrize("line, name", [("get", "get-pods.txt"), ("get -o wide", "get-pods-wide.txt")])
def test_what_it_prints_of_pods(orders: Any, golden: Callable[[str, str], None], line: str, name: str) -> None:
    """Pods ready of those asked for, in both slots together; wide, also how many the traffic needs."""
    result = orders(line)
    assert result.exit_code == 0
    golden(name, result.stdout)


def test_json_is_a_list_of_the_objects(shop: Any) -> None:
    """Scripts get what kubectl would give them, without managedFields."""
    listed = json.loads(shop("get -A -o json").stdout)
    assert listed["kind"] == "List"
    assert [item["metadata"]["name"] for item in listed["items"]] == ["ledger", "cart", "checkout"]
    assert all("managedFields" not in item["metadata"] for item in listed["items"])
    assert yaml.safe_load(shop("get -A -o yaml").stdout) == listed


@pytest.mark.parametrize(
    "selector, names",
    [
        ("app=checkout", ["checkout"]),
        ("app!=checkout", ["cart"]),
        ("app in (cart,checkout)", ["cart", "checkout"]),
        ("!app", []),
        ("app,app!=cart", ["checkout"]),
    ],
)
def test_labels_select(shop: Any, selector: str, names: list[str]) -> None:
    """With kubectl's syntax."""
    printed = shop("get -o name -l", selector).stdout.split()
    assert printed == [f"rollout.sluice.dev/{name}" for name in names]


def test_nothing_found_is_no_failure(shell: Any) -> None:
    """The message goes to stderr, so that a pipe gets nothing."""
    result = shell("get")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No Rollouts in namespace shop.\n")


def test_a_name_that_is_not_there_exits_with_3(shell: Any) -> None:
    """And says where to look."""
    result = shell("get rollouts checkout")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "sluice get rollouts -n shop" in result.stderr


def test_a_switch_by_its_name_may_be_the_clusters(shop: Any) -> None:
    """Whoever asks for a switch by name need not know its kind."""
    assert json.loads(shop("get switches freeze -o json").stdout)["kind"] == "ClusterKillSwitch"


@pytest.mark.parametrize("line", ["", "-A -o wide", "freeze -o yaml", "nothing"])
def test_switches_have_a_command_of_their_own(shop: Any, line: str) -> None:
    """`sluice switches` is `sluice get switches`, whatever is asked."""
    short, whole = shop(f"switches {line}"), shop(f"get switches {line}")
    assert (short.exit_code, short.stdout, short.stderr) == (whole.exit_code, whole.stdout, whole.stderr)


def test_what_may_not_be_read_beside_is_a_note(shop: Any) -> None:
    """Who may not list ClusterKillSwitches still sees the namespace's, and learns that some are missing."""

    def refuse(call: Any) -> None:
        if call.kind is Kind.CLUSTER_KILL_SWITCH:
            raise Forbidden("you may not")

    shop.cluster.faults.append(refuse)
    result = shop("get switches")
    assert result.exit_code == 0
    assert "stop" in result.stdout
    assert "Cannot list ClusterKillSwitches: you may not. It takes list" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "get checkout",
        "get rollouts checkout -A",
        "get -o name --watch",
        "get -o table",
        "get rollouts ../nodes",
        "get -l =a",
    ],
)
def test_wrong_usage_exits_with_2(shop: Any, line: str) -> None:
    """Before anything is asked of the cluster, or as soon as it is clear."""
    assert shop(line).exit_code == 2


def test_an_unreachable_server_exits_with_1(shell: Any) -> None:
    """With the error in a sentence."""
    shell.unreachable = Unavailable("list rollouts: no answer from the API server (ClientConnectorError: refused)")
    result = shell("get")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no answer from the API server" in result.stderr


def test_where_to_look_is_passed_on(shell: Any) -> None:
    """Kubeconfig, context and namespace."""
    shell("get --kubeconfig /some/file --context staging -n bank")
    assert (shell.asked.kubeconfig, shell.asked.context, shell.asked.namespace) == ("/some/file", "staging", "bank")
