"""What more than one replica gives: the same fleet on one process, on three, and on one again, in one run.

    PYTHONPATH=tests python -m testbed run -- python bench/shards.py [--rollouts 10000] [--replicas 3] [--runs 3]

For each: how long until all are ready and share everything, what memory that takes, how long until every Rollout has a
new version at 50 %, how long until one switch has every weight at 0, what a quiet minute costs, and (of several) how
long until the others have what a killed one had, as a multiple of the lease. Writes to a Rollout get dearer the more
its status holds, so the several are compared with the mean of the one before and the one after them. All share this
machine's cores, the API server among them: with two, three processes get little more than one. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import fleet
from costs import Reading, read
from figures import conclude, show
from installation import PROBERS, Operator, install, share_all
from kill import FLEET
from running import play, progress
from sides import Arena, SluiceSide, measure
from testbed import Cluster
from wire import Api

LEASE_SECONDS = 5
QUIET_SECONDS = 15.0
SETTLE_SECONDS = 60.0
SETTLE_SECONDS_EACH = 0.1  # and so much more for each Rollout
COLUMNS = (
    ("ready_s", "processes started to all shards shared, caches filled (s)"),
    ("met_s", "Rollouts met for the first time: all Healthy (s)"),
    ("resident_mib", "memory of all processes (MiB)"),
    ("resident_each_mib", "memory of the largest (MiB)"),
    ("exposed_s", "a new version of each at 50 % (s, median)"),
    ("killed_s", "one switch: every weight at 0 (s, median)"),
    ("writes_per_minute", "writes per minute at rest (n)"),
    ("cpu_percent", "CPU at rest, of a core (%)"),
    ("taken_over_leases", "a killed one's shards with the others (leases)"),
)
Figures = dict[str, Any]


async def until(look: Any, what: str, seconds: float) -> None:
    """Look at processes again and again, in a thread, until it is so."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(look):
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s for {what}")
        await asyncio.sleep(0.05)


class Bench:
    """One cluster and its fleet; the replicas change."""

    def __init__(self, options: argparse.Namespace, cluster: Cluster, arena: Arena) -> None:
        self._options = options
        self._cluster = cluster
        self._arena = arena
        self._stand_in = fleet.StandIn(arena.api, arena.routes)
        self._names = [f"{FLEET}/app-{number:05d}" for number in range(options.rollouts)]
        self._side = SluiceSide(arena, self._names, "")

    async def populate(self) -> None:
        """Services, endpoints, routes, Rollouts, and the switch over them."""
        apps = [name.partition("/")[2] for name in self._names]
        api = self._arena.api
        await api.create_all([fleet.namespace(FLEET)])
        await api.create_all(each for app in apps for each in (*fleet.slots(FLEET, app), fleet.route(FLEET, app)))
        await api.create_all(fleet.rollout(FLEET, app) for app in apps)
        await self._side.prepare()

    async def measure(self, name: str, replicas: int) -> Figures:
        """All there is to measure of so many, which have not been there before."""
        self._cluster.client.close()  # its connections were idle for long: the server may have closed them
        arguments = ["--lease-seconds", str(LEASE_SECONDS)]
        team = [Operator(self._cluster, arguments=arguments, name=f"{name}-{each}") for each in range(replicas)]
        began_at = time.monotonic()
        for operator in team:
            await asyncio.to_thread(operator.start, ready=False)
        await until(lambda: all(each.ready() for each in team) and share_all(team), "the replicas", SETTLE_SECONDS * 4)
        figures: Figures = {"ready_s": round(time.monotonic() - began_at, 2)}
        progress(f"{replicas}: ready after {figures['ready_s']} s")
        await self._arena.rollouts.until("Rollouts at rest", self._at_rest, self._names, self._arena.patience)
        figures["met_s"] = round(time.monotonic() - began_at, 2)
        figures |= await self._runs(replicas)
        figures |= await self._quiet(team)
        if replicas > 1:
            figures["taken_over_leases"] = await self._take_over(team)
        for operator in team:
            if operator.running():
                await asyncio.to_thread(operator.stop)
        return figures

    @staticmethod
    def _at_rest(obj: dict[str, Any]) -> bool:
        return obj.get("status", {}).get("phase") in ("Healthy", "Killed")

    async def _runs(self, replicas: int) -> Figures:
        exposed, killed = [], []
        for _ in range(self._options.runs):
            self._stand_in.go_on()
            began_at = time.monotonic()
            await self._side.expose()
            exposed.append(time.monotonic() - began_at)
            await self._arena.quiet(1.0)
            self._stand_in.hold()
            answered_at, seen_at = await measure(self._arena, self._side)
            killed.append(seen_at - answered_at)
            progress(f"{replicas}: exposed in {exposed[-1]:.2f} s, killed in {killed[-1]:.3f} s")
        self._stand_in.go_on()
        return {
            "exposed_s": round(statistics.median(exposed), 2),
            "killed_s": round(statistics.median(killed), 3),
            "exposed_runs_s": [round(each, 2) for each in exposed],
            "killed_runs_s": [round(each, 3) for each in killed],
        }

    async def _quiet(self, team: Sequence[Operator]) -> Figures:
        killed = fleet.phase_is("Killed")
        await self._arena.rollouts.until("Rollouts to be Killed", killed, self._names, self._arena.patience)
        await self._arena.quiet(3.0)
        # Events are written at leisure, and none of what is counted.
        before = [read(each) for each in team]
        await asyncio.sleep(QUIET_SECONDS)
        after = [read(each) for each in team]
        pairs = list(zip(before, after, strict=True))
        return {
            "resident_mib": round(sum(each.resident_mib for each in after), 1),
            "resident_each_mib": round(max(each.resident_mib for each in after), 1),
            "writes_per_minute": round(sum(_writes(*pair) for pair in pairs) * 60 / QUIET_SECONDS, 1),
            "cpu_percent": round(
                sum(100 * (new.cpu_seconds - old.cpu_seconds) / (new.at - old.at) for old, new in pairs), 2
            ),
        }

    async def _take_over(self, team: Sequence[Operator]) -> float:
        lost, *others = team
        await asyncio.to_thread(lost.kill)
        killed_at = time.monotonic()
        await until(lambda: share_all(others), "the others to take over", SETTLE_SECONDS)
        return round((time.monotonic() - killed_at) / LEASE_SECONDS, 2)


def _writes(before: Reading, after: Reading) -> int:
    counted = after.counted - before.counted
    reads = ("get", "list", "watch")  # the first LISTs that heal may fall into the time, or not
    return sum(count for (verb, kind), count in counted.items() if kind != "Event" and verb.lower() not in reads)


async def run(options: argparse.Namespace) -> int:
    """One process, then several."""
    progress("cluster starts")
    cluster = Cluster.start("shards", users={user: [] for user in PROBERS})
    await asyncio.to_thread(fleet.install_gateway_api, cluster)
    await asyncio.to_thread(install, cluster)
    figures: dict[str, Figures] = {}
    async with Api(cluster.server, str(cluster.ca_file), cluster.admin_token) as api:
        arena = await Arena(cluster, api).open()
        arena.patience = SETTLE_SECONDS + SETTLE_SECONDS_EACH * options.rollouts
        bench = Bench(options, cluster, arena)
        await bench.populate()
        # The first replica of all meets the Rollouts, and writes much; what follows is compared among equals.
        for name, replicas in (("first", 1), ("one", 1), ("several", options.replicas), ("again", 1)):
            figures[name] = await bench.measure(name, replicas)
        arena.close()
    cluster.stop()
    return report(options, figures)


def report(options: argparse.Namespace, figures: dict[str, Figures]) -> int:
    """Show the figures. Returns the exit code."""
    several = figures["several"]
    lone = (figures["one"], figures["again"])
    one = {key: round(sum(each[key] for each in lone) / 2, 3) for key, _ in COLUMNS if key in lone[0]}
    rows = []
    ratios: Figures = {}
    for key, title in COLUMNS:
        if key == "met_s":
            rows.append((title, figures["first"][key], None, None))
            continue
        old, new = one.get(key), several.get(key)
        if old and new is not None:
            ratios[key] = round(new / old, 3)
        rows.append((title, old, new, ratios.get(key)))
    columns = ("", "1 process", f"{options.replicas} processes", "ratio")
    show(f"{options.rollouts} Rollouts, {options.runs} runs, a lease of {LEASE_SECONDS} s", columns, rows)
    told = {"bench": "shards", "rollouts": options.rollouts, "replicas": options.replicas, **figures, "ratios": ratios}
    return conclude(told, [])


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100, help="how many (default 100; 10000 takes an hour or so)")
    parser.add_argument("--replicas", type=int, default=3, help="how many, beside one alone (default 3)")
    parser.add_argument("--runs", type=int, default=1, help="trips of each (default 1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(play(run(parse())))
