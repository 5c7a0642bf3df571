"""Simulated requests: who gets them follows from the weights and endpoints in force as virtual time passes.

A route's weights are in force from the moment the gateway has accepted them, not from the moment they were written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from sluice.api.names import Kind
from sluice.decide.revision import image_version
from sluice.ports import Clock, Obj
from sluice.sim.cluster import FakeCluster
from sluice.sim.gateway import SERVICE_NAME_LABEL
from sluice.sim.store import Change

ROUTES = (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE)
NOBODY = ""  # the version that answers where there is none: an error of the gateway's

SWITCH_SECONDS = 1.0  # in which slices that change after a selector do so because of it

Mix = dict[str, float]
"""Share (0 to 1) of requests by version; together 1."""
Began = Literal["weights", "endpoints"]
"""What changed: weights (or a selector), or the endpoints."""


@dataclass(slots=True)
class Tally:
    """Requests so far, by version. Fractions are kept, so that small shares add up."""

    requests: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Gap:
    """A time in which requests were sent to a Service that had no ready endpoint.

    Attributes:
        service: its name; "" where all weights of a route were 0.
        share: the greatest share (0 to 1) of the requests that went there.
        cause: what began it: another weight (or selector), or the endpoints' going.
        began_at: virtual seconds.
        ended_at: likewise; None while it lasts.
    """

    service: str
    share: float
    cause: Began
    began_at: float
    ended_at: float | None = None


class Traffic:
    """Sends a steady stream of requests to one entry: a route, or a plain Service.

    A Pod's version is its image's tag; pods that are no objects have that of their group.

    Args:
        cluster: where the entry is.
        clock: virtual time.
        entry: kind, namespace and name.
        versions: the version that each group of pods runs; settle before changing it, look after.
        error_ratios: by version, the share (0 to 1) of its answers that fail.
        requests_per_second: of the stream.

    Attributes:
        tally: the requests so far; `settle` brings it up to date.
        gaps: when and where requests reached no ready pod, oldest first.
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
        self.gaps: list[Gap] = []
        self._switched_at = float("-inf")
        self._images: dict[str, str] = {}
        self._weights: dict[str, int] = {}
        self._mix: Mix = {}
        self._settled_at = clock.monotonic()
        cluster.on_change.append(self._on_change)
        self.look()

    @property
    def mix(self) -> Mix:
        """Who gets which share of the requests now. Empty where no configuration is in force yet."""
        return dict(self._mix)

    @property
    def shares(self) -> dict[str, float]:
        """Which Service is sent which share (0 to 1) of the requests now, whether it has endpoints or not."""
        total = sum(self._weights.values())
        return {service: weight / total if total else 0.0 for service, weight in self._weights.items()}

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
        meta = change.after["metadata"]
        kind, namespace, name = self._entry
        if meta.get("namespace") != namespace:
            return
        if change.kind is Kind.ENDPOINT_SLICE:
            concerned = meta.get("labels", {}).get(SERVICE_NAME_LABEL) in self._weights
        else:
            concerned = change.kind is kind and meta["name"] == name
        if concerned:
            self.settle()
            self.look(self._what(change))

    def _what(self, change: Change) -> Began:
        """What a change is to those who send requests; slices trail the selector of a Service that is switched."""
        now = self._clock.monotonic()
        if change.kind is Kind.SERVICE and change.before and change.before["spec"] != change.after["spec"]:
            self._switched_at = now
        slices = change.kind is Kind.ENDPOINT_SLICE
        return "endpoints" if slices and now - self._switched_at > SWITCH_SECONDS else "weights"

    def look(self, changed: Began = "endpoints") -> None:
        """Take up what is in force now; needed by hand only after a change of `versions`."""
        self._weights = self._in_force()
        total = sum(self._weights.values())
        unserved: Mix = {}
        self._mix = {}
        for service, weight in self._weights.items() if total else ():
            serving = self._serving(service)
            if NOBODY in serving:
                if not weight:
                    continue
                unserved[service] = weight / total
            for version, share in serving.items():
                self._mix[version] = self._mix.get(version, 0.0) + share * weight / total
        if self._weights and not total:
            self._mix = unserved = {NOBODY: 1.0}
        self._note_gaps(unserved, changed)

    def _in_force(self) -> dict[str, int]:
        """The weights by which requests are sent now, by Service."""
        kind, namespace, name = self._entry
        if kind not in ROUTES:
            return {name: 1}
        route = self._cluster.store.peek(kind, namespace, name)
        return weights_of(route) if route is not None and in_force(route) else self._weights

    def _note_gaps(self, unserved: Mix, changed: Began) -> None:
        lasting = {gap.service: gap for gap in self.gaps if gap.ended_at is None}
        now = self._clock.monotonic()
        for service, share in unserved.items():
            if service not in lasting:
                self.gaps.append(Gap(service, share, changed, now))
            else:
                lasting[service].share = max(lasting[service].share, share)
        for service, gap in lasting.items():
            if service not in unserved:
                gap.ended_at = now

    def _serving(self, service: str) -> Mix:
        """The versions behind a Service, by its slices."""
        namespace = self._entry[1]
        versions: Counter[str] = Counter()
        for obj in self._cluster.reader.endpoint_slices(namespace, service):
            ready = [item for item in obj.get("endpoints") or [] if item["conditions"]["ready"]]
            versions.update(self._version(namespace, item["targetRef"]["name"]) for item in ready)
        return {version: count / versions.total() for version, count in versions.items()} or {NOBODY: 1.0}

    def _version(self, namespace: str, pod: str) -> str:
        """What a pod runs; one that went, while its slices do not tell yet, ran what it did."""
        found = self._cluster.store.peek(Kind.POD, namespace, pod)
        if found is not None:
            self._images[pod] = image_version(found) or str(found["spec"]["containers"][0]["image"])
        if pod in self._images:
            return self._images[pod]
        group = pod.rpartition("-")[0]
        return self._versions.get(group, group)


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
