"""`sluice wait`: what it waits for, what it tells meanwhile, and how it ends."""

import functools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click
import pytest

from sluice.api.names import Kind
from sluice.cli.options import duration
from sluice.decide.revision import desired_of, template_hash
from sluice.errors import Forbidden
from unit.cli.fleet_objects import fleet_object

Make = Callable[..., dict[str, Any]]
STALLED = [
    {
        "type": "Stalled",
        "status": "True",
        "reason": "RouteMissing",
        "message": "HTTPRoute is missing",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T09:00:00Z",
    }
]
LABELS = {"app": "checkout"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "app", "image": "app:1.5.0"}]}}
SPEC = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}


def change(shell: Any, kind: Kind = Kind.ROLLOUT, name: str = "checkout", **body: Any) -> Callable[[], None]:
    """A change of an object; of its status where there is one."""
    subresource = "status" if "status" in body else ""
    return functools.partial(
        shell.cluster.store.merge, kind, "shop", name, body, subresource=subresource, manager="somebody"
    )


def after(shell: Any, *changes: tuple[float, Callable[[], Any]]) -> None:
    """Let changes happen so many seconds after a command began; one that cannot be made interrupts it."""

    def plot(loop: Any) -> None:
        loop.set_exception_handler(fail)
        for seconds, what in changes:
            loop.call_later(seconds, what)

    def fail(_loop: Any, context: dict[str, Any]) -> None:
        raise KeyboardInterrupt from context["exception"]

    shell.plot = plot


@pytest.fixture
def asked(rollout: Make) -> str:
    """The hash of what checkout's spec asks for."""
    from sluice.api.rollout import RolloutSpec

    desired = desired_of(RolloutSpec.parse(rollout()["spec"], "spec"))
    assert desired is not None
    return desired.hash


@pytest.fixture
def paused(shell: Any, rollout: Make, asked: str) -> Any:
    """Checkout, paused on its way to what is asked for."""
    body = rollout()
    body["status"]["revision"]["hash"] = asked
    shell.add(Kind.ROLLOUT, body)
    return shell


def done(asked: str) -> dict[str, Any]:
    """What changes in the status when the run completes."""
    return {
        "phase": "Healthy",
        "message": "green (1.5.0) serves",
        "stable": {"slot": "green", "hash": asked, "version": "1.5.0", "number": 7},
        "revision": {"outcome": "Completed"},
        "step": None,
        "weight": "100%",
    }


def ended(outcome: str, asked: str) -> dict[str, Any]:
    """What changes in the status when the run ends otherwise."""
    message = "error-ratio 0.2 is above 0.01; blue serves"
    return {"phase": outcome, "message": message, "revision": {"outcome": outcome}, "rejected": [asked]}


def test_it_tells_each_change_and_ends_when_it_is_there(paused: Any, asked: str) -> None:
    """Progress on stderr, a line when something changes; the end on stdout."""
    after(
        paused,
        (5, change(paused, status={"phase": "Progressing", "weight": "50%", "message": "step 4 of 6"})),
        (7, change(paused, status={"confirmation": "Written"})),  # nothing that a line shows
        (60, change(paused, status=done(asked))),
    )
    result = paused("wait checkout")
    assert (result.exit_code, result.stdout) == (0, "Rollout shop/checkout is healthy: Healthy: green (1.5.0) serves\n")
    assert [line.split("   ")[1:4] for line in result.stderr.splitlines()] == [
        ["Paused", "revision 7", "step 3/6 pause"],
        ["Progressing", "revision 7", "step 3/6 pause"],
        ["Healthy", "revision 7", "weight 100%"],
    ]


def test_quietly(paused: Any) -> None:
    """With -q only the end is told; what is there already needs no waiting."""
    result = paused("wait checkout --for paused -q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Rollout shop/checkout is paused: Paused: step 3 of 6, green at 25%")


@pytest.mark.parametrize("outcome", ["Aborted", "Killed"])
def test_another_end_exits_with_5(paused: Any, asked: str, outcome: str) -> None:
    """A pipeline can tell "it failed" from "not yet", and says why."""
    after(paused, (20, change(paused, status=ended(outcome, asked))))
    result = paused("wait checkout -q")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr == (
        f"Error: Rollout shop/checkout is not healthy: {outcome}: error-ratio 0.2 is above 0.01; blue serves\n"
    )


def test_whichever_comes_first(paused: Any, asked: str) -> None:
    """More than one goal, such as: it is over, or it wants something of us."""
    after(paused, (20, change(paused, status=ended("Aborted", asked))))
    result = paused("wait checkout --for finished --for healthy -q -o json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ending"], told["goal"], told["phase"]) == (0, "Reached", "finished", "Aborted")


def test_out_of_time_exits_with_4(paused: Any) -> None:
    """It says where it stands, and what would help."""
    result = paused("wait checkout --timeout 1m30s -q")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("Error: Rollout shop/checkout is not healthy within 90 s: Paused: step 3 of 6")
    assert "Next: waits for you: sluice promote checkout -n shop" in result.stderr


def test_no_time_at_all_is_one_look(paused: Any) -> None:
    """As a question, with the answer as data."""
    result = paused("wait checkout --timeout 0 -o json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ending"], told["goal"], told["revision"]) == (4, "TimedOut", None, "7")
    assert paused("wait checkout --timeout 0 --for started").exit_code == 0


def test_the_version_before_is_never_taken_for_the_new_one(shell: Any, rollout: Make, asked: str) -> None:
    """A healthy status of an older generation of the spec does not count, until the operator has answered."""
    body = rollout()
    run = {**body["status"]["revision"], "hash": asked, "outcome": "Completed"}
    body["status"] |= {**done(asked), "revision": run}
    body["metadata"]["generation"] = 1
    shell.add(Kind.ROLLOUT, body)
    change(shell, spec={"workload": {"version": "1.6.0"}})()
    result = shell("wait checkout --timeout 2m")
    assert result.exit_code == 4
    assert "the operator has not yet seen the newest change of the spec" in result.stderr
    assert "the operator has not answered yet. Is it running?" in result.stderr


@pytest.fixture
def referring(shell: Any, rollout: Make) -> Any:
    """Checkout, whose template is in a Deployment that was changed just now; its status is of the version before."""
    body = rollout()
    body["spec"]["workload"] = {"workloadRef": {"name": "checkout"}}
    body["status"] |= {"phase": "Healthy", "message": "blue serves", "step": None, "weight": "0%"}
    body["status"]["revision"]["outcome"] = "Completed"
    shell.add(Kind.ROLLOUT, body)
    shell.add(Kind.DEPLOYMENT, {"metadata": {"name": "checkout", "namespace": "shop"}, "spec": SPEC})
    return shell


def test_a_template_that_another_object_holds(referring: Any) -> None:
    """The Rollout's own generation does not tell of it."""
    new = template_hash(TEMPLATE)
    run = {"number": 8, "hash": new, "outcome": None}
    after(
        referring,
        (5, change(referring, status={"phase": "Progressing", "revision": run})),
        (50, change(referring, status=done(new))),
    )
    result = referring("wait checkout")
    assert (result.exit_code, result.stdout) == (0, "Rollout shop/checkout is healthy: Healthy: green (1.5.0) serves\n")
    assert "what is asked for now has not begun yet" in result.stderr.splitlines()[0]


def test_a_template_that_changes_meanwhile(referring: Any) -> None:
    """What is asked for while it waits is what counts."""
    old, newer = (
        template_hash(TEMPLATE),
        {"spec": {"containers": [{"name": "app", "image": "app:1.6.0"}]}},
    )
    after(
        referring,
        (5, change(referring, Kind.DEPLOYMENT, spec={"template": newer})),
        (6, change(referring, status=done(old))),
    )
    assert referring("wait checkout --timeout 1m").exit_code == 4


def test_a_template_that_may_not_be_read(referring: Any) -> None:
    """It goes by the Rollout alone, and says what that may miss."""

    def refuse(call: Any) -> None:
        if call.kind is Kind.DEPLOYMENT:
            raise Forbidden("you may not get deployments")

    referring.cluster.faults.append(refuse)
    result = referring("wait checkout --timeout 1m")
    assert result.exit_code == 0
    assert "Deployment shop/checkout cannot be read, so a change made there just now may be missed" in result.stderr


def test_what_mends_itself_is_waited_for(paused: Any, asked: str) -> None:
    """An object that is applied a little later than the Rollout is no reason to give up."""
    after(
        paused,
        (5, change(paused, status={"phase": "Degraded", "conditions": STALLED})),
        (20, change(paused, status={"phase": "Progressing", "conditions": []})),
        (40, change(paused, status={"phase": "Degraded"})),
        (60, change(paused, status=done(asked))),
    )
    assert paused("wait checkout").exit_code == 0


def test_what_does_not_mend_itself_is_given_up(paused: Any) -> None:
    """After --grace; the operator's sentence says what to mend."""
    after(paused, (5, change(paused, status={"phase": "Degraded", "conditions": STALLED})))
    result = paused("wait checkout --grace 10s --timeout 1h -q")
    assert result.exit_code == 5
    assert "is not healthy: Degraded for 1" in result.stderr
    assert "HTTPRoute is missing" in result.stderr


def test_a_rollout_that_is_not_there_exits_with_3(shell: Any, paused: Any) -> None:
    """Nor is one any longer that is deleted meanwhile."""
    assert shell("wait nothing").exit_code == 3
    after(shell, (5, lambda: shell.cluster.store.delete(Kind.ROLLOUT, "shop", "checkout", uid=None, manager="kubectl")))
    result = shell("wait checkout -q")
    assert (result.exit_code, result.stderr) == (
        3,
        "Error: Rollout shop/checkout was deleted while it was waited for\n",
    )


def test_a_fleet(shell: Any) -> None:
    """A Rollout over a fleet is waited for as a whole, and tells of its batches."""
    body = fleet_object()
    new = template_hash(body["spec"]["workload"]["template"])
    body["status"]["fleet"]["revision"]["hash"] = new
    shell.add(Kind.ROLLOUT, body)
    fleet = {"stable": {"number": 4, "hash": new, "version": "1.9.0"}, "revision": {"outcome": "Completed"}}
    healthy = {"phase": "Healthy", "message": "1.9.0 serves in 6 of 6 clusters", "fleet": {**fleet, "batch": None}}
    after(shell, (90, change(shell, status=healthy)))
    result = shell("wait checkout")
    assert (result.exit_code, result.stdout) == (
        0,
        "Rollout shop/checkout is healthy: Healthy: 1.9.0 serves in 6 of 6 clusters\n",
    )
    assert "batch wave-1 2/3, 0 of 3 done" in result.stderr.splitlines()[0]


def test_interrupted(paused: Any) -> None:
    """Ctrl-C is 130, as everywhere."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    after(paused, (5, interrupt))
    assert paused("wait checkout").exit_code == 130


@pytest.mark.parametrize(
    "text, seconds", [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2.5", 2.5), ("0", 0), ("0s", 0), ("72h", 259_200)]
)
def test_durations(text: str, seconds: float) -> None:
    """As the API writes them, or seconds."""
    command = click.Command("it")
    assert duration(click.Context(command), click.Option(["--timeout"]), text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "line", ["wait", "wait checkout --for ready", "wait checkout --timeout soon", "wait checkout --timeout 5d"]
)
def test_wrong_usage_exits_with_2(paused: Any, line: str) -> None:
    """Nothing is waited for."""
    assert paused(line).exit_code == 2
