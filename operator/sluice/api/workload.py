"""What a Rollout runs: its own pods in two slots, or two Services that somebody else keeps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from sluice.api.common import Model
from sluice.api.names import Slot
from sluice.api.units import Duration, Share


class SlotServices(Model):
    """The Service of each slot. Their selectors never change."""

    blue: str
    green: str

    def of(self, slot: Slot) -> str:
        """The name of a slot's Service."""
        return self.blue if slot is Slot.BLUE else self.green

    @classmethod
    def named_after(cls, rollout: str) -> SlotServices:
        """The Services, and Deployments, that Sluice keeps for a Rollout."""
        return cls(blue=f"{rollout}-{Slot.BLUE}", green=f"{rollout}-{Slot.GREEN}")


class ServicePort(Model):
    """A port of the slots' Services. Without `targetPort` it is the port itself."""

    name: str | None = None
    port: int
    target_port: int | str | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str | None = None


class WorkloadRef(Model):
    """A Deployment that somebody else (Git, Helm) keeps: its pod template is what shall run.

    `scale_down`: whether its own pods are ended once the slots serve.
    """

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    name: str
    scale_down: Literal["OnceServing", "Never"] = "OnceServing"


class RoleMetadata(Model):
    """Labels and annotations for the pods of one role; they change hands without a restart."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Workload(Model):
    """Exactly one of `template`, `workload_ref` and `services` is set.

    `replicas` is the capacity for all of the traffic, `ports` (by default every containerPort) are the slot Services'.
    `active` goes with `services`: the slot that shall end up serving. All but `version` means nothing with `services`.
    """

    template: dict[str, Any] | None = None
    workload_ref: WorkloadRef | None = None
    services: SlotServices | None = None
    active: Slot | None = None
    version: str | None = None
    replicas: int = 1
    min_ready_seconds: int = 0
    ports: tuple[ServicePort, ...] = ()
    scale_down_delay: Duration = timedelta(minutes=10)
    drain: Duration = timedelta(seconds=10)
    stable_metadata: RoleMetadata = RoleMetadata()
    candidate_metadata: RoleMetadata = RoleMetadata()

    @property
    def managed(self) -> bool:
        """Whether Sluice runs the pods."""
        return self.services is None

    def services_of(self, rollout: str) -> SlotServices:
        """The slots' Services of the Rollout of that name."""
        return self.services or SlotServices.named_after(rollout)


class ByWeight(Model):
    """Pods follow the weight, but are at least so many."""

    min: int = 1


class CanarySize(Model):
    """How many pods the candidate has while it has part of the traffic: exactly one of the fields is set.

    By weight; a number; enough for a share; or enough for all. For all of the traffic it always gets enough for all.
    """

    by_weight: ByWeight | None = None
    replicas: int | None = None
    share: Share | None = None
    full: Literal[True] | None = None
