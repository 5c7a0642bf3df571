"""Tells nobody."""

from __future__ import annotations

from sluice.decide.model import Note
from sluice.ports import Obj


class SilentNotifier:
    """Implements `ports.Notifier` for members: what happens in them is told by the status and the Events of the hub."""

    def note(self, about: Obj, note: Note) -> None:
        """Tell nobody."""
