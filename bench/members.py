"""A hub and its member clusters, API servers over one etcd, with all that Rollouts over them need but pods."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import fleet
from finish import Arrivals
from installation import PROBERS, install
from sides import route_path
from testbed import Cluster
from wire import GATEWAY, JSON_PATCH, SLUICE, Api, Obj, Test, Watch

HOME, BARE_HOME = "fleet", "bare-fleet"
FIRST_WEIGHT, SECOND_WEIGHT = 10, 50
MEMBER_CLUSTERS = f"{SLUICE}/memberclusters"
STARTED_AT_ONCE = 2  # API servers: each takes a core for some seconds
_TOKENS = "serviceaccount-token"  # the one controller that registering a member needs
# As long as the annotations that Sluice keeps on its routes, so that the objects weigh the same.
_PADDING = {"sluice.dev/rollout": "x" * 64, "sluice.dev/cause": "x" * 256}


@dataclass
class Place:
    """A member, and the benchmark's eyes on it."""

    cluster: Cluster
    api: Api
    routes: Watch = field(init=False)
    stand_in: fleet.StandIn = field(init=False)

    async def open(self) -> Place:
        """Begin to watch, and to accept routes."""
        self.routes = await Watch(self.api, f"{GATEWAY}/httproutes").start()
        self.stand_in = fleet.StandIn(self.api, self.routes)
        return self

    def close(self) -> None:
        """End both."""
        self.stand_in.stop()
        self.routes.stop()


class Everywhere:
    """Sees the routes of all members; a route is `<member>/<namespace>/<name>`."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._waiting: list[tuple[Test, Arrivals]] = []
        for place in places:
            place.routes.listen(lambda obj, name=place.cluster.name: self._see(name, obj))  # type: ignore[misc] # bound now

    def expect(self, names: Sequence[str], test: Test) -> Arrivals:
        """Begin to look out for when each of the routes `<namespace>/<name>`, in every member, satisfies a test."""
        arrivals = Arrivals(f"{place.cluster.name}/{name}" for place in self._places for name in names)
        self._waiting = [(test, arrivals)]
        for place in self._places:
            for name in names:
                self._see(place.cluster.name, place.routes.objects[name])
        return arrivals

    def _see(self, member: str, obj: Obj) -> None:
        for test, arrivals in self._waiting:
            if test(obj):
                arrivals.see(f"{member}/{obj['metadata']['namespace']}/{obj['metadata']['name']}")

    def hold(self) -> None:
        """Accept no route until `go_on`."""
        for place in self._places:
            place.stand_in.hold()

    def go_on(self) -> None:
        """Accept what has changed."""
        for place in self._places:
            place.stand_in.go_on()


def start_clusters(count: int) -> tuple[Cluster, list[Cluster]]:
    """A hub with Sluice installed, and so many members registered with it; all of them keep audit logs."""
    hub = Cluster.start("hub", users={user: [] for user in PROBERS}, audit=True)
    fleet.install_gateway_api(hub)
    install(hub)
    with ThreadPoolExecutor(STARTED_AT_ONCE) as pool:
        return hub, list(pool.map(lambda number: _start(hub, f"member-{number:02d}"), range(1, count + 1)))


def _start(hub: Cluster, name: str) -> Cluster:
    member = Cluster.start(name, controllers=_TOKENS, audit=True)
    fleet.install_gateway_api(member)
    register(hub, member)
    member.stop_controllers()
    return member


def register(hub: Cluster, member: Cluster, *options: str) -> None:
    """Make a cluster a member of the hub, or change how it is one; with more options of `sluice clusters add`."""
    command = [sys.executable, "-m", "sluice", "clusters", "add", member.name, "--no-wait", *options]
    environment = {**os.environ, "KUBECONFIG": str(hub.kubeconfig)}
    done = subprocess.run(
        [*command, "--kubeconfig", str(member.kubeconfig)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"sluice clusters add {member.name}: {done.stdout}{done.stderr}")


@asynccontextmanager
async def opened(clusters: Iterable[Cluster]) -> AsyncIterator[list[Api]]:
    """A client of each, as its administrator."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Api(each.server, str(each.ca_file), each.admin_token)) for each in clusters
        ]


async def populate(hub: Api, members: Sequence[Api], names: Sequence[str]) -> None:
    """Everything but the Rollouts: in each member slots and routes, and as many routes for the bare client."""
    for api in (hub, *members):
        await api.create_all(fleet.namespace(name) for name in (HOME, BARE_HOME, "bare"))
    made = [each for app in names for each in (*fleet.slots(HOME, app), fleet.route(HOME, app))]
    made += [fleet.route(BARE_HOME, app, FIRST_WEIGHT, _PADDING) for app in names]
    await asyncio.gather(*(api.create_all(made) for api in members))


async def patch_routes(api: Api, names: Sequence[str], body: list[Obj]) -> None:
    """The same JSON Patch for each of the routes `<namespace>/<name>` of a member."""
    await asyncio.gather(*(api.json("PATCH", route_path(name), body, JSON_PATCH) for name in names))


def rollout(app: str) -> tuple[str, Obj]:
    """A Rollout over all members in one batch; `fleet.release` sends it to 10 %, and then to 50 %."""
    path, made = fleet.rollout(HOME, app)
    steps: list[Obj] = [{"setWeight": FIRST_WEIGHT}, {"pause": {}}, {"setWeight": SECOND_WEIGHT}, {"pause": {}}]
    made["spec"]["strategy"] = {"canary": {"steps": steps}}
    made["spec"]["progressDeadline"] = "2h"  # however busy the machine is
    made["spec"]["fleet"] = {"batches": [{"name": "all"}]}
    return path, made


def promotion(app: str, of: Obj) -> tuple[str, Obj]:
    """What lets a Rollout leave its pause."""
    number, step = of["status"]["fleet"]["revision"]["number"], of["status"]["step"]["index"]
    spec = {"rollout": app, "action": "Promote", "revision": number, "reason": "bench"}
    kinds = {"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutAction"}
    body = {**kinds, "metadata": {"name": f"{app}-{number}-{step}"}, "spec": spec}
    return f"{SLUICE}/namespaces/{HOME}/rolloutactions", body


def awaits_promotion(step: int) -> Test:
    """A test for Rollouts that wait for a person at a step: every member did the one before."""

    def test(obj: Obj) -> bool:
        status = obj.get("status", {})
        if (status.get("step") or {}).get("index") != step:
            return False
        return any(each.get("reason") == "AwaitsPromotion" for each in status.get("conditions", ()))

    return test


def at_weight(percent: int) -> Test:
    """A test for routes whose candidate has a weight, accepted."""
    return lambda obj: fleet.green_weight(obj) == percent and fleet.accepted(obj)


async def ready_members(hub: Api, count: int, seconds: float = 180.0) -> None:
    """Wait until so many MemberClusters are Ready."""
    async with asyncio.timeout(seconds):
        while True:
            listed = await hub.json("GET", MEMBER_CLUSTERS)
            told = [each.get("status", {}).get("conditions", ()) for each in listed["items"]]
            ready = [any((c["type"], c["status"]) == ("Ready", "True") for c in conditions) for conditions in told]
            if sum(ready) >= count:
                return
            await asyncio.sleep(0.1)
