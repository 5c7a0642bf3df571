"""A hub in memory with members that answer, hang and refuse, for tests of looking after members."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any

from sluice.api.names import GROUP, Kind
from sluice.decide.rights import RIGHTS, Right
from sluice.engine.fence import Fence
from sluice.engine.members import Members
from sluice.errors import InvalidSpec
from sluice.ports import Cluster, Leadership, Member, Obj, Watch
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster
from sluice.sim.operator import FakeMastery
from sluice.sim.store import Change

INTERVAL_SECONDS = 30.0


class FakeMember:
    """A member cluster as a connection shows it.

    Attributes:
        fails: raised by every question.
        hangs: never answers.
        denied: rights that it does not give.
        kinds: of ours that it serves.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.fails: Exception | None = None
        self.hangs = False
        self.denied: set[str] = set()
        self.kinds = frozenset(right.resource for right in RIGHTS if right.group == GROUP)
        self.version = "v1.36.3"
        self.uid = f"uid-of-{host}"
        self.probes = self.patient = self.reviews = self.closed = 0

    def tell(self, *, silent: Callable[[], None], back: Callable[[], None]) -> None:
        """Take note of whom to tell."""
        self.told_silent, self.told_back = silent, back

    async def fetch_version(self, *, patient: bool = False) -> str:
        """Answer, fail or hang."""
        if patient:
            self.patient += 1
            await asyncio.Event().wait()
        self.probes += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        return self.version

    async def fetch_uid(self) -> str:
        """Of the cluster that its host leads to."""
        return self.uid

    async def fetch_kinds(self) -> frozenset[str]:
        """Those."""
        return self.kinds

    async def may(self, right: Right) -> bool:
        """All but what is denied."""
        self.reviews += 1
        return str(right) not in self.denied

    async def fetch_served(self, kinds: frozenset[Kind]) -> frozenset[Kind]:
        """Nobody works there in these tests."""
        raise AssertionError(f"asked for {kinds}")

    def cluster(self, leadership: Leadership) -> Cluster:
        """Likewise."""
        raise AssertionError(f"asked for by {leadership}")

    def watch(self, kind: Kind, *_: object, **__: object) -> Watch:
        """Likewise."""
        raise AssertionError(f"asked for {kind}")

    async def close(self) -> None:
        """Count."""
        self.closed += 1


class Stage:
    """A hub in memory with members in it, in virtual time. Make it inside of the loop."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.hub = FakeCluster(self.clock, namespaces=("sluice-system",))
        self.connections: dict[str, FakeMember] = {}
        self.texts: list[str] = []
        self.problem = ""
        self.writes: list[str] = []
        self.mastery = FakeMastery()
        self.members = Members(
            self.hub,
            self._connect,
            self.clock,
            fence=Fence(self.mastery),
            namespace="sluice-system",
            secrets_problem=lambda: self.problem,
            interval_seconds=INTERVAL_SECONDS,
        )
        self.hub.subscribe(Kind.MEMBER_CLUSTER, self.members.take_member)
        self.hub.subscribe(Kind.SECRET, self.take_secret)
        self.hub.on_change.append(self._count)

    def take_secret(self, event: str, obj: Obj) -> None:
        """As the watch of Secrets has it."""
        self.members.take_secret(event, obj)

    def _count(self, change: Change) -> None:
        if change.kind is Kind.MEMBER_CLUSTER and change.type == "MODIFIED":
            self.writes.append(change.after["metadata"]["name"])

    async def _connect(self, name: str, text: str) -> Member:
        self.texts.append(text)
        if text == "refused":
            raise InvalidSpec("KubeconfigRefused", "the kubeconfig is refused: exec")
        return self.cluster(text)

    def cluster(self, text: str) -> FakeMember:
        """The cluster that a kubeconfig leads to."""
        return self.connections.setdefault(text, FakeMember(f"{text}:6443"))

    def add(self, name: str, text: str = "") -> FakeMember:
        """A MemberCluster with a Secret, whose kubeconfig is the name, or this text."""
        self.secret(name, text or name)
        spec = {"kubeconfigSecretRef": {"name": f"member-{name}"}}
        self.hub.seed(Kind.MEMBER_CLUSTER, {"metadata": {"name": name}, "spec": spec})
        return self.cluster(text or name)

    def secret(self, name: str, text: str, key: str = "kubeconfig") -> None:
        """Put a kubeconfig into a member's Secret."""
        data = {key: base64.b64encode(text.encode()).decode()}
        where = (Kind.SECRET, "sluice-system", f"member-{name}")
        if self.hub.store.peek(*where) is None:
            self.hub.seed(where[0], {"metadata": {"name": where[2], "namespace": where[1]}, "data": data})
        else:
            self.hub.store.merge(*where, {"data": data}, subresource="", manager="kubectl")

    def status(self, name: str) -> Obj:
        """The status of a member."""
        found: Obj = (self.hub.store.peek(Kind.MEMBER_CLUSTER, "", name) or {}).get("status") or {}
        return found

    def told(self, name: str) -> dict[str, str]:
        """The conditions of a member."""
        return {each["type"]: f"{each['status']} {each['reason']}" for each in self.status(name).get("conditions", ())}

    async def until(self, look: Callable[[], bool], seconds: float = 3600.0) -> None:
        """Wait, in virtual time."""
        async with asyncio.timeout(seconds):
            while not look():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(0.05)

    async def until_ready(self, *names: str, seconds: float = 3600.0) -> None:
        """Wait until these are Ready."""
        await self.until(lambda: all(self.told(name).get("Ready") == "True MemberReady" for name in names), seconds)


def play(story: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    """Run a story with the members looked after."""

    async def main() -> None:
        stage = Stage()
        looking = asyncio.create_task(stage.members.run())
        try:
            await story(stage)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    run(main())
