"""Ten thousand Rollouts at 50 %: until processes are ready, what memory they take, how long a kill of all takes.

    PYTHONPATH=tests python -m testbed run -- python bench/large.py [--quick] [--rollouts 10000] [--replicas 3]

One Rollout is brought to 50 % by Sluice. It, its route and its RolloutRun are then copied ten thousand times, straight
into etcd: through the API server that would take longer than all that is measured. One process is measured, then
several, then the bare client, each on copies made anew. All share two Services. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

import fleet
from copies import Store, copies
from costs import cpu_seconds, read
from figures import conclude, show
from installation import PROBERS, Operator, install, share_all
from running import play, progress
from shards import until
from sides import BARE, Arena, BareSide, Side, SluiceSide, measure, start_bare
from testbed import Cluster
from wire import SLUICE, Api

HOME, SEED = "many", "app-seed"
SLOTS = {"blue": "all-blue", "green": "all-green"}
LEASE_SECONDS = 15  # the default: nothing of this is about losing a replica
PATIENCE_SECONDS = 1800.0
QUIET_SECONDS = 3.0
COLUMNS = (
    ("ready_s", "processes started to caches filled, all shards shared (s)"),
    ("rest_s", "the same to all passes done (s)"),
    ("cpu_until_rest_s", "CPU time of each until then (s)"),
    ("resident_mib", "memory then, each (MiB)"),
    ("killed_s", "one switch: every weight at 0 (s)"),
    ("cpu_kill_s", "CPU time of each for that (s)"),
    ("apiserver_cpu_kill_s", "CPU time of the API server for that (s)"),
    ("resident_after_mib", "memory then, each (MiB)"),
    ("load", "load average of the machine at the kill"),
)
Figures = dict[str, Any]


class Large:
    """One cluster and its Rollouts; the replicas change."""

    def __init__(self, options: argparse.Namespace, cluster: Cluster, arena: Arena, store: Store) -> None:
        self._cluster = cluster
        self._arena = arena
        self._store = store
        self._apps = [f"app-{number:05d}" for number in range(options.rollouts)]
        self._originals: dict[str, str] = {}

    async def seed(self) -> None:
        """One Rollout at 50 %, by Sluice; the rest is copied from it."""
        api, stand_in = self._arena.api, fleet.StandIn(self._arena.api, self._arena.routes)
        (route, route_body), (path, body) = fleet.route(HOME, SEED), fleet.rollout(HOME, SEED)
        for backend, name in zip(route_body["spec"]["rules"][0]["backendRefs"], SLOTS.values(), strict=True):
            backend["name"] = name
        body["spec"]["workload"]["services"] = dict(SLOTS)
        await api.create_all([fleet.namespace(HOME), fleet.namespace(BARE)])
        await api.create_all([*fleet.slots(HOME, "all"), (route, route_body), (path, body)])
        operator = await asyncio.to_thread(Operator(self._cluster, name="seed").start)
        seed = [f"{HOME}/{SEED}"]
        await self._arena.rollouts.until("the first to be Healthy", fleet.phase_is("Healthy"), seed, PATIENCE_SECONDS)
        await SluiceSide(self._arena, seed, HOME).expose()
        await self._arena.quiet(QUIET_SECONDS)
        await asyncio.to_thread(operator.stop)
        run = self._arena.rollouts.objects[seed[0]]["status"]["run"]
        keys = (
            f"sluice.dev/rollouts/{HOME}/{SEED}",
            f"sluice.dev/rolloutruns/{HOME}/{run}",
            f"gateway.networking.k8s.io/httproutes/{HOME}/{SEED}",
        )
        self._originals = {key: await self._store.read(key) for key in keys}
        stand_in.stop()

    async def _copy(self, turn: str, originals: Mapping[str, str]) -> list[str]:
        """Put copies in the place of whatever is there, and wait until the API server tells of them. Returns names."""
        began_at = time.monotonic()
        objects = dict(copies(originals, SEED, self._apps))
        uids = {orjson.loads(text)["metadata"]["uid"] for text in objects.values()}
        await self._store.write(objects)
        names = [f"{HOME}/{app}" for app in self._apps]
        for watch in (self._arena.routes, self._arena.rollouts):
            await watch.until(
                "the copies to be seen", lambda obj: obj["metadata"]["uid"] in uids, names, PATIENCE_SECONDS
            )
        await self._arena.quiet(QUIET_SECONDS)
        progress(f"{turn}: {len(self._apps)} copies after {time.monotonic() - began_at:.0f} s")
        self._cluster.client.close()  # its connections were idle for long: the server may have closed them
        return names

    async def bare_turn(self) -> Figures:
        """Copy, and have the bare client kill all: what a kill of so many takes at least here."""
        unpinned = {key: text.replace("sluice.dev/weights", "padding/weights") for key, text in self._originals.items()}
        names = await self._copy("bare", unpinned)  # of pinned routes, the API server lets nobody else move weights
        child = await start_bare(self._arena, {"large": names})
        figures = await self._kill([child.pid], BareSide(self._arena, names, "large"))
        child.stop()
        progress(f"bare: {figures}")
        return figures

    async def turn(self, name: str, replicas: int) -> Figures:
        """Copy, start so many, let them come to rest, have them kill all, and end them."""
        names = await self._copy(name, self._originals)
        team = [
            Operator(self._cluster, arguments=["--lease-seconds", str(LEASE_SECONDS)], name=f"{name}-{each}")
            for each in range(replicas)
        ]
        began_at = time.monotonic()
        for operator in team:
            await asyncio.to_thread(operator.start, ready=False)
        await until(
            lambda: all(each.ready() for each in team) and share_all(team), "the replicas to be ready", PATIENCE_SECONDS
        )
        figures: Figures = {"ready_s": round(time.monotonic() - began_at, 1)}
        progress(f"{name}: ready after {figures['ready_s']} s")
        await self._rest(team)
        figures["rest_s"] = round(time.monotonic() - began_at - QUIET_SECONDS, 1)
        figures["cpu_until_rest_s"] = [round(cpu_seconds(each.pid), 1) for each in team]
        figures["resident_mib"] = [round(read(each).resident_mib) for each in team]
        progress(f"{name}: {figures}")
        side = SluiceSide(self._arena, names, HOME)
        await side.prepare()
        figures |= await self._kill([each.pid for each in team], side)
        figures["resident_after_mib"] = [round(read(each).resident_mib) for each in team]
        progress(f"{name}: {figures}")
        for operator in team:
            await asyncio.to_thread(operator.kill)  # what follows of the kill is not measured
        switch = f"{SLUICE}/namespaces/{HOME}/killswitches/stop"
        await self._arena.api.merge(switch, {"spec": {"engaged": False, "releaseReason": "measured"}})
        await self._arena.api.send("DELETE", switch)
        return figures

    async def _rest(self, team: Sequence[Operator]) -> None:
        """Wait until none has passed over anything for a while."""
        deadline, before, since = time.monotonic() + PATIENCE_SECONDS, -1, time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            if time.monotonic() > deadline:
                raise RuntimeError("the replicas do not come to rest")
            passes = sum([(await asyncio.to_thread(read, each)).passes for each in team])
            if passes != before:
                before, since = passes, time.monotonic()
            await asyncio.sleep(0.2)

    async def _kill(self, pids: Sequence[int], side: Side) -> Figures:
        await self._arena.quiet(1.0)
        before = [cpu_seconds(each) for each in pids]
        served = cpu_seconds(self._cluster.apiserver_pid)
        answered_at, seen_at = await measure(self._arena, side)
        after = [cpu_seconds(each) for each in pids]
        return {
            "killed_s": round(seen_at - answered_at, 2),
            "cpu_kill_s": [round(new - old, 1) for old, new in zip(before, after, strict=True)],
            "apiserver_cpu_kill_s": round(cpu_seconds(self._cluster.apiserver_pid) - served, 1),
            "load": round(os.getloadavg()[0], 1),
        }


async def run(options: argparse.Namespace) -> int:
    """One process, then several."""
    progress("cluster starts")
    cluster = Cluster.start("large", controllers=False, users={user: [] for user in PROBERS})
    await asyncio.to_thread(fleet.install_gateway_api, cluster)
    await asyncio.to_thread(install, cluster)
    figures: dict[str, Figures] = {}
    async with Api(cluster.server, str(cluster.ca_file), cluster.admin_token) as api, Store(cluster) as store:
        arena = await Arena(cluster, api).open()
        arena.patience = PATIENCE_SECONDS
        bench = Large(options, cluster, arena, store)
        await bench.seed()
        for name, replicas in (("one", 1), ("several", options.replicas)):
            figures[name] = await bench.turn(name, replicas)
        figures["bare"] = await bench.bare_turn()
        arena.close()
    cluster.stop()
    rows = [(title, *(turn.get(key) for turn in figures.values())) for key, title in COLUMNS]
    names = ("1 process", f"{options.replicas} processes", "bare client")
    show(f"{options.rollouts} Rollouts at 50 %", ("", *names), rows)
    floor = figures["bare"]["killed_s"]
    ratios = {name: round(figures[name]["killed_s"] / floor, 3) for name in ("one", "several")}
    return conclude({"bench": "large", "rollouts": options.rollouts, **figures, "kill_ratios": ratios}, [])


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 Rollouts")
    parser.add_argument("--rollouts", type=int, help="how many (default 10000)")
    parser.add_argument("--replicas", type=int, default=3, help="how many, beside one alone (default 3)")
    options = parser.parse_args()
    options.rollouts = options.rollouts or (200 if options.quick else 10_000)
    return options


if __name__ == "__main__":
    sys.exit(play(run(parse())))
