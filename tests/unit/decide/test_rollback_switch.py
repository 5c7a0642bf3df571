"""A Rollback switch: Divert, then the candidate's pods go; and a completed revision returns to the one before, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sluice.api.action import Verb
from sluice.api.killswitch import Effect
from sluice.api.names import Slot
from sluice.api.outcome import Outcome
from sluice.decide.model import Observed, SwitchView
from sluice.decide.planner import plan
from sluice.decide.switches import strictest_first
from unit.decide import cluster, observed, workloads
from unit.decide.observed import MINUTE, NOW, action, after, ask, rollout_spec, switch
from unit.decide.workloads import deployment, ship, template

ROLLBACK = switch(Effect.ROLLBACK)
HOUR = timedelta(hours=1)
DRAIN = timedelta(seconds=10)


def engaged(seen: Observed, *switches: SwitchView) -> Observed:
    """The same, covered by these switches."""
    return replace(seen, switches=strictest_first(switches))


def served(seen: Observed) -> tuple[str | None, int]:
    """The version that is stable, and what the other slot has of the traffic."""
    assert seen.status.stable is not None
    return seen.status.stable.version, seen.targets[0].share(seen.status.stable.slot.other)


def pods(seen: Observed, slot: Slot) -> int:
    """How many pods a slot's Deployment asks for."""
    return deployment(seen, slot).replicas


def at(seen: Observed, now: datetime) -> Observed:
    """At rest at a later time."""
    return cluster.settle(seen, now)


# ---------------------------------------------------------------------------------------------- a candidate


def test_the_candidate_is_diverted_at_once_and_removed_once_drained() -> None:
    """Its weight is 0 in the first pass; its pods go when drain has passed since that was confirmed, and not before."""
    killed = at(engaged(workloads.stepping(), ROLLBACK), NOW)
    assert (killed.status.phase, served(killed), pods(killed, Slot.GREEN)) == ("Killed", ("1.0", 0), 3)
    assert pods(at(killed, NOW + DRAIN - timedelta(seconds=1)), Slot.GREEN) == 3
    assert pods(at(killed, NOW + DRAIN), Slot.GREEN) == 0


def test_the_removal_is_told_once_as_meant_and_once_as_seen() -> None:
    """Who reads the audit learns whose switch took the pods away, and that they went."""
    gone = at(at(at(engaged(workloads.stepping(), ROLLBACK), NOW), NOW + DRAIN), NOW + HOUR)
    told = [(each.stage, each.actor) for each in gone.status.audit.entries if each.action == "remove"]
    assert told == [("Intended", "alice"), ("Observed", "sluice")]


def test_with_divert_the_pods_stay_until_the_switch_becomes_a_rollback() -> None:
    """They are kept for triage; who makes the switch stricter lets them go, and stable stays what it is."""
    kept = at(at(engaged(workloads.stepping(), switch()), NOW), NOW + HOUR)
    assert pods(kept, Slot.GREEN) == 3
    stricter = at(engaged(kept, ROLLBACK), NOW + HOUR)
    assert (pods(stricter, Slot.GREEN), served(stricter)) == (0, ("1.0", 0))


def test_the_strictest_of_three_counts() -> None:
    """Hold, Divert and Rollback at once do what Rollback does."""
    all_three = engaged(workloads.stepping(), switch(Effect.HOLD, "a"), switch(Effect.DIVERT, "b"), ROLLBACK)
    gone = at(at(all_three, NOW), NOW + DRAIN)
    assert (gone.status.phase, pods(gone, Slot.GREEN)) == ("Killed", 0)


def test_force_of_a_weaker_switch_is_not_lost_by_a_stricter_one() -> None:
    """A forced Divert moves what an unforced Rollback beside it would leave where no stable pod is ready."""
    seen = replace(observed.running(), slots=observed.slots(blue=0))
    made = plan(engaged(seen, ROLLBACK, switch(name="forced", forced_by="bob")), NOW)
    assert [shift.share for shift in made.urgent] == [0]


def test_brought_services_are_told_that_nothing_is_removed() -> None:
    """The pods behind Services of the user's own are not Sluice's: the message says so."""
    made = plan(engaged(observed.running(), ROLLBACK), NOW)
    assert made.status.revision is not None
    assert "the pods of Service shop/checkout-green (green) are not Sluice's to remove" in made.status.revision.message


def test_what_is_not_removed_when_the_switch_lets_go_stays() -> None:
    """Released while the pods drain: from then on it is an ordinary kill, whose pods are there for triage."""
    killed = at(engaged(workloads.stepping(), ROLLBACK), NOW)
    assert pods(at(engaged(killed), NOW + HOUR), Slot.GREEN) == 3


# ---------------------------------------------------------------------------------------------- a completed run


def test_a_completed_revision_returns_to_the_one_before() -> None:
    """The old slot comes up, and then takes all; what was returned from is rejected, and needs a retry."""
    done = workloads.finished()
    back = at(engaged(at(done, NOW + HOUR), ROLLBACK), NOW + HOUR)
    assert (served(back), back.status.phase) == (("1.0", 0), "Killed")
    assert back.status.message == (
        "returned from by KillSwitch shop/stop, engaged by alice: 5xx on checkout; blue serves; to try again, first "
        "release KillSwitch shop/stop, then: sluice retry checkout -n shop"
    )
    run = back.runs[-1].spec
    assert (run.cause, run.switch, run.requester) == ("KillSwitch", ROLLBACK.id, "alice")
    again = workloads.told(engaged(back), Verb.RETRY, NOW + HOUR)
    assert again.status.revision is not None
    assert (again.status.revision.version, again.status.revision.outcome) == ("2.0", None)


def test_no_weight_moves_before_the_old_slot_is_ready() -> None:
    """Its pods were taken away long ago: until they are up again what is bad serves on, for it is all that answers."""
    done = at(workloads.finished(), NOW + HOUR)
    assert pods(done, Slot.BLUE) == 0
    waiting = cluster.settle(engaged(done, ROLLBACK), NOW + HOUR, cluster.slowly)
    assert (served(waiting), pods(waiting, Slot.BLUE)) == (("2.0", 0), 10)
    assert served(at(workloads.with_deployment(waiting, Slot.BLUE, ready=10), NOW + HOUR)) == ("1.0", 0)


def test_it_is_returned_from_once_however_long_the_switch_stays() -> None:
    """Nobody is led down the history: not later, not by the next engagement, and not by another switch."""
    back = at(engaged(workloads.finished(), ROLLBACK), NOW)
    runs = len(back.runs)
    for switches in ((ROLLBACK,), (), (replace(ROLLBACK, generation=9),), (switch(Effect.ROLLBACK, "other"),)):
        back = at(engaged(back, *switches), NOW + HOUR)
        assert (served(back)[0], len(back.runs)) == ("1.0", runs)


def test_it_stops_at_the_newest_run_of_several() -> None:
    """Three versions completed: the third returns to the second, and stays there."""
    second = workloads.finished()
    third = workloads.told(at(ship(second, template("3.0")), NOW + MINUTE), Verb.PROMOTE_FULLY, NOW + MINUTE)
    assert served(third)[0] == "3.0"
    back = at(at(engaged(third, ROLLBACK), NOW + HOUR), NOW + 2 * HOUR)
    assert served(back)[0] == "2.0"


def test_a_return_survives_a_crash_between_run_and_status() -> None:
    """The RolloutRun was made and no status tells of it: that run is taken up, and no second one made."""
    done = engaged(workloads.finished(), ROLLBACK)
    made = plan(done, NOW)
    assert made.create_run is not None
    crashed = replace(done, runs=(*done.runs, observed.run_view(made.create_run)))
    again = plan(crashed, NOW)
    assert (again.create_run, again.status.run) == (None, crashed.runs[-1].name)


def test_weaker_switches_do_not_stop_a_return() -> None:
    """A Hold and a Divert beside it neither keep it from going on nor take its share away."""
    back = at(engaged(workloads.finished(), ROLLBACK, switch(name="a"), switch(Effect.HOLD, "b")), NOW)
    assert served(back)[0] == "1.0"


def test_a_return_under_way_is_stopped_by_making_the_switch_weaker() -> None:
    """Which takes the right to release: with a Divert as the strictest, the return is a run like any other."""
    waiting = cluster.settle(engaged(at(workloads.finished(), NOW + HOUR), ROLLBACK), NOW + HOUR, cluster.slowly)
    held = at(engaged(waiting, switch()), NOW + HOUR)
    assert (served(held), held.status.phase) == (("2.0", 0), "Paused")


def test_a_return_is_not_superseded_by_what_is_asked_for_meanwhile() -> None:
    """Git ships 3.0 while the old version comes up: first it serves; 3.0 begins once the switch let go."""
    waiting = cluster.settle(engaged(at(workloads.finished(), NOW + HOUR), ROLLBACK), NOW + HOUR, cluster.slowly)
    up = workloads.with_deployment(waiting, Slot.BLUE, ready=10)
    back = at(ship(up, template("3.0")), NOW + HOUR)
    assert (served(back)[0], back.status.revision and back.status.revision.outcome) == ("1.0", Outcome.COMPLETED)
    going = at(engaged(back), NOW + HOUR)
    assert going.status.revision is not None
    assert going.status.revision.version == "3.0"


def test_a_return_that_came_to_nothing_is_not_tried_again() -> None:
    """The old version does not come up any more: what is bad serves on, and the history goes no further."""
    waiting = cluster.settle(engaged(at(workloads.finished(), NOW + HOUR), ROLLBACK), NOW + HOUR, cluster.slowly)
    late = cluster.settle(waiting, NOW + 2 * HOUR, cluster.slowly)
    assert (served(late)[0], late.status.revision and late.status.revision.outcome) == ("2.0", Outcome.ABORTED)
    assert len(at(late, NOW + 3 * HOUR).runs) == len(late.runs)


def test_a_killed_candidate_does_not_take_stable_along() -> None:
    """Run 2 came to nothing under the switch: 2.0, which run 1 had completed, is nobody's candidate."""
    second = workloads.finished()
    third = at(ship(second, template("3.0")), NOW + MINUTE)
    killed = at(at(engaged(third, ROLLBACK), NOW + MINUTE), NOW + HOUR)
    assert (served(killed), killed.status.phase) == (("2.0", 0), "Killed")


def test_nobody_returns_to_what_was_itself_rejected() -> None:
    """2.0 was undone by hand: a switch that is engaged later leaves 1.0 where it is, and says why."""
    undone = workloads.told(workloads.finished(), Verb.UNDO)
    assert served(undone)[0] == "1.0"
    held = at(engaged(undone, ROLLBACK), NOW)
    assert (served(held)[0], len(held.runs)) == ("1.0", len(undone.runs))


def test_without_a_run_in_the_history_it_holds_and_says_why() -> None:
    """A first version has nothing before it."""
    held = plan(engaged(observed.healthy(), ROLLBACK), NOW)
    assert held.status.phase == "Paused"
    assert held.status.message.endswith("is not returned from: there is no completed run to undo")


def test_what_served_before_may_be_gone() -> None:
    """The old slot of brought Services has no endpoint left, or its RolloutRun is gone: it holds, and says why."""
    done = observed.completed()
    gone = plan(engaged(replace(done, slots=observed.slots(blue=0)), ROLLBACK), NOW)
    assert gone.status.message.endswith("(blue), which served before, has no ready endpoint")
    lost = plan(engaged(replace(done, runs=()), ROLLBACK), NOW)
    assert "is gone, so what served before is not known" in lost.status.message
    assert (gone.create_run, lost.create_run) == (None, None)


def test_brought_services_return_too() -> None:
    """Their old slot still answers: it gets all of the traffic back."""
    back = observed.settle(engaged(observed.completed(), ROLLBACK), NOW)
    assert (back.targets[0].shares, back.status.phase) == ((0,), "Killed")


def test_a_pause_keeps_a_return_from_beginning() -> None:
    """spec.paused lets nothing grow, and says so; once it is taken away the return begins."""
    paused = ask(observed.completed(), rollout_spec(paused=True))
    held = plan(engaged(paused, ROLLBACK), NOW)
    assert (held.create_run, "spec.paused is true" in held.status.message) == (None, True)


def test_new_runs_are_held_meanwhile() -> None:
    """3.0 is asked for while the switch is engaged: it waits, and a retry is refused."""
    back = at(engaged(workloads.finished(), ROLLBACK), NOW)
    asked = at(ship(back, template("3.0")), NOW + HOUR)
    assert (len(asked.runs), served(asked)[0]) == (len(back.runs), "1.0")
    number = back.status.revision.number if back.status.revision else 0
    refused = plan(replace(back, actions=(action(Verb.RETRY, number, at=NOW),)), NOW)
    assert [answer.done for answer in refused.answers] == [False]


def test_a_part_returns_only_where_its_hub_asks_for_what_served_before() -> None:
    """A cluster that was sent back knows nothing of why: alone it would return to the very version that it left."""
    part = replace(workloads.finished(), led=True)
    assert plan(engaged(part, ROLLBACK), NOW).create_run is None
    told = ship(part, template("1.0"))
    assert served(at(engaged(told, ROLLBACK), NOW))[0] == "1.0"


def test_the_stamp_of_a_return_kills_nothing() -> None:
    """Its writes name the switch, too; after the release they are no kill of the run that made them."""
    done = observed.completed()
    seen = engaged(done, ROLLBACK)
    for _ in range(3):
        seen = after(seen, plan(seen, NOW))
    released = observed.settle(engaged(seen), NOW)
    assert released.status.revision is not None
    assert (released.status.revision.outcome, released.targets[0].shares) == (Outcome.COMPLETED, (0,))
