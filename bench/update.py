"""How long it takes until new images have their first weight, beside plain Deployments, and what it costs the operator.

    PYTHONPATH=tests python -m testbed run -- python bench/update.py [--quick]

So many Rollouts, and as many plain Deployments, take turns: all get a new image at once, from a client with 16 patches
in flight. A Rollout is there when its route gives the candidate its 50 %, a Deployment when its new pod is ready. The
floor is what Kubernetes itself takes for the pods, so the ratio tells what Sluice adds. One observer, watches of this
process, sees both. Requests are counted by the API server's audit log. The last line is one JSON object; the exit code
is 1 when a guard is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

import fleet
import workloads
from costs import Mark, Stretch
from figures import conclude, median_ratio, quantile, show
from finish import IN_FLIGHT, Finish, patch_all
from installation import PROBERS, Operator, install
from sides import rollout_path
from testbed import Cluster, Nodes
from wire import CORE, GATEWAY, SLUICE, Api, Watch, quiet

HOME, PLAIN = "fleet", "plain"
RATIO_GUARD = 8.0
WRITES_GUARD = 14.0
_SETTLE_SECONDS = 300.0
_QUIET_SECONDS = 3.0  # Events are written at leisure, ten a second
Times = dict[str, list[float]]


def progress(text: str) -> None:
    """Tell a person at the terminal what goes on."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Arena:
    """A cluster with nodes, the operator on it, and the benchmark's hands and eyes."""

    cluster: Cluster
    operator: Operator
    api: Api
    pods: int
    names: Sequence[str]
    watches: dict[str, Watch] = field(default_factory=dict)
    version: int = 1

    async def open(self) -> Arena:
        """Begin to watch, and to accept routes."""
        paths = {
            "routes": f"{GATEWAY}/httproutes",
            "rollouts": f"{SLUICE}/rollouts",
            "runs": f"{SLUICE}/rolloutruns",
            "deployments": f"{workloads.APPS}/deployments",
            "pods": f"{CORE}/pods",
            "events": f"{CORE}/events",
        }
        self.watches = {name: await Watch(self.api, path).start() for name, path in paths.items()}
        self.finish = Finish(self.watches["pods"], self.watches["routes"], self.pods)
        fleet.StandIn(self.api, self.watches["routes"])
        return self

    def close(self) -> None:
        """End the watches."""
        for watch in self.watches.values():
            watch.stop()

    @property
    def rollouts(self) -> list[str]:
        """`<namespace>/<name>` of the Rollouts, their routes and their apps."""
        return [f"{HOME}/{name}" for name in self.names]

    @property
    def plain(self) -> list[str]:
        """`<namespace>/<name>` of the Deployments and their apps."""
        return [f"{PLAIN}/{name}" for name in self.names]

    async def quiet(self) -> None:
        """Wait until nothing changes any more."""
        await quiet(self.watches.values(), _QUIET_SECONDS, _SETTLE_SECONDS)

    async def mark(self) -> Mark:
        """What has been used until now."""
        return await asyncio.to_thread(Mark.set, self.operator, self.cluster)


@dataclass
class Results:
    """What the rounds gave: seconds for all apps by side, seconds for each, and the costs by stretch."""

    whole: Times = field(default_factory=lambda: defaultdict(list))
    each: Times = field(default_factory=lambda: defaultdict(list))
    update: Stretch = field(default_factory=lambda: Stretch(HOME))
    promotion: Stretch = field(default_factory=lambda: Stretch(HOME))
    plain: Stretch = field(default_factory=lambda: Stretch(PLAIN))
    bytes: dict[str, int] = field(default_factory=dict)
    resident_mib: dict[str, float] = field(default_factory=dict)

    @property
    def stretches(self) -> dict[str, Stretch]:
        """By name."""
        return {"update": self.update, "promotion": self.promotion, "plain": self.plain}


async def update_plain(arena: Arena, hands: Api, results: Results) -> None:
    """New images for the Deployments, until every new pod is ready."""
    before = await arena.mark()
    arena.version += 1
    ready, _ = arena.finish.expect(arena.plain, arena.version)
    paths = {f"{PLAIN}/{name}": f"{workloads.APPS}/namespaces/{PLAIN}/deployments/{name}" for name in arena.names}
    sent_at = await patch_all(hands, paths, {"spec": workloads.new_image(arena.version)})
    await ready.wait("the Deployments' new pods", _SETTLE_SECONDS)
    take(results, "deployments", sent_at, ready.at)
    await arena.quiet()
    results.plain.add(arena.cluster, before, await arena.mark())


async def update_rollouts(arena: Arena, hands: Api, results: Results) -> None:
    """New images for the Rollouts, until every route shows the candidate's weight; then on to their end."""
    before = await arena.mark()
    arena.version += 1
    ready, weighed = arena.finish.expect(arena.rollouts, arena.version)
    body = {"spec": {"workload": workloads.new_image(arena.version)}}
    sent_at = await patch_all(hands, {name: rollout_path(name) for name in arena.rollouts}, body)
    await weighed.wait("the candidates' weight", _SETTLE_SECONDS)
    take(results, "rollouts", sent_at, weighed.at)
    take(results, "rollouts' pods", sent_at, ready.at)
    waiting = fleet.waits_for_person
    await arena.watches["rollouts"].until("Rollouts at their pause", waiting, arena.rollouts, _SETTLE_SECONDS)
    await arena.quiet()
    at_pause = await arena.mark()
    results.update.add(arena.cluster, before, at_pause)
    weigh(arena, results)
    await promote(arena, hands)
    results.promotion.add(arena.cluster, at_pause, await arena.mark())


async def promote(arena: Arena, hands: Api) -> None:
    """Every Rollout to its end, and the slot that it left to zero."""
    numbers = {
        name: arena.watches["rollouts"].objects[f"{HOME}/{name}"]["status"]["revision"]["number"]
        for name in arena.names
    }
    await hands.create_all(workloads.promotion(HOME, name, number) for name, number in numbers.items())
    await arena.watches["rollouts"].until(
        "Rollouts at rest", lambda obj: workloads.at_rest(obj, arena.pods), arena.rollouts, _SETTLE_SECONDS
    )
    await arena.quiet()


def take(results: Results, side: str, sent_at: Mapping[str, float], seen_at: Mapping[str, float]) -> None:
    """Keep the times of one round."""
    results.whole[side].append(max(seen_at.values()) - min(sent_at.values()))
    results.each[side] += [at - sent_at[name] for name, at in seen_at.items()]
    progress(f"  {side}: {results.whole[side][-1]:.2f} s")


def weigh(arena: Arena, results: Results) -> None:
    """The sizes of what Sluice keeps, the largest of each, as JSON without blanks."""
    watches = arena.watches
    rollouts = [watches["rollouts"].objects[name] for name in arena.rollouts]
    results.bytes = {
        "pod template": len(orjson.dumps(rollouts[0]["spec"]["workload"]["template"])),
        "Rollout's status": max(len(orjson.dumps(obj["status"])) for obj in rollouts),
        "Rollout": max(len(orjson.dumps(obj)) for obj in rollouts),
        "RolloutRun": max(len(orjson.dumps(obj)) for obj in watches["runs"].objects.values()),
    }


async def run(options: argparse.Namespace) -> int:
    """Populate, take turns, report."""
    progress("cluster starts")
    cluster = Cluster.start("update", users={user: [] for user in PROBERS}, audit=True)
    nodes = await asyncio.to_thread(Nodes.start, cluster)
    await asyncio.to_thread(fleet.install_gateway_api, cluster)
    await asyncio.to_thread(install, cluster)
    operator = await asyncio.to_thread(Operator(cluster).start)
    names = [f"app-{number:04d}" for number in range(options.rollouts)]
    results = Results()
    async with (
        Api(cluster.server, str(cluster.ca_file), cluster.admin_token) as api,
        Api(cluster.server, str(cluster.ca_file), cluster.admin_token, connections=IN_FLIGHT) as hands,
    ):
        arena = await Arena(cluster, operator, api, options.pods, names).open()
        results.resident_mib["without Rollouts"] = (await arena.mark()).reading.resident_mib
        try:
            await populate(arena)
            results.resident_mib["with them at rest"] = (await arena.mark()).reading.resident_mib
            await hands.warm()
            for number in range(options.rounds):
                progress(f"round {number + 1} of {options.rounds}")
                sides = (update_plain, update_rollouts)
                for side in sides if number % 2 else reversed(sides):
                    await side(arena, hands, results)
            results.resident_mib["after the updates"] = (await arena.mark()).reading.resident_mib
        except Exception:
            progress(operator.log[-4000:])  # its folder goes with the process
            raise
        arena.close()
    for part in (operator, nodes, cluster):
        part.stop()
    return report(options, results)


async def populate(arena: Arena) -> None:
    """First versions of everything, all ready."""
    api, names = arena.api, arena.names
    await api.create_all([fleet.namespace(HOME), fleet.namespace(PLAIN)])
    await api.create_all(fleet.route(HOME, name) for name in names)
    await api.create_all(workloads.deployment(PLAIN, name, arena.pods) for name in names)
    await api.create_all(workloads.rollout(HOME, name, arena.pods) for name in names)
    rested = "Rollouts to be Healthy"
    await arena.watches["rollouts"].until(
        rested, lambda obj: workloads.at_rest(obj, arena.pods), arena.rollouts, _SETTLE_SECONDS
    )
    available = "Deployments to be available"
    await arena.watches["deployments"].until(available, workloads.is_available, arena.plain, _SETTLE_SECONDS)
    await arena.quiet()
    progress("all at rest")


def report(options: argparse.Namespace, results: Results) -> int:
    """Show the figures. Returns the exit code."""
    updates = options.rollouts * options.rounds
    each = {side: spread_seconds(values) for side, values in results.each.items()}
    costs = {name: stretch.per_update(updates) for name, stretch in results.stretches.items()}
    tables(options, results, each, costs)
    if options.trace:
        trace(results, f"{HOME}/app-0000")
    figures: dict[str, Any] = {
        "bench": "update",
        "rollouts": options.rollouts,
        "pods": options.pods,
        "whole_s": {side: [round(value, 3) for value in values] for side, values in results.whole.items()},
        "median_ratio": median_ratio(results.whole["rollouts"], results.whole["deployments"]),
        "each_s": each,
        "costs_per_update": costs,
        "resident_mib": {name: round(value, 1) for name, value in results.resident_mib.items()},
        "bytes": results.bytes,
    }
    return conclude(figures, guards(figures))


def guards(figures: dict[str, Any]) -> list[str]:
    """What is worse than promised."""
    broken, ratio = [], figures["median_ratio"]
    if ratio > RATIO_GUARD:
        broken.append(f"the median is {ratio} times the Deployments'; at most {RATIO_GUARD}")
    requests = figures["costs_per_update"]["update"]["requests"]
    writes = round(sum(found["each"] for what, found in requests.items() if not what.endswith(" events")), 2)
    if writes > WRITES_GUARD:
        broken.append(f"{writes} requests for an update to its first weight, without Events; at most {WRITES_GUARD}")
    return broken


def tables(
    options: argparse.Namespace, results: Results, each: dict[str, dict[str, float]], costs: dict[str, dict[str, Any]]
) -> None:
    """Show what was measured."""
    rounds = [f"round {number + 1}" for number in range(options.rounds)]
    rows = [(side, *(round(value, 2) for value in values)) for side, values in results.whole.items()]
    show(f"{options.rollouts} new images at once: seconds until the last is there", ("", *rounds), rows)
    rows = [(side, *found.values()) for side, found in each.items()]
    show("One of them: seconds from its patch", ("", "p50", "p90", "max"), rows)
    titles = {
        "update": "an update to its first weight",
        "promotion": "its promotion, and on to rest",
        "plain": "an update of a plain Deployment",
    }
    for name in ("update", "promotion"):
        rows = [(what, *found.values()) for what, found in costs[name]["requests"].items()]
        show(f"The operator's requests for {titles[name]}", ("", "mean", "most for one", "refused"), rows)
    fields = ("cpu_seconds", "passes", "failed_passes", "apiserver_seconds")
    rows = [(title, *(costs[name][field] for field in fields)) for name, title in titles.items()]
    columns = ("for", "operator's CPU seconds", "passes", "failed ones", "API server's CPU seconds")
    show("What it takes on average", columns, rows)
    rows = [(f"operator's memory (MiB), {name}", round(value, 1)) for name, value in results.resident_mib.items()]
    show("Sizes", ("", ""), rows + [(f"largest {name} (bytes)", value) for name, value in results.bytes.items()])


def trace(results: Results, app: str) -> None:
    """Tell every request about one app, in order, with the milliseconds since the first of its round."""
    for name, stretch in results.stretches.items():
        about = [request for request in stretch.requests if request.about.startswith(app)]
        began_at = about[0].at if about else None
        for request in about:
            since = (request.at - began_at).total_seconds() * 1000 if began_at else 0
            progress(f"{name:10} {since:9.1f} {request.answered} {request.what} {request.name}")


def spread_seconds(values: Sequence[float]) -> dict[str, float]:
    """The middle, the edge and the end."""
    return {
        "p50": round(quantile(values, 0.5), 3),
        "p90": round(quantile(values, 0.9), 3),
        "max": round(max(values), 3),
    }


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 Rollouts")
    parser.add_argument("--rollouts", type=int, help="and as many Deployments (default 100)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--pods", type=int, default=1, help="of each (default 1)")
    parser.add_argument("--trace", action="store_true", help="tell every request about one of the Rollouts")
    options = parser.parse_args()
    options.rollouts = options.rollouts or (10 if options.quick else 100)
    return options


if __name__ == "__main__":
    chosen = parse()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run(chosen)))
