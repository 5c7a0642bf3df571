"""A whole world in memory: a stage, and the people who release, watch, stop and meddle.

Make a `World`, add apps, then `start` it in a virtual loop.
"""

from __future__ import annotations

from typing import Any

from sluice.api.names import REQUESTER_ANNOTATION, Kind, Slot
from sluice.decide.model import GROWING_VERBS
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.workloads import Workloads

STABLE_VERSION = "1.4.0"


class World(Workloads):
    """A stage with its people.

    Names of apps stand for their Rollout, their route (or switched Service) and, with `-blue` and `-green`, their
    Services and pods, all in one namespace. Apps of `app` have Services and pods of their own; those of `workload_app`
    leave both to Sluice.
    """

    def app(self, name: str, *, ready: int = 3, switched: bool = False, requests_per_second: float = 100.0) -> None:
        """Add an app: its pods in both slots, their Services, and a route (or, switched, a Service) to blue."""
        for slot in Slot:
            group = manifests.slot_service(name, slot)
            labels = manifests.slot_labels(name, slot)
            self.cluster.seed(Kind.SERVICE, manifests.service(self.namespace, group, labels))
            self.versions[group] = STABLE_VERSION
            self.pods(name, slot, ready)
        kind = Kind.SERVICE if switched else Kind.HTTP_ROUTE
        if switched:
            selector = manifests.slot_labels(name, Slot.BLUE)
            self.cluster.seed(kind, manifests.service(self.namespace, name, selector))
        else:
            self.cluster.seed(kind, manifests.route(self.namespace, name))
        self.send(name, kind, name, requests_per_second=requests_per_second)

    async def apply(self, kind: Kind, body: Obj) -> Obj:
        """Create an object, or give it this spec."""
        name, namespace = body["metadata"]["name"], body["metadata"].get("namespace", "")
        if self.cluster.store.peek(kind, namespace, name) is None:
            return await self.people.create(kind, namespace, body)
        replace = [{"op": "replace", "path": "/spec", "value": body["spec"]}]
        return await self.people.patch_json(kind, namespace, name, replace)

    async def adopt(self, app: str, strategy: Obj, **fields: Any) -> None:
        """Create an app's Rollout over what serves, and wait until it is Healthy. See `manifests.rollout`."""
        await self.apply(
            Kind.ROLLOUT, manifests.rollout(self.namespace, app, strategy, version=STABLE_VERSION, **fields)
        )
        await self.until(lambda: self.status(app).phase == "Healthy", timeout_seconds=60)

    async def release_version(self, app: str, version: str, slot: Slot = Slot.GREEN) -> None:
        """Run a version in a slot and ask that this slot shall end up serving: this starts a run."""
        self.versions[manifests.slot_service(app, slot)] = version
        self.traffic[app].settle()
        self.traffic[app].look()
        await self.spec(app, {"workload": {"active": str(slot), "version": version}})

    async def spec(self, app: str, patch: Obj) -> None:
        """Merge into a Rollout's spec."""
        await self.people.patch_merge(Kind.ROLLOUT, self.namespace, app, {"spec": patch})

    async def act(
        self, app: str, verb: str, *, revision: int | None = None, actor: str = "bob", reason: str = "", **fields: Any
    ) -> str:
        """Create a RolloutAction; what lets more through names the current revision. Returns its name."""
        status = self.status(app)
        if revision is None and verb in GROWING_VERBS and status.revision is not None:
            revision = status.revision.number
        body = manifests.action(self.namespace, app, verb, revision=revision, actor=actor, reason=reason, **fields)
        stored = await self.people.create(Kind.ROLLOUT_ACTION, self.namespace, body)
        name: str = stored["metadata"]["name"]
        return name

    async def approve(self, app: str, actor: str, *groups: str) -> str:
        """Approve what waits, as somebody of these groups. Returns the RolloutAction's name."""
        asked = self.status(app).approvals
        point = asked[0].point if asked else "nothing"
        return await self.act(app, "Approve", actor=actor, point=point, actorGroups=list(groups))

    async def asked_by(self, app: str, person: str) -> None:
        """Say who asks for what comes next, as the API server stamps it."""
        stamp = {"metadata": {"annotations": {REQUESTER_ANNOTATION: person}}}
        await self.people.patch_merge(Kind.ROLLOUT, self.namespace, app, stamp)

    async def engage(self, name: str = "stop", *, reason: str, wide: bool = False, **fields: Any) -> None:
        """Engage a KillSwitch, or (`wide`) a ClusterKillSwitch. See `manifests.switch`."""
        namespace = "" if wide else self.namespace
        await self.apply(manifests.switch_kind(namespace), manifests.switch(namespace, name, reason=reason, **fields))

    async def release(self, name: str = "stop", *, wide: bool = False, reason: str = "fixed") -> None:
        """Release a switch."""
        namespace = "" if wide else self.namespace
        body = {"spec": {"engaged": False, "releaseReason": reason}}
        await self.people.patch_merge(manifests.switch_kind(namespace), namespace, name, body)

    async def meddle(self, app: str, blue: int, green: int) -> None:
        """Write an app's route by hand, as somebody who does not know of Sluice."""
        paths = [f"/spec/rules/0/backendRefs/{index}/weight" for index in range(2)]
        operations = [
            {"op": "replace", "path": path, "value": weight} for path, weight in zip(paths, (blue, green), strict=True)
        ]
        await self.people.patch_json(Kind.HTTP_ROUTE, self.namespace, app, operations)

    def pods(self, app: str, slot: Slot, ready: int) -> None:
        """Have that many ready pods in a slot from now on."""
        name, labels = manifests.slot_service(app, slot), manifests.slot_labels(app, slot)
        self.endpoints.run_pods(self.namespace, name, labels, ready=ready)
