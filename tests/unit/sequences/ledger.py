"""What the store itself saw of the weights, whoever wrote them, held against what an audit trail tells of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sluice.api.names import CAUSE_ANNOTATION, FIELD_MANAGER, Kind
from sluice.api.rollout import AuditEntry
from sluice.decide.audit import entry_id, timestamp
from sluice.decide.drills import DRILL_OVER
from sluice.decide.metadata import annotations_of
from sluice.decide.returning import DRILL
from sluice.sim.store import Change
from sluice.sim.traffic import weights_of
from sluice.sim.world import World

_RETURNS = frozenset({"divert", "return"})


@dataclass(frozen=True, slots=True)
class Written:
    """A change of an app's weights by the operator.

    Attributes:
        run: `<uid>/<number>` of the run for which.
        action: for which, as the audit calls it.
        at: when it was decided.
        weights: as they were written.
        repairs: whether somebody else had changed them since the operator did last.
        drill: the engagement whose drill it belongs to, or ends; "" for none.
    """

    run: str
    action: str
    at: str
    weights: tuple[int, ...]
    repairs: bool
    drill: str = ""

    @property
    def identity(self) -> str:
        """How the audit knows it, where it is no repair."""
        return self._known_as(self.action, self.drill if self.action == DRILL else "")

    @property
    def end_of_drill(self) -> str:
        """How the audit knows it, where it gives back what a drill took, for a step that is told already."""
        return self._known_as(DRILL_OVER, self.drill)

    @property
    def repair(self) -> str:
        """How the audit knows it, where it is one."""
        return self._known_as("repair", self.at)

    def _known_as(self, action: str, cause: str) -> str:
        uid, _, number = self.run.rpartition("/")
        return entry_id(uid, int(number), cause, action)


class Ledger:
    """Keeps every change of every route's weights, as the store tells it.

    Args:
        world: not started yet.
    """

    def __init__(self, world: World) -> None:
        self.written: dict[str, list[Written]] = {}
        self.foreign = 0
        self._touched: set[str] = set()
        self._drills: dict[str, str] = {}
        world.cluster.on_change.append(self._take)

    @property
    def count(self) -> int:
        """How many changes the operator made."""
        return sum(map(len, self.written.values()))

    def _take(self, change: Change) -> None:
        if change.kind is not Kind.HTTP_ROUTE or change.before is None:
            return
        if weights_of(change.before) == weights_of(change.after):
            return
        app = change.after["metadata"]["name"]
        if change.manager != FIELD_MANAGER:
            self._touched.add(app)
            self.foreign += 1
            return
        cause = json.loads(annotations_of(change.after)[CAUSE_ANNOTATION])
        action, drill = cause["action"], ""
        if action in _RETURNS:
            action = "return"
        elif action == DRILL:
            drill = self._drills[app] = cause["switch"]
        elif app in self._drills:
            drill = self._drills.pop(app)
        weights = tuple(weights_of(change.after).values())
        made = Written(cause["run"], action, cause["at"], weights, app in self._touched, drill)
        self.written.setdefault(app, []).append(made)
        self._touched.discard(app)

    def wrong(self, app: str, entries: Iterable[AuditEntry]) -> Iterator[str]:
        """Each thing in which a trail and the store differ.

        Every change has an entry of its own that tells that it is meant: that of its step or return, or, where it puts
        a foreign write back, that of a repair, which was decided at the same moment. A decision whose answer was lost,
        so that it was sent again over a foreign write, is one change. What is told to have been seen was written.
        """
        trail = tuple(entries)
        told = Counter((entry.id, entry.stage) for entry in trail)
        yield from (f"{key} is told {times} times" for key, times in told.items() if times > 1)
        meant = {entry.id: entry for entry in trail if entry.stage == "Intended"}
        written = dict[str, Written]()
        for each in self.written.get(app, ()):
            telling = [identity for identity in _telling(each, meant) if identity in meant]
            identity = next((identity for identity in telling if identity not in written), None)
            if identity is not None:
                written[identity] = each
            elif not any((written[known].at, written[known].weights) == (each.at, each.weights) for known in telling):
                yield f"{each} is told by no entry, or by one that tells of another change already"
        for entry in trail:
            if entry.stage == "Observed" and entry.action.startswith("step-") and entry.id not in written:
                yield f"{entry.action} is told to have been seen, and nobody wrote it"


def _telling(made: Written, meant: Mapping[str, AuditEntry]) -> list[str]:
    """The entries that may tell of a change, the likeliest first."""
    own = [made.identity, *([made.end_of_drill] if made.action != DRILL else [])]
    if not made.repairs:
        return own
    entry = meant.get(made.identity)
    at_once = entry is not None and timestamp(entry.at) == made.at
    return [*own, made.repair] if at_once else [made.repair, *own]
