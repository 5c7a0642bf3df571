"""`sluice approve`, and the verbs that need a reason, at their edges."""

from collections.abc import Callable
from typing import Any

import pytest

from sluice.api.names import Kind
from unit.cli.conftest import rollout_object, stamp

GROUP = "release-managers"


def asked(point: str, *actors: str, quorum: int = 2) -> dict[str, Any]:
    """What a status says of a point that waits."""
    approvals = [{"actor": actor, "expiresAt": stamp(3600)} for actor in actors]
    return {"point": point, "revision": 7, "group": GROUP, "quorum": quorum, "expires": "24h", "approvals": approvals}


def waits(shell: Any, *tallies: dict[str, Any]) -> Any:
    """A run that waits for these."""
    obj = rollout_object()
    obj["status"]["approvals"] = list(tallies)
    paused = {"type": "Paused", "status": "True", "reason": "WaitsForApproval", "message": "waits for approval"}
    obj["status"]["conditions"] = [paused]
    shell.add(Kind.ROLLOUT, obj)
    return shell


@pytest.fixture
def shop(shell: Any) -> Any:
    """A Rollout at revision 7."""
    shell.add(Kind.ROLLOUT, rollout_object())
    return shell


def actions(shell: Any) -> list[dict[str, Any]]:
    """The specs of all RolloutActions."""
    return [action["spec"] for action in shell.cluster.store.all(Kind.ROLLOUT_ACTION)]


def test_approve_names_what_waits(shell: Any, answering: Callable[..., None]) -> None:
    """It fills in the revision and the point that the status shows, and nobody's name."""
    waits(shell, asked("step-3", "bob"))
    answering(shell, "Done", "approved step-3: 2 of 2 (bob, carol)")
    result = shell("approve checkout", "--reason", "fine")
    assert (result.exit_code, result.stdout) == (0, "Rollout shop/checkout: approved step-3: 2 of 2 (bob, carol)\n")
    said = {"rollout": "checkout", "action": "Approve", "revision": 7, "point": "step-3", "reason": "fine"}
    assert actions(shell) == [said]


def test_a_revision_that_was_looked_at_is_what_is_approved(shell: Any, answering: Callable[..., None]) -> None:
    """Who names another one than waits now gets the operator's answer to that."""
    waits(shell, asked("step-3"))
    answering(shell, "Rejected", "it is for revision 6, but the current one is 7")
    assert shell("approve checkout --revision 6").exit_code == 1
    assert actions(shell)[0]["revision"] == 6


@pytest.mark.parametrize(
    "line, tallies, why",
    [
        ("approve checkout", [], "nothing waits for approval now"),
        ("approve checkout", [asked("step-3", "bob", "carol")], "nothing waits for approval now"),
        ("approve checkout", [asked("step-3"), asked("policy/x")], "choose by --point: step-3, policy/x"),
        (
            "approve checkout --point step-4",
            [asked("step-3")],
            "step-4 does not wait for approval; what does: step-3",
        ),
    ],
)
def test_what_does_not_wait_is_not_approved(shell: Any, line: str, tallies: list[dict[str, Any]], why: str) -> None:
    """Nothing is sent where it is not clear what is meant."""
    result = waits(shell, *tallies)(line)
    assert (result.exit_code, why in result.stderr) == (1, True), result.stderr
    assert actions(shell) == []


def test_one_of_several_is_chosen(shell: Any, answering: Callable[..., None]) -> None:
    """By its name."""
    waits(shell, asked("step-3"), asked("policy/x"))
    answering(shell, "Done", "approved")
    assert shell("approve checkout --point policy/x").exit_code == 0
    assert actions(shell)[0]["point"] == "policy/x"


@pytest.mark.parametrize("line", ["reject checkout", "hold checkout", "extend checkout --by 1h"])
def test_they_say_why(shop: Any, line: str) -> None:
    """Without a reason nothing is sent."""
    result = shop(line)
    assert (result.exit_code, "say why, for the audit trail: --reason TEXT." in result.stderr) == (2, True)
    assert actions(shop) == []


@pytest.mark.parametrize("line", ["hold checkout --for 2d", "extend checkout", "extend checkout --by soon"])
def test_durations_are_read_before_anything_is_sent(shop: Any, line: str) -> None:
    """As the API writes them."""
    assert shop(line, "--reason", "because").exit_code == 2
    assert actions(shop) == []


def test_status_shows_who_approved(shell: Any) -> None:
    """Where it waits, of which group, how many of how many, who, and until when; and what to type."""
    page = waits(shell, asked("step-3", "bob"))("status checkout").stdout
    assert "APPROVAL   GROUP              APPROVED   BY" in page
    assert "step-3     release-managers   1 of 2     bob (expires in 1h)" in page
    assert (
        "Next: waits for 1 more of release-managers: sluice approve checkout -n shop; against it: "
        "sluice reject checkout -n shop --reason '...'"
    ) in page
