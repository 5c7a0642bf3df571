"""A thousand changes of weight under fire: each is told in the audit once, and every chain is found whole.

The operator is killed again and again, in the middle of its writes too; a part of its requests fails, or their answers
are lost; people release, abort, undo, retry, pause, engage and drill switches and write over routes. What really
happened is taken from the store, which knows nothing of the audit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sluice.api.names import FIELD_MANAGER, Kind
from sluice.decide.signatures import check_signatures
from sluice.errors import Conflict, SluiceError, Unavailable
from sluice.ops.audit import fetch_trail
from sluice.ops.outcome import Target
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.stage import SYSTEM
from sluice.sim.store import Change
from sluice.sim.world import World
from unit.decide.signing import public_keys, signing_key
from unit.defects import gathered
from unit.sequences.ledger import Ledger

APPS = tuple(f"app-{number}" for number in range(8))
STRATEGY = manifests.canary(*manifests.step_weights(5, 10, 20, 30, 50, 70, pause="5s"))
CHANGES = 350  # of each seed, at least
SEEDS = (0, 1, 2)  # a quarter of a minute of work each; others were tried
PROPERTY_TIMEOUT_SECONDS = 240
VERBS = ("Promote", "PromoteFully", "Pause", "Resume", "Abort", "Retry", "Undo")
EFFECTS: tuple[dict[str, Any], ...] = (
    {"effect": "Divert"},
    {"effect": "Hold"},
    {"effect": "Rollback"},
    {"drill": True},
)


class Fire:
    """Everything that goes on at once.

    Args:
        world: with the apps.
        seed: what happens follows from it.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.over = False
        self.deaths = self.failures = 0
        self._moved = asyncio.Queue[str]()
        world.cluster.faults.append(self._fault)
        world.cluster.on_change.append(self._see)

    def _fault(self, call: Call) -> float | None:
        if self.over or call.manager != "sluice" or not call.writes or self.chance.random() > 0.15:
            return None
        if call.phase == self.chance.choice(("before", "after")):
            self.failures += 1
            kinds = (Unavailable("timed out"), Unavailable("connection refused"), Conflict("somebody was quicker"))
            raise self.chance.choice(kinds)
        return self.chance.choice((0.05, 1.0)) if call.phase == "before" else None

    def _see(self, change: Change) -> None:
        if not self.over and change.manager == FIELD_MANAGER and change.kind is Kind.HTTP_ROUTE:
            self._moved.put_nowait(change.after["metadata"]["name"])

    async def kill(self) -> None:
        """The operator dies, now or in the middle of what it writes next."""
        while not self.over:
            await asyncio.sleep(self.chance.uniform(2, 25))
            self.deaths += 1
            if self.chance.random() < 0.7:
                self.world.operator.crash_after_writes(self.chance.randint(1, 12))
                await asyncio.sleep(self.chance.uniform(1, 10))
            await self.world.restart()

    async def act(self) -> None:
        """People, each as they please."""
        while not self.over:
            await asyncio.sleep(self.chance.uniform(0, 4))
            try:
                await self._one(self.chance.choice(APPS))
            except SluiceError:
                continue  # what the API refuses did not happen

    async def jostle(self) -> None:
        """Somebody writes over a route just when the operator has, before it can read that back."""
        while True:
            app = await self._moved.get()
            if self.over:
                return
            if self.chance.random() < 0.1:
                await self._meddle(app)

    async def _meddle(self, app: str) -> None:
        await self.world.meddle(app, *self.chance.choice(((100, 0), (0, 100), (45, 55), (85, 15))))

    async def _one(self, app: str) -> None:
        status, roll = self.world.status(app), self.chance.random()
        if roll < 0.5 and status.stable is not None:
            version = f"{self.chance.randint(2, 99)}.0"
            await self.world.release_version(app, version, status.stable.slot.other)
        elif roll < 0.75:
            await self.world.act(app, self.chance.choice(VERBS))
        elif roll < 0.85:
            await self._meddle(app)
        elif roll < 0.9:
            await self.world.spec(app, {"paused": self.chance.random() < 0.3})
        else:
            await self._switch(app)

    async def _switch(self, app: str) -> None:
        scope = {"selector": {"matchLabels": {manifests.APP_LABEL: app}}}
        await self.world.engage(app, reason="payments fail", scope=scope, **self.chance.choice(EFFECTS))
        await asyncio.sleep(self.chance.uniform(0, 8))
        await self.world.release(app, reason=f"over {self.chance.random()}")

    async def out(self) -> None:
        """It is over: everything answers again, and whatever was under way ends."""
        self.over = True
        self._moved.put_nowait("")
        await asyncio.sleep(120)
        for app in APPS:
            await self.world.spec(app, {"paused": False})
        await self.world.restart()
        await asyncio.sleep(600)


@contextmanager
def _loaded(seed: int) -> Iterator[None]:
    """The dice that the operator throws itself, for the jitter of its retries, fall as the seed says."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


async def _story(seed: int) -> tuple[World, Ledger, Fire]:
    world = World()
    world.signer = signing_key("operator")
    ledger, fire = Ledger(world), Fire(world, seed)
    fire.over = True
    for app in APPS:
        world.app(app)
    await world.start()
    for app in APPS:
        await world.adopt(app, STRATEGY)
    fire.over = False
    async with asyncio.TaskGroup() as everybody:
        everybody.create_task(fire.kill())
        everybody.create_task(fire.jostle())
        for _ in range(3):
            everybody.create_task(fire.act())
        await world.until(lambda: ledger.count >= CHANGES, timeout_seconds=3 * 3600)
        await fire.out()
    return world, ledger, fire


@pytest.mark.timeout(PROPERTY_TIMEOUT_SECONDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_thousand_changes_are_told_once_each(seed: int) -> None:
    """Nothing is missing from the audit, doubled, or told that did not happen; and all of it is signed."""
    assert len(SEEDS) * CHANGES > 1_000

    async def story() -> None:
        world, ledger, fire = await _story(seed)
        assert ledger.count >= CHANGES
        assert min(fire.deaths, fire.failures, ledger.foreign) >= 5
        segments = 0
        for app in APPS:
            trail = await fetch_trail(world.people, Target(Kind.ROLLOUT, world.namespace, app), SYSTEM)
            signed = check_signatures(trail.proof, trail.claims, public_keys("operator"))
            assert signed.proof.whole, (app, signed.proof.findings[:3])
            assert signed.to == trail.proof.last
            segments += trail.segments
            wrong = list(ledger.wrong(app, trail.proof.entries))
            assert not wrong, (app, wrong[:5])
        assert segments > len(APPS), "most of what is told was sealed"

    with _loaded(seed), gathered() as defects:
        run(story())
    assert not defects.texts, defects.texts[0]


def test_a_trail_that_leaves_out_or_makes_up_is_found() -> None:
    """The ledger would tell: of an entry that is missing, of one that is doubled, and of a step that nobody took."""

    async def story() -> None:
        world = World()
        ledger = Ledger(world)
        world.app(APPS[0])
        await world.start()
        await world.adopt(APPS[0], STRATEGY)
        await world.release_version(APPS[0], "2.0")
        await world.until(lambda: bool(world.status(APPS[0]).history))
        trail = await fetch_trail(world.people, Target(Kind.ROLLOUT, world.namespace, APPS[0]), SYSTEM)
        entries = trail.proof.entries
        assert not list(ledger.wrong(APPS[0], entries))
        steps = [entry for entry in entries if entry.action.startswith("step-") and entry.stage == "Intended"]
        assert len(steps) == len(ledger.written[APPS[0]]) == 7
        for spoilt in ([entry for entry in entries if entry != steps[2]], [*entries, steps[2]]):
            assert list(ledger.wrong(APPS[0], spoilt))
        made_up = steps[2].model_copy(update={"id": "0" * 16, "stage": "Observed"})
        assert list(ledger.wrong(APPS[0], [*entries, made_up]))

    run(story())
