"""`sluice status`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.errors import Forbidden, NotFound

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def shop(shell: Any, rollout: Make, switch: Make) -> Any:
    """A Rollout, a switch that covers it and one that does not."""
    shell.add(Kind.ROLLOUT, rollout())
    shell.add(Kind.KILL_SWITCH, switch())
    shell.add(Kind.KILL_SWITCH, switch("carts", scope={"selector": {"matchLabels": {"app": "cart"}}}))
    return shell


@pytest.mark.parametrize(
    "line, name",
    [
        ("status checkout", "status.txt"),
        ("status checkout -o wide", "status-wide.txt"),
        ("status checkout -o json", "status.json"),
        ("status checkout -o yaml", "status.yaml"),
        ("status checkout -o name", "status-name.txt"),
    ],
)
def test_what_it_prints(shop: Any, golden: Callable[[str, str], None], line: str, name: str) -> None:
    """The page and the documents, to the letter."""
    result = shop(line)
    assert (result.exit_code, result.stderr) == (0, "")
    golden(name, result.stdout)


@pytest.mark.parametrize(
    "line, name",
    [
        ("status orders", "status-pods.txt"),
        ("status orders -o wide", "status-pods-wide.txt"),
        ("status orders -o json", "status-pods.json"),
    ],
)
def test_what_it_prints_of_pods(orders: Any, golden: Callable[[str, str], None], line: str, name: str) -> None:
    """Where Sluice runs the pods: those ready of those asked for in each slot, and for how many the traffic asks."""
    result = orders(line)
    assert (result.exit_code, result.stderr) == (0, "")
    golden(name, result.stdout)


def test_a_share_that_is_gone_from_the_route_is_not_called_accepted(shell: Any, rollout: Make) -> None:
    """It was accepted once; what the head says is what is so now."""
    obj = rollout()
    for condition in obj["status"]["conditions"]:
        if condition["type"] == "TrafficConfirmed":
            condition["status"] = "False"
    shell.add(Kind.ROLLOUT, obj)
    assert "weight 25% (not confirmed)" in shell("status checkout").stdout


def slot_of(shell: Any, name: str) -> dict[str, str]:
    """A slot as `-o json` tells it."""
    [found] = [slot for slot in json.loads(shell("status orders -o json").stdout)["slots"] if slot["slot"] == name]
    return found


def test_the_old_slot_after_the_first_run(completed: Any) -> None:
    """What undo would go back to has a name, though only the RolloutRun knows it."""
    old = slot_of(completed, "blue")
    assert [old[key] for key in ("role", "version", "revision", "idle", "share")] == ["old", "1.4.0", "", "2m", "0%"]
    assert slot_of(completed, "green")["revision"] == "7"


@pytest.mark.parametrize("error", [Forbidden("you may not"), NotFound("gone")])
def test_the_old_slot_without_its_run(completed: Any, error: Exception) -> None:
    """Who may not read RolloutRuns sees its hash, and no note: nothing is missing that matters."""

    def refuse(call: Any) -> None:
        if call.kind is Kind.ROLLOUT_RUN:
            raise error

    completed.cluster.faults.append(refuse)
    result = completed("status orders")
    assert (result.exit_code, result.stderr) == (0, "")
    [line] = [line for line in result.stdout.splitlines() if line.startswith("blue")]
    assert line.split() == ["blue", "old", "0%", "-", "0a1b2c3d4e", "6/6", "2m", "orders-blue"]


def test_a_name_that_is_not_there_exits_with_3(shell: Any) -> None:
    """And says where to look."""
    result = shell("status checkout")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "sluice get rollouts -n shop" in result.stderr


def test_what_may_not_be_read_is_a_note(shop: Any) -> None:
    """Without rights on switches and namespaces the page still comes."""

    def refuse(call: Any) -> None:
        if call.kind in {Kind.CLUSTER_KILL_SWITCH, Kind.NAMESPACE}:
            raise Forbidden("you may not")

    shop.cluster.faults.append(refuse)
    result = shop("status checkout")
    assert result.exit_code == 0
    assert result.stderr == "ClusterKillSwitches are not shown: you may not\n"


@pytest.mark.parametrize("status", ["rubbish", 7, [], {"metrics": [None, 3]}, {"conditions": {"a": 1}}, {"audit": "x"}])
def test_a_broken_status_is_shown_as_far_as_it_goes(shell: Any, rollout: Make, status: Any) -> None:
    """Nothing that an object holds makes the command fail."""
    shell.add(Kind.ROLLOUT, rollout() | {"status": status})
    result = shell("status checkout -o wide")
    assert result.exit_code == 0
    assert "checkout-green" in result.stdout


HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp\r\n\x00"


@pytest.mark.parametrize("form", ["", "-o wide", "-o json", "-o yaml"])
@pytest.mark.parametrize("command", ["status checkout", "get", "get switches"])
def test_no_object_can_command_the_terminal(shell: Any, rollout: Make, switch: Make, form: str, command: str) -> None:
    """Escape sequences, control characters and text direction marks in any field come out harmless, in every form."""

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poison(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return value + HOSTILE if isinstance(value, str) else value

    obj, stop = rollout(), switch()
    shell.add(Kind.ROLLOUT, obj | {"spec": poison(obj["spec"]), "status": poison(obj["status"])})
    shell.add(Kind.KILL_SWITCH, stop | {"spec": poison(stop["spec"]), "status": poison(stop["status"])})
    result = shell(f"{command} {form}", color=True)
    assert result.exit_code == 0
    shown = result.stdout
    for ours in ("\x1b[0m", "\x1b[1m", *(f"\x1b[{number}m" for number in range(30, 38))):
        shown = shown.replace(ours, "")
    assert not [
        character for character in shown if character in HOSTILE.replace("\n", "") and not character.isprintable()
    ]


def test_an_error_cannot_command_the_terminal(shell: Any) -> None:
    """The API server's words are somebody else's too."""
    shell.unreachable = Forbidden(f"no{HOSTILE}")
    assert not [character for character in shell("get").stderr.rstrip("\n") if not character.isprintable()]


def test_colours_only_on_a_terminal(shop: Any) -> None:
    """A pipe gets none."""
    assert "\x1b[" not in shop("status checkout").stdout
    assert "\x1b[33mPaused" in shop("status checkout", color=True).stdout


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(shop: Any, setting: dict[str, str]) -> None:
    """NO_COLOR and a dumb terminal mean none; data is the same."""
    assert shop("status checkout", color=True, env=setting).stdout == shop("status checkout").stdout


def test_json_carries_the_hint(shop: Any) -> None:
    """What to do next is data too."""
    hint = json.loads(shop("status checkout -o json").stdout)["hint"]
    assert hint.startswith("KillSwitch shop/stop is engaged, and the operator has not acted on it yet")
