"""What a pass' log lines carry."""

from __future__ import annotations

import json
import logging

import pytest

from sluice.adapters.clock import SystemClock
from sluice.api.names import Kind
from sluice.engine.telemetry import NoMeter, Telemetry, log_context
from sluice.telemetry import configure_logging
from unit.decide.observed import running


def test_the_lines_of_a_pass_say_which_run_they_are_about(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rollout, pass, revision, step and reason stand on each line, and on no line after the pass."""
    root, sluice = logging.getLogger(), logging.getLogger("sluice")
    before = (root.handlers[:], root.level, sluice.level)
    monkeypatch.setattr(sluice, "propagate", True)  # the command line turns it off for its process
    telemetry = Telemetry(SystemClock(), NoMeter())
    try:
        configure_logging("info")
        with telemetry.reconcile((Kind.ROLLOUT, "shop", "checkout")):
            telemetry.decided(running().status)
            logging.getLogger("sluice.test").info("inside")
        logging.getLogger("sluice.test").info("after")
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        sluice.setLevel(before[2])
    inside, after = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert inside["rollout"] == "shop/checkout"
    assert inside["reconcile_id"]
    assert (inside["revision"], inside["step"], inside["reason"]) == ("1", "2/4 pause", "PauseStep")
    assert inside["time"].endswith("+00:00")
    assert "rollout" not in after
    assert log_context.get({}) == {}
