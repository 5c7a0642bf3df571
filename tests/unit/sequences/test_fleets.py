"""Random histories of Rollouts over fleets: whatever happens, in the hub and in members, the laws hold.

`fleet_laws.py` looks at every stored change at the moment it takes effect, in every cluster. In the end everything is
well again: what was under way must end by itself, and a last good release must end up serving everywhere. A failure is
told as a script of plain sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from unit.defects import gathered
from unit.sequences.fleet_life import APP, BY_HUB, JOINER, NAMES, FleetLife, FleetSetting
from unit.sequences.laws import Broken
from unit.sequences.search import PROFILE, SEARCH

STEPS = manifests.step_weights(10, 50, pause="20s")
CANARY = manifests.canary(*STEPS)
BY_HAND: list[Obj] = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}]
ONE_BY_ONE: list[Obj] = [{"name": name, "clusters": [name], "soak": "20s"} for name in NAMES]

SETTINGS = (
    FleetSetting(
        "a pilot, and the others together", [{"name": "pilot", "size": 1, "soak": "30s"}, {"name": "rest"}], CANARY
    ),
    FleetSetting(
        "one wave after the other, and one may fail",
        [{"name": "all", "maxConcurrency": 1, "maxFailures": 1, "soak": "10s"}],
        CANARY,
        fleet={"onFailure": "RollbackCluster"},
    ),
    FleetSetting(
        "one by one, and all return", [*ONE_BY_ONE, {"name": "rest"}], CANARY, fleet={"onFailure": "RollbackFleet"}
    ),
    FleetSetting(
        "two by two, and a person lets the rest go",
        [{"name": "first", "size": 2, "steps": BY_HAND}, {"name": "rest", "pause": {}}],
        CANARY,
        fleet={"onFailure": "Hold"},
    ),
    FleetSetting(
        "a pause before the rest, blue-green",
        [{"name": "pilot", "size": 1}, {"name": "rest", "pause": {"duration": "30s"}, "maxFailures": "50%"}],
        {"blueGreen": {"watch": "20s"}},
    ),
    FleetSetting(
        "two by two, the first two and the whole fleet measured by the hub",
        [{"name": "first", "size": 2, "soak": "30s", "analysis": BY_HUB}, {"name": "rest", "maxConcurrency": 1}],
        CANARY,
        fleet={"analysis": BY_HUB},
    ),
)


class Happening:
    """One thing that happens; examples print as their sentences."""

    def __init__(self, text: str, method: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        self._text = text
        self._method = method
        self._args = args

    def __repr__(self) -> str:
        return self._text

    async def happen(self, life: FleetLife) -> None:
        """Let it happen; what the API refuses did not."""
        await life.people(self._method(life, *self._args))


RELEASES = (
    Happening("alice releases 2.0", FleetLife.release, "2.0", ""),
    Happening("alice releases 2.1", FleetLife.release, "2.1", ""),
    Happening("alice goes back to the first version", FleetLife.revert),
    *(Happening(f"alice releases 3.{n}, which cannot run in {n}", FleetLife.release, f"3.{n}", n) for n in NAMES),
)
PEOPLE = (
    *(
        Happening(f"bob says {v}", FleetLife.act, v)
        for v in ("Promote", "Pause", "Hold", "Resume", "Abort", "Reject", "Retry")
    ),
    *(Happening(f"bob takes {name} back", FleetLife.roll_back, name) for name in NAMES),
    Happening("bob takes the whole fleet back", FleetLife.roll_back, ""),
    Happening("spec.paused becomes true", FleetLife.pause, True),
    Happening("spec.paused becomes false", FleetLife.pause, False),
)
SWITCHES = (
    Happening("carol engages a kill switch", FleetLife.engage, "Divert", ""),
    Happening("carol engages a kill switch of the whole cluster", FleetLife.engage, "Divert", "wide"),
    Happening("carol engages a switch that holds", FleetLife.engage, "Hold", ""),
    Happening("carol engages a switch that rolls back", FleetLife.engage, "Rollback", "wide"),
    Happening("carol engages a kill switch in m1 alone", FleetLife.engage, "Divert", "m1"),
    Happening("carol engages a switch that holds in m2 alone", FleetLife.engage, "Hold", "m2"),
    Happening("carol releases her switch", FleetLife.disengage, ""),
    Happening("carol releases the switch of the whole cluster", FleetLife.disengage, "wide"),
)
CONNECTIONS = tuple(
    Happening(f"{name} {text}", method, name)
    for name in NAMES
    for text, method in (
        ("does not answer", FleetLife.cut),
        ("answers", FleetLife.mend),
        ("answers slowly", FleetLife.slow),
        ("goes mad", FleetLife.madden),
    )
)
MEMBERS = (
    *(Happening(f"dave unregisters {name}", FleetLife.leave, name) for name in NAMES),
    *(Happening(f"dave registers {name}", FleetLife.join, name) for name in (*NAMES, JOINER)),
)
MOODS = tuple(
    Happening(f"the hub's API server {text}", FleetLife.api, mood)
    for text, mood in (
        ("is well", "well"),
        ("fails some writes", "flaky"),
        ("loses answers", "lost answers"),
        ("is slow", "slow"),
        ("is down", "down"),
    )
)
OPERATOR = (
    Happening("the operator starts anew", FleetLife.restart),
    Happening("the operator dies", FleetLife.crash, 0),
    *(Happening(f"the operator dies after {count} more writes", FleetLife.crash, count) for count in (1, 2, 3, 5, 8)),
)
NUMBERS = (
    Happening("too few members respond", FleetLife.respond, 98.0),
    Happening("the hub's Prometheus is away", FleetLife.respond, None),
    Happening("all members respond", FleetLife.respond, 100.0),
)
ANYTHING = (RELEASES, CONNECTIONS, OPERATOR, PEOPLE, SWITCHES, MEMBERS, MOODS, NUMBERS)

Step = tuple[Happening, float]
seconds = st.sampled_from([30.0, 2.0, 0.0, 0.3, 7.0, 100.0, 400.0])
anything: st.SearchStrategy[Happening] = st.sampled_from(ANYTHING).flatmap(st.sampled_from)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """A release, and up to 12 things more."""
    first = draw(st.tuples(st.just(RELEASES[0]), seconds))
    return [first, *draw(st.lists(st.tuples(anything, seconds), min_size=1, max_size=12))]


def _script(steps: list[Step], refusals: list[str]) -> str:
    lines = []
    for number, ((happening, passing), refusal) in enumerate(zip(steps, refusals, strict=False), 1):
        lines.append(f"{number:3}. {happening}{f' (refused: {refusal})' if refusal else ''}; {passing:g} s pass")
    return "\n".join(lines)


async def _told(setting: FleetSetting, steps: list[Step], seed: int) -> str:
    life, refusals, ending = FleetLife(setting, seed), list[str](), ""
    try:
        await life.begin()
        for happening, passing in steps:
            refusals.append("")
            await happening.happen(life)
            refusals[-1] = life.refused
            await life.pass_time(passing)
            _judge(life)
        ending = "\n     then everything is well again"
        await life.at_rest()
        _judge(life)
        ending += "\n     and alice releases a last good version"
        await life.released_again()
        _judge(life)
    except Broken as broken:
        raise Broken(f"{setting}:\n{_script(steps, refusals)}{ending}\n  → {broken}") from broken
    return str(life.world.fleet_runs(APP)[-2]["status"]["outcome"])


def _judge(life: FleetLife) -> None:
    if life.laws.broken is not None:
        raise life.laws.broken
    failure = life.world.operator.failure()
    if failure is not None:
        raise Broken("the operator ended by itself") from failure


def live(setting: FleetSetting, steps: list[Step], seed: int = 0) -> str:
    """Live through a history; fail with its script where a law breaks or the operator logs a defect."""
    with gathered() as defects:
        ended = run(_told(setting, steps, seed))
    texts = [text for text in defects.texts if "status cannot be read" not in text]  # what a mad member causes
    assert not texts, f"{setting}:\n{_script(steps, [''] * len(steps))}\n  → {texts[0]}"
    return ended


@pytest.mark.timeout(12 * PROFILE.max_examples)
@settings(PROFILE, max_examples=max(1, PROFILE.max_examples // 8), **SEARCH)
@given(st.sampled_from(SETTINGS), histories(), st.integers(0, 2**16))
def test_a_fleet_keeps_the_laws(setting: FleetSetting, steps: list[Step], seed: int) -> None:
    """No cluster gets more than the hub's status lets it, none goes before its turn, and all come to rest."""
    event(f"after {live(setting, steps, seed)}")


@pytest.mark.parametrize("bad, ended", [(NUMBERS[0], "Aborted"), (NUMBERS[1], "Completed")], ids=["bad", "away"])
def test_bad_numbers_keep_everybody_back(bad: Happening, ended: str) -> None:
    """A history that would break the law of measurements if they held nobody: a failure ends the run, silence waits."""
    assert live(SETTINGS[-1], [(RELEASES[0], 2.0), (bad, 400.0)]) == ended
