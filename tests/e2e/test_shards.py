"""Three replicas work at once, each on its own shards; one is lost, or stops for a while: all Rollouts go on."""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Iterator

import pytest

from e2e.fleet_recorder import FleetRecorder
from e2e.support.app import SLUICE, Json
from e2e.support.fixtures import show
from e2e.support.fleet_app import FleetApp
from e2e.support.four import light_members
from e2e.support.herd import SETTLE_SECONDS, Herd
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import MEMBER_PROBE_SECONDS, World
from installation import Operator, share_all

log = logging.getLogger(__name__)
ROLLOUTS = 32
LEASE_SECONDS = 5
STEPS = (weight(20), pause("3s"), weight(60), pause("3s"))
SWITCH = "stop-everything"


@pytest.fixture(scope="module")
def trio(world: World) -> Iterator[tuple[Operator, ...]]:
    """Three replicas with a short lease in place of the world's, for this module."""
    arguments = ["--lease-seconds", str(LEASE_SECONDS), "--member-probe-seconds", str(MEMBER_PROBE_SECONDS)]
    made = tuple(Operator(world.hub, world.data_plane.prometheus_url, arguments, f"trio-{each}") for each in range(3))
    with world.relieved(*made):
        for operator in made:
            operator.start(ready=False)
        yield made


@pytest.fixture
def three(trio: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """All of them, sharing; whoever was killed by the test before is started again."""
    for operator in trio:
        if not operator.running():
            operator.start(ready=False)
    until(lambda: share_all(trio), "three replicas to share", SETTLE_SECONDS)
    return trio


@pytest.fixture(scope="module")
def herd(world: World, trio: tuple[Operator, ...]) -> Iterator[Herd]:
    """Rollouts enough for each replica to have some."""
    assert trio
    made = Herd(world.app(), ROLLOUTS)
    made.manage(canary(*STEPS))
    yield made
    made.app.remove()


def one_of_each(herd: Herd, replicas: tuple[Operator, ...]) -> list[str]:
    """A Rollout of each replica."""
    where = herd.app.namespace
    return [next(name for name in herd.names if each.masters(where, name)) for each in replicas]


def survivors(replicas: tuple[Operator, ...], lost: Operator) -> list[Operator]:
    """The others."""
    return [each for each in replicas if each is not lost]


@pytest.mark.timeout(600)
def test_all_rollouts_go_on_when_a_replica_is_killed(herd: Herd, three: tuple[Operator, ...]) -> None:
    """SIGKILL in the midst of all their runs: the others take its shards, every run ends, no request fails."""
    lost = three[0]
    with herd.steady(one_of_each(herd, three)):
        herd.release("v2", "green")
        until(lambda: herd.some_are_at("20%"), "runs to begin")
        lost.kill()
        killed_at = time.monotonic()
        until(lambda: share_all(survivors(three, lost)), "the others to share all shards")
        log.warning(
            "the others had all shards after %.2f s of a lease of %d s", time.monotonic() - killed_at, LEASE_SECONDS
        )
        herd.wait("Healthy")
    assert len(herd.exposed()) == ROLLOUTS
    herd.check_audits()


@pytest.mark.timeout(600)
def test_all_rollouts_go_on_while_a_replica_is_stopped_and_after_it_goes_on(
    herd: Herd, three: tuple[Operator, ...]
) -> None:
    """SIGSTOP in mid-run for longer than the lease: its shards move, and it comes back without a write too many."""
    frozen = three[1]
    with herd.steady(one_of_each(herd, three)):
        herd.release("v1", "blue")
        until(lambda: herd.some_are_at("20%"), "runs to begin")
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            until(lambda: share_all(survivors(three, frozen)), "the others to share all shards")
            until(lambda: herd.some_are_at("60%"), "runs to go on meanwhile")
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        until(lambda: "takes no part any more" in frozen.log, "it to see that its shards are lost")
        until(lambda: share_all(three), "all three to share again")
        herd.wait("Healthy")
    assert herd.exposed() == []
    herd.check_audits()


@pytest.mark.timeout(600)
def test_a_cluster_kill_while_a_replica_is_dead(world: World, herd: Herd, three: tuple[Operator, ...]) -> None:
    """The others divert their own at once, those of the dead one as soon as they are theirs; the state is told."""
    lost = three[2]
    strategy = {"strategy": canary(weight(20), pause())}
    herd.app.kubectl("patch", "rollout", *herd.names, "--type=merge", "-p", json.dumps({"spec": strategy}))
    with herd.steady(one_of_each(herd, three)):
        herd.release("v2", "green")
        herd.wait("Paused")
        assert len(herd.exposed()) == ROLLOUTS
        dead = [name for name in herd.names if lost.masters(herd.app.namespace, name)]
        lost.kill()
        engage(world, herd)
        until(lambda: set(herd.exposed()) <= set(dead), "what has a master to be diverted")
        until(lambda: not herd.exposed(), "everything to be diverted", SETTLE_SECONDS)
        herd.wait("Killed")
        until(lambda: told(world)["state"] == "Engaged", "the switch to tell that it is in force")
        assert told(world)["diverted"] == {"routes": ROLLOUTS, "pending": 0, "unconfirmed": []}
    herd.check_audits()
    release = {"spec": {"engaged": False, "releaseReason": "it was a test"}}
    world.hub.kubectl("patch", "clusterkillswitch", SWITCH, "--type=merge", "-p", json.dumps(release))
    world.hub.kubectl("delete", "clusterkillswitch", SWITCH)


@pytest.fixture
def app(world: World, three: tuple[Operator, ...], request: pytest.FixtureRequest) -> Iterator[FleetApp]:
    """An app in two member clusters, led by one of the three."""
    assert three
    with light_members(world) as members:
        made = FleetApp(members, world.app())
        show(request.node, world, made)
        made.everywhere().lead(canary(weight(20), pause("2s"), weight(60), pause("2s")))
        yield made
        made.remove()


@pytest.mark.timeout(600)
def test_a_fleet_goes_on_in_its_members_when_its_master_is_killed(app: FleetApp, three: tuple[Operator, ...]) -> None:
    """SIGKILL in mid-run, then again of who took over: another goes on in each member, nothing repeated or skipped."""
    alive = list(three)
    with FleetRecorder(app) as record:
        app.ship({"name": "all"})
        for percent in (20, 60):
            app["member-3"].wait_percent(percent)
            lost = next(each for each in alive if each.masters(app.namespace, app.name))
            alive.remove(lost)
            lost.kill()
            killed_at = time.monotonic()
            until(lambda: share_all(alive), "the others to share all shards")
            log.warning("at %d %%: taken over %.2f s after the kill", percent, time.monotonic() - killed_at)
        app.wait_phase("Healthy")
        record.catch_up()
    plan = [0, 20, 60, 100]
    record.check_plan(member_3=plan, member_4=plan)
    record.check_lockstep("member-3", "member-4")
    record.check_permitted()
    record.trail.check()
    assert [each["status"]["outcome"] for each in app.fleet_runs()] == ["Completed", "Completed"]
    for leg in app.legs.values():
        assert len(leg.runs()) == 1, f"a crash began a run twice in {leg.name}"


def engage(world: World, herd: Herd) -> None:
    """A switch over the herd's namespace."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": herd.app.namespace}}
    spec = {"engaged": True, "reason": "incident 7", "effect": "Divert", "scope": {"namespaceSelector": selector}}
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ClusterKillSwitch",
        "metadata": {"name": SWITCH},
        "spec": spec,
    }
    world.hub.apply(json.dumps(body))


def told(world: World) -> Json:
    """What the switch says of itself."""
    status = world.hub.get(f"{SLUICE}/clusterkillswitches/{SWITCH}").get("status") or {}
    return {"state": "", "diverted": {}, **status}
