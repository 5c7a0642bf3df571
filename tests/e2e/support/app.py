"""One application under a Rollout: make it, release to it, and read what a user would see of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime
from typing import Any, Literal

import yaml

from e2e.support.traffic import Steady
from e2e.support.waiting import PLENTY_SECONDS, until
from testbed import ApiError, Cluster, DataPlane, apps, pods, sample, standard_error

SLUICE = "/apis/sluice.dev/v1alpha1"
GATEWAY = "/apis/gateway.networking.k8s.io/v1"
MERGE = "application/merge-patch+json"
Json = dict[str, Any]
_SAID = (
    "{.status.phase}: {.status.message}{range .status.conditions[*]}{'\\n'}{.type}={.status} {.reason}: {.message}{end}"
)


class App:
    """Two slots behind a route or a Service, and the Rollout of the same name.

    Versions: ``v1`` runs in blue, which serves at first; ``v2`` in green.

    Args:
        hub: the cluster.
        data_plane: its traffic.
        namespace: its own.
        name: of the Rollout, the route, and (with ``-blue``, ``-green``) the slots' Services.
        host: the route's.
    """

    def __init__(self, hub: Cluster, data_plane: DataPlane, *, namespace: str, name: str, host: str) -> None:
        self.hub = hub
        self.data_plane = data_plane
        self.namespace = namespace
        self.name = name
        self.host = host
        self.blue = f"{name}-blue"
        self.green = f"{name}-green"
        self._route_kind = "HTTPRoute"
        self._labels: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{self.namespace}/{self.name}"

    # ------------------------------------------------------------------------------------------ making

    def deploy(
        self,
        *,
        route: Literal["HTTPRoute", "GRPCRoute"] | None = "HTTPRoute",
        active_preview: bool = False,
        replicas: int | tuple[int, int] = 2,
        namespace_labels: dict[str, str] | None = None,
    ) -> App:
        """Make namespace, pods, Services and route, and wait until both slots answer and the route leads to blue."""
        objects = list(
            yaml.safe_load_all(
                apps.two_slots(
                    self.namespace,
                    self.name,
                    self.host,
                    route=route,
                    active_preview=active_preview,
                    replicas=replicas,
                    grace_seconds=1,
                )
            )
        )
        objects[0]["metadata"]["labels"] = namespace_labels or {}
        self.hub.apply(yaml.safe_dump_all(objects))
        self._route_kind = route or ""
        counts = (replicas, replicas) if isinstance(replicas, int) else replicas
        for service, count in zip((self.blue, self.green), counts, strict=True):
            self.wait_endpoints(service, count)
        if route == "HTTPRoute":
            self.data_plane.wait_weights(self.host, {self.blue: 100})
            for service, count in zip((self.blue, self.green), counts, strict=True):
                self.data_plane.wait_endpoints(self.namespace, service, count)
        return self

    def manage(self, strategy: Json, *, active: str = "blue", version: str = "v1", **spec: Any) -> App:
        """Apply a Rollout, and wait until it is Healthy.

        Args:
            strategy: ``spec.strategy``; see :mod:`e2e.support.manifests`.
            active: the slot that is asked for.
            version: the version that is asked for.
            spec: further fields of the spec, such as ``analysis``; ``traffic`` is the route where it is not given.
        """
        self.apply_rollout(strategy, active=active, version=version, **spec)
        self.wait_phase("Healthy")
        return self

    def apply_rollout(self, strategy: Json, *, active: str = "blue", version: str = "v1", **spec: Any) -> None:
        """Apply a Rollout and wait for nothing; see :meth:`manage`."""
        traffic = spec.pop("traffic", None) or {"routes": [{"kind": self._route_kind, "name": self.name}]}
        self.apply(
            "Rollout",
            self.name,
            {
                "workload": {
                    "services": {"blue": self.blue, "green": self.green},
                    "active": active,
                    "version": version,
                },
                "traffic": traffic,
                "strategy": strategy,
                **spec,
            },
            labels=self._labels,
        )

    def labelled(self, **labels: str) -> App:
        """Labels that the Rollout is to have; call it before :meth:`manage`."""
        self._labels = labels
        return self

    def apply(self, kind: str, name: str, spec: Json, *, labels: dict[str, str] | None = None) -> None:
        """``kubectl apply`` of one of Sluice's kinds in the app's namespace."""
        metadata = {"name": name, "namespace": self.namespace, "labels": labels or {}}
        self.hub.apply(
            yaml.safe_dump({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
        )

    def patch_rollout(self, spec: Json) -> None:
        """``kubectl patch rollout --type merge`` of the spec."""
        self.kubectl("patch", "rollout", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def release(self, version: str = "v2", *, active: str = "green") -> None:
        """Ask for another slot to serve: starts a run."""
        self.patch_rollout({"workload": {"active": active, "version": version}})

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Kubectl as the administrator, in the app's namespace."""
        return self.hub.kubectl("-n", self.namespace, *arguments, input=stdin)

    def remove(self) -> None:
        """Delete Rollouts and namespace, without waiting for the end."""
        self.hub.request("DELETE", f"{SLUICE}/namespaces/{self.namespace}/rollouts")
        self.hub.request("DELETE", f"/api/v1/namespaces/{self.namespace}")

    # ------------------------------------------------------------------------------------------ people

    def act(
        self, action: str, *, revision: int | None = None, reason: str = "", timeout: float = PLENTY_SECONDS
    ) -> Json:
        """``kubectl create`` a RolloutAction, and return its status once it is answered.

        Promote, PromoteFully, Retry and Undo are for the present revision where none is given.
        """
        growing = action in {"Promote", "PromoteFully", "Retry", "Undo"}
        if revision is None and growing:
            revision = self.status["revision"]["number"]
        spec = {"rollout": self.name, "action": action, "reason": reason}
        manifest = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "RolloutAction",
            "metadata": {"generateName": "e2e-"},
            "spec": spec if revision is None else {**spec, "revision": revision},
        }
        made = json.loads(self.kubectl("create", "-o", "json", "-f", "-", stdin=yaml.safe_dump(manifest)))
        path = f"{SLUICE}/namespaces/{self.namespace}/rolloutactions/{made['metadata']['name']}"

        def answer() -> Json | None:
            status: Json = self.hub.get(path).get("status", {})
            return status if status.get("phase") else None

        return until(answer, f"an answer to {action} of {self}", timeout)

    def do(self, action: str, **options: Any) -> str:
        """Act, and insist that it is Done; returns the answer's message."""
        status = self.act(action, **options)
        assert status["phase"] == "Done", f"{action}: {status}"
        return str(status["message"])

    def promote_when_measured(self) -> None:
        """Promote past an open pause, once analysis has seen the present weight.

        A gap in the measurements may come first: then nothing is skipped, as the answer says, and one asks again.
        """
        self.wait_step(kind="pause")

        def left() -> bool:
            self.wait_measured()
            return str(self.act("Promote")["message"]).startswith("left step")

        until(left, f"{self} to leave its pause", 2 * PLENTY_SECONDS)

    def wait_measured(self) -> None:
        """Wait until every background metric has a good measurement from within the present step."""

        def measured() -> bool:
            status = self.status
            metrics = [metric for metric in status.get("metrics", ()) if metric["scope"] == "background"]
            since = status["step"]["startedAt"]
            fresh = [metric.get("coveredUntil", "") >= since for metric in metrics if not metric.get("dryRun")]
            return bool(fresh or not self.rollout()["spec"].get("analysis")) and all(fresh)

        until(measured, f"every metric of {self} to be measured in this step")

    # ------------------------------------------------------------------------------------------ behaviour

    def behaves(self, version: str, *, error_rate: float = 0.0, latency_ms: float = 0.0) -> None:
        """See :meth:`testbed.pods.Pods.behaviour`."""
        pods().behaviour(self.namespace, version, error_rate=error_rate, latency_ms=latency_ms)

    def shows(self, version: str, /, **gauges: float) -> None:
        """Let the pods of a version show gauges, and wait until Prometheus has these values."""
        pods().gauges(self.namespace, version, **gauges)
        for name, value in gauges.items():
            self._wait_scraped(f'{name}{{namespace="{self.namespace}", version="{version}"}}', value)

    def lets_go(self, version: str = "v2") -> None:
        """Let the pods of a version show what :func:`e2e.support.manifests.gate` waits for; waits for nothing."""
        pods().gauges(self.namespace, version, gate=1)

    def _wait_scraped(self, query: str, value: float) -> None:
        def scraped() -> bool:
            return {float(each["value"][1]) for each in self.data_plane.query(query)} == {value}

        until(scraped, f"Prometheus to have {query} at {value}")

    def steady(self, rate: float = 100.0, *, connections: int = 16) -> Steady:
        """Load on the route for the length of a ``with``, in which no request may fail; see :class:`Steady`."""
        return Steady(self.host, rate, self.data_plane.envoy_address, connections=connections)

    # ------------------------------------------------------------------------------------------ reading

    def rollout(self) -> Json:
        """The Rollout as it is now."""
        return self.hub.get(f"{SLUICE}/namespaces/{self.namespace}/rollouts/{self.name}")

    @property
    def status(self) -> Json:
        """The Rollout's status as it is now; empty before the first."""
        return self.rollout().get("status", {})

    def condition(self, kind: str) -> Json:
        """One condition of the Rollout; empty where it is absent."""
        return next((each for each in self.status.get("conditions", ()) if each["type"] == kind), {})

    def run(self, number: int) -> Json:
        """The RolloutRun of a revision."""
        return self.hub.get(f"{SLUICE}/namespaces/{self.namespace}/rolloutruns/{self.name}-{number}")

    def metric(self, name: str, scope: str = "background") -> Json:
        """One metric's tally; empty where there is none."""
        metrics = self.status.get("metrics", ())
        return next((each for each in metrics if (each["name"], each["scope"]) == (name, scope)), {})

    def audit(self) -> list[Json]:
        """The entries of the audit trail in status, oldest first."""
        return list(self.status.get("audit", {}).get("entries", ()))

    def events(self) -> list[Json]:
        """The Kubernetes Events about the Rollout."""
        found = self.hub.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return [event for event in found if event["involvedObject"]["kind"] == "Rollout"]

    def wait_event(self, reason: str, *parts: str) -> Json:
        """Wait for an Event about the Rollout whose message holds every part."""

        def told() -> Json | None:
            found = [event for event in self.events() if event["reason"] == reason]
            return next((event for event in found if all(part in event["message"] for part in parts)), None)

        return until(told, f"an Event {reason} about {self} with {parts}")

    def route(self) -> Json:
        """The route as it is now."""
        plural = {"HTTPRoute": "httproutes", "GRPCRoute": "grpcroutes"}[self._route_kind]
        return self.hub.get(f"{GATEWAY}/namespaces/{self.namespace}/{plural}/{self.name}")

    def weights(self) -> dict[str, int]:
        """What the route's first rule says: Service name to weight."""
        return {each["name"]: each.get("weight", 1) for each in self.route()["spec"]["rules"][0]["backendRefs"]}

    def share(self) -> float:
        """Green's part of the route's weights, 0 to 1."""
        weights = self.weights()
        return weights[self.green] / sum(weights.values())

    def selector(self, service: str) -> dict[str, str]:
        """The selector of a Service."""
        return self.hub.get(f"/api/v1/namespaces/{self.namespace}/services/{service}")["spec"]["selector"]

    def endpoints(self, service: str) -> list[str]:
        """Ready addresses (``ip:port``) behind a Service, by its EndpointSlices."""
        return ready_endpoints(self.hub, self.namespace, service)

    def age_of_step(self) -> float:
        """For how many seconds the run has been in its step."""
        return time.time() - unix_time(self.status["step"]["startedAt"])

    # ------------------------------------------------------------------------------------------ waiting

    def wait_phase(self, *phases: str, timeout: float = PLENTY_SECONDS) -> Json:
        """Wait until the phase is one of these, for the spec as it is now; returns the status."""

        def reached() -> Json | None:
            rollout = self.rollout()
            status = rollout.get("status", {})
            current = status.get("observedGeneration") == rollout["metadata"]["generation"]
            return status if current and status.get("phase") in phases else None

        return until(reached, f"{self} to be {' or '.join(phases)}", timeout)

    def wait_condition(
        self, kind: str, status: str = "True", reason: str | None = None, timeout: float = PLENTY_SECONDS
    ) -> Json:
        """Wait for a condition's status, and reason where one is given; returns the condition."""

        def there() -> Json | None:
            found = self.condition(kind)
            return found if found.get("status") == status and reason in {None, found["reason"]} else None

        return until(there, f"{kind}={status} ({reason or 'any reason'}) of {self}", timeout)

    def wait_message(self, part: str, timeout: float = PLENTY_SECONDS) -> str:
        """Wait until the status' message holds this; returns the message."""

        def told() -> str | None:
            message = str(self.status.get("message", ""))
            return message if part in message else None

        return until(told, f"{part!r} in the message of {self}", timeout)

    def wait_step(self, index: int | None = None, *, kind: str | None = None, timeout: float = PLENTY_SECONDS) -> Json:
        """Wait until the run is in a step of this number and kind; returns the status.

        For a step that lasts until the test lets it end: a short one may pass while nobody looks.
        """

        def there() -> Json | None:
            status = self.status
            step = status.get("step") or {}
            fits = step and index in {None, step["index"]} and kind in {None, step["kind"]}
            return status if fits else None

        return until(there, f"{self} to be in step {index or ''} {kind or ''}", timeout)

    def wait_run_over(self, number: int) -> Json:
        """Wait until the RolloutRun of a revision, which is written after the Rollout, has its outcome; returns it."""

        def over() -> Json | None:
            status: Json = self.run(number).get("status", {})
            return status if status.get("outcome") else None

        return until(over, f"RolloutRun {self}-{number} to have an outcome")

    def wait_weight(self, share: str, timeout: float = PLENTY_SECONDS) -> dict[str, int]:
        """Wait until status, route and Envoy agree on the candidate's share, such as ``25%``; returns the weights.

        For a share that lasts until the test lets it go on: a short one may pass while nobody looks; a
        :class:`e2e.recorder.Recorder` misses none.
        """
        wanted = float(share.rstrip("%")) / 100

        def confirmed() -> tuple[str, dict[str, int]] | None:
            before = self.rollout()
            status = before.get("status", {})
            if (status.get("weight"), status.get("confirmation")) != (share, "Accepted"):
                return None
            weights = self.weights()
            still = self.rollout()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
            return (status["revision"]["slot"], weights) if still else None

        candidate, weights = until(confirmed, f"{share} of {self} to be confirmed", timeout)
        seen = weights[f"{self.name}-{candidate}"] / sum(weights.values())
        assert seen == wanted, f"{self}: status says {share}, the route {weights}"
        if self._route_kind == "HTTPRoute":
            self.data_plane.wait_weights(self.host, weights)
        return weights

    def wait_endpoints(self, service: str, count: int) -> None:
        """Wait until so many ready addresses are behind a Service."""
        until(lambda: len(self.endpoints(service)) == count, f"{count} ready endpoints of {self.namespace}/{service}")

    def only(self, version: str, count: int = 500) -> None:
        """Insist that every one of some requests sent now is answered by one version, and none fails."""
        self._wait_envoy()
        seen = sample(self.host, count, self.data_plane.envoy_address)
        assert seen == Counter({version: count}), f"{self}: {seen}"

    def check_share(self, version: str, share: float, count: int = 16_000) -> float:
        """Insist that a version's share of requests sent now is within 5 standard errors; returns the share seen."""
        self._wait_envoy()
        seen = sample(self.host, count, self.data_plane.envoy_address)
        got = seen[version] / count
        assert abs(got - share) <= 5 * standard_error(share, count), f"{self}: {version} had {got:.4f}, not {share}"
        assert set(seen) <= {"v1", "v2"}, f"{self}: {seen}"
        return got

    def _wait_envoy(self) -> None:
        """Wait until Envoy follows the route as it is now: a controller may have accepted it some time before."""
        until(lambda: self.data_plane.follows(self.host, self.weights()), f"Envoy to follow the route of {self}")

    # ------------------------------------------------------------------------------------------ failing

    def dump(self) -> str:
        """What a person would look at: the Rollout, its actions and switches, its route, its Events.

        What it says comes first, since who reads this in a log may have its beginning only.
        """
        parts = []
        for arguments in (
            ("get", "rollout", self.name, "-o", f"jsonpath={_SAID}"),
            ("get", "rollout", self.name, "-o", "yaml"),
            ("get", "rolloutactions,killswitches,rolloutruns"),
            (
                "get",
                "httproutes,grpcroutes",
                "-o",
                "jsonpath={range .items[*]}{.spec.rules}{.metadata.annotations}{.status}{end}",
            ),
            ("get", "events", "--sort-by=.lastTimestamp"),
        ):
            told = self.hub.kubectl("-n", self.namespace, *arguments, check=False)
            parts.append(f"$ kubectl -n {self.namespace} {' '.join(arguments)}\n{told}")
        parts.append(f"Contour complains:\n{self.data_plane.complaints()}")
        return "\n".join(parts)


def ready_endpoints(hub: Cluster, namespace: str, service: str) -> list[str]:
    """Ready addresses (``ip:port``) behind a Service, by its EndpointSlices, as a proxy on a node would see them."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    try:
        slices = hub.get(f"{path}?labelSelector=kubernetes.io/service-name%3D{service}")["items"]
    except ApiError:
        return []
    return sorted(
        f"{address}:{port['port']}"
        for each in slices
        for port in each.get("ports") or ()
        for endpoint in each.get("endpoints") or ()
        if endpoint.get("conditions", {}).get("ready")
        for address in endpoint["addresses"]
    )


def unix_time(stamp: str) -> float:
    """Seconds since the epoch of one of the API's times."""
    return datetime.fromisoformat(stamp).timestamp()
