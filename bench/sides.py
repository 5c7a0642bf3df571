"""The two that are compared, Sluice and the bare client: how each is exposed, and how each is tripped."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import fleet
from sluice.adapters.kube.member import CONNECTIONS
from testbed import Cluster
from testbed.processes import Child, session
from wire import CORE, GATEWAY, SLUICE, Api, Obj, Watch, quiet

BARE = "bare"  # namespace and ServiceAccount of the bare client
_numbers = itertools.count(1)


@dataclass
class Arena:
    """A cluster, and the benchmark's eyes on it. `patience` is how many seconds anything may take."""

    cluster: Cluster
    api: Api
    patience: float = 60.0
    routes: Watch = field(init=False)
    rollouts: Watch = field(init=False)
    switches: list[Watch] = field(init=False)

    async def open(self) -> Arena:
        """Begin to watch."""
        self.routes = await Watch(self.api, f"{GATEWAY}/httproutes").start()
        self.rollouts = await Watch(self.api, f"{SLUICE}/rollouts").start()
        paths = (f"{SLUICE}/killswitches", f"{SLUICE}/clusterkillswitches")
        self.switches = [await Watch(self.api, path).start() for path in paths]
        return self

    def close(self) -> None:
        """End the watches."""
        for watch in self.watches:
            watch.stop()

    @property
    def watches(self) -> list[Watch]:
        """All of them."""
        return [self.routes, self.rollouts, *self.switches]

    async def quiet(self, seconds: float = 0.15) -> None:
        """Wait until nothing changes any more."""
        await quiet(self.watches, seconds)


class Side(Protocol):
    """One of the two."""

    name: str
    routes: Sequence[str]

    async def expose(self) -> None:
        """Bring every route to 50 %, accepted, with all that follows from the last trip behind it."""

    async def trip(self) -> float:
        """Engage the switch. Returns the monotonic time of the API server's answer."""


class SluiceSide:
    """Rollouts at 50 %, and a kill switch that covers them.

    Args:
        arena: where.
        routes: `<namespace>/<name>` of the routes; the Rollouts have the same names.
        home: namespace of the KillSwitch `stop`; "" for a ClusterKillSwitch that covers the Rollouts' namespace.
    """

    name = "sluice"

    def __init__(self, arena: Arena, routes: Sequence[str], home: str) -> None:
        self.routes = routes
        self._arena = arena
        self._home = home
        kind = f"namespaces/{home}/killswitches" if home else "clusterkillswitches"
        self._collection = f"{SLUICE}/{kind}"
        self._engaged = False

    async def prepare(self) -> None:
        """Create the switch."""
        labels = {"bench": self.routes[0].partition("/")[0]}
        scope: Obj = {} if self._home else {"scope": {"namespaceSelector": {"matchLabels": labels}}}
        kind = "KillSwitch" if self._home else "ClusterKillSwitch"
        switch = {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": "stop"}, "spec": scope}
        await self._arena.api.send("POST", self._collection, switch)

    async def expose(self) -> None:
        """Release the switch and give every Rollout a new version, which goes to its 50 % at once."""
        if self._engaged:
            ended = fleet.phase_is("Killed")
            await self._arena.rollouts.until("Rollouts to be Killed", ended, self.routes, self._arena.patience)
            spec = {"engaged": False, "releaseReason": f"trip {next(_numbers)}"}
            await self._arena.api.merge(f"{self._collection}/stop", {"spec": spec})
            self._engaged = False
        patch = fleet.release(str(next(_numbers)))
        at_rest = self._arena.routes.expect("routes at 50 %", fleet.exposed, self.routes)
        waiting = self._arena.rollouts.expect("Rollouts at their pause", fleet.waits_for_person, self.routes)
        await asyncio.gather(*(self._arena.api.merge(rollout_path(name), patch) for name in self.routes))
        await at_rest.at(self._arena.patience)
        await waiting.at(self._arena.patience)

    async def trip(self) -> float:
        """As `kubectl patch killswitch stop` does."""
        spec = {"engaged": True, "reason": "bench"}
        await self._arena.api.merge(f"{self._collection}/stop", {"spec": spec})
        answered_at = time.monotonic()
        self._engaged = True
        return answered_at


class BareSide:
    """Routes at 50 %, and a ConfigMap that the bare client watches."""

    name = "bare"

    def __init__(self, arena: Arena, routes: Sequence[str], switch: str) -> None:
        self.routes = routes
        self._arena = arena
        self._path = f"{CORE}/namespaces/{BARE}/configmaps/{switch}"

    async def expose(self) -> None:
        """Put the weights back by hand."""
        await self._arena.api.merge(self._path, {"data": {"engaged": "false"}})
        at_rest = self._arena.routes.expect("the bare routes at 50 %", fleet.exposed, self.routes)
        body = [
            {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 50},
            {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 50},
        ]
        content = "application/json-patch+json"
        await asyncio.gather(*(self._arena.api.json("PATCH", route_path(name), body, content) for name in self.routes))
        await at_rest.at(self._arena.patience)

    async def trip(self) -> float:
        """Engage the bare client's switch."""
        await self._arena.api.merge(self._path, {"data": {"engaged": "true"}})
        return time.monotonic()


async def measure(arena: Arena, side: Side) -> tuple[float, float]:
    """Trip. Returns the monotonic times of the answer to the switch's patch, and of the last weight seen at 0."""
    gone = arena.routes.expect(f"{side.name} to take the candidate away", fleet.diverted, side.routes)
    answered_at = await side.trip()
    return answered_at, await gone.at(arena.patience)


async def start_bare(
    arena: Arena, routes: Mapping[str, Sequence[str]], members: Mapping[str, tuple[Cluster, Api]] | None = None
) -> Child:
    """Start the bare client with an account of its own, and wait until it watches.

    Args:
        arena: where its switches are.
        routes: `<namespace>/<name>` of the routes to patch, by the name of their switch.
        members: the clusters in which these routes are, by name, where that is another than the switches'.
    """
    places = members or {}
    for api in (arena.api, *(api for _, api in places.values())):
        await _admit(api)
    for switch in routes:
        body = {"metadata": {"name": switch}, "data": {"engaged": "false"}}
        await arena.api.send("POST", f"{CORE}/namespaces/{BARE}/configmaps", body)
    order = {
        **_access(arena.cluster),
        "namespace": BARE,
        "routes": {switch: [route_path(name) for name in names] for switch, names in routes.items()},
        "members": [{**_access(cluster), "connections": CONNECTIONS} for cluster, _ in places.values()],
    }
    return await spawn("bare", order)


async def _admit(api: Api) -> None:
    """Make the account, with its rights."""
    names = {"metadata": {"name": BARE}}
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["patch"]},
    ]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": BARE}
    subject = {"kind": "ServiceAccount", "name": BARE, "namespace": BARE}
    await api.send("POST", f"{CORE}/namespaces/{BARE}/serviceaccounts", names)
    await api.send("POST", f"{rbac}/clusterroles", {**names, "rules": rules})
    await api.send("POST", f"{rbac}/clusterrolebindings", {**names, "roleRef": role, "subjects": [subject]})


def _access(cluster: Cluster) -> Obj:
    token = cluster.token_for(BARE, BARE, 6 * 3600)
    return {"server": cluster.server, "ca_file": str(cluster.ca_file), "token": token}


async def spawn(script: str, order: Obj) -> Child:
    """Start one of this folder's processes, and wait until it says that it is ready."""
    path = Path(__file__).parent / f"{script}.py"
    child = session().spawn(f"{script}-{next(_numbers)}", [sys.executable, path], stdin=True)
    assert child.popen.stdin is not None
    with child.popen.stdin as pipe:  # ten thousand routes are too long for an argument
        await asyncio.to_thread(pipe.write, json.dumps(order).encode())
    deadline = time.monotonic() + 20
    while "ready" not in child.log.read_text():
        child.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{script} is not ready after 20 s: {child.tail()}")
        await asyncio.sleep(0.05)
    return child


def route_path(name: str) -> str:
    """The API path of an HTTPRoute."""
    home, _, app = name.partition("/")
    return f"{GATEWAY}/namespaces/{home}/httproutes/{app}"


def rollout_path(name: str) -> str:
    """The API path of a Rollout."""
    home, _, app = name.partition("/")
    return f"{SLUICE}/namespaces/{home}/rollouts/{app}"
