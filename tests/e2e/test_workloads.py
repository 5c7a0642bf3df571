"""From a new image to zero-downtime promotion: Sluice runs the pods, and whoever calls the app notices nothing."""

from __future__ import annotations

from e2e import stories
from e2e.recorder import Recorder
from e2e.slot_recorder import SlotRecorder
from e2e.stories import TWO_STOPS
from e2e.support.manifests import blue_green, canary, pause, weight
from e2e.support.waiting import until
from e2e.support.workload import Workload


def test_a_canary_to_its_end_and_back_again(workload: Workload) -> None:
    """A new image tag is all it takes; each share is exact, the old pods end, and Undo brings them back."""
    workload.open(replicas=4).serve(TWO_STOPS)
    with workload.steady(rate=200) as load, Recorder(workload) as record, SlotRecorder(workload) as slots:
        assert stories.started(workload, "v2") == 1
        assert (workload.candidate, len(workload.pods("green"))) == ("green", 1)
        workload.check_shares({"v1": 0.8, "v2": 0.2})
        workload.do("Promote")
        stories.at_stop(workload, "50%")
        assert len(workload.pods("green")) == 2
        workload.check_shares({"v1": 0.5, "v2": 0.5})
        workload.do("Promote")
        workload.wait_served_by("v2")
        assert workload.wait_outcome(1) == "Completed"
        workload.wait_ready("green", 4)
        assert len(workload.pods("blue")) == 4, "the old pods went before scaleDownDelay"
        workload.wait_ready("blue", 0)
        assert workload.version_in("blue") == "v1"
        stories.undone(workload, "v1")
        workload.wait_ready("blue", 4)
        slots.check()
        record.catch_up()
    assert {"v1", "v2"} == set(load.requests.by_version())
    assert record.percents()[:4] == [0, 20, 50, 100]
    record.check_audit()


def test_a_canary_that_is_aborted(workload: Workload) -> None:
    """Everything goes back to the old version at once, whose pods nobody touched; the new ones end later."""
    workload.open(replicas=2).serve(TWO_STOPS)
    before = workload.pods("blue")
    with workload.steady(rate=200), Recorder(workload) as record, SlotRecorder(workload) as slots:
        stories.aborted(workload, "v2")
        slots.check()
        record.catch_up()
        status = workload.status
        assert (status["phase"], "refunds fail" in status["message"]) == ("Aborted", True), status
    assert workload.pods("blue") == before
    record.check_plan(0, 20, 0)
    record.check_audit()


def test_all_at_once_and_its_return(workload: Workload) -> None:
    """Blue-green: the new version is complete before it gets anything, then gets all, and an Abort takes it back."""
    workload.open(replicas=3).serve(blue_green(autoPromote=False, watch="10m"))
    with workload.steady(rate=200) as load, Recorder(workload) as record, SlotRecorder(workload) as slots:
        workload.ship("v2")
        workload.wait_condition("Paused", reason="AwaitsPromotion")
        workload.wait_ready("green", 3)
        workload.only("v1")
        workload.do("Promote")
        workload.wait_weight("100%")
        workload.only("v2", 1_000)
        workload.do("Abort", reason="refunds fail")
        workload.wait_weight("0%")
        workload.only("v1", 1_000)
        workload.wait_ready("green", 0)
        slots.check()
        record.catch_up()
    record.check_plan(0, 100, 0)
    assert {"v1", "v2"} == set(load.requests.by_version())


def test_a_version_that_is_superseded_in_mid_run(workload: Workload) -> None:
    """Good, bad, good: each newer version takes the candidate's place only after its traffic has left."""
    workload.open(replicas=4).serve(TWO_STOPS)
    with workload.steady(rate=200) as load, Recorder(workload) as record, SlotRecorder(workload) as slots:
        stories.superseded(workload, "v2", "v3-crash", "v4")
        slots.check()
        record.catch_up()
    assert {"v1", "v2", "v4"} == set(load.requests.by_version())
    assert slots.images("green") == ["v2", "v3-crash", "v4"]
    assert slots.images("blue") == ["v1"]
    record.check_plan(0, 20, 0, 20, 50, 100)
    record.check_audit()


def test_going_back_to_the_stable_version_in_mid_run(workload: Workload) -> None:
    """The old image tag again ends the run as Returned: the weight goes home at once, without a new pod."""
    workload.open(replicas=2).serve(canary(weight(40), pause()))
    before = workload.pods("blue")
    with workload.steady(rate=200), Recorder(workload) as record, SlotRecorder(workload) as slots:
        workload.ship("v2")
        workload.wait_weight("40%")
        workload.ship("v1")
        assert workload.wait_outcome(1) == "Returned"
        until(lambda: workload.share_of("green") == 0, "the weight to go home")
        workload.wait_phase("Healthy")
        workload.only("v1")
        slots.check()
        record.catch_up()
    assert workload.pods("blue") == before
    record.check_plan(0, 40, 0)


def test_how_many_pods_a_canary_has(workload: Workload) -> None:
    """`canarySize`, and then `setCanaryScale`, say how many pods run at 10 %; for all of the traffic there are all."""
    steps = [weight(10), pause(), {"setCanaryScale": {"share": 50}}, pause()]
    strategy = {"canary": {"steps": steps, "canarySize": {"full": True}}}
    workload.open(replicas=4).serve(strategy)
    with workload.steady(), SlotRecorder(workload, sized_by_weight=False) as slots:
        workload.ship("v2")
        stories.at_stop(workload, "10%")
        workload.wait_ready("green", 4)
        workload.do("Promote")
        workload.wait_ready("green", 2)
        workload.wait_step(4)
        workload.do("Promote")
        workload.wait_served_by("v2")
        workload.wait_ready("green", 4)
        slots.check()
