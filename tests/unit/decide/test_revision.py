"""Revisions: when two specs ask for the same, what serves where no status tells, and how runs are numbered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.names import Slot
from sluice.api.rollout import RolloutSpec, RolloutStatus, StableRevision
from sluice.decide.model import Templates
from sluice.decide.planner import plan
from sluice.decide.revision import Desired, desired_of, new_run, next_number, return_run, run_name, serving_slot
from unit.decide.observed import NOW, aborted, ask, completed, healthy, metric, observed, rollout_spec, running, target


def wanted(spec: RolloutSpec) -> Desired:
    """What a spec with Services of the user's own asks for."""
    desired = desired_of(spec)
    assert desired is not None
    return desired


WANTED = wanted(rollout_spec(Slot.GREEN))


def test_a_revision_is_a_slot_and_a_version() -> None:
    """Steps, traffic and deadlines are no part of it; slot and version are."""
    assert wanted(rollout_spec(progressDeadline="1s", paused=True)).hash == WANTED.hash
    assert wanted(rollout_spec(strategy={"blueGreen": {}})).hash == WANTED.hash
    others = [rollout_spec(version="2.1"), rollout_spec(Slot.BLUE), rollout_spec(version=None)]
    assert len({wanted(spec).hash for spec in others} | {WANTED.hash}) == 4


def test_hashes_stay_the_same_across_versions_of_sluice() -> None:
    """They stand in statuses and RolloutRuns: another algorithm would forget what was rejected."""
    assert WANTED.hash == "6daf88a739"


@pytest.mark.parametrize(
    "shares, slot",
    [
        ([(0,)], Slot.BLUE),
        ([(10_000,)], Slot.GREEN),
        ([(4999,)], Slot.BLUE),
        ([(5001,)], Slot.GREEN),
        ([(5000,)], Slot.BLUE),
        ([(0, 10_000)], Slot.BLUE),
        ([(0,), (10_000,), (10_000,)], Slot.GREEN),
        ([(), (10_000,)], Slot.GREEN),
        ([()], None),
        ([], None),
    ],
)
def test_the_greater_share_serves(shares: list[tuple[int, ...]], slot: Slot | None) -> None:
    """Routes count alike, whatever their number of rules; a tie goes where the caller says (blue here)."""
    views = [target(shares=each, name=f"route-{index}") for index, each in enumerate(shares)]
    assert serving_slot(views, None, even=Slot.BLUE) is slot


def test_an_unfinished_run_outweighs_any_share() -> None:
    """What it came from serves, even where the routes say otherwise."""
    (run,) = running().runs
    assert serving_slot([target(10_000)], run, even=Slot.GREEN) is Slot.BLUE


def test_numbers_only_grow() -> None:
    """Past every run of the name, what the status remembers, and names that are taken."""
    assert next_number(observed()) == 1
    assert next_number(running()) == 2
    assert next_number(replace(running(), runs=())) == 2
    assert next_number(replace(observed(), runs=running().runs)) == 2
    stable = RolloutStatus(stable=StableRevision(slot=Slot.BLUE, hash="x", number=7))
    assert next_number(observed(status=stable)) == 8
    assert next_number(observed(taken_number=11)) == 12


def test_a_run_is_named_by_its_number() -> None:
    """So that a second writer of the same run collides."""
    assert run_name("checkout", 12) == "checkout-12"


def test_a_run_keeps_what_it_began_with() -> None:
    """Steps, resolved metrics, traffic, deadline, and what to go back to."""
    seen = ask(healthy(), rollout_spec(progressDeadline="7m"))
    templates = Templates(background=(metric(),))
    assert seen.spec is not None
    assert seen.status.stable is not None
    run = new_run(seen, seen.spec, seen.status.stable, wanted(seen.spec), templates, retry=False)
    assert (run.from_slot, run.to_slot, run.stable_version, run.version) == (Slot.BLUE, Slot.GREEN, "1.0", "2.0")
    assert (len(run.steps), run.analysis.metrics, run.progress_deadline.total_seconds()) == (4, (metric(),), 420)
    assert (run.cause, run.requester, run.rollout_uid) == ("SpecChanged", "alice", "uid-checkout")


def test_an_undo_is_a_run_of_one_step() -> None:
    """What it goes back to has served already: all at once, without analysis."""
    seen = completed()
    assert seen.spec is not None
    assert seen.status.stable is not None
    run = return_run(seen, seen.spec, seen.status.stable, replace(WANTED, slot=Slot.BLUE), cause="Undo")
    assert ([step.share for step in run.steps], run.analysis.metrics, run.cause) == ([10_000], (), "Undo")


def test_the_status_share_is_that_of_its_revision() -> None:
    """`weight` is the share of `revision.slot`: the step's in mid-run, 100 % after Completed, 0 after any other end."""
    assert [seen.status.weight for seen in (running(), completed(), aborted())] == [1000, 10_000, 0]
    for seen in (running(), completed(), aborted()):
        assert seen.status.revision is not None
        assert seen.targets[0].share(seen.status.revision.slot) == seen.status.weight
    begun = plan(ask(completed(), rollout_spec(Slot.BLUE, "3.0")), NOW)
    assert begun.status.revision is not None
    assert (begun.status.revision.slot, begun.status.weight) == (Slot.BLUE, 1000)
