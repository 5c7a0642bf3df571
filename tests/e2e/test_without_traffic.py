"""What needs no traffic, on the testbed and on kind alike: installed, it runs, speaks, obeys, and answers people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.support.waiting import until
from testbed import TestbedError, apps
from testbed.access import Access

NAMESPACE = "plain"
PATH = f"/apis/sluice.dev/v1alpha1/namespaces/{NAMESPACE}"
Json = dict[str, Any]


@pytest.fixture
def cluster(plain: Access) -> Iterator[Access]:
    """With a namespace of the test's own."""
    plain.apply(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
    yield plain
    plain.kubectl("-n", NAMESPACE, "delete", "rollouts,rolloutactions", "--all", "--wait=false")


def make(cluster: Access, kind: str, name: str, spec: Json) -> None:
    """`kubectl apply` of one of Sluice's kinds."""
    metadata = {"name": name, "namespace": NAMESPACE}
    cluster.apply(
        yaml.safe_dump({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    )


def blue_green(app: str) -> Json:
    """A Rollout's spec that switches a Service named as the app between those of its slots."""
    return {
        "workload": {"services": {"blue": f"{app}-blue", "green": f"{app}-green"}, "active": "blue"},
        "traffic": {"service": {"active": app}},
        "strategy": {"blueGreen": {}},
    }


def patch(cluster: Access, spec: Json) -> None:
    """`kubectl patch` of the switch."""
    cluster.kubectl("-n", NAMESPACE, "patch", "killswitch", "stop", "--type=merge", "-p", json.dumps({"spec": spec}))


def test_a_rollout_of_things_that_are_not_there_says_so(cluster: Access) -> None:
    """The operator sees it, and a condition names what is missing and what to do."""
    make(cluster, "Rollout", "lost", blue_green("lost"))

    def stalled() -> Json | None:
        conditions = cluster.get(f"{PATH}/rollouts/lost").get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == "Stalled"), None)

    condition = until(stalled, "the Rollout to say that it is stalled")
    assert condition["reason"] == "RouteMissing"
    assert "Create it, or correct the Rollout's spec.traffic" in condition["message"]


def test_an_action_that_cannot_be_taken_is_rejected_in_words(cluster: Access) -> None:
    """Whoever asks gets an answer with the reason, and the API server says who asked."""
    slots = {"idle": "blue", "idle-blue": "blue", "idle-green": "green"}
    cluster.apply(yaml.safe_dump_all([apps.service(NAMESPACE, name, "idle", slot) for name, slot in slots.items()]))
    make(cluster, "Rollout", "idle", blue_green("idle"))
    make(cluster, "RolloutAction", "abort-idle", {"rollout": "idle", "action": "Abort"})
    action = until(
        lambda: (found := cluster.get(f"{PATH}/rolloutactions/abort-idle")).get("status", {}).get("phase") and found,
        "an answer",
    )
    assert action["status"]["phase"] == "Rejected"
    assert "no run is under way" in action["status"]["message"]
    assert action["spec"]["actor"]


def test_a_kill_switch_is_engaged_and_released_by_patches(cluster: Access) -> None:
    """The operator reports it in force; deleting or releasing it without a word why is refused."""
    make(cluster, "KillSwitch", "stop", {})

    def state(wanted: str) -> None:
        until(
            lambda: cluster.get(f"{PATH}/killswitches/stop").get("status", {}).get("state") == wanted,
            f"the switch to be {wanted}",
        )

    state("Armed")
    patch(cluster, {"engaged": True, "reason": "a drill"})
    state("Engaged")
    assert cluster.get(f"{PATH}/killswitches/stop")["spec"]["engagedBy"]
    with pytest.raises(TestbedError, match="is engaged"):
        cluster.kubectl("-n", NAMESPACE, "delete", "killswitch", "stop")
    patch(cluster, {"engaged": False, "releaseReason": "it was a drill"})
    state("Armed")
    cluster.kubectl("-n", NAMESPACE, "delete", "killswitch", "stop")
