"""Pods as decisions see them: whose they are, and what keeps their containers from running."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.names import Kind, Slot
from sluice.decide.pods import PodFault
from sluice.engine.pods import MESSAGE_CHARACTERS, faults_of, members_of, view_of
from sluice.engine.slim import slim
from sluice.ports import Obj
from unit.engine.objects import pod


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
