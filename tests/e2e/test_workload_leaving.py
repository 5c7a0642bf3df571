"""A Rollout that runs pods is deleted: what serves goes on serving, or goes, as `onDelete` says; nothing hangs."""

from __future__ import annotations

import json

from e2e import stories
from e2e.recorder import Recorder
from e2e.stories import TWO_STOPS
from e2e.support.waiting import until
from e2e.support.workload import Workload


def test_a_rollout_deleted_in_mid_run_keeps_what_serves(workload: Workload) -> None:
    """`Keep`: the weight goes home first, then everything stays as it is, with nothing of Sluice's left to pin it."""
    workload.open(replicas=2).serve(TWO_STOPS)
    with workload.steady(rate=200), Recorder(workload) as record:
        stories.started(workload, "v2")
        before = workload.pods("blue")
        workload.kubectl("delete", "rollout", workload.name, "--wait=true", "--timeout=30s")
        workload.data_plane.wait_weights(workload.host, {workload.blue: 100})
        workload.only("v1", 1_000)
        assert workload.pods("blue") == before
        for kind, name in (("httproute", workload.name), ("service", workload.blue), ("deployment", workload.blue)):
            found = json.loads(workload.kubectl("get", kind, name, "-o", "json"))
            assert not [key for key in found["metadata"].get("annotations", {}) if key.startswith("sluice.dev/")]
        record.catch_up()
    record.check_plan(0, 20, 0)
    workload.kubectl("scale", f"deployment/{workload.blue}", "--replicas=3")
    workload.wait_ready("blue", 3)


def test_a_rollout_that_takes_its_pods_along(workload: Workload) -> None:
    """`Remove`: both slots' Deployments and Services go with it."""
    workload.open(replicas=2).serve(TWO_STOPS, onDelete="Remove")
    stories.started(workload, "v2")
    workload.kubectl("delete", "rollout", workload.name, "--wait=true", "--timeout=60s")

    def left() -> list[str]:
        return workload.kubectl("get", "deployments,services,pods", "-o", "name").split()

    until(lambda: not left(), "everything of the slots to be gone")


def test_a_namespace_that_ends_in_mid_run(workload: Workload) -> None:
    """Deleting the namespace never hangs on a finalizer."""
    workload.open(replicas=2).serve(TWO_STOPS)
    stories.started(workload, "v2")
    workload.hub.kubectl("delete", "namespace", workload.namespace, "--wait=true", "--timeout=60s")


def test_metadata_changes_hands_without_a_restart(workload: Workload) -> None:
    """Each role's labels are on its pods, and move when the roles do; no pod is replaced for it."""
    roles = {
        "stableMetadata": {"labels": {"role": "stable"}},
        "candidateMetadata": {"labels": {"role": "candidate"}},
    }
    workload.open(replicas=2).serve(TWO_STOPS, workload=roles)

    def roles_of(slot: str) -> set[str]:
        selector = f"sluice.dev/slot={slot}"
        return set(
            workload.kubectl("get", "pods", "-l", selector, "-o", "jsonpath={.items[*].metadata.labels.role}").split()
        )

    with workload.steady():
        stories.started(workload, "v2")
        until(lambda: (roles_of("blue"), roles_of("green")) == ({"stable"}, {"candidate"}), "each role's label")
        candidates = workload.pods("green")
        workload.do("PromoteFully")
        workload.wait_served_by("v2")
        until(lambda: roles_of("green") == {"stable"}, "the new stable's label")
    assert candidates.items() <= workload.pods("green").items()
