"""What it costs a kill that members are away: one API server is dead, and another takes 20 seconds for each answer.

    PYTHONPATH=tests python -m testbed run -- python bench/fleet_away.py [--quick] [--pairs 7] [--rollouts 5]

A hub and four members, Rollouts over all of them at 10 %. In turn, a kill with everybody there, and one with two of
them away: what counts is how long it takes in the two that are there in both. Then the dead one is started again: what
counts is when Sluice's first write there was served, beside that of a client that polls /readyz every 50 ms and patches
one route, both from the start of the API server's process, by its audit log; and that this write is the kill's. The
last line is one JSON object; the exit code is 1 when a guard is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import fleet
import members
from costs import audit_size
from figures import conclude, median_ratio, show
from finish import patch_all
from fleet_costs import MEMBER_ACCOUNT
from installation import Operator
from members import BARE_HOME, FIRST_WEIGHT, HOME, Everywhere, Place
from running import play, progress
from sides import rollout_path, route_path, spawn
from testbed import Cluster, FaultyApi
from wire import SLUICE, Api, Obj, Watch, quiet

NEAR, DEAD, SLOW = slice(0, 2), 2, 3  # of the members, in order
SLOW_SECONDS = 20.0
KILL_GUARD, BACK_GUARD = 1.3, 3.0
_SETTLE_SECONDS = 120.0
_QUIET_SECONDS = 1.0
_SWITCHES = f"{SLUICE}/namespaces/{HOME}/killswitches"


@dataclass
class Findings:
    """In seconds; of a pair, what is at the same place in each list."""

    all_there: list[float] = field(default_factory=list)
    two_away: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    poller: list[float] = field(default_factory=list)
    first_writes: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """For people and programs."""
        kept = ("all_there", "two_away", "back", "poller")
        return {
            "seconds": {name: [round(each, 4) for each in getattr(self, name)] for name in kept},
            "kill_ratio": round(statistics.median(self.two_away) / statistics.median(self.all_there), 3),
            "kill_pair_ratio": median_ratio(self.two_away, self.all_there),
            "back_ratio": median_ratio(self.back, self.poller),
            "first_writes": sorted(set(self.first_writes)),
        }


@dataclass
class Ground:
    """Hub and members at work."""

    hub: Api
    clusters: Sequence[Cluster]
    places: Sequence[Place]
    proxy: FaultyApi
    switches: Watch
    members: Watch
    findings: Findings = field(default_factory=Findings)

    async def all_back(self) -> None:
        """Wait until every member is ready."""
        names = [f"/{cluster.name}" for cluster in self.clusters]
        await self.members.until("members to be ready", _is("Ready", "True"), names, _SETTLE_SECONDS)

    async def kill(self, batch: Sequence[str], switch: str) -> float:
        """Engage a switch. Returns the seconds from its answer to the last weight in the members that are there."""
        names = [f"{HOME}/{app}" for app in batch]
        gone = Everywhere(self.places[NEAR]).expect(names, fleet.diverted)
        await self.hub.merge(f"{_SWITCHES}/{switch}", {"spec": {"engaged": True, "reason": "bench"}})
        answered_at = time.monotonic()
        await gone.wait("the candidates to be taken away", _SETTLE_SECONDS)
        return max(gone.at.values()) - answered_at

    async def quiet(self) -> None:
        """Wait until nothing was heard for a while."""
        await quiet([self.switches, *(place.routes for place in self.places[NEAR])], _QUIET_SECONDS)


def _is(kind: str, told: str) -> Any:
    def test(obj: Obj) -> bool:
        conditions = obj.get("status", {}).get("conditions", ())
        return any((each["type"], each["status"]) == (kind, told) for each in conditions)

    return test


async def with_all(ground: Ground, batch: Sequence[str], switch: str) -> None:
    """A kill with everybody there."""
    await ground.all_back()
    await ground.quiet()
    ground.findings.all_there.append(await ground.kill(batch, switch))
    progress(f"  all there: {ground.findings.all_there[-1] * 1000:.1f} ms")


async def with_two_away(ground: Ground, batch: Sequence[str], switch: str) -> None:
    """A kill with two away; then both are back."""
    await ground.all_back()
    dead, slow = ground.clusters[DEAD], ground.clusters[SLOW]
    await asyncio.to_thread(dead.stop_apiserver)
    await asyncio.to_thread(ground.proxy.slow_down, SLOW_SECONDS)
    names = [f"/{each.name}" for each in (dead, slow)]
    await ground.members.until("two to be away", _is("Reachable", "False"), names, _SETTLE_SECONDS)
    await ground.quiet()
    ground.findings.two_away.append(await ground.kill(batch, switch))
    progress(f"  two away:  {ground.findings.two_away[-1] * 1000:.1f} ms")
    await come_back(ground, dead, batch)
    names = [f"{HOME}/{app}" for app in batch]
    await ground.places[SLOW].routes.until("the slow one to be killed in", fleet.diverted, names, _SETTLE_SECONDS)
    await asyncio.to_thread(ground.proxy.slow_down, 0.0)


async def come_back(ground: Ground, dead: Cluster, batch: Sequence[str]) -> None:
    """Start the dead one, and see who of the two writes there when."""
    size = audit_size(dead)
    order = {"server": dead.server, "ca_file": str(dead.ca_file), "token": dead.admin_token}
    child = await spawn("poller", {**order, "route": route_path(f"{BARE_HOME}/{batch[0]}")})
    started_at = time.time()
    await asyncio.to_thread(dead.start_apiserver)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while len(found := await asyncio.to_thread(first_writes, dead, size)) < 2:
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {_SETTLE_SECONDS:g} s only these wrote in {dead.name}: {sorted(found)}")
        await asyncio.sleep(0.2)
    child.stop()
    (ours, what), (theirs, _) = found["sluice"], found["poller"]
    ground.findings.back.append(ours - started_at)
    ground.findings.poller.append(theirs - started_at)
    ground.findings.first_writes.append(what)
    progress(f"  back:      sluice {ours - started_at:.2f} s ({what}), poller {theirs - started_at:.2f} s")


def first_writes(cluster: Cluster, since: int) -> dict[str, tuple[float, str]]:
    """When Sluice and the poller wrote first, in seconds of the epoch, and what; by the audit log from a byte on."""
    assert cluster.audit_log is not None
    found: dict[str, tuple[float, str]] = {}
    for line in cluster.audit_log.read_bytes()[since:].splitlines():
        if not line.endswith(b"}"):
            continue
        entry = json.loads(line)
        about = entry.get("objectRef") or {}
        if entry["verb"] not in {"create", "update", "patch", "delete"} or "accessreviews" in about.get("resource", ""):
            continue
        ours = entry["user"]["username"] == MEMBER_ACCOUNT
        theirs = about.get("namespace") == BARE_HOME
        if ours or theirs:
            at = datetime.fromisoformat(entry["stageTimestamp"]).timestamp()
            found.setdefault("sluice" if ours else "poller", (at, f"{entry['verb']} {about['resource']}"))
    return found


def rollout(app: str, turn: str) -> tuple[str, Obj]:
    """One of a turn's."""
    path, made = members.rollout(app)
    made["metadata"]["labels"]["turn"] = turn
    return path, made


def switch_for(turn: str) -> tuple[str, Obj]:
    """It covers the turn's."""
    kinds = {"apiVersion": "sluice.dev/v1alpha1", "kind": "KillSwitch", "metadata": {"name": turn}}
    return _SWITCHES, {**kinds, "spec": {"scope": {"selector": {"matchLabels": {"turn": turn}}}}}


async def expose(ground: Ground, batches: dict[str, list[str]]) -> None:
    """Bring all to 10 % in all members."""
    apps = [app for batch in batches.values() for app in batch]
    names = [f"{HOME}/{app}" for app in apps]
    await ground.hub.create_all(switch_for(turn) for turn in batches)
    rollouts = await Watch(ground.hub, f"{SLUICE}/rollouts").start()
    await ground.hub.create_all(rollout(app, turn) for turn, batch in batches.items() for app in batch)
    await rollouts.until("Rollouts to be Healthy", fleet.phase_is("Healthy"), names, 600)
    weighed = Everywhere(ground.places).expect(names, members.at_weight(FIRST_WEIGHT))
    await patch_all(ground.hub, {name: rollout_path(name) for name in names}, fleet.release("2"))
    await weighed.wait("10 %", 600)
    await rollouts.until("Rollouts to wait for a person", members.awaits_promotion(2), names, 600)
    rollouts.stop()


async def take_turns(ground: Ground, batches: dict[str, list[str]]) -> None:
    """In pairs, each way first every other time."""
    left = list(batches.items())
    ground.places[DEAD].close()
    for number in range(len(left) // 2):
        ways = [with_all, with_two_away]
        for way in ways if number % 2 else reversed(ways):
            turn, batch = left.pop()
            await way(ground, batch, turn)


async def run(options: argparse.Namespace) -> int:
    """Start everything, measure, report."""
    progress("a hub and 4 members start")
    hub, others = await asyncio.to_thread(members.start_clusters, 4)
    turns = [f"turn-{number:02d}" for number in range(2 * options.pairs)]
    batches = {turn: [f"app-{turn}-{number}" for number in range(options.rollouts)] for turn in turns}
    operator = Operator(hub)
    with FaultyApi(others[SLOW], 0.0, seed=1) as proxy:
        await asyncio.to_thread(members.register, hub, others[SLOW], "--server", proxy.server)
        async with members.opened([hub, *others]) as (api, *apis):
            await members.populate(api, apis, [app for batch in batches.values() for app in batch])
            await asyncio.to_thread(operator.start)
            await members.ready_members(api, 4)
            places = [await Place(cluster, own).open() for cluster, own in zip(others, apis, strict=True)]
            switches = await Watch(api, _SWITCHES).start()
            told = await Watch(api, members.MEMBER_CLUSTERS).start()
            ground = Ground(api, others, places, proxy, switches, told)
            try:
                progress(f"{len(turns) * options.rollouts} Rollouts go to {FIRST_WEIGHT} %")
                await expose(ground, batches)
                await take_turns(ground, batches)
            except Exception:
                progress(operator.log[-4000:])
                raise
            finally:
                switches.stop()
                told.stop()
                for place in places:
                    place.close()
    operator.stop()
    for cluster in (hub, *others):
        cluster.stop()
    return report(ground.findings, options)


def report(findings: Findings, options: argparse.Namespace) -> int:
    """Show what was found. Returns 1 where a guard is broken."""
    figures = {"pairs": options.pairs, "rollouts": options.rollouts, **findings.figures()}
    rows = [(name.replace("_", " "), *values) for name, values in figures["seconds"].items()]
    show("Seconds", ("", *map(str, range(1, options.pairs + 1))), rows)
    broken = []
    if figures["kill_ratio"] > KILL_GUARD:
        broken.append(f"a kill with two away took {figures['kill_ratio']} times as long, more than {KILL_GUARD}")
    if figures["back_ratio"] > BACK_GUARD:
        broken.append(f"who was back was killed in after {figures['back_ratio']} times the poller's time")
    if figures["first_writes"] != ["patch httproutes"]:
        broken.append(f"not every first write was the kill's: {figures['first_writes']}")
    return conclude(figures, broken)


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 pairs, 2 Rollouts a kill")
    parser.add_argument("--pairs", type=int, help="of kills (default 7)")
    parser.add_argument("--rollouts", type=int, help="that each kill covers (default 5)")
    options = parser.parse_args()
    options.pairs = options.pairs or (2 if options.quick else 7)
    options.rollouts = options.rollouts or (2 if options.quick else 5)
    return options


if __name__ == "__main__":
    sys.exit(play(run(parse())))
