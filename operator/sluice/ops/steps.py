"""What a verb of several writes did, one step after the other, each told as soon as it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sluice.errors import Conflict, NotFound
from sluice.ops.explain import explaining
from sluice.ops.outcome import Target
from sluice.ports import Cluster, Obj


class Change(StrEnum):
    """What became of one object."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    ABSENT = "not there"
    LEFT = "left as it is"


@dataclass(frozen=True, slots=True)
class Step:
    """One object in one cluster. `note` says more, such as why something was left."""

    where: str  # "member" or "hub"
    target: Target
    change: Change
    note: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.target} {self.change}{' (' + self.note + ')' if self.note else ''}"


Tell = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Hand:
    """Writes to one cluster, and tells each step.

    Attributes:
        cluster: where to.
        where: how that is called in steps.
        tell: given each step.
    """

    cluster: Cluster
    where: str
    tell: Tell

    async def find(self, target: Target) -> Obj | None:
        """Read an object; None where it is not there."""
        with explaining("read", target, self._needs("get", target)):
            try:
                return await self.cluster.get(target.kind, target.namespace, target.name)
            except NotFound:
                return None

    async def apply(self, target: Target, body: Obj) -> Obj:
        """Apply an object."""
        before = await self.find(target)
        with explaining("apply", target, self._needs("create and patch", target)):
            after = await self.cluster.apply(target.kind, target.namespace, target.name, body)
        if before is None:
            change = Change.CREATED
        else:
            change = Change.UNCHANGED if _version(before) == _version(after) else Change.UPDATED
        self.tell(Step(self.where, target, change))
        return after

    async def ensure(self, target: Target, body: Obj) -> None:
        """Create an object where there is none of its name; one that is there is left as it is."""
        if await self.find(target) is not None:
            self.tell(Step(self.where, target, Change.UNCHANGED))
            return
        metadata = {**(body.get("metadata") or {}), "name": target.name}
        with explaining("create", target, self._needs("create", target)):
            try:
                await self.cluster.create(target.kind, target.namespace, {**body, "metadata": metadata})
            except Conflict:  # somebody was quicker
                self.tell(Step(self.where, target, Change.UNCHANGED))
                return
        self.tell(Step(self.where, target, Change.CREATED))

    async def delete(self, target: Target, note: str = "") -> None:
        """Delete an object, if it is there."""
        found = await self.find(target)
        if found is None:
            self.tell(Step(self.where, target, Change.ABSENT))
            return
        with explaining("delete", target, self._needs("delete", target)):
            await self.cluster.delete(target.kind, target.namespace, target.name, uid=found["metadata"]["uid"])
        self.tell(Step(self.where, target, Change.DELETED, note))

    def _needs(self, verbs: str, target: Target) -> str:
        return f"{verbs} on {target.kind.lower()}s in the {self.where}"


def _version(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))
