"""Every verb over a fleet: what is done changes something, what is refused changes nothing and says what to do."""

from __future__ import annotations

import copy

import pytest

from sluice.api.action import Verb
from sluice.decide.fleet.planner import plan_fleet
from unit.decide.fleet.pretended import DIVERT, LAST, MINUTE, PILOT, REST, SECOND, Pretended, installed

SITUATIONS = ("moving", "soaking", "paused", "stepping", "completed", "aborted", "killed", "held", "by hand")


def in_situation(name: str) -> Pretended:
    """A fleet there."""
    hub = installed("abc", {**PILOT, "soak": "10m"}, {**REST, "pause": {}})
    if name == "completed":
        hub.ask("1.0")
        hub.go()
        return hub
    hub.reach("pilot", 1)
    if name in {"soaking", "paused", "stepping"}:
        hub.go()
    if name in {"paused", "stepping"}:
        hub.wait(10 * MINUTE)
        hub.go()
    if name == "stepping":
        hub.act(Verb.PROMOTE, revision=2)
        hub.reach("rest", LAST - 1)
    if name in {"aborted", "held"}:
        hub.act(Verb.ABORT if name == "aborted" else Verb.PAUSE)
    if name == "killed":
        hub.switches = (DIVERT,)
        hub.go()
        hub.switches = ()
    if name == "by hand":
        hub.act(Verb.ROLLBACK, revision=2)
    hub.look() if name == "stepping" else hub.go()
    hub.now += SECOND
    return hub


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_is_accepted_and_ignored(situation: str) -> None:
    """Of an action that is done, the next status or an order tells; of one that is refused, the answer alone."""
    hub = in_situation(situation)
    number = hub.fleet.revision.number if hub.fleet.revision is not None else 0
    for verb in Verb:
        with_action, without = copy.deepcopy(hub), copy.deepcopy(hub)
        with_action.act(verb, revision=number)
        plans = [plan_fleet(each._observed(), each.now) for each in (with_action, without)]
        [answer] = plans[0].answers
        effects = [(each.status.model_copy(update={"audit": None}), each.directives, each.create_run) for each in plans]
        assert (effects[0] != effects[1]) is answer.done, (situation, verb, answer.message)
        assert answer.message, (situation, verb)
        heads = [each.status.audit.seq for each in plans]
        assert (heads[0] > heads[1]) is answer.done, (situation, verb)


@pytest.mark.parametrize(
    "verb, instead",
    [
        (Verb.UNDO, "to go back: sluice rollback checkout -n shop --fleet"),
        (Verb.PROMOTE_FULLY, "to leave what waits for you: sluice promote checkout -n shop"),
        (Verb.RESTART, "for new pods, change something in the pod template, such as an annotation: that is a run"),
    ],
)
@pytest.mark.parametrize("situation", ["moving", "completed"])
def test_what_does_not_go_over_a_fleet_says_what_does(situation: str, verb: Verb, instead: str) -> None:
    """Whoever knows it from one cluster hears what to type."""
    hub = in_situation(situation)
    number = hub.fleet.revision.number if hub.fleet.revision is not None else 0
    hub.act(verb, revision=number)
    hub.look()
    [answer] = hub.plan.answers
    assert (answer.done, answer.message) == (False, f"{verb} does not go over a fleet; nothing was done; {instead}")
