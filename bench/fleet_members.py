"""What Rollouts over member clusters cost, and how long a kill of all of them takes beside a bare client.

    PYTHONPATH=tests python -m testbed run -- python bench/fleet_members.py [--quick] [--members 10] [--rollouts 200]

A hub and ten members, API servers that share an etcd by prefix. Every Rollout goes over all members at once, in
lockstep: 10 %, a person, 50 %, a person, everybody. All Rollouts are changed, and promoted, at the same moment. Then
kills: one ClusterKillSwitch on the hub, against a client that does no more than watch a switch there and patch as many
routes in the same members, with as many connections; the two take turns. Last, what the fleet costs at rest. Requests
are counted by the API servers' audit logs. The last line is one JSON object; the exit code is 1 when a guard is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fleet
import members
from costs import cpu_seconds
from finish import Arrivals, patch_all
from fleet_costs import Everybody, Mark
from fleet_results import Results
from installation import Operator
from members import BARE_HOME, FIRST_WEIGHT, HOME, SECOND_WEIGHT, Everywhere, Place
from running import play, progress
from sides import Arena, BareSide, rollout_path, start_bare
from wire import Api

_SETTLE_SECONDS = 1800.0
AFTER_FIRST_HEAL_SECONDS = 40.0  # after a start: of what comes half a minute after it


@dataclass
class Field:
    """The fleet at work, and the benchmark's hands and eyes."""

    everybody: Everybody
    hub: Api
    places: list[Place]
    names: list[str]
    results: Results
    version: int = 1
    arena: Arena = field(init=False)
    everywhere: Everywhere = field(init=False)

    async def open(self) -> Field:
        """Begin to watch."""
        self.arena = await Arena(self.everybody.hub, self.hub).open()
        for place in self.places:
            await place.open()
        self.everywhere = Everywhere(self.places)
        return self

    def close(self) -> None:
        """End the watches."""
        self.arena.close()
        for place in self.places:
            place.close()

    @property
    def rollouts(self) -> list[str]:
        """`<namespace>/<name>` of the Rollouts, and of their route in each member."""
        return [f"{HOME}/{name}" for name in self.names]

    @property
    def bare(self) -> list[str]:
        """`<namespace>/<name>` of the bare client's route in each member."""
        return [f"{BARE_HOME}/{name}" for name in self.names]

    async def mark(self) -> Mark:
        """What has been used until now."""
        return await asyncio.to_thread(self.everybody.mark)

    async def reach(self, what: str, test: Callable[[dict[str, object]], bool]) -> float:
        """Wait until every Rollout satisfies a test. Returns the monotonic time."""
        return await self.arena.rollouts.until(what, test, self.rollouts, _SETTLE_SECONDS)


async def install_all(ground: Field) -> None:
    """Create the Rollouts, and wait until all serve everywhere."""
    before, began_at = await ground.mark(), time.monotonic()
    await ground.hub.create_all(members.rollout(app) for app in ground.names)
    ended_at = await ground.reach("Rollouts to be Healthy", fleet.phase_is("Healthy"))
    await ground.everybody.calm()
    ground.results.take("install", ground.everybody, before, await ground.mark(), healthy=ended_at - began_at)


async def release(ground: Field) -> None:
    """A new version for all, until every member has 10 % and every Rollout waits for a person."""
    ground.version += 1
    before = await ground.mark()
    weighed = ground.everywhere.expect(ground.rollouts, members.at_weight(FIRST_WEIGHT))
    body = fleet.release(str(ground.version))
    sent_at = await patch_all(ground.hub, {name: rollout_path(name) for name in ground.rollouts}, body)
    await arrive(ground, "first", before, weighed, min(sent_at.values()), step=2)


async def arrive(ground: Field, what: str, before: Mark, weighed: Arrivals, began_at: float, *, step: int) -> None:
    """Wait for the weights, and for the Rollouts at the pause behind them; then keep what it took."""
    await weighed.wait(f"the weights of {what}", _SETTLE_SECONDS)
    waits_at = await ground.reach(f"Rollouts to wait at step {step}", members.awaits_promotion(step))
    await ground.everybody.calm()
    first, last = min(weighed.at.values()), max(weighed.at.values())
    seconds = {"first_weight": first - began_at, "last_weight": last - began_at, "all_wait": waits_at - began_at}
    ground.results.take(what, ground.everybody, before, await ground.mark(), **seconds)


async def promote(ground: Field) -> None:
    """On to 50 %, and on to everybody."""
    before, began_at = await ground.mark(), time.monotonic()
    weighed = ground.everywhere.expect(ground.rollouts, members.at_weight(SECOND_WEIGHT))
    await press(ground)
    await arrive(ground, "second", before, weighed, began_at, step=4)
    before, began_at = await ground.mark(), time.monotonic()
    weighed = ground.everywhere.expect(ground.rollouts, members.at_weight(100))
    await press(ground)
    await weighed.wait("all traffic", _SETTLE_SECONDS)
    ended_at = await ground.reach("Rollouts to be Healthy", fleet.phase_is("Healthy"))
    await ground.everybody.calm()
    first, last = min(weighed.at.values()), max(weighed.at.values())
    seconds = {"first_weight": first - began_at, "last_weight": last - began_at, "healthy": ended_at - began_at}
    ground.results.take("last", ground.everybody, before, await ground.mark(), **seconds)


async def press(ground: Field) -> None:
    """Promote every Rollout, as people do."""
    known = ground.arena.rollouts.objects
    await ground.hub.create_all(members.promotion(app, known[f"{HOME}/{app}"]) for app in ground.names)


class FleetSide:
    """Rollouts over members at 10 %, and a ClusterKillSwitch that covers them."""

    name = "sluice"

    def __init__(self, ground: Field) -> None:
        self.routes = ground.rollouts
        self._ground = ground
        self._path = "/apis/sluice.dev/v1alpha1/clusterkillswitches"
        self._engaged = False

    async def prepare(self) -> None:
        """Create the switch."""
        spec = {"scope": {"namespaceSelector": {"matchLabels": {"bench": HOME}}}}
        kinds = {"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterKillSwitch"}
        await self._ground.hub.send("POST", self._path, {**kinds, "metadata": {"name": "stop"}, "spec": spec})

    async def expose(self) -> None:
        """A new version, to 10 % everywhere."""
        await self.release()
        await release(self._ground)

    async def release(self) -> None:
        """Let go of what was killed."""
        if self._engaged:
            await self._ground.reach("Rollouts to be Killed", fleet.phase_is("Killed"))
            await self._ground.everybody.calm()
            spec = {"engaged": False, "releaseReason": f"after version {self._ground.version}"}
            await self._ground.hub.merge(f"{self._path}/stop", {"spec": spec})
            self._engaged = False

    async def trip(self) -> float:
        """As `kubectl patch clusterkillswitch stop` does."""
        await self._ground.hub.merge(f"{self._path}/stop", {"spec": {"engaged": True, "reason": "bench"}})
        self._engaged = True
        return time.monotonic()


class BareFleetSide(BareSide):
    """As many routes in the same members at 10 %, and a ConfigMap on the hub that the bare client watches."""

    def __init__(self, ground: Field) -> None:
        super().__init__(ground.arena, ground.bare, "many")
        self._ground = ground

    async def expose(self) -> None:
        """Put the weights back by hand."""
        await self._arena.api.merge(self._path, {"data": {"engaged": "false"}})
        weighed = self._ground.everywhere.expect(self.routes, members.at_weight(FIRST_WEIGHT))
        changes = [(0, 100 - FIRST_WEIGHT), (1, FIRST_WEIGHT)]
        path = "/spec/rules/0/backendRefs/{}/weight"
        body = [{"op": "replace", "path": path.format(place), "value": weight} for place, weight in changes]
        for place in self._ground.places:
            await members.patch_routes(place.api, self.routes, body)
        await weighed.wait("the bare routes at 10 %", _SETTLE_SECONDS)


async def kill_all(ground: Field, runs: int) -> None:
    """Kills of either side in turn, of routes that nobody writes meanwhile but the one that is measured."""
    sluice, bare = FleetSide(ground), BareFleetSide(ground)
    await sluice.prepare()
    places = {place.cluster.name: (place.cluster, place.api) for place in ground.places}
    bare_pid = (await start_bare(ground.arena, {"many": ground.bare}, places)).pid
    for number in range(runs):
        for side in (sluice, bare) if number % 2 else (bare, sluice):
            await side.expose()
            await ground.everybody.calm()
            ground.everywhere.hold()
            before, bare_before = await ground.mark(), cpu_seconds(bare_pid)
            gone = ground.everywhere.expect(side.routes, fleet.diverted)
            answered_at = await side.trip()
            await gone.wait(f"{side.name} to take the candidates away", _SETTLE_SECONDS)
            cpu = {"bare": cpu_seconds(bare_pid) - bare_before}
            cpu |= ground.everybody.spent(before, await ground.mark())
            took = [at - answered_at for at in gone.at.values()]
            ground.results.killed(side.name, took, {name: round(seconds, 2) for name, seconds in cpu.items()})
            ground.everywhere.go_on()
            await ground.everybody.calm()
    await sluice.release()


async def at_rest(ground: Field, seconds: float) -> None:
    """Started anew, for the Events of what was are written at leisure; then nothing happens, and is counted."""
    operator, began_at = ground.everybody.operator, time.monotonic()
    operator.stop()
    await asyncio.to_thread(operator.start)
    ready_at = time.monotonic()
    await ground.everybody.calm()
    ground.results.restarted(ready_at - began_at, time.monotonic() - began_at)
    await asyncio.sleep(max(0.0, began_at + AFTER_FIRST_HEAL_SECONDS - time.monotonic()))
    await ground.everybody.calm()
    before = await ground.mark()
    progress(f"counts for {seconds:g} s")
    await asyncio.sleep(seconds)
    ground.results.rested(ground.everybody, before, await ground.mark())


async def run(options: argparse.Namespace) -> int:
    """Start everything, measure, report."""
    progress(f"a hub and {options.members} members start")
    hub, others = await asyncio.to_thread(members.start_clusters, options.members)
    names = [f"app-{number:03d}" for number in range(options.rollouts)]
    results = Results(options.rollouts, options.members)
    async with members.opened([hub, *others]) as (api, *apis):
        await members.populate(api, apis, names)
        operator = Operator(hub)
        began_at = time.monotonic()
        await asyncio.to_thread(operator.start)
        await members.ready_members(api, options.members)
        results.connected(time.monotonic() - began_at)
        places = [Place(cluster, own) for cluster, own in zip(others, apis, strict=True)]
        ground = await Field(Everybody(operator, hub, others), api, places, names, results).open()
        try:
            results.memory("connected", ground.everybody)
            await install_all(ground)
            results.memory("Rollouts at rest", ground.everybody)
            await kill_all(ground, options.kills)
            await release(ground)
            await promote(ground)
            results.memory("after the runs", ground.everybody)
            results.weigh(ground.arena.rollouts.objects.values())
            await at_rest(ground, options.seconds)
            results.memory("started anew, at rest", ground.everybody)
        except Exception:
            progress(operator.log[-4000:])
            raise
        finally:
            ground.close()
    operator.stop()
    for cluster in (hub, *others):
        cluster.stop()
    return results.report(options.out)


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 members, 20 Rollouts, 3 kills of each side, 30 seconds")
    parser.add_argument("--members", type=int, help="API servers beside the hub's (default 10)")
    parser.add_argument("--rollouts", type=int, help="each over all members (default 200)")
    parser.add_argument("--kills", type=int, help="of each side (default 3)")
    parser.add_argument("--seconds", type=float, help="to count for at rest (default 120)")
    parser.add_argument("--out", type=Path, help="keep the figures there too, as JSON")
    options = parser.parse_args()
    options.members = options.members or (3 if options.quick else 10)
    options.rollouts = options.rollouts or (20 if options.quick else 200)
    options.kills = options.kills or 3
    options.seconds = options.seconds or (30.0 if options.quick else 120.0)
    return options


if __name__ == "__main__":
    sys.exit(play(run(parse())))
