"""Random histories in an embedded world: whatever happens and whenever the operator dies, the invariants hold.

Each example is a list of things that people, the cluster, Prometheus and fate do, with time between them. `laws.py`
looks at every write of the operator at the moment it takes effect. In the end everything is well again, and the
operator must come to rest.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from sluice.api.names import Kind, Slot
from sluice.decide.model import Reading
from sluice.errors import Conflict, SluiceError, Unavailable
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call, Fault
from sluice.sim.metrics import Question, error, inconclusive, no_data
from sluice.sim.world import World
from unit.defects import gathered
from unit.sequences.laws import Broken, Laws, at_rest
from unit.sequences.search import PROFILE, SEARCH

APP, BYSTANDER = "checkout", "payments"
METRIC = manifests.metric()
CANARY = manifests.canary(*manifests.step_weights(5, 50, pause="1m"))
BLUE_GREEN = {"blueGreen": {"autoPromote": True, "watch": "2m"}}
SCOPE = {"selector": {"matchLabels": {manifests.APP_LABEL: APP}}}
ANSWERS: dict[str, float | Reading] = {
    "good": 0.0,
    "bad": 0.5,
    "error": error(),
    "no data": no_data(),
    "nan": inconclusive(),
}
PEACE_SECONDS = 3600.0

slots = st.sampled_from(Slot)
happenings = st.one_of(
    st.tuples(st.just("deploy"), slots, st.sampled_from(["1.5.0", "1.5.1", "1.6.0"])),
    st.tuples(st.just("revert")),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("engage"), st.booleans(), st.sampled_from(["Divert", "Hold", "Rollback", "force"])),
    st.tuples(st.just("release"), st.booleans()),
    st.tuples(
        st.just("act"),
        st.sampled_from(["Promote", "PromoteFully", "Pause", "Hold", "Resume", "Abort", "Reject", "Retry", "Undo"]),
    ),
    st.tuples(st.just("meddle"), st.sampled_from([(100, 0), (0, 100), (50, 50), (0, 0), (1, 1)])),
    st.tuples(st.just("prometheus"), st.sampled_from(sorted(ANSWERS))),
    st.tuples(st.just("pods"), slots, st.sampled_from([0, 1, 3])),
    st.tuples(st.just("gateway"), st.booleans()),
    st.tuples(st.just("api"), st.sampled_from(["well", "flaky", "lost answers", "slow", "down"])),
    st.tuples(st.just("stale"), st.sampled_from([Kind.ROLLOUT, Kind.HTTP_ROUTE, Kind.ROLLOUT_RUN]), st.booleans()),
    st.tuples(st.just("crash"), st.integers(0, 6)),
    st.tuples(st.just("restart")),
)
pauses = st.sampled_from([0.0, 0.05, 0.3, 5.0, 35.0, 100.0])
begins = st.tuples(st.just(("deploy", Slot.GREEN, "1.5.0")), pauses)
histories = st.builds(
    lambda first, rest: [first, *rest], begins, st.lists(st.tuples(happenings, pauses), min_size=2, max_size=14)
)


class History:
    """Makes things happen in a world."""

    def __init__(self, world: World, laws: Laws, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.answer: float | Reading = 0.0
        self.laws = laws
        world.metrics.script(self._answer)

    def _answer(self, question: Question) -> float | Reading:
        self.laws.heard(question, self.answer)
        return self.answer

    async def happen(self, name: str, *args: Any) -> None:
        """Let one thing happen; what the API refuses did not."""
        try:
            await getattr(self, f"_{name.replace(' ', '_')}")(*args)
        except SluiceError as refused:
            note(f"  refused: {refused}")

    async def _deploy(self, slot: Slot, version: str) -> None:
        await self.world.release_version(APP, version, slot)

    async def _revert(self) -> None:
        stable = self.world.status(APP).stable
        if stable is not None:
            await self.world.spec(APP, {"workload": {"active": str(stable.slot), "version": stable.version}})

    async def _pause(self, paused: bool) -> None:
        await self.world.spec(APP, {"paused": paused})

    async def _engage(self, wide: bool, effect: str) -> None:
        named = {"force": True} if effect == "force" else {"effect": effect}
        await self.world.engage(reason="drill", wide=wide, scope=SCOPE, **named)

    async def _release(self, wide: bool) -> None:
        await self.world.release(wide=wide, reason=f"done {self.chance.random()}")

    async def _act(self, verb: str) -> None:
        await self.world.act(APP, verb, reason="drill")

    async def _meddle(self, weights: tuple[int, int]) -> None:
        await self.world.meddle(APP, *weights)

    async def _prometheus(self, answer: str) -> None:
        self.answer = ANSWERS[answer]

    async def _pods(self, slot: Slot, ready: int) -> None:
        self.world.pods(APP, slot, ready)

    async def _gateway(self, frozen: bool) -> None:
        self.world.gateway.frozen = frozen
        if not frozen:
            self.world.gateway.thaw()

    async def _api(self, mood: str) -> None:
        self.world.cluster.faults[:] = [] if mood == "well" else [self._fault(mood)]

    async def _stale(self, kind: Kind, held: bool) -> None:
        watch = self.world.operator.watches[kind]
        watch.hold() if held else watch.release()

    async def _crash(self, after_writes: int) -> None:
        if after_writes:
            self.world.operator.crash_after_writes(after_writes)
        else:
            await self.world.operator.crash()

    async def _restart(self) -> None:
        await self.world.restart()

    def _fault(self, mood: str) -> Fault:
        def fault(call: Call) -> float | None:
            if call.manager != "sluice" or not call.writes:
                return None
            if mood == "down":
                raise Unavailable("connection refused")
            unlucky = self.chance.random() < 0.4
            if mood == "slow":
                return 3.0 if unlucky and call.phase == "before" else None
            if unlucky and call.phase == ("after" if mood == "lost answers" else "before"):
                raise Unavailable("timed out") if self.chance.random() < 0.8 else Conflict("somebody was quicker")
            return None

        return fault

    async def peace(self) -> None:
        """Everything is well again; whatever waited for a person goes on."""
        self.world.cluster.faults.clear()
        self.answer = 0.0
        for slot in Slot:
            self.world.pods(APP, slot, 3)
        await self._gateway(frozen=False)
        for wide in (False, True):
            await self.happen("release", wide)
        await self._pause(paused=False)
        await self.world.restart()
        await asyncio.sleep(60)
        await self._act("Resume")
        for _ in range(3):  # an analysis that could not tell waits for a person, at each step anew
            await self._act("Promote")
            await asyncio.sleep(PEACE_SECONDS / 3)


def _live(steps: list[tuple[tuple[Any, ...], float]], seed: int, adopt: Callable[[World], Any]) -> None:
    with gathered() as defects:
        run(_history(steps, seed, adopt))
    assert not defects.texts, defects.texts[0]


async def _history(steps: list[tuple[tuple[Any, ...], float]], seed: int, adopt: Callable[[World], Any]) -> None:
    world = World()
    laws = Laws(world, APP, BYSTANDER)
    history = History(world, laws, seed)
    world.app(BYSTANDER)
    await adopt(world)
    for (name, *args), seconds in steps:
        await history.happen(name, *args)
        await asyncio.sleep(seconds)
        _judge(world, laws)
    await history.peace()
    _judge(world, laws)
    event(f"ended {world.status(APP).phase}")
    wrong = at_rest(world, APP)
    if wrong:
        raise Broken(f"I5: {wrong}")


def _judge(world: World, laws: Laws) -> None:
    if laws.broken is not None:
        raise laws.broken
    failure = world.operator.failure()
    if failure is not None:
        raise Broken("the engine ended by itself") from failure


async def _by_route(world: World) -> None:
    world.app(APP)
    await world.start()
    await world.adopt(BYSTANDER, CANARY)
    await world.adopt(APP, CANARY, metrics=[METRIC])


async def _by_service(world: World) -> None:
    world.app(APP, switched=True)
    await world.start()
    await world.adopt(BYSTANDER, CANARY)
    await world.adopt(APP, BLUE_GREEN, metrics=[METRIC], switched=True)


@pytest.mark.timeout(4 * PROFILE.max_examples)
@settings(PROFILE, max_examples=2 * PROFILE.max_examples, **SEARCH)
@given(histories, st.integers(0, 2**16))
def test_a_canary_by_route_keeps_the_invariants(steps: list[tuple[tuple[Any, ...], float]], seed: int) -> None:
    """I1, I3, I5, I6 and I9, whatever happens to a canary that moves a route's weights."""
    _live(steps, seed, _by_route)


@pytest.mark.timeout(4 * PROFILE.max_examples)
@settings(PROFILE, max_examples=PROFILE.max_examples, **SEARCH)
@given(histories, st.integers(0, 2**16))
def test_a_blue_green_by_service_keeps_the_invariants(steps: list[tuple[tuple[Any, ...], float]], seed: int) -> None:
    """The same for a blue-green switch of a plain Service's selector."""
    _live(steps, seed, _by_service)
