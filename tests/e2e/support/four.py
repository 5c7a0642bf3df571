"""Four members beside the world's hub: two with traffic and a Prometheus of their own, two that keep objects only.

A real controller takes the routes of the first two, and pods answer; of the others a thread here says that their routes
are accepted, and their endpoints are written by hand. The operator cannot tell the difference.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from e2e.support.fleet import Fleet
from e2e.support.world import MEMBER_PROBE_SECONDS, World
from installation import Operator
from testbed import ApiError, ApiUnreachableError, Cluster, DataPlane, builder

FULL = ("member-1", "member-2")
LIGHT = ("member-3", "member-4")
_TOKENS = "serviceaccount-token"  # the one controller that a member without pods needs
_ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
_ACCOUNT = "system:serviceaccount:sluice-system:sluice-member"
_OK = 200
_REFUSED = 4  # hundred
_LOOK_SECONDS = 0.05
Json = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A member: its cluster, and its data plane where it has one."""

    cluster: Cluster
    plane: DataPlane | None

    @property
    def name(self) -> str:
        """Of the MemberCluster."""
        return self.cluster.name

    def answers(self) -> bool:
        """Whether its API server does."""
        try:
            return self.cluster.request("GET", "/readyz")[0] == _OK
        except ApiUnreachableError:
            return False

    def catch_up(self) -> None:
        """Its API server was away: have those who follow it do so again, rather than in a minute."""
        if self.plane is not None:
            self.plane.restart_contour()

    def stop(self) -> None:
        """End it."""
        if self.plane is not None:
            self.plane.stop()
        self.cluster.stop()
        self.cluster.client.close()


@dataclass(frozen=True)
class Members:
    """Registered members.

    Attributes:
        fleet: what the hub says of them.
        places: by name, in order.
    """

    fleet: Fleet
    places: dict[str, Place]

    @property
    def world(self) -> World:
        """With the hub."""
        return self.fleet.world

    @property
    def hub(self) -> Cluster:
        """Where the Rollouts are."""
        return self.fleet.hub

    def cluster(self, name: str) -> Cluster:
        """A member's cluster."""
        return self.places[name].cluster


@dataclass(frozen=True)
class Four(Members):
    """Four of them, and the one operator that leads them.

    Attributes:
        operator: the only replica; it keeps its name over restarts.
    """

    operator: Operator


def writes_of_operator(cluster: Cluster, since: datetime) -> list[Json]:
    """The audit log's word on what a member's account wrote there, as it arrived: what was refused is not in it.

    An entry of 500 or more may be of a write that was carried out: of one whose client gave up in that moment it says
    504, stored or not. Questions (access reviews) are no writes, though they are created.
    """
    if cluster.audit_log is None:
        raise AssertionError(f"{cluster.name} keeps no audit log")
    entries = [json.loads(line) for line in cluster.audit_log.read_text().splitlines() if line.endswith("}")]
    written = [
        entry
        for entry in entries
        if entry["user"].get("username") == _ACCOUNT  # a server that starts knows nobody yet, and says 401
        and entry["verb"] in {"create", "update", "patch", "delete"}
        and entry["objectRef"]["resource"] != "selfsubjectaccessreviews"
        and entry["responseStatus"]["code"] // 100 != _REFUSED
    ]
    return sorted((entry for entry in written if _received_at(entry) >= since), key=_received_at)


def _received_at(entry: Json) -> datetime:
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


class Gatekeeper:
    """Stands for a Gateway's controller: accepts every route of a cluster, at each of its generations.

    It looks again and again, so that neither an outage of the API server nor a lost answer leaves a route behind.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"gatekeeper of {cluster.name}")
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing any more."""
        self._ended.set()
        self._thread.join(60)

    def _work(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            with contextlib.suppress(ApiError, ApiUnreachableError):
                for route in self._cluster.get(_ROUTES)["items"]:
                    self._accept(route)

    def _accept(self, route: Json) -> None:
        metadata, generation = route["metadata"], route["metadata"]["generation"]
        reports = (route.get("status") or {}).get("parents", ())
        known = [condition for report in reports for condition in report["conditions"]]
        if "deletionTimestamp" in metadata or any(each["observedGeneration"] == generation for each in known):
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "",
                "observedGeneration": generation,
                "lastTransitionTime": now,
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [
            {"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions}
            for parent in route["spec"]["parentRefs"]
        ]
        path = f"{_ROUTES.removesuffix('/httproutes')}/namespaces/{metadata['namespace']}/httproutes/{metadata['name']}"
        self._cluster.client.checked(
            "PATCH", f"{path}/status", {"status": {"parents": parents}}, "application/merge-patch+json"
        )


@contextmanager
def four_members(world: World) -> Iterator[Four]:
    """Start and register them, all at once, and end them."""
    with _started(*FULL, *LIGHT) as places, world.lone_operator() as operator:
        urls = {name: place.plane.prometheus_url for name, place in places.items() if place.plane is not None}
        often = ["--member-probe-seconds", str(MEMBER_PROBE_SECONDS)]
        # This machine's own addresses are asked only where the operator's configuration names them.
        operator.arguments += [*often, *(word for url in urls.values() for word in ("--allow-address", url))]
        operator.start()
        fleet = Fleet(world, [place.cluster for place in places.values()])
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: _register(fleet, places[name], urls), places))
        yield Four(fleet, places, operator)
        fleet.forget(*places)


@contextmanager
def light_members(world: World) -> Iterator[Members]:
    """Those that keep objects only, registered with whatever replicas run, and ended."""
    with _started(*LIGHT) as places:
        fleet = Fleet(world, [place.cluster for place in places.values()])
        for place in places.values():
            fleet.add(place.cluster)
        yield Members(fleet, places)
        fleet.forget(*places)


@contextmanager
def _started(*names: str) -> Iterator[dict[str, Place]]:
    with ThreadPoolExecutor() as pool:
        starting = [pool.submit(_start, name) for name in names]
        places = {place.name: place for place in (each.result() for each in starting)}
    keepers = [Gatekeeper(place.cluster) for place in places.values() if place.plane is None]
    try:
        yield places
    finally:
        for keeper in keepers:
            keeper.stop()
        for place in places.values():
            place.stop()


def _start(name: str) -> Place:
    if name in FULL:
        cluster = Cluster.start(name, audit=True)
        return Place(cluster, DataPlane.start(cluster))
    cluster = Cluster.start(name, controllers=_TOKENS, audit=True)
    for path in builder.files("contour", "gateway-api"):
        if "kustomization" not in path.name:
            cluster.kubectl("create", "--validate=false", "-f", str(path))
    cluster.wait(lambda: cluster.request("GET", _ROUTES)[0] == 200, 60, "the Gateway API's kinds")
    return Place(cluster, None)


def _register(fleet: Fleet, place: Place, urls: dict[str, str]) -> None:
    """Who has no Prometheus is measured by the first member's, which both of them are given as theirs."""
    prometheus = urls.get(place.name, urls[FULL[0]])
    fleet.add(place.cluster, "--label", f"member={place.name}", "--prometheus", prometheus)
