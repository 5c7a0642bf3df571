"""Random histories of several operators: no Rollout ever has two masters, and none stays without one.

Operators crash, go, come, and freeze for longer than the lease and go on with what they were about to do; the Lease's
requests fail or lose their answers; meanwhile versions are released, promoted and killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.api.names import Kind
from sluice.errors import Conflict, Unavailable
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from unit.sharding.fleet import SLACK_SECONDS, TIMES, Fleet, Replica

APPS = ("cart", "checkout", "payments", "search")
NAMES = ("one", "two", "three")
CANARY = manifests.canary(*manifests.step_weights(10, 50, pause="5s"))
MOST_REPLICAS = 5
ENDS = ("Healthy", "Killed", "Aborted")
PAUSES = (10.0, TIMES.duration - TIMES.margin, TIMES.duration, TIMES.duration + SLACK_SECONDS, 60.0)


@dataclass(frozen=True)
class Event:
    """Something that happens to a fleet: what, how long, and to which of those that there are."""

    verb: str
    seconds: float = 0.0
    which: int = 0


def events() -> st.SearchStrategy[Event]:
    """One thing after another; waits between them come as events too."""
    which = st.integers(0, MOST_REPLICAS - 1)
    moments = st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0, 3.0])
    pauses = st.sampled_from(
        [1.0, 10.0, 11.5, TIMES.duration - TIMES.margin, TIMES.duration, TIMES.duration + 1.0, 40.0]
    )
    return st.one_of(
        st.builds(Event, st.just("wait"), st.one_of(moments, pauses)),
        st.builds(Event, st.just("crash"), which=which),
        st.builds(Event, st.just("stop"), which=which),
        st.builds(Event, st.just("freeze"), pauses, which),
        st.builds(Event, st.just("join")),
        st.builds(Event, st.just("again"), which=which),
        st.builds(Event, st.sampled_from(["refuse", "lose", "conflict"]), st.sampled_from([0.5, 2.0])),
        st.builds(Event, st.just("release"), which=st.integers(0, len(APPS) - 1)),
        st.builds(Event, st.sampled_from(["kill", "end the kill"])),
    )


class History:
    """Makes events happen. The first replica is spared, so that there is always one to take over."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._joined = 0
        self._versions = 1
        self._trouble: tuple[str, float] = ("", 0.0)
        fleet.cluster.faults.append(self._disturb)

    def _disturb(self, call: Call) -> None:
        verb, until = self._trouble
        if call.kind is not Kind.LEASE or not call.client or self._fleet.clock.monotonic() >= until:
            return
        if verb == "refuse" and call.phase == "before":
            raise Unavailable("the API server is overloaded")
        if verb == "lose" and call.phase == "after":
            raise Unavailable("the connection was reset")
        if verb == "conflict" and call.writes and call.phase == "before":
            raise Conflict("somebody else wrote first")

    def _victim(self, event: Event) -> Replica | None:
        others = self._fleet.living[1:]
        return others[event.which % len(others)] if others else None

    async def happen(self, event: Event) -> None:
        """One event."""
        fleet, victim = self._fleet, self._victim(event)
        if event.verb == "wait":
            await asyncio.sleep(event.seconds)
        elif event.verb in ("refuse", "lose", "conflict"):
            self._trouble = (event.verb, fleet.clock.monotonic() + event.seconds)
        elif event.verb == "release":
            self._versions += 1
            slot = "green" if fleet.status(APPS[event.which]).stable.slot == "blue" else "blue"  # type: ignore[union-attr]
            await fleet.spec(APPS[event.which], {"workload": {"active": slot, "version": f"{self._versions}.0"}})
        elif event.verb == "kill":
            await fleet.engage(wide=True, reason="5xx")
        elif event.verb == "end the kill":
            if fleet.cluster.store.peek(Kind.CLUSTER_KILL_SWITCH, "", "stop"):
                await fleet.release(wide=True)
        elif event.verb == "join" and len(fleet.living) < MOST_REPLICAS:
            self._joined += 1
            fleet.hire(f"more-{self._joined}")
        elif victim is not None:
            await self._befall(event, victim)

    async def _befall(self, event: Event, victim: Replica) -> None:
        if event.verb == "crash":
            await victim.crash()
        elif event.verb == "stop" and not victim.frozen:
            await victim.stop()
        elif event.verb == "freeze":
            victim.freeze(event.seconds)
        elif event.verb == "again":
            await victim.crash()
            self._fleet.hire(victim.name)


def playing(story: Callable[[Fleet, History], Awaitable[None]]) -> None:
    """Run a history in virtual time, then let it come to rest."""

    async def main() -> None:
        fleet = Fleet(*APPS)
        await fleet.begin(*NAMES)
        for app in APPS:
            await fleet.adopt(app, CANARY)
        history = History(fleet)
        await story(fleet, history)
        await history.happen(Event("end the kill"))
        await asyncio.sleep(40.0)  # the last that was frozen goes on
        await fleet.rest()
        for app in APPS:
            await fleet.until(lambda app=app: fleet.status(app).phase in ENDS, timeout_seconds=300)  # type: ignore[misc]
        fleet.verdict()

    run(main())


@pytest.mark.timeout(240)
@settings(max_examples=60, deadline=None)
@given(st.lists(events(), max_size=25))
def test_no_history_gives_a_rollout_two_masters_or_leaves_it_without(story: list[Event]) -> None:
    """Every write took effect while the shard was its writer's by the Lease; every shard was taken in time."""

    async def play(_: Fleet, history: History) -> None:
        for event in story:
            await history.happen(event)

    playing(play)


@pytest.mark.parametrize(
    "seconds", [TIMES.duration - TIMES.margin, TIMES.duration, TIMES.duration + SLACK_SECONDS, 60.0]
)
@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.1])
def test_a_write_on_its_way_into_a_pause_is_refused_after_it(seconds: float, moment: float) -> None:
    """Frozen in the midst of all passes: what goes on after the lease is over writes nothing of another's."""

    async def play(fleet: Fleet, history: History) -> None:
        for number in range(len(APPS)):
            await history.happen(Event("release", which=number))
        await asyncio.sleep(moment)
        for replica in fleet.living[1:]:
            replica.freeze(seconds)
        await history.happen(Event("kill"))

    playing(play)
