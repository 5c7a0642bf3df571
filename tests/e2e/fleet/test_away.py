"""Members that are away or slow, in mid-run: they hold their own batch, and a kill reaches them first of all."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.support.fleet_app import ALL, FleetApp, MakeFleetApp
from e2e.support.four import Four, writes_of_operator
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from testbed import FaultyApi

pytestmark = pytest.mark.timeout(600)  # the first test starts four clusters
log = logging.getLogger(__name__)
AWAY = ("member-2", "member-3")
SLOW = "member-4"
SLOW_SECONDS = 20.0


@contextlib.contextmanager
def two_away(four: Four) -> Iterator[None]:
    """One API server is dead, one frozen, and the hub says so; at the end both are back."""
    dead, frozen = map(four.cluster, AWAY)
    dead.stop_apiserver()
    frozen.freeze_apiserver()
    try:
        for name in AWAY:
            four.fleet.wait(name, "Reachable", "False NoAnswer")
        yield
    finally:
        frozen.thaw_apiserver()
        if not four.places[AWAY[0]].answers():
            dead.start_apiserver()
            four.places[AWAY[0]].catch_up()
    for name in AWAY:
        four.fleet.wait_ready(name)


def test_who_is_away_holds_its_own_batch_and_is_diverted_when_it_is_back(
    four: Four, make_fleet_app: MakeFleetApp
) -> None:
    """Two are lost in mid-batch: named, since when; others go on; a kill reaches whom it can, and those two at once."""
    held, free = make_fleet_app(), make_fleet_app()
    held.everywhere().lead(canary(weight(50), pause()))
    others = {"matchExpressions": [{"key": "member", "operator": "NotIn", "values": list(AWAY)}]}
    free.everywhere().lead(canary(weight(20), pause("1s"), weight(60)), selector=others)
    held.apply("KillSwitch", "stop", {"effect": "Divert"})
    with held.loaded(), free["member-1"].steady(50), FleetRecorder(held) as record:
        held.ship(ALL)
        for leg in held.legs.values():
            leg.wait_percent(50)
        held.wait_awaits()
        with two_away(four):
            insist_held(held)
            free.ship(ALL)
            assert free.wait_outcome(2) == "Completed"
            assert free.percents("member-1", "member-4") == {"member-1": 100, "member-4": 100}
            killed_at = datetime.now(UTC)
            kill_within_reach(held)
            four.cluster(AWAY[0]).start_apiserver()
            served_at = time.monotonic()
            until(lambda: held[AWAY[0]].percent() == 0, "the dead one to be diverted")
            log.warning("%s was diverted within %.2f s of serving again", AWAY[0], time.monotonic() - served_at)
            four.places[AWAY[0]].catch_up()
            held[AWAY[0]].wait_percent(0)
            held[AWAY[0]].only("v1")
        held[AWAY[1]].wait_percent(0)
        for name in AWAY:
            written = [each["objectRef"] for each in writes_of_operator(four.cluster(name), since=killed_at)]
            told = [(each["resource"], each["namespace"]) for each in written]
            assert told[0] == ("httproutes", held.namespace), (name, told)
        until(lambda: not held.notable(), "everybody to be back")
        assert held.status["phase"] == "Killed"
        record.catch_up()
    plan = [0, 50, 0]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_permitted()


def test_a_slow_member_is_in_nobodys_way_and_is_killed_in_all_the_same(
    four: Four, make_fleet_app: MakeFleetApp
) -> None:
    """One takes 20 seconds for each answer: it is named, the others are killed in at once, and it as soon as it can."""
    held = make_fleet_app()
    held.everywhere().lead(canary(weight(50), pause()))
    held.apply("KillSwitch", "stop", {"effect": "Divert"})
    slow = four.cluster(SLOW)
    with FaultyApi(slow, 0.0, seed=1) as proxy:
        four.fleet.add(slow, "--server", proxy.server)
        with held.loaded(), FleetRecorder(held) as record:
            held.ship(ALL)
            held.wait_awaits()
            proxy.slow_down(SLOW_SECONDS)
            four.fleet.wait(SLOW, "Reachable", "False NoAnswer")
            killed_at = datetime.now(UTC)
            engage(held)
            for name in ("member-1", "member-2", "member-3"):
                held[name].wait_percent(0)
            left = until(lambda: returning(held) == {SLOW} and held.notable(), "just one to be on its way back")
            assert left[SLOW]["since"], left
            held[SLOW].wait_percent(0)
            first = writes_of_operator(slow, since=killed_at)[0]["objectRef"]
            assert (first["resource"], first["namespace"]) == ("httproutes", held.namespace), first
            proxy.slow_down(0.0)
            until(lambda: not held.notable(), "everybody to be back")
            assert held.status["phase"] == "Killed"
            record.catch_up()
        four.fleet.add(slow, "--server", slow.server)
    plan = [0, 50, 0]
    record.check_plan(member_1=plan, member_2=plan, member_3=plan, member_4=plan)
    record.check_permitted()


def insist_held(app: FleetApp) -> None:
    """The run stays where it is, and says for whom and since when it waits; nobody can talk it out of that."""
    answer = app.act("Promote")
    assert answer["phase"] == "Rejected", answer
    message = app.wait_message("does not answer since")
    assert all(f"{name}, which does not answer since" in message for name in AWAY), message
    assert all(app.notable()[name]["since"] for name in AWAY)
    assert app.percents("member-1", "member-4") == {"member-1": 50, "member-4": 50}


def kill_within_reach(app: FleetApp) -> None:
    """Engage the switch: who can be reached is diverted, and the status says who is not, and since when."""
    engage(app)
    for name in ("member-1", "member-4"):
        app[name].wait_percent(0)
    app["member-1"].only("v1")
    app.wait_phase("Killed")
    left = until(lambda: returning(app) == set(AWAY) and app.notable(), "just two to be on their way back")
    assert all(left[name]["since"] for name in AWAY), left


def engage(app: FleetApp) -> None:
    """As somebody on call does."""
    body = {"spec": {"engaged": True, "reason": "5xx on checkout"}}
    app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(body))


def returning(app: FleetApp) -> set[str]:
    """Who is on its way back, by the status."""
    return {name for name, told in app.notable().items() if told["phase"] == "Returning"}
