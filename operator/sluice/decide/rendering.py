"""The objects that Sluice keeps for a slot: its Deployment and its Service, as they are applied. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sluice.api.names import (
    APPLIED_ANNOTATION,
    FIELD_MANAGER,
    GROUP,
    OWNER_ANNOTATION,
    RESTARTED_ANNOTATION,
    REVISION_ANNOTATION,
    REVISION_LABEL,
    ROLLOUT_LABEL,
    SLOT_LABEL,
    Kind,
    Slot,
)
from sluice.api.units import JSON, format_time
from sluice.api.workload import ServicePort, Workload
from sluice.decide.model import Apply

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
PROTOCOLS: tuple[Literal["TCP", "UDP", "SCTP"], ...] = ("TCP", "UDP", "SCTP")


def selector_of(rollout: str, slot: Slot) -> dict[str, str]:
    """The labels that select a slot's pods, and no others."""
    return {ROLLOUT_LABEL: rollout, SLOT_LABEL: slot.value}


def pod_labels(rollout: str, slot: Slot, revision_hash: str, template: JSON) -> dict[str, str]:
    """The labels of a slot's pods: the user's, but for those of Sluice's own."""
    users = _labels(template)
    own = {**selector_of(rollout, slot), REVISION_LABEL: revision_hash}
    return {**{key: value for key, value in users.items() if not key.startswith(f"{GROUP}/")}, **own}


def users_template(template: JSON) -> JSON:
    """A slot's pod template without what Sluice put into it."""
    metadata = dict(template.get("metadata") or {})
    for field in ("labels", "annotations"):
        values = {key: value for key, value in (metadata.get(field) or {}).items() if not key.startswith(f"{GROUP}/")}
        metadata = {**metadata, field: values}
    return {**template, "metadata": {field: value for field, value in metadata.items() if value}}


def revision_in(template: JSON) -> str:
    """The revision whose pods a slot's Deployment makes; "" where that is not told."""
    return _labels(template).get(REVISION_LABEL, "")


def service_ports(workload: Workload, template: JSON) -> tuple[ServicePort, ...]:
    """The ports of the slots' Services: those of the spec, else every containerPort; `targetPort` is always set."""
    if workload.ports:
        return tuple(
            port if port.target_port is not None else port.model_copy(update={"target_port": port.port})
            for port in workload.ports
        )
    found: dict[tuple[int, str], ServicePort] = {}
    for port in _container_ports(template):
        protocol = next((each for each in PROTOCOLS if each == port.get("protocol", "TCP")), None)
        number, name = port.get("containerPort"), port.get("name")
        if isinstance(number, int) and protocol is not None:
            made = ServicePort(
                name=name if isinstance(name, str) else None, port=number, target_port=number, protocol=protocol
            )
            found.setdefault((number, protocol), made)
    return _named(tuple(found.values()))


def _named(ports: tuple[ServicePort, ...]) -> tuple[ServicePort, ...]:
    """The same; where there are several, each with a name of its own, as the API server wants it."""
    if len(ports) < 2:
        return ports
    names: list[str] = []
    for port in ports:
        possible = (port.name, f"port-{port.port}", f"{port.protocol.lower()}-{port.port}")
        names.append(next((name for name in possible if name and name not in names), ""))
    return tuple(port.model_copy(update={"name": name}) for port, name in zip(ports, names, strict=True))


def keeping_targets(ports: tuple[ServicePort, ...], kept: tuple[ServicePort, ...]) -> tuple[ServicePort, ...]:
    """The ports, but those that a Service has already lead to where they do now."""
    targets = {(port.port, port.protocol): port.target_port for port in kept}
    return tuple(
        port.model_copy(update={"target_port": targets.get((port.port, port.protocol), port.target_port)})
        for port in ports
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A slot of a Rollout; `name` is that of its Deployment and of its Service, `owner` how both name the Rollout."""

    rollout: str
    slot: Slot
    name: str
    owner: str

    @property
    def _metadata(self) -> JSON:
        labels = {MANAGED_BY_LABEL: FIELD_MANAGER, **selector_of(self.rollout, self.slot)}
        return {"labels": labels, "annotations": {OWNER_ANNOTATION: self.owner}}

    def service(self, ports: Iterable[ServicePort], *, uid: str, external: bool = False) -> Apply:
        """The slot's Service; `sluice.dev/applied` tells what it shall say.

        Its type is others' to choose, unless it leads out of the cluster: `external`.
        """
        spec: JSON = {"selector": selector_of(self.rollout, self.slot), "ports": [port.dump() for port in ports]}
        metadata = self._metadata
        metadata["annotations"] |= {APPLIED_ANNOTATION: _digest(spec)}
        if external:
            spec["type"] = "ClusterIP"
        return Apply(Kind.SERVICE, self.name, {"metadata": metadata, "spec": spec}, uid)

    def deployment(self, content: Content, *, uid: str) -> Apply:
        """The slot's Deployment. `sluice.dev/applied` tells this write, and each repair of it, from every other."""
        spec: JSON = {
            "replicas": content.replicas,
            "selector": {"matchLabels": selector_of(self.rollout, self.slot)},
            "minReadySeconds": content.min_ready_seconds,
            "revisionHistoryLimit": 2,
            # A restart, too, never has less than it needs.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": self._pods(content),
        }
        metadata = self._metadata
        # The revision stands for its template, which may be at hand as written or with the API server's defaults.
        content_of = {**spec, "template": [content.hash, content.restarted_at and format_time(content.restarted_at)]}
        applied = f"{_digest(content_of)}.{content.repairs}"
        metadata["annotations"] |= {REVISION_ANNOTATION: content.hash, APPLIED_ANNOTATION: applied}
        return Apply(Kind.DEPLOYMENT, self.name, {"metadata": metadata, "spec": spec}, uid)

    def _pods(self, content: Content) -> JSON:
        users = users_template(content.template)
        annotations = dict(users["metadata"].get("annotations") or {})
        if content.restarted_at is not None:
            annotations[RESTARTED_ANNOTATION] = format_time(content.restarted_at)
        labels = pod_labels(self.rollout, self.slot, content.hash, content.template)
        return {"metadata": {"labels": labels, "annotations": annotations}, "spec": users.get("spec") or {}}


@dataclass(frozen=True, slots=True)
class Content:
    """What a slot's Deployment shall run. `repairs` counts the times that somebody else's write was put back."""

    hash: str
    template: JSON
    replicas: int
    min_ready_seconds: int = 0
    restarted_at: datetime | None = None
    repairs: int = 0


def applied_of(apply: Apply) -> str:
    """What tells the write of a Deployment or Service from every other."""
    return str(apply.body["metadata"]["annotations"][APPLIED_ANNOTATION])


def _labels(template: JSON) -> dict[str, str]:
    labels = (template.get("metadata") or {}).get("labels") or {}
    return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}


def _container_ports(template: JSON) -> Iterable[JSON]:
    for container in (template.get("spec") or {}).get("containers") or ():
        if isinstance(container, dict):
            yield from (port for port in container.get("ports") or () if isinstance(port, dict))


def _digest(content: object) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]
