"""Simulated requests: who gets them follows from the weights and endpoints in force as virtual time passes.

A route's weights are in force from the moment the gateway has accepted them, not from the moment they were written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sluice.api.names import Kind
from sluice.ports import Clock, Obj
from sluice.sim.cluster import FakeCluster
from sluice.sim.gateway import SERVICE_NAME_LABEL
from sluice.sim.store import Change

ROUTES = (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE)
NOBODY = ""  # the version that answers where there is none: an error of the gateway's

Mix = dict[str, float]
"""Share (0 to 1) of requests by version; together 1."""


@dataclass(slots=True)
class Tally:
    """Requests so far, by version. Fractions are kept, so that small shares add up."""

    requests: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


class Traffic:
    """Sends a steady stream of requests to one entry: a route, or a plain Service.

    Args:
        cluster: where the entry is.
        clock: virtual time.
        entry: kind, namespace and name.
        versions: the version that each group of pods runs; settle before changing it, look after.
        error_ratios: by version, the share (0 to 1) of its answers that fail.
        requests_per_second: of the stream.
    """

    def __init__(
        self,
        cluster: FakeCluster,
        clock: Clock,
        entry: tuple[Kind, str, str],
        *,
        versions: dict[str, str],
        error_ratios: dict[str, float],
        requests_per_second: float = 100.0,
    ) -> None:
        self.requests_per_second = requests_per_second
        self.tally = Tally()
        self._cluster = cluster
        self._clock = clock
        self._entry = entry
        self._versions = versions
        self._error_ratios = error_ratios
        self._weights: dict[str, int] = {}
        self._mix: Mix = {}
        self._settled_at = clock.monotonic()
        cluster.on_change.append(self._on_change)
        self.look()

    @property
    def mix(self) -> Mix:
        """Who gets which share of the requests now. Empty where no configuration is in force yet."""
        return dict(self._mix)

    def settle(self) -> Tally:
        """Count up to now, and answer the tally so far."""
        now = self._clock.monotonic()
        sent = (now - self._settled_at) * self.requests_per_second
        self._settled_at = now
        for version, share in self._mix.items():
            self.tally.requests[version] += sent * share  # type: ignore[assignment]  # Counter counts floats too
            lost = 1.0 if version == NOBODY else self._error_ratios.get(version, 0.0)
            self.tally.failed[version] += sent * share * lost  # type: ignore[assignment]
        return self.tally

    def _on_change(self, change: Change) -> None:
        if change.kind in (*ROUTES, Kind.ENDPOINT_SLICE):
            self.settle()
            self.look()

    def look(self) -> None:
        """Take up what is in force now; needed by hand only after a change of `versions`."""
        kind, namespace, name = self._entry
        if kind in ROUTES:
            route = self._cluster.store.peek(kind, namespace, name)
            if route is not None and in_force(route):
                self._weights = weights_of(route)
        else:
            self._weights = {name: 1}
        total = sum(self._weights.values())
        self._mix = {}
        for service, weight in self._weights.items():
            for version, share in self._serving(namespace, service).items():
                self._mix[version] = self._mix.get(version, 0.0) + share * weight / total if total else 0.0
        if self._weights and not total:
            self._mix = {NOBODY: 1.0}

    def _serving(self, namespace: str, service: str) -> Mix:
        """The versions behind a Service, by its slices."""
        groups: Counter[str] = Counter()
        for obj in self._cluster.store.all(Kind.ENDPOINT_SLICE, namespace):
            if obj["metadata"].get("labels", {}).get(SERVICE_NAME_LABEL) == service:
                ready = [item for item in obj.get("endpoints") or [] if item["conditions"]["ready"]]
                groups.update(item["targetRef"]["name"].rpartition("-")[0] for item in ready)
        if not groups:
            return {NOBODY: 1.0}
        mix: Mix = {}
        for group, count in groups.items():
            version = self._versions.get(group, group)
            mix[version] = mix.get(version, 0.0) + count / groups.total()
        return mix


def in_force(route: Obj) -> bool:
    """Whether every parent accepted this generation."""
    conditions = [
        condition
        for parent in route.get("status", {}).get("parents", [])
        for condition in parent["conditions"]
        if condition["type"] == "Accepted"
    ]
    generation = route["metadata"]["generation"]
    return bool(conditions) and all(
        condition["status"] == "True" and condition["observedGeneration"] == generation for condition in conditions
    )


def weights_of(route: Obj) -> dict[str, int]:
    """The weights of the first rule's backends, by Service."""
    rules = route["spec"].get("rules") or [{}]
    return {ref["name"]: ref.get("weight", 1) for ref in rules[0].get("backendRefs") or []}
