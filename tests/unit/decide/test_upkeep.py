"""A slot's objects stay as they shall be: whoever else writes them is put right, with patience, and told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from sluice.api.conditions import condition_of
from sluice.api.names import APPLIED_ANNOTATION, Kind, Slot
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from unit.decide.cluster import after, settle
from unit.decide.observed import HOUR, MINUTE, NOW, SECOND
from unit.decide.workloads import (
    CAPACITY,
    applied,
    change,
    deployment,
    entry,
    finished,
    meddled,
    pods_in,
    serving,
    ship,
    stepping,
    template,
    unborn,
    with_deployment,
    with_slot,
)

BLUE = {"sluice.dev/rollout": "checkout", "sluice.dev/slot": "blue"}


def puts_back(seen: Observed, at: datetime) -> bool:
    """Whether a plan writes blue's Deployment."""
    return "checkout-blue" in applied(plan(seen, at))


def fight(seen: Observed, at: datetime, times: int, pause: timedelta) -> Observed:
    """Somebody writes blue's Deployment again and again, and is put right each time."""
    for number in range(times):
        seen = settle(meddled(seen, Slot.BLUE, replicas=3), at + number * pause)
        assert pods_in(seen)[0] == CAPACITY
    return seen


# ---------------------------------------------------------------------------------------------- at rest


@pytest.mark.parametrize("make", [serving, stepping, finished])
def test_what_is_as_it_shall_be_is_not_written(make: Any) -> None:
    """A pass that finds nothing to do writes nothing: no apply, no patch, the same status."""
    seen = make()
    made = plan(seen, NOW)
    assert (made.applies, made.patches, made.notes, made.status) == ((), (), (), seen.status)


def test_our_own_write_is_not_taken_for_somebody_elses() -> None:
    """Its generation is noted once it is seen, and what follows is measured by that."""
    seen = settle(change(serving(), replicas=4), NOW)
    assert entry(seen, Slot.BLUE).generation == deployment(seen, Slot.BLUE).generation == 2
    assert entry(seen, Slot.BLUE).repairs == 0


def test_a_crash_between_status_and_apply_loses_nothing() -> None:
    """The status says what was meant, the Deployment does not: it is applied again."""
    seen = change(serving(), replicas=4)
    crashed = after(seen, plan(seen, NOW), writes=False)
    assert applied(plan(crashed, NOW))["checkout-blue"]["replicas"] == 4


def test_a_crash_between_status_and_a_new_template_drains_nothing_twice() -> None:
    """The slot was drained and is idle still: the new template is put in at once, with the pods that it needs."""
    seen = settle(ship(finished(), template("3.0")), NOW)
    crashed = after(seen, plan(seen, NOW + MINUTE), writes=False)
    write = applied(plan(crashed, NOW + MINUTE))["checkout-blue"]
    assert (write["replicas"], write["template"]["spec"]["containers"][0]["image"]) == (1, "shop/checkout:3.0")


def test_the_same_template_with_the_servers_defaults_is_no_change() -> None:
    """Asked for as written, read back with defaults, or kept by a RolloutRun: stable is not written for that."""
    seen = ship(serving(), template("2.0"))
    made = plan(seen, NOW)
    assert "checkout-blue" not in applied(made)
    assert "checkout-blue" not in applied(plan(after(seen, made), NOW))


# ---------------------------------------------------------------------------------------------- foreign writes


def test_a_foreign_write_is_put_back_at_once_and_told() -> None:
    """Its replicas are ours again, by an apply that differs from the one before; people read who it was."""
    seen = meddled(stepping(), Slot.BLUE, replicas=0)
    made = plan(seen, NOW)
    (write,) = made.applies
    assert (write.name, write.body["spec"]["replicas"]) == ("checkout-blue", CAPACITY)
    assert write.body["metadata"]["annotations"][APPLIED_ANNOTATION] != deployment(seen, Slot.BLUE).applied
    assert [(note.reason, note.warning, note.message) for note in made.notes] == [
        ("ForeignWriter", True, "Deployment shop/checkout-blue was changed by kubectl-edit; put back")
    ]
    assert made.status.audit.entries[-1].action == "repair-blue"
    assert pods_in(settle(seen, NOW)) == (CAPACITY, 3)


def test_what_others_add_is_taken_away() -> None:
    """Server-side apply leaves it: the whole spec is replaced as well."""
    (patch,) = plan(meddled(serving(), Slot.BLUE), NOW).patches
    assert (patch.kind, patch.name, patch.operations[0]["value"]) == (
        Kind.DEPLOYMENT,
        "checkout-blue",
        "uid-checkout-blue",
    )
    assert patch.operations[1]["path"] == "/spec"
    assert patch.operations[1]["value"]["selector"] == {"matchLabels": BLUE}


@pytest.mark.parametrize("replicas", [0, 30])
def test_a_slot_that_idles_has_as_many_pods_as_it_was_meant_to(replicas: int) -> None:
    """What is there to go back to, for scaleDownDelay, is not for others to scale; nor does it grow unseen."""
    seen = meddled(finished(), Slot.BLUE, replicas=replicas)
    made = plan(seen, NOW)
    assert applied(made)["checkout-blue"]["replicas"] == CAPACITY
    assert made.notes[0].message == "Deployment shop/checkout-blue was changed by kubectl-edit; put back"


def test_a_writer_who_comes_back_is_met_with_growing_patience() -> None:
    """The second write within minutes waits a second, the next one two: no tight loop."""
    seen = fight(serving(), NOW, 1, SECOND)
    again = meddled(seen, Slot.BLUE, replicas=30)
    made = plan(again, NOW)
    assert (made.applies, made.wake_at) == ((), NOW + SECOND)
    assert puts_back(again, NOW + SECOND)
    third = meddled(settle(again, NOW + SECOND), Slot.BLUE, replicas=30)
    assert not puts_back(third, NOW + 2 * SECOND)
    assert puts_back(third, NOW + 3 * SECOND)


def test_patience_never_leaves_a_serving_slot_short_of_pods_for_long() -> None:
    """Who scales down what serves is put right within two seconds, however often; who scales up has a minute."""
    seen = fight(serving(), NOW, 9, 3 * SECOND)
    last = NOW + 24 * SECOND
    assert puts_back(meddled(seen, Slot.BLUE, replicas=3), last + 2 * SECOND)
    more = meddled(seen, Slot.BLUE, replicas=30)
    assert not puts_back(more, last + 59 * SECOND)
    assert puts_back(more, last + 60 * SECOND)


def test_patience_starts_anew_after_a_quiet_while() -> None:
    """Somebody who writes twice, a day after a long fight, is put right as quickly as at first."""
    seen = fight(serving(), NOW, 8, 3 * SECOND)
    seen = fight(seen, NOW + 24 * HOUR, 1, SECOND)
    again = meddled(seen, Slot.BLUE, replicas=30)
    assert puts_back(again, NOW + 24 * HOUR + SECOND)


def test_a_fight_is_named() -> None:
    """Once, twice, three times: then it is Stalled with who it is, until that stops."""
    seen = meddled(fight(serving(), NOW, 3, 3 * SECOND), Slot.BLUE, replicas=30)
    stalled = condition_of(plan(seen, NOW + 7 * SECOND).status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "ForeignWriter"
    assert stalled.message.startswith("Deployment shop/checkout-blue was changed by kubectl-edit, again and again")
    calm = settle(seen, NOW + HOUR)
    assert condition_of(calm.status.conditions, "Stalled") is None


def test_who_drops_our_annotations_gets_no_tight_loop_either() -> None:
    """A replace from Git knows none of them: it is a foreign write like any other."""
    seen = fight(serving(), NOW, 1, SECOND)
    bare = meddled(seen, Slot.BLUE, replicas=30, applied="", hash="")
    assert not puts_back(bare, NOW)
    assert puts_back(bare, NOW + SECOND)


def test_a_foreign_write_just_after_ours_is_seen() -> None:
    """It comes before our own write was read back: that it does not say what we wrote tells it."""
    seen = change(serving(), replicas=4)
    seen = meddled(after(seen, plan(seen, NOW)), Slot.BLUE, replicas=0)
    assert entry(seen, Slot.BLUE).generation == 0
    assert pods_in(settle(seen, NOW)) == (4, 0)


def test_a_deployment_that_was_made_anew_by_hand_is_put_right() -> None:
    """Deleted and created from an edited copy: its generation is a small one, and not the one we know."""
    seen = settle(change(serving(), replicas=4), NOW)
    assert puts_back(with_deployment(seen, Slot.BLUE, uid="uid-copy", generation=1), NOW)


def test_a_clock_that_went_back_keeps_nothing_from_being_put_right() -> None:
    """The last repair lies in the future: that is no reason to wait."""
    seen = fight(serving(), NOW, 2, 3 * SECOND)
    assert puts_back(meddled(seen, Slot.BLUE, replicas=0), NOW - HOUR)


# ---------------------------------------------------------------------------------------------- Services


def test_the_services_select_a_slot_each_and_nothing_else() -> None:
    """By Sluice's own labels, with every port of the containers."""
    specs = applied(plan(unborn(), NOW), Kind.SERVICE)
    assert specs["checkout-blue"]["selector"] == BLUE
    assert specs["checkout-blue"]["ports"] == [{"port": 8080, "targetPort": 8080, "protocol": "TCP"}]


def test_a_service_that_was_changed_or_deleted_is_put_right() -> None:
    """Its selector, its ports, or all of it."""
    seen = serving()
    kept = seen.slots[Slot.BLUE].kept
    assert kept is not None
    for changed in (replace(kept, selector={"app": "other"}), replace(kept, ports=()), None):
        astray = with_slot(seen, Slot.BLUE, kept=changed, exists=changed is not None)
        assert applied(plan(astray, NOW), Kind.SERVICE)["checkout-blue"]["selector"] == BLUE
        assert settle(astray, NOW).slots[Slot.BLUE].kept == kept


def test_a_service_that_leads_out_of_the_cluster_is_led_back() -> None:
    """ExternalName: no request would find a pod. Any other type is for others to choose."""
    seen = serving()
    kept = seen.slots[Slot.BLUE].kept
    assert kept is not None
    astray = with_slot(seen, Slot.BLUE, kept=replace(kept, external=True))
    assert applied(plan(astray, NOW), Kind.SERVICE)["checkout-blue"]["type"] == "ClusterIP"
    labels = with_slot(seen, Slot.BLUE, kept=replace(kept, labelled=False))
    assert "type" not in applied(plan(labels, NOW), Kind.SERVICE)["checkout-blue"]


def test_what_others_add_to_a_service_stays() -> None:
    """A port for their probes, or a hint for a gateway: an apply takes away nothing that is not Sluice's."""
    seen = serving()
    kept = seen.slots[Slot.BLUE].kept
    assert kept is not None
    probes = kept.ports[0].model_copy(update={"port": 9999, "name": "probes"})
    hinted = kept.ports[0].model_copy(update={"app_protocol": "kubernetes.io/h2c"})
    for ports in ((*kept.ports, probes), (hinted,)):
        made = plan(with_slot(seen, Slot.BLUE, kept=replace(kept, ports=ports)), NOW)
        assert (applied(made, Kind.SERVICE), made.wake_at) == ({}, plan(seen, NOW).wake_at)


def test_a_port_that_is_no_more_is_taken_away() -> None:
    """It was Sluice's: the next apply leaves it out."""
    both = {"ports": [{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 81, "targetPort": 8081}]}
    seen = settle(change(serving(workload=both), ports=both["ports"][:1]), NOW)
    assert targets(seen)[Slot.BLUE] == [(80, 8080)]


def changed_again_and_again(times: int) -> tuple[Observed, list[datetime]]:
    """Somebody takes blue's Service away at once whenever it was written. Returns when it was written, too."""
    seen, now, written = serving(), NOW + HOUR, list[datetime]()
    kept = seen.slots[Slot.BLUE].kept
    assert kept is not None
    while len(written) < times:
        seen = with_slot(seen, Slot.BLUE, kept=replace(kept, selector={"app": "other"}))
        made = plan(seen, now)
        seen = after(seen, made)
        if applied(made, Kind.SERVICE):
            written.append(now)
        elif made.wake_at is not None:
            now = made.wake_at
    return with_slot(seen, Slot.BLUE, kept=replace(kept, selector={"app": "other"})), written


def test_another_writer_of_a_service_is_met_with_growing_patience() -> None:
    """At once at first, then after longer and longer, up to two seconds: no tight loop, and no long hole."""
    _, written = changed_again_and_again(8)
    waits = [(then - before).total_seconds() for before, then in pairwise(written)]
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_fight_about_a_service_is_named() -> None:
    """People read which Service it is, and what to do, until it stays as it was written."""
    seen, written = changed_again_and_again(6)
    stalled = condition_of(plan(seen, written[-1]).status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, "stop that writer" in stalled.message) == ("ForeignWriter", True)
    assert "Service shop/checkout-blue" in stalled.message
    calm = settle(seen, written[-1] + HOUR)
    assert condition_of(calm.status.conditions, "Stalled") is None


def test_changing_ones_mind_about_ports_is_no_fight() -> None:
    """Each new list of ports is written at once, however often; and the status does not grow with it."""
    seen = serving()
    for port in range(9000, 9040):
        seen = settle(ship(seen, template("1.0"), workload={"ports": [{"port": port, "targetPort": 8080}]}), NOW)
        assert targets(seen)[Slot.BLUE] == [(port, 8080)]
        assert condition_of(seen.status.conditions, "Stalled") is None
    assert len(seen.status.repairs) <= 16


def test_a_template_with_another_port_leaves_the_service_of_stable_alone() -> None:
    """Its pods still listen where they did: only the candidate's Service has the new port."""
    seen = settle(ship(serving(), template("2.0", port=9090)), NOW)
    ports = {slot: seen.slots[slot].kept for slot in Slot}
    assert {slot: [port.port for port in kept.ports] for slot, kept in ports.items() if kept} == {
        Slot.BLUE: [8080],
        Slot.GREEN: [9090],
    }


def test_nor_does_a_target_port_that_goes_with_the_new_template() -> None:
    """The spec's ports are for the revision that it asks for: stable keeps the targets that it has, as does an undo."""
    seen = serving(workload={"ports": [{"port": 80, "targetPort": 8080}]})
    ports = {"workload": {"ports": [{"port": 80, "targetPort": 9090}]}}
    seen = settle(ship(seen, template("2.0", port=9090), **ports), NOW)
    assert targets(seen) == {Slot.BLUE: [(80, 8080)], Slot.GREEN: [(80, 9090)]}


def targets(seen: Observed) -> dict[Slot, list[tuple[int, int | str | None]]]:
    """The ports and targets of each slot's Service."""
    kept = {slot: seen.slots[slot].kept for slot in Slot}
    return {slot: [(port.port, port.target_port) for port in view.ports] for slot, view in kept.items() if view}


def test_a_port_that_is_added_alone_is_there_in_both_slots_at_once() -> None:
    """No revision waits for it."""
    seen = serving(workload={"ports": [{"name": "http", "port": 80, "targetPort": 8080}]})
    both = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "admin", "port": 9000}]
    seen = settle(change(settle(ship(seen, template("2.0")), NOW), ports=both), NOW)
    assert targets(seen) == {slot: [(80, 8080), (9000, 9000)] for slot in Slot}


def test_without_any_port_there_is_no_service() -> None:
    """Then it is Stalled, with where to put one."""
    bare = {"metadata": {}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    made = plan(ship(unborn(), bare), NOW)
    assert applied(made, Kind.SERVICE) == {}
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.reason, stalled.message.endswith("set spec.workload.ports")) == ("InvalidSpec", True)


# ---------------------------------------------------------------------------------------------- names


def test_a_deployment_of_somebody_else_is_not_taken_over() -> None:
    """Where a slot's Deployment shall be there is another: it is named, and never written."""
    theirs = {"metadata": {"labels": {"app": "other"}}, "spec": {}}
    seen = with_deployment(stepping(), Slot.GREEN, template=theirs, owner="", applied="", hash="")
    made = plan(seen, NOW)
    assert "checkout-green" not in applied(made)
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "NameTaken"
    assert (
        stalled.message
        == "Deployment shop/checkout-green exists already and is not Sluice's: rename it, or the Rollout"
    )
    assert made.wake_at is not None
    assert made.wake_at <= NOW + 30 * SECOND


def test_nor_a_service_of_somebody_else() -> None:
    """The same for a Service, by its selector, or by the Rollout that it names."""
    kept = serving().slots[Slot.GREEN].kept
    assert kept is not None
    others = replace(kept, owner="", selector={"app": "other"}, labelled=False)
    for theirs in (others, replace(kept, owner="shop/first/uid-first")):
        made = plan(with_slot(serving(), Slot.GREEN, kept=theirs), NOW)
        assert applied(made, Kind.SERVICE) == {}
        stalled = condition_of(made.status.conditions, "Stalled")
        assert stalled is not None
        assert (stalled.reason, "Service shop/checkout-green" in stalled.message) == ("NameTaken", True)


def test_a_service_that_an_earlier_rollout_left_is_taken_up_whatever_it_selects_by_now() -> None:
    """Its labels tell whose it was: somebody changed it while no Rollout kept it."""
    kept = serving().slots[Slot.BLUE].kept
    assert kept is not None
    left = with_slot(serving(), Slot.BLUE, kept=replace(kept, owner="", selector={"app": "nobody"}))
    assert settle(left, NOW).slots[Slot.BLUE].kept == kept


def test_what_an_earlier_rollout_of_the_name_left_is_taken_up() -> None:
    """Deleted with Keep and created anew: the pods are the same, and are ours by another uid."""
    seen = serving()
    for owner in ("", "shop/checkout/uid-of-before"):
        left = with_deployment(seen, Slot.BLUE, owner=owner)
        made = plan(left, NOW + MINUTE)
        assert condition_of(made.status.conditions, "Stalled") is None
