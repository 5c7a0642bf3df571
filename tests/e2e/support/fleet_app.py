"""One application in four members under one Rollout on the hub: make it, release to it, read what a user would see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import yaml

from e2e.recorder import share_of
from e2e.support.app import GATEWAY, MERGE, SLUICE, App, Json
from e2e.support.four import Four, Members, Place
from e2e.support.traffic import Steady
from e2e.support.waiting import PLENTY_SECONDS, until
from e2e.support.workload import Workload
from testbed import ApiError, apps, pods, sample
from testbed.apps import SLOTS

ALL = {"name": "all"}
_GROWING = {"Promote", "Retry"}


class Leg:
    """The app in one member: two slots of pods, or what looks like them, behind a route."""

    def __init__(self, place: Place, namespace: str, name: str, host: str) -> None:
        self.place = place
        self.cluster = place.cluster
        self.name = place.name
        self.namespace = namespace
        self.app = name
        self.host = host

    def deploy(self, version: str) -> None:
        """Make everything; blue (v1) serves, green has the other version."""
        plane = self.place.plane
        if plane is None:
            self.cluster.apply(yaml.safe_dump_all(self._by_hand()), server_side=True)
            return
        self.cluster.apply(
            apps.two_slots(self.namespace, self.app, self.host, green_version=version, grace_seconds=1),
            server_side=True,
        )
        plane.wait_weights(self.host, {f"{self.app}-blue": 100})
        for slot in SLOTS:
            plane.wait_endpoints(self.namespace, f"{self.app}-{slot}", 2)

    def _by_hand(self) -> Iterator[Json]:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        for number, slot in enumerate(SLOTS, 1):
            name = f"{self.app}-{slot}"
            port = {"name": "http", "port": 80}
            metadata: Json = {"name": name, "namespace": self.namespace}
            yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [port]}}
            yield {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080}],
                "endpoints": [{"addresses": [f"192.0.2.{number}"], "conditions": {"ready": True}}],
            }
        yield apps.weighted_route(
            self.namespace,
            self.app,
            self.host,
            {f"{self.app}-{slot}": share for slot, share in zip(SLOTS, (100, 0), strict=True)},
        )

    # ------------------------------------------------------------------ reading

    @property
    def route_path(self) -> str:
        """Of the HTTPRoute."""
        return f"{GATEWAY}/namespaces/{self.namespace}/httproutes/{self.app}"

    @property
    def part_path(self) -> str:
        """Of the MemberRollout."""
        return f"{SLUICE}/namespaces/{self.namespace}/memberrollouts/{self.app}"

    def percent(self) -> float:
        """Green's share of the route, in percent."""
        rules = self.cluster.get(self.route_path)["spec"]["rules"]
        return round(100 * max(share_of(rule, f"{self.app}-green") for rule in rules), 2)

    def part(self) -> Json:
        """The MemberRollout; empty where there is none."""
        try:
            found: Json = self.cluster.get(self.part_path)
        except ApiError as error:
            if error.status != 404:
                raise
            return {}
        return found

    @property
    def phase(self) -> str:
        """Of the MemberRollout; "" before it has one."""
        return str((self.part().get("status") or {}).get("phase", ""))

    def runs(self) -> list[Json]:
        """The MemberRolloutRuns."""
        found: list[Json] = self.cluster.get(f"{SLUICE}/namespaces/{self.namespace}/memberrolloutruns")["items"]
        return found

    # ------------------------------------------------------------------ as somebody else

    def claim(self, status: Json) -> None:
        """Somebody with the right to it edits the MemberRollout's status; fields that are None are removed."""
        self.cluster.client.checked("PATCH", f"{self.part_path}/status", {"status": status}, MERGE)

    def lead_by(self, hub: str, spec: Json) -> Json:
        """Another hub has a MemberRollout of the app's name here; returns it."""
        body = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "MemberRollout",
            "metadata": {"name": self.app, "annotations": {"sluice.dev/hub": hub}},
            "spec": spec,
        }
        made: Json = self.cluster.client.checked("POST", self.part_path.rpartition("/")[0], body)
        return made

    # ------------------------------------------------------------------ waiting

    def wait_percent(self, percent: float, timeout: float = PLENTY_SECONDS) -> None:
        """Wait until green has this share, of the route and, where there is one, in Envoy."""
        until(lambda: self.percent() == percent, f"{percent} % in {self.name}", timeout)
        plane = self.place.plane
        if plane is not None:
            wanted = _shares({f"{self.app}-blue": 100 - percent, f"{self.app}-green": percent})
            what = f"Envoy in {self.name} to have {percent} %"
            until(lambda: _shares(plane.weights(self.host)) == wanted, what, timeout)

    def wait_serves(self, slot: str, count: int) -> None:
        """Wait until a slot has everything, and so many pods."""
        if self.place.plane is None:
            raise AssertionError(f"{self.name} has no traffic")
        self.place.plane.wait_weights(self.host, {f"{self.app}-{slot}": 100})
        self.place.plane.wait_endpoints(self.namespace, f"{self.app}-{slot}", count)

    def wait_gone(self, slot: str) -> None:
        """Wait until nothing runs in a slot of Sluice's."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.app}-{slot}"
        until(lambda: not self.cluster.get(path).get("status", {}).get("replicas"), f"no pod in {slot} of {self.name}")

    def only(self, version: str, count: int = 300) -> None:
        """Insist that every request sent now is answered by one version."""
        if self.place.plane is None:
            raise AssertionError(f"{self.name} has no traffic")
        seen = sample(self.host, count, self.place.plane.envoy_address)
        assert seen == Counter({version: count}), f"{self.name}: {seen}"

    def steady(self, rate: float) -> Steady:
        """Load in which no request may fail."""
        if self.place.plane is None:
            raise AssertionError(f"{self.name} has no traffic")
        return Steady(self.host, rate, self.place.plane.envoy_address, connections=8)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values()) or 1
    return {name: round(weight / total, 4) for name, weight in weights.items() if weight}


class FleetApp(App):
    """An app in every member, and on the hub the Rollout over them.

    Versions: ``v1`` runs in blue everywhere, which serves at first; ``v2`` in green, or what :meth:`deploy` was told.

    Args:
        members: where it is.
        like: gives hub, namespace, name and host.
    """

    def __init__(self, members: Members, like: App) -> None:
        super().__init__(like.hub, like.data_plane, namespace=like.namespace, name=like.name, host=like.host)
        self.legs = {name: Leg(place, like.namespace, like.name, like.host) for name, place in members.places.items()}

    def __getitem__(self, member: str) -> Leg:
        return self.legs[member]

    # ------------------------------------------------------------------ making

    def everywhere(self, **versions: str) -> FleetApp:
        """Make it in every member, and its namespace on the hub; ``member_2="v2-bad"`` puts that into green there."""
        self.hub.apply(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda leg: leg.deploy(versions.get(leg.name.replace("-", "_"), "v2")), self.legs.values()))
        return self

    def lead(self, strategy: Json, *, selector: Json | None = None, **spec: Any) -> FleetApp:
        """Apply the Rollout over all members, or those that a selector matches; wait until v1 serves everywhere."""
        fleet = {"batches": [ALL], **({"selector": selector} if selector else {})}
        self.manage(strategy, fleet=fleet, **spec)
        return self

    def ship(self, *batches: Json, version: str = "v2", active: str = "green", **fleet: Any) -> None:
        """Ask for green, by these batches; ``fleet`` is more of ``spec.fleet``."""
        workload = {"active": active, "version": version}
        self.patch_rollout({"workload": workload, "fleet": {"batches": list(batches), **fleet}})

    def shown_by(self, version: str, /, **gauges: float) -> None:
        """Let the pods of a version show gauges, in every member where there are any; waits for nothing."""
        pods().gauges(self.namespace, version, **gauges)

    @contextmanager
    def loaded(self, rate: float = 50.0) -> Iterator[dict[str, Steady]]:
        """Load on every member that has traffic; no request may fail."""
        with ExitStack() as stack:
            yield {
                leg.name: stack.enter_context(leg.steady(rate))
                for leg in self.legs.values()
                if leg.place.plane is not None
            }

    # ------------------------------------------------------------------ people

    def act(
        self, action: str, *, revision: int | None = None, reason: str = "", timeout: float = PLENTY_SECONDS
    ) -> Json:
        """As of any app, for the fleet's present revision where none is given."""
        if revision is None and action in _GROWING:
            revision = self.number
        return super().act(action, revision=revision, reason=reason, timeout=timeout)

    # ------------------------------------------------------------------ reading

    @property
    def number(self) -> int:
        """Of the current or last run."""
        return int(((self.status.get("fleet") or {}).get("revision") or {}).get("number", 0))

    def fleet_run(self, number: int) -> Json:
        """A FleetRun."""
        found: Json = self.hub.get(f"{SLUICE}/namespaces/{self.namespace}/fleetruns/{self.name}-{number}")
        return found

    def fleet_runs(self) -> list[Json]:
        """All FleetRuns of the app, by number."""
        found = self.hub.get(f"{SLUICE}/namespaces/{self.namespace}/fleetruns")["items"]
        return sorted(found, key=lambda each: each["spec"]["revision"])

    def notable(self) -> dict[str, Json]:
        """The clusters that the status names."""
        return {each["name"]: each for each in (self.status.get("fleet") or {}).get("clusters", ())}

    def percents(self, *members: str) -> dict[str, float]:
        """Green's share in these members, or all."""
        return {name: self.legs[name].percent() for name in members or self.legs}

    # ------------------------------------------------------------------ waiting

    def wait_batch(self, name: str, *, stage: str = "Moving", step: int | None = None) -> Json:
        """Wait until the run is in a batch's stage, and step where one is given; for what lasts until the test acts."""

        def there() -> Json | None:
            status = self.status
            batch = (status.get("fleet") or {}).get("batch") or {}
            at = (status.get("step") or {}).get("index")
            return status if (batch.get("name"), batch.get("stage")) == (name, stage) and step in {None, at} else None

        return until(there, f"{self} to be in batch {name}, {stage}, step {step}")

    def wait_awaits(self) -> Json:
        """Wait until the run waits for a person; returns the condition."""
        return self.wait_condition("Paused", "True", "AwaitsPromotion")

    def wait_outcome(self, number: int, timeout: float = PLENTY_SECONDS) -> str:
        """Wait until a run has ended and its clusters rest, and return how."""

        def over() -> str | None:
            status = self.status
            revision = status["fleet"].get("revision") or {}
            rests = not status["fleet"].get("batch") and not any(
                each["phase"] == "Returning" for each in status["fleet"].get("clusters", ())
            )
            return (
                str(revision["outcome"])
                if revision.get("number") == number and rests and "outcome" in revision
                else None
            )

        return until(over, f"run {number} of {self} to end", timeout)

    # ------------------------------------------------------------------ ending, failing

    def dump(self) -> str:
        """What a person would look at, on the hub and in every member."""
        parts = [super().dump(), self.hub.kubectl("-n", self.namespace, "get", "fleetruns", "-o", "yaml", check=False)]
        for leg in self.legs.values():
            told = leg.cluster.kubectl(
                *("-n", self.namespace, "--request-timeout=3s", "get", "memberrollouts,memberrolloutruns,httproutes"),
                *("-o", "yaml"),
                check=False,
            )
            parts.append(f"--- in {leg.name}\n{told}")
        return "\n".join(parts)


MakeFleetApp: TypeAlias = Callable[[], FleetApp]


class FleetWorkload(FleetApp):
    """One whose pods Sluice runs, in the members that have pods: a version is the tag of an image."""

    def __init__(self, four: Four, like: App) -> None:
        super().__init__(four, like)
        self.legs = {name: leg for name, leg in self.legs.items() if leg.place.plane is not None}
        self._pods = Workload(self.hub, self.data_plane, namespace=self.namespace, name=self.name, host=self.host)
        self._pods.replicas, self._pods.grace_seconds = 2, 1

    def lead(self, strategy: Json, *, selector: Json | None = None, **spec: Any) -> FleetWorkload:
        """Make namespaces and routes, apply the Rollout, and wait until v1 serves in each."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.hub.apply(yaml.safe_dump(namespace))
        for leg in self.legs.values():
            route = self._pods.route_manifest({self.blue: 100, self.green: 0})
            leg.cluster.apply(yaml.safe_dump_all([namespace, route]), server_side=True)
        members = {"matchExpressions": [{"key": "member", "operator": "In", "values": list(self.legs)}]}
        self._pods.apply_template(strategy, fleet={"batches": [ALL], "selector": selector or members}, **spec)
        self.wait_phase("Healthy")
        for leg in self.legs.values():
            leg.wait_serves("blue", 2)
        return self

    def ship(self, *batches: Json, version: str = "v2", active: str = "green", **fleet: Any) -> None:
        """Change the image's tag, by these batches; ``active`` says where that will run."""
        self.patch_rollout({"fleet": {"batches": list(batches), **fleet}})
        self._pods.ship(version)
