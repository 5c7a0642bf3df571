"""What was refused and left no object: the API server's own audit log has it, and `sluice audit refusals` tells it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.crds.people import As
from contract.crds.records import await_refusals
from contract.policies import action
from testbed import Cluster

pytestmark = pytest.mark.cluster


def test_refusals_are_on_record(installed: Cluster, user: Callable[..., As], namespace: str) -> None:
    """A missing verb and a missing right, each with who, what, when and why, as the shipped audit policy keeps them."""
    mallory = user("mallory", "sluice-editor")
    assert mallory.create(action("Abort"))[0] == 403
    name = f"free-{namespace}"
    policy = {"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": name}}
    path = f"/apis/sluice.dev/v1alpha1/rolloutpolicies/{name}"
    token = installed.user_token("mallory")
    assert installed.request("PUT", path, {**policy, "spec": {"maxConcurrent": 500}}, token=token)[0] == 403
    verb, right = await_refusals(installed, namespace, 2)
    assert (verb["who"], verb["rule"], verb["code"]) == ("mallory", "sluice-rolloutaction-verbs", 403)
    assert verb["why"].startswith("mallory may not abort rollouts/checkout")
    assert (right["who"], right["rule"], right["verb"]) == ("mallory", "", "update")
    assert 'cannot update resource "rolloutpolicies"' in right["why"]
    assert verb["at"].endswith("Z")
