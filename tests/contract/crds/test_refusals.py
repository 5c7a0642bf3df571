"""What was refused and left no object: the API server's own audit log has it, and `sluice audit refusals` tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from contract.crds.people import As
from contract.policies import action
from sluice.cli.main import cli
from testbed import Cluster

pytestmark = pytest.mark.cluster


def test_refusals_are_on_record(installed: Cluster, user: Callable[..., As], namespace: str) -> None:
    """A missing verb and a missing right, each with who, what, when and why, as the shipped audit policy keeps them."""
    assert installed.audit_log is not None
    log = installed.audit_log
    mallory = user("mallory", "sluice-editor")
    assert mallory.create(action("Abort"))[0] == 403
    policy = {"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "free"}}
    path = "/apis/sluice.dev/v1alpha1/rolloutpolicies"
    token = installed.user_token("mallory")
    assert installed.request("POST", path, {**policy, "spec": {"maxConcurrent": 500}}, token=token)[0] == 403

    def told() -> list[dict[str, Any]]:
        done = CliRunner().invoke(cli, ["audit", "refusals", str(log), "--who", "mallory", "-o", "json"])
        assert done.exit_code == 0, done.output
        found: list[dict[str, Any]] = json.loads(done.output)
        return [each for each in found if namespace in each["what"] or "rolloutpolicies" in each["what"]]

    installed.wait(lambda: len(told()) >= 2, 60, "both refusals in the audit log")
    by_what = {each["what"].split()[0]: each for each in told()}
    verb, right = by_what["rolloutactions.sluice.dev"], by_what["rolloutpolicies.sluice.dev"]
    assert (verb["rule"], verb["code"]) == ("sluice-rolloutaction-verbs", 403)
    assert verb["why"].startswith("mallory may not abort rollouts/checkout")
    assert (right["rule"], right["verb"]) == ("", "create")
    assert 'cannot create resource "rolloutpolicies"' in right["why"]
    assert verb["at"].endswith("Z")
