"""Versions that never start: what serves is not touched, and people are told which container fails, and why."""

from __future__ import annotations

import json

import pytest
import yaml

from e2e import stories
from e2e.recorder import Recorder
from e2e.stories import TWO_STOPS
from e2e.support.waiting import until
from e2e.support.workload import Workload
from testbed import apps

NEVER = {"annotations": {"testbed/ready": "never"}}


@pytest.mark.parametrize(
    "version, cause",
    [
        ("v2-bad-image", "ImagePullBackOff"),
        ("v2-crash", "CrashLoopBackOff"),
    ],
)
def test_a_container_that_does_not_run(workload: Workload, version: str, cause: str) -> None:
    """The run ends long before its deadline, and says which container does not run, and the kubelet's reason."""
    workload.open(replicas=2).serve(TWO_STOPS, progressDeadline="10m")
    before = workload.deployment("blue")["metadata"]["generation"], workload.pods("blue")
    with workload.steady(rate=200) as load, Recorder(workload) as record:
        workload.ship(version)
        assert workload.wait_outcome(1) == "Aborted"
        status = workload.wait_phase("Aborted")
        record.catch_up()
    assert set(load.requests.by_version()) == {"v1"}
    record.check_plan(0)
    assert (workload.deployment("blue")["metadata"]["generation"], workload.pods("blue")) == before
    assert status["revision"]["reason"] == "ContainerFails"
    words = {"v2-bad-image": "not found", "v2-crash": "restarting failed container"}[version]
    for part in ("app", cause, words, "checkout-green"):
        assert part in status["message"], (part, status["message"])


def test_pods_that_are_never_ready(workload: Workload) -> None:
    """Nothing fails, but nothing gets ready either: at the deadline the run ends, and stable was not touched."""
    workload.open(replicas=2).serve(TWO_STOPS, progressDeadline="2s")
    before = workload.pods("blue")
    with workload.steady(rate=200) as load, Recorder(workload) as record:
        workload.ship("v2", **NEVER)
        assert workload.wait_outcome(1) == "Aborted"
        status = workload.wait_phase("Aborted")
        record.catch_up()
        assert status["revision"]["reason"] == "ProgressDeadlineExceeded"
        for part in ("0 of 1", "container app of pod checkout-green-", "its readiness probe has not passed"):
            assert part in status["message"], (part, status["message"])
        workload.ship("v3", annotations={})
        for share in ("20%", "50%"):
            stories.at_stop(workload, share)
            workload.do("Promote")
        workload.wait_served_by("v3")
    assert workload.pods("blue").keys() <= before.keys()
    assert set(load.requests.by_version()) == {"v1", "v3"}


def test_a_deadline_that_holds(workload: Workload) -> None:
    """With `onDeadline: Hold` the run waits on for people, who ship a version that works."""
    workload.open(replicas=2).serve(TWO_STOPS, progressDeadline="2s", onDeadline="Hold")
    with workload.steady(rate=200) as load:
        workload.ship("v2", **NEVER)
        stalled = workload.wait_condition("Stalled", reason="ProgressDeadlineExceeded")
        assert "onDeadline is Hold" in stalled["message"], stalled
        assert "outcome" not in workload.run(1).get("status", {})
        workload.only("v1")
        workload.ship("v3", annotations={})
        assert workload.wait_outcome(1) == "Superseded"
        stories.at_stop(workload, "20%")
        load.wait_for_version("v3")
    assert set(load.requests.by_version()) == {"v1", "v3"}


def test_a_template_that_the_api_server_refuses(workload: Workload) -> None:
    """It is tried before a run begins: no run, no write, and the API server's own words; a good one goes on."""
    workload.open(replicas=2).serve(TWO_STOPS)
    path = "/spec/workload/template/spec/containers/0/imagePullPolicy"
    rollout = f"/apis/sluice.dev/v1alpha1/namespaces/{workload.namespace}/rollouts/{workload.name}"
    with workload.steady() as load:
        workload.patch(rollout, [{"op": "add", "path": path, "value": "Whenever"}])
        stalled = workload.wait_condition("Stalled", reason="TemplateRefused")
        assert "imagePullPolicy" in stalled["message"], stalled
        assert json.loads(workload.kubectl("get", "rolloutruns", "-o", "json"))["items"] == []
        assert workload.deployment("green").get("spec", {}).get("replicas", 0) == 0
        workload.patch(rollout, [{"op": "remove", "path": path}])
        workload.wait_phase("Healthy")
        stories.started(workload, "v2")
        load.wait_for_version("v2")
    assert set(load.requests.by_version()) == {"v1", "v2"}


def test_pods_that_a_foreign_service_selects(workload: Workload) -> None:
    """A Service that would send the candidate traffic past the weights is named, and no such pod is started."""
    workload.open(replicas=2).serve(TWO_STOPS)
    foreign = apps.service(workload.namespace, "backdoor", workload.name, "green")
    foreign["spec"]["selector"] = {"app": workload.name}
    with workload.steady() as load:
        workload.hub.apply(yaml.safe_dump(foreign))
        workload.ship("v2")
        stalled = workload.wait_condition("Stalled", reason="ExposedOutsideWeight")
        assert f"{workload.namespace}/backdoor" in stalled["message"], stalled
        assert workload.pods("green") == {}
        workload.kubectl("delete", "service", "backdoor")
        stories.at_stop(workload, "20%")
        load.wait_for_version("v2")
    assert set(load.requests.by_version()) == {"v1", "v2"}


def test_a_name_that_is_taken(workload: Workload) -> None:
    """A Deployment of somebody else's where a slot's shall be is not taken over: it is named, and left as it is."""
    workload.open(replicas=2)
    taken = apps.deployment(workload.namespace, workload.name, "blue", "v0", replicas=1)
    workload.hub.apply(yaml.safe_dump(taken))
    workload.apply_template(TWO_STOPS)
    stalled = workload.wait_condition("Stalled", reason="NameTaken")
    assert f"{workload.namespace}/{workload.blue}" in stalled["message"], stalled
    assert workload.version_in("blue") == "v0"
    workload.kubectl("delete", "deployment", workload.blue)
    workload.wait_phase("Healthy")
    until(lambda: workload.version_in("blue") == "v1", "the slot to be made")
