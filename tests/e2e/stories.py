"""What people do with a workload, told once: each story ends in a known state, however rough the way there was.

They are told under load, with patience, so that they serve for quiet days and for those on which the operator dies.
"""

from __future__ import annotations

from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from e2e.support.workload import Workload

PATIENCE_SECONDS = 90.0
TWO_STOPS = canary(weight(20), pause(), weight(50), pause())


def number_of(app: Workload) -> int:
    """The number of the current or last run; 0 before the first."""
    return int((app.status.get("revision") or {}).get("number", 0))


def started(app: Workload, version: str) -> int:
    """Ship a version, and wait until its run is under way at the first stop; returns the run's number."""
    before = number_of(app)
    app.ship(version)
    until(lambda: number_of(app) > before, f"a run of {app} for {version}", PATIENCE_SECONDS)
    at_stop(app, "20%")
    return number_of(app)


def at_stop(app: Workload, share: str) -> None:
    """Wait until the run waits for a person at this share, which is confirmed."""

    def there() -> bool:
        status = app.status
        step = status.get("step") or {}
        return (step.get("kind"), status.get("weight"), status.get("confirmation")) == ("pause", share, "Accepted")

    until(there, f"{app} to wait for a person at {share}", PATIENCE_SECONDS)


def finished(app: Workload, version: str) -> None:
    """A version goes through both stops of a canary to the end."""
    number = started(app, version)
    app.do("Promote", timeout=PATIENCE_SECONDS)
    at_stop(app, "50%")
    app.do("Promote", timeout=PATIENCE_SECONDS)
    assert app.wait_outcome(number, PATIENCE_SECONDS) == "Completed"
    app.wait_served_by(version, PATIENCE_SECONDS)


def aborted(app: Workload, version: str) -> None:
    """A version is aborted at its first stop; what was stable has everything, and the candidate's pods end."""
    serving = app.version_in(app.stable)
    number = started(app, version)
    app.do("Abort", reason="refunds fail", timeout=PATIENCE_SECONDS)
    assert app.wait_outcome(number, PATIENCE_SECONDS) == "Aborted"
    candidate = app.candidate
    until(lambda: app.share_of(candidate) == 0, f"nothing to go to {version}", PATIENCE_SECONDS)
    app.wait_ready(candidate, 0, PATIENCE_SECONDS)
    app.only(serving)


def superseded(app: Workload, good: str, bad: str, better: str) -> None:
    """In the middle of a canary another version is shipped, which never starts, and then one that does."""
    first = started(app, good)
    app.ship(bad)
    until(lambda: number_of(app) > first, f"a run of {app} for {bad}", PATIENCE_SECONDS)
    assert app.wait_outcome(first, PATIENCE_SECONDS) == "Superseded"
    until(lambda: app.version_in(app.candidate) == bad, f"{bad} to be tried", PATIENCE_SECONDS)
    finished(app, better)


def undone(app: Workload, version: str) -> None:
    """What completed is undone: the version before it serves again."""
    number = number_of(app)
    app.do("Undo", reason="refunds fail", timeout=PATIENCE_SECONDS)
    until(lambda: number_of(app) > number, f"a run of {app} that goes back", PATIENCE_SECONDS)
    # Not always the next number: one whose RolloutRun was made just before a crash, or a lost answer, is spent.
    assert app.wait_outcome(number_of(app), PATIENCE_SECONDS) == "Completed"
    until(lambda: app.version_in(app.stable) == version, f"{version} to be stable", PATIENCE_SECONDS)
    app.only(version)
