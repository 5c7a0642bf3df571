"""The invariants, checked at the very moment of each write of a simulated operator's."""

from collections.abc import Iterator
from dataclasses import dataclass

from sluice.api.action import RolloutActionSpec, Verb
from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import FIELD_MANAGER, Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.api.units import BasisPoints
from sluice.decide.audit import broken_at
from sluice.decide.model import Reading
from sluice.ports import Obj
from sluice.sim.gateway import SERVICE_NAME_LABEL
from sluice.sim.manifests import SLOT_LABEL, slot_service
from sluice.sim.metrics import Question
from sluice.sim.store import Change
from sluice.sim.traffic import ROUTES, weights_of
from sluice.sim.world import World

LIMIT = 0.01
REACH_SECONDS = 60.0  # twice the interval of the metrics in these tests


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class _Since:
    """A fact and since when (virtual seconds) it has been so."""

    value: object = None
    at: float = 0.0


class Laws:
    """Watches one app's route or switched Service, its Rollout, and the app beside it.

    Args:
        world: not started yet.
        app: whose exposure is watched.
        bystander: an app that nothing may happen to (I9).
    """

    def __init__(self, world: World, app: str, bystander: str) -> None:
        self._world = world
        self._app = app
        self._bystander = bystander
        self._paused = _Since(False)
        self._switches: dict[tuple[Kind, str], _Since] = {}
        self._forces: dict[tuple[Kind, str], _Since] = {}
        self._rollbacks: dict[tuple[Kind, str], _Since] = {}
        self._ready = {slot: _Since(True) for slot in Slot}
        self._told: dict[int, tuple[str, str, str]] = {}
        self._identities: dict[tuple[str, str], int] = {}
        self._answers: list[tuple[float, float | Reading]] = []
        self.broken: Broken | None = None
        world.cluster.on_change.append(self._on_change)

    def heard(self, question: Question, answer: float | Reading) -> None:
        """Take note of what Prometheus answered."""
        self._answers.append((question.at_seconds, answer))

    def lag(self) -> float:
        """How many seconds the operator may be behind without any fault of its own."""
        return 0.0

    def _on_change(self, change: Change) -> None:
        try:
            self._check(change)
        except Broken as broken:
            self.broken = self.broken or broken

    def _check(self, change: Change) -> None:
        name, now = change.after["metadata"]["name"], self._world.clock.monotonic()
        if change.kind is Kind.ROLLOUT and name == self._app:
            self._note(self._paused, bool(change.after["spec"].get("paused")), now)
            self._check_audit(change.after)
        elif change.kind in (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH):
            self._take_note((change.kind, name), KillSwitchSpec.parse(change.after["spec"], "switch"), now)
        elif change.kind is Kind.ENDPOINT_SLICE:
            self._note_endpoints(change.after, now)
        elif change.manager == FIELD_MANAGER and (change.kind in ROUTES or change.kind is Kind.SERVICE):
            self._check_write(change, name, now)

    def _take_note(self, switch: tuple[Kind, str], spec: KillSwitchSpec, now: float) -> None:
        rolls_back = spec.effect is Effect.ROLLBACK
        for facts, value in (
            (self._switches, spec.engaged),
            (self._forces, spec.engaged and spec.force),
            (self._rollbacks, spec.engaged and rolls_back),
        ):
            self._note(facts.setdefault(switch, _Since(False)), value, now)

    def _returns(self, status: RolloutStatus, now: float) -> bool:
        """Whether what is under way is the return that a switch makes."""
        rolls_back = any(each.value or each.at + self.lag() >= now for each in self._rollbacks.values())
        return rolls_back and status.revision is not None and bool(status.revision.switch)

    @staticmethod
    def _note(fact: _Since, value: object, now: float) -> None:
        if fact.value != value:
            fact.value, fact.at = value, now

    def _note_endpoints(self, obj: Obj, now: float) -> None:
        service = obj["metadata"]["labels"][SERVICE_NAME_LABEL]
        for slot in Slot:
            if service == slot_service(self._app, slot):
                self._note(self._ready[slot], any(item["conditions"]["ready"] for item in obj["endpoints"]), now)

    # ------------------------------------------------------------------------------------------ I1, I3, I9

    def _check_write(self, change: Change, name: str, now: float) -> None:
        if change.before is None or change.before["spec"] == change.after["spec"]:
            return
        if name == self._bystander:
            raise Broken(f"I9: {change.kind} {name} was written because of another Rollout")
        if change.kind in ROUTES and sum(weights_of(change.after).values()) == 0:
            raise Broken(f"I1: all weights of {name} are 0")
        before, after = self._green(change.before), self._green(change.after)
        for slot, was, became in ((Slot.GREEN, before, after), (Slot.BLUE, 10_000 - before, 10_000 - after)):
            unready = not self._ready[slot].value and self._ready[slot].at + self.lag() < now
            if became > was and unready and slot is not self._forced(now):
                raise Broken(f"I1: {slot} went from {was} to {became} without a ready endpoint")
        status = self._world.status(self._app)
        if status.stable is None:
            raise Broken("a weight was written before anything was adopted")
        candidate = status.stable.slot.other
        was, became = (before, after) if candidate is Slot.GREEN else (10_000 - before, 10_000 - after)
        if became > was and not _dark(change.before):
            for law in self._against_growth(status, was, became, now):
                raise Broken(f"I3: {candidate} grew from {was} to {became} although {law}")

    def _forced(self, now: float) -> Slot | None:
        """The slot that a switch with force gives traffic to, whether it answers or not; None where none does."""
        status = self._world.status(self._app)
        forced = any(each.value or each.at + self.lag() >= now for each in self._forces.values())
        return status.stable.slot if forced and status.stable is not None else None

    def _against_growth(self, status: RolloutStatus, was: int, became: int, now: float) -> Iterator[str]:
        if status.revision is None or status.revision.outcome is not None:
            yield "no run is under way"
        if became > (status.weight or 0):
            yield f"the persisted intent is {status.weight}"
        for (kind, name), engaged in self._switches.items():
            if engaged.value and engaged.at + self.lag() < now and not self._returns(status, now):
                yield f"{kind} {name} is engaged"
        watch = self._world.operator.watches.get(Kind.ROLLOUT)
        if self._paused.value and self._paused.at + self.lag() < now and not (watch and watch.behind):
            yield "spec.paused is true"
        if status.paused_by is not None:
            yield f"{status.paused_by.actor} paused it"
        if status.held_by is not None:
            yield f"{status.held_by.actor} holds it"
        if was > 0:
            yield from self._unmeasured(status, now)

    def _unmeasured(self, status: RolloutStatus, now: float) -> Iterator[str]:
        if self._promoted_fully(status):
            return
        answers = [(at, answer) for at, answer in self._answers if at < now]
        if any(at == now for at, _ in self._answers):
            return
        decided = now  # the share was decided on when its step began; a crash may lie between that and the write
        if status.step is not None:
            decided = (status.step.started_at - self._world.clock.start).total_seconds()
        if not answers or decided - answers[-1][0] > REACH_SECONDS:
            yield "nothing was measured lately"
        elif isinstance(answers[-1][1], Reading) or answers[-1][1] > LIMIT:
            yield f"the last answer was {answers[-1][1]}"

    def _promoted_fully(self, status: RolloutStatus) -> bool:
        """Whether a person told this very run not to wait for measurements."""
        actions = self._world.cluster.store.all(Kind.ROLLOUT_ACTION, self._world.namespace)
        number = status.revision.number if status.revision else 0
        specs = [RolloutActionSpec.parse(action["spec"], "action") for action in actions]
        return any(spec.action is Verb.PROMOTE_FULLY and spec.revision == number for spec in specs)

    def _green(self, obj: Obj) -> BasisPoints:
        if obj["kind"] == Kind.SERVICE:
            return 10_000 if obj["spec"]["selector"][SLOT_LABEL] == Slot.GREEN else 0
        weights = weights_of(obj)
        total = sum(weights.values())
        return round(weights[slot_service(self._app, Slot.GREEN)] * 10_000 / total) if total else 0

    # ------------------------------------------------------------------------------------------ I6

    def _check_audit(self, obj: Obj) -> None:
        audit = RolloutStatus.parse(obj.get("status", {}), "Rollout").audit
        if broken_at(audit) is not None:
            raise Broken(f"I6: the chain is broken at {broken_at(audit)}")
        if audit.seq < max(self._told, default=0):
            raise Broken(f"I6: the chain went back from {max(self._told)} to {audit.seq}")
        for entry in audit.entries:
            told = (entry.id, entry.stage, entry.hash)
            if self._told.setdefault(entry.seq, told) != told:
                raise Broken(f"I6: entry {entry.seq} was told anew")
            if self._identities.setdefault((entry.id, entry.stage), entry.seq) != entry.seq:
                first = self._identities[entry.id, entry.stage]
                raise Broken(f"I6: {entry.stage} {entry.action} was told as {first} and as {entry.seq}")
        if sorted(self._told) != list(range(1, audit.seq + 1)):
            raise Broken(f"I6: entries up to {audit.seq} were told with gaps: {sorted(self._told)}")


def _dark(obj: Obj) -> bool:
    """Whether somebody had set all weights to 0: then nobody was served, and any repair makes shares grow."""
    return obj["kind"] != Kind.SERVICE and not any(weights_of(obj).values())


def at_rest(world: World, app: str) -> str:
    """What is wrong with a Rollout that had all the time and nothing in its way; "" if nothing is (I5)."""
    status, green = world.status(app), world.green_share(app)
    if status.stable is None or status.phase is None:
        return "it was never adopted"
    ended = status.revision is None or status.revision.outcome is not None
    expected = status.weight if status.weight is not None and not ended else None
    stable_share = green if status.stable.slot is Slot.GREEN else 10_000 - green
    if ended and stable_share != 10_000:
        return f"stable is {status.stable.slot} but has {stable_share}"
    if not ended and expected != 10_000 - stable_share:
        return f"the candidate's intended share is {expected}, the written one {10_000 - stable_share}"
    if not ended and status.phase != "Paused":
        return f"the run did not end: {status.phase}, {status.message}"
    if status.confirmation != "Accepted" and (status.revision is not None):
        return f"confirmation is {status.confirmation}"
    if ended and status.phase not in ("Healthy", "Aborted", "Killed"):
        return f"the run ended, but it is {status.phase}: {status.message}"
    return ""
