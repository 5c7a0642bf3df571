"""All member clusters: one task for each, begun, woken and ended as MemberClusters and their Secrets come and go.

Every replica looks at all of them; the status of each is written by the one that holds its shard.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from sluice.api.conditions import ConditionType, Reason, condition_of
from sluice.api.member import AllowedNamespaces, MemberClusterStatus
from sluice.api.names import Kind
from sluice.decide.fleet.model import MemberView
from sluice.decide.members import MemberState, state_of
from sluice.decide.metadata import labels_of, mapping, sequence
from sluice.decide.sharding import Shards, shard_of
from sluice.engine.claims import Claims
from sluice.engine.fence import Fence
from sluice.engine.member import Inventory, MemberTask, Surroundings
from sluice.engine.site import Site
from sluice.errors import InvalidSpec
from sluice.ports import Clock, Cluster, Member, MemberConnector, Obj

_log = logging.getLogger(__name__)
PROBE_SECONDS = 30.0
_FIRST_PROBES_PER_SECOND = 50.0


class Members:
    """Keeps a task per member while `run` runs.

    Args:
        cluster: the hub.
        connect: prepares connections to members.
        clock: the time.
        fence: asked before each write.
        namespace: the operator's, where the Secrets are.
        secrets_problem: asked why Secrets are not known yet; "" where they are.
        interval_seconds: between two probes of a member that answers.

    Attributes:
        listed: whether every MemberCluster is known, so that one that is not known is not there.
        probes: how many there were, by how they ended: answered, failed, defect.
    """

    def __init__(
        self,
        cluster: Cluster,
        connect: MemberConnector,
        clock: Clock,
        *,
        fence: Fence,
        namespace: str,
        secrets_problem: Callable[[], str],
        interval_seconds: float = PROBE_SECONDS,
    ) -> None:
        self.listed = False
        self.probes: Counter[str] = Counter()
        self._members: dict[str, Obj] = {}
        self._secrets: dict[str, Obj] = {}
        self._views: dict[str, tuple[Obj, MemberView, bool]] = {}  # by what each was read from
        self._tasks: dict[str, MemberTask] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._tell_changed: Callable[[], None] = lambda: None
        self._around = Surroundings(
            cluster=cluster,
            connect=connect,
            clock=clock,
            fence=fence,
            namespace=namespace,
            member=self._members.get,
            secret=self._secrets.get,
            secrets_problem=secrets_problem,
            take=self._take_written,
            interval_seconds=interval_seconds,
            claims=Claims(self._members, self._wake),
            probes=self.probes,
        )

    def work(self, open_site: Callable[[str, Member, str], Site], changed: Callable[[], None]) -> None:
        """Work in members, too; to be said before `run`.

        Args:
            open_site: prepares the work in a member; see `Surroundings`.
            changed: told when a member comes, goes, or is found to be otherwise than before.
        """
        self._around = replace(self._around, open_site=open_site)
        self._tell_changed = changed

    def discover(self, inventory: Inventory) -> None:
        """Ask an inventory for kubeconfigs, too; to be said before `run`."""
        self._around = replace(self._around, inventory=inventory)

    # ------------------------------------------------------------------ whose is what

    def take_up(self, shards: Shards) -> None:
        """Act in all members for what is in these shards, and tell of the members that are."""
        for site in self.workplaces().values():
            site.take_up(shards)
        for name in self._tasks:
            if shard_of(Kind.MEMBER_CLUSTER, "", name) in shards:
                self._wake(name)

    def give_up(self, shards: Shards) -> None:
        """Leave what is in these shards to another process."""
        for site in self.workplaces().values():
            site.give_up(shards)

    # ------------------------------------------------------------------ what the hub tells

    def take_member(self, event: str, obj: Obj) -> None:
        """A MemberCluster was added, changed or deleted."""
        name = obj["metadata"]["name"]
        if event == "DELETED":
            self._members.pop(name, None)
            self._changed.set()
            self._tell_changed()
            return
        before = self._members.get(name)
        if before is not None and _is_older(obj, before):
            return  # what was written meanwhile is known already
        self._know(name, obj)
        if before is None:
            self._changed.set()
        elif _identity_of(before) != _identity_of(obj):  # its own status comes back this way too, and wakes nobody
            self._wake(name)

    def replace_members(self, objects: list[Obj]) -> None:
        """All MemberClusters there are."""
        there = {obj["metadata"]["name"] for obj in objects}
        for name in [name for name in self._members if name not in there]:
            del self._members[name]
        for obj in objects:
            self.take_member("MODIFIED", obj)
        self.listed = True
        self._changed.set()
        self._tell_changed()

    def take_secret(self, event: str, obj: Obj) -> None:
        """A Secret with the label was added, changed or deleted, or lost its label."""
        name = obj["metadata"]["name"]
        if event == "DELETED":
            self._secrets.pop(name, None)
        else:
            self._secrets[name] = obj.get("data") or {}
        self._wake_users_of(name)

    def replace_secrets(self, objects: list[Obj]) -> None:
        """All Secrets with the label."""
        self._secrets.clear()
        self._secrets.update({obj["metadata"]["name"]: obj.get("data") or {} for obj in objects})
        for name in self._members:
            self._wake(name)

    def views(self) -> dict[str, MemberView]:
        """Every member as a fleet's decisions see it; one whose cluster another member has is none."""
        for name, member in self._members.items():
            self._read(name, member)
        for name in self._views.keys() - self._members.keys():
            del self._views[name]
        return {name: view for name, (_, view, is_twin) in self._views.items() if not is_twin}

    def workplaces(self) -> dict[str, Site]:
        """The members that are connected."""
        return {name: task.site for name, task in self._tasks.items() if task.site is not None}

    def _read(self, name: str, member: Obj) -> None:
        task, read = self._tasks.get(name), self._views.get(name)
        ready = task is not None and task.site is not None and task.site.ready
        if read is None or read[0] is not member or read[1].known != ready:
            self._views[name] = (member, _view_of(name, member, ready=ready), _is_twin(member))

    def states(self) -> Iterator[MemberState]:
        """The state of each member, by its status."""
        for member in self._members.values():
            try:
                status = MemberClusterStatus.parse(member.get("status") or {}, "status")
            except InvalidSpec:
                yield MemberState.UNKNOWN
            else:
                yield state_of(status)

    # ------------------------------------------------------------------ tasks

    async def run(self) -> None:
        """Look after all members until cancelled."""
        try:
            while True:
                self._changed.clear()
                self._follow()
                await self._changed.wait()
        finally:
            running, self._running, self._tasks = list(self._running.values()), {}, {}
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _follow(self) -> None:
        """Begin and end tasks, so that there is one for each member."""
        for name in [name for name in self._running if name not in self._members]:
            self._tasks.pop(name)
            self._running.pop(name).cancel()
        fresh = [name for name in sorted(self._members) if name not in self._running]
        for number, name in enumerate(fresh):
            looker = self._tasks[name] = MemberTask(name, self._around, number / _FIRST_PROBES_PER_SECOND)
            self._running[name] = asyncio.create_task(looker.run(), name=f"member {name}")

    def _take_written(self, obj: Obj) -> None:
        """What a task wrote is known at once, so that its next pass starts from it and not from an older event."""
        name = obj["metadata"]["name"]
        if name in self._members:
            self._know(name, obj)

    def _know(self, name: str, obj: Obj) -> None:
        self._members[name] = obj
        task = self._tasks.get(name)
        if task is not None and task.site is not None:
            task.site.know(obj)
        self._tell_changed()

    def wake(self, name: str) -> None:
        """Look at a member now: it may be away."""
        self._wake(name)

    def _wake(self, name: str) -> None:
        if name in self._tasks:
            self._tasks[name].wake()

    def _wake_users_of(self, secret: str) -> None:
        for name, member in self._members.items():
            reference = (member.get("spec") or {}).get("kubeconfigSecretRef") or {}
            if reference.get("name") == secret:
                self._wake(name)


def _view_of(name: str, member: Obj, *, ready: bool) -> MemberView:
    weight = (member.get("spec") or {}).get("weight")
    return MemberView(
        name=name,
        labels=labels_of(member),
        weight=weight if isinstance(weight, int) and weight > 0 else 1,
        known=ready,
        lost_since=_lost_since(member),
        allows=_allowed(member),
    )


def _is_twin(member: Obj) -> bool:
    """Whether it is refused, for another member has its cluster; by its status, so that a new leader knows at once."""
    conditions = sequence(mapping(member.get("status")).get("conditions"))
    return any(mapping(each).get("reason") == Reason.SAME_CLUSTER for each in conditions)


def _allowed(member: Obj) -> AllowedNamespaces | None:
    """Whose Rollouts may come; where that cannot be read, nobody's."""
    allowed = mapping(member.get("spec")).get("allowedNamespaces")
    try:
        return AllowedNamespaces.parse(allowed, "spec.allowedNamespaces") if allowed is not None else None
    except InvalidSpec:
        return AllowedNamespaces()


def _lost_since(member: Obj) -> datetime | None:
    """Since when a member does not answer, as its status tells; None where it does, or nobody looked yet."""
    try:
        status = MemberClusterStatus.parse(member.get("status") or {}, "status")
    except InvalidSpec:
        return None
    found = condition_of(status.conditions, ConditionType.REACHABLE)
    if found is None or found.status != "False":
        return None
    return status.last_seen_at or found.last_transition_time


def _is_older(obj: Obj, known: Obj) -> bool:
    """Whether an event tells of the same object as it was before."""
    version, newest = (str(each["metadata"].get("resourceVersion", "")) for each in (obj, known))
    same = obj["metadata"].get("uid") == known["metadata"].get("uid")
    return same and version.isdecimal() and newest.isdecimal() and int(version) < int(newest)


def _identity_of(member: Obj) -> tuple[object, object]:
    metadata = member["metadata"]
    return metadata.get("uid"), metadata.get("generation")
