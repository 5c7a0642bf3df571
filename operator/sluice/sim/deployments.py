"""The controllers of Deployments and their replica sets: pods as objects, rolled over as Kubernetes does it.

Replica sets are not stored, for nothing reads them. Left out: spec.paused, adoption of pods without an owner, and the
conditions in a Deployment's status.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from dataclasses import dataclass, field

from sluice.api.common import LabelSelector
from sluice.api.names import Kind
from sluice.ports import Clock, Obj
from sluice.sim.cluster import FakeCluster
from sluice.sim.pods import is_ending, is_ready
from sluice.sim.rolling import SetSize, limits, next_targets
from sluice.sim.store import Change

HASH_LABEL = "pod-template-hash"
REVISION_COUNT = "deployment.kubernetes.io/revision"
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


@dataclass(slots=True)
class _ReplicaSet:
    """The pods of one template: `target` is how many there shall be."""

    uid: str
    template: Obj
    target: int = 0
    pods: dict[str, Obj] = field(default_factory=dict)  # by name, those that are about to end too


@dataclass(slots=True)
class _Fleet:
    """A Deployment's replica sets, oldest first, by template hash."""

    namespace: str
    name: str
    uid: str
    sets: dict[str, _ReplicaSet] = field(default_factory=dict)
    desired: int = 0
    revision: int = 0
    newest: str = ""


class FakeDeployments:
    """Keeps the pods of every Deployment in the store.

    Attributes:
        delay_seconds: from a change of a Deployment or of its pods to what follows from it.
    """

    def __init__(self, cluster: FakeCluster, clock: Clock, *, delay_seconds: float = 0.05) -> None:
        self.delay_seconds = delay_seconds
        self._cluster = cluster.as_manager("kube-controller-manager")
        self._clock = clock
        self._fleets: dict[tuple[str, str], _Fleet] = {}
        self._sets: dict[str, tuple[tuple[str, str], _ReplicaSet]] = {}
        self._ready_since: dict[str, float] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._made = 0

    def start(self) -> None:
        """Begin to watch. Needs a running loop."""
        self._cluster.on_change.append(self._on_change)
        for deployment in self._cluster.store.all(Kind.DEPLOYMENT):
            self._touch((deployment["metadata"]["namespace"], deployment["metadata"]["name"]))

    # ------------------------------------------------------------------------------------------ what is told

    def _on_change(self, change: Change) -> None:
        meta = change.after["metadata"]
        if change.kind is Kind.DEPLOYMENT and change.manager != self._cluster.manager:
            self._touch((meta["namespace"], meta["name"]))
        elif change.kind is Kind.POD:
            self._note_pod(change)

    def _note_pod(self, change: Change) -> None:
        pod, meta = change.after, change.after["metadata"]
        owner = next((each["uid"] for each in meta.get("ownerReferences", ()) if each.get("controller")), "")
        if owner in self._sets and change.type != "DELETED" and is_ready(pod):
            self._ready_since.setdefault(meta["uid"], self._clock.monotonic())
        else:
            self._ready_since.pop(meta["uid"], None)
        if owner not in self._sets:
            return
        key, replica_set = self._sets[owner]
        if change.type == "DELETED":
            replica_set.pods.pop(meta["name"], None)
        else:
            replica_set.pods[meta["name"]] = pod
        self._touch(key)

    def _touch(self, key: tuple[str, str], seconds: float | None = None) -> None:
        """Look at a Deployment soon, or after so many seconds unless something happens before."""
        loop = asyncio.get_running_loop()
        at = loop.time() + (self.delay_seconds if seconds is None else seconds)
        if key in self._timers:
            if self._timers[key].when() <= at:
                return
            self._timers[key].cancel()
        self._timers[key] = loop.call_at(at, self._sync, key)

    # ------------------------------------------------------------------------------------------ what follows

    def _sync(self, key: tuple[str, str]) -> None:
        self._timers.pop(key, None)
        deployment = self._cluster.store.peek(Kind.DEPLOYMENT, *key)
        fleet = self._fleets.get(key)
        if fleet is not None and (deployment is None or deployment["metadata"]["uid"] != fleet.uid):
            self._disband(fleet)
            fleet = None
        if deployment is None:
            return
        if fleet is None:
            fleet = self._fleets[key] = _Fleet(*key, uid=deployment["metadata"]["uid"])
            fleet.desired = deployment["spec"].get("replicas", 1)
        self._release(fleet, deployment)
        if "deletionTimestamp" not in deployment["metadata"]:
            self._aim(fleet, deployment)
            self._keep(fleet)
        self._report(fleet, deployment)
        trials = [left for each in fleet.sets.values() for left in self._trials(each, deployment["spec"]) if left > 0]
        if trials:
            self._touch(key, min(trials))

    def _disband(self, fleet: _Fleet) -> None:
        """Delete the pods of a Deployment that is gone, as garbage collection does."""
        del self._fleets[fleet.namespace, fleet.name]
        for replica_set in fleet.sets.values():
            del self._sets[replica_set.uid]
            for name in tuple(replica_set.pods):
                self._delete(fleet, name)

    def _release(self, fleet: _Fleet, deployment: Obj) -> None:
        """Let go of pods whose labels the selector does not match any more: they run on, owned by nobody."""
        selector = LabelSelector.parse(deployment["spec"]["selector"], "selector")
        for digest, replica_set in fleet.sets.items():
            for name, pod in tuple(replica_set.pods.items()):
                labels = pod["metadata"].get("labels", {})
                if not selector.matches(labels) or labels.get(HASH_LABEL) != digest:
                    del replica_set.pods[name]
                    body = {"metadata": {"ownerReferences": None}}
                    self._cluster.store.merge(
                        Kind.POD, fleet.namespace, name, body, subresource="", manager=self._cluster.manager
                    )

    def _aim(self, fleet: _Fleet, deployment: Obj) -> None:
        """Set how many pods each replica set shall have now."""
        spec = deployment["spec"]
        desired, digest = spec.get("replicas", 1), _digest(spec["template"])
        if digest not in fleet.sets:
            made = _ReplicaSet(str(uuid.uuid5(uuid.UUID(fleet.uid), digest)), spec["template"])
            fleet.sets[digest] = made
            self._sets[made.uid] = (fleet.namespace, fleet.name), made
        if digest != fleet.newest:
            fleet.newest, fleet.revision = digest, fleet.revision + 1
        if spec.get("strategy", {}).get("type") == "Recreate":
            targets = _recreated(fleet, desired)
        else:
            rolling = spec.get("strategy", {}).get("rollingUpdate", {})
            bounds = limits(desired, rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"))
            sizes = {name: SetSize(each.target, self._available(each, spec)) for name, each in fleet.sets.items()}
            targets = next_targets(sizes, digest, bounds, resized=fleet.desired != desired)
        if fleet.desired != desired:
            self._touch((fleet.namespace, fleet.name))  # the update goes on after the number is shared out
        fleet.desired = desired
        for name, target in targets.items():
            fleet.sets[name].target = target

    def _keep(self, fleet: _Fleet) -> None:
        """Make and delete pods until each replica set has as many as it shall have."""
        for digest, replica_set in tuple(fleet.sets.items()):
            pods = sorted(_lasting(replica_set), key=self._seniority)
            for _ in range(len(pods), replica_set.target):
                self._make(fleet, digest, replica_set)
            for pod in pods[replica_set.target :]:
                self._delete(fleet, pod["metadata"]["name"])
            if not replica_set.target and not replica_set.pods and digest != fleet.newest:
                del fleet.sets[digest], self._sets[replica_set.uid]

    def _seniority(self, pod: Obj) -> tuple[float, str]:
        """Who stays: first who is ready, and for longest."""
        return self._ready_since.get(pod["metadata"]["uid"], float("inf")), pod["metadata"]["name"]

    def _make(self, fleet: _Fleet, digest: str, replica_set: _ReplicaSet) -> None:
        home = self._cluster.store.peek(Kind.NAMESPACE, "", fleet.namespace)
        if home is None or "deletionTimestamp" in home["metadata"]:
            return
        self._made += 1
        set_name = f"{fleet.name}-{digest}"
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set_name, "uid": replica_set.uid}
        template = replica_set.template.get("metadata", {})
        pod = {
            "metadata": {
                "name": f"{set_name}-{self._made:05x}",
                "namespace": fleet.namespace,
                "labels": {**template.get("labels", {}), HASH_LABEL: digest},
                "annotations": template.get("annotations", {}),
                "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
            },
            "spec": {**replica_set.template["spec"], "nodeName": "node-1"},
            "status": {"phase": "Pending"},
        }
        self._cluster.seed(Kind.POD, pod)

    def _delete(self, fleet: _Fleet, name: str) -> None:
        self._cluster.store.delete(Kind.POD, fleet.namespace, name, uid=None, manager=self._cluster.manager)

    def _available(self, replica_set: _ReplicaSet, spec: Obj) -> int:
        """How many of its pods have been ready for minReadySeconds."""
        return sum(left <= 0 for left in self._trials(replica_set, spec))

    def _trials(self, replica_set: _ReplicaSet, spec: Obj) -> list[float]:
        """For each ready pod, the seconds that are left until it counts as available."""
        now, wait = self._clock.monotonic(), spec.get("minReadySeconds", 0)
        uids = [pod["metadata"]["uid"] for pod in _lasting(replica_set)]
        return [self._ready_since[uid] + wait - now for uid in uids if uid in self._ready_since]

    def _report(self, fleet: _Fleet, deployment: Obj) -> None:
        """Write status; as in Kubernetes a count of 0 is left out."""
        spec, meta = deployment["spec"], deployment["metadata"]
        pods = [pod for each in fleet.sets.values() for pod in _lasting(each)]
        available = sum(self._available(each, spec) for each in fleet.sets.values())
        newest = fleet.sets.get(fleet.newest)
        counts = dict.fromkeys(_COUNTS, 0) | {
            "replicas": len(pods),
            "updatedReplicas": len(_lasting(newest)) if newest else 0,
            "readyReplicas": sum(is_ready(pod) for pod in pods),
            "availableReplicas": available,
            "unavailableReplicas": max(0, sum(each.target for each in fleet.sets.values()) - available),
        }
        status = {name: count for name, count in counts.items() if count} | {"observedGeneration": meta["generation"]}
        revision = {REVISION_COUNT: str(fleet.revision)}
        if status == deployment.get("status") and revision.items() <= meta.get("annotations", {}).items():
            return
        body = {"metadata": {"annotations": revision}, "status": dict.fromkeys(_COUNTS) | status}
        self._cluster.store.merge(
            Kind.DEPLOYMENT, fleet.namespace, fleet.name, body, subresource="status", manager=self._cluster.manager
        )


def _lasting(replica_set: _ReplicaSet) -> list[Obj]:
    return [pod for pod in replica_set.pods.values() if not is_ending(pod)]


def _recreated(fleet: _Fleet, desired: int) -> dict[str, int]:
    """First all of the old are gone, then the new come."""
    older = [each for name, each in fleet.sets.items() if name != fleet.newest]
    gone = not any(each.pods for each in older)
    kept = fleet.sets[fleet.newest].target
    return dict.fromkeys(fleet.sets, 0) | {fleet.newest: desired if gone else kept}


def _digest(template: Obj) -> str:
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:9]
