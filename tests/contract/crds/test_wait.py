"""`sluice wait` over a real API server's watch and generations; the test writes the statuses of an operator."""

import os
import subprocess
import sys
from typing import Any

import pytest

from contract.crds.resources import collection, samples
from sluice.api.rollout import RolloutSpec
from sluice.decide.revision import desired_of
from testbed import Cluster

pytestmark = pytest.mark.cluster
MERGE = "application/merge-patch+json"
SECONDS = 60.0


def started(cluster: Cluster, namespace: str, *options: str) -> subprocess.Popen[str]:
    """`sluice wait` for the Rollout shop, as a process of its own."""
    command = [
        sys.executable,
        "-m",
        "sluice",
        "wait",
        "shop",
        "-n",
        namespace,
        "--timeout",
        f"{SECONDS:.0f}s",
        *options,
    ]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def first_line(process: subprocess.Popen[str]) -> str:
    """The first line about progress."""
    assert process.stderr is not None
    return process.stderr.readline()


class Story:
    """A Rollout, and an operator's answers to its spec."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._client = cluster.client
        [self._spec] = [sample.body["spec"] for sample in samples("minimal") if sample.file == "minimal/canary"][:1]
        self._path = f"{collection('Rollout', namespace)}/shop"
        body = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": "shop"},
            "spec": self._spec,
        }
        self._client.checked("POST", f"{collection('Rollout', namespace)}?fieldValidation=Strict", body)

    def release(self, version: str) -> None:
        """Ask for a version."""
        self._spec = {**self._spec, "workload": {**self._spec["workload"], "version": version}}
        self._client.checked("PATCH", self._path, {"spec": self._spec}, MERGE)

    def answer(self, phase: str, **status: Any) -> None:
        """Write a status that answers the spec as it is now; what is asked for is stable."""
        generation = self._client.checked("GET", self._path)["metadata"]["generation"]
        desired = desired_of(RolloutSpec.parse(self._spec, "spec"))
        assert desired is not None
        stable = {"slot": desired.slot, "hash": desired.hash, "version": desired.version}
        told = {"observedGeneration": generation, "phase": phase, "message": "so it is", "stable": stable, **status}
        self._client.checked("PATCH", f"{self._path}/status", {"status": told}, MERGE)


def test_it_waits_for_the_answer_to_what_was_applied(installed: Cluster, namespace: str) -> None:
    """The healthy version before does not count; the answer ends it at once."""
    story = Story(installed, namespace)
    story.release("1.4.0")
    story.answer("Healthy")
    story.release("1.5.0")
    with started(installed, namespace) as waiting:
        assert "the operator has not yet seen the newest change of the spec" in first_line(waiting)
        assert waiting.poll() is None
        story.answer("Healthy")
        told, _ = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, told) == (0, f"Rollout {namespace}/shop is healthy: Healthy: so it is\n")


def test_it_ends_when_the_rollout_is_deleted(installed: Cluster, namespace: str) -> None:
    """By the watch, with the exit code of what is not there."""
    story = Story(installed, namespace)
    story.answer("Progressing")
    with started(installed, namespace) as waiting:
        assert "Progressing" in first_line(waiting)
        installed.kubectl("delete", "rollout", "shop", "-n", namespace)
        _, told = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 3
    assert "was deleted while it was waited for" in told
