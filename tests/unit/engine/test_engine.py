"""The engine as a whole: what wakes it, what it does not let one object do to others, and how it stops."""

from __future__ import annotations

from datetime import datetime

import pytest

from sluice.api.names import Kind, Slot
from sluice.decide.model import Observed, Plan, Reading
from sluice.decide.planner import plan
from sluice.engine import engine as engine_module
from sluice.errors import NotLeader, Rejected, Unavailable
from sluice.ports import Lane
from sluice.sim import manifests
from sluice.sim.cluster import Call
from sluice.sim.metrics import Question, no_data
from sluice.sim.pods import Behaviour
from unit.defects import gathered
from unit.engine.scene import APP, BYSTANDER, OPEN, Scene, on_route, play, rest

# ---------------------------------------------------------------------------------------------- kills


def test_a_kill_path_write_that_fails_is_tried_again() -> None:
    """The first write of the kill is lost: the ordinary passes write it, and the run is Killed."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        failures = [Unavailable("connection reset")] * 3
        scene.refuse = lambda call: failures.pop() if call.lane is Lane.KILL and failures else None
        await scene.world.engage(reason="5xx")
        await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=5)
        await scene.world.until_phase(APP, "Killed", timeout_seconds=5)
        assert failures == []

    play(story)


def test_a_kill_is_written_soon_after_the_api_server_is_back() -> None:
    """Ten minutes without an answer: the back-off of a kill is two seconds, not half a minute."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        scene.refuse = lambda call: Unavailable("connection refused")
        await scene.world.engage(reason="5xx")
        await rest(600)
        scene.refuse = None
        took = await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=60)
        assert took <= 2.0

    play(story)


def test_a_kill_touches_only_what_it_covers() -> None:
    """A KillSwitch with a selector leaves the neighbour's canary where it is."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP, BYSTANDER)
        for app in (APP, BYSTANDER):
            await scene.world.release_version(app, "2.0")
        for app in (APP, BYSTANDER):
            await scene.until_share(1000, app)
        scope = {"selector": {"matchLabels": {manifests.APP_LABEL: APP}}}
        await scene.world.engage(reason="5xx", scope=scope)
        await scene.world.until_phase(APP, "Killed")
        assert (scene.world.green_share(BYSTANDER), scene.world.status(BYSTANDER).phase) == (1000, "Paused")

    play(story)


def test_a_switch_that_was_engaged_while_nobody_led_diverts_at_the_start() -> None:
    """A new leader finds the switch engaged, and diverts before anything else."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await scene.world.operator.crash()
        await scene.world.engage(reason="5xx")
        scene.writes.clear()
        scene.world.operator.start()
        await scene.world.until_phase(APP, "Killed", timeout_seconds=10)
        assert scene.writes[0].lane is Lane.KILL

    play(story)


def test_a_rivals_route_is_not_diverted() -> None:
    """A Rollout whose route belongs to another one does not move it, not even by a kill."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        second = manifests.rollout("shop", "second", OPEN, version="1.0")
        second["spec"]["traffic"]["routes"][0]["name"] = APP
        second["spec"]["workload"]["services"] = {"blue": f"{APP}-green", "green": f"{APP}-blue"}
        await scene.world.apply(Kind.ROLLOUT, second)
        await rest(5)
        scope = {"selector": {"matchLabels": {manifests.APP_LABEL: "second"}}}
        await scene.world.engage(reason="drill", scope=scope)
        await rest(5)
        assert scene.world.green_share(APP) == 1000
        assert scene.stalled("second").startswith("RouteClaimed")

    play(story)


# ---------------------------------------------------------------------------------------------- one and the others


def test_a_defect_that_one_rollout_brings_out_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its passes fail and are tried again; the neighbour goes on, and a log line says that it is a defect."""

    def broken(observed: Observed, now: datetime) -> Plan:
        if observed.ref.name == APP and observed.spec and observed.spec.workload.version == "2.0":
            raise IndexError("a defect")
        return plan(observed, now)

    monkeypatch.setattr(engine_module, "plan", broken)

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP, BYSTANDER)
        with gathered() as errors:
            for app in (APP, BYSTANDER):
                await scene.world.release_version(app, "2.0")
            await scene.until_share(1000, BYSTANDER)
            await rest(120)
        assert scene.world.green_share(APP) == 0
        assert 3 <= len(errors.texts) <= 120
        assert "defect of Sluice" in errors.texts[0]

    play(story)


def test_a_refused_write_is_told_and_tried_again() -> None:
    """Stalled with what the API server said; no hot loop meanwhile; and it goes on once it is let."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scene.refuse = lambda call: Rejected("HTTPRoute shop/checkout: denied by a webhook") if on_route(call) else None
        await scene.world.release_version(APP, "2.0")
        await scene.world.until(lambda: scene.stalled().startswith("WriteRefused"), timeout_seconds=10)
        scene.writes.clear()
        await rest(300)
        assert 5 <= len([call for call in scene.writes if on_route(call)]) <= 30
        scene.refuse = None
        await scene.until_share(1000)
        await rest(5)
        assert scene.stalled() == ""

    play(story)


def test_a_neighbour_notices_nothing_of_an_api_server_that_refuses_one() -> None:
    """The back-off of one key holds up no other."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP, BYSTANDER)
        scene.refuse = lambda call: Unavailable("timed out") if call.name.startswith(APP) else None
        for app in (APP, BYSTANDER):
            await scene.world.release_version(app, "2.0")
        await scene.until_share(1000, BYSTANDER)

    play(story)


def test_at_rest_nothing_is_written() -> None:
    """A healthy Rollout costs no request, however long."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN, APP, BYSTANDER)
        await rest(7 * 24 * 3600)
        assert scene.writes == []

    play(story)


def test_at_rest_nothing_is_written_to_pods_either() -> None:
    """Sluice runs them, and they are as they shall be: no request, however long."""

    async def story(scene: Scene) -> None:
        await scene.install(OPEN)
        await rest(7 * 24 * 3600)
        assert scene.writes == []

    play(story)


def test_a_service_that_exposes_the_candidate_stops_it_and_its_end_lets_it_go_on() -> None:
    """A Service that nobody declared selects the pods by their labels: that is told at once, and so it ends at once."""

    async def story(scene: Scene) -> None:
        await scene.install(OPEN)
        stray = manifests.service("shop", "stray", {manifests.APP_LABEL: APP})
        await scene.world.people.create(Kind.SERVICE, "shop", stray)
        await scene.world.release_image(APP, "checkout:2.0")
        await scene.world.until(lambda: scene.stalled().startswith("ExposedOutsideWeight"), timeout_seconds=5)
        assert "Service shop/stray" in scene.stalled()
        await rest(60)
        assert scene.world.green_share(APP) == 0
        await scene.world.remove(Kind.SERVICE, "stray")
        took = await scene.world.until(lambda: scene.world.green_share(APP) == 1000, timeout_seconds=60)
        assert took <= 10

    play(story)


def test_a_template_that_is_refused_begins_nothing_until_it_is_mended() -> None:
    """No RolloutRun and no pod: Stalled in the API server's words; the next template goes its way."""

    def refuse(call: Call) -> float | None:
        if refused and call.dry_run and call.phase == "before":
            raise Rejected("Deployment shop/checkout-green: spec.template: Invalid value")
        return None

    refused = [True]

    async def story(scene: Scene) -> None:
        await scene.install(OPEN)
        scene.world.cluster.faults.append(refuse)
        await scene.world.release_image(APP, "checkout:2.0")
        await scene.world.until(lambda: scene.stalled().startswith("TemplateRefused"), timeout_seconds=10)
        await rest(300)
        assert "spec.template: Invalid value" in scene.stalled()
        assert scene.world.status(APP).run is None
        assert len(scene.writes) <= 2
        refused.clear()
        await scene.world.release_image(APP, "checkout:2.1")
        await scene.until_share(1000)
        assert scene.stalled() == ""

    play(story)


def test_a_container_that_cannot_run_is_told_as_soon_as_the_kubelet_says_so() -> None:
    """The pod's event wakes the Rollout; the message has the reason, which a person would look for with kubectl."""

    async def story(scene: Scene) -> None:
        await scene.install(OPEN)
        scene.world.kubelet.behave("checkout:2.0", Behaviour(pull_error="no such tag"))
        await scene.world.release_image(APP, "checkout:2.0")
        await scene.world.until(lambda: "ImagePull" in scene.world.status(APP).message, timeout_seconds=60)
        assert scene.world.green_share(APP) == 0

    play(story)


def test_a_baseline_that_cannot_be_had_is_asked_for_every_ten_seconds() -> None:
    """An answer without a number is looked at at once, but not asked for again at once."""

    async def story(scene: Scene) -> None:
        metric = manifests.metric(threshold={"maxRatio": 2})
        scene.world.metrics.script(lambda question: no_data())
        await scene.start(OPEN, metrics=[metric])
        asked: list[str] = []

        def script(question: Question) -> Reading:
            asked.append(question.query)
            return no_data()

        scene.world.metrics.script(script)
        await scene.world.release_version(APP, "2.0")
        await rest(100)
        assert 8 <= len(asked) <= 12

    play(story)


# ---------------------------------------------------------------------------------------------- edits in mid-run


def _second_route(scene: Scene) -> None:
    route = manifests.route("shop", APP)
    route["metadata"]["name"] = "other"
    scene.world.cluster.seed(Kind.HTTP_ROUTE, route)


def test_a_run_moves_what_it_began_with() -> None:
    """The spec names another route in mid-run: the run keeps its own, and returns it."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        _second_route(scene)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await scene.world.spec(APP, {"traffic": {"routes": [{"kind": "HTTPRoute", "name": "other"}]}})
        await rest(5)
        assert scene.world.green_share(APP) == 1000
        await scene.world.act(APP, "Abort")
        await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=10)

    play(story)


def test_a_route_that_the_spec_forgot_is_returned_after_a_crash_too() -> None:
    """The abort is in the status, the crash came before the write, and the spec names another route by now."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        _second_route(scene)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await scene.world.spec(APP, {"traffic": {"routes": [{"kind": "HTTPRoute", "name": "other"}]}})
        await rest(5)
        scene.refuse = lambda call: Unavailable("timed out") if on_route(call) else None
        await scene.world.act(APP, "Abort")
        await scene.world.until_phase(APP, "Aborted", timeout_seconds=10)
        await scene.world.operator.crash()
        scene.refuse = None
        scene.world.operator.start()
        await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=30)

    play(story)


def test_endpoints_of_a_run_wake_it_though_the_spec_names_others() -> None:
    """The candidate dies: the run is left at once, also when the spec names other Services by now."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        await scene.world.spec(APP, {"workload": {"services": {"blue": "x-blue", "green": "x-green"}}})
        await rest(5)
        scene.world.pods(APP, Slot.GREEN, 0)
        await scene.world.until(lambda: scene.world.green_share(APP) == 0, timeout_seconds=5)

    play(story)


# ---------------------------------------------------------------------------------------------- crashes


@pytest.mark.parametrize("writes", range(1, 12))
def test_a_crash_after_any_write_of_a_run_converges(writes: int) -> None:
    """Whatever the last write was: the next process ends where an undisturbed one would have, telling nothing twice."""

    async def story(scene: Scene) -> None:
        strategy = manifests.canary({"setWeight": 10}, {"pause": {"duration": "10s"}})
        await scene.start(strategy)
        shares: list[int] = []
        scene.world.cluster.on_change.append(
            lambda change: shares.append(scene.world.green_share(APP)) if change.kind is Kind.HTTP_ROUTE else None
        )
        scene.world.operator.crash_after_writes(writes)
        await scene.world.release_version(APP, "2.0")
        await rest(2)
        await scene.world.restart()
        await scene.until_share(10_000)
        await rest(5)
        status = scene.world.status(APP)
        assert (status.phase, [entry.outcome for entry in status.history]) == ("Healthy", ["Completed"])
        assert sorted(set(shares)) == [1000, 10_000] or sorted(set(shares)) == [0, 1000, 10_000]
        assert shares == sorted(shares)
        told = [(entry.id, entry.stage) for entry in status.audit.entries]
        assert len(told) == len(set(told))
        runs = list(scene.world.cluster.store.all(Kind.ROLLOUT_RUN, "shop"))
        assert [run["status"]["outcome"] for run in runs] == ["Completed"]

    play(story)


@pytest.mark.parametrize("verb", ["Abort", "Retry", "Undo"])
@pytest.mark.parametrize("writes", range(1, 7))
def test_a_crash_after_any_write_of_an_action_converges(verb: str, writes: int) -> None:
    """The action is done once and answered once, and every run but the last has its end."""

    async def story(scene: Scene) -> None:
        strategy = OPEN if verb != "Undo" else manifests.canary({"setWeight": 100})
        await scene.start(strategy)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000 if verb != "Undo" else 10_000)
        if verb == "Retry":
            await scene.world.act(APP, "Abort")
            await scene.until_share(0)
        await rest(1)
        scene.world.operator.crash_after_writes(writes)
        name = await scene.world.act(APP, verb)
        await rest(2)
        await scene.world.restart()
        await rest(60)
        assert scene.world.answer(name).phase == "Done"
        assert scene.world.green_share(APP) == (1000 if verb == "Retry" else 0)
        told = [entry.action for entry in scene.world.status(APP).audit.entries]
        assert told.count(verb) == 1
        runs = sorted(scene.world.cluster.store.all(Kind.ROLLOUT_RUN, "shop"), key=lambda run: run["spec"]["revision"])
        assert all(run["status"].get("outcome") for run in runs[:-1])

    play(story)


def test_a_deleted_run_in_mid_run_returns_traffic() -> None:
    """Somebody deletes the RolloutRun: after a moment the run is aborted, and Retry works."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        stored = scene.world.cluster.store.get(Kind.ROLLOUT_RUN, "shop", "checkout-1")
        await scene.world.people.delete(Kind.ROLLOUT_RUN, "shop", "checkout-1", uid=stored["metadata"]["uid"])
        await scene.world.until_phase(APP, "Aborted", timeout_seconds=60)
        await scene.until_share(0)
        await scene.world.act(APP, "Retry")
        await scene.until_share(1000)

    play(story)


def test_a_pass_that_may_not_write_goes_on_when_it_may_again() -> None:
    """The shard was not surely ours for a while, and was not lost either: nothing is forgotten."""

    async def story(scene: Scene) -> None:
        await scene.start(OPEN)
        scene.refuse = lambda call: NotLeader("the Lease is nearly over")
        await scene.world.release_version(APP, "2.0")
        await rest(60)
        assert scene.world.green_share(APP) == 0
        scene.refuse = None
        await scene.until_share(1000)

    play(story)
