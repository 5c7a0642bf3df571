"""Installed by Helm, in a namespace of the user's choice: a rollout, a kill, an upgrade, and an uninstall.

The operator is a process here, as everywhere on the testbed; its account, arguments and environment are those of the
chart's Deployment in the cluster.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.support.app import SLUICE, App
from e2e.support.manifests import background, canary, error_rate, pause, weight
from helm import CHART, Helm
from installation import KINDS, PROBERS, Operator, wait_in_force
from testbed import Cluster, DataPlane

NAMESPACE = "delivery"
HALF = canary(weight(50), pause())
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/sluice"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class Place:
    """A cluster with traffic, and Helm with a user's kubeconfig."""

    cluster: Cluster
    data_plane: DataPlane
    helm: Helm

    def install(self, name: str) -> Operator:
        """`helm install`, and the operator that its Deployment asks for."""
        address = f"settings.prometheusUrl={self.data_plane.prometheus_url}"
        self.helm("install", "sluice", CHART, "-n", NAMESPACE, "--create-namespace", "--set", address)
        wait_in_force(self.cluster)
        return self.operator(name)

    def operator(self, name: str) -> Operator:
        """Start one as the Deployment in the cluster says."""
        pod = self.cluster.get(DEPLOYMENT)["spec"]["template"]["spec"]
        [container] = pod["containers"]
        environment = {each["name"]: each.get("value") for each in container["env"]}
        assert (pod["serviceAccountName"], container["args"][0]) == ("sluice", "run")
        address, arguments = environment["SLUICE_PROMETHEUS_URL"], container["args"][1:]
        return Operator(self.cluster, address, arguments, name, namespace=NAMESPACE).start()

    def app(self, name: str) -> App:
        """An app that has a Rollout, whose candidate has half of the traffic."""
        app = App(self.cluster, self.data_plane, namespace=f"shop-{name}", name=name, host=f"{name}.example").deploy()
        app.manage(HALF, analysis=background(error_rate()))
        app.release()
        app.wait_weight("50%")
        return app


@pytest.fixture(scope="module")
def place(target: str) -> Iterator[Place]:
    """One for this module, whose cluster has nothing of Sluice's at first."""
    if target != "testbed":
        pytest.skip("needs the testbed, whose pods, proxy and Prometheus are real processes: run `make e2e`")
    cluster = Cluster.start("helm", users={name: [] for name in PROBERS})
    data_plane = DataPlane.start(cluster)
    yield Place(cluster, data_plane, Helm(cluster.folder / "helm", cluster.kubeconfig))
    data_plane.stop()
    cluster.stop()


def test_from_install_to_uninstall(place: Place, tmp_path: Path) -> None:
    """A canary begins, goes over an upgrade with its CRDs, stays while nothing is installed, and ends after that.

    A kill works in between and lasts, and no request fails.
    """
    operator = place.install("first")
    app, stopped = place.app("checkout"), place.app("cart")
    with app.steady(), stopped.steady():
        foreign = json.dumps([{"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 100}])
        app.kubectl("patch", "httproute", app.name, "--type=json", "-p", foreign)
        assert app.share() == 0.5, (
            "the policies pin what the operator set, and know it by its account in this namespace"
        )

        stopped.apply("KillSwitch", "stop", {"effect": "Divert", "engaged": True, "reason": "5xx on cart"})
        assert "engaged by admin: 5xx on cart" in stopped.wait_phase("Killed")["message"]
        stopped.only("v1")

        place.helm(
            "upgrade", "sluice", later(tmp_path), "-n", NAMESPACE, "--reuse-values", "--set", "settings.leaseSeconds=5"
        )
        operator.stop()
        operator = place.operator("upgraded")
        assert operator.arguments[-1] == "--lease-seconds=5"
        assert place.cluster.get(f"{CRDS}/rollouts.sluice.dev")["spec"]["names"]["shortNames"] == ["sro", "later"]
        assert app.status["phase"] == "Paused"

        told = place.helm("uninstall", "sluice", "-n", NAMESPACE)
        operator.stop()
        assert "rollouts.sluice.dev" in told
        assert len(place.cluster.get(f"{CRDS}?labelSelector=app.kubernetes.io/part-of=sluice")["items"]) == KINDS
        app.check_share("v2", 0.5)
        stopped.only("v1")

        operator = place.install("again")
        assert app.status["phase"] == "Paused"
        app.promote_when_measured()
        app.wait_phase("Healthy")
        app.only("v2")
        assert stopped.status["phase"] == "Killed"
        switch = place.cluster.get(f"{SLUICE}/namespaces/{stopped.namespace}/killswitches/stop")
        assert switch["spec"]["engagedBy"] == "admin"
    operator.stop()


def later(folder: Path) -> Path:
    """The chart of a later version, in which Rollouts have one more short name."""
    chart = shutil.copytree(CHART, folder / "sluice")
    for path, before, after in (
        (chart / "Chart.yaml", "version: 0.1.0", "version: 0.2.0"),
        (chart / "templates" / "crds" / "rollouts.yaml", "shortNames: [sro]", "shortNames: [sro, later]"),
    ):
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))
    return chart
