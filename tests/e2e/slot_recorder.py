"""Records what happened to both slots and to the route, and holds them to what no moment may break."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from e2e.recorder import Recording, share_of
from e2e.support.app import GATEWAY, SLUICE
from e2e.support.workload import Workload, version_of
from e2e.watch import Json, Watch, named, of_service, resource_version
from testbed.apps import SLOTS

_EXACT = 1e-9
_LAG_VERSIONS = 50  # an operator may act on what it read a moment ago
_MOST = 10**9
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SlotState:
    """One state of a slot's Deployment."""

    version: int
    image: str
    replicas: int
    available: int
    generation: int


class SlotRecorder(Recording):
    """For the length of a ``with``: every state of both slots, of the route's shares, and of the capacity.

    Args:
        app: the app.
        sized_by_weight: whether the candidate's pods follow its weight, as they do without a ``canarySize``.

    Attributes:
        states: of each slot's Deployment, oldest first.
        ready: endpoints of each slot, as (resource version, number), oldest first. A Deployment's status tells of the
            same pods, but it can be the later of the two.
        shares: of each slot, as (resource version, 0 to 1), oldest first.
        capacity: ``spec.workload.replicas``, as (resource version, pods), oldest first.
    """

    def __init__(self, app: Workload, *, sized_by_weight: bool = True) -> None:
        self._app = app
        self._sized_by_weight = sized_by_weight
        self.states: dict[str, list[SlotState]] = {slot: [] for slot in SLOTS}
        self.ready: dict[str, list[tuple[int, int]]] = {slot: [] for slot in SLOTS}
        self.shares: dict[str, list[tuple[int, float]]] = {slot: [] for slot in SLOTS}
        self.capacity: list[tuple[int, int]] = []
        self._slices: dict[str, dict[str, int]] = {slot: {} for slot in SLOTS}
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{app.namespace}/endpointslices"
        deployments = f"/apis/apps/v1/namespaces/{app.namespace}/deployments"
        super().__init__(
            f"the slots of {app}",
            *(
                Watch(app.hub, deployments, named(f"{app.name}-{slot}"), partial(self._take_deployment, slot))
                for slot in SLOTS
            ),
            *(
                Watch(app.hub, slices, of_service(f"{app.name}-{slot}"), partial(self._take_slice, slot))
                for slot in SLOTS
            ),
            Watch(app.hub, f"{GATEWAY}/namespaces/{app.namespace}/httproutes", named(app.name), self._take_route),
            Watch(app.hub, f"{SLUICE}/namespaces/{app.namespace}/rollouts", named(app.name), self._take_rollout),
        )

    # ------------------------------------------------------------------ recording

    def _take_deployment(self, slot: str, found: Json) -> None:
        status, meta = found.get("status", {}), found["metadata"]
        self.states[slot].append(
            SlotState(
                resource_version(found),
                version_of(found),
                found["spec"]["replicas"],
                status.get("availableReplicas", 0),
                meta["generation"],
            )
        )

    def _take_slice(self, slot: str, found: Json) -> None:
        meta, endpoints = found["metadata"], found["endpoints"] or ()
        ready = [each for each in endpoints if each.get("conditions", {}).get("ready") is not False]
        self._slices[slot][meta["name"]] = len(ready)
        self.ready[slot].append((resource_version(found), sum(self._slices[slot].values())))

    def _take_route(self, found: Json) -> None:
        version = resource_version(found)
        for slot in SLOTS:
            shares = [share_of(rule, f"{self._app.name}-{slot}") for rule in found["spec"]["rules"]]
            self.shares[slot].append((version, max(shares)))

    def _take_rollout(self, found: Json) -> None:
        workload = found["spec"]["workload"]
        self.capacity.append((resource_version(found), workload.get("replicas", 1)))

    # ------------------------------------------------------------------ asking

    def images(self, slot: str) -> list[str]:
        """The versions that a slot ran, in order."""
        seen: list[str] = []
        for state in self.states[slot]:
            if seen[-1:] != [state.image]:
                seen.append(state.image)
        return seen

    def least_available(self, slot: str) -> int:
        """The fewest pods that a slot had available."""
        return min(state.available for state in self.states[slot])

    def check(self) -> None:
        """Insist on all that no moment may break."""
        self.catch_up()
        self.check_templates()
        self.check_sizes()
        self.check_growth()

    def check_templates(self) -> None:
        """Insist that a slot's template was only changed while the route gave it nothing."""
        for slot in SLOTS:
            for before, after in self._steps(slot):
                share = _at(self.shares[slot], after.version, 0.0)
                if before.image != after.image:
                    assert share == 0, f"{slot} went from {before.image} to {after.image} with {share:.2%} of traffic"

    def check_sizes(self) -> None:
        """Insist that nothing made a slot smaller than what its share needs."""
        for slot in SLOTS:
            for before, after in self._steps(slot):
                if after.replicas < before.replicas:
                    needed = self._needed(after.version, _at(self.shares[slot], after.version, 0.0))
                    assert after.replicas >= needed, (
                        f"{slot} was made {after.replicas} of {before.replicas} pods at {after.version}, and needs "
                        f"{needed}: {self._context(slot, after.version)}"
                    )

    def check_growth(self) -> None:
        """Insist that a slot had enough ready endpoints whenever its share grew.

        Not more than one fewer than its share needs: a pod may be lost at any moment, in an eviction for example.
        """
        for slot in SLOTS:
            for (_, before), (version, share) in zip(self.shares[slot], self.shares[slot][1:], strict=False):
                if share > before + _EXACT:
                    ready = _at(self.ready[slot], version, 0)
                    needed = self._needed(version, share) if self._sized_by_weight else 1
                    assert ready >= max(1, needed - 1), (
                        f"{slot} got {share:.2%} at {version} with {ready} ready endpoints, and needs {needed}: "
                        f"{self._context(slot, version)}"
                    )

    def _needed(self, version: int, share: float) -> int:
        """Pods that a share needed at this version, by a capacity that was in force then or a moment before."""
        capacity = min(_at(self.capacity, version, 0), _at(self.capacity, version - _LAG_VERSIONS, _MOST))
        return math.ceil(capacity * share - _EXACT)

    def _steps(self, slot: str) -> list[tuple[SlotState, SlotState]]:
        return list(zip(self.states[slot], self.states[slot][1:], strict=False))

    def _context(self, slot: str, version: int) -> str:
        states = [state for state in self.states[slot] if abs(state.version - version) < 200]
        ready = [each for each in self.ready[slot] if abs(each[0] - version) < 200]
        return f"shares {self.shares[slot]}, capacity {self.capacity}, ready {ready}, states {states}"


def _at(found: list[tuple[int, T]], version: int, otherwise: T) -> T:
    """What was in force just before this resource version."""
    place = bisect.bisect_left([each[0] for each in found], version)
    return found[place - 1][1] if place else otherwise
