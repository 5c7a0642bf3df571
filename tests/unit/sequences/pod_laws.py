"""The invariants of an app whose pods Sluice runs, checked at the moment of every stored change, and as time passes.

Beside what `laws.py` holds every app to: pods stay where requests may go (I2), there are enough of them where a share
grows (I1), requests find some or that is mended soon (I1), a kill is written before anything else (I4), nothing is
claimed that was not seen (I8), and the neighbour gets what it always got (I9).
"""

from collections.abc import Iterator

from sluice.api.names import FIELD_MANAGER, Kind, Slot
from sluice.api.rollout import Confirmation, RolloutStatus
from sluice.api.run import RolloutRunSpec
from sluice.api.units import FULL, NONE, BasisPoints
from sluice.decide.rendering import revision_in
from sluice.decide.revision import image_version
from sluice.decide.sizing import bearable, pods_for
from sluice.ports import Obj
from sluice.sim.manifests import slot_of, slot_service
from sluice.sim.store import Change
from sluice.sim.traffic import ROUTES, Gap, in_force, weights_of
from unit.sequences.laws import Broken
from unit.sequences.witness import Witness

DRAIN_SECONDS = 9.99  # 10, and what sums of floats lose
DEADLINE_SECONDS = 300.0
MEND_SECONDS = 60.0
KILL_SECONDS = 3.0
SWITCHES = (Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH)


class PodLaws(Witness):
    """Watches an app whose pods Sluice runs. See `Witness` for the arguments."""

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
        if kind is Kind.ROLLOUT and name == self._app and change.type == "DELETED":
            self._told.clear()  # another Rollout of the name begins a chain of its own
            self._identities.clear()
            self.unrest()
        elif kind is Kind.ROLLOUT and name == self._app:
            if change.before is None:
                self.unrest()  # nobody mended anything before
            self._note(self._paused, bool(change.after["spec"].get("paused")), now)
            self._capacity.put(change.after["spec"]["workload"].get("replicas", 1), now)
            self._check_audit(change.after)
        elif kind in SWITCHES:
            self._note_switch(change, now)
        elif kind is Kind.ENDPOINT_SLICE:
            self._note_slice(change, now)
        elif kind is Kind.SERVICE and change.type != "MODIFIED" and (slot := self._slot_named(name)) is not None:
            self._note_service(change, slot, now)
        if self._began:
            self._judge(change, now)
            self._had = {slot: self._share_of(slot) for slot in Slot}

    def _judge(self, change: Change, now: float) -> None:
        kind, name = change.kind, change.after["metadata"]["name"]
        own = change.manager == FIELD_MANAGER
        slot = self._slot_named(name)
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
            needed = max(1, pods_for(capacity, became) if self._by_weight else 1)
            if slot is not status.stable.slot and ready < needed:
                raise Broken(f"I1: {slot} got {became} with {ready} of {needed} pods ready")
            others = min(self._pods_ready[slot.other].within(start))
            if slot is status.stable.slot and became > self._stable_bears(status, capacity, ready, others):
                raise Broken(f"I1: {slot}, which is stable, got {became} with {ready} of {capacity} pods ready")

    def _stable_bears(self, status: RolloutStatus, capacity: int, ready: int, others: int) -> BasisPoints:
        ended = status.history[-1].ended_at if status.history else None
        late = ended is not None and (self._world.clock.now() - ended).total_seconds() > DEADLINE_SECONDS
        under_way = status.revision is not None and status.revision.outcome is None
        if not self._dynamic or (late and not under_way):
            return FULL if ready else NONE
        return bearable(capacity, ready, others)

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
        needed = needed if self._by_weight else min(needed, 1)
        if status.stable is not None and status.stable.slot is slot and not self._dynamic:
            needed = capacity
        if pods < needed and not self._foreign(now):
            raise Broken(f"I2: {what} to {pods} pods although it needs {needed}")
        if not pods and capacity and now - self._served[slot] < DRAIN_SECONDS and not self._foreign(now):
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
        if self._returns(status, now):
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
        undisturbed = self._calm_since() < now
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
        if self._is_bad(gap.service) or 0 in self._capacity.within(recently):
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
        mendable = self._capacity.value and not self.template_lost()
        for name in self._entries() if mendable else ():
            for gap in self._world.traffic[name].gaps:
                lasting = gap.ended_at is None and now - max(calm, gap.began_at) > MEND_SECONDS
                if lasting and not (stable is not None and self._is_bad(slot_service(self._app, stable.slot))):
                    raise Broken(f"I1: requests of {name} to {gap.service} have found nobody since {gap.began_at} s")
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
