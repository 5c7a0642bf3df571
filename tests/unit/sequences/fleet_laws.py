"""What holds of a Rollout over a fleet at the very moment of each stored change, in the hub and in every member."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sluice.api.common import LabelSelector
from sluice.api.fleet import BatchStage, BatchStatus, FleetRunSpec, FleetStatus, RunBatch
from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import FIELD_MANAGER, Kind
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutStatus
from sluice.decide.fleet import parts
from sluice.decide.metadata import labels_of
from sluice.errors import InvalidSpec
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.fleet import FleetWorld
from sluice.sim.store import Change
from sluice.sim.traffic import weights_of
from unit.sequences.laws import Broken

_STAGES = tuple(BatchStage)
_OUT = frozenset("flrb")
CALM_SECONDS = 60.0
REACH_SECONDS = 35.0  # of a good number, and what a slow API server adds to that


@dataclass
class _Run:
    """A run as its FleetRun fixed it, and what became of it so far."""

    spec: FleetRunSpec
    permits: dict[str, int] = field(default_factory=dict)  # the last step that a cluster was ever let enter
    did: set[tuple[str, int]] = field(default_factory=set)  # steps that clusters told were done
    full_at: dict[str, float] = field(default_factory=dict)  # since when the candidate has all of a cluster's traffic
    place: tuple[int, int, int, int] = (0, 0, 0, 0)
    outcome: Outcome | None = None

    def batch_of(self, name: str) -> RunBatch | None:
        return next((batch for batch in self.spec.batches if name in batch.clusters), None)

    def shares(self, batch: RunBatch) -> list[int]:
        """The share of each step."""
        shares: list[int] = []
        for step in parts.steps_of(self.spec, batch):
            shares.append(step.share if step.kind == "setWeight" and step.share is not None else (shares or [0])[-1])
        return shares


class FleetLaws:
    """Watches one Rollout over a fleet.

    Args:
        world: not started yet, all of its members joined.
        app: the Rollout.

    Attributes:
        asks: how many runs people asked for; there are never more.
        mad: members whose data is rubbish: what they tell proves nothing.
    """

    def __init__(self, world: FleetWorld, app: str) -> None:
        self.asks = 1
        self.mad: set[str] = set()
        self.broken: Broken | None = None
        self._world = world
        self._app = app
        self._runs: dict[int, _Run] = {}
        self._diverts: dict[tuple[Kind, str], tuple[LabelSelector, float]] = {}
        self._rolls_back: set[tuple[Kind, str]] = set()
        self._unrest_at: dict[str, float] = {}
        self._bad_since: float | None = None
        world.cluster.on_change.append(lambda change: self._take(self._in_hub, change))
        for name in world.members:
            self.watch(name)

    def watch(self, name: str) -> None:
        """Watch a member that joined."""

        def changed(change: Change) -> None:
            self._take(lambda each: self._in_member(name, each), change)

        self._world.members[name].cluster.on_change.append(changed)

    def unrest(self, *names: str) -> None:
        """Something is in the way at these members, or ("") in the hub."""
        for name in names:
            self._unrest_at[name] = self._world.clock.monotonic()

    def numbers(self, *, good: bool) -> None:
        """What the hub measures becomes good, or bad, or cannot be had."""
        if good:
            self._bad_since = None
        elif self._bad_since is None:
            self._bad_since = self._world.clock.monotonic()

    def _take(self, law: Any, change: Change) -> None:
        try:
            law(change)
        except Broken as broken:
            self.broken = self.broken or broken

    # ------------------------------------------------------------------------------------------ the hub

    def _in_hub(self, change: Change) -> None:
        if change.kind in {Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH}:
            self._note_switch(change)
        elif change.kind is Kind.FLEET_RUN and change.type == "ADDED":
            spec = FleetRunSpec.parse(change.after["spec"], "FleetRun")
            if spec.revision in self._runs:
                raise Broken(f"there is a second FleetRun {spec.revision}")
            self._runs[spec.revision] = _Run(spec)
            if len(self._runs) > self.asks:
                raise Broken(f"FleetRun {spec.revision} is one more than people asked for ({self.asks})")
        elif change.kind is Kind.ROLLOUT and change.after["metadata"]["name"] == self._app and change.type != "DELETED":
            status = RolloutStatus.parse(change.after.get("status") or {}, "Rollout")
            if status.fleet is not None and status.fleet.revision is not None:
                self._note_status(status, status.fleet)

    def _note_switch(self, change: Change) -> None:
        spec, key = (
            KillSwitchSpec.parse(change.after["spec"], "switch"),
            (change.kind, change.after["metadata"]["name"]),
        )
        if spec.engaged and spec.effect.diverts and change.type != "DELETED":
            clusters, known = spec.scope.clusters, self._diverts.get(key)
            if known is None or known[0] != clusters:
                self._diverts[key] = (clusters, self._world.clock.monotonic())
        else:
            self._diverts.pop(key, None)
        self._rolls_back.discard(key)
        if spec.engaged and spec.effect is Effect.ROLLBACK and change.type != "DELETED":
            self._rolls_back.add(key)

    def _note_status(self, status: RolloutStatus, fleet: FleetStatus) -> None:
        number = fleet.revision.number if fleet.revision else 0
        run = self._runs.get(number)
        if run is None:
            raise Broken(f"the status tells of run {number}, of which there is no FleetRun")
        outcome = fleet.revision.outcome if fleet.revision else None
        taken_back = fleet.revision is not None and fleet.revision.reason in {"RolledBack", "KilledBySwitch"}
        if run.outcome is not None and outcome is not run.outcome and not taken_back:
            raise Broken(f"run {number} ended {run.outcome}, and is {outcome or 'under way'} now")
        run.outcome = outcome
        if outcome is Outcome.COMPLETED:
            run.permits |= {name: 1 + len(run.shares(batch)) for batch in run.spec.batches for name in batch.clusters}
        if outcome is None and fleet.batch is not None:
            self._note_place(run, status, fleet.batch)

    def _note_place(self, run: _Run, status: RolloutStatus, at: BatchStatus) -> None:
        step = status.step.index if status.step else 0
        place = (at.index, _STAGES.index(at.stage), at.first, step)
        if place < run.place:
            raise Broken(f"run {run.spec.revision} went back from {run.place} to {place}")
        if place[:3] == run.place[:3] and step > run.place[3]:
            if step > run.place[3] + 1:
                raise Broken(f"run {run.spec.revision} skipped a step: {run.place[3]} to {step}")
            self._check_lockstep(run, run.spec.batches[at.index - 1], at.first, step - 1)
        if at.index > run.place[0] > 0:
            self._check_earlier(run, at.index)
        grows = step > run.place[3] if place[:3] == run.place[:3] else (at.index, at.first) > run.place[::2]
        if grows and run.place != (0, 0, 0, 0):
            self._check_measured(run, status, place)
        run.place = place
        for index, batch in enumerate(run.spec.batches, 1):
            last = len(run.shares(batch))
            for position, name in enumerate(batch.clusters):
                permit = last + 1 if index < at.index else 0
                if index == at.index:
                    wave = position - at.first
                    moving = last if wave < 0 else step if wave < batch.max_concurrency else 0
                    permit = {BatchStage.PAUSED: 0, BatchStage.MOVING: moving, BatchStage.SOAKING: last}.get(
                        at.stage, last + 1
                    )
                run.permits[name] = max(permit, run.permits.get(name, 0))

    def _check_measured(self, run: _Run, status: RolloutStatus, place: tuple[int, int, int, int]) -> None:
        """Once the hub measures the fleet, nobody goes further on the strength of numbers that are long gone."""
        bad_for = 0.0 if self._bad_since is None else self._world.clock.monotonic() - self._bad_since
        if run.spec.hub_analysis and status.metrics and bad_for > REACH_SECONDS:
            raise Broken(f"run {run.spec.revision} went on to {place} though numbers were bad for {bad_for:g} s")

    def _check_lockstep(self, run: _Run, batch: RunBatch, first: int, left: int) -> None:
        if left == 0:
            return
        for name in batch.clusters[first : first + batch.max_concurrency]:
            if (name, left) not in run.did and not self._is_out(run, batch, name):
                raise Broken(f"lockstep: step {left} was left although {name} has not done it")

    def _is_out(self, run: _Run, batch: RunBatch, name: str) -> bool:
        """Whether nobody has to wait for a cluster: it failed, left, is mad, or has the revision."""
        if name in self.mad or self._world.cluster.store.peek(Kind.MEMBER_CLUSTER, "", name) is None:
            return True
        if self._letter(run, batch, name) in _OUT | set("dc"):
            return True
        part = self._part(name)
        if part is None or part.revision is None:
            return False
        has = part.stable is not None and part.stable.hash == run.spec.hash
        return has or (part.revision.fleet_run == run.spec.revision and part.revision.outcome is not None)

    def _letter(self, run: _Run, batch: RunBatch, name: str) -> str:
        for stored in self._world.fleet_runs(self._app):
            if stored["spec"]["revision"] == run.spec.revision:
                for record in stored.get("status", {}).get("batches", ()):
                    if record["name"] == batch.name:
                        return str(record["clusters"][batch.clusters.index(name)])
        return "w"

    def _check_earlier(self, run: _Run, index: int) -> None:
        """Batches before this one are done, and have soaked."""
        now = self._world.clock.monotonic()
        for batch in run.spec.batches[: index - 1]:
            for name in batch.clusters:
                if name in self.mad or self._letter(run, batch, name) in _OUT:
                    continue
                if name not in run.full_at and not self._is_out(run, batch, name):
                    raise Broken(f"batch {index} began before {name} of {batch.name} was done")
                since = run.full_at.get(name, 0.0)
                if since and now - since < batch.soak.total_seconds() - 0.01:
                    raise Broken(f"batch {index} began {now - since:g} s after {name} of {batch.name} was done")

    # ------------------------------------------------------------------------------------------ members

    def _part(self, name: str) -> RolloutStatus | None:
        found = self._world.members[name].cluster.store.peek(Kind.ROLLOUT, self._world.namespace, self._app)
        try:
            return RolloutStatus.parse((found or {}).get("status") or {}, "MemberRollout")
        except InvalidSpec:
            return None

    def _in_member(self, name: str, change: Change) -> None:
        if change.after["metadata"]["name"] != self._app or change.type == "DELETED" or name in self.mad:
            return
        if change.kind is Kind.ROLLOUT:
            self._note_part(name, change.after)
        elif change.kind is Kind.HTTP_ROUTE and change.manager == FIELD_MANAGER and change.before is not None:
            self._check_route(name, change.before, change.after)

    def _note_part(self, name: str, part: Obj) -> None:
        pace = part["spec"].get("pace")
        run = self._runs.get(pace["run"]) if pace else None
        if pace and (run is None or run.batch_of(name) is None):
            raise Broken(f"{name} is told to take part in run {pace['run']}, which it is no part of")
        status = self._part(name)
        if status is None or status.revision is None or status.revision.fleet_run is None:
            return
        run = self._runs.get(status.revision.fleet_run)
        if run is not None and status.step is not None and status.step.done:
            run.did.add((name, status.step.index))

    def _check_route(self, name: str, before: Obj, after: Obj) -> None:
        status = self._part(name)
        if status is None or status.stable is None:
            return
        service = manifests.slot_service(self._app, status.stable.slot.other)
        was, became = _share(before, service), _share(after, service)
        revision = status.revision
        if became <= was or revision is None:
            return
        now = self._world.clock.monotonic()
        for (kind, switch), (clusters, at) in self._diverts.items():
            if at < now and clusters.matches(self._labels(name)) and not (revision.switch and self._rolls_back):
                raise Broken(f"{name} grew from {was} to {became} although {kind} {switch} diverts")
        run = self._runs.get(revision.fleet_run or 0)
        if run is None:
            if not any(each.spec.stable_hash == revision.hash for each in self._runs.values()):
                raise Broken(f"{name} grew from {was} to {became} in no run of the fleet's")
            return
        batch = run.batch_of(name)
        permit = run.permits.get(name, 0)
        most = max(run.shares(batch)[:permit], default=0) if batch is not None else 0
        if became > most:
            raise Broken(f"{name} grew from {was} to {became}; the hub lets it enter step {permit}, which is {most}")
        if became == 10_000:
            run.full_at.setdefault(name, now)

    # ------------------------------------------------------------------------------------------ what lasts

    def look(self) -> None:
        """What must be so once nothing was in the way for a while."""
        now = self._world.clock.monotonic()
        if not self._world.operator.running or not self._diverts:
            return
        for name in self._world.members:
            moments = [at for clusters, at in self._diverts.values() if clusters.matches(self._labels(name))]
            if not moments:
                continue
            since = max(min(moments), self._unrest_at.get("", 0.0))
            there = self._world.cluster.store.peek(Kind.MEMBER_CLUSTER, "", name) is not None
            if not there or name in self.mad or now - max(since, self._unrest_at.get(name, 0.0)) < CALM_SECONDS:
                continue
            share = self.candidate_share(name)
            if share:
                self.broken = self.broken or Broken(f"{name} still has {share} on the candidate, which is diverted")

    def _labels(self, name: str) -> dict[str, str]:
        return labels_of(self._world.cluster.store.peek(Kind.MEMBER_CLUSTER, "", name))

    def candidate_share(self, name: str) -> int:
        """What the candidate has in a member, in basis points; 0 where nothing is stable yet."""
        status = self._part(name)
        if status is None or status.stable is None:
            return 0
        route = self._world.members[name].cluster.store.get(Kind.HTTP_ROUTE, self._world.namespace, self._app)
        return _share(route, manifests.slot_service(self._app, status.stable.slot.other))

    def at_rest(self) -> str:
        """What is not as it must be when all is well and nobody waits for anything; "" where all is."""
        fleet = self._world.status(self._app).fleet
        if fleet is None or fleet.revision is None:
            return "no run was ever begun"
        if fleet.revision.outcome is None:
            return f"run {fleet.revision.number} is under way still: {self._world.status(self._app).message}"
        stored = self._world.fleet_runs(self._app)[-1]
        record = stored["status"]
        if record.get("outcome") != fleet.revision.outcome:
            return (
                f"FleetRun {fleet.revision.number} says {record.get('outcome')}, the Rollout {fleet.revision.outcome}"
            )
        spec = self._runs[fleet.revision.number].spec
        for batch, told in zip(spec.batches, record["batches"], strict=True):
            for name, letter in zip(batch.clusters, told["clusters"], strict=True):
                wrong = self._wrong(name, letter, spec)
                if wrong:
                    return f"{name} ({letter}, run {spec.revision} {fleet.revision.outcome}) {wrong}"
        return ""

    def _wrong(self, name: str, letter: str, spec: FleetRunSpec) -> str:
        if self._world.cluster.store.peek(Kind.MEMBER_CLUSTER, "", name) is None:
            return ""
        part = self._part(name)
        if part is None or part.stable is None:
            return "serves nothing"
        if part.revision is not None and part.revision.outcome is None:
            return f"is in a run still: {part.message}"
        if self.candidate_share(name):
            return f"has {self.candidate_share(name)} on what is not stable"
        if letter in "mdr":
            return "is on its way still"
        # Back is to what it had itself, which after a run that failed may be another revision than the fleet's.
        right = letter not in "cb" or (letter == "c") == (part.stable.hash == spec.hash)
        return "" if right else f"serves {part.stable.hash}; the run was to {spec.hash} from {spec.stable_hash}"


def _share(route: Obj, service: str) -> int:
    weights = weights_of(route)
    return round(weights[service] * 10_000 / max(1, sum(weights.values())))
