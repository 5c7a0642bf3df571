"""Pods of a slot as decisions see them: whose metadata may change hands, and what keeps them from being ready. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sluice.api.names import REVISION_LABEL, SLOT_LABEL, Slot
from sluice.decide.metadata import labels_of
from sluice.decide.pods import PodFault, PodView
from sluice.ports import Obj

MESSAGE_CHARACTERS = 256
_BEGINNING = frozenset({"ContainerCreating", "PodInitializing"})


def members_of(pods: Iterable[Obj], slot: Slot) -> tuple[Obj, ...]:
    """Of a Rollout's pods, those of a slot that are not being deleted, by name."""
    found = (
        pod
        for pod in pods
        if labels_of(pod).get(SLOT_LABEL) == slot.value and "deletionTimestamp" not in pod["metadata"]
    )
    return tuple(sorted(found, key=lambda pod: str(pod["metadata"].get("name"))))


def view_of(pod: Obj) -> PodView:
    """A pod as far as its metadata go."""
    metadata = pod["metadata"]
    return PodView(
        name=metadata.get("name", ""),
        uid=metadata.get("uid", ""),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )


def faults_of(pods: Iterable[Obj], revision_hash: str) -> tuple[PodFault, ...]:
    """What keeps the containers of a revision's pods from running, in the kubelet's words, by pod and container."""
    return tuple(fault for pod in _of(pods, revision_hash) for fault in _faults_of(pod))


def waits_of(pods: Iterable[Obj], revision_hash: str) -> tuple[PodFault, ...]:
    """What the others of a revision's pods wait for: for a node first, then for their containers' probes."""
    found = tuple(_of(pods, revision_hash))
    return (*(wait for pod in found for wait in _unscheduled(pod)), *(wait for pod in found for wait in _unready(pod)))


def ready_of_others(pods: Iterable[Obj], revision_hash: str) -> int:
    """How many pods of other revisions are ready: what a slot had before, and gives up once new pods are ready."""
    return sum(1 for pod in pods if labels_of(pod).get(REVISION_LABEL) != revision_hash and _is_ready(pod))


def refusal_of(deployment: Obj) -> tuple[PodFault, ...]:
    """Why no more pods of a Deployment can be made (a quota, a webhook); empty where they can."""
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return (_of_whole("", condition),)
    return ()


def _of(pods: Iterable[Obj], revision_hash: str) -> Iterator[Obj]:
    return (pod for pod in pods if labels_of(pod).get(REVISION_LABEL) == revision_hash)


def _is_ready(pod: Obj) -> bool:
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    return bool(containers) and all(container.get("ready") for container in containers)


def _unscheduled(pod: Obj) -> Iterator[PodFault]:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield _of_whole(str(pod["metadata"].get("name")), condition)


def _of_whole(pod: str, condition: dict[str, Any]) -> PodFault:
    return PodFault(
        pod, "", _clean(str(condition.get("reason") or condition["type"])), _clean(str(condition.get("message") or ""))
    )


def _unready(pod: Obj) -> Iterator[PodFault]:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if container.get("ready") is False and "running" in (container.get("state") or {}):
            probe = "startup" if container.get("started") is False else "readiness"
            words = f"it runs, and its {probe} probe has not passed"
            yield PodFault(str(pod["metadata"].get("name")), str(container.get("name") or ""), "NotReady", words)


def _faults_of(pod: Obj) -> Iterator[PodFault]:
    status = pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason and reason not in _BEGINNING:
            ended = (container.get("lastState") or {}).get("terminated") or {}
            yield PodFault(
                pod=str(pod["metadata"].get("name")),
                container=str(container.get("name") or ""),
                reason=_clean(str(reason)),
                message=_clean("; ".join(part for part in (waiting.get("message") or "", _ending(ended)) if part)),
            )


def _ending(terminated: dict[str, Any]) -> str:
    """How a container ended the last time: what a CrashLoopBackOff itself does not tell.

    >>> _ending({"reason": "OOMKilled", "exitCode": 137})
    'it ended with OOMKilled, exit code 137'
    """
    if not terminated:
        return ""
    code = f", exit code {terminated['exitCode']}" if "exitCode" in terminated else ""
    said = f": {terminated['message']}" if terminated.get("message") else ""
    return f"it ended with {terminated.get('reason') or 'no reason'}{code}{said}"


def _clean(text: str) -> str:
    """Anybody's text, made fit for a terminal: on one line, without control characters and direction marks, and cut."""
    shown = "".join(character if character.isprintable() else " " for character in text[: 4 * MESSAGE_CHARACTERS])
    return " ".join(shown.split())[:MESSAGE_CHARACTERS].rstrip()
