"""Kill switches that engage themselves, in a world in memory: from the number to the route, and over crashes."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.killswitch import KillSwitchSpec, KillSwitchStatus
from sluice.api.names import Kind
from sluice.api.units import JSON
from sluice.errors import Forbidden, Unavailable
from sluice.ports import Lane
from sluice.sim.admission import OPERATOR_ACCOUNT
from sluice.sim.cluster import Call
from sluice.sim.metrics import constant, error, no_data, outage
from unit.engine.scene import APP, OPEN, Scene, play, rest

ERRORS: JSON = {
    "name": "error-rate",
    "prometheus": {"query": 'errors{namespace="{{namespace}}"}'},
    "interval": "10s",
    "threshold": {"max": 0.05},
}


async def arm(scene: Scene, *own: JSON, wide: bool = False, **trip: Any) -> None:
    """A switch that watches, and a candidate with ten per cent."""
    await scene.start(OPEN)
    namespace = "" if wide else "shop"
    kind = Kind.CLUSTER_KILL_SWITCH if wide else Kind.KILL_SWITCH
    body = {"metadata": {"name": "stop", **({"namespace": namespace} if namespace else {})}}
    auto_trip = {**({"metrics": list(own or (ERRORS,))} if not trip else {}), **trip}
    await scene.world.apply(kind, {**body, "spec": {"autoTrip": auto_trip}})
    await scene.world.release_version(APP, "2.0")
    await scene.until_share(1000)


def stored(scene: Scene, kind: Kind = Kind.KILL_SWITCH) -> tuple[KillSwitchSpec, KillSwitchStatus]:
    """The switch."""
    switch = scene.world.cluster.store.get(kind, "shop" if kind is Kind.KILL_SWITCH else "", "stop")
    spec = KillSwitchSpec.parse(switch["spec"], "spec")
    return spec, KillSwitchStatus.parse(switch.get("status", {}), "status")


def watching(scene: Scene) -> tuple[str, str, str]:
    """The condition."""
    [told] = [each for each in stored(scene)[1].conditions if each.type == "Watching"]
    return told.status, told.reason, told.message


def test_errors_trip_it_and_the_candidate_loses_its_traffic() -> None:
    """The reason is told where people look; it stays so after the errors end, until a person releases it."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.01, where='errors{namespace="shop"}'))
        await arm(scene)
        await rest(60)
        assert watching(scene)[:2] == ("True", "MeasurementsPass")
        scene.world.metrics.script(constant(0.12))
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)
        await rest(10)
        assert scene.world.green_share(APP) == 0
        spec, status = stored(scene)
        assert spec.engaged
        assert spec.engaged_by == OPERATOR_ACCOUNT
        assert spec.reason == "tripped by itself: error-rate is 0.12, above max 0.05"
        assert status.tripped_by is not None
        assert (status.tripped_by.metric, status.tripped_by.value) == ("error-rate", 0.12)
        assert status.state == "Engaged"
        assert "error-rate is 0.12, above max 0.05" in scene.world.status(APP).message
        notes = [note for _, name, note in scene.world.notifier.notes if name == "stop"]
        assert [note.reason for note in notes if note.warning] == ["Tripped"]
        scene.world.metrics.script(constant(0.01))
        await rest(600)
        assert stored(scene)[0].engaged
        assert watching(scene)[:2] == ("False", "Latched")
        await scene.world.release()
        await rest(60)
        spec, status = stored(scene)
        assert (spec.engaged, status.tripped_by, status.state) == (False, None, "Armed")
        assert watching(scene)[:2] == ("True", "MeasurementsPass")

    play(story)


def test_it_goes_by_the_fast_path() -> None:
    """What announces it, engages it and diverts goes on the lane of kills, in that order."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.01))
        await arm(scene)
        await rest(30)
        scene.writes.clear()
        scene.world.metrics.script(constant(0.12))
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)
        urgent = [name for name in scene.told() if name.endswith("!")]
        assert urgent[:3] == ["patch_merge KillSwitch/status!", "patch_merge KillSwitch!", "patch_json HTTPRoute!"]

    play(story)


def test_prometheus_away_is_blind_and_trips_nothing() -> None:
    """It says so for as long as it lasts, and sees again after."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.01))
        await arm(scene)
        await rest(30)
        now = scene.world.clock.monotonic()
        scene.world.metrics.script(outage(now, now + 600))
        await rest(300)
        status, reason, message = watching(scene)
        assert (status, reason) == ("False", "MetricErrors")
        assert message.startswith("blind: error-rate could not be measured: connection refused")
        assert not stored(scene)[0].engaged
        assert scene.world.green_share(APP) == 1000
        await rest(400)
        assert watching(scene)[:2] == ("True", "MeasurementsPass")

    play(story)


def test_a_crash_between_announcing_and_engaging_engages_it_later() -> None:
    """The next replica finds what tripped it, and does it; nothing needs to be measured again."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.01))
        await arm(scene)
        await rest(30)
        scene.refuse = lambda call: Unavailable("gone") if _engages(call) else None
        scene.world.metrics.script(constant(0.12))
        await scene.world.until(lambda: stored(scene)[1].tripped_by is not None, timeout_seconds=60)
        await scene.world.operator.crash()
        scene.world.metrics.script(constant(error()))
        scene.refuse = None
        assert not stored(scene)[0].engaged
        scene.world.operator.start()
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)
        assert stored(scene)[0].reason == "tripped by itself: error-rate is 0.12, above max 0.05"

    play(story)


def test_a_restart_forgets_no_failure() -> None:
    """Two of three in a row, a new process, and the third trips it."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.12))
        await arm(scene, {**ERRORS, "failureLimit": 2, "initialDelay": "60s"})
        await scene.world.until(lambda: _failures(scene) == 2, timeout_seconds=120)
        await scene.world.operator.crash()
        scene.world.operator.start()
        asked = len(scene.world.metrics.asked)
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)
        assert len(scene.world.metrics.asked) <= asked + 2
        assert stored(scene)[0].reason.endswith("above max 0.05, 3 times in a row")

    play(story)


def test_a_person_who_engages_it_first_keeps_their_name_and_reason() -> None:
    """What the operator looked at is not what is there any more: it writes nothing over it."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.01))
        await arm(scene)
        await rest(30)
        scene.refuse = lambda call: Unavailable("slow") if _engages(call) else None
        scene.world.metrics.script(constant(0.12))
        await scene.world.until(lambda: stored(scene)[1].tripped_by is not None, timeout_seconds=60)
        by_hand = {"spec": {"engaged": True, "reason": "looks bad", "engagedBy": "alice"}}
        await scene.world.people.patch_merge(Kind.KILL_SWITCH, "shop", "stop", by_hand)
        scene.refuse = None
        await rest(60)
        assert (stored(scene)[0].engaged_by, stored(scene)[0].reason) == ("alice", "looks bad")

    play(story)


def test_where_it_may_not_engage_it_people_are_told() -> None:
    """An operator without the right says what it would have done, and how a person does it."""

    async def story(scene: Scene) -> None:
        scene.refuse = lambda call: Forbidden("may not patch killswitches") if _engages(call) else None
        scene.world.metrics.script(constant(0.12))
        await arm(scene)
        await rest(60)
        told = [note.message for _, name, note in scene.world.notifier.notes if name == "stop"]
        assert any("engage it by hand: sluice kill stop" in message for message in told)

    play(story)


def test_a_template_is_looked_up_when_it_comes_and_when_it_changes() -> None:
    """Without it the switch is blind and says why; with it it measures, and by its new bounds once they change."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.04))
        await arm(scene, templates=[{"name": "http"}])
        await rest(20)
        assert watching(scene)[:2] == ("False", "TemplateMissing")
        template: JSON = {"metadata": {"name": "http", "namespace": "shop"}, "spec": {"metrics": [ERRORS]}}
        await scene.world.apply(Kind.ANALYSIS_TEMPLATE, template)
        await rest(30)
        assert watching(scene)[:2] == ("True", "MeasurementsPass")
        template["spec"] = {"metrics": [{**ERRORS, "threshold": {"max": 0.03}}]}
        await scene.world.apply(Kind.ANALYSIS_TEMPLATE, template)
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)

    play(story)


def test_a_cluster_switch_trips_too() -> None:
    """By the operator's own Prometheus."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.01))
        await arm(scene, {**ERRORS, "prometheus": {"query": "errors"}}, wide=True)
        await rest(30)
        asked = scene.world.metrics.asked[-1]
        assert (asked.namespace, asked.secret, asked.address) == ("", None, None)
        scene.world.metrics.script(constant(0.12))
        await scene.world.until_phase(APP, "Killed", timeout_seconds=60)
        assert stored(scene, Kind.CLUSTER_KILL_SWITCH)[0].engaged_by == OPERATOR_ACCOUNT

    play(story)


def test_whose_secrets_are_used() -> None:
    """A switch's own metrics have those of its namespace, a ClusterAnalysisTemplate's those of the operator's."""

    async def story(scene: Scene) -> None:
        prometheus = {"query": "errors", "address": "http://p:9090", "secretRef": {"name": "token"}}
        metric = {**ERRORS, "prometheus": prometheus}
        template = {"metadata": {"name": "http"}, "spec": {"metrics": [{**metric, "name": "wide"}]}}
        await scene.world.people.create(Kind.CLUSTER_ANALYSIS_TEMPLATE, "", template)
        await arm(scene, metrics=[metric], templates=[{"name": "http", "clusterScope": True}])
        await rest(30)
        assert {(each.namespace, each.secret) for each in scene.world.metrics.asked} == {
            ("shop", "token"),
            ("", "token"),
        }

    play(story)


BUDGET: JSON = {
    "objective": "99%",
    "goodQuery": 'good{namespace="{{namespace}}"}[{{window}}]',
    "totalQuery": 'all{namespace="{{namespace}}"}[{{window}}]',
}


def spending(scene: Scene, share: float) -> None:
    """From now on that share of events fails, over every range."""
    scene.world.metrics.script(constant(10_000, where='all{namespace="shop"}'))
    scene.world.metrics.script(constant(1 - share, where='good{namespace="shop"}'))


def test_an_error_budget_that_is_used_up_trips_it() -> None:
    """With what is left of it in the reason. Released, it is not tripped again by what was spent before."""

    async def story(scene: Scene) -> None:
        spending(scene, 0.004)
        await arm(scene, errorBudget=BUDGET)
        await rest(60)
        assert watching(scene)[:2] == ("True", "MeasurementsPass")
        budget = stored(scene)[1].watch
        assert budget is not None
        assert budget.budget is not None
        assert budget.budget.remaining == pytest.approx(0.6)
        spending(scene, 0.012)
        await scene.world.until_phase(APP, "Killed", timeout_seconds=900)
        spec, status = stored(scene)
        assert "the error budget of 99% over 720h is used up: -20% of it is left" in spec.reason
        assert status.tripped_by is not None
        assert status.tripped_by.metric == "error-budget"
        await scene.world.release()
        await rest(1200)
        assert not stored(scene)[0].engaged
        assert watching(scene)[:2] == ("True", "BudgetExhausted")
        spending(scene, 0.004)
        await rest(700)
        spending(scene, 0.012)
        await scene.world.until(lambda: stored(scene)[0].engaged, timeout_seconds=900)

    play(story)


def test_a_budget_that_burns_too_fast_trips_it_long_before() -> None:
    """Half of all events fail: within minutes, though the month hardly shows it."""

    async def story(scene: Scene) -> None:
        spending(scene, 0.001)
        await arm(scene, errorBudget=BUDGET)
        await rest(400)
        for span in ("1h", "5m"):
            scene.world.metrics.script(constant(0.5, where=f'good{{namespace="shop"}}[{span}]'))
        await scene.world.until_phase(APP, "Killed", timeout_seconds=300)
        assert "burns at 50 times its rate over 1h and over 5m, above 14.4" in stored(scene)[0].reason

    play(story)


def test_a_budget_that_is_not_known_trips_nothing() -> None:
    """Nor is it called fine: no series are no good events."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(no_data()))
        await arm(scene, errorBudget=BUDGET)
        await rest(600)
        assert watching(scene)[:2] == ("False", "BudgetUnknown")
        assert "blind: the error budget is not known: totalQuery over 720h gave no number" in watching(scene)[2]
        assert not stored(scene)[0].engaged

    play(story)


def test_nobody_else_tells_that_it_tripped() -> None:
    """A forged `trippedBy` is refused, as policies refuse it in a cluster."""

    async def story(scene: Scene) -> None:
        await arm(scene)
        forged = {"status": {"trippedBy": {"metric": "error-rate", "at": "2026-01-01T00:00:00Z"}}}
        with pytest.raises(Forbidden, match=r"status\.trippedBy"):
            await scene.world.people.patch_merge(Kind.KILL_SWITCH, "shop", "stop", forged, subresource="status")

    play(story)


def test_a_switch_that_is_quiet_writes_little() -> None:
    """Measured every ten seconds for ten minutes, it is written about once a minute."""

    async def story(scene: Scene) -> None:
        scene.world.metrics.script(constant(0.01))
        await arm(scene)
        await rest(60)
        scene.writes.clear()
        await rest(600)
        written = [call for call in scene.writes if call.kind is Kind.KILL_SWITCH]
        assert len(written) <= 11
        assert all(call.subresource == "status" and call.lane is Lane.NORMAL for call in written)

    play(story)


def _engages(call: Call) -> bool:
    return call.kind is Kind.KILL_SWITCH and not call.subresource


def _failures(scene: Scene) -> int:
    watch = stored(scene)[1].watch
    return watch.metrics[0].failures if watch is not None and watch.metrics else 0
