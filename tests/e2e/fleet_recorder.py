"""Records what a fleet's Rollout lets happen and what every member's route says, and holds one to the other.

The testbed's clusters share one etcd, whose revisions their resource versions are: so of any two writes, also to
different clusters, these tell which was first.
"""

from __future__ import annotations

import bisect
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from e2e.recorder import Recording, Share, Trail, share_of
from e2e.support.app import GATEWAY, SLUICE, unix_time
from e2e.support.fleet_app import FleetApp, Leg
from e2e.watch import Json, Watch, named, resource_version
from sluice.api.units import parse_duration

_EXACT = 1e-9


@dataclass(frozen=True, slots=True)
class State:
    """One state of an object's status."""

    version: int
    at: float
    status: Json


class FleetRecorder(Recording):
    """For the length of a ``with``: every share of green in every member, and every status of the Rollout.

    Attributes:
        shares: of each member, oldest first, equal neighbours once.
        states: of the Rollout's status, oldest first.
        parts: of each member's MemberRollout, oldest first.
        trail: the Rollout's audit trail.
    """

    def __init__(self, app: FleetApp) -> None:
        self._app = app
        self._batches: dict[int, list[Json]] = {}
        self._before = app.number
        self.shares: dict[str, list[Share]] = {name: [] for name in app.legs}
        self.states: list[State] = []
        self.trail = Trail()
        self.parts: dict[str, list[State]] = {name: [] for name in app.legs}
        watches = [Watch(app.hub, f"{SLUICE}/namespaces/{app.namespace}/rollouts", named(app.name), self._take_rollout)]
        for leg in app.legs.values():
            space = f"namespaces/{app.namespace}"
            watches += [
                Watch(leg.cluster, f"{GATEWAY}/{space}/httproutes", named(app.name), partial(self._take_route, leg)),
                Watch(leg.cluster, f"{SLUICE}/{space}/memberrollouts", named(app.name), partial(self._take_part, leg)),
            ]
        super().__init__(str(app), *watches)

    def _take_rollout(self, rollout: Json) -> None:
        status = rollout.get("status") or {}
        self.states.append(State(resource_version(rollout), time.time(), status))
        self.trail.take(status)

    def _take_part(self, leg: Leg, part: Json) -> None:
        self.parts[leg.name].append(State(resource_version(part), time.time(), part.get("status") or {}))

    def _take_route(self, leg: Leg, route: Json) -> None:
        share = max(share_of(rule, f"{leg.app}-green") for rule in route["spec"]["rules"])
        known = self.shares[leg.name]
        if not known or known[-1].share != share:
            known.append(Share(resource_version(route), time.time(), share))

    # ------------------------------------------------------------------ asking

    @property
    def progress(self) -> int:
        """How many shares members had so far, and how many steps and stages the run was in."""
        stages = {
            (batch.get("name"), batch.get("stage"), (state.status.get("step") or {}).get("index"))
            for state in tuple(self.states)
            for batch in [(state.status.get("fleet") or {}).get("batch") or {}]
        }
        return len(stages) + sum(len(shares) for shares in self.shares.values())

    def percents(self, member: str) -> list[float]:
        """The shares that green had in a member, in percent, in order."""
        return [round(each.share * 100, 2) for each in self.shares[member]]

    def check_plan(self, **planned: Sequence[float]) -> None:
        """Insist that members (``member_1=``) had these shares, in this order, and no other."""
        seen = {name: self.percents(name.replace("_", "-")) for name in planned}
        assert seen == {name: list(shares) for name, shares in planned.items()}, (
            f"{self._app} had {seen}, the plan is {planned}"
        )

    def check_permitted(self) -> None:
        """Insist that no member gave green more than the newest status that was stored before it let it have."""
        versions = [state.version for state in self.states]
        for name, shares in self.shares.items():
            for before, share in itertools.pairwise(shares):
                index = bisect.bisect_left(versions, share.version) - 1
                if index < 0:
                    continue
                allowed = max(self._allowed(self.states[index].status, name), 0)
                grew = share.share > before.share + _EXACT
                assert not grew or share.share <= allowed + _EXACT, (
                    f"{name} gave {share.share:.2%} at {share.version} where the status stored before it "
                    f"({self.states[index].version}) let it have {allowed:.2%}: {self.states[index].status}"
                )

    def check_order(self, *batches: tuple[str, ...]) -> None:
        """Insist that no cluster of a batch had anything before those of the batch before had everything."""
        for earlier, later in itertools.pairwise(batches):
            done = max(self._first(name, 1.0) for name in earlier)
            begun = min(self._first(name, 0.0001) for name in later)
            assert done < begun, f"{later} began at {begun}, {earlier} was done at {done}: {self.shares}"

    def check_lockstep(self, *members: str) -> None:
        """Insist that none of these had a share before all of them had the one before."""
        levels = sorted({each.share for name in members for each in self.shares[name] if each.share > 0})
        for lower, higher in itertools.pairwise(levels):
            reached = max(self._first(name, lower) for name in members)
            left = min(self._first(name, higher) for name in members)
            assert reached < left, f"{higher:.0%} began at {left}, {lower:.0%} was everywhere at {reached}"

    def lags(self, number: int) -> dict[tuple[str, float], float]:
        """How long after it was due each share was on each route, in seconds: by (member, percent).

        A share is due when the pause before it has ended in every cluster that moves at the same time; where there is
        no such pause, when the hub has stored that it may be had.
        """
        run = self._app.fleet_run(number)["spec"]
        found = {}
        for batch in run["batches"]:
            steps = _steps(run, batch)
            for name in batch["clusters"]:
                for share in self.shares[name][1:]:
                    due = self._due(steps, _wave(batch, name), name, share)
                    found[name, round(share.share * 100, 2)] = share.at - due
        return found

    def told_lags(self, number: int) -> str:
        """The lags in words."""
        lags = self.lags(number)
        worst = max(lags, key=lambda each: lags[each])
        return (
            f"{len(lags)} shares in {len(self.shares)} clusters were on their routes "
            f"{statistics.median(lags.values()):.2f} s after they were due (median), the last one of them "
            f"{lags[worst]:.2f} s ({worst[1]:g} % in {worst[0]})"
        )

    # ------------------------------------------------------------------ reckoning

    def _first(self, member: str, share: float) -> int:
        """The resource version at which a member first had so much, or more."""
        found = next((each.version for each in self.shares[member] if each.share >= share - _EXACT), None)
        assert found is not None, f"{member} never had {share:.0%}: {self.percents(member)}"
        return found

    def _allowed(self, status: Json, name: str) -> float:
        """How much of the route a status of the Rollout lets green have in a member, by runs that began here."""
        fleet = status.get("fleet") or {}
        revision, at = fleet.get("revision") or {}, fleet.get("batch")
        if revision.get("number", 0) <= self._before:
            return 0.0
        if "outcome" in revision:
            return 1.0 if revision["outcome"] == "Completed" else 0.0
        if at is None:
            return 0.0
        batches = self._batches_of(revision["number"])
        index = next((place for place, batch in enumerate(batches, 1) if name in batch["clusters"]), None)
        if index is None or index > at["index"]:
            return 0.0
        if index < at["index"] or at["stage"] in {"Soaking", "Closing"}:
            return 1.0
        batch, first = batches[index - 1], at.get("first", 0)
        place = batch["clusters"].index(name)
        if place < first:
            return 1.0
        if at["stage"] != "Moving" or place >= first + batch["maxConcurrency"]:
            return 0.0
        return float(str(status.get("weight", "0%")).rstrip("%")) / 100

    def _batches_of(self, number: int) -> list[Json]:
        if number not in self._batches:
            self._batches[number] = self._app.fleet_run(number)["spec"]["batches"]
        return self._batches[number]

    def _due(self, steps: list[Json], wave: list[str], name: str, share: Share) -> float:
        index = next(place for place, step in enumerate(steps) if step.get("setWeight") == round(share.share * 100))
        waited = steps[index - 1].get("pause", {}).get("duration") if index else None
        if waited:
            began = [self._entered(member, index) for member in wave]
            return max(began) + parse_duration(waited).total_seconds()
        return next(state.at for state in self.states if self._allowed(state.status, name) >= share.share - _EXACT)

    def _entered(self, member: str, step: int) -> float:
        """When a member entered a step, by its own status."""
        for state in self.parts[member]:
            at = state.status.get("step") or {}
            if at.get("index") == step:
                return unix_time(at["startedAt"])
        raise AssertionError(f"{member} was never seen in step {step}")


def _steps(run: Json, batch: Json) -> list[Json]:
    steps = list(batch.get("steps") or run["spec"]["strategy"]["canary"]["steps"])
    return steps if steps[-1].get("setWeight") == 100 else [*steps, {"setWeight": 100}]


def _wave(batch: Json, name: str) -> list[str]:
    size = batch["maxConcurrency"]
    first = batch["clusters"].index(name) // size * size
    return list(batch["clusters"][first : first + size])
