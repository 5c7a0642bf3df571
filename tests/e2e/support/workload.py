"""An application whose pods Sluice runs: from the template in its Rollout, or of a Deployment that others keep."""

from __future__ import annotations

from typing import Any

import yaml

from e2e.support.app import SLUICE, App, Json
from e2e.support.waiting import PLENTY_SECONDS, until
from testbed import apps, sample, standard_error
from testbed.pod_server import POD_PORT

JSON_PATCH = "application/json-patch+json"
PORTS = [{"name": "http", "port": 80, "targetPort": POD_PORT}]
SCALE_DOWN_DELAY = "3s"
DRAIN = "1s"


class Workload(App):
    """A namespace, a route over two Services that Sluice is to make, and the Rollout with a pod template.

    The version of a pod is its image's tag: ``v2`` runs, ``v2-bad-image`` cannot be pulled, ``v2-crash`` ends at once.
    """

    # ------------------------------------------------------------------------------------------ making

    def open(self, *, replicas: int = 4, grace_seconds: int = 1) -> Workload:
        """Make the namespace and the route, with all the weight on blue; nothing runs yet.

        Args:
            replicas: pods for all of the traffic, in :meth:`serve`.
            grace_seconds: how long a deleted pod serves on.
        """
        self.replicas = replicas
        self.grace_seconds = grace_seconds
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.hub.apply(yaml.safe_dump_all([namespace, self.route_manifest({self.blue: 100, self.green: 0})]))
        return self

    def route_manifest(self, weights: dict[str, int]) -> Json:
        """The route as its author would write it."""
        return apps.weighted_route(self.namespace, self.name, self.host, weights)

    def template(self, version: str = "v1", **metadata: Any) -> Json:
        """The pod template of a version; ``metadata`` is more of the pods' metadata, such as annotations."""
        container = {
            "name": "app",
            "image": self.image(version),
            "ports": [{"name": "http", "containerPort": POD_PORT}],
        }
        spec = {"terminationGracePeriodSeconds": self.grace_seconds, "containers": [container]}
        return {"metadata": {"labels": {"app": self.name}, **metadata}, "spec": spec}

    def image(self, version: str) -> str:
        """The image of a version."""
        return f"registry.example/{self.name}:{version}"

    def serve(self, strategy: Json, *, version: str = "v1", **spec: Any) -> Workload:
        """Apply the Rollout, and wait until its first version serves."""
        self.apply_template(strategy, version=version, **spec)
        self.wait_phase("Healthy")
        self.wait_ready("blue", self.replicas)
        self.data_plane.wait_weights(self.host, {self.blue: 100})
        self.data_plane.wait_endpoints(self.namespace, self.blue, self.replicas)
        return self

    def apply_template(self, strategy: Json, *, version: str = "v1", **spec: Any) -> None:
        """Apply the Rollout and wait for nothing.

        Args:
            strategy: ``spec.strategy``.
            version: tag of the image.
            spec: further fields of the spec; ``workload`` adds to, or replaces, what is asked for by default.
        """
        given = spec.pop("workload", {})
        runs = {} if "workloadRef" in given else {"template": self.template(version)}
        workload = {
            **runs,
            "replicas": self.replicas,
            "ports": PORTS,
            "scaleDownDelay": SCALE_DOWN_DELAY,
            "drain": DRAIN,
            **given,
        }
        traffic = spec.pop("traffic", {"routes": [{"name": self.name}]})
        whole = {"workload": workload, "traffic": traffic, "strategy": strategy, **spec}
        self.apply("Rollout", self.name, whole)

    def ship(self, version: str, **metadata: Any) -> None:
        """Change the template's image tag, and nothing else but the pods' metadata where it is given: starts a run."""
        path = "/spec/workload/template"
        operations = [{"op": "replace", "path": f"{path}/spec/containers/0/image", "value": self.image(version)}]
        for field, value in metadata.items():
            operations.append({"op": "add", "path": f"{path}/metadata/{field}", "value": value})
        self.patch(f"{SLUICE}/namespaces/{self.namespace}/rollouts/{self.name}", operations)

    def scale(self, replicas: int) -> None:
        """``kubectl scale``: through the scale subresource."""
        self.kubectl("scale", f"rollout/{self.name}", f"--replicas={replicas}")
        self.replicas = replicas

    def patch(self, path: str, operations: list[dict[str, Any]]) -> Json:
        """A JSON Patch as the administrator."""
        changed: Json = self.hub.client.checked("PATCH", path, operations, JSON_PATCH)
        return changed

    def put_back(self, *manifests: Json, server_side: bool, manager: str = "git") -> None:
        """Apply manifests by force, as a Git sync does."""
        force = ("--server-side", "--force-conflicts", f"--field-manager={manager}") if server_side else ()
        self.kubectl("apply", *force, "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def keep_up(self, least: int | str, *, allowed: int) -> None:
        """A PodDisruptionBudget over both slots, and wait until it lets so many pods go."""
        self.hub.apply(yaml.safe_dump(apps.budget(self.namespace, self.name, least)))
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets/{self.name}"

        def known() -> bool:
            found = self.hub.get(path)
            status = found.get("status", {})
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return bool(current and status["disruptionsAllowed"] == allowed)

        until(known, f"a budget of {self} that lets {allowed} pods go")

    def evict(self, pod: str) -> int:
        """Ask that a pod be evicted; returns the HTTP status."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        return self.hub.request("POST", path, eviction)[0]

    # ------------------------------------------------------------------------------------------ reading

    def deployment(self, slot: str) -> Json:
        """A slot's Deployment as it is now; empty where there is none."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}-{slot}"
        status, found = self.hub.request("GET", path)
        return found if status == 200 else {}

    def version_in(self, slot: str) -> str:
        """The version in a slot's template; "" where there is no Deployment."""
        return version_of(self.deployment(slot))

    def pods(self, slot: str) -> dict[str, str]:
        """A slot's pods that are not ending: name to UID."""
        selector = f"sluice.dev/rollout={self.name},sluice.dev/slot={slot}".replace("/", "%2F").replace("=", "%3D")
        found = self.hub.get(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={selector}")["items"]
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"]
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
        }

    @property
    def candidate(self) -> str:
        """The slot of the current or last run's revision."""
        return str(self.status["revision"]["slot"])

    @property
    def stable(self) -> str:
        """The slot that is stable."""
        return str(self.status["stable"]["slot"])

    def share_of(self, slot: str) -> float:
        """A slot's part of the route's weights, 0 to 1."""
        weights = self.weights()
        return weights[f"{self.name}-{slot}"] / sum(weights.values())

    # ------------------------------------------------------------------------------------------ waiting

    def wait_ready(self, slot: str, count: int, timeout: float = PLENTY_SECONDS) -> None:
        """Wait until a slot has exactly so many pods, all of them ready."""

        def there() -> bool:
            found = self.deployment(slot)
            status = found.get("status", {})
            seen = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
            numbers = [found.get("spec", {}).get("replicas"), status.get("replicas", 0), status.get("readyReplicas", 0)]
            return bool(found) and seen and numbers == [count] * 3

        until(there, f"{count} ready pods in {slot} of {self}", timeout)

    def wait_served_by(self, version: str, timeout: float = PLENTY_SECONDS) -> None:
        """Wait until a version is stable and Healthy, and has all of the traffic."""

        def served() -> bool:
            status = self.status
            stable = status.get("stable") or {}
            return status.get("phase") == "Healthy" and self.version_in(stable.get("slot", "")) == version

        until(served, f"{version} to be what {self} serves", timeout)
        self.only(version)

    def wait_outcome(self, number: int, timeout: float = PLENTY_SECONDS) -> str:
        """Wait until a run has ended, and return how."""

        def ended() -> str | None:
            outcome: str | None = self.run(number).get("status", {}).get("outcome")
            return outcome

        return until(ended, f"run {number} of {self} to end", timeout)

    def check_shares(self, shares: dict[str, float], count: int = 10_000) -> None:
        """Insist that each version's share of requests sent now is within 4 standard errors, and no other answers."""
        seen = sample(self.host, count, self.data_plane.envoy_address)
        assert set(seen) == set(shares), f"{self}: {seen}"
        for version, share in shares.items():
            got = seen[version] / count
            assert abs(got - share) <= 4 * standard_error(share, count), f"{self}: {seen}, wanted {shares}"

    # ------------------------------------------------------------------------------------------ failing

    def dump(self) -> str:
        """What a person would look at, with the slots' Deployments, Services and pods."""
        kinds = "deployments,replicasets,services,pods,poddisruptionbudgets,horizontalpodautoscalers"
        told = self.hub.kubectl("-n", self.namespace, "get", kinds, "-o", "wide", check=False)
        return f"{super().dump()}\n$ kubectl -n {self.namespace} get {kinds} -o wide\n{told}"


def version_of(deployment: Json) -> str:
    """The version in a Deployment's template: the tag of its first image; "" where there is none."""
    containers = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{}]
    return str(containers[0].get("image", "")).rpartition(":")[2]
