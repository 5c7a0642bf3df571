"""Going back to a revision that served not long ago: without steps within the window, with all of them outside."""

from __future__ import annotations

from datetime import datetime

from sluice.api.action import Verb
from sluice.decide.model import Observed
from unit.decide import workloads
from unit.decide.cluster import settle
from unit.decide.observed import MINUTE, NOW
from unit.decide.workloads import ship, template, told

BACK = {"rollbackWindow": {"revisions": 1}}
DRAINED = NOW + MINUTE


def _shipped(seen: Observed, version: str, at: datetime = NOW) -> Observed:
    """Another version is asked for, and everything that follows by itself has happened a minute later."""
    return settle(settle(ship(seen, template(version)), at), at + MINUTE)


def test_within_the_rollback_window_there_are_no_steps() -> None:
    """1.0 served just before 2.0: it takes over in one step, without a pause or an analysis."""
    seen = _shipped(workloads.finished(spec=BACK), "1.0")
    assert seen.status.stable is not None
    assert (seen.status.stable.version, seen.status.phase) == ("1.0", "Healthy")
    run = seen.runs[-1].spec
    assert (run.cause, [step.share for step in run.steps]) == ("Rollback", [10_000])


def test_outside_the_window_all_steps_are_taken() -> None:
    """Two revisions ago is outside a window of one: 1.0 stops at its first weight, as anything new would."""
    third = told(_shipped(workloads.finished(spec=BACK), "3.0"), Verb.PROMOTE_FULLY, DRAINED)
    assert third.status.stable is not None
    assert third.status.stable.version == "3.0"
    seen = _shipped(third, "1.0", DRAINED)
    assert (seen.runs[-1].spec.cause, seen.status.weight) == ("SpecChanged", 2500)
    assert len(seen.runs[-1].spec.steps) > 1


def test_without_a_window_all_steps_are_taken() -> None:
    """Nobody asked for the short way."""
    seen = _shipped(workloads.finished(), "1.0")
    assert (seen.runs[-1].spec.cause, seen.status.weight) == ("SpecChanged", 2500)


def test_what_was_aborted_never_served() -> None:
    """3.0 was aborted before it was stable: asking for it anew, once it may be tried again, takes all steps."""
    aborted = told(_shipped(workloads.finished(spec=BACK), "3.0"), Verb.ABORT, DRAINED)
    seen = told(aborted, Verb.RETRY, DRAINED)
    assert (seen.runs[-1].spec.cause, seen.status.weight) == ("Retry", 2500)
