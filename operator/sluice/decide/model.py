"""What the core decides from (`Observed`) and what it answers (`Plan`). Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sluice.api.action import RolloutActionSpec, Verb
from sluice.api.analysis import ResolvedMetric
from sluice.api.common import ObjectRef
from sluice.api.killswitch import Effect
from sluice.api.names import Kind, Slot
from sluice.api.rollout import RolloutSpec, RolloutStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.api.units import BasisPoints
from sluice.api.workload import SlotServices
from sluice.decide.pods import AskedTemplate, BudgetView, DeploymentView, ServiceView
from sluice.decide.policyview import PolicyView
from sluice.decide.promql import FleetValues

# --------------------------------------------------------------------------------------------- observed


class Acceptance(StrEnum):
    """Whether the data plane's controller took the current configuration."""

    ACCEPTED = "Accepted"
    PENDING = "Pending"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class TargetRef:
    """Something that carries traffic: a route, or the Service whose selector is switched."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a weight was written; stamped on the target in the same patch.

    `run` is `<rollout uid>/<revision number>`. `switch` is empty unless a kill switch did it, then
    `<kind>/<namespace>/<name>/<uid>/<generation>`.
    """

    run: str
    action: str  # such as "step-3", "divert", "abort", "return", "repair", "finish"
    switch: str = ""
    reason: str = ""
    actor: str = ""
    at: str = ""  # RFC 3339
    repairs: str = ""  # when foreign writes were put back that no status told of before this write; RFC 3339, by commas


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target as the caches know it.

    `shares`: for each rule (or the one selector), green's share in basis points of blue + green. Empty where the
    target is missing or has no place for a share; then `problem` and `problem_reason` say why and what to do. A target
    may have a problem and shares (a third backend was added, a selector is neither slot's): it cannot be given more to
    the candidate, but it can be reduced and put right.
    """

    ref: TargetRef
    found: bool
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    shares: tuple[BasisPoints, ...] = ()
    acceptance: Acceptance = Acceptance.PENDING
    acceptance_message: str = ""
    problem_reason: str = ""  # a Reason; empty where all is well
    problem: str = ""
    owner: str = ""  # value of the owner annotation, "<namespace>/<name>/<uid>"
    cause: Cause | None = None
    written: BasisPoints | None = None  # green's share as that owner wrote it last; None where the target tells none
    writer: str = ""  # field manager of the newest write to the spec, for messages
    all_or_nothing: bool = False  # a selector switch
    dark: bool = False  # a rule whose weights are all 0 answers 500 to everybody; its share reads as half
    hold: str = ""  # the break-glass annotation's text, "<who>: <why>"; empty where there is none

    def share(self, slot: Slot) -> BasisPoints:
        """The largest share that any rule gives the slot; 0 where nothing is known."""
        if not self.shares:
            return 0
        return max(self.shares) if slot is Slot.GREEN else 10_000 - min(self.shares)

    def least(self, slot: Slot) -> BasisPoints:
        """The smallest share that any rule gives the slot; 0 where nothing is known."""
        if not self.shares:
            return 0
        return min(self.shares) if slot is Slot.GREEN else 10_000 - max(self.shares)

    def at(self, slot: Slot, share: BasisPoints) -> bool:
        """Whether every rule gives the slot exactly this share."""
        green = share if slot is Slot.GREEN else 10_000 - share
        return bool(self.shares) and not self.dark and all(value == green for value in self.shares)

    def written_at(self, slot: Slot, share: BasisPoints) -> bool:
        """Whether its owner wrote just this share last, whatever it has by now."""
        return self.written == (share if slot is Slot.GREEN else 10_000 - share)


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot's Service and how many of its endpoints are ready; its Deployment, where Sluice keeps the two."""

    service: str
    exists: bool
    ready_endpoints: int
    kept: ServiceView | None = None  # the Service; None where it does not exist or is not Sluice's to keep
    deployment: DeploymentView | None = None
    exposed_by: tuple[str, ...] = ()  # Services that nobody declared and whose selectors match the slot's pods


@dataclass(frozen=True, slots=True)
class SwitchView:
    """A kill switch that is engaged and covers the Rollout."""

    kind: Kind
    namespace: str  # "" for ClusterKillSwitch
    name: str
    uid: str
    generation: int
    effect: Effect
    reason: str
    actor: str
    scope: str = ""  # a digest of its scope
    expires_at: datetime | None = None
    deleted: frozenset[str] = frozenset()  # Rollouts that it covered with this scope when they were deleted
    drill: bool = False  # it diverts for a moment, and ends nothing
    forced_by: str = ""  # who would have it divert also where stable cannot take the traffic; "" where nobody does

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"

    @property
    def id(self) -> str:
        """Identifies this engagement in causes and audit entries."""
        return f"{self.kind}/{self.namespace}/{self.name}/{self.uid}/{self.generation}"

    def acts(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class ActionView:
    """A RolloutAction that has no answer yet."""

    name: str
    uid: str
    created_at: datetime
    spec: RolloutActionSpec


@dataclass(frozen=True, slots=True)
class RunView:
    """A RolloutRun."""

    name: str
    uid: str
    spec: RolloutRunSpec
    status: RolloutRunStatus
    resource_version: str


class ReadingKind(StrEnum):
    """The five ways a question to Prometheus ends. Only VALUE is a number."""

    VALUE = "Value"
    NO_DATA = "NoData"  # empty result, or NaN
    INCONCLUSIVE = "Inconclusive"  # more than one series, partial data, infinity
    ERROR = "Error"  # refused, timed out, bad query


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer. `message` says what was wrong, without the reply's body."""

    kind: ReadingKind
    value: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The readings of one metric at one moment. `baseline` and `samples` only where the metric asks for them."""

    name: str
    scope: str
    at: datetime
    reading: Reading
    baseline: Reading | None = None
    samples: Reading | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """An object that carries the Rollout's stamp, and that neither its spec nor the run under way names any more."""

    kind: Kind
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Templates:
    """What became of the analysis templates that the spec names.

    `problem` (and its Reason) is set where one is missing or an arg has no value; then no run can start.
    """

    background: tuple[ResolvedMetric, ...] = ()
    inline: tuple[tuple[ResolvedMetric, ...], ...] = ()  # one per analysis in strategy order, see `steps.analyses_of`
    fleet: tuple[ResolvedMetric, ...] = ()  # what the hub measures of the whole fleet
    batches: tuple[tuple[ResolvedMetric, ...], ...] = ()  # likewise of each batch, in order
    problem_reason: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything one decision needs, taken from the caches at one moment."""

    ref: ObjectRef
    generation: int
    resource_version: str
    deleting: bool
    has_finalizer: bool
    namespace_terminating: bool
    labels: dict[str, str]
    requester: str
    spec: RolloutSpec | None  # None: could not be parsed, see `spec_problem`
    spec_problem: str
    status: RolloutStatus
    runs: tuple[RunView, ...]  # of this Rollout's name, oldest first
    services: SlotServices | None  # of the run under way, else of the spec; None where neither can be read
    targets: tuple[TargetView, ...]  # likewise
    preview: TargetView | None  # the preview Service, which carries no production traffic
    slots: dict[Slot, SlotView]
    templates: Templates
    switches: tuple[SwitchView, ...]  # engaged and covering, strictest first
    actions: tuple[ActionView, ...]  # unanswered, oldest first
    measurements: tuple[Measurement, ...]  # new since the last pass, oldest first
    baselines: dict[str, Measurement] = field(default_factory=dict)  # snapshot answers, by metric name
    taken_number: int = 0  # the highest run number whose name is taken by a RolloutRun that is not in `runs`
    followers: tuple[TargetView, ...] = ()  # Services that shall select the stable slot, never the candidate
    asked: AskedTemplate | None = None  # None with `workload.services`
    source: DeploymentView | None = None  # the Deployment that `workloadRef` names
    source_selected_by: tuple[str, ...] = ()  # Services whose selectors match its pods
    budgets: tuple[BudgetView, ...] = ()
    dropped: tuple[Marked, ...] = ()
    policies: tuple[PolicyView, ...] = ()  # covering, by name
    led: bool = False  # a hub leads: it is a part of one over a fleet
    rival: str = ""  # "<namespace>/<name>" of the older Rollout that has one of the targets
    write_problem: tuple[str, str] | None = None  # Reason and message of a write that the API server refused for good


# --------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True)
class Shift:
    """Give `slot` this share on a target.

    `grows`: the candidate gains exposure; the write then tests resourceVersion and current shares, and is dropped
    when a kill switch engaged meanwhile. Reductions test only the target's identity.
    """

    target: TargetView
    services: SlotServices
    slot: Slot
    share: BasisPoints
    grows: bool
    cause: Cause
    owner: str


@dataclass(frozen=True, slots=True)
class Measure:
    """Ask Prometheus. `slot` fills the placeholders; `with_baseline` asks for the stable slot too.

    Where the hub measures clusters as a whole there is no slot: `values` fill the placeholders.
    """

    metric: ResolvedMetric
    scope: str
    slot: Slot | None = None
    values: FleetValues | None = None
    with_baseline: bool = False
    snapshot: bool = False  # the answer is a baseline, not a measurement


@dataclass(frozen=True, slots=True)
class Answer:
    """What a RolloutAction gets told."""

    name: str
    done: bool
    message: str


@dataclass(frozen=True, slots=True)
class Note:
    """A Kubernetes Event."""

    warning: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a whole object with force. `uid`: of the object that was observed; "" to make a new one."""

    kind: Kind
    name: str
    body: dict[str, Any]  # without apiVersion, kind, namespace and name
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """A JSON Patch of an object that Sluice does not keep; its first operation tests the uid."""

    kind: Kind
    name: str
    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Take annotations off the object of this uid, whichever of them it has, so that others may change it again."""

    kind: Kind
    name: str
    uid: str
    annotations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    """Delete the object of this uid."""

    kind: Kind
    name: str
    uid: str


class FinalizerChange(StrEnum):
    """What to do with Sluice's finalizer."""

    NONE = "None"
    ADD = "Add"
    REMOVE = "Remove"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in the order of the fields, and when to look again.

    `urgent` shifts (kills) are written before anything else; the others only after the status that announces them.
    """

    status: RolloutStatus
    urgent: tuple[Shift, ...] = ()
    finalizer: FinalizerChange = FinalizerChange.NONE
    trial: Apply | None = None  # asked by a dry run before the RolloutRun is made; a refusal is told, nothing begins
    create_run: RolloutRunSpec | None = None
    run_statuses: tuple[tuple[str, RolloutRunStatus], ...] = ()
    shifts: tuple[Shift, ...] = ()
    applies: tuple[Apply, ...] = ()
    patches: tuple[Patch, ...] = ()
    releases: tuple[Release, ...] = ()
    removals: tuple[Removal, ...] = ()
    measures: tuple[Measure, ...] = ()
    answers: tuple[Answer, ...] = ()
    notes: tuple[Note, ...] = ()
    delete_runs: tuple[str, ...] = ()
    wake_at: datetime | None = None


GROWING_VERBS = frozenset({Verb.PROMOTE, Verb.PROMOTE_FULLY, Verb.RETRY, Verb.UNDO, Verb.ROLLBACK, Verb.APPROVE})
