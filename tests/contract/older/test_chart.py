"""The Helm chart on such a server: taken without the policies that it does not serve, and told so with them."""

from __future__ import annotations

import json

import pytest

from contract.chart.conftest import helm
from helm import CHART, Helm
from testbed import Cluster, TestbedError

__all__ = ["helm"]

pytestmark = pytest.mark.cluster

INSTALL = ("install", "sluice", CHART, "--namespace", "delivery", "--create-namespace", "--dry-run=server")
WITHOUT = ("--set", "mutatingPolicies=false")


def test_what_the_chart_renders_is_taken(installed: Cluster, helm: Helm) -> None:
    """Every object of it, also as `helm template` makes it for that version."""
    made = {"apiVersion": "v1", "kind": "List", "items": helm.template(*WITHOUT, "--kube-version", "1.33.0")}
    applied = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    told = installed.kubectl(*applied, input=json.dumps(made)).splitlines()
    assert len(told) == len(made["items"])


def test_a_server_without_the_feature_is_told_what_to_add(installed: Cluster, helm: Helm) -> None:
    """Whatever version it says it is: the server names 1.36, and serves no MutatingAdmissionPolicy."""
    on = Helm(installed.folder / "helm", installed.kubeconfig)
    with pytest.raises(TestbedError, match="add --set mutatingPolicies=false") as refused:
        on(*INSTALL)
    assert "ensure CRDs are installed first" not in str(refused.value)
    assert helm.template("--kube-version", "1.36.0")  # which cannot know what is served
