"""What RolloutPolicies promise, checked at the moment of each stored change, and as time passes.

Whatever the operator's own view of a policy is, these laws go by what people applied, and by when they did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.action import RolloutActionSpec, Verb
from sluice.api.names import FIELD_MANAGER, REQUESTER_ANNOTATION, Kind
from sluice.api.policy import RolloutPolicySpec, RolloutPolicyStatus
from sluice.api.rollout import RolloutStatus
from sluice.api.run import RolloutRunSpec
from sluice.decide.windows import closed
from sluice.ports import Obj
from sluice.sim.manifests import slot_service
from sluice.sim.store import Change
from sluice.sim.traffic import weights_of
from sluice.sim.world import World
from unit.sequences.laws import Broken

ANSWER_SECONDS = 10.0
BACK_SECONDS = 45.0
EVER = 1e9


@dataclass(frozen=True)
class Rule:
    """A policy's spec, and the virtual seconds from which on it was so; None: there was none."""

    at: float
    spec: RolloutPolicySpec | None


class PolicyLaws:
    """Watches Rollouts that one policy may cover.

    Args:
        world: not started yet.
        policy: its name.
        apps: those that it covers wherever it is there.
        house: the one that has to be stable first where it asks for that.

    Attributes:
        broken: the first law that did not hold.
        unrest_at: when the test last got into the operator's way.
        hindered: whether the test does so now.
    """

    def __init__(self, world: World, policy: str, apps: tuple[str, ...], house: str) -> None:
        self.broken: Broken | None = None
        self.unrest_at, self.hindered = 0.0, False
        self._world, self._policy, self._apps, self._house = world, policy, apps, house
        self._rules = [Rule(float("-inf"), None)]
        self._turned_at: dict[str, float] = {}
        world.cluster.on_change.append(self._on_change)

    def _now(self) -> float:
        return self._world.clock.monotonic()

    def _lag(self) -> float:
        """For how long the operator may go by what was so before."""
        held = any(watch.behind for watch in self._world.operator.watches.values())
        return EVER if held else self._world.operator.watch_delay_seconds + 0.5

    def _on_change(self, change: Change) -> None:
        try:
            self._check(change)
        except Broken as broken:
            self.broken = self.broken or broken

    def _check(self, change: Change) -> None:
        name = change.after["metadata"]["name"]
        if change.kind is Kind.ROLLOUT_POLICY and name == self._policy:
            self._note_rule(change)
            self._check_turns(change)
        elif change.kind is Kind.HTTP_ROUTE and change.manager == FIELD_MANAGER and name in self._apps:
            self._check_growth(name, change)
        elif change.kind is Kind.ROLLOUT and change.manager == FIELD_MANAGER and name in self._apps:
            self._check_beginning(name, change)

    # ------------------------------------------------------------------------------------------ what is in force

    def _note_rule(self, change: Change) -> None:
        spec = None if change.type == "DELETED" else RolloutPolicySpec.parse(change.after["spec"], self._policy)
        if spec != self._rules[-1].spec:
            self._rules.append(Rule(self._now(), spec))

    def _in_force(self, since: float) -> Iterator[RolloutPolicySpec | None]:
        """What was asked for at any moment from then on."""
        for rule in reversed(self._rules):
            yield rule.spec
            if rule.at < since:
                return

    # ------------------------------------------------------------------------------------------ exposure

    def _check_growth(self, app: str, change: Change) -> None:
        status = self._world.status(app)
        if change.before is None or status.stable is None or self._goes_back(app, status):
            return
        candidate = slot_service(app, status.stable.slot.other)
        was, became = (_share(obj, candidate) for obj in (change.before, change.after))
        if became <= was:
            return
        rules = tuple(self._in_force(self._now() - self._lag()))
        at = self._world.clock.now()
        looks = (at, at - timedelta(seconds=min(self._lag(), 3600.0)))
        if all(rule is not None and all(closed(rule.windows, look) for look in looks) for rule in rules):
            raise Broken(f"a freeze: {app} grew from {was:.0%} to {became:.0%}")
        if not status.weight or became > status.weight / 10_000:
            raise Broken(f"{app} grew to {became:.0%}, and {status.weight} is intended")
        if not was and all(rule is not None and rule.approval is not None for rule in rules):
            self._check_consent(app, status)

    def _check_consent(self, app: str, status: RolloutStatus) -> None:
        """Somebody of the group, who did not ask for the run, said yes to this revision, and was heard."""
        number = status.revision.number if status.revision is not None else 0
        rollout = self._world.cluster.store.get(Kind.ROLLOUT, self._world.namespace, app)
        asker = rollout["metadata"].get("annotations", {}).get(REQUESTER_ANNOTATION, "")
        for action in self._world.cluster.store.all(Kind.ROLLOUT_ACTION, self._world.namespace):
            spec = RolloutActionSpec.parse(action["spec"], "action")
            if (spec.rollout, spec.action, spec.revision) != (app, Verb.APPROVE, number):
                continue
            if spec.point == f"policy/{self._policy}" and "managers" in spec.actor_groups and spec.actor != asker:
                return
        raise Broken(f"approval: revision {number} of {app} is exposed, and nobody agreed")

    # ------------------------------------------------------------------------------------------ runs

    def _check_beginning(self, app: str, change: Change) -> None:
        before, after = (
            RolloutStatus.parse(obj.get("status", {}), "Rollout") for obj in (change.before or {}, change.after)
        )
        begun = (after.revision.number if after.revision is not None else 0) > (
            before.revision.number if before.revision is not None else 0
        )
        if not begun or self._goes_back(app, after) or self._under_way(before):
            return
        uid = change.after["metadata"]["uid"]
        since = min(self._now() - self._lag(), self._turned_at.get(uid, EVER))
        rules = tuple(self._in_force(since))
        if all(rule is not None and rule.rations for rule in rules):
            if uid not in self._turned_at:
                raise Broken(f"{app} began a run without a turn")
            most = max(rule.max_concurrent or 99 for rule in rules if rule is not None)
            others = [each for each in self._apps if each != app and self._goes_on(each)]
            if len(others) + 1 > most:
                raise Broken(f"maxConcurrent: {app} began, at most {most} may, and {others} had")
        if all(rule is not None and rule.require_stable is not None for rule in rules):
            self._check_house(app, after)

    def _check_house(self, app: str, status: RolloutStatus) -> None:
        stable = self._world.status(self._house).stable
        version = status.revision.version if status.revision is not None else None
        if app != self._house and (stable is None or stable.version != version):
            has = stable.version if stable is not None else None
            raise Broken(f"requireStable: {app} began {version}, and {self._house} has {has}")

    def _goes_on(self, app: str) -> bool:
        status = self._world.status(app)
        return self._under_way(status) and not self._goes_back(app, status)

    @staticmethod
    def _under_way(status: RolloutStatus) -> bool:
        return status.revision is not None and status.revision.outcome is None

    def _goes_back(self, app: str, status: RolloutStatus) -> bool:
        found = self._world.cluster.store.peek(Kind.ROLLOUT_RUN, self._world.namespace, status.run or "")
        return found is not None and RolloutRunSpec.parse(found["spec"], app).goes_back

    def _check_turns(self, change: Change) -> None:
        """A turn is given once for each asking, and never sooner after the last one than the cadence lets it."""
        before, after = (_said(change.before), _said(change.after))
        old = {(turn.uid, turn.since) for turn in before.turns}
        new = [turn for turn in after.turns if (turn.uid, turn.since) not in old]
        for turn in new:
            self._turned_at[turn.uid] = self._now()
        rules = tuple(self._in_force(self._now() - self._lag()))
        if not new or before.last_turn_at is None or any(rule is None or rule.min_interval is None for rule in rules):
            return
        least = min(rule.min_interval for rule in rules if rule is not None and rule.min_interval is not None)
        passed = self._world.clock.now() - before.last_turn_at
        if passed < least or len(new) > 1:
            raise Broken(f"minInterval: {len(new)} turns {passed} after the last one")

    # ------------------------------------------------------------------------------------------ as time passes

    def look(self) -> None:
        """What a policy never holds is done soon: actions are answered, and who goes back does."""
        calm = max(self.unrest_at, self._now() - EVER)
        if (
            self.broken is not None
            or self.hindered
            or any(watch.behind for watch in self._world.operator.watches.values())
        ):
            return
        for action in self._world.cluster.store.all(Kind.ROLLOUT_ACTION, self._world.namespace):
            made = datetime.fromisoformat(action["metadata"]["creationTimestamp"])
            waits = min((self._world.clock.now() - made).total_seconds(), self._now() - calm)
            spec = action["spec"]
            there = self._world.status(spec["rollout"]).stable is not None  # else there is nobody to answer
            if there and not action.get("status", {}).get("phase") and waits > ANSWER_SECONDS:
                self.broken = Broken(f"{spec['action']} of {spec['rollout']} has had no answer for {waits:.0f} s")
        for app in self._apps:
            status = self._world.status(app)
            if not self._under_way(status) or not self._goes_back(app, status) or status.revision is None:
                continue
            waits = (self._world.clock.now() - status.revision.started_at).total_seconds()
            if min(waits, self._now() - calm) > BACK_SECONDS and "olicy" in status.message:
                self.broken = Broken(f"{app} has been going back for {waits:.0f} s: {status.message}")


def _said(policy: Obj | None) -> RolloutPolicyStatus:
    return RolloutPolicyStatus.parse((policy or {}).get("status", {}), "RolloutPolicy")


def _share(route: Obj, service: str) -> float:
    weights = weights_of(route)
    return weights.get(service, 0) / (sum(weights.values()) or 1)
