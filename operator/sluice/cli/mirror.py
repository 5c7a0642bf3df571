"""Objects kept up to date while a command watches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from sluice.ports import Obj

Key = tuple[str, str]  # namespace, name


@dataclass(slots=True)
class Mirror:
    """The objects of one kind, kept up to date by a feed. `changed` is set on every change."""

    objects: dict[Key, Obj] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_event(self, event: str, obj: Obj) -> None:
        """Take one event: ADDED, MODIFIED or DELETED."""
        if event == "DELETED":
            self.objects.pop(key_of(obj), None)
        else:
            self.objects[key_of(obj)] = obj
        self.changed.set()

    def on_list(self, objects: list[Obj]) -> None:
        """Take all objects: what is not among them is gone."""
        self.objects = {key_of(obj): obj for obj in objects}
        self.changed.set()


def key_of(obj: Obj) -> Key:
    """Namespace and name."""
    metadata = obj.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


class Feed(Protocol):
    """Keeps a mirror up to date. `problem` says why nothing comes; "" while all is well."""

    problem: str

    async def run(self) -> None:
        """Feed the mirror until cancelled."""
        ...
