"""What somebody on call does: hold a run, for a time or until Resume, and make a wait longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.conditions import condition_of
from sluice.decide.model import Answer, Observed
from sluice.decide.planner import plan
from unit.decide.observed import HOUR, MINUTE, NOW, OPEN_PAUSE, SECOND, action, after, running, settle


def told(seen: Observed, verb: Verb, at: datetime = NOW, **fields: Any) -> tuple[Answer, Observed]:
    """What an action of bob's is answered, and what there is afterwards."""
    made = plan(replace(seen, actions=(action(verb, at=at, name=f"{verb}-{at:%H%M%S}", **fields),)), at)
    [answer] = made.answers
    return answer, after(seen, made)


def step(seen: Observed) -> int:
    """The step that the run is in."""
    assert seen.status.step is not None
    return seen.status.step.index


def go(seen: Observed, *moments: datetime) -> Observed:
    """A pass at each of these moments."""
    for at in moments:
        seen = after(seen, plan(seen, at))
    return seen


def test_a_hold_freezes_the_run_until_it_is_resumed() -> None:
    """Without an end it lasts; the message says who, why and how it ends, and held time counts for no pause."""
    answer, seen = told(running(), Verb.HOLD, reason="incident 481")
    assert (answer.done, answer.message) == (True, "held until it is resumed")
    paused = condition_of(seen.status.conditions, "Paused")
    assert paused is not None
    assert (seen.status.phase, paused.reason) == ("Paused", "HeldByAction")
    assert "held by bob: incident 481; goes on with: sluice resume checkout -n shop" in seen.status.message
    seen = go(seen, NOW + HOUR, NOW + 2 * HOUR)
    assert step(seen) == 2
    answer, seen = told(seen, Verb.RESUME, NOW + 2 * HOUR)
    assert (answer.done, seen.status.held_by, step(seen)) == (True, None, 2)
    assert step(go(seen, NOW + 2 * HOUR + 11 * MINUTE)) == 3


def test_a_hold_for_a_time_lets_go_by_itself() -> None:
    """The operator looks again just then, people are told, and the pause goes on with what had counted."""
    answer, seen = told(running(), Verb.HOLD, reason="incident", duration=HOUR)
    assert answer.message == "held until 2026-03-02 10:00:00 UTC"
    assert "goes on at 2026-03-02 10:00:00 UTC by itself, or with: sluice resume" in seen.status.message
    assert plan(seen, NOW + MINUTE).wake_at == NOW + HOUR
    seen = go(seen, NOW + HOUR - SECOND)
    made = plan(seen, NOW + HOUR)
    assert [note.reason for note in made.notes] == ["HoldEnded"]
    seen = after(seen, made)
    assert (seen.status.held_by, step(seen)) == (None, 2)
    assert step(go(seen, NOW + HOUR + 9 * MINUTE)) == 2
    assert step(go(seen, NOW + HOUR + 11 * MINUTE)) == 3


def test_a_hold_goes_before_a_promotion() -> None:
    """Who may promote does not end it by that."""
    _, seen = told(running(strategy=OPEN_PAUSE), Verb.HOLD, reason="incident")
    answer, seen = told(seen, Verb.PROMOTE, revision=1)
    assert (answer.done, step(seen)) == (False, 2)
    assert "held by bob: incident" in answer.message


def test_a_hold_outlives_a_pause_and_ends_with_the_run() -> None:
    """The two are apart; Resume ends both, and so does the end of the run."""
    _, seen = told(running(), Verb.PAUSE)
    answer, seen = told(seen, Verb.HOLD, reason="incident")
    assert (answer.done, seen.status.paused_by is not None, seen.status.held_by is not None) == (True, True, True)
    _, ended = told(seen, Verb.ABORT)
    assert (ended.status.paused_by, ended.status.held_by) == (None, None)
    _, seen = told(seen, Verb.RESUME)
    assert (seen.status.paused_by, seen.status.held_by) == (None, None)


def test_a_second_hold_is_rejected() -> None:
    """Nobody makes another's hold shorter; how it gets longer is said."""
    _, seen = told(running(), Verb.HOLD, reason="incident", duration=HOUR)
    answer, seen = told(seen, Verb.HOLD, NOW + SECOND, reason="mine", duration=MINUTE)
    assert answer.message == "already held by bob; sluice extend makes it longer than 2026-03-02 10:00:00 UTC"
    assert seen.status.held_by is not None
    assert seen.status.held_by.until == NOW + HOUR


def test_extend_makes_a_hold_longer() -> None:
    """By so much; the wait underneath stays as long as it was."""
    _, seen = told(running(), Verb.HOLD, reason="incident", duration=HOUR)
    answer, seen = told(seen, Verb.EXTEND, NOW + SECOND, reason="not yet", duration=HOUR)
    assert answer.message == "the hold by bob lasts 1h longer, until 2026-03-02 11:00:00 UTC"
    assert (seen.status.held_by is not None, seen.status.step and seen.status.step.extended_seconds) == (True, 0.0)
    assert go(seen, NOW + HOUR).status.held_by is not None
    assert go(seen, NOW + 2 * HOUR).status.held_by is None


def test_extend_makes_a_pause_longer() -> None:
    """The pause of ten minutes is one of 40; the message and the next transition say so."""
    answer, seen = told(running(), Verb.EXTEND, reason="night batch", duration=30 * MINUTE)
    assert (answer.done, answer.message) == (True, "step 2 (pause) lasts 30m longer")
    assert "pause for 10m, and 30m more" in seen.status.message
    assert seen.status.next_transition_at == NOW + 40 * MINUTE
    assert step(go(seen, NOW + 11 * MINUTE)) == 2
    assert step(go(seen, NOW + 40 * MINUTE)) == 3


def test_extend_makes_a_watch_longer() -> None:
    """After the switch, too."""
    seen = running(strategy={"blueGreen": {"watch": "5m"}})
    answer, seen = told(seen, Verb.EXTEND, reason="night batch", duration=HOUR)
    assert answer.message == "step 2 (watch) lasts 1h longer"
    seen = go(seen, NOW + 6 * MINUTE)
    assert seen.status.revision is not None
    assert seen.status.revision.outcome is None


def test_the_next_wait_is_as_long_as_it_was() -> None:
    """What was lengthened is that wait alone."""
    pause = {"pause": {"duration": "10m"}}
    seen = running(strategy={"canary": {"steps": [{"setWeight": 10}, pause, pause]}})
    _, seen = told(seen, Verb.EXTEND, reason="night batch", duration=MINUTE)
    seen = go(seen, NOW + 11 * MINUTE)
    assert seen.status.step is not None
    assert (seen.status.step.index, seen.status.step.extended_seconds) == (3, 0.0)


@pytest.mark.parametrize(
    "held, fields, why",
    [
        (
            False,
            {"duration": HOUR},
            "no wait for a time runs now, so there is none to lengthen; to hold it: sluice hold",
        ),
        (True, {"duration": HOUR}, "it is held until somebody resumes it: there is nothing to lengthen"),
        (True, {}, "Extend needs spec.duration"),
    ],
)
def test_there_is_nothing_to_lengthen(held: bool, fields: dict[str, Any], why: str) -> None:
    """Where a run waits for a person, or is held without an end, no time is added."""
    seen = running(strategy=OPEN_PAUSE)
    if held:
        _, seen = told(seen, Verb.HOLD, reason="incident")
    answer, _ = told(seen, Verb.EXTEND, NOW + SECOND, reason="why", **fields)
    assert (answer.done, why in answer.message) == (False, True), answer.message


def test_nothing_is_put_off_for_ever() -> None:
    """No more than a year in all: then it says how the run is stopped."""
    seen, half_a_year = running(), 180 * 24 * HOUR
    for at in (NOW, NOW + SECOND):
        _, seen = told(seen, Verb.EXTEND, at, reason="why", duration=half_a_year)
    answer, _ = told(seen, Verb.EXTEND, NOW + 2 * SECOND, reason="why", duration=half_a_year)
    assert (answer.done, "nothing is held or waited for longer than 8760h" in answer.message) == (False, True)


def test_they_respect_a_revision() -> None:
    """They need none, but one that is given has to be the present one."""
    for verb in (Verb.HOLD, Verb.EXTEND):
        answer, _ = told(running(), verb, reason="why", duration=HOUR, revision=7)
        assert "it is for revision 7, but the current one is 1" in answer.message
        answer, _ = told(running(), verb, reason="why", duration=HOUR, revision=1)
        assert answer.done


def test_a_crash_before_the_answer_lengthens_nothing_twice() -> None:
    """The status was written and the answer was not."""
    asked = action(Verb.EXTEND, reason="why", duration=HOUR)
    made = plan(replace(running(), actions=(asked,)), NOW)
    again = settle(replace(after(running(), made), actions=(asked,)), NOW)
    assert again.status.step is not None
    assert again.status.step.extended_seconds == 3600.0
