"""A member cluster in memory, with its controllers, and the hub's connection to it: it goes silent, slow, or mad."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from sluice.api.names import FIELD_MANAGER, GROUP, Kind
from sluice.decide.metadata import labels_of
from sluice.decide.rights import RIGHTS, Right
from sluice.errors import Unavailable
from sluice.ports import Clock, Leadership, Obj
from sluice.sim.cluster import Call, FakeCluster, Subscription
from sluice.sim.deployments import FakeDeployments
from sluice.sim.gateway import FakeEndpoints, FakeGateway
from sluice.sim.kubelet import FakeKubelet
from sluice.sim.patches import clone
from sluice.sim.store import EventType

VERSION = "v1.36.0"
_KINDS = frozenset(right.resource for right in RIGHTS if right.group == GROUP)


class FakeMember:
    """One member: a cluster, and what runs in it whether the hub reaches it or not.

    Args:
        name: of its MemberCluster.
        clock: the time.
        namespace: that exists there.
        pods: whether Deployments and Pods are run; without, it is cheap enough for a thousand.

    Attributes:
        cluster: its objects, and its own people's way to them.
        delay_seconds: how long each of its answers and watch events takes.
        denied: what it does not let the hub do.
    """

    def __init__(self, name: str, clock: Clock, *, namespace: str, pods: bool = True) -> None:
        self.name = name
        self.uid = f"uid-of-{name}"
        self.cluster = FakeCluster(clock, namespaces=(namespace,))
        self.delay_seconds = 0.0
        self.denied: set[Right] = set()
        self.gateway = FakeGateway(self.cluster, clock)
        self.endpoints = FakeEndpoints(self.cluster)
        self.kubelet = FakeKubelet(self.cluster, clock)
        self.deployments = FakeDeployments(self.cluster, clock)
        self.answering = asyncio.Event()
        self.silent = asyncio.Event()
        self._pods = pods
        self.answering.set()
        self.cluster.faults.append(self._treat)

    def start(self) -> None:
        """Start its controllers. Needs a running loop."""
        self.gateway.start()
        self.endpoints.start()
        if self._pods:
            self.kubelet.start()
            self.deployments.start()

    @property
    def answers(self) -> bool:
        """Whether the hub reaches it."""
        return self.answering.is_set()

    def cut(self) -> None:
        """From now on the hub does not reach it: answers under way are lost, watches end."""
        self.answering.clear()
        self.silent.set()

    def mend(self) -> None:
        """The hub reaches it again."""
        self.silent.clear()
        self.answering.set()

    def madden(self, namespace: str, name: str, status: Obj) -> None:
        """Have a MemberRollout say what no CRD lets in."""
        self.cluster.store.corrupt(Kind.ROLLOUT, namespace, name, {"status": status}, manager="mallory")

    def check(self) -> None:
        """Raises Unavailable where the hub does not reach it."""
        if not self.answers:
            raise Unavailable(f"MemberCluster {self.name}: no answer within 5 s")

    def _treat(self, call: Call) -> float | None:
        if call.manager != FIELD_MANAGER:
            return None
        self.check()
        return self.delay_seconds / 2


class MemberConnection:
    """The Member port to a FakeMember, in which Rollouts stand for the MemberRollouts of a real one."""

    def __init__(self, member: FakeMember) -> None:
        self.host = f"{member.name}.example:6443"
        self._member = member
        self._views: list[FakeCluster] = []
        self._watches: list[FakeWatch] = []

    async def _answer(self) -> None:
        self._member.check()
        await asyncio.sleep(self._member.delay_seconds)
        self._member.check()

    def tell(self, *, silent: Callable[[], None], back: Callable[[], None]) -> None:
        """Nobody is told: watches that end are, and probes, and nothing sent to a silent member waits in it here."""
        del silent, back

    async def fetch_version(self, *, patient: bool = False) -> str:
        """The version of its Kubernetes. Who is patient learns no more than others."""
        del patient
        await self._answer()
        return VERSION

    async def fetch_uid(self) -> str:
        """Its own."""
        await self._answer()
        return self._member.uid

    async def fetch_kinds(self) -> frozenset[str]:
        """All of ours."""
        await self._answer()
        return _KINDS

    async def may(self, right: Right) -> bool:
        """Whether we may do something."""
        await self._answer()
        return right not in self._member.denied

    async def fetch_served(self, kinds: frozenset[Kind]) -> frozenset[Kind]:
        """All of them."""
        await self._answer()
        return kinds

    def cluster(self, leadership: Leadership) -> FakeCluster:
        """Reads and writes; a process that dies is cut off from all of its members at once, see `sever`."""
        view = self._member.cluster.as_manager(FIELD_MANAGER)
        view.leadership = leadership
        self._views.append(view)
        return view

    def watch(
        self,
        kind: Kind,
        on_event: Callable[[str, Obj], None],
        on_list: Callable[[list[Obj], int], None],
        *,
        keep: Callable[[Obj], Obj],
        selectors: Mapping[str, str],
        on_problem: Callable[[], None],
    ) -> FakeWatch:
        """Follow a kind; of selectors, that a label is there."""
        watch = FakeWatch(self._member, kind, on_event, on_list, keep=keep, label=selectors.get("labelSelector", ""))
        watch.on_problem = on_problem
        self._watches.append(watch)
        return watch

    def sever(self) -> None:
        """The process at our end died: nothing it asked for from here on has any effect."""
        for view in self._views:
            view.severed = True
        for watch in self._watches:
            watch.close()

    async def close(self) -> None:
        """End every connection."""
        self.sever()


class FakeWatch:
    """The Watch port: lists, then follows; what changed while the member was silent, the next list tells."""

    def __init__(
        self,
        member: FakeMember,
        kind: Kind,
        on_event: Callable[[str, Obj], None],
        on_list: Callable[[list[Obj], int], None],
        *,
        keep: Callable[[Obj], Obj],
        label: str,
    ) -> None:
        self.synced = False
        self.problem = ""
        self._member = member
        self._kind = kind
        self._on_event = on_event
        self._on_list = on_list
        self._keep = keep
        self._label = label
        self.on_problem: Callable[[], None] = lambda: None
        self._subscription: Subscription | None = None
        self._closed = False

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            await self._member.answering.wait()
            await asyncio.sleep(self._member.delay_seconds)
            with suppress(Unavailable):
                self._member.check()
                await self._follow()
            self.problem = "no answer"
            self.on_problem()

    async def _follow(self) -> None:
        if self._closed:
            return
        store = self._member.cluster.store
        listed = [self._keep(clone(obj)) for obj in store.all(self._kind) if self._is_ours(obj)]
        self._on_list(listed, store.version)
        self.synced, self.problem = True, ""
        self._subscription = self._member.cluster.subscribe(
            self._kind, self._tell, delay_seconds=self._member.delay_seconds
        )
        try:
            await self._member.silent.wait()
        finally:
            self._member.cluster.unsubscribe(self._subscription)

    def close(self) -> None:
        """Tell nothing any more."""
        self._closed = True
        if self._subscription is not None:
            self._subscription.close()

    def _tell(self, event: EventType, obj: Obj) -> None:
        if not self._closed and self._member.answers and self._is_ours(obj):
            self._on_event(event, obj)

    def _is_ours(self, obj: Obj) -> bool:
        return not self._label or self._label in labels_of(obj)
