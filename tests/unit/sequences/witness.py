"""What the laws about pods know of the world: who gets requests, who is ready, and what the test itself did to it."""

from collections.abc import Iterator
from typing import Any

from sluice.api.conditions import ConditionType, Reason, condition_of
from sluice.api.killswitch import KillSwitchSpec
from sluice.api.names import FIELD_MANAGER, HOLD_ANNOTATION, Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.api.units import FULL, NONE, BasisPoints
from sluice.ports import Obj
from sluice.sim.cluster import Subscription
from sluice.sim.gateway import SERVICE_NAME_LABEL
from sluice.sim.manifests import slot_of, slot_service
from sluice.sim.store import Change
from sluice.sim.traffic import Mix, weights_of
from sluice.sim.workloads import CALLERS
from sluice.sim.world import World
from unit.sequences.laws import Laws

BACK_OFF_SECONDS = 90.0  # after the API server was unwell, until everything was tried again
SLOW_SECONDS = 12.0  # several slow writes may lie between what was seen and what is done about it
EVER = 1e9


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


class Witness(Laws):
    """Knows what happened to an app whose pods Sluice runs.

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
        self._dynamic, self._by_weight = False, True
        self._capacity = Past(0)
        self._pods_ready = {slot: Past(0) for slot in Slot}
        self._diverts: dict[tuple[Kind, str], Past] = {}
        self._had = dict.fromkeys(Slot, 0.0)
        self._served = dict.fromkeys(Slot, float("-inf"))
        self._last_writer = FIELD_MANAGER
        self._foreign_at = self._harm_at = self._unrest_at = self._started_at = self._slow_at = float("-inf")
        self._alive, self._mood = True, "well"
        self._standing: Subscription | None = None
        self._gaps_seen: dict[str, int] = {}
        self._neighbours: Mix = {}

    # ------------------------------------------------------------------------------------------ what the test did

    def begin(self, strategy: Obj) -> None:
        """From now on everything counts: both apps are installed."""
        self._began = True
        canary = strategy.get("canary", {})
        self._dynamic = bool(canary.get("dynamicStable"))
        self._by_weight = "canarySize" not in canary
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
        self._alive, self._started_at, self._standing = True, self._now(), None

    def note_held(self, watch: Subscription | None) -> None:
        """A watch stands still, or all of them go on."""
        self._unrest_at = self._now()
        self._standing = watch

    def lag(self) -> float:
        """Watches, the network, and writes that take their time."""
        if self._standing is not None and self._standing in self._world.operator.watches.values():
            return EVER
        slow = self._mood == "slow" or self._now() - self._slow_at < SLOW_SECONDS
        world = self._world
        return world.operator.watch_delay_seconds + 6 * world.cluster.latency_seconds + (SLOW_SECONDS if slow else 0.0)

    def _now(self) -> float:
        return self._world.clock.monotonic()

    def _entries(self) -> tuple[str, ...]:
        return (self._app, CALLERS + self._plain) if self._plain else (self._app,)

    def _note_switch(self, change: Change, now: float) -> None:
        spec = KillSwitchSpec.parse(change.after["spec"], "switch")
        key = (change.kind, change.after["metadata"]["name"])
        if key not in self._diverts:
            self._diverts[key] = Past(value=False)
        self._diverts[key].put(spec.engaged and spec.effect.diverts, now)
        self._take_note(key, spec, now)

    def _note_slice(self, change: Change, now: float) -> None:
        service = change.after["metadata"]["labels"][SERVICE_NAME_LABEL]
        for slot in Slot:
            if service == slot_service(self._app, slot):
                self._note_ready(slot, None if change.type == "DELETED" else change.after, now)

    def _note_service(self, change: Change, slot: Slot, now: float) -> None:
        """Without its Service a slot has no endpoints, also as long as the slice is there."""
        store, namespace, name = self._world.cluster.store, self._world.namespace, change.after["metadata"]["name"]
        slices = (
            slice_
            for slice_ in store.all(Kind.ENDPOINT_SLICE, namespace)
            if slice_["metadata"]["labels"][SERVICE_NAME_LABEL] == name
        )
        self._note_ready(slot, None if change.type == "DELETED" else next(slices, None), now)

    def _note_ready(self, slot: Slot, slice_: Obj | None, now: float) -> None:
        ready = sum(item["conditions"]["ready"] for item in slice_["endpoints"]) if slice_ is not None else 0
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

    def _slot_named(self, name: str) -> Slot | None:
        """The slot whose Deployment and Service have that name."""
        return next((slot for slot in Slot if name == slot_service(self._app, slot)), None)

    def _status(self) -> RolloutStatus:
        return self._world.status(self._app)

    def template_lost(self) -> bool:
        """Whether Sluice says that the pod template of what serves was deleted with everything that kept it."""
        stalled = condition_of(self._status().conditions, ConditionType.STALLED)
        return stalled is not None and stalled.reason == Reason.RUN_LOST

    def _leaving(self) -> bool:
        """Whether there is no Rollout, or soon none."""
        found = self._world.cluster.store.peek(Kind.ROLLOUT, self._world.namespace, self._app)
        return found is None or "deletionTimestamp" in found["metadata"]

    def _held(self) -> bool:
        return HOLD_ANNOTATION in self._entry()["metadata"].get("annotations", {})

    def _foreign(self, now: float) -> bool:
        """Whether somebody else wrote the shares just now, and Sluice need not know yet."""
        return self._foreign_at + self.lag() >= now

    def _calm_since(self) -> float:
        """Since when nothing but Sluice is in the way of what Sluice wants."""
        away = self._standing is not None or self._leaving()
        if away or not self._alive or self._mood != "well" or self._world.gateway.frozen or self._held():
            return float("inf")
        unrest = self._unrest_at + BACK_OFF_SECONDS
        return max(unrest, self._harm_at, self._foreign_at, self._started_at, self._capacity.since) + self.lag()
