"""A Rollout over a fleet in an embedded world: what happens to it, and what must follow."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from sluice.api.names import Kind
from sluice.errors import Conflict, SluiceError, Unavailable
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.cluster import Call, Fault
from sluice.sim.fleet import FleetWorld
from sluice.sim.metrics import Answer, Question, error
from sluice.sim.pods import Behaviour
from sluice.sim.world import STABLE_VERSION
from unit.sequences.fleet_laws import FleetLaws
from unit.sequences.laws import Broken

APP = "checkout"
NAMES = ("m1", "m2", "m3")
JOINER = "m4"
LAST = "9.0"
MINUTE = 60.0
SCOPE = {"selector": {"matchLabels": {manifests.APP_LABEL: APP}}}
MARK = "members_responding"
BY_HUB: Obj = {
    "metrics": [
        {
            "name": "responding",
            "prometheus": {"query": f'{MARK}{{cluster=~"{{{{clusters}}}}"}}'},
            "interval": "10s",
            "threshold": {"min": 98.5},
        }
    ]
}
MAD: Obj = {"step": {"index": -7, "done": "yes"}, "stable": ["?"], "revision": 3, "weight": {}, "conditions": 1}


class FleetSetting:
    """How the app is rolled out; prints as a sentence."""

    def __init__(self, text: str, batches: list[Obj], strategy: Obj, **fields: Any) -> None:
        self._text = text
        self.batches = batches
        self.strategy = strategy
        self.fields = {"progressDeadline": "3m", **fields}

    def __repr__(self) -> str:
        return self._text


class FleetLife:
    """The fleet, its operator, and everybody else.

    Args:
        setting: of the app.
        seed: decides which requests a flaky API server fails.

    Attributes:
        refused: what the API said to the last who was refused; "" for nobody.
    """

    def __init__(self, setting: FleetSetting, seed: int) -> None:
        self.world = FleetWorld(probe_seconds=10.0)
        for name in NAMES:
            self.world.join(name, zone=name)
        self.laws = FleetLaws(self.world, APP)
        self.refused = ""
        self._chance = random.Random(seed)
        self._bad: set[tuple[str, str]] = set()
        self._unrests: set[str] = set()  # where something is in the way now
        self._responding: float | None = 100.0
        self.world.metrics.script(self._count)
        self.world.fleet_app(APP, setting.batches, setting.strategy, **setting.fields)

    async def begin(self) -> None:
        """Install it."""
        await self.world.start()
        await self.world.create_fleet(APP)
        await asyncio.sleep(MINUTE)
        await self._let_go_on(lambda: self.world.status(APP).phase == "Healthy")
        await asyncio.sleep(MINUTE)

    # ------------------------------------------------------------------------------------------ people

    async def people(self, doing: Coroutine[Any, Any, None]) -> None:
        """Let somebody do something; what the API refuses was not done, and `refused` says why."""
        self.refused = ""
        try:
            await doing
        except SluiceError as refusal:
            self.refused = str(refusal)

    async def release(self, tag: str, where: str) -> None:
        """Ask for an image that cannot run in a member ("" for: runs everywhere)."""
        self.laws.asks += 1
        if where:
            self._bad.add((where, tag))
            self.world.members[where].kubelet.behave(tag, Behaviour(never_ready=True))
        await self.world.release_fleet(APP, tag)

    async def revert(self) -> None:
        """Ask again for the version that was first."""
        await self.release(STABLE_VERSION, "")

    async def act(self, verb: str) -> None:
        """Tell the run something by a RolloutAction."""
        self.laws.asks += verb == "Retry"
        await self.world.act(APP, verb, reason="drill")

    async def roll_back(self, name: str) -> None:
        """Take a member back, or ("") all of them."""
        fleet = self.world.status(APP).fleet
        number = fleet.revision.number if fleet is not None and fleet.revision is not None else None
        body = manifests.action(self.world.namespace, APP, "Rollback", revision=number, actor="bob", reason="")
        body["spec"] |= {"clusters": [name]} if name else {}
        await self.world.people.create(Kind.ROLLOUT_ACTION, self.world.namespace, body)

    async def pause(self, paused: bool) -> None:
        """Set spec.paused."""
        await self.world.spec(APP, {"paused": paused})

    async def engage(self, effect: str, scope: str) -> None:
        """Engage a kill switch (`scope` "wide": of the whole cluster; the name of a member: in that one alone)."""
        clusters = {"clusters": {"matchLabels": {"zone": scope}}} if scope in NAMES else {}
        await self.world.engage(reason="drill", wide=scope == "wide", effect=effect, scope={**SCOPE, **clusters})

    async def disengage(self, scope: str) -> None:
        """Release it."""
        await self.world.release(wide=scope == "wide", reason="fixed")

    async def leave(self, name: str) -> None:
        """Unregister a member."""
        self.laws.unrest(name)
        await self.world.leave(name)

    async def join(self, name: str) -> None:
        """Register a member, a new one or one that left."""
        self.laws.unrest(name)
        fresh = name not in self.world.members
        if self.world.cluster.store.peek(Kind.MEMBER_CLUSTER, "", name) is None:
            self.world.join(name, zone=name)
        if fresh:
            self.laws.watch(name)

    # ------------------------------------------------------------------------------------------ fate

    async def cut(self, name: str) -> None:
        """The hub does not reach a member."""
        self.laws.unrest(name)
        self._unrests.add(name)
        self.world.members[name].cut()

    async def mend(self, name: str) -> None:
        """It reaches it again, and quickly."""
        self.laws.unrest(name)
        self._unrests.discard(name)
        self.world.members[name].delay_seconds = 0.0
        self.world.members[name].mend()

    async def slow(self, name: str) -> None:
        """A member takes its time."""
        self.laws.unrest(name)
        self._unrests.add(name)
        self.world.members[name].delay_seconds = 3.0

    async def madden(self, name: str) -> None:
        """A member's data becomes rubbish."""
        self.laws.mad.add(name)
        self.world.members[name].madden(self.world.namespace, APP, MAD)

    async def api(self, mood: str) -> None:
        """Change how the hub's API server treats the operator's writes."""
        self.laws.unrest("")
        if mood == "well" and self.world.operator.running:
            self._unrests.discard("")
        else:
            self._unrests.add("")
        self.world.cluster.faults[:] = [] if mood == "well" else [self._fault(mood)]

    def _fault(self, mood: str) -> Fault:
        def fault(call: Call) -> float | None:
            if call.manager != "sluice" or not (call.writes or call.dry_run):
                return None
            if mood == "down":
                raise Unavailable("connection refused")
            unlucky = self._chance.random() < 0.4
            if mood == "slow":
                return 3.0 if unlucky and call.phase == "before" else None
            if unlucky and call.phase == ("after" if mood == "lost answers" else "before"):
                raise Unavailable("timed out") if self._chance.random() < 0.8 else Conflict("somebody was quicker")
            return None

        return fault

    def _count(self, question: Question) -> Answer | None:
        if MARK not in question.query:
            return None
        return error() if self._responding is None else self._responding

    async def respond(self, percent: float | None) -> None:
        """So many members respond, in all clusters; None: nobody can tell."""
        self._responding = percent
        self.laws.numbers(good=percent == 100)

    async def crash(self, after_writes: int) -> None:
        """Kill the operator, now or right after so many writes more, wherever they go."""
        self.laws.unrest("")
        self._unrests.add("")
        if after_writes:
            self.world.operator.crash_after_writes(after_writes)
        else:
            await self.world.operator.crash()

    async def restart(self) -> None:
        """Start the operator anew."""
        self.laws.unrest("")
        if not self.world.cluster.faults:
            self._unrests.discard("")
        await self.world.restart()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and look at the world every now and then."""
        end = self.world.clock.monotonic() + seconds
        while (left := end - self.world.clock.monotonic()) > 0:
            await asyncio.sleep(min(left, 5.0))
            self.laws.unrest(*self._unrests)
            self.laws.look()

    # ------------------------------------------------------------------------------------------ the end

    async def heal(self) -> None:
        """Everything is well again, and nobody is in the way any more."""
        await self.api("well")
        await self.respond(100.0)
        for name in self.world.members:
            await self.mend(name)
            await self.join(name)
        for name, tag in sorted(self._bad):
            self.world.members[name].kubelet.behave(tag, Behaviour())
        for undo in (self.disengage(""), self.disengage("wide")):
            await self.people(undo)
        await self.restart()
        await self.pause(paused=False)
        await asyncio.sleep(MINUTE)
        await self.people(self.act("Resume"))

    async def at_rest(self) -> None:
        """Heal, and look that what was under way ends by itself."""
        await self.heal()
        await self._let_go_on(lambda: not self.laws.at_rest())
        if self.world.status(APP).phase == "Paused":  # onFailure Hold: what its message says to do
            await self.people(self.act("Abort"))
            await asyncio.sleep(5 * MINUTE)
        wrong = self.laws.at_rest()
        if wrong:
            raise Broken(f"I5: {wrong}")

    async def _let_go_on(self, ended: Callable[[], bool]) -> None:
        """Promote what waits for a person, until all has ended, or half an hour is over."""
        for _ in range(30):
            if ended():
                return
            if self.world.status(APP).phase == "Paused":
                await self.people(self.act("Promote"))
            await asyncio.sleep(MINUTE)

    async def released_again(self) -> None:
        """Release a last version that is good, and look that it ends up serving everywhere."""
        await self.release(LAST, "")
        await asyncio.sleep(MINUTE)
        await self._let_go_on(lambda: self.world.status(APP).phase == "Healthy" and not self.laws.at_rest())
        status = self.world.status(APP)
        if status.phase != "Healthy":
            raise Broken(f"I5: {LAST} is asked for and good, but the Rollout is {status.phase}: {status.message}")
        wrong = self.laws.at_rest()
        letters = "".join(batch["clusters"] for batch in self.world.fleet_runs(APP)[-1]["status"]["batches"])
        if wrong or set(letters) != {"c"}:
            raise Broken(f"I5: {LAST} is asked for and good, but clusters are {letters}: {wrong}")
