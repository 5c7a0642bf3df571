"""The invariants of an app whose pods Sluice runs, checked at the moment of every stored change, and as time passes.

Beside what `laws.py` holds every app to: pods stay where requests may go (I2), there are enough of them where a share
grows (I1), requests find some or that is mended soon (I1), a kill is written before anything else (I4), nothing is
claimed that was not seen (I8), and the neighbour gets what it always got (I9).
"""

from collections.abc import Iterator
from typing import Any

from sluice.api.killswitch import Effect, KillSwitchSpec
from sluice.api.names import FIELD_MANAGER, HOLD_ANNOTATION, Kind, Slot
from sluice.api.rollout import Confirmation, RolloutStatus
from sluice.api.run import RolloutRunSpec
from sluice.api.units import FULL, NONE, BasisPoints
from sluice.decide.rendering import revision_in
from sluice.decide.revision import image_version
from sluice.decide.sizing import bearable, pods_for
from sluice.ports import Obj
from sluice.sim.gateway import SERVICE_NAME_LABEL
from sluice.sim.manifests import slot_of, slot_service
from sluice.sim.store import Change
from sluice.sim.traffic import ROUTES, Gap, Mix, in_force, weights_of
from sluice.sim.workloads import CALLERS
from sluice.sim.world import World
from unit.sequences.laws import Broken, Laws

DRAIN_SECONDS = 9.99  # 10, and what sums of floats lose
DEADLINE_SECONDS = 300.0
MEND_SECONDS = 60.0
BACK_OFF_SECONDS = 90.0  # after the API server was unwell, until everything was tried again
SLOW_SECONDS = 12.0  # several slow writes may lie between what was seen and what is done about it
KILL_SECONDS = 3.0
SWITCHES = (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH)


class Past:
    """A value and what it was: an operator that is a little behind may act on any value of the last moments."""

    def __init__(self, value: Any) -> None:
        self._values: list[tuple[float, Any]] = [(float("-inf"), value)]

    @property
    def value(self) -> Any:
        """What it is."""
        return self._values[-1][1]

    @property
    def since(self) -> float:
        """When it became so."""
        return self._values[-1][0]

    def put(self, value: Any, now: float) -> None:
        """It is something else now."""
        if value != self.value:
            self._values.append((now, value))

    def within(self, start: float) -> Iterator[Any]:
        """What it was at any moment from then on."""
        for at, value in reversed(self._values):
            yield value
            if at < start:
                return


class PodLaws(Laws):
    """Watches an app whose pods Sluice runs.

    Args:
        world: not started yet.
        app: its name.
        bystander: an app that nothing may happen to.
        plain: the Service of callers that go past the route; "" for none.

    Attributes:
        bad_tags: versions whose pods die or never live.
    """

    def __init__(self, world: World, app: str, bystander: str, *, plain: str) -> None:
        super().__init__(world, app, bystander)
        self.bad_tags: set[str] = set()
        self._plain = plain
        self._began = False
        self._dynamic = False
        self._capacity = Past(0)
        self._pods_ready = {slot: Past(0) for slot in Slot}
        self._diverts: dict[tuple[Kind, str], Past] = {}
        self._had = dict.fromkeys(Slot, 0.0)
        self._served = dict.fromkeys(Slot, float("-inf"))
        self._last_writer = FIELD_MANAGER
        self._foreign_at = self._harm_at = self._unrest_at = self._started_at = self._slow_at = float("-inf")
        self._alive, self._mood = True, "well"
        self._gaps_seen: dict[str, int] = {}
        self._neighbours: Mix = {}

    # ------------------------------------------------------------------------------------------ what the test did

    def begin(self, strategy: Obj) -> None:
        """From now on everything counts: both apps are installed."""
        self._began = True
        self._dynamic = bool(strategy.get("canary", {}).get("dynamicStable"))
        self._gaps_seen = {name: len(self._world.traffic[name].gaps) for name in self._entries()}
        self._neighbours = self._world.traffic[self._bystander].mix
        self._had = {slot: self._share_of(slot) for slot in Slot}

    def harm(self) -> None:
        """Pods, or what leads to them, are taken away right now."""
        self._harm_at = self._now()

    def unrest(self) -> None:
        """Something changes that takes a while to be dealt with."""
        self._unrest_at = self._now()

    def note_mood(self, mood: str) -> None:
        """The API server treats the operator so from now on."""
        if "slow" in (mood, self._mood):
            self._slow_at = self._now()
        self._unrest_at, self._mood = self._now(), mood

    def note_death(self, after_writes: int) -> None:
        """The operator dies, now or soon."""
        del after_writes
        self._alive = False

    def note_start(self) -> None:
        """It starts anew."""
        self._alive, self._started_at = True, self._now()

    def lag(self) -> float:
        """Watches, the network, and writes that take their time."""
        slow = self._mood == "slow" or self._now() - self._slow_at < SLOW_SECONDS
        world = self._world
        return world.operator.watch_delay_seconds + 6 * world.cluster.latency_seconds + (SLOW_SECONDS if slow else 0.0)

    def _now(self) -> float:
        return self._world.clock.monotonic()

    def _entries(self) -> tuple[str, ...]:
        return (self._app, CALLERS + self._plain) if self._plain else (self._app,)

    # ------------------------------------------------------------------------------------------ each change

    def look(self) -> None:
        """Look at what no change tells of: how long something has been so."""
        if self.broken is None and self._began:
            try:
                self._check_gaps()
                self._check_patience()
                self._check_neighbour()
            except Broken as broken:
                self.broken = broken

    def _on_change(self, change: Change) -> None:
        try:
            super()._on_change(change)
        except Exception as defect:  # of the test's own; in a timer it would go unseen
            self.broken = self.broken or Broken(f"the test could not judge {change.kind}: {defect!r}")
            raise

    def _check(self, change: Change) -> None:
        kind, name, now = change.kind, change.after["metadata"]["name"], self._now()
        self._age(now)
        if kind is Kind.ROLLOUT and name == self._app:
            self._note(self._paused, bool(change.after["spec"].get("paused")), now)
            self._capacity.put(change.after["spec"]["workload"].get("replicas", 1), now)
            self._check_audit(change.after)
        elif kind in SWITCHES:
            self._note_switch(change, now)
        elif kind is Kind.ENDPOINT_SLICE:
            self._note_slice(change, now)
        if self._began:
            self._judge(change, now)
            self._had = {slot: self._share_of(slot) for slot in Slot}

    def _judge(self, change: Change, now: float) -> None:
        kind, name = change.kind, change.after["metadata"]["name"]
        own = change.manager == FIELD_MANAGER
        slot = next((slot for slot in Slot if name == slot_service(self._app, slot)), None)
        moved = change.before is not None and change.before.get("spec") != change.after.get("spec")
        if own:
            self._check_kill_first(change, now)
        if (kind in ROUTES and name in (self._app, self._bystander) and moved) or (
            kind is Kind.SERVICE and name == self._app and moved
        ):
            self._judge_entry(change, own, now)
        elif kind is Kind.SERVICE and name == self._plain and moved and own:
            self._check_plain(change)
        elif kind is Kind.DEPLOYMENT and slot is not None and own:
            self._check_deployment(change, slot, now)
        elif kind is Kind.SERVICE and slot is not None and own and change.type == "DELETED":
            raise Broken(f"I2: Sluice deleted Service {name}")
        elif kind is Kind.ROLLOUT and name == self._app and own and change.before is not None:
            self._check_claims(change, now)
        self._check_gaps()
        self._check_neighbour()

    def _note_switch(self, change: Change, now: float) -> None:
        spec = KillSwitchSpec.parse(change.after["spec"], "switch")
        key = (change.kind, change.after["metadata"]["name"])
        if key not in self._diverts:
            self._diverts[key] = Past(value=False)
        self._diverts[key].put(spec.engaged and spec.effect is Effect.DIVERT, now)
        fact = self._switches.setdefault(key, type(self._paused)(False))
        self._note(fact, spec.engaged, now)

    def _note_slice(self, change: Change, now: float) -> None:
        service = change.after["metadata"]["labels"][SERVICE_NAME_LABEL]
        gone = change.type == "DELETED"
        for slot in Slot:
            if service == slot_service(self._app, slot):
                ready = 0 if gone else sum(item["conditions"]["ready"] for item in change.after["endpoints"])
                self._pods_ready[slot].put(ready, now)
                self._note(self._ready[slot], ready > 0, now)

    # ------------------------------------------------------------------------------------------ who gets requests

    def _green(self, obj: Obj) -> BasisPoints:
        if obj["kind"] == Kind.SERVICE:
            return FULL if slot_of(obj["spec"].get("selector") or {}) == Slot.GREEN else NONE
        return super()._green(obj)

    def _entry(self) -> Obj:
        store, namespace = self._world.cluster.store, self._world.namespace
        found = store.peek(Kind.HTTP_ROUTE, namespace, self._app) or store.peek(Kind.SERVICE, namespace, self._app)
        if found is None:
            raise AssertionError("the app has no entry")
        return found

    def _share_of(self, slot: Slot) -> float:
        """The share (0 to 1) of the requests that may reach a slot now: as written, or as in force still."""
        entry, name = self._entry(), slot_service(self._app, slot)
        if entry["kind"] == Kind.SERVICE:
            shares = [float(slot_of(entry["spec"].get("selector") or {}) == slot)]
        else:
            weights = weights_of(entry)
            shares = [weights.get(name, 0) / (sum(weights.values()) or 1)]
            shares.append(self._world.traffic[self._app].shares.get(name, 0.0))
        plain = self._world.cluster.store.peek(Kind.SERVICE, self._world.namespace, self._plain)
        if plain is not None:
            shares.append(float(slot_of(plain["spec"].get("selector") or {}) == slot))
        return max(shares)

    def _age(self, now: float) -> None:
        for slot, share in self._had.items():
            if share:
                self._served[slot] = now

    def _status(self) -> RolloutStatus:
        return self._world.status(self._app)

    def _held(self) -> bool:
        return HOLD_ANNOTATION in self._entry()["metadata"].get("annotations", {})

    def _foreign(self, now: float) -> bool:
        """Whether somebody else wrote the shares just now, and Sluice need not know yet."""
        return self._foreign_at + self.lag() >= now

    # ------------------------------------------------------------------------------------------ I1, I3: more for a slot

    def _judge_entry(self, change: Change, own: bool, now: float) -> None:
        name = change.after["metadata"]["name"]
        if name == self._app:
            self._last_writer = change.manager
        if not own:
            self._foreign_at = now if name == self._app else self._foreign_at
            return
        self._check_write(change, name, now)
        self._check_enough(change, now)

    def _check_enough(self, change: Change, now: float) -> None:
        status, start = self._status(), now - self.lag()
        if change.before is None or status.stable is None:
            return
        capacity = min(self._capacity.within(start))
        for slot in Slot:
            was, became = (
                (self._green(obj) if slot is Slot.GREEN else FULL - self._green(obj))
                for obj in (change.before, change.after)
            )
            ready = max(self._pods_ready[slot].within(start))
            if became <= was or _is_dark(change.before):
                continue
            if slot is not status.stable.slot and ready < max(1, pods_for(capacity, became)):
                raise Broken(f"I1: {slot} got {became} with {ready} of {pods_for(capacity, became)} pods ready")
            if slot is status.stable.slot and became > self._stable_bears(status, capacity, ready):
                raise Broken(f"I1: {slot}, which is stable, got {became} with {ready} of {capacity} pods ready")

    def _stable_bears(self, status: RolloutStatus, capacity: int, ready: int) -> BasisPoints:
        ended = status.history[-1].ended_at if status.history else None
        late = ended is not None and (self._world.clock.now() - ended).total_seconds() > DEADLINE_SECONDS
        under_way = status.revision is not None and status.revision.outcome is None
        if not self._dynamic or (late and not under_way):
            return FULL if ready else NONE
        return bearable(capacity, ready)

    def _unmeasured(self, status: RolloutStatus, now: float) -> Iterator[str]:
        """Undo and rollback are not measured: they go back to what served."""
        found = self._world.cluster.store.peek(Kind.ROLLOUT_RUN, self._world.namespace, status.run or "")
        if found is not None and RolloutRunSpec.parse(found["spec"], "run").analysis.metrics:
            yield from super()._unmeasured(status, now)

    def _check_plain(self, change: Change) -> None:
        stable, slot = self._status().stable, slot_of(change.after["spec"]["selector"])
        if stable is None or slot != stable.slot:
            raise Broken(f"I1: Service {self._plain} was pointed to {slot}, which is not stable")

    # ------------------------------------------------------------------------------------------ I2: pods that stay

    def _check_deployment(self, change: Change, slot: Slot, now: float) -> None:
        name = change.after["metadata"]["name"]
        if change.type == "DELETED":
            raise Broken(f"I2: Sluice deleted Deployment {name}")
        if change.before is None:
            return
        before, after = change.before["spec"], change.after["spec"]
        if revision_in(before["template"]) != revision_in(after["template"]):
            self._check_vacant(slot, now, f"{name} got another template")
        if after["replicas"] < before["replicas"]:
            self._check_shrinking(slot, after["replicas"], now, f"{name} shrank from {before['replicas']}")

    def _check_vacant(self, slot: Slot, now: float, what: str) -> None:
        status = self._status()
        if not self._world.pods_of(self._app, slot):
            return
        if status.stable is not None and status.stable.slot is slot:
            raise Broken(f"I2: {what} although {slot} is stable")
        if self._had[slot] and not self._foreign(now):
            raise Broken(f"I2: {what} although {self._had[slot]:.1%} of the requests may reach it")
        if now - self._served[slot] < DRAIN_SECONDS and not self._foreign(now):
            raise Broken(f"I2: {what} {now - self._served[slot]:.1f} s after the last request could reach it")

    def _check_shrinking(self, slot: Slot, pods: int, now: float, what: str) -> None:
        status, capacity = self._status(), min(self._capacity.within(now - self.lag()))
        needed = pods_for(capacity, round(self._had[slot] * FULL))
        if status.stable is not None and status.stable.slot is slot and not self._dynamic:
            needed = capacity
        if pods < needed and not self._foreign(now):
            raise Broken(f"I2: {what} to {pods} pods although it needs {needed}")
        if not pods and now - self._served[slot] < DRAIN_SECONDS and not self._foreign(now):
            raise Broken(f"I2: {what} to nothing {now - self._served[slot]:.1f} s after the last request")

    # ------------------------------------------------------------------------------------------ I4: kills first

    def _killing(self, now: float) -> float | None:
        """Since when a kill switch diverts that the operator must know of; None where none does."""
        since = [past.since for past in self._diverts.values() if past.value and past.since + self.lag() < now]
        return min(since, default=None)

    def _exposed_to_kill(self, now: float) -> bool:
        status = self._status()
        if status.stable is None or status.revision is None or status.revision.outcome is not None or self._held():
            return False
        green = self._green(self._entry())
        exposed = (green if status.stable.slot is Slot.BLUE else FULL - green) > NONE
        ready = min(self._pods_ready[status.stable.slot].within(now - self.lag() - KILL_SECONDS))
        return exposed and ready >= max(self._capacity.within(now - self.lag() - KILL_SECONDS))

    def _check_kill_first(self, change: Change, now: float) -> None:
        name = change.after["metadata"]["name"]
        if change.kind in ROUTES or (change.kind is Kind.SERVICE and name == self._app):
            return
        killing = self._killing(now)
        undisturbed = max(self._foreign_at, self._started_at, self._unrest_at) + self.lag() + BACK_OFF_SECONDS < now
        if name.startswith(self._app) and killing is not None and undisturbed and self._exposed_to_kill(now):
            raise Broken(
                f"I4: {change.kind} {name} was written {now - killing:.2f} s after the kill, before the shares"
            )

    # ------------------------------------------------------------------------------------------ I8: what is claimed

    def _check_claims(self, change: Change, now: float) -> None:
        before, after = (
            RolloutStatus.parse(obj.get("status", {}), "Rollout") for obj in (change.before or {}, change.after)
        )
        if after.confirmation is not Confirmation.ACCEPTED or before.confirmation is Confirmation.ACCEPTED:
            return
        entry, stable = self._entry(), after.stable
        if stable is None or self._foreign(now) or now - self._unrest_at <= self.lag():
            return
        under_way = after.revision is not None and after.revision.outcome is None
        intended = (after.weight or NONE) if under_way else NONE
        green = self._green(entry)
        share = green if stable.slot is Slot.BLUE else FULL - green
        if share != intended or (entry["kind"] != Kind.SERVICE and not in_force(entry)):
            raise Broken(f"I8: {intended} is said to be accepted, and {share} is written")

    # ------------------------------------------------------------------------------------------ as time passes

    def _calm_since(self) -> float:
        """Since when nothing but Sluice is in the way of what Sluice wants."""
        if not self._alive or self._mood != "well" or self._world.gateway.frozen or self._held():
            return float("inf")
        unrest = self._unrest_at + BACK_OFF_SECONDS
        return max(unrest, self._harm_at, self._foreign_at, self._started_at, self._capacity.since) + self.lag()

    def _check_gaps(self) -> None:
        """Requests that find nobody: only where somebody else took the pods away, or led them there."""
        for name in self._entries():
            gaps = self._world.traffic[name].gaps
            for gap in gaps[self._gaps_seen[name] :]:
                self._check_gap(name, gap)
            self._gaps_seen[name] = len(gaps)

    def _check_gap(self, name: str, gap: Gap) -> None:
        recently = gap.began_at - self.lag() - 5.0
        if self._harm_at >= recently or self._foreign_at >= recently or self._last_writer != FIELD_MANAGER:
            return
        if self._is_bad(gap.service):
            return
        raise Broken(f"I1: {gap.share:.0%} of {name} find no ready pod of {gap.service or 'anything'} ({gap.cause})")

    def _is_bad(self, service: str) -> bool:
        """Whether the pods behind a Service die by themselves."""
        slots = [slot for slot in Slot if service in (slot_service(self._app, slot), self._app, self._plain)]
        pods = [pod for slot in slots for pod in self._world.pods_of(self._app, slot)]
        return any(image_version(pod) in self.bad_tags for pod in pods)

    def _check_patience(self) -> None:
        now, calm = self._now(), self._calm_since()
        stable = self._status().stable
        for name in self._entries():
            for gap in self._world.traffic[name].gaps:
                if gap.ended_at is None and now - max(calm, gap.began_at) > MEND_SECONDS:
                    bad = stable is not None and self._is_bad(slot_service(self._app, stable.slot))
                    if not bad:
                        raise Broken(f"I1: requests of {name} to {gap.service} have found nobody since {gap.began_at}")
        killing = self._killing(now)
        if killing is not None and self._exposed_to_kill(now) and now - max(calm, killing) > KILL_SECONDS:
            raise Broken(f"I4: {now - killing:.1f} s after the kill the candidate still has requests")

    def _check_neighbour(self) -> None:
        if self._world.traffic[self._bystander].mix != self._neighbours:
            raise Broken(f"I9: {self._bystander} gets {self._world.traffic[self._bystander].mix}")

    def check_served(self) -> None:
        """In the end all requests are answered, by stable.

        Raises:
            Broken: some are not.
        """
        stable = self._status().stable
        for name in self._entries():
            if any(gap.ended_at is None for gap in self._world.traffic[name].gaps):
                raise Broken(f"I1: in the end requests of {name} find nobody")
        plain = self._world.cluster.store.peek(Kind.SERVICE, self._world.namespace, self._plain)
        if plain is not None and stable is not None and slot_of(plain["spec"]["selector"]) != stable.slot:
            raise Broken(f"I5: in the end {self._plain} selects {slot_of(plain['spec']['selector'])}")


def _is_dark(obj: Obj) -> bool:
    return obj["kind"] != Kind.SERVICE and not any(weights_of(obj).values())
