"""Helm installs, takes over, upgrades and uninstalls the chart on a real API server; CRDs and objects outlive it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.policies import rollout, switch
from helm import CHART, Helm
from installation import KINDS, ROOT, wait_in_force
from testbed import Cluster, TestbedError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GROUP = "/apis/sluice.dev/v1alpha1"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
PLACE = ("sluice", CHART, "--namespace", "sluice-system")


def crds(cluster: Cluster) -> list[dict[str, Any]]:
    """Sluice's CRDs."""
    found = cluster.get(f"{CRD}?labelSelector=app.kubernetes.io/part-of=sluice")["items"]
    return list(found)


def policies(cluster: Cluster) -> int:
    """How many admission policies of Sluice's there are."""
    kinds = ("mutatingadmissionpolicies", "validatingadmissionpolicies")
    return sum(len(cluster.get(f"{POLICIES}/{kind}")["items"]) for kind in kinds)


def test_crds_and_objects_outlive_the_release(bare: Cluster, on: Helm) -> None:
    """Uninstalled, the release takes operator, roles and policies along, and no CRD, Rollout or switch.

    Installed again under its name, it finds them.
    """
    on("install", *PLACE, "--create-namespace")
    wait_in_force(bare)
    for kind, made in (("rollouts", rollout("checkout")), ("killswitches", switch("stop", engaged=True, reason="5xx"))):
        bare.client.checked("POST", f"{GROUP}/namespaces/default/{kind}", made)
    assert policies(bare) > 0
    assert "sluice.dev" in on("uninstall", "sluice", "--namespace", "sluice-system")  # it says what it keeps
    assert len(crds(bare)) == KINDS
    assert policies(bare) == 0
    assert not bare.get("/apis/apps/v1/namespaces/sluice-system/deployments")["items"]
    assert bare.get(f"{GROUP}/namespaces/default/rollouts/checkout")["spec"] | rollout("checkout")["spec"]
    assert bare.get(f"{GROUP}/namespaces/default/killswitches/stop")["spec"]["engaged"] is True
    on("install", *PLACE)
    wait_in_force(bare)


def test_an_upgrade_brings_the_crds_of_its_version(bare: Cluster, on: Helm, tmp_path: Path) -> None:
    """A field that a later chart's CRD has is there after `helm upgrade`; CRDs that are left out later stay.

    Replicas that somebody else set are not overwritten in silence.
    """
    on("install", *PLACE, "--create-namespace")
    later = shutil.copytree(CHART, tmp_path / "sluice")
    file = later / "templates" / "crds" / "killswitches.yaml"
    text = file.read_text()
    assert text.count("shortNames: [sks]") == 1
    file.write_text(text.replace("shortNames: [sks]", "shortNames: [sks, later]"))
    on("upgrade", "sluice", later, "--namespace", "sluice-system", "--set", "replicas=3")
    names = {crd["spec"]["names"]["kind"]: crd["spec"]["names"] for crd in crds(bare)}
    assert names["KillSwitch"]["shortNames"] == ["sks", "later"]
    assert bare.get("/apis/apps/v1/namespaces/sluice-system/deployments/sluice")["spec"]["replicas"] == 3
    bare.kubectl("scale", "deployment/sluice", "-n", "sluice-system", "--replicas=4")
    without_crds = ("upgrade", "sluice", later, "--namespace", "sluice-system", "--set", "crds.install=false")
    with pytest.raises(TestbedError, match=r"conflict.*\.spec\.replicas"):
        on(*without_crds)
    on(*without_crds, "--force-conflicts")
    assert len(crds(bare)) == KINDS


def test_what_kubectl_applied_is_taken_over(bare: Cluster, on: Helm) -> None:
    """Not by chance: Helm refuses what is not its own. Told to, it takes all of it over, and deletes nothing."""
    bare.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests" / "base"))
    before = {crd["metadata"]["name"]: crd["metadata"]["uid"] for crd in crds(bare)}
    with pytest.raises(TestbedError, match="invalid ownership metadata"):
        on("install", *PLACE)
    mine = ("--set", "settings.prometheusUrl=http://mine:9090")
    on("install", *PLACE, "--take-ownership", "--force-conflicts", *mine)
    assert {crd["metadata"]["name"]: crd["metadata"]["uid"] for crd in crds(bare)} == before
    told = bare.get("/apis/apps/v1/namespaces/sluice-system/deployments/sluice")["spec"]["template"]["spec"]
    environment = {each["name"]: each.get("value") for each in told["containers"][0]["env"]}
    assert environment["SLUICE_PROMETHEUS_URL"] == "http://mine:9090"


def test_a_cluster_has_one_sluice(bare: Cluster, on: Helm) -> None:
    """A second release in another namespace would act on everything too: it is refused."""
    told = on("install", *PLACE, "--create-namespace")
    assert "kubectl rollout status deployment/sluice -n sluice-system" in told  # what to type next
    with pytest.raises(TestbedError, match="invalid ownership metadata"):
        on("install", "other", CHART, "--namespace", "other", "--create-namespace")
    [binding] = bare.get("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/sluice-operator")["subjects"]
    assert binding["namespace"] == "sluice-system"
