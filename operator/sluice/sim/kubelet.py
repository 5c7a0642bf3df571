"""Runs Pod objects as a node would: they start, become ready, crash, wait for images, and end after their grace.

How they fare is scripted by image. Steady states cost nothing: a pod has at most one timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sluice.api.names import Kind
from sluice.api.units import format_time
from sluice.ports import Clock, Obj
from sluice.sim.cluster import FakeCluster
from sluice.sim.pods import Behaviour, images_of
from sluice.sim.store import Change

PULL_SECONDS = 1.0  # until a pull that fails has failed
SETTLED_SECONDS = 600.0  # a container that ran so long is restarted without back-off
_BACK_OFF_SECONDS = (10, 20, 40, 80, 160, 300)


@dataclass(slots=True)
class _Life:
    """A pod on its node."""

    namespace: str
    name: str
    address: str
    running: bool = False
    ready: bool = False
    restarts: int = 0
    crashes: int = 0  # since it last ran for long
    ending: bool = False
    timer: asyncio.TimerHandle | None = None

    def at(self, seconds: float, step: Callable[[_Life], None]) -> None:
        """What happens next to it, in place of what would have."""
        self.rest()
        self.timer = asyncio.get_running_loop().call_later(seconds, step, self)

    def rest(self) -> None:
        """Nothing happens next to it."""
        if self.timer is not None:
            self.timer.cancel()


class FakeKubelet:
    """Every node of a cluster.

    Attributes:
        behaviours: by image, or by its tag; `behave` changes one.
        otherwise: how all other images fare.
    """

    def __init__(self, cluster: FakeCluster, clock: Clock) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.otherwise = Behaviour()
        self._cluster = cluster.as_manager("kubelet")
        self._clock = clock
        self._lives: dict[str, _Life] = {}
        self._addresses = 0

    def start(self) -> None:
        """Begin to run what is there and what comes. Needs a running loop."""
        self._cluster.on_change.append(self._on_change)
        for pod in self._cluster.store.all(Kind.POD):
            self._on_pod(pod)

    def behave(self, image: str, behaviour: Behaviour) -> None:
        """Script an image, or a tag, from now on: for pods that run already too, as if they had just started.

        A container that waits in CrashLoopBackOff goes on waiting; an image that is waited for is pulled at once.
        """
        self.behaviours[image] = behaviour
        for life in tuple(self._lives.values()):
            if image in images_of(self._pod(life)) and not life.ending:
                self._resume(life)

    def crash(self, namespace: str, name: str) -> None:
        """End a pod's container once, if it runs; it is started again at once."""
        life = self._lives[self._cluster.store.get(Kind.POD, namespace, name)["metadata"]["uid"]]
        if not life.running or life.ending:
            return
        life.restarts += 1
        life.ready = False
        self._write(life, {"running": {"startedAt": self._now()}}, last=_exited())
        self._run(life)

    def kill(self, namespace: str, name: str) -> None:
        """End a pod now and without grace, as the loss of its node does."""
        self._cluster.store.delete(
            Kind.POD, namespace, name, uid=None, manager="node-lifecycle-controller", grace_seconds=0
        )

    def behaviour_of(self, pod: Obj) -> tuple[str, Behaviour]:
        """How a pod fares, and the container that decides it: the first whose image is scripted."""
        containers = pod["spec"]["containers"]
        for container in containers:
            for name in images_of({"spec": {"containers": [container]}}):
                if name in self.behaviours:
                    return container["name"], self.behaviours[name]
        return containers[0]["name"], self.otherwise

    # ------------------------------------------------------------------------------------------ what is told

    def _on_change(self, change: Change) -> None:
        if change.kind is not Kind.POD:
            return
        if change.type == "DELETED":
            self._forget(change.after["metadata"]["uid"])
        else:
            self._on_pod(change.after)

    def _on_pod(self, pod: Obj) -> None:
        meta = pod["metadata"]
        life = self._lives.get(meta["uid"])
        if life is None:
            life = self._lives[meta["uid"]] = _Life(meta["namespace"], meta["name"], self._next_address())
            life.at(0, self._begin)
        if "deletionTimestamp" in meta and not life.ending:
            life.ending = True
            _, behaviour = self.behaviour_of(pod)
            grace = meta.get("deletionGracePeriodSeconds", 0)
            life.at(min(behaviour.stop_after_seconds, grace), self._end)

    def _next_address(self) -> str:
        self._addresses += 1
        return f"10.{128 + (self._addresses >> 16)}.{self._addresses >> 8 & 255}.{self._addresses & 255}"

    def _forget(self, uid: str) -> None:
        life = self._lives.pop(uid, None)
        if life is not None:
            life.rest()

    # ------------------------------------------------------------------------------------------ what happens

    def _begin(self, life: _Life) -> None:
        """Take a new pod, and pull its image."""
        pod = self._pod(life)
        if not pod["spec"].get("nodeName"):
            node = {"spec": {"nodeName": "node-1"}}
            self._cluster.store.merge(
                Kind.POD, life.namespace, life.name, node, subresource="", manager="kube-scheduler"
            )
        _, behaviour = self.behaviour_of(pod)
        if behaviour.pull_error:
            life.at(PULL_SECONDS, self._fail_to_pull)
        else:
            life.running = True
            self._run(life)

    def _run(self, life: _Life) -> None:
        """Wait for what a container that just started comes to first."""
        _, behaviour = self.behaviour_of(self._pod(life))
        crash_after = behaviour.crash_after_seconds
        if crash_after is not None and (life.ready or crash_after < behaviour.ready_after_seconds):
            life.at(crash_after, self._loop)
        elif not life.ready:
            life.at(behaviour.ready_after_seconds, self._up)

    def _up(self, life: _Life) -> None:
        """A container has had its time to become ready."""
        _, behaviour = self.behaviour_of(self._pod(life))
        life.ready = not behaviour.never_ready
        self._write(life, {"running": {"startedAt": self._now()}})
        if behaviour.crash_after_seconds is not None:
            life.at(max(0.0, behaviour.crash_after_seconds - behaviour.ready_after_seconds), self._loop)

    def _loop(self, life: _Life) -> None:
        """A container ended by itself, and has to wait before it is started again."""
        pod = self._pod(life)
        name, behaviour = self.behaviour_of(pod)
        long = (behaviour.crash_after_seconds or 0) >= SETTLED_SECONDS
        life.crashes = 1 if long else life.crashes + 1
        life.running, life.ready = False, False
        seconds = _BACK_OFF_SECONDS[min(life.crashes, len(_BACK_OFF_SECONDS)) - 1]
        uid = pod["metadata"]["uid"]
        message = f"back-off {seconds}s restarting failed container={name} pod={life.name}_{life.namespace}({uid})"
        self._write(life, {"waiting": {"reason": "CrashLoopBackOff", "message": message}}, last=_exited())
        life.at(seconds, self._start_again)

    def _start_again(self, life: _Life) -> None:
        life.running = True
        life.restarts += 1
        self._write(life, {"running": {"startedAt": self._now()}})
        self._run(life)

    def _fail_to_pull(self, life: _Life) -> None:
        pod = self._pod(life)
        name, behaviour = self.behaviour_of(pod)
        image = next(each["image"] for each in pod["spec"]["containers"] if each["name"] == name)
        message = f'Back-off pulling image "{image}": ErrImagePull: {behaviour.pull_error}'
        self._write(life, {"waiting": {"reason": "ImagePullBackOff", "message": message}})

    def _resume(self, life: _Life) -> None:
        """Go on under another behaviour."""
        _, behaviour = self.behaviour_of(self._pod(life))
        if not life.running and not life.crashes:
            self._begin(life)
        elif life.running:
            life.rest()
            if life.ready and behaviour.never_ready:
                self._up(life)
            self._run(life)

    def _end(self, life: _Life) -> None:
        self._cluster.store.delete(
            Kind.POD, life.namespace, life.name, uid=None, manager=self._cluster.manager, grace_seconds=0
        )

    # ------------------------------------------------------------------------------------------ status

    def _write(self, life: _Life, state: Obj, *, last: Obj | None = None) -> None:
        pod = self._pod(life)
        troubled, _ = self.behaviour_of(pod)
        statuses = [
            {
                "name": container["name"],
                "image": container["image"],
                "ready": life.ready,
                "restartCount": life.restarts if container["name"] == troubled else 0,
                "state": state if container["name"] == troubled else {"running": {"startedAt": self._now()}},
                "lastState": last if last and container["name"] == troubled else {},
            }
            for container in pod["spec"]["containers"]
        ]
        ready = {"type": "Ready", "status": "True" if life.ready else "False", "lastTransitionTime": self._now()}
        for was in pod.get("status", {}).get("conditions", ()):
            ready["lastTransitionTime"] = was["lastTransitionTime"] if was["status"] == ready["status"] else self._now()
        pulling = state.get("waiting", {}).get("reason") == "ImagePullBackOff"
        status = {
            "phase": "Pending" if pulling else "Running",
            "podIP": life.address,
            "conditions": [ready],
            "containerStatuses": statuses,
        }
        self._cluster.store.merge(
            Kind.POD, life.namespace, life.name, {"status": status}, subresource="status", manager="kubelet"
        )

    def _now(self) -> str:
        return format_time(self._clock.now())

    def _pod(self, life: _Life) -> Obj:
        """The pod itself; what ends with it is forgotten at that moment."""
        return self._cluster.store.get(Kind.POD, life.namespace, life.name)


def _exited() -> Obj:
    return {"terminated": {"exitCode": 1, "reason": "Error"}}
