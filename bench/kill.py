"""How long a kill takes, beside a bare client that does no more than watch and patch.

    PYTHONPATH=tests python -m testbed run -- python bench/kill.py [--quick]

Sluice and the bare client (bare.py) take turns in one run, so that what slows the machine slows both: the ratios are
what counts. One observer, a watch of this process, sees the weights of both. The last line is one JSON object; the exit
code is 1 when a guard is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import fleet
from figures import conclude, median_ratio, show, spread
from installation import PROBERS, Operator, install
from running import play, progress
from sides import BARE, Arena, BareSide, Side, SluiceSide, measure, rollout_path, spawn, start_bare
from testbed import Cluster, DataPlane, Load, apps
from testbed.load import Requests
from wire import Api

SHOP, APP = "shop", "checkout"
HOSTS = {"sluice": "shop.example", "bare": "bare.example"}
FLEET, BARE_FLEET, SINGLE = "fleet", "bare-fleet", "single"
P99_GUARD = MEDIAN_GUARD = 1.5
P99_TRIPS = 300  # of fewer, the p99 is whatever happened to the slowest one or two
STORM_TRIP_SECONDS = (0.7, 1.6)  # after the storm began: into the midst of it
AFTER_SECONDS = 0.4  # for the last requests of the candidate to come back
Times = dict[str, list[float]]


async def take_turns(arena: Arena, sides: Sequence[Side], trips: int) -> dict[str, list[tuple[float, float]]]:
    """Trip each side so often, in turn, beginning with the other one each time."""
    times: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
    for number in range(trips):
        await asyncio.gather(*(side.expose() for side in sides))
        for side in sides if number % 2 else reversed(sides):
            await arena.quiet()
            times[side.name].append(await measure(arena, side))
        if (number + 1) % 50 == 0:
            progress(f"  {number + 1} of {trips} trips of each")
    await arena.quiet()
    return times


def latencies(times: dict[str, list[tuple[float, float]]]) -> Times:
    """Seconds from the answer to the weight."""
    return {name: [seen - answered for answered, seen in pairs] for name, pairs in times.items()}


async def with_traffic(arena: Arena, plane: DataPlane, sides: Sequence[Side], trips: int, rate: float) -> Times:
    """Seconds from the answer until the last request that the candidate answered."""
    loads = {name: Load(host, rate, plane.envoy_address, connections=8) for name, host in HOSTS.items()}
    for load in loads.values():
        await asyncio.to_thread(load.start)
    windows: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
    for number in range(trips):
        await asyncio.gather(*(side.expose() for side in sides))
        for side in sides if number % 2 else reversed(sides):
            await arena.quiet()
            answered, _ = await measure(arena, side)
            await arena.routes.until("the routes to be accepted", fleet.accepted, side.routes)
            await asyncio.sleep(AFTER_SECONDS)
            windows[side.name].append((answered, time.monotonic()))
    records = {name: await asyncio.to_thread(load.stop) for name, load in loads.items()}
    for name, record in records.items():
        progress(f"  requests to {name}: {len(record)}, failed: {len(record.failed())}")
    return {name: [last_of("v2", records[name], *window) for window in windows[name]] for name in windows}


def last_of(version: str, record: Requests, since: float, until: float) -> float:
    """Seconds from `since` until a version's last answer before `until`; 0 where there was none. Monotonic times."""
    ends = (one.ended_monotonic_ns / 1e9 for one in record if one.version == version)
    return max((end - since for end in ends if since <= end < until), default=0.0)


@contextlib.contextmanager
def telling(operator: Operator) -> Iterator[None]:
    """Show the end of the operator's log where the benchmark fails: its folder goes with the process."""
    try:
        yield
    except Exception:
        progress(operator.log[-4000:])
        raise


async def on_data_plane(options: argparse.Namespace) -> dict[str, Any]:
    """One Rollout, tripped again and again, with Contour and Envoy behind it."""
    progress("one Rollout: cluster and data plane start")
    cluster = Cluster.start("single", users={user: [] for user in PROBERS})
    plane = DataPlane.start(cluster)
    await asyncio.to_thread(install, cluster)
    for home, host in ((SHOP, HOSTS["sluice"]), (BARE, HOSTS["bare"])):
        cluster.apply(apps.two_slots(home, APP, host))
        for slot in apps.SLOTS:
            plane.wait_endpoints(home, f"{APP}-{slot}", 2)
    operator = await asyncio.to_thread(Operator(cluster, plane.prometheus_url).start)
    with telling(operator):
        figures = await trip_one(options, cluster, plane)
    operator.stop()
    plane.stop()
    cluster.stop()
    return figures


async def trip_one(options: argparse.Namespace, cluster: Cluster, plane: DataPlane) -> dict[str, Any]:
    """First without traffic, then with."""
    async with Api(cluster.server, str(cluster.ca_file), cluster.admin_token) as api:
        await api.create_all([fleet.rollout(SHOP, APP)])
        arena = await Arena(cluster, api).open()
        ours, theirs = SluiceSide(arena, [f"{SHOP}/{APP}"], SHOP), BareSide(arena, [f"{BARE}/{APP}"], "one")
        await ours.prepare()
        await start_bare(arena, {"one": theirs.routes})
        progress(f"one Rollout: {options.trips} trips of each")
        single = latencies(await take_turns(arena, (ours, theirs), options.trips))
        progress(f"one Rollout under load: {options.traffic_trips} trips of each")
        last = await with_traffic(arena, plane, (ours, theirs), options.traffic_trips, options.rate)
        arena.close()
    return {"single": compare(single), "last_candidate_request": compare(last)}


async def on_lean_cluster(options: argparse.Namespace) -> dict[str, Any]:
    """Many Rollouts, with no controller beside Sluice but a stand-in for the gateway's."""
    progress("many Rollouts: cluster starts")
    cluster = Cluster.start("fleet", users={user: [] for user in PROBERS})
    await asyncio.to_thread(fleet.install_gateway_api, cluster)
    await asyncio.to_thread(install, cluster)
    async with Api(cluster.server, str(cluster.ca_file), cluster.admin_token) as api:
        arena = await Arena(cluster, api).open()
        stand_in = fleet.StandIn(api, arena.routes)
        names = [f"app-{number:03d}" for number in range(options.rollouts)]
        await populate(api, names)
        operator = await asyncio.to_thread(Operator(cluster).start)
        with telling(operator):
            figures = await trip_many(options, arena, stand_in, names)
        arena.close()
        stand_in.stop()
    operator.stop()
    cluster.stop()
    return figures


async def trip_many(
    options: argparse.Namespace, arena: Arena, stand_in: fleet.StandIn, names: Sequence[str]
) -> dict[str, Any]:
    """One in a storm of edits of the others, then all at once."""
    many = SluiceSide(arena, [f"{FLEET}/{name}" for name in names], "")
    many_bare = BareSide(arena, [f"{BARE_FLEET}/{name}" for name in names], "many")
    one = SluiceSide(arena, [f"{SINGLE}/{APP}"], SINGLE)
    one_bare = BareSide(arena, [f"{BARE}/{APP}"], "one")
    await many.prepare()
    await one.prepare()
    await start_bare(arena, {"many": many_bare.routes, "one": one_bare.routes})
    progress(f"storm: {options.storms} times {options.edits} edits of the others, which are at rest")
    storm = await in_storms(arena, (one, one_bare), many.routes, options)
    progress(f"{options.rollouts} Rollouts: {options.runs} runs of each")
    runs = await trip_all(arena, stand_in, (many, many_bare), options.runs)
    return {
        "fleet": {
            "rollouts": options.rollouts,
            **{f"{name}_s": [round(value, 3) for value in values] for name, values in runs.items()},
            "median_ratio": median_ratio(runs["sluice"], runs["bare"]),
        },
        "storm": {"edits": options.edits, **compare(storm)},
    }


async def populate(api: Api, names: Sequence[str]) -> None:
    """Everything but the switches: Rollouts with slots and routes, and routes alone for the bare client."""
    await api.create_all(fleet.namespace(name) for name in (FLEET, BARE_FLEET, SINGLE, BARE))
    homes = [(FLEET, name) for name in names] + [(SINGLE, APP)]
    await api.create_all(each for home, name in homes for each in (*fleet.slots(home, name), fleet.route(home, name)))
    # As long as the annotations that Sluice keeps on its routes, so that the objects weigh the same.
    padding = {"sluice.dev/rollout": "x" * 64, "sluice.dev/cause": "x" * 256}
    bare = [(BARE_FLEET, name) for name in names] + [(BARE, APP)]
    await api.create_all(fleet.route(home, name, 50, padding) for home, name in bare)
    await api.create_all(fleet.rollout(home, name) for home, name in homes)


async def trip_all(arena: Arena, stand_in: fleet.StandIn, sides: Sequence[Side], runs: int) -> Times:
    """Seconds until every weight is 0."""
    times: Times = {side.name: [] for side in sides}
    for number in range(runs):
        for side in sides if number % 2 else reversed(sides):
            stand_in.go_on()
            await side.expose()
            await arena.quiet(1.0)
            stand_in.hold()
            answered, seen = await measure(arena, side)
            times[side.name].append(seen - answered)
            progress(f"  {side.name}: {seen - answered:.3f} s")
        stand_in.go_on()
    return times


async def in_storms(arena: Arena, sides: Sequence[Side], others: Sequence[str], options: argparse.Namespace) -> Times:
    """Seconds until one Rollout's weight is 0, while another client edits other Rollouts as fast as it can."""
    cluster = arena.cluster
    order = {"server": cluster.server, "ca_file": str(cluster.ca_file), "token": cluster.admin_token}
    times: Times = {side.name: [] for side in sides}
    for number in range(options.storms):
        await asyncio.gather(*(side.expose() for side in sides))
        await arena.quiet(1.0)
        paths = [rollout_path(name) for name in others]
        child = await spawn("storm", {**order, "name": str(number), "edits": options.edits, "paths": paths})
        began_at = time.monotonic()
        for after, side in zip(STORM_TRIP_SECONDS, sides if number % 2 else reversed(sides), strict=True):
            await asyncio.sleep(began_at + after - time.monotonic())
            answered, seen = await measure(arena, side)
            if child.running():
                times[side.name].append(seen - answered)
            progress(f"  {side.name}: {(seen - answered) * 1000:.1f} ms{'' if child.running() else ' (too late)'}")
        await asyncio.to_thread(child.popen.wait, 120)
        progress(f"  the storm took {time.monotonic() - began_at:.1f} s")
        await arena.quiet(1.0)
    return times


def compare(times: Times) -> dict[str, Any]:
    """Both sides' spread, and the ratios of p50 and p99."""
    figures: dict[str, Any] = {name: spread(values) for name, values in times.items()}
    ours, theirs = figures["sluice"], figures["bare"]
    for field in ("p50", "p99"):
        if ours and theirs and theirs[f"{field}_ms"]:
            figures[f"{field}_ratio"] = round(ours[f"{field}_ms"] / theirs[f"{field}_ms"], 3)
    return figures


def table(figures: dict[str, Any]) -> None:
    """Show what was measured."""
    rows = []
    titles = {
        "single": "one Rollout: weight at 0",
        "last_candidate_request": "one Rollout: last candidate request",
        "storm": "one Rollout in a storm: weight at 0",
    }
    for name, title in titles.items():
        for side in ("sluice", "bare"):
            found = figures.get(name, {}).get(side)
            if found:
                rows.append(
                    (f"{title}, {side}", *(found[column] for column in ("n", "p50_ms", "p90_ms", "p99_ms", "max_ms")))
                )
    show("From the API server's answer to the switch's patch (ms)", ("", "n", "p50", "p90", "p99", "max"), rows)
    found = figures.get("fleet")
    if found:
        runs = [(side, *found[f"{side}_s"]) for side in ("sluice", "bare")]
        columns = ("", *(f"run {number + 1}" for number in range(len(found["sluice_s"]))))
        show(f"{found['rollouts']} Rollouts, one switch: seconds until every weight is 0", columns, runs)
    ratios = [
        (name, ratio, value) for name in figures for ratio, value in figures[name].items() if ratio.endswith("ratio")
    ]
    show("Sluice as a multiple of the bare client", ("", "of", "ratio"), ratios)


def guards(figures: dict[str, Any]) -> list[str]:
    """What is worse than promised."""
    broken = []
    single = figures.get("single", {})
    if single and single["sluice"]["n"] >= P99_TRIPS and single["p99_ratio"] > P99_GUARD:
        broken.append(f"one Rollout: p99 is {single['p99_ratio']} times the bare client's; at most {P99_GUARD}")
    many = figures.get("fleet", {}).get("median_ratio", 0)
    if many > MEDIAN_GUARD:
        broken.append(f"many Rollouts: the median is {many} times the bare client's; at most {MEDIAN_GUARD}")
    return broken


def parse() -> argparse.Namespace:
    """The options; --quick makes the numbers small."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small numbers: minutes instead of a quarter of an hour")
    parser.add_argument("--only", choices=("single", "fleet"), help="one half of it")
    for name, many, few, text in (
        ("trips", 500, 60, "of one Rollout, of each side"),
        ("traffic-trips", 60, 10, "under load"),
        ("rollouts", 200, 200, "under one switch"),
        ("runs", 5, 5, "of the many"),
        ("storms", 5, 3, "with a trip of each side in it"),
        ("edits", 3000, 3000, "in a storm"),
    ):
        parser.add_argument(f"--{name}", type=int, help=f"{text} (default {many}; quick: {few})")
        parser.set_defaults(**{f"{name}_defaults".replace("-", "_"): (many, few)})
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second to each side, under load")
    options = parser.parse_args()
    for name in ("trips", "traffic_trips", "rollouts", "runs", "storms", "edits"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(options, f"{name}_defaults")[options.quick])
    return options


async def main(options: argparse.Namespace) -> int:
    """Run the halves one after the other."""
    figures: dict[str, Any] = {}
    if options.only != "fleet":
        figures |= await on_data_plane(options)
    if options.only != "single":
        figures |= await on_lean_cluster(options)
    table(figures)
    return conclude({"bench": "kill", **figures}, guards(figures))


if __name__ == "__main__":
    sys.exit(play(main(parse())))
