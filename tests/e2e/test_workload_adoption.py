"""Git or Helm keep a Deployment, a Service and a route, and go on so: Sluice takes over without a lost request."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from e2e import stories
from e2e.recorder import Recorder
from e2e.slot_recorder import SlotRecorder
from e2e.stories import TWO_STOPS
from e2e.support.app import ready_endpoints
from e2e.support.waiting import until
from e2e.support.workload import Workload
from testbed import apps
from testbed.pod_server import POD_PORT

Json = dict[str, Any]
REPLICAS = 3


class Shop:
    """What Git has of an app: a Deployment ``checkout``, a Service of that name, and a route to it.

    Args:
        app: the app; :meth:`Workload.open` was not called.
    """

    def __init__(self, app: Workload) -> None:
        self.app = app
        app.replicas, app.grace_seconds = REPLICAS, 1

    def deployment(self, version: str = "v1") -> Json:
        """The Deployment's manifest."""
        labels = {"app": self.app.name}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.app.name, "namespace": self.app.namespace, "labels": labels},
            "spec": {
                "replicas": REPLICAS,
                "selector": {"matchLabels": labels},
                "template": self.app.template(version),
            },
        }

    def service(self) -> Json:
        """The Service's manifest."""
        ports = [{"name": "http", "port": 80, "targetPort": POD_PORT}]
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.app.name, "namespace": self.app.namespace},
            "spec": {"selector": {"app": self.app.name}, "ports": ports},
        }

    def old_route(self) -> Json:
        """The route as it was before Sluice: to the one Service."""
        return apps.weighted_route(self.app.namespace, self.app.name, self.app.host, {self.app.name: 1})

    def route(self, *, weights: bool = True) -> Json:
        """The route over both slots, with or without weights."""
        made = self.app.route_manifest({self.app.blue: 100, self.app.green: 0})
        if not weights:
            for backend in made["spec"]["rules"][0]["backendRefs"]:
                del backend["weight"]
        return made

    def open(self) -> None:
        """Everything as it was before Sluice, serving."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.app.namespace}}
        self.app.hub.apply(yaml.safe_dump_all([namespace, self.deployment(), self.service(), self.old_route()]))
        self.app.data_plane.wait_weights(self.app.host, {self.app.name: 100})
        self.app.data_plane.wait_endpoints(self.app.namespace, self.app.name, REPLICAS)

    def cross(self, source: str, target: str) -> None:
        """All traffic from one Service to another, over a route that names both.

        A proxy learns of Services and of routes apart from each other: one that it does not know yet, or does not know
        any more, answers 503. So each is there with no weight before it gets some, and after it had some.
        """
        nothing = dict.fromkeys((self.app.name, self.app.blue, self.app.green), 0)
        for serving in (source, target):
            self.app.hub.apply(yaml.safe_dump(self.app.route_manifest({**nothing, serving: 100})))
            self.app.data_plane.wait_weights(self.app.host, {serving: 100})
            count = len(ready_endpoints(self.app.hub, self.app.namespace, target))
            self.app.data_plane.wait_endpoints(self.app.namespace, target, count)

    def adopt(self) -> None:
        """As docs/guides says: the Rollout, then the route, and the Deployment's own pods end."""
        self.app.apply_template(
            TWO_STOPS,
            workload={"workloadRef": {"name": self.app.name}},
            traffic={"routes": [{"name": self.app.name}], "stableService": self.app.name},
        )
        self.app.wait_ready("blue", REPLICAS)
        self.cross(self.app.name, self.app.blue)
        self.app.hub.apply(yaml.safe_dump(self.route()))
        self.app.wait_phase("Healthy")
        self.wait_source(0)

    def wait_source(self, count: int) -> None:
        """Wait until the Deployment has exactly so many pods, all of them ready."""
        path = f"/apis/apps/v1/namespaces/{self.app.namespace}/deployments/{self.app.name}"

        def there() -> bool:
            found = self.app.hub.get(path)
            status = found.get("status", {})
            return [found["spec"]["replicas"], status.get("replicas", 0), status.get("readyReplicas", 0)] == [count] * 3

        until(there, f"{count} ready pods of {self.app.namespace}/{self.app.name}")


@pytest.fixture
def shop(workload: Workload) -> Shop:
    """An app that Git keeps, serving, without Sluice."""
    made = Shop(workload)
    made.open()
    return made


def test_adoption_and_the_way_back(shop: Shop) -> None:
    """From a Deployment, a Service and a route to two slots, through a release, and back to what it was."""
    app = shop.app
    with app.steady(rate=200) as load:
        shop.adopt()
        app.only("v1")
        until(lambda: app.selector(app.name).get("sluice.dev/slot") == "blue", "the Service to select the slot")
        app.hub.apply(yaml.safe_dump(shop.deployment("v2")))
        stories.at_stop(app, "20%")
        app.check_shares({"v1": 0.8, "v2": 0.2})
        app.do("Promote")
        stories.at_stop(app, "50%")
        app.do("Promote")
        app.wait_served_by("v2")
        until(lambda: app.selector(app.name).get("sluice.dev/slot") == "green", "the Service to follow")
        app.wait_ready("blue", 0)
        _back(shop)
        app.only("v2")
    assert set(load.requests.by_version()) == {"v1", "v2"}


def _back(shop: Shop) -> None:
    """As docs/guides says: the Rollout goes and leaves all that serves; then the pods and the route change hands."""
    app = shop.app
    app.kubectl("delete", "rollout", app.name, "--wait=true", "--timeout=30s")
    app.only("v2")
    for kind, name in (("httproute", app.name), ("service", app.name), ("deployment", app.name)):
        found = json.loads(app.kubectl("get", kind, name, "-o", "json"))
        ours = [key for key in found["metadata"].get("annotations", {}) if key.startswith("sluice.dev/")]
        assert ours == [], f"{kind}/{name} still carries {ours}"
    app.kubectl("scale", f"deployment/{app.name}", f"--replicas={REPLICAS}")
    shop.wait_source(REPLICAS)
    app.put_back(shop.service(), server_side=True)
    # The slot's pods carry the same label, so both serve until the slot's go.
    until(lambda: len(ready_endpoints(app.hub, app.namespace, app.name)) == 2 * REPLICAS, "both to be selected")
    shop.cross(app.green, app.name)
    app.put_back(shop.old_route(), server_side=True)
    app.data_plane.wait_weights(app.host, {app.name: 100})
    app.kubectl("delete", "deployment,service", app.blue, app.green)
    app.data_plane.wait_endpoints(app.namespace, app.name, REPLICAS)


def test_git_puts_its_manifests_back_in_mid_run(shop: Shop) -> None:
    """By server-side apply, client-side apply and merge patch, with weights and without: the share does not move."""
    app = shop.app
    with app.steady(rate=200) as load:
        shop.adopt()
        app.hub.apply(yaml.safe_dump(shop.deployment("v2")))
        stories.at_stop(app, "20%")
        with Recorder(app) as record, SlotRecorder(app) as slots:
            for weights in (True, False):
                manifests = [shop.deployment("v2"), shop.service(), shop.route(weights=weights)]
                app.put_back(*manifests, server_side=True)
                app.put_back(*manifests, server_side=False)
                for manifest in manifests:
                    patch = json.dumps({"spec": manifest["spec"]})
                    app.kubectl("patch", manifest["kind"], app.name, "--type=merge", "-p", patch)
            app.check_shares({"v1": 0.8, "v2": 0.2})
            shop.wait_source(0)
            assert app.selector(app.name).get("sluice.dev/slot") == "blue"
            slots.check()
            record.catch_up()
        record.check_plan(20)
        app.do("Promote")
        stories.at_stop(app, "50%")
    assert set(load.requests.by_version()) == {"v1", "v2"}


def test_foreign_hands_on_the_slots(workload: Workload) -> None:
    """Replicas, images and selectors of a slot cannot be changed by others in mid-run; what is deleted comes back."""
    app = workload.open(replicas=2)
    app.serve(TWO_STOPS)
    with app.steady(rate=200) as load, Recorder(app) as record, SlotRecorder(app) as slots:
        stories.started(app, "v2")
        for slot in (app.blue, app.green):
            app.kubectl("patch", "deployment", slot, "--type=merge", "-p", json.dumps({"spec": {"replicas": 0}}))
            app.kubectl("set", "image", f"deployment/{slot}", f"app={app.image('v9')}")
            patch = json.dumps({"spec": {"selector": {"app": "nobody"}}})
            app.kubectl("patch", "service", slot, "--type=merge", "-p", patch)
        app.check_shares({"v1": 0.8, "v2": 0.2})
        app.do("Abort")
        app.wait_ready("green", 0)
        app.kubectl("delete", "deployment,service", app.green)
        until(lambda: app.version_in("green") == "v2", "the Deployment to come back")
        until(lambda: app.selector(app.green)["sluice.dev/slot"] == "green", "the Service to come back")
        app.only("v1")
        slots.check()
        record.catch_up()
    assert slots.images("blue") == ["v1"]
    record.check_plan(0, 20, 0)
    assert set(load.requests.by_version()) == {"v1", "v2"}
