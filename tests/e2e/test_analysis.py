"""Analysis against a real Prometheus: a bad candidate is taken back, and the reason is told wherever people look."""

from __future__ import annotations

import pytest

from e2e.support.app import App
from e2e.support.manifests import (
    Json,
    background,
    canary,
    enough,
    error_rate,
    gauge,
    p99_latency,
    pause,
    weight,
)
from e2e.support.waiting import until

LONG = pause("5m")


def told_everywhere(app: App, reason: str, *parts: str) -> None:
    """The message, an Event, the audit trail, the history and the RolloutRun name the same cause in these words."""
    status = app.wait_phase("Aborted")
    entry = next(entry for entry in app.audit() if entry["reason"] == reason)
    event = app.wait_event(reason, *parts)
    assert event["type"] == "Warning"
    for told in (
        status["message"],
        entry["message"],
        status["history"][-1]["message"],
        app.wait_run_over(status["revision"]["number"])["message"],
        app.condition("AnalysisPassed")["message"],
    ):
        for part in parts:
            assert part in told


def exposure_ended(app: App) -> None:
    """The route gives the candidate nothing, and it answers nothing any more."""
    app.wait_weight("0%")
    assert app.weights() == {app.blue: 100, app.green: 0}
    app.only("v1", 1_000)


def test_errors_abort_the_run_and_end_exposure(app: App) -> None:
    """A tenth of the candidate's answers fail: its error rate aborts the run, by a template with an arg."""
    template = error_rate(minSamples=enough(100))
    template["threshold"] = {"max": 0.05}
    template["prometheus"]["query"] = template["prometheus"]["query"].replace('"5.."', '"{{args.codes}}"')
    app.deploy(replicas=(2, 1))  # of two candidate pods, one would have all the errors, and be scraped before the other
    app.apply("AnalysisTemplate", "http", {"args": [{"name": "codes"}], "metrics": [template]})
    analysis = {"templates": [{"name": "http"}], "args": [{"name": "codes", "value": "5.."}]}
    app.manage(canary(weight(25), LONG), analysis=analysis)
    app.behaves("v2", error_rate=0.1)
    with app.steady(rate=200).count_apart("v2"):
        app.release()
        app.wait_phase("Aborted")
        value = app.metric("error-rate")["value"]
        told_everywhere(app, "MetricFailed", f"error-rate is {value:.6g}, above max 0.05")
        exposure_ended(app)
    assert 0.05 < value < 0.2  # a tenth, as far as a hundred requests tell


@pytest.mark.parametrize("baseline", ["Snapshot", "Stable"])
def test_latency_at_twice_the_baseline_aborts_the_run(app: App, baseline: str) -> None:
    """Answers take twice as long as stable's: before step 1, or at the same moment."""
    app.deploy().manage(canary(weight(25), LONG), analysis=background(p99_latency(), baseline=baseline))
    app.behaves("v1", latency_ms=150)
    app.behaves("v2", latency_ms=300)
    with app.steady(rate=80, connections=32):
        served = f'rate(http_requests_total{{namespace="{app.namespace}", slot="blue", code="200"}}[5s]) > 10'
        until(lambda: app.data_plane.query(served), "Prometheus to know stable's answers")
        app.release()
        told_everywhere(app, "MetricFailed", "p99-latency is 0.4", "above 1.5 x baseline 0.2")
        exposure_ended(app)
    metric = app.metric("p99-latency")
    assert metric["value"] / metric["baseline"] == pytest.approx(2, rel=0.2)


def test_too_few_requests_are_no_reason_to_go_on(app: App) -> None:
    """Below `minSamples` the run stays where it is and says so; with traffic it goes on."""
    metric = error_rate(minSamples=enough(100))
    app.deploy().manage(canary(weight(50), pause("1s"), weight(60), pause()), analysis=background(metric))
    with app.steady(rate=4):
        app.release()
        app.wait_weight("50%")
        until(lambda: app.metric("error-rate").get("phase") == "TooFewSamples", "too few samples")
        assert "step 2 of 5, green at 50%: error-rate rests on" in app.wait_message("samples, and needs 100")
        with app.steady(rate=200):
            assert app.wait_weight("60%")


def test_a_metric_may_fail_as_often_as_its_limit_says(app: App) -> None:
    """With `failureLimit: 2` the third failing measurement aborts, not the first."""
    app.deploy().manage(canary(weight(10), LONG), analysis=background(gauge("refusals", {"max": 3}, failureLimit=2)))
    app.shows("v2", refusals=4)
    with app.steady():
        app.release()
        told_everywhere(app, "MetricFailed", "refusals is 4", "above max 3")
    assert app.metric("refusals")["failures"] == 3


def test_a_dry_run_is_only_reported(app: App) -> None:
    """A failing metric with `dryRun` shows its value and stops nothing."""
    metric = gauge("refusals", {"max": 3}, dryRun=True)
    app.deploy().manage(canary(weight(10), pause(), weight(50), pause("1s")), analysis=background(metric))
    app.shows("v2", refusals=4)
    with app.steady():
        app.release()
        until(lambda: app.metric("refusals").get("phase") == "Failed", "the dry run to fail")
        app.do("Promote")
        app.wait_phase("Healthy")
        app.only("v2")


def test_an_analysis_step_must_pass_before_the_next(app: App) -> None:
    """An inline analysis without data holds the run; with as many good measurements as asked for, it goes on."""
    step: Json = {"analysis": {"metrics": [gauge("smoke", {"min": 1}, count=3, initialDelay="0s")]}}
    app.deploy().manage(canary(weight(10), step, weight(50), pause()))
    with app.steady():
        app.release()
        app.wait_step(2, kind="analysis")
        app.wait_message("smoke has no data")
        assert app.share() == 0.1
        app.shows("v2", smoke=1)
        app.wait_weight("50%")
        app.wait_step(4, kind="pause")


def test_a_rejected_revision_comes_back_by_retry_alone(app: App) -> None:
    """Aborted is for good: touching the spec starts nothing. Retry starts from step 1; another version by itself."""
    strategy = canary(weight(10), pause("2s"), weight(40), pause())
    app.deploy().manage(strategy, analysis=background(gauge("refusals", {"max": 3})))
    app.shows("v2", refusals=4)
    with app.steady():
        app.release()
        app.wait_phase("Aborted")
        app.patch_rollout({"progressDeadline": "9m"})
        status = app.wait_phase("Aborted")
        assert status["revision"]["number"] == 1
        assert status["observedGeneration"] == app.rollout()["metadata"]["generation"]
        exposure_ended(app)

        app.shows("v2", refusals=0)
        assert "starts again from step 1" in app.do("Retry")
        app.wait_weight("40%")
        assert app.status["revision"]["number"] == 2
        until(lambda: len(app.run(2)["status"]["steps"]) >= 3, "three steps to be on record")
        assert [step["index"] for step in app.run(2)["status"]["steps"]][:3] == [1, 2, 3]
        app.do("Abort", reason="seen enough")
        app.wait_phase("Aborted")

        app.release("v3")
        app.wait_weight("40%")
        status = app.status
        assert (status["revision"]["number"], status["revision"]["version"]) == (3, "v3")
        app.promote_when_measured()
        app.wait_phase("Healthy")
