"""What was put back after a kill before that could be told: the route remembers it, whoever looks next tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from sluice.decide.model import Observed
from sluice.decide.planner import plan
from sluice.decide.returning import divert
from unit.decide.observed import (
    MINUTE,
    NOW,
    REF,
    SECOND,
    SERVICES,
    after,
    ask,
    rollout_spec,
    running,
    settle,
    shifted,
    switch,
)


def killed() -> Observed:
    """Run 1 was killed; at rest, at `NOW`."""
    return settle(replace(running(), switches=(switch(),)), NOW)


def put_back_untold(seen: Observed, at: datetime) -> Observed:
    """Somebody else writes the route, it is put back, and the operator dies before it writes the status."""
    given = replace(seen, targets=tuple(replace(view, shares=(5000,)) for view in seen.targets))
    made = plan(given, at)
    assert made.urgent, "it is put back at once"
    return replace(given, targets=tuple(shifted(view, made.urgent) for view in given.targets))


def repairs(seen: Observed) -> list[tuple[str, str]]:
    """(id, stage) of each repair that the audit tells of."""
    return [(entry.id, entry.stage) for entry in seen.status.audit.entries if entry.action == "repair"]


def test_who_comes_after_a_crash_tells_what_was_put_back() -> None:
    """Once, with an event, and as seen; the status itself knew of nothing."""
    seen = put_back_untold(killed(), NOW + MINUTE)
    assert repairs(seen) == []
    made = plan(seen, NOW + 2 * MINUTE)
    message = "HTTPRoute shop/checkout was changed by somebody else after a switch had diverted it; put back"
    assert [(note.reason, note.message) for note in made.notes] == [("ForeignWriter", message)]
    seen = settle(seen, NOW + 2 * MINUTE)
    [intended, observed] = repairs(seen)
    assert (intended[1], observed) == ("Intended", (intended[0], "Observed"))
    assert repairs(settle(seen, NOW + 3 * MINUTE)) == [intended, observed]


def test_each_of_several_crashes_is_told() -> None:
    """Thrice in a row the status could not be written: three repairs, each with its own moment."""
    seen = killed()
    for number in (1, 2, 3):
        seen = put_back_untold(seen, NOW + number * MINUTE)
    told = repairs(settle(seen, NOW + 4 * MINUTE))
    assert len({identity for identity, stage in told if stage == "Intended"}) == 3


def test_it_is_told_as_it_would_have_been() -> None:
    """What died and what lived know a repair by the same name: where both tell of it, it is told once."""
    given = killed()
    given = replace(given, targets=tuple(replace(view, shares=(5000,)) for view in given.targets))
    lived = after(given, plan(given, NOW + MINUTE))
    died = settle(put_back_untold(killed(), NOW + MINUTE), NOW + 2 * MINUTE)
    assert repairs(died)[0] == repairs(lived)[0]


def test_the_kill_path_remembers_too() -> None:
    """Killed, written over and killed again before any pass: both are told."""
    seen = replace(running(), switches=(switch(),))

    def kill(at: datetime) -> None:
        nonlocal seen
        shifts = divert(REF, seen.status, SERVICES, seen.targets, switch(), bears=10_000, now=at)
        seen = replace(seen, targets=tuple(shifted(view, shifts) for view in seen.targets))

    kill(NOW + SECOND)
    assert [view.cause.repairs for view in seen.targets if view.cause] == [""]
    seen = replace(seen, targets=tuple(replace(view, shares=(5000,)) for view in seen.targets))
    kill(NOW + 2 * SECOND)
    told = [entry.action for entry in settle(seen, NOW + MINUTE).status.audit.entries if entry.stage == "Intended"]
    assert told[-2:] == ["return", "repair"]


@pytest.mark.parametrize("text", ["", "yesterday", "2999-01-01T00:00:00Z", "2026-03-02", "x" * 4096, ",,,"])
def test_what_somebody_made_up_is_not_told(text: str) -> None:
    """Of what is no time, or one that is still to come, nothing is told."""
    seen = killed()
    views = [replace(view, cause=view.cause and replace(view.cause, repairs=text)) for view in seen.targets]
    assert plan(replace(seen, targets=tuple(views)), NOW + MINUTE).status.audit == seen.status.audit


def test_what_another_run_put_back_is_not_told_of_this_one() -> None:
    """A stamp of run 1 that is still there when run 2 was killed."""
    seen = put_back_untold(killed(), NOW + MINUTE)
    stale = [view.cause for view in seen.targets]
    seen = settle(replace(seen, switches=()), NOW + 2 * MINUTE)
    seen = settle(ask(seen, rollout_spec(version="3.0")), NOW + 3 * MINUTE)
    seen = settle(replace(seen, switches=(switch(name="again"),)), NOW + 4 * MINUTE)
    revision = seen.status.revision
    assert revision is not None
    assert (revision.number, revision.outcome) == (2, "Killed")
    views = [replace(view, cause=cause) for view, cause in zip(seen.targets, stale, strict=True)]
    assert repairs(settle(replace(seen, targets=tuple(views)), NOW + 5 * MINUTE)) == repairs(seen)
