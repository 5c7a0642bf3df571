"""What kwok does with nodes and pods, as a kubelet would: readiness, a grace that is kept, containers that don't run.

Annotations of a pod: ``testbed/ready: never`` keeps it from being ready, or makes a ready one unready; taking it away
makes it ready. ``testbed/ready-after: 5s`` lets it become ready that much after it was scheduled.

Tags of its images: one that ends in ``bad-image`` cannot be pulled, what runs one that ends in ``crash`` ends at once.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from testbed import builder
from testbed.pod_world import ROUNDING_SECONDS

Stage = dict[str, Any]
Expression = dict[str, Any]

_NEVER: Expression = {"key": '.metadata.annotations["testbed/ready"]', "operator": "In", "values": ["never"]}
_GRACE = f".metadata.deletionTimestamp | fromdateiso8601 + {ROUNDING_SECONDS:g} | todateiso8601"

# What becomes of a container, by what its image's tag ends in, and of the phase of its pod.
_BROKEN = {
    "bad-image": (
        "Pending",
        """
  restartCount: 0
  state:
    waiting:
      reason: ImagePullBackOff
      message: {{ printf "Back-off pulling image %q: ErrImagePull: %s: not found" .image .image | toJson }}
""",
    ),
    "crash": (
        "Running",
        """
  restartCount: 3
  lastState:
    terminated:
      reason: Error
      exitCode: 1
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
  state:
    waiting:
      reason: CrashLoopBackOff
      message: {{ printf "back-off 40s restarting failed container=%s pod=%s" .name $root.metadata.name | toJson }}
""",
    ),
}


def stages() -> list[Stage]:
    """The stages for kwok's configuration."""
    given = {path.stem: yaml.safe_load(path.read_text()) for path in builder.files("kwok", "stages")}
    ready = given.pop("pod-ready")
    _keep_the_grace(given["pod-delete"])
    _keep_the_address(ready)
    unready = _unready(ready)
    broken = [_broken(ready, ending) for ending in _BROKEN]
    ready["spec"]["selector"]["matchExpressions"] += [
        {**_NEVER, "operator": "NotIn"},
        *({**_has_image(ending), "operator": "NotIn"} for ending in _BROKEN),
    ]
    ready["spec"]["delay"] = {
        "durationMilliseconds": 0,
        "durationFrom": {"expressionFrom": '.metadata.annotations["testbed/ready-after"]'},
    }
    return [*given.values(), ready, unready, *broken]


def _keep_the_grace(deleted: Stage) -> None:
    spec = deleted["spec"]
    spec["selector"]["matchExpressions"].append({"key": ".metadata.finalizers", "operator": "DoesNotExist"})
    spec["delay"] = {"durationMilliseconds": 0, "durationFrom": {"expressionFrom": _GRACE}}


def _keep_the_address(ready: Stage) -> None:
    """The template gives a new address each time it is used; a pod keeps its first."""
    spec = ready["spec"]
    for expression in spec["selector"]["matchExpressions"]:
        if expression["key"] == ".status.phase":
            expression["values"] = ["Pending", "Running"]
    template = spec["next"]["statusTemplate"].replace("{{ $podIPs :=", "{{ if not .status.podIP }}\n{{ $podIPs :=")
    spec["next"]["statusTemplate"] = template.replace("phase: Running", "{{ end }}\nphase: Running")


def _unready(ready: Stage) -> Stage:
    """A ready pod that is not to be ready any more."""
    unready = _copy(ready, "pod-unready")
    selectors = unready["spec"]["selector"]["matchExpressions"]
    selectors[-1]["values"] = ["False"]
    selectors.append(_NEVER)
    _without_readiness(unready)
    return unready


def _broken(ready: Stage, ending: str) -> Stage:
    """A pod of which a container does not run: it has its address, and the reason in that container's status."""
    broken = _copy(ready, f"pod-{ending}")
    selectors = broken["spec"]["selector"]["matchExpressions"]
    selectors[-1]["values"] = ["True", "False"]
    selectors.append(_has_image(ending))
    _without_readiness(broken)
    phase, status = _BROKEN[ending]
    head, _, tail = broken["spec"]["next"]["statusTemplate"].partition("{{ range .spec.containers }}")
    running, _, tail = tail.partition("{{ end }}")
    running = running.replace("ready: false", "ready: true")
    containers = f"""{{{{ range .spec.containers }}}}
{{{{ if hasSuffix "{ending}" .image }}}}
- image: {{{{ .image | Quote }}}}
  name: {{{{ .name | Quote }}}}
  ready: false
{status.strip(chr(10))}
{{{{ else }}}}{running}{{{{ end }}}}
{{{{ end }}}}"""
    tail = tail.replace("phase: Running", f"phase: {phase}")
    broken["spec"]["next"]["statusTemplate"] = f"{{{{ $root := . }}}}\n{head}{containers}{tail}"
    return broken


def _has_image(ending: str) -> Expression:
    return {"key": f'.spec.containers[].image | endswith("{ending}")', "operator": "In", "values": ["true"]}


def _without_readiness(stage: Stage) -> None:
    template = stage["spec"]["next"]["statusTemplate"]
    template = re.sub(r'status: "True"(\s+)type: (Ready|ContainersReady)', r'status: "False"\1type: \2', template)
    stage["spec"]["next"]["statusTemplate"] = template.replace("ready: true", "ready: false")


def _copy(stage: Stage, name: str) -> Stage:
    copied: Stage = yaml.safe_load(yaml.safe_dump(stage))
    copied["metadata"]["name"] = name
    return copied
