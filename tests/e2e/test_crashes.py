"""The operator dies, is paused, is away, or loses the API server: runs go on, nothing beyond the plan."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from e2e.outages import outage
from e2e.recorder import Recorder
from e2e.support.app import App
from e2e.support.manifests import background, canary, error_rate, gate, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World
from installation import Operator, share_all

log = logging.getLogger(__name__)
LEASE_SECONDS = 3
KILLS = 10
MOST_LIFE_SECONDS = 0.8  # of an operator that works, before it is killed
OUTAGE_SECONDS = 5.0
LONG_LEASE_SECONDS = 120
MASTER_SECONDS = LONG_LEASE_SECONDS + 60.0  # also where the one before was killed, and let go of nothing
AMPLE_SECONDS = 20  # for a pause in which the test has something to do, on a busy machine


@pytest.fixture(scope="module")
def replicas(world: World) -> Iterator[tuple[Operator, Operator]]:
    """The world's two replicas with a short lease, for this module."""
    usual = [list(operator.arguments) for operator in world.operators]
    for operator, arguments in zip(world.operators, usual, strict=True):
        operator.stop()
        operator.arguments = [*arguments, "--lease-seconds", str(LEASE_SECONDS)]
    yield world.operators[0], world.operators[1]
    for operator, arguments in zip(world.operators, usual, strict=True):
        operator.stop()
        operator.arguments = arguments
        operator.start(ready=False)
    for operator in world.operators:
        world.hub.wait(operator.ready, 120, f"{operator.name} to be ready")
    world.settle()


@pytest.fixture
def both(
    replicas: tuple[Operator, Operator], app: App, request: pytest.FixtureRequest
) -> Iterator[tuple[Operator, Operator]]:
    """(the app's master, the other one), both running; both are stopped at the end. Its parameter is another lease."""
    lease = ["--lease-seconds", str(request.param)] if hasattr(request, "param") else []
    for operator in replicas:
        before, operator.arguments = operator.arguments, [*operator.arguments, *lease]
        operator.start(ready=False)
        operator.arguments = before
    until(lambda: all(operator.ready() for operator in replicas), "both replicas to be ready", 120)
    until(lambda: share_all(replicas), "the two to share", MASTER_SECONDS)
    first, second = replicas
    yield (first, second) if first.masters(app.namespace, app.name) else (second, first)
    for operator in replicas:
        operator.stop()


@pytest.fixture
def only(replicas: tuple[Operator, Operator]) -> Iterator[Operator]:
    """The only replica, which keeps its name over restarts as a pod does; not yet started."""
    operator = replicas[0]
    before = operator.arguments
    operator.arguments = [*before, "--identity", "the-only-one"]
    yield operator
    operator.stop()
    operator.arguments = before


def pass_time(until_monotonic: float, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Come back when that moment has passed; `meanwhile` is called again and again."""

    def passed() -> bool:
        meanwhile()
        return time.monotonic() >= until_monotonic

    until(passed, "a moment to pass", timeout=until_monotonic - time.monotonic() + 10)


def engage(app: App, reason: str) -> None:
    """Engage the app's KillSwitch `stop`."""
    patch = {"spec": {"engaged": True, "reason": reason}}
    app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(patch))


@pytest.mark.timeout(900)
def test_ten_crashes_of_the_only_replica(only: Operator, app: App) -> None:
    """Killed at ten random moments of a run and started each time, it converges: every share once, in order."""
    seed = int(os.environ.get("SLUICE_CRASH_SEED") or random.SystemRandom().randrange(2**32))
    log.warning("SLUICE_CRASH_SEED=%d repeats these moments", seed)
    draw = random.Random(seed)
    steps = [step for share in (5, 25, 50) for step in (weight(share), pause("8s"))]
    app.deploy()
    only.start()
    app.manage(canary(*steps, weight(100), pause()), analysis=background(error_rate()))
    seen = []
    with app.steady(rate=150), Recorder(app) as record:
        app.release()
        for number in range(KILLS):
            until(only.works, "it to work", MASTER_SECONDS)
            pass_time(time.monotonic() + draw.uniform(0.0, MOST_LIFE_SECONDS))
            only.kill()
            seen.append(app.status["message"])
            ended = app.run(1).get("status", {}).get("outcome")
            assert ended is None, f"the run was over before crash {number + 1}: {seen}"
            only.start(ready=False)
        log.warning("crashed in: %s", "; ".join(seen))
        app.wait_weight("100%", timeout=120)
        app.promote_when_measured()
        app.wait_phase("Healthy")
        app.only("v2")
        record.catch_up()
    record.check_plan(0, 5, 25, 50, 100)
    record.check_intended()
    record.check_audit()
    assert app.wait_run_over(1)["outcome"] == "Completed"
    runs = json.loads(app.kubectl("get", "rolloutruns", "-o", "json"))["items"]
    assert len(runs) == 1, "a crash began a second run"


def test_another_replica_takes_over_within_the_lease(both: tuple[Operator, Operator], app: App) -> None:
    """The master is killed in mid-run: the other has its shards when the lease is over, and the run goes on."""
    master, other = both
    strategy = canary(weight(10), pause("1s"), weight(50), pause("1s"))
    app.deploy().manage(strategy, analysis=background(gate()))
    with app.steady(), Recorder(app) as record:
        app.release()
        app.wait_weight("10%")
        lease = app.hub.get("/apis/coordination.k8s.io/v1/namespaces/sluice-system/leases/sluice")
        assert lease["spec"]["leaseDurationSeconds"] == LEASE_SECONDS
        master.kill()
        killed_at = time.monotonic()
        until(lambda: other.masters(app.namespace, app.name), "the other to take over")
        seconds = time.monotonic() - killed_at
        app.lets_go()
        app.wait_phase("Healthy")
        app.only("v2")
        record.catch_up()
    log.warning("the other took over after %.2f s", seconds)
    record.check_plan(0, 10, 50, 100)
    record.check_intended()
    record.check_audit()


@pytest.mark.parametrize("both", [LONG_LEASE_SECONDS], indirect=True)
def test_a_replica_that_is_told_to_stop_hands_over_at_once(both: tuple[Operator, Operator], app: App) -> None:
    """SIGTERM in mid-run: the other has its shards at once, without waiting for the lease to run out."""
    master, other = both
    strategy = canary(weight(10), pause("1s"), weight(50), pause("1s"))
    app.deploy().manage(strategy, analysis=background(gate()))
    with app.steady(), Recorder(app) as record:
        app.release()
        app.wait_weight("10%")
        os.kill(master.pid, signal.SIGTERM)
        told_at = time.monotonic()
        taken = partial(other.masters, app.namespace, app.name)
        until(taken, "the other to have a shard that was let go of", LONG_LEASE_SECONDS / 2)
        seconds = time.monotonic() - told_at
        app.lets_go()
        app.wait_phase("Healthy")
        record.catch_up()
    log.warning("the other took over after %.2f s", seconds)
    record.check_plan(0, 10, 50, 100)
    record.check_audit()


def test_a_replica_that_was_paused_writes_nothing_when_it_wakes(both: tuple[Operator, Operator], app: App) -> None:
    """Past its lease it still believes in a share that another replica took away since: it must not write it."""
    master, other = both
    app.deploy().manage(canary(weight(20), pause(f"{LEASE_SECONDS + AMPLE_SECONDS}s"), weight(100), pause()))
    app.apply("KillSwitch", "stop", {"effect": "Divert"})
    with app.steady(), Recorder(app) as record:
        app.release()
        app.wait_weight("20%")
        ends_at = time.monotonic() + LEASE_SECONDS + AMPLE_SECONDS
        app.wait_step(2)
        os.kill(master.pid, signal.SIGSTOP)
        try:
            until(lambda: other.masters(app.namespace, app.name), "the other to take over")
            engage(app, "incident 12")
            app.wait_phase("Killed")
            app.wait_weight("0%")
            record.catch_up()
            written = len(record.route_versions)
            pass_time(ends_at + 1)  # by now, all that it knows says: go to 100 %
        finally:
            os.kill(master.pid, signal.SIGCONT)
        until(lambda: "takes no part any more" in master.log, "it to see that its shards are lost")
        until(lambda: share_all(both), "the two to share again")
        engaged = f"/apis/sluice.dev/v1alpha1/namespaces/{app.namespace}/killswitches/stop"
        until(lambda: app.hub.get(engaged)["status"]["state"] == "Engaged", "the switch to be Engaged")
        assert app.status["phase"] == "Killed"
        app.only("v1")
        record.catch_up()
    record.check_plan(0, 20, 0)
    ours = [status for status in app.route()["metadata"]["managedFields"] if status["manager"] == "sluice"]
    assert ours
    assert app.weights()[app.green] == 0
    assert len(record.route_versions) - written <= 2, "more than Contour's statuses was written to the route"
    record.check_audit()


def test_a_run_goes_on_after_the_api_server_was_away(both: tuple[Operator, Operator], app: App) -> None:
    """Nothing is exposed beyond the plan while or after the API server is down for longer than the lease."""
    strategy = canary(weight(10), pause("2s"), weight(50), pause("2s"))
    app.deploy().manage(strategy, analysis=background(gate()))
    with app.steady(), Recorder(app) as record:
        app.release()
        app.wait_weight("10%")
        with outage(app.hub, app.data_plane):
            app.lets_go()
            pass_time(time.monotonic() + OUTAGE_SECONDS)
        until(lambda: share_all(both), "the two to share", MASTER_SECONDS)
        app.wait_phase("Healthy", timeout=120)
        app.only("v2")
        record.catch_up()
    assert all(operator.ready() for operator in both), "a replica did not live through the outage"
    record.check_plan(0, 10, 50, 100)
    record.check_intended()
    record.check_audit()


def test_a_switch_engaged_while_nobody_ran_is_obeyed_first(only: Operator, app: App) -> None:
    """The next operator's first write of all takes the candidate's traffic away."""
    app.deploy()
    only.start()
    app.manage(canary(weight(50), pause()))
    app.apply("KillSwitch", "stop", {"effect": "Divert"})
    with app.steady(), Recorder(app) as record:
        app.release()
        app.wait_weight("50%")
        app.wait_condition("Paused", "True", "AwaitsPromotion")  # the last that is said of it while nobody acts
        only.kill()
        engage(app, "nobody watches")
        record.catch_up()
        before = record.rollout_versions[-1]
        only.start()
        status = app.wait_phase("Killed")
        assert "nobody watches" in status["message"]
        app.wait_weight("0%")
        app.only("v1")
        record.catch_up()
    record.check_plan(0, 50, 0)
    later = [version for version in record.rollout_versions if version > before]
    assert record.shares[-1].version < later[0], "the status was written before the route"
    record.check_audit()


def test_a_lone_replica_works_again_after_it_was_paused(only: Operator, app: App) -> None:
    """It wakes past its lease with work that is due, sees that it may not write, takes part anew, and goes on."""
    app.deploy()
    only.start()
    app.manage(canary(weight(20), pause(f"{LEASE_SECONDS}s"), weight(50), pause()))
    app.apply("KillSwitch", "stop", {"effect": "Divert"})
    with app.steady(), Recorder(app) as record:
        app.release()
        record.wait_share(20)
        os.kill(only.pid, signal.SIGSTOP)
        try:
            pass_time(time.monotonic() + LEASE_SECONDS + 1)
        finally:
            os.kill(only.pid, signal.SIGCONT)
        app.wait_weight("50%")
        app.wait_step(4)
        engage(app, "it must listen again")
        app.wait_phase("Killed")
        app.wait_weight("0%")
        assert only.ready()
        record.catch_up()
    record.check_plan(0, 20, 50, 0)
    record.check_audit()
