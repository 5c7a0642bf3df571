"""Pods: how those of an image fare, and what can be read of one. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.decide.revision import image_version
from sluice.ports import Obj


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the pods of an image fare.

    Attributes:
        ready_after_seconds: from a container's start.
        never_ready: they run, but their readiness probe fails for ever.
        crash_after_seconds: from each start of a container to its end; before it was ready, or after.
        pull_error: what the registry says instead of giving the image.
        stop_after_seconds: from the deletion of a pod to its end, if the grace period allows so much.
    """

    ready_after_seconds: float = 2.0
    never_ready: bool = False
    crash_after_seconds: float | None = None
    pull_error: str = ""
    stop_after_seconds: float = 1.0


def is_ending(pod: Obj) -> bool:
    """Whether a pod was deleted, and has its last seconds."""
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Obj) -> bool:
    """Whether a pod is ready, and not about to end."""
    conditions = pod.get("status", {}).get("conditions", ())
    return not is_ending(pod) and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def images_of(pod: Obj) -> tuple[str, ...]:
    """The images of a pod, each followed by its tag: by these behaviours are found."""
    images = [str(container["image"]) for container in pod["spec"]["containers"]]
    tags = [image_version({"spec": {"containers": [{"image": image}]}}) for image in images]
    return tuple(name for pair in zip(images, tags, strict=True) for name in pair if name)
