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
from collections.abc import Sequence
from dataclasses import dataclass, field

import fleet
import workloads
from costs import Mark
from finish import IN_FLIGHT, Finish, patch_all
from installation import PROBERS, Operator, install
from running import play, progress
from sides import rollout_path
from testbed import Cluster, Nodes
from update_results import HOME, PLAIN, Results, report, trace
from wire import CORE, GATEWAY, SLUICE, Api, Watch, quiet

_SETTLE_SECONDS = 300.0
_QUIET_SECONDS = 3.0  # Events are written at leisure, ten a second


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

    async def rest(self, what: str) -> None:
        """Wait until every Rollout's version serves, the other slot is empty, and nothing changes any more."""
        watch = self.watches["rollouts"]
        await watch.until(what, lambda obj: workloads.at_rest(obj, self.pods), self.rollouts, _SETTLE_SECONDS)
        await self.quiet()

    async def mark(self) -> Mark:
        """What has been used until now."""
        return await asyncio.to_thread(Mark.set, self.operator, self.cluster)


async def update_plain(arena: Arena, hands: Api, results: Results) -> None:
    """New images for the Deployments, until every new pod is ready."""
    before = await arena.mark()
    arena.version += 1
    ready, _ = arena.finish.expect(arena.plain, arena.version)
    paths = {f"{PLAIN}/{name}": f"{workloads.APPS}/namespaces/{PLAIN}/deployments/{name}" for name in arena.names}
    sent_at = await patch_all(hands, paths, {"spec": workloads.new_image(arena.version)})
    await ready.wait("the Deployments' new pods", _SETTLE_SECONDS)
    results.take("Deployments", sent_at, ready.at)
    await arena.quiet()
    results.stretches["plain"].add(arena.cluster, before, await arena.mark())


async def update_rollouts(arena: Arena, hands: Api, results: Results) -> None:
    """New images for the Rollouts, until every route shows the candidate's weight; then on to their end."""
    before = await arena.mark()
    arena.version += 1
    ready, weighed = arena.finish.expect(arena.rollouts, arena.version)
    body = {"spec": {"workload": workloads.new_image(arena.version)}}
    sent_at = await patch_all(hands, {name: rollout_path(name) for name in arena.rollouts}, body)
    await weighed.wait("the candidates' weight", _SETTLE_SECONDS)
    results.take("Rollouts", sent_at, weighed.at)
    results.take("Rollouts, pods alone", sent_at, ready.at)
    rollouts, runs = arena.watches["rollouts"], arena.watches["runs"]
    await rollouts.until("Rollouts at their pause", fleet.waits_for_person, arena.rollouts, _SETTLE_SECONDS)
    await arena.quiet()
    at_pause = await arena.mark()
    results.stretches["update"].add(arena.cluster, before, at_pause)
    results.weigh(rollouts.objects.values(), runs.objects.values())
    await promote(arena, hands)
    results.stretches["promotion"].add(arena.cluster, at_pause, await arena.mark())


async def promote(arena: Arena, hands: Api) -> None:
    """Every Rollout to its end, and the slot that it left to zero."""
    numbers = {
        name: arena.watches["rollouts"].objects[f"{HOME}/{name}"]["status"]["revision"]["number"]
        for name in arena.names
    }
    await hands.create_all(workloads.promotion(HOME, name, number) for name, number in numbers.items())
    await arena.rest("Rollouts at rest")


async def run(options: argparse.Namespace) -> int:
    """Populate, take turns, report."""
    progress("cluster starts")
    cluster = Cluster.start("update", users={user: [] for user in PROBERS}, audit=True)
    nodes = await asyncio.to_thread(Nodes.start, cluster)
    await asyncio.to_thread(fleet.install_gateway_api, cluster)
    await asyncio.to_thread(install, cluster)
    operator = await asyncio.to_thread(Operator(cluster).start)
    names = [f"app-{number:04d}" for number in range(options.rollouts)]
    results = Results(options.rollouts, options.pods)
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
    if options.trace:
        trace(results, f"{HOME}/{names[0]}")
    return report(results)


async def populate(arena: Arena) -> None:
    """First versions of everything, all ready."""
    api, names = arena.api, arena.names
    await api.create_all([fleet.namespace(HOME), fleet.namespace(PLAIN)])
    await api.create_all(fleet.route(HOME, name) for name in names)
    await api.create_all(workloads.deployment(PLAIN, name, arena.pods) for name in names)
    await api.create_all(workloads.rollout(HOME, name, arena.pods) for name in names)
    available = "Deployments to be available"
    await arena.watches["deployments"].until(available, workloads.is_available, arena.plain, _SETTLE_SECONDS)
    await arena.rest("Rollouts to be Healthy")
    progress("all at rest")


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
    sys.exit(play(run(parse())))
