"""Many Rollouts at little cost: each has a route and a host of its own, and all share the pods of one app."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence

import yaml

from e2e.support.app import GATEWAY, SLUICE, App, Json
from e2e.support.traffic import Steady
from e2e.support.waiting import until
from sluice.api.rollout import Audit, AuditEntry
from sluice.decide.audit import broken_at
from testbed import apps

SETTLE_SECONDS = 120.0


class Herd:
    """Rollouts `one-00`, `one-01` and so on, over the slots of an app.

    Args:
        app: made, without a route, when the herd is made.
        size: how many Rollouts.
    """

    def __init__(self, app: App, size: int) -> None:
        self.app = app
        self.names = [f"one-{number:02d}" for number in range(size)]
        app.deploy(route=None)
        services = {app.blue: 100, app.green: 0}
        routes = [apps.weighted_route(app.namespace, name, self.host(name), services) for name in self.names]
        app.hub.apply(yaml.safe_dump_all(routes))
        for name in self.names:
            app.data_plane.wait_weights(self.host(name), {app.blue: 100})

    def host(self, name: str) -> str:
        """Of a Rollout's route."""
        return f"{name}.{self.app.namespace}.example"

    def manage(self, strategy: Json) -> None:
        """Apply the Rollouts, and wait until all are Healthy."""
        workload = {"services": {"blue": self.app.blue, "green": self.app.green}, "active": "blue", "version": "v1"}
        self.app.hub.apply(
            yaml.safe_dump_all(
                {
                    "apiVersion": "sluice.dev/v1alpha1",
                    "kind": "Rollout",
                    "metadata": {"name": name, "namespace": self.app.namespace},
                    "spec": {"workload": workload, "traffic": {"routes": [{"name": name}]}, "strategy": strategy},
                }
                for name in self.names
            )
        )
        self.wait("Healthy")

    def release(self, version: str, slot: str) -> None:
        """Give all of them a new version, in that slot."""
        patch = json.dumps({"spec": {"workload": {"active": slot, "version": version}}})
        self.app.kubectl("patch", "rollout", *self.names, "--type=merge", "-p", patch)

    def rollouts(self) -> list[Json]:
        """As they are now."""
        found: list[Json] = self.app.hub.get(f"{SLUICE}/namespaces/{self.app.namespace}/rollouts")["items"]
        return found

    def wait(self, phase: str) -> None:
        """Wait until all are in a phase, for their specs as they are now."""

        def late() -> list[str]:
            return [
                f"{each['metadata']['name']}: {each.get('status', {}).get('message')}"
                for each in self.rollouts()
                if each.get("status", {}).get("phase") != phase
                or each["status"].get("observedGeneration") != each["metadata"]["generation"]
            ]

        until(
            lambda: True if not late() else None, f"all Rollouts of {self.app.namespace} to be {phase}", SETTLE_SECONDS
        )

    def some_are_at(self, share: str) -> bool:
        """Whether any has got so far."""
        return any(each.get("status", {}).get("weight") == share for each in self.rollouts())

    def exposed(self) -> list[str]:
        """Routes that give green any weight."""
        routes = self.app.hub.get(f"{GATEWAY}/namespaces/{self.app.namespace}/httproutes")["items"]
        return [
            route["metadata"]["name"]
            for route in routes
            for backend in route["spec"]["rules"][0]["backendRefs"]
            if backend["name"] == self.app.green and backend.get("weight", 1) > 0
        ]

    @contextlib.contextmanager
    def steady(self, names: Sequence[str], rate: float = 40.0) -> Iterator[None]:
        """Requests to these Rollouts' hosts for the length of the ``with``; none may fail."""
        with contextlib.ExitStack() as loads:
            for name in names:
                address = self.app.data_plane.envoy_address
                loads.enter_context(Steady(self.host(name), rate, address, connections=4))
            yield

    def check_audits(self) -> None:
        """Insist that each trail is whole: numbered without gaps, chained, and nothing told twice."""
        for rollout in self.rollouts():
            name, audit = rollout["metadata"]["name"], rollout["status"]["audit"]
            entries = tuple(AuditEntry.model_validate(entry) for entry in audit["entries"])
            assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), name
            told = Counter((entry.id, entry.stage) for entry in entries)
            assert not [each for each, times in told.items() if times > 1], name
            assert broken_at(Audit(seq=entries[-1].seq, head=entries[-1].hash, entries=entries)) is None, name
