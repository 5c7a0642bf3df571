"""Pods as decisions see them: whose they are, and what keeps them from being ready."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.names import Kind, Slot
from sluice.decide.pods import PodFault
from sluice.engine.pods import MESSAGE_CHARACTERS, faults_of, members_of, refusal_of, view_of, waits_of
from sluice.engine.slim import slim
from sluice.ports import Obj
from unit.engine.objects import deployment, pod


def failing(
    reason: str, message: str = "", *, init: bool = False, last: dict[str, Any] | None = None, revision: str = "new"
) -> Obj:
    """A pod with a container that waits, as the caches keep it."""
    status: Obj = {"name": "app", "restartCount": 3, "state": {"waiting": {"reason": reason, "message": message}}}
    if last is not None:
        status["lastState"] = {"terminated": last}
    body = pod("p-1", 1, "checkout", revision=revision)
    body["status"]["initContainerStatuses" if init else "containerStatuses"] = [status]
    return slim(Kind.POD, body)


def fault_of(found: Obj) -> PodFault:
    """The only fault of a pod of the present revision."""
    [fault] = faults_of([found], "new")
    return fault


@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize(
    "reason", ["ImagePullBackOff", "ErrImagePull", "CrashLoopBackOff", "CreateContainerConfigError", "InvalidImageName"]
)
def test_a_container_that_cannot_run(reason: str, init: bool) -> None:
    """Whatever the kubelet waits for, in its words; containers that only prepare the pod count too."""
    assert fault_of(failing(reason, "no such image", init=init)) == PodFault("p-1", "app", reason, "no such image")


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_a_container_that_only_begins(reason: str) -> None:
    """Waiting is no fault as long as the kubelet is at it."""
    assert faults_of([failing(reason)], "new") == ()


def test_a_crash_says_how_the_container_ended() -> None:
    """The back-off itself does not tell what is wrong; the last end does."""
    found = failing("CrashLoopBackOff", "back-off 40s", last={"reason": "OOMKilled", "exitCode": 137})
    assert fault_of(found).message == "back-off 40s; it ended with OOMKilled, exit code 137"
    found = failing("CrashLoopBackOff", last={"reason": "Error", "exitCode": 1, "message": "no database\n"})
    assert fault_of(found).message == "it ended with Error, exit code 1: no database"


def test_pods_of_an_older_revision_do_not_count() -> None:
    """What is being replaced may fail as it likes."""
    assert faults_of([failing("ImagePullBackOff", revision="old")], "new") == ()


@pytest.mark.parametrize("started, probe", [(None, "readiness"), (True, "readiness"), (False, "startup")])
def test_a_container_that_runs_and_is_not_ready(started: bool | None, probe: str) -> None:
    """No fault, as it may come right any moment; but what is waited for."""
    running = {"name": "app", "ready": False, "state": {"running": {}}} | (
        {} if started is None else {"started": started}
    )
    ready = {"name": "proxy", "ready": True, "state": {"running": {}}}
    body = slim(Kind.POD, pod("p-1", 1, "checkout", revision="new", containerStatuses=[ready, running]))
    assert faults_of([body], "new") == ()
    assert waits_of([body], "new") == (
        PodFault("p-1", "app", "NotReady", f"it runs, and its {probe} probe has not passed"),
    )
    assert waits_of([body], "other") == ()


def test_a_pod_that_finds_no_node() -> None:
    """The scheduler's words come before those of pods that run."""
    words = "0/3 nodes are available: 3 Insufficient cpu."
    met = {"type": "Initialized", "status": "True"}
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    homeless = slim(Kind.POD, pod("p-2", 1, "checkout", revision="new", conditions=[met, condition]))
    running = {"name": "app", "ready": False, "state": {"running": {}}}
    unready = slim(Kind.POD, pod("p-1", 1, "checkout", revision="new", containerStatuses=[running]))
    waits = waits_of([unready, homeless], "new")
    assert waits[0] == PodFault("p-2", "", "Unschedulable", words)
    assert [wait.reason for wait in waits] == ["Unschedulable", "NotReady"]


def test_pods_that_cannot_be_made() -> None:
    """There is no pod to tell why; its Deployment has the API server's words."""
    words = 'pods "checkout-green-7f-x" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=6'
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    progressing = {"type": "Progressing", "status": "True"}
    body = slim(Kind.DEPLOYMENT, deployment("checkout-green", 1, status={"conditions": [progressing, failed]}))
    assert refusal_of(body) == (PodFault("", "", "FailedCreate", words),)
    assert refusal_of(deployment("checkout-green", 1)) == ()
    assert refusal_of(deployment("checkout-green", 1, status={"conditions": [{**failed, "status": "False"}]})) == ()


def test_words_of_a_container_are_made_harmless() -> None:
    """Anybody can write a termination message: it is cut, on one line, and steers no terminal."""
    hostile = "line\n\x1b[2Jtwo\u202eevil\u2066 " + "x" * 100_000
    message = fault_of(failing("CrashLoopBackOff", hostile)).message
    assert message.startswith("line [2Jtwo evil xxx")
    assert len(message) <= MESSAGE_CHARACTERS
    assert message.isprintable()
    assert len(fault_of(failing("Evil" * 1000)).reason) <= MESSAGE_CHARACTERS


def test_members_are_those_of_the_slot_that_stay() -> None:
    """By name; a pod that is being deleted is no member any more."""
    leaving = pod("b", 1, "checkout", "green")
    leaving["metadata"]["deletionTimestamp"] = "2026-03-02T09:00:00Z"
    pods = [
        pod("c", 1, "checkout", "green"),
        leaving,
        pod("d", 1, "checkout", "blue"),
        pod("a", 1, "checkout", "green"),
    ]
    assert [each["metadata"]["name"] for each in members_of(pods, Slot.GREEN)] == ["a", "c"]
    view = view_of(pods[0])
    assert (view.name, view.uid, view.labels["sluice.dev/slot"], view.annotations) == ("c", "uid-c", "green", {})
