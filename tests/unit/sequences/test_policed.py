"""Random histories under a RolloutPolicy that people apply, change and delete at any moment.

Three apps share it. `policy_laws.py` looks at every change; in the end the policy is deleted, and all must come to
rest.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st

from sluice.api.names import FIELD_MANAGER, Kind, Slot
from sluice.errors import Conflict, SluiceError, Unavailable
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call, Fault
from sluice.sim.world import World
from unit.defects import gathered
from unit.sequences.laws import Broken, at_rest
from unit.sequences.policy_laws import PolicyLaws
from unit.sequences.search import PROFILE, SEARCH

HOUSE, APPS = "house", ("checkout", "house", "search")
POLICY = "prod"
CANARY = manifests.canary(*manifests.step_weights(10, 50, pause="30s"))
FIRST = {"requireStable": {"selector": {"matchLabels": {manifests.APP_LABEL: HOUSE}}, "for": "30s"}}
RULES: dict[str, Obj] = {
    "one at a time": {"maxConcurrent": 1},
    "two at a time": {"maxConcurrent": 2},
    "a cadence": {"minInterval": "2m"},
    "one at a time, with a cadence": {"maxConcurrent": 1, "minInterval": "1m"},
    "the house first": FIRST,
    "the house first, one at a time": {**FIRST, "maxConcurrent": 1},
    "with approval": {"approval": {"group": "managers"}},
    "with approval, two at a time": {"approval": {"group": "managers"}, "maxConcurrent": 2},
}

apps = st.sampled_from(APPS)
happenings = st.one_of(
    st.tuples(st.just("deploy"), apps, st.sampled_from(["1.5.0", "1.6.0"])),
    st.tuples(st.just("rule"), st.sampled_from(sorted(RULES))),
    st.tuples(st.just("freeze"), st.sampled_from([20, 90, 400])),
    st.tuples(st.just("unrule")),
    st.tuples(st.just("approve"), apps, st.sampled_from(["bob", "alice"])),
    st.tuples(
        st.just("act"),
        apps,
        st.sampled_from(["Promote", "PromoteFully", "Abort", "Reject", "Retry", "Undo", "Hold", "Resume"]),
    ),
    st.tuples(st.just("engage"), st.sampled_from(["Divert", "Hold", "Rollback"])),
    st.tuples(st.just("release")),
    st.tuples(st.just("revert"), apps),
    st.tuples(st.just("delete"), apps),
    st.tuples(st.just("create"), apps),
    st.tuples(st.just("api"), st.sampled_from(["well", "flaky", "lost answers", "down"])),
    st.tuples(st.just("stale"), st.sampled_from([Kind.ROLLOUT, Kind.ROLLOUT_POLICY, Kind.ROLLOUT_RUN]), st.booleans()),
    st.tuples(st.just("crash"), st.integers(0, 6)),
    st.tuples(st.just("restart")),
)
pauses = st.sampled_from([0.0, 0.05, 0.3, 5.0, 35.0, 100.0])
firsts = st.sampled_from([("rule", name) for name in sorted(RULES)] + [("freeze", 90), ("unrule",)])
histories = st.builds(
    lambda rule, pause, rest: [(rule, 0.0), *((("deploy", app, "1.5.0"), pause) for app in APPS), *rest],
    firsts,
    pauses,
    st.lists(st.tuples(happenings, pauses), min_size=3, max_size=16),
)

Step = tuple[tuple[Any, ...], float]


class Policed:
    """Makes things happen in a world with a policy."""

    def __init__(self, seed: int) -> None:
        self.world = World()
        self.laws = PolicyLaws(self.world, POLICY, APPS, HOUSE)
        self._chance = random.Random(seed)
        self._mood = "well"

    async def begin(self) -> None:
        """All apps serve."""
        for app in APPS:
            self.world.app(app)
        await self.world.start()
        for app in APPS:
            await self.world.adopt(app, CANARY)
            await self.world.asked_by(app, "alice")

    async def happen(self, name: str, *args: Any) -> None:
        """Let one thing happen; what the API refuses did not."""
        doing: Callable[..., Any] = getattr(self, f"_{name}")
        try:
            await doing(*args)
        except SluiceError as refused:
            note(f"  refused: {refused}")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and look every now and then."""
        end = self.world.clock.monotonic() + seconds
        while (left := end - self.world.clock.monotonic()) > 0:
            await asyncio.sleep(min(left, 5.0))
            self.laws.look()

    def judge(self) -> None:
        """Raises Broken where a law did not hold."""
        if self.laws.broken is not None:
            raise self.laws.broken
        failure = self.world.operator.failure()
        if failure is not None:
            raise Broken("the engine ended by itself") from failure

    async def _deploy(self, app: str, version: str) -> None:
        stable = self.world.status(app).stable
        await self.world.release_version(app, version, stable.slot.other if stable is not None else Slot.GREEN)

    async def _revert(self, app: str) -> None:
        stable = self.world.status(app).stable
        if stable is not None:
            await self.world.spec(app, {"workload": {"active": str(stable.slot), "version": stable.version}})

    async def _rule(self, name: str) -> None:
        await self.world.apply(Kind.ROLLOUT_POLICY, manifests.policy(POLICY, **RULES[name]))

    async def _freeze(self, seconds: int) -> None:
        now = self.world.clock.now()
        opened = now.replace(second=0, microsecond=0)
        lasts = round((now - opened + timedelta(seconds=seconds)).total_seconds())
        schedule = f"{opened.minute} {opened.hour} {opened.day} {opened.month} *"
        window = {"kind": "Deny", "schedule": schedule, "duration": f"{lasts}s"}
        await self.world.apply(Kind.ROLLOUT_POLICY, manifests.policy(POLICY, windows=[window]))

    async def _unrule(self) -> None:
        found = self.world.cluster.store.get(Kind.ROLLOUT_POLICY, "", POLICY)
        await self.world.people.delete(Kind.ROLLOUT_POLICY, "", POLICY, uid=found["metadata"]["uid"])

    async def _approve(self, app: str, actor: str) -> None:
        await self.world.approve(app, actor, "managers")

    async def _act(self, app: str, verb: str) -> None:
        await self.world.act(app, verb, reason="drill")

    async def _engage(self, effect: str) -> None:
        await self.world.engage(reason="drill", effect=effect)

    async def _release(self) -> None:
        await self.world.release(reason=f"done {self._chance.random()}")

    async def _delete(self, app: str) -> None:
        await self.world.delete_rollout(app)

    async def _create(self, app: str) -> None:
        body = manifests.rollout(self.world.namespace, app, CANARY, version="1.4.0")
        await self.world.people.create(Kind.ROLLOUT, self.world.namespace, body)
        await self.world.asked_by(app, "alice")

    async def _api(self, mood: str) -> None:
        self._mood, self.laws.hindered = mood, mood != "well"
        self.laws.unrest_at = self.world.clock.monotonic() + 60.0  # until everything was tried again
        self.world.cluster.faults[:] = [] if mood == "well" else [self._fault(mood)]

    def _fault(self, mood: str) -> Fault:
        def fault(call: Call) -> float | None:
            if call.manager != FIELD_MANAGER or not call.writes:
                return None
            if mood == "down":
                raise Unavailable("connection refused")
            if self._chance.random() < 0.4 and call.phase == ("after" if mood == "lost answers" else "before"):
                raise Unavailable("timed out") if self._chance.random() < 0.8 else Conflict("somebody was quicker")
            return None

        return fault

    async def _stale(self, kind: Kind, held: bool) -> None:
        watch = self.world.operator.watches[kind]
        watch.hold() if held else watch.release()
        self.laws.unrest_at = self.world.clock.monotonic()

    async def _crash(self, after_writes: int) -> None:
        self.laws.hindered = True
        if after_writes:
            self.world.operator.crash_after_writes(after_writes)
        else:
            await self.world.operator.crash()

    async def _restart(self) -> None:
        await self.world.restart()
        self.laws.hindered, self.laws.unrest_at = self._mood != "well", self.world.clock.monotonic()

    async def peace(self) -> None:
        """No policy, no switch, nobody in the way; whatever waited for a person goes on."""
        await self.happen("api", "well")
        await self.happen("unrule")
        await self.happen("release")
        await self.world.restart()
        self.laws.hindered = False
        await asyncio.sleep(60)
        for app in APPS:
            await self.happen("create", app)
            await self.happen("act", app, "Resume")
        await self.pass_time(900)


async def _history(steps: list[Step], seed: int) -> None:
    life = Policed(seed)
    await life.begin()
    for (name, *args), seconds in steps:
        await life.happen(name, *args)
        await life.pass_time(seconds)
        life.judge()
    await life.peace()
    life.judge()
    for app in APPS:
        status = life.world.status(app)
        event(f"ended {status.phase}")
        wrong = at_rest(life.world, app) or ("it still waits for a turn" if status.queued is not None else "")
        wrong = wrong or ("it still waits for people" if status.approvals else "")
        if wrong:
            raise Broken(f"I5: {app}: {wrong}")


@pytest.mark.timeout(4 * PROFILE.max_examples)
@settings(PROFILE, max_examples=max(1, PROFILE.max_examples // 6), **SEARCH)
@given(histories, st.integers(0, 2**16))
def test_a_policy_keeps_its_word_whatever_happens(steps: list[Step], seed: int) -> None:
    """Nothing grows in a freeze or unapproved, no more runs than said, and what goes back waits for no policy."""
    with gathered() as defects:
        run(_history(steps, seed))
    assert not defects.texts, defects.texts[0]
