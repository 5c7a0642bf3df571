"""Prometheus away in the middle of a run: nothing is promoted blindly, and nothing good is thrown away."""

from __future__ import annotations

import time

from e2e.recorder import Recorder
from e2e.support.app import App
from e2e.support.manifests import background, canary, error_rate, gate, pause, weight
from e2e.support.waiting import until

OUTAGE_SECONDS = 60.0


def test_a_run_stands_while_prometheus_is_away_and_goes_on_afterwards(app: App) -> None:
    """No promotion on missing data, though its pause would long be over; the message says why. Then it goes on."""
    strategy = canary(weight(10), pause("5s"), weight(50), pause("2s"))
    app.deploy().manage(strategy, analysis=background(error_rate(), gate()))
    with app.steady(rate=200), Recorder(app) as record:
        app.release()
        app.wait_weight("10%")
        app.data_plane.stop_prometheus()
        back_at = time.monotonic() + OUTAGE_SECONDS
        try:
            message = app.wait_message("error-rate could not be measured")
            assert "step 2 of 5, green at 10%" in message
            assert "goes on when it can be measured again" in app.wait_message("goes on when")
            app.lets_go()
            until(lambda: time.monotonic() >= back_at, "the outage to end", timeout=OUTAGE_SECONDS + 10)
            record.catch_up()
            record.check_plan(0, 10)
            status = app.status
            assert status["phase"] == "Paused"
            assert status["metrics"][0]["phase"] == "Error"
            assert app.condition("AnalysisPassed")["reason"] == "MetricErrors"
        finally:
            app.data_plane.start_prometheus()
        app.wait_phase("Healthy", timeout=120)
        app.only("v2")
        record.catch_up()
    record.check_plan(0, 10, 50, 100)
