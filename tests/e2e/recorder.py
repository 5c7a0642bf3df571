"""Records what a Rollout intended and what its route really said, by watches of its own, and holds one to the other."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Self

from e2e.support.app import GATEWAY, SLUICE, App
from e2e.support.waiting import until
from e2e.watch import Json, Watch, named, resource_version
from sluice.api.rollout import Audit, AuditEntry
from sluice.decide.audit import broken_at


@dataclass(frozen=True, slots=True)
class Share:
    """One state of the route: the candidate's largest share of any rule, 0 to 1."""

    version: int
    at: float
    share: float


@dataclass(frozen=True, slots=True)
class Intent:
    """One state of the Rollout's status: the share that it intends for the candidate, 0 to 1."""

    version: int
    at: float
    share: float
    step: int


class Recording:
    """For the length of a ``with``: follows objects, and takes note of each of their states.

    Args:
        what: is recorded, for messages.
        watches: of the objects.
    """

    def __init__(self, what: str, *watches: Watch) -> None:
        self._what = what
        self._watches = watches

    def __enter__(self) -> Self:
        for watch in self._watches:
            watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        for watch in self._watches:
            watch.stop()

    def catch_up(self) -> None:
        """Wait until everything that was written until now is recorded."""
        for watch in self._watches:
            until(partial(watch.has_seen, watch.newest()), f"the record of {self._what}")


class Trail:
    """A Rollout's audit trail, of which each status shows the newest entries.

    Attributes:
        entries: every entry that any status showed, by number.
        rewritten: what a number that was told before said later, and should not have.
    """

    def __init__(self) -> None:
        self.entries: dict[int, AuditEntry] = {}
        self.rewritten: list[str] = []

    def take(self, status: Json) -> None:
        """Take note of what a status shows."""
        for each in status.get("audit", {}).get("entries", ()):
            entry = AuditEntry.model_validate(each)
            known = self.entries.setdefault(entry.seq, entry)
            if known != entry:
                self.rewritten.append(f"entry {entry.seq} said {known}, then {entry}")

    def check(self) -> None:
        """Insist that it is whole: numbered without gaps, chained, each (id, stage) once, nothing rewritten."""
        entries = [self.entries[number] for number in sorted(self.entries)]
        assert entries, "no audit entry was seen"
        assert not self.rewritten, self.rewritten
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        told = Counter((entry.id, entry.stage) for entry in entries)
        twice = [entry for entry in entries if told[entry.id, entry.stage] > 1]
        assert not twice, twice
        assert broken_at(Audit(seq=entries[-1].seq, head=entries[-1].hash, entries=tuple(entries))) is None


class Recorder(Recording):
    """For the length of a ``with``: every share that the route gave to the candidate, and every intent before it.

    Args:
        app: the app.
        route: the HTTPRoute, where it is not the app's own.
        candidate: the slot whose share is recorded.

    Attributes:
        shares: states of the route, oldest first, equal neighbours once.
        intents: states of the Rollout's status, oldest first, equal neighbours once.
        trail: the audit trail.
        route_versions: of every state of the route, whatever changed in it.
        rollout_versions: of every state of the Rollout.
        readiness: every (status, reason) of its condition Ready.
    """

    def __init__(self, app: App, *, route: str = "", candidate: str = "green") -> None:
        self._app = app
        self._candidate = f"{app.name}-{candidate}"
        self.shares: list[Share] = []
        self.intents: list[Intent] = []
        self.trail = Trail()
        self.route_versions: list[int] = []
        self.rollout_versions: list[int] = []
        self.readiness: set[tuple[str, str]] = set()
        super().__init__(
            str(app),
            Watch(
                app.hub, f"{GATEWAY}/namespaces/{app.namespace}/httproutes", named(route or app.name), self._take_route
            ),
            Watch(app.hub, f"{SLUICE}/namespaces/{app.namespace}/rollouts", named(app.name), self._take_rollout),
        )

    def wait_share(self, percent: float) -> None:
        """Wait until the route gives, or gave, the candidate this share, however briefly."""
        until(lambda: percent in self.percents(), f"{percent} % of {self._app} to be recorded")

    # ------------------------------------------------------------------ recording

    def _take_route(self, route: Json) -> None:
        share = max(share_of(rule, self._candidate) for rule in route["spec"]["rules"])
        self.route_versions.append(resource_version(route))
        if not self.shares or self.shares[-1].share != share:
            self.shares.append(Share(resource_version(route), time.time(), share))

    def _take_rollout(self, rollout: Json) -> None:
        status = rollout.get("status") or {}
        self.rollout_versions.append(resource_version(rollout))
        ready = [each for each in status.get("conditions", ()) if each["type"] == "Ready"]
        self.readiness |= {(each["status"], each["reason"]) for each in ready}
        self.trail.take(status)
        share = float(str(status.get("weight", "0%")).rstrip("%")) / 100
        step = (status.get("step") or {}).get("index", 0)
        last = self.intents[-1] if self.intents else None
        if last is None or (last.share, last.step) != (share, step):
            self.intents.append(Intent(resource_version(rollout), time.time(), share, step))

    # ------------------------------------------------------------------ asking

    def percents(self) -> list[float]:
        """The shares that the route had, in percent, in order."""
        return [round(each.share * 100, 2) for each in self.shares]

    def since(self, moment: float) -> list[float]:
        """The shares that the route had from a moment (Unix time) on, in percent; the first is the one it had then."""
        before = [each for each in self.shares if each.at <= moment][-1:]
        after = [each for each in self.shares if each.at > moment]
        return [round(each.share * 100, 2) for each in (*before, *after)]

    def check_plan(self, *allowed: float) -> None:
        """Insist that the route had these shares (percent), in this order, and no other."""
        assert self.percents() == list(allowed), f"the route had {self.percents()}, the plan is {list(allowed)}"

    def check_intended(self) -> None:
        """Insist that no state of the route gave more than the newest status before it intended."""
        for share in self.shares:
            before = [intent.share for intent in self.intents if intent.version < share.version]
            if before:
                assert share.share <= before[-1] + 1e-9, (
                    f"the route gave {share.share:.2%} at {share.version} where the status before it intended "
                    f"{before[-1]:.2%}: {self.intents}"
                )

    def check_audit(self) -> None:
        """Insist that the audit trail is whole; see :meth:`Trail.check`."""
        self.trail.check()


def share_of(rule: Json, service: str) -> float:
    """A Service's share of a rule, as the data plane reads it."""
    weights = {backend["name"]: backend.get("weight", 1) for backend in rule.get("backendRefs", ())}
    total = sum(weights.values())
    return weights.get(service, 0) / total if total else 0.0
