"""What decisions about a fleet are made from, and what they come to. Data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sluice.api.common import ObjectRef
from sluice.api.fleet import FleetRunSpec, FleetRunStatus
from sluice.api.member import AllowedNamespaces
from sluice.api.outcome import Outcome
from sluice.api.rollout import RolloutSpec, RolloutStatus
from sluice.api.units import NONE, BasisPoints
from sluice.decide.model import ActionView, Answer, FinalizerChange, Measure, Measurement, Note, SwitchView, Templates
from sluice.decide.policyview import PolicyView


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member cluster.

    Attributes:
        known: whether its caches are filled, so that what is not in them is not there.
        allows: the namespaces whose Rollouts may come; None: all.
        lost_since: since when it does not answer; None while it does.
    """

    name: str
    labels: dict[str, str]
    weight: int = 1
    known: bool = True
    lost_since: datetime | None = None
    allows: AllowedNamespaces | None = None


@dataclass(frozen=True, slots=True)
class LegView:
    """A Rollout's part in one member, as the member tells it. What makes no sense there reads as nothing.

    Attributes:
        order: which order it was given last; "" where it was given none.
        stable_hash: of what serves when no run is under way; "" before anything does.
        hash: of the candidate of its current or last run.
        fleet_run: the FleetRun that this run is part of.
        reason: why its current or last run ended, in a word; "" while it is under way.
        why: the same in a sentence.
        step: that it is in, from 1; 0 before the first.
        step_done: whether the step is done, confirmed and measured, and waits for the hub.
        weight: of the candidate.
        confirmed: whether that weight is accepted by every controller.
        up_to_date: whether it has looked at its present spec.
        serves: whether it was Ready when it last looked.
        message: its own.
        trouble: why the newest order is not carried out; "" where nothing is in its way.
        covered: whether it says that a kill switch covers it.
    """

    order: str = ""
    stable_hash: str = ""
    hash: str = ""
    fleet_run: int | None = None
    under_way: bool = False
    outcome: Outcome | None = None
    reason: str = ""
    why: str = ""
    step: int = 0
    step_done: bool = False
    weight: BasisPoints = NONE
    confirmed: bool = False
    up_to_date: bool = False
    serves: bool = False
    message: str = ""
    trouble: str = ""
    covered: bool = False

    def runs(self, run: FleetRunSpec) -> bool:
        """Whether it is in the run, as the member's own run for it."""
        return self.under_way and self.fleet_run == run.revision and self.hash == run.hash

    def rests_on(self, revision_hash: str) -> bool:
        """Whether this revision serves there, and nothing else is under way."""
        return not self.under_way and self.stable_hash == revision_hash


@dataclass(frozen=True, slots=True)
class FleetRunView:
    """A FleetRun."""

    name: str
    uid: str
    spec: FleetRunSpec
    status: FleetRunStatus


@dataclass(frozen=True, slots=True)
class FleetObserved:
    """Everything one decision about a fleet needs, taken from the caches at one moment.

    Attributes:
        given: the spec as people wrote it; of that, and not of defaults, members get what is theirs.
        hub: who leads, as members are told.
        home: the labels of its namespace.
        unreadable: the names of those FleetRuns that cannot be read, and why.
        legs: by member; one that has no part yet is not in it.
        policies: RolloutPolicies that cover it, by name.
        partial: engaged kill switches that cover it in some members, of which it is none of the hub's to obey.
        resolve: looks up the metrics of a spec's analyses in the caches; asked only where a run begins.
    """

    ref: ObjectRef
    generation: int
    resource_version: str
    deleting: bool
    has_finalizer: bool
    labels: dict[str, str]
    requester: str
    hub: str
    given: dict[str, Any]
    spec: RolloutSpec | None
    spec_problem: str
    status: RolloutStatus
    runs: tuple[FleetRunView, ...]  # of this Rollout's name, oldest first
    members: dict[str, MemberView]
    legs: dict[str, LegView]
    switches: tuple[SwitchView, ...] = ()
    partial: tuple[SwitchView, ...] = ()
    actions: tuple[ActionView, ...] = ()
    measurements: tuple[Measurement, ...] = ()  # of the current or last run, not in its status yet
    policies: tuple[PolicyView, ...] = ()
    home: dict[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    resolve: Callable[[RolloutSpec], Templates] = lambda _: Templates()


@dataclass(frozen=True, slots=True)
class Directive:
    """What a member is to have: the spec of its part, or None where it is to have none.

    `grows`: whether it lets the candidate have more than before; such a one is dropped when a kill switch engages.
    """

    spec: dict[str, Any] | None
    grows: bool = False


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What to do, in the order of the fields, and when to look again.

    `closed` are the records of runs that end by this, or from which people took clusters back: they alone tell who goes
    back, so nothing of it is said before.
    `directives` are given once the status that announces them is written; members without one keep what they have.
    """

    status: RolloutStatus
    create_run: FleetRunSpec | None = None
    finalizer: FinalizerChange = FinalizerChange.NONE
    closed: tuple[tuple[str, FleetRunStatus], ...] = ()
    directives: dict[str, Directive] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    run_statuses: tuple[tuple[str, FleetRunStatus], ...] = ()
    answers: tuple[Answer, ...] = ()
    notes: tuple[Note, ...] = ()
    delete_runs: tuple[str, ...] = ()
    wake_at: datetime | None = None
