"""What happened in a world, as lines that a person can read and a test can compare."""

from __future__ import annotations

import json

from sluice.api.names import CAUSE_ANNOTATION, Kind
from sluice.api.rollout import RolloutStatus
from sluice.api.units import format_share
from sluice.decide.model import Note
from sluice.ports import Clock, Obj
from sluice.sim.cluster import FakeCluster
from sluice.sim.manifests import slot_of
from sluice.sim.operator import FakeNotifier
from sluice.sim.store import Change
from sluice.sim.traffic import ROUTES, weights_of

UNTOLD = (Kind.ENDPOINT_SLICE, Kind.POD)  # what a Deployment's numbers tell well enough
SWITCHES = (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH)


class Transcript:
    """Listens to a cluster, and to the notes of its operator, from now on.

    Attributes:
        lines: `<time since the start>  <object>  <what is new>`, one for each visible change.
    """

    def __init__(self, cluster: FakeCluster, clock: Clock, notifier: FakeNotifier) -> None:
        self.lines: list[str] = []
        self._clock = clock
        self._last: dict[str, str] = {}
        self._audit_told: dict[str, int] = {}
        cluster.on_change.append(self._on_change)
        notifier.on_note.append(self._on_note)

    def say(self, text: str) -> None:
        """Add a heading, such as what a person does next."""
        self._add("--", text)

    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines) + "\n"

    def _on_change(self, change: Change) -> None:
        name = change.after["metadata"]["name"]
        if change.type == "DELETED":
            self._once(f"{change.kind} {name}", "deleted") if change.kind not in UNTOLD else None
        elif change.kind is Kind.ROLLOUT:
            self._tell_rollout(name, change.after)
        elif change.kind in ROUTES:
            weights = ", ".join(f"{service} {weight}" for service, weight in weights_of(change.after).items())
            self._once(f"{change.kind} {name}", weights + _because(change.after, change.manager))
        elif change.kind is Kind.SERVICE and CAUSE_ANNOTATION in change.after["metadata"].get("annotations", {}):
            slot = slot_of(change.after["spec"]["selector"])
            self._once(f"Service {name}", f"selects {slot}{_because(change.after, change.manager)}")
        elif change.kind is Kind.DEPLOYMENT:
            self._once(f"Deployment {name}", _pods(change.after))
        elif change.kind in SWITCHES and "status" in change.after:
            status = change.after["status"]
            self._once(f"{change.kind} {name}", f"{status.get('state')}: {status.get('message', '')}")
        elif change.kind is Kind.ROLLOUT_ACTION and "status" in change.after:
            verb, status = change.after["spec"]["action"], change.after["status"]
            self._once(f"RolloutAction {name}", f"{verb} {status.get('phase')}: {status.get('message', '')}")

    def _tell_rollout(self, name: str, obj: Obj) -> None:
        status = RolloutStatus.parse(obj.get("status", {}), f"Rollout {name}")
        if status.phase is None:
            return
        for entry in status.audit.entries:
            if entry.seq > self._audit_told.get(name, 0):
                self._audit_told[name] = entry.seq
                text = f"{entry.stage} {entry.action} by {entry.actor} ({entry.reason}): {entry.message}"
                self._add(f"audit {entry.seq}", text)
        weight = "" if status.weight is None else f" {format_share(status.weight)}"
        confirmed = "" if status.confirmation is None else f" {status.confirmation}"
        self._once(f"Rollout {name}", f"{status.phase}{weight}{confirmed}: {status.message}")

    def _on_note(self, name: str, note: Note) -> None:
        self._add("event", f"{name} {'Warning' if note.warning else 'Normal'} {note.reason}: {note.message}")

    def _once(self, subject: str, text: str) -> None:
        """Add a line unless nothing is new about the subject."""
        if self._last.get(subject) != text:
            self._last[subject] = text
            self._add(subject, text)

    def _add(self, subject: str, text: str) -> None:
        self.lines.append(f"{elapsed(self._clock.monotonic())}  {subject}  {text}")


def elapsed(seconds: float) -> str:
    """Print virtual time since the start.

    >>> elapsed(90061.25)
    '1d 01:01:01.250'
    """
    days, rest = divmod(round(seconds * 1000), 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, milliseconds = divmod(rest, 60_000)
    clock = f"{hours:02d}:{minutes:02d}:{milliseconds / 1000:06.3f}"
    return f"{days}d {clock}" if days else clock


def _because(obj: Obj, manager: str) -> str:
    cause = obj["metadata"].get("annotations", {}).get(CAUSE_ANNOTATION)
    action = json.loads(cause).get("action", "") if cause else ""
    return f"  [{manager}{': ' + action if action else ''}]"


def _pods(deployment: Obj) -> str:
    spec, status = deployment["spec"], deployment.get("status", {})
    image = spec["template"]["spec"]["containers"][0]["image"]
    return f"{spec.get('replicas', 1)} of {image}, {status.get('availableReplicas', 0)} available"
