"""What people do with apps whose pods Sluice runs: release, scale, drain, and write what is not theirs."""

from __future__ import annotations

from typing import Any

from sluice.api.names import HOLD_ANNOTATION, ROLLOUT_LABEL, Kind, Slot
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.operator import Build
from sluice.sim.pods import is_ready
from sluice.sim.stage import NAMESPACE, Stage

CALLERS = "callers of "


class Workloads(Stage):
    """Apps that leave their Deployments and Services to Sluice.

    `traffic[app]` are the requests through the app's route (or switched Service), `traffic[CALLERS + service]` those of
    callers that know only its stable Service.
    """

    def __init__(self, *, namespace: str = NAMESPACE, build: Build | None = None) -> None:
        super().__init__(namespace=namespace, build=build)
        self._workloads: dict[str, Obj] = {}
        self._entries: dict[str, Obj] = {}

    def workload_app(
        self,
        name: str,
        *,
        image: str,
        replicas: int = 3,
        switched: bool = False,
        stable_service: str = "",
        source: bool = False,
        requests_per_second: float = 100.0,
        **workload: Any,
    ) -> None:
        """Add an app that has a route with weights 100 and 0 to Services that are not there yet.

        Args:
            name: of the app.
            image: with a tag, which is its version.
            replicas: pods for all of the traffic.
            switched: a Service that selects blue's pods to be, instead of a route.
            stable_service: also a Service of that name, which selects whatever carries the label `app`.
            source: the pods come from a Deployment of the app's name, which `workloadRef` names and which runs already.
            requests_per_second: through the route or Service, and to the stable Service as many.
            workload: further fields of spec.workload.
        """
        if switched:
            selector = manifests.managed_labels(name, Slot.BLUE)
            self.people.seed(Kind.SERVICE, manifests.service(self.namespace, name, selector))
        else:
            self.people.seed(Kind.HTTP_ROUTE, manifests.route(self.namespace, name))
        self.send(name, Kind.SERVICE if switched else Kind.HTTP_ROUTE, name, requests_per_second=requests_per_second)
        if stable_service:
            labels = {manifests.APP_LABEL: name}
            self.people.seed(Kind.SERVICE, manifests.service(self.namespace, stable_service, labels))
            self.send(CALLERS + stable_service, Kind.SERVICE, stable_service, requests_per_second=requests_per_second)
        if source:
            body = manifests.deployment(self.namespace, name, image, replicas=replicas)
            self.cluster.store.create(Kind.DEPLOYMENT, self.namespace, body, manager=self.people.manager)
            pods: Obj = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}
        else:
            pods = {"template": manifests.pod_template(name, image)}
        self._workloads[name] = {**pods, "replicas": replicas, **workload}
        self._entries[name] = {"switched": switched, "stable_service": stable_service}

    async def install(self, app: str, strategy: Obj, *, timeout_seconds: float = 600.0, **fields: Any) -> None:
        """Create the app's Rollout and wait until it is Healthy. See `manifests.managed_rollout`."""
        await self.create_rollout(app, strategy, **fields)
        await self.until_phase(app, "Healthy", timeout_seconds=timeout_seconds)

    async def create_rollout(self, app: str, strategy: Obj, **fields: Any) -> None:
        """Create the app's Rollout, for the first time or anew."""
        body = manifests.managed_rollout(
            self.namespace, app, strategy, self._workloads[app], **self._entries[app], **fields
        )
        await self.people.create(Kind.ROLLOUT, self.namespace, body)

    # ------------------------------------------------------------------------------------------ what people do

    async def release_image(self, app: str, image: str) -> None:
        """Ask for another image, in the Rollout's template or in the Deployment that it names: this starts a run."""
        workload = self.cluster.store.get(Kind.ROLLOUT, self.namespace, app)["spec"]["workload"]
        path = "/spec/template" if "workloadRef" in workload else "/spec/workload/template"
        kind = Kind.DEPLOYMENT if "workloadRef" in workload else Kind.ROLLOUT
        name = workload["workloadRef"]["name"] if "workloadRef" in workload else app
        await self.write(kind, name, replace={f"{path}/spec/containers/0/image": image})

    async def scale(self, app: str, replicas: int) -> None:
        """Set the capacity through the scale subresource, as `kubectl scale` and autoscalers do."""
        autoscaler = self.cluster.as_manager("kube-controller-manager")
        body = {"spec": {"replicas": replicas}}
        await autoscaler.patch_merge(Kind.ROLLOUT, self.namespace, app, body, subresource="scale")

    async def delete_rollout(self, app: str) -> None:
        """Delete an app's Rollout; it goes once Sluice's finalizer is off."""
        await self.remove(Kind.ROLLOUT, app)

    async def pdb(self, app: str, *, slot: Slot | None = None, **limit: int | str) -> None:
        """Create a PodDisruptionBudget over the pods of an app, or of one slot; `limit` as in `manifests.budget`."""
        labels = {ROLLOUT_LABEL: app} if slot is None else manifests.managed_labels(app, slot)
        name = app if slot is None else manifests.slot_service(app, slot)
        body = manifests.budget(self.namespace, name, labels, **limit)
        await self.people.create(Kind.POD_DISRUPTION_BUDGET, self.namespace, body)

    # ------------------------------------------------------------------------------------------ foreign hands

    async def write(self, kind: Kind, name: str, *, replace: dict[str, Any]) -> Obj:
        """Write fields of an object by hand, whoever they belong to: values by JSON pointer."""
        operations = [{"op": "add", "path": path, "value": value} for path, value in replace.items()]
        return await self.people.patch_json(kind, self.namespace, name, operations)

    async def meddle_deployment(
        self, app: str, slot: Slot, *, image: str | None = None, replicas: int | None = None
    ) -> None:
        """Write a slot's Deployment by hand."""
        image_path = "/spec/template/spec/containers/0/image"
        asked = {image_path: image, "/spec/replicas": replicas}
        replace = {path: value for path, value in asked.items() if value is not None}
        await self.write(Kind.DEPLOYMENT, manifests.slot_service(app, slot), replace=replace)

    async def meddle_service(self, name: str, selector: dict[str, str]) -> None:
        """Point a Service at other pods by hand."""
        await self.write(Kind.SERVICE, name, replace={"/spec/selector": selector})

    async def hold(self, app: str, blue: int, green: int, text: str = "alice: drill") -> None:
        """Break the glass: write an app's weights together with the annotation that says who and why."""
        route = self.cluster.store.get(Kind.HTTP_ROUTE, self.namespace, app)
        replace: Obj = {f"/spec/rules/0/backendRefs/{index}/weight": value for index, value in enumerate((blue, green))}
        annotations = route["metadata"].get("annotations", {})
        replace["/metadata/annotations"] = {**annotations, HOLD_ANNOTATION: text}
        await self.write(Kind.HTTP_ROUTE, app, replace=replace)

    async def end_hold(self, app: str) -> None:
        """Take the annotation away."""
        body = {"metadata": {"annotations": {HOLD_ANNOTATION: None}}}
        await self.people.patch_merge(Kind.HTTP_ROUTE, self.namespace, app, body)

    async def remove(self, kind: Kind, name: str) -> None:
        """Delete an object by hand."""
        found = self.cluster.store.get(kind, self.namespace, name)
        await self.people.delete(kind, self.namespace, name, uid=found["metadata"]["uid"])

    # ------------------------------------------------------------------------------------------ what is seen

    def deployment(self, app: str, slot: Slot) -> Obj | None:
        """A slot's Deployment as stored."""
        return self.cluster.store.peek(Kind.DEPLOYMENT, self.namespace, manifests.slot_service(app, slot))

    def pods_of(self, app: str, slot: Slot) -> list[Obj]:
        """A slot's pods that are not about to end, by name."""
        labels = manifests.managed_labels(app, slot)
        pods = self.cluster.store.all(Kind.POD, self.namespace)
        return [
            pod
            for pod in pods
            if labels.items() <= pod["metadata"].get("labels", {}).items()
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def ready_pods(self, app: str, slot: Slot) -> int:
        """How many pods of a slot are ready at this moment, whether its slices say so yet or not."""
        return sum(is_ready(pod) for pod in self.pods_of(app, slot))
