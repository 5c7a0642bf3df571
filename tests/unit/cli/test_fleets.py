"""Rollouts over fleets on the command line: lists, pages, every cluster, and taking clusters back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.errors import Forbidden
from unit.cli.fleet_objects import fleet_object, fleet_run, stamp

Make = Callable[..., dict[str, Any]]
WRITTEN: dict[str, Any] = {"subresource": "status", "manager": "sluice"}


@pytest.fixture
def shop(shell: Any) -> Any:
    """A Rollout over a fleet, in mid-run."""
    shell.add(Kind.ROLLOUT, fleet_object())
    shell.add(Kind.FLEET_RUN, fleet_run())
    return shell


def hint(shell: Any) -> str:
    """What to do next."""
    told: str = json.loads(shell("status checkout -o json").stdout)["hint"]
    return told


@pytest.mark.parametrize(
    "line, name",
    [
        ("status checkout", "status-fleet.txt"),
        ("status checkout -o wide", "status-fleet-wide.txt"),
        ("status checkout -o json", "status-fleet.json"),
        ("status checkout --clusters", "status-fleet-clusters.txt"),
    ],
)
def test_what_it_prints(shop: Any, golden: Callable[[str, str], None], line: str, name: str) -> None:
    """Versions, batch, stage, step and share, counts, and the clusters that are worth a look, or all of them."""
    result = shop(line)
    assert (result.exit_code, result.stderr) == (0, "")
    golden(name, result.stdout)


def test_a_list_with_a_fleet(shop: Any, rollout: Make, golden: Callable[[str, str], None]) -> None:
    """The columns CLUSTERS and BATCH are there where some Rollout has a fleet."""
    shop.add(Kind.ROLLOUT, rollout("search"))
    golden("get-fleets.txt", shop("get").stdout)
    assert "CLUSTERS" not in shop("get -n bank").stdout


def test_every_cluster_as_data(shop: Any) -> None:
    """Each with its batch and where it is; of a batch that has not begun they wait."""
    clusters = json.loads(shop("status checkout --clusters -o json").stdout)["fleet"]["clusters"]
    assert [(each["name"], each["batch"], each["phase"]) for each in clusters] == [
        ("c1", "pilot", "Completed"),
        ("c2", "wave-1", "Moving"),
        ("c3", "wave-1", "Moving"),
        ("c4", "wave-1", "Moving"),
        ("c5", "rest", "Waiting"),
        ("c6", "rest", "Waiting"),
    ]


def test_a_large_fleet_is_shown_whole(shell: Any) -> None:
    """5,000 clusters are 5,000 lines; nothing is cut."""
    run = fleet_run()
    run["spec"]["batches"] = [{"name": "pilot", "clusters": [f"c{number}" for number in range(5000)]}]
    run["status"]["batches"] = [{"name": "pilot", "clusters": "c" * 4999 + "f"}]
    run["status"]["failures"] = [{"name": "c4999", "message": "ImagePullBackOff"}]
    shell.add(Kind.ROLLOUT, fleet_object())
    shell.add(Kind.FLEET_RUN, run)
    lines = [line.split() for line in shell("status checkout --clusters").stdout.splitlines() if " pilot " in line]
    assert (len(lines), lines[-1]) == (5000, ["c4999", "pilot", "Failed", "-", "-", "ImagePullBackOff"])


def test_more_than_are_shown_are_counted(shell: Any) -> None:
    """With the command that shows them."""
    obj = fleet_object()
    obj["status"]["fleet"]["notShown"] = 12
    shell.add(Kind.ROLLOUT, obj)
    assert "\nand 12 more: sluice status checkout -n shop --clusters\n" in shell("status checkout").stdout


@pytest.mark.parametrize("letters", ["mm", "mmx", ""])
def test_a_record_that_makes_no_sense(shell: Any, letters: str) -> None:
    """Its clusters are shown as unknown, but for what the Rollout says of them; the others as they are."""
    obj = fleet_object()
    obj["status"]["fleet"]["clusters"] = []
    shell.add(Kind.ROLLOUT, obj)
    shell.add(Kind.FLEET_RUN, fleet_run(wave_1=letters))
    clusters = json.loads(shell("status checkout --clusters -o json").stdout)["fleet"]["clusters"]
    assert [each["phase"] for each in clusters] == ["Completed", "?", "?", "?", "Waiting", "Waiting"]


@pytest.mark.parametrize("broken", [7, "x", [], {"batch": "x", "clusters": 3, "stable": []}, {"clusters": [None, 3]}])
def test_a_broken_fleet_is_shown_as_far_as_it_goes(shell: Any, broken: Any) -> None:
    """Nothing that a status holds makes a command fail."""
    shell.add(Kind.ROLLOUT, fleet_object(fleet=broken))
    for line in ("status checkout", "status checkout -o json", "get -o wide"):
        assert shell(line).exit_code == 0


def test_every_cluster_of_a_rollout_without_a_fleet(shell: Any, rollout: Make) -> None:
    """There are none, and it says so."""
    shell.add(Kind.ROLLOUT, rollout())
    result = shell("status checkout --clusters")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Rollout shop/checkout has no spec.fleet" in result.stderr


def test_every_cluster_before_the_first_run(shell: Any) -> None:
    """The page comes, with a note."""
    shell.add(Kind.ROLLOUT, fleet_object(fleet=None))
    result = shell("status checkout --clusters")
    assert (result.exit_code, result.stderr) == (
        0,
        "no run over the fleet has begun yet, so no cluster has a place in one\n",
    )


def test_every_cluster_without_the_right(shop: Any) -> None:
    """Who may not read FleetRuns is told what it takes."""

    def refuse(call: Any) -> None:
        if call.kind is Kind.FLEET_RUN:
            raise Forbidden("you may not")

    shop.cluster.faults.append(refuse)
    result = shop("status checkout --clusters")
    assert result.exit_code == 1
    assert "It takes get on fleetruns.sluice.dev in namespace shop" in result.stderr


def test_watching_every_cluster_in_a_pipe(shop: Any) -> None:
    """A line for the Rollout and for each cluster, then one for each that changes, by the record too."""
    status = {"status": {"batches": fleet_run(rest="mw")["status"]["batches"]}}

    def later(loop: Any) -> None:
        loop.call_later(2, lambda: shop.cluster.store.merge(Kind.FLEET_RUN, "shop", "checkout-4", status, **WRITTEN))
        loop.call_later(4, lambda: shop.cluster.store.delete(Kind.ROLLOUT, "shop", "checkout", uid=None, manager="x"))

    shop.plot = later
    result = shop("status checkout --clusters --watch")
    lines = result.stdout.splitlines()
    assert result.exit_code == 3
    assert lines[0].startswith(
        "shop/checkout   Progressing   revision 4   step 2/4 pause   weight 25%   batch wave-1 2/3"
    )
    assert lines[3] == "shop/checkout   c3   wave-1   Moving   25%   does not answer"
    assert lines[7:] == ["shop/checkout   c5   rest   Moving"]


# ------------------------------------------------------------------ what to do next


def test_what_to_do_about_a_lost_cluster(shop: Any) -> None:
    """Since when it waits, what happens then, and where to look."""
    assert hint(shop) == (
        "waits (ClusterLost) since 2m, at most 10m, then c3 counts as failed; see sluice clusters check c3"
    )


@pytest.mark.parametrize(
    "stage, told",
    [("Paused", "goes on in 5m; sooner: sluice promote checkout -n shop"), ("Soaking", "goes on in 5m")],
)
def test_what_to_do_about_a_time_that_passes(shell: Any, stage: str, told: str) -> None:
    """The pause before a batch can be promoted away; its soak cannot."""
    obj = fleet_object(waiting=None, nextTransitionAt=stamp(300))
    obj["status"]["fleet"]["batch"]["stage"] = stage
    shell.add(Kind.ROLLOUT, obj)
    assert hint(shell) == told


def test_what_to_do_when_too_many_failed(shell: Any) -> None:
    """With onFailure Hold, somebody decides."""
    stalled = {"type": "Stalled", "status": "True", "reason": "TooManyFailed", "message": "2 of 3 failed"}
    shell.add(Kind.ROLLOUT, fleet_object(conditions=[stalled]))
    assert hint(shell) == (
        "more clusters failed than may; you decide: sluice abort checkout -n shop, "
        "or sluice rollback checkout -n shop --fleet"
    )


def test_what_to_do_when_a_measurement_failed(shell: Any) -> None:
    """The same, of what the hub measured of clusters as a whole."""
    stalled = {"type": "Stalled", "status": "True", "reason": "MetricFailed", "message": "responding is 98"}
    shell.add(Kind.ROLLOUT, fleet_object(conditions=[stalled]))
    assert hint(shell).startswith("what the hub measures failed; you decide: sluice abort checkout -n shop")


def test_what_to_do_when_a_measurement_holds(shell: Any) -> None:
    """Promote does not skip it: it has it measured anew."""
    paused = {"type": "Paused", "status": "True", "reason": "AnalysisHolds", "message": "no data"}
    shell.add(Kind.ROLLOUT, fleet_object(conditions=[paused]))
    assert hint(shell) == (
        "the analysis holds it; you decide: sluice promote checkout -n shop (which measures anew), "
        "or sluice abort checkout -n shop"
    )


def test_numbers_of_a_fleet_say_of_what_they_are(shell: Any) -> None:
    """A batch and the whole fleet may have metrics of the same name."""
    metric = {"name": "responding", "phase": "Passing", "threshold": ">= 98.5", "firstAt": stamp(-60)}
    metrics = [{**metric, "scope": "batch-wave-1", "value": 99.0}, {**metric, "scope": "fleet", "value": 99.5}]
    shell.add(Kind.ROLLOUT, fleet_object(metrics=metrics))
    rows = [line.split() for line in shell("status checkout").stdout.splitlines()]
    assert [(row[2], row[-2]) for row in rows if row[:1] == ["responding"]] == [
        ("99", "batch-wave-1"),
        ("99.5", "fleet"),
    ]


@pytest.mark.parametrize(
    "reason, told",
    [
        ("RolledBack", "to try this revision again: sluice retry checkout -n shop"),
        (
            "TooManyFailed",
            "to try this revision again: sluice retry checkout -n shop; where it had completed, it stays until "
            "sluice rollback checkout -n shop --fleet",
        ),
    ],
)
def test_what_to_do_about_a_run_that_was_aborted(shell: Any, reason: str, told: str) -> None:
    """What completed before stays, unless the whole fleet was taken back."""
    obj = fleet_object(phase="Aborted", waiting=None)
    obj["status"]["fleet"]["revision"] |= {"outcome": "Aborted", "reason": reason}
    shell.add(Kind.ROLLOUT, obj)
    assert hint(shell) == told


# ------------------------------------------------------------------ telling it


@pytest.mark.parametrize(
    "line, spec",
    [
        ("rollback checkout --cluster c3", {"action": "Rollback", "revision": 4, "clusters": ["c3"]}),
        (
            "rollback checkout --cluster c3 --cluster c1",
            {"action": "Rollback", "revision": 4, "clusters": ["c3", "c1"]},
        ),
        ("rollback checkout --batch wave-1", {"action": "Rollback", "revision": 4, "batch": "wave-1"}),
        ("rollback checkout --fleet", {"action": "Rollback", "revision": 4}),
        ("rollback checkout --fleet --revision 3", {"action": "Rollback", "revision": 3}),
        ("promote checkout", {"action": "Promote", "revision": 4}),
        ("retry checkout", {"action": "Retry", "revision": 4}),
        ("undo checkout", {"action": "Undo", "revision": 4}),
        ("pause checkout", {"action": "Pause"}),
        ("abort checkout", {"action": "Abort"}),
    ],
)
def test_each_verb_is_one_action(shop: Any, answering: Callable[..., None], line: str, spec: dict[str, Any]) -> None:
    """The revision is that of the run over the fleet."""
    answering(shop, "Done", "as you wish")
    result = shop(line, "--reason", "because")
    assert (result.exit_code, result.stdout) == (0, "Rollout shop/checkout: as you wish\n")
    [action] = shop.cluster.store.all(Kind.ROLLOUT_ACTION)
    assert action["spec"] == {"rollout": "checkout", "reason": "because", **spec}


@pytest.mark.parametrize("how", ["", "--fleet --batch rest", "--cluster c1 --batch rest", "--cluster c1 --fleet"])
def test_a_rollback_says_what_goes_back(shop: Any, how: str) -> None:
    """One of the three, so that nobody takes a fleet back by leaving something out."""
    result = shop(f"rollback checkout {how}")
    assert result.exit_code == 2
    assert "say what goes back: --cluster NAME (once or more), --batch NAME, or --fleet" in result.stderr
    assert shop.cluster.store.all(Kind.ROLLOUT_ACTION) == []


@pytest.mark.parametrize("verb", ["undo", "promote --full", "restart"])
def test_what_a_fleet_refuses(shop: Any, answering: Callable[..., None], verb: str) -> None:
    """The operator's answer, as it is."""
    answering(shop, "Rejected", "Undo does not go over a fleet; nothing was done")
    name, *options = verb.split()
    result = shop(" ".join([name, "checkout", *options]))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: Rollout shop/checkout: Undo does not go over a fleet; nothing was done\n"
