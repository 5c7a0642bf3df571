"""The two slots: what each runs, with how many pods, and when that may change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.api.names import Kind, Slot
from sluice.api.rollout import Outcome
from sluice.decide.model import Acceptance
from sluice.decide.planner import plan
from sluice.decide.pods import PodFault
from unit.decide.cluster import after, settle, slowly
from unit.decide.observed import HOUR, MINUTE, NOW, SECOND, action, switch, target
from unit.decide.workloads import (
    CAPACITY,
    aborted,
    applied,
    change,
    deployment,
    entry,
    finished,
    follower,
    meddled,
    pods_in,
    serving,
    ship,
    stepping,
    template,
    unborn,
    version_in,
    with_deployment,
    with_slot,
    without,
)

DRAINED = NOW + 10 * SECOND
DELAYED = NOW + 10 * MINUTE


# ---------------------------------------------------------------------------------------------- the first version


def test_a_first_version_goes_straight_in() -> None:
    """No run, no steps: all of its pods at once, in the slot that the route gives all to."""
    made = plan(unborn(), NOW)
    assert {name: spec["replicas"] for name, spec in applied(made).items()} == {"checkout-blue": CAPACITY}
    assert set(applied(made, Kind.SERVICE)) == {"checkout-blue", "checkout-green"}
    assert (made.create_run, made.shifts) == (None, ())


def test_a_first_version_goes_where_the_route_sends_more() -> None:
    """The route names green with all of the weight: green it is."""
    seen = settle(unborn(targets=(target(10_000),)), NOW)
    assert (pods_in(seen), seen.targets[0].shares) == ((0, CAPACITY), (10_000,))


def test_a_first_version_serves_once_all_of_it_is_ready() -> None:
    """Nine of ten pods are not enough to have served; a route that gives the other slot a part is not moved before."""
    seen = settle(unborn(targets=(target(4000),)), NOW, slowly)
    nine = settle(with_deployment(seen, Slot.BLUE, ready=CAPACITY - 1), NOW, slowly)
    assert nine.status.stable is not None
    assert (nine.status.stable.served_at, nine.targets[0].shares) == (None, (4000,))
    ready = condition_of(nine.status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "False"
    ten = settle(with_deployment(nine, Slot.BLUE, ready=CAPACITY), NOW + MINUTE)
    assert ten.status.stable is not None
    assert (ten.status.stable.served_at, ten.targets[0].shares) == (NOW + MINUTE, (0,))
    assert ten.status.phase == "Healthy"


def test_a_first_version_says_how_far_it_is() -> None:
    """Not Ready, and not called serving, before all of it is ready; what keeps a container from running is told."""
    coming = with_deployment(settle(unborn(), NOW, slowly), Slot.BLUE, ready=4)
    made = plan(coming, NOW)
    assert made.status.message == "the first version, 1.0, comes up in blue: 4 of 10 pods ready"
    assert made.status.phase == "Progressing"
    told = {each.type: (each.status, each.reason) for each in made.status.conditions}
    assert (told["Ready"], told["Reconciling"][0]) == (("False", "WaitsForEndpoints"), "True")
    fault = PodFault("checkout-blue-1", "app", "ImagePullBackOff", "not found")
    stuck = plan(with_deployment(coming, Slot.BLUE, faults=(fault,)), NOW)
    assert stuck.status.phase == "Degraded"
    assert stuck.status.message.endswith("container app of pod checkout-blue-1: ImagePullBackOff: not found")


def test_a_first_version_that_never_came_up_is_replaced_in_place() -> None:
    """A mended template takes its place in the same slot at once: there is nothing to go back to."""
    seen = ship(settle(unborn(), NOW, slowly), template("1.1"))
    made = plan(seen, NOW)
    assert made.create_run is None
    seen = settle(seen, NOW)
    assert (version_in(seen, Slot.BLUE), pods_in(seen)) == ("1.1", (CAPACITY, 0))
    assert seen.status.phase == "Healthy"


def test_a_first_version_of_which_a_pod_is_ready_is_not_replaced_in_place() -> None:
    """It may answer requests: the next one takes its steps."""
    seen = with_deployment(settle(unborn(), NOW, slowly), Slot.BLUE, ready=1)
    seen = settle(ship(seen, template("1.1")), NOW)
    assert (version_in(seen, Slot.BLUE), seen.status.run) == ("1.0", "checkout-1")


def test_an_abort_returns_to_a_first_version_of_which_not_all_pods_came_up() -> None:
    """Nine of ten answered before the run began: waiting for the tenth would leave traffic on what was aborted."""
    seen = with_deployment(settle(unborn(), NOW, slowly), Slot.BLUE, ready=9)
    seen = settle(ship(seen, template("2.0")), NOW)
    seen = with_deployment(seen, Slot.BLUE, ready=9)
    assert seen.targets[0].shares == (2500,)
    seen = settle(replace(seen, actions=(action(Verb.ABORT, 1),)), NOW, slowly)
    assert (seen.targets[0].shares, seen.status.phase) == ((0,), "Aborted")


# ---------------------------------------------------------------------------------------------- runs


def test_a_changed_template_starts_a_run() -> None:
    """In the other slot; the RolloutRun keeps both templates, and the API server is asked about the new one first."""
    made = plan(ship(serving(), template("2.0")), NOW)
    assert made.create_run is not None
    assert (made.create_run.to_slot, made.create_run.version, made.create_run.stable_version) == ("green", "2.0", "1.0")
    assert (made.create_run.template, made.create_run.stable_hash) == (
        template("2.0"),
        deployment(serving(), Slot.BLUE).hash,
    )
    assert made.create_run.stable_template is not None
    assert made.trial is not None
    assert made.trial.name == "checkout-green"


def test_scaling_starts_no_run() -> None:
    """More or fewer pods, another scaleDownDelay, ports or minReadySeconds: the same revision."""
    changed = change(serving(), replicas=4, minReadySeconds=5, scaleDownDelay="1h", ports=[{"port": 80}])
    made = plan(changed, NOW)
    assert made.create_run is None
    assert applied(made)["checkout-blue"]["replicas"] == 4


def test_the_candidate_comes_up_by_the_least_before_its_first_share() -> None:
    """One pod to look at, then as many as the first share needs, and only then the share."""
    seen = ship(serving(), template("2.0"))
    begun = after(seen, plan(seen, NOW), slowly)
    one = settle(begun, NOW, slowly)
    assert (pods_in(one), one.targets[0].shares) == ((CAPACITY, 1), (0,))
    sized = settle(with_deployment(one, Slot.GREEN, ready=1), NOW, slowly)
    assert (pods_in(sized), sized.targets[0].shares) == ((CAPACITY, 3), (0,))
    assert "Deployment shop/checkout-green has 1 of 3 pods ready" in sized.status.message
    given = settle(with_deployment(sized, Slot.GREEN, ready=3), NOW)
    assert (pods_in(given), given.targets[0].shares) == ((CAPACITY, 3), (2500,))


def test_the_candidate_becomes_stable_with_all_of_the_pods() -> None:
    """All of the capacity before all of the traffic; the old slot stays as it is for scaleDownDelay."""
    seen = finished()
    assert seen.status.stable is not None
    assert (seen.status.stable.slot, pods_in(seen), seen.targets[0].shares) == (
        Slot.GREEN,
        (CAPACITY, CAPACITY),
        (10_000,),
    )


def test_the_next_run_goes_the_other_way() -> None:
    """From green to blue: the slots change roles, and what serves is not touched."""
    seen = settle(ship(finished(), template("3.0")), DRAINED)
    assert (version_in(seen, Slot.BLUE), version_in(seen, Slot.GREEN)) == ("3.0", "2.0")
    assert (seen.targets[0].shares, pods_in(seen)) == ((7500,), (3, CAPACITY))


def test_what_is_deleted_comes_back() -> None:
    """Either Deployment, as it was, also in mid-run, and also that of the old slot."""
    for before in (serving(), stepping(), finished()):
        for slot in Slot:
            if before.slots[slot].deployment is None:
                continue
            seen = settle(without(before, slot), NOW)
            assert (version_in(seen, slot), pods_in(seen)) == (version_in(before, slot), pods_in(before))


def test_ready_pods_are_those_of_the_slots_revision() -> None:
    """One pod of the former revision still runs beside a new one that cannot: the slot has none ready, not one."""
    seen = with_deployment(stepping(), Slot.GREEN, available=3, former=1, rolled=False)
    assert plan(seen, NOW).status.slots[Slot.GREEN].ready == 2


def test_what_is_deleted_is_told_once() -> None:
    """By a Warning and in the audit chain; not where a Deployment is made for the first time."""
    seen = without(serving(), Slot.BLUE)
    made = plan(seen, NOW)
    said = "Deployment shop/checkout-blue was deleted"
    assert (True, "ForeignWriter", f"{said}; made anew") in [(n.warning, n.reason, n.message) for n in made.notes]
    assert (made.status.audit.entries[-1].action, made.status.audit.entries[-1].message) == ("repair-blue", said)
    assert plan(after(seen, made), NOW + SECOND).notes == ()
    assert plan(unborn(), NOW).notes[0].reason == "Adopted"
    assert len(plan(unborn(), NOW).notes) == 1


def test_a_stable_slot_that_was_deleted_comes_back_whoever_else_selects_its_pods() -> None:
    """It has served: that another Service selects it as well is no reason to leave it away."""
    seen = with_slot(without(serving(), Slot.BLUE), Slot.BLUE, exposed_by=("metrics",))
    assert applied(plan(seen, NOW))["checkout-blue"]["replicas"] == CAPACITY


def test_a_slot_whose_template_nobody_knows_is_told_only_where_it_matters() -> None:
    """Stable's is missed; the idle slot's is not, for nobody asks for it."""
    lost = replace(finished(), runs=())
    assert condition_of(plan(without(lost, Slot.BLUE), NOW).status.conditions, "Stalled") is None
    asks_for_another = ship(lost, template("3.0"))
    stalled = condition_of(plan(without(asks_for_another, Slot.GREEN), NOW).status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "RunLost"
    assert "Deployment shop/checkout-green" in stalled.message


def test_the_scale_subresource_is_told_of_both_slots() -> None:
    """Its count and its selector speak of the same pods."""
    seen = stepping()
    assert (seen.status.replicas, seen.status.selector) == (CAPACITY + 3, "sluice.dev/rollout=checkout")


# ---------------------------------------------------------------------------------------------- superseded


def test_a_superseded_candidate_is_drained_before_it_is_replaced() -> None:
    """Weight 0 first, then what was under way has its time, and only then another template."""
    seen = ship(stepping(), template("3.0"))
    made = plan(seen, NOW)
    assert made.status.revision is not None
    assert made.status.revision.outcome is Outcome.SUPERSEDED
    assert ([shift.share for shift in made.shifts], applied(made)) == ([0], {})
    seen = settle(seen, NOW)
    assert (version_in(seen, Slot.GREEN), pods_in(seen), seen.targets[0].shares) == ("2.0", (CAPACITY, 3), (0,))
    assert (seen.status.run, entry(seen, Slot.GREEN).idle_since) == ("checkout-2", NOW)
    assert "still runs revision" in seen.status.message
    assert plan(seen, NOW).wake_at == DRAINED
    assert version_in(settle(seen, DRAINED - SECOND), Slot.GREEN) == "2.0"
    then = settle(seen, DRAINED)
    assert (version_in(then, Slot.GREEN), then.targets[0].shares) == ("3.0", (2500,))


@pytest.mark.parametrize("acceptance", [Acceptance.PENDING, Acceptance.REFUSED])
def test_drain_time_counts_from_the_confirmed_zero(acceptance: Acceptance) -> None:
    """Written is not enough: a controller that did not take it may still send requests."""
    seen = settle(ship(stepping(), template("3.0")), NOW)
    unsure = settle(replace(seen, targets=(replace(seen.targets[0], acceptance=acceptance),)), NOW + 5 * SECOND)
    assert entry(unsure, Slot.GREEN).idle_since is None
    late = NOW + HOUR
    assert version_in(settle(unsure, late), Slot.GREEN) == "2.0"
    sure = settle(replace(unsure, targets=seen.targets), late)
    assert entry(sure, Slot.GREEN).idle_since == late
    assert version_in(settle(sure, late + 9 * SECOND), Slot.GREEN) == "2.0"
    assert version_in(settle(sure, late + 10 * SECOND), Slot.GREEN) == "3.0"


def test_an_empty_slot_needs_no_draining() -> None:
    """The old slot has no pods any more: the next version begins there at once."""
    seen = settle(finished(), DELAYED)
    assert pods_in(seen) == (0, CAPACITY)
    assert version_in(settle(ship(seen, template("3.0")), DELAYED), Slot.BLUE) == "3.0"


def test_a_template_that_is_superseded_before_it_was_put_in_leaves_the_slot_alone() -> None:
    """Three versions within the drain time: the first is drained once, and the last one takes its place."""
    seen = settle(ship(stepping(), template("3.0")), NOW)
    seen = settle(ship(seen, template("4.0")), NOW + 5 * SECOND)
    assert (version_in(seen, Slot.GREEN), seen.status.run) == ("2.0", "checkout-3")
    assert version_in(settle(seen, DRAINED), Slot.GREEN) == "4.0"


def test_going_back_to_the_stable_template_returns_at_once() -> None:
    """No run: the share goes, and the candidate's pods follow after scaleDownDelay."""
    seen = settle(ship(stepping(), template("1.0")), NOW)
    assert seen.status.revision is not None
    assert (seen.status.revision.outcome, seen.status.run) == (Outcome.RETURNED, "checkout-1")
    assert (seen.status.phase, seen.targets[0].shares, pods_in(seen)) == ("Healthy", (0,), (CAPACITY, 3))
    assert pods_in(settle(seen, DELAYED)) == (CAPACITY, 0)


# ---------------------------------------------------------------------------------------------- the old slot


def test_the_old_slot_goes_to_zero_after_scale_down_delay() -> None:
    """Counted from the confirmed 0; its template stays."""
    seen = finished()
    assert plan(seen, NOW).wake_at == DELAYED
    assert pods_in(settle(seen, DELAYED - SECOND)) == (CAPACITY, CAPACITY)
    late = settle(seen, DELAYED)
    assert (pods_in(late), version_in(late, Slot.BLUE)) == ((0, CAPACITY), "1.0")


def test_a_share_that_comes_back_begins_the_delay_anew() -> None:
    """Somebody wrote the route: the old slot may have served again, until that is put back and confirmed."""
    seen = settle(replace(finished(), targets=(target(6000),)), NOW + 9 * MINUTE)
    assert seen.targets[0].shares == (10_000,)
    assert entry(seen, Slot.BLUE).idle_since == NOW + 9 * MINUTE
    assert pods_in(settle(seen, NOW + 18 * MINUTE)) == (CAPACITY, CAPACITY)
    assert pods_in(settle(seen, NOW + 19 * MINUTE)) == (0, CAPACITY)


def test_pods_that_somebody_started_stay_until_their_requests_have_had_their_time() -> None:
    """An empty slot that got weight and pods by other hands: it is emptied again, but not before it is drained."""
    emptied = settle(finished(), DELAYED)
    seen = settle(replace(emptied, targets=(target(6000),)), DELAYED)
    assert (pods_in(seen), entry(seen, Slot.BLUE).idle_since) == ((0, CAPACITY), DELAYED)
    scaled = meddled(seen, Slot.BLUE, replicas=1, pods=1, available=1)
    assert pods_in(settle(scaled, DELAYED + 2 * SECOND)) == (1, CAPACITY)
    assert pods_in(settle(scaled, DELAYED + 10 * MINUTE)) == (0, CAPACITY)


def test_an_aborted_candidate_goes_after_the_delay_too() -> None:
    """Its pods stay as many as they are, then go to zero."""
    assert pods_in(aborted()) == (CAPACITY, 3)
    assert pods_in(settle(aborted(), DELAYED)) == (CAPACITY, 0)


def test_a_killed_candidate_keeps_its_pods() -> None:
    """People look into it, for as long as it takes; the next version takes its place."""
    killed = settle(replace(stepping(), switches=(switch(),)), NOW)
    late = settle(replace(killed, switches=()), NOW + 100 * HOUR)
    assert (late.status.phase, pods_in(late), version_in(late, Slot.GREEN)) == ("Killed", (CAPACITY, 3), "2.0")
    assert version_in(settle(ship(late, template("3.0")), NOW + 101 * HOUR), Slot.GREEN) == "3.0"


def test_a_follower_that_still_selects_the_old_slot_keeps_its_pods() -> None:
    """The plain Service for other callers sends them there, whatever the routes say."""
    seen = finished(followers=(follower(0),))
    assert seen.followers[0].shares == (10_000,)
    astray = replace(seen, followers=(follower(0),), slots=with_deployment(seen, Slot.GREEN, ready=0).slots)
    late = settle(astray, DELAYED, slowly)
    assert (late.followers[0].shares, pods_in(late)) == ((0,), (CAPACITY, CAPACITY))


# ---------------------------------------------------------------------------------------------- scaling


@pytest.mark.parametrize("replicas, pods", [(20, (20, 5)), (5, (5, 2)), (0, (0, 0))])
def test_an_autoscaler_doubles_and_halves_in_mid_run(replicas: int, pods: tuple[int, int]) -> None:
    """Both slots follow, each by its share; the weight stays, and no run begins."""
    seen = settle(change(stepping(), replicas=replicas), NOW)
    assert (pods_in(seen), seen.targets[0].shares, seen.status.run) == (pods, (2500,), "checkout-1")


def test_a_share_waits_for_the_pods_that_an_autoscaler_asked_for() -> None:
    """Doubled in mid-run: the next share needs ten pods of twenty, and comes when they are ready."""
    seen = settle(change(stepping(), replicas=20), NOW, slowly)
    seen = replace(seen, actions=(action(Verb.PROMOTE, 1),))
    waits = settle(seen, NOW, slowly)
    assert (pods_in(waits), waits.targets[0].shares) == ((20, 10), (2500,))
    assert "has 3 of 10 pods ready" in waits.status.message
    assert settle(with_deployment(waits, Slot.GREEN, ready=10), NOW).targets[0].shares == (5000,)


def test_pods_of_a_candidate_never_shrink_with_its_share_in_a_run() -> None:
    """A step that lowers the share leaves the pods: what was under way there needs them."""
    steps = [{"setWeight": 50}, {"setWeight": 10}, {"pause": {}}]
    seen = stepping(strategy={"canary": {"steps": steps}})
    assert (seen.targets[0].shares, pods_in(seen)) == ((1000,), (CAPACITY, 5))


def test_nor_below_what_the_share_needs_with_a_smaller_size() -> None:
    """A step to one pod, at 50 %: the five that the traffic needs stay, and the size is for shares to come (I2)."""
    steps = [{"setWeight": 50}, {"setCanaryScale": {"replicas": 1}}, {"pause": {}}]
    seen = stepping(strategy={"canary": {"steps": steps}})
    assert (seen.targets[0].shares, pods_in(seen)) == ((5000,), (CAPACITY, 5))


@pytest.mark.parametrize("size, left", [({"share": 50}, 5), ({"replicas": 1}, 3)])
def test_more_pods_than_the_share_needs_end_with_a_smaller_size(size: dict[str, int], left: int) -> None:
    """Ten pods at 25 %, then a step to a smaller size: it is taken, as far as the traffic lets it."""
    steps = [{"setWeight": 25}, {"setCanaryScale": size}, {"pause": {}}]
    seen = stepping(strategy={"canary": {"steps": steps, "canarySize": {"full": True}}})
    assert (seen.targets[0].shares, pods_in(seen)) == ((2500,), (CAPACITY, left))


def test_a_size_that_was_set_before_the_share_stays_small() -> None:
    """One pod for 50 % is what was asked for, and what there is; bigger sizes of before do not count again."""
    steps = [{"setCanaryScale": {"replicas": 1}}, {"setWeight": 50}, {"pause": {}}]
    seen = stepping(strategy={"canary": {"steps": steps}})
    assert (seen.targets[0].shares, pods_in(seen)) == ((5000,), (CAPACITY, 1))


# ---------------------------------------------------------------------------------------------- exposure


def test_no_pod_starts_that_another_service_would_send_traffic_to() -> None:
    """The Service is named, with what to do; the run waits, and goes on when it is gone."""
    seen = ship(with_slot(serving(), Slot.GREEN, exposed_by=("backdoor",)), template("2.0"))
    stuck = settle(seen, NOW)
    assert pods_in(stuck) == (CAPACITY, 0)
    stalled = condition_of(stuck.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "ExposedOutsideWeight"
    assert stalled.message.startswith("Service shop/backdoor selects the pods of checkout-green by their labels")
    assert "spec.traffic.stableService" in stalled.message
    assert settle(with_slot(stuck, Slot.GREEN, exposed_by=()), NOW).targets[0].shares == (2500,)


def test_nor_in_the_place_of_pods_that_are_there_already() -> None:
    """The slot still has pods of the version before: the new one is not rolled into them either."""
    seen = ship(with_slot(aborted(), Slot.GREEN, exposed_by=("backdoor",)), template("3.0"))
    stuck = settle(seen, DRAINED)
    assert (version_in(stuck, Slot.GREEN), pods_in(stuck)) == ("3.0", (CAPACITY, 0))
    stalled = condition_of(stuck.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "ExposedOutsideWeight"


def test_a_first_version_does_not_start_exposed_either() -> None:
    """The old Service of an app that is being adopted would send it traffic before all of it is ready."""
    seen = with_slot(unborn(), Slot.BLUE, exposed_by=("checkout",))
    assert applied(plan(seen, NOW))["checkout-blue"]["replicas"] == 0


def test_a_service_that_comes_in_mid_run_stops_growth_but_ends_no_pod() -> None:
    """The candidate serves its share from those pods."""
    seen = with_slot(stepping(), Slot.GREEN, exposed_by=("backdoor",))
    seen = settle(replace(seen, actions=(action(Verb.PROMOTE, 1),)), NOW)
    assert (pods_in(seen), seen.targets[0].shares) == ((CAPACITY, 3), (2500,))
