"""Condition types and reasons, and how a condition list changes.

`Ready`, `Reconciling` and `Stalled` follow kstatus: `Reconciling` and `Stalled` are present only while True.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from sluice.api.common import Model
from sluice.api.units import Time


class ConditionType(StrEnum):
    """The condition types of a Rollout, of a kill switch and of a member cluster."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    ANALYSIS_PASSED = "AnalysisPassed"
    TRAFFIC_CONFIRMED = "TrafficConfirmed"
    KILLED = "Killed"
    EFFECTIVE = "Effective"  # kill switches, as the next
    WATCHING = "Watching"
    REACHABLE = "Reachable"  # member clusters, as the next
    AUTHORIZED = "Authorized"


class Reason(StrEnum):
    """Every reason that a condition, event or audit entry can carry."""

    # going well
    ADOPTED = "Adopted"
    RUN_STARTED = "RunStarted"
    STEP_STARTED = "StepStarted"
    STEPPING = "Stepping"
    WEIGHT_CHANGED = "WeightChanged"
    COMPLETED = "Completed"
    STABLE_SERVES = "StableServes"
    CONFIRMED = "Confirmed"
    MEASURING = "Measuring"
    MEASUREMENTS_PASS = "MeasurementsPass"  # noqa: S105 - a reason
    NO_ANALYSIS = "NoAnalysis"
    IDLE = "Idle"
    # waiting
    PAUSE_STEP = "PauseStep"
    AWAITS_PROMOTION = "AwaitsPromotion"
    WAITS_FOR_APPROVAL = "WaitsForApproval"
    APPROVAL_EXPIRED = "ApprovalExpired"
    WATCHING = "Watching"
    ANALYSING = "Analysing"
    PAUSED_BY_SPEC = "PausedBySpec"
    PAUSED_BY_ACTION = "PausedByAction"
    HELD_BY_ACTION = "HeldByAction"
    HOLD_ENDED = "HoldEnded"
    HELD_BY_SWITCH = "HeldBySwitch"
    HELD_BY_POLICY = "HeldByPolicy"
    WAITS_FOR_ENDPOINTS = "WaitsForEndpoints"
    WAITS_FOR_BASELINE = "WaitsForBaseline"
    NOT_CONFIRMED = "NotConfirmed"
    ANALYSIS_HOLDS = "AnalysisHolds"
    NO_MEASUREMENT = "NoMeasurement"
    STABLE_CAPACITY = "StableCapacity"
    DRAINING = "Draining"
    DISRUPTION_BUDGET = "DisruptionBudget"
    HELD_BY_HAND = "HeldByHand"
    WAITS_FOR_FLEET = "WaitsForFleet"
    # fleets
    WAITS_FOR_CLUSTERS = "WaitsForClusters"
    CLUSTER_LOST = "ClusterLost"
    CLUSTER_BACK = "ClusterBack"
    CLUSTER_LEFT = "ClusterLeft"
    CLUSTER_FAILED = "ClusterFailed"
    TOO_MANY_FAILED = "TooManyFailed"
    BATCH_STARTED = "BatchStarted"
    BATCH_DONE = "BatchDone"
    BATCH_PAUSE = "BatchPause"
    SOAKING = "Soaking"
    SOAKED = "Soaked"
    NO_CLUSTERS = "NoClusters"
    CLUSTER_UNASSIGNED = "ClusterUnassigned"
    CLUSTER_UNKNOWN = "ClusterUnknown"
    NAMESPACE_REFUSED = "NamespaceRefused"
    # ended early
    METRIC_FAILED = "MetricFailed"
    METRIC_ERRORS = "MetricErrors"
    METRIC_NO_DATA = "MetricNoData"
    METRIC_INCONCLUSIVE = "MetricInconclusive"
    TOO_FEW_SAMPLES = "TooFewSamples"
    CANDIDATE_LOST = "CandidateLost"
    CONTAINER_FAILS = "ContainerFails"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    ABORTED_BY_ACTION = "AbortedByAction"
    REJECTED_BY_ACTION = "RejectedByAction"
    UNDONE_BY_ACTION = "UndoneByAction"
    ROLLED_BACK = "RolledBack"
    KILLED_BY_SWITCH = "KilledBySwitch"
    SUPERSEDED = "Superseded"
    RETURNED_TO_STABLE = "ReturnedToStable"
    DELETED = "Deleted"
    # wrong
    INVALID_SPEC = "InvalidSpec"
    SERVICE_MISSING = "ServiceMissing"
    ROUTE_MISSING = "RouteMissing"
    ROUTE_UNSUITABLE = "RouteUnsuitable"
    ROUTE_CLAIMED = "RouteClaimed"
    ROUTE_REFUSED = "RouteRefused"
    TEMPLATE_MISSING = "TemplateMissing"
    TEMPLATE_INVALID = "TemplateInvalid"
    TEMPLATE_REFUSED = "TemplateRefused"
    SOURCE_MISSING = "SourceMissing"
    NAME_TAKEN = "NameTaken"
    EXPOSED_OUTSIDE_WEIGHT = "ExposedOutsideWeight"
    FOREIGN_WRITER = "ForeignWriter"
    NO_HEALTHY_STABLE = "NoHealthyStable"
    RUN_LOST = "RunLost"
    FORBIDDEN = "Forbidden"
    WRITE_REFUSED = "WriteRefused"
    AUDIT_NOT_SEALED = "AuditNotSealed"
    # kill switches that trip by themselves
    TRIPPED = "Tripped"
    DRILLED = "Drilled"
    LATCHED = "Latched"
    BUDGET_UNKNOWN = "BudgetUnknown"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    # member clusters
    MEMBER_READY = "MemberReady"
    ANSWERS = "Answers"
    RIGHTS_GRANTED = "RightsGranted"
    CONNECTING = "Connecting"
    NO_ANSWER = "NoAnswer"
    NOT_KUBERNETES = "NotKubernetes"
    CREDENTIALS_REFUSED = "CredentialsRefused"
    RIGHTS_MISSING = "RightsMissing"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason
    KUBECONFIG_REFUSED = "KubeconfigRefused"
    ADDRESS_REFUSED = "AddressRefused"
    SAME_CLUSTER = "SameCluster"
    # actions
    ACTION_DONE = "ActionDone"
    ACTION_REJECTED = "ActionRejected"


Status = Literal["True", "False", "Unknown"]


class Condition(Model):
    """A Kubernetes condition."""

    type: str
    status: Status
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: Time


def condition_of(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type, if present."""
    return next((condition for condition in conditions if condition.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether the condition is present and True."""
    found = condition_of(conditions, kind)
    return found is not None and found.status == "True"


def merge_conditions(old: Iterable[Condition], new: Iterable[Condition], now: datetime) -> tuple[Condition, ...]:
    """Take the new list, keeping `lastTransitionTime` where the status did not change. Pure."""
    before = {condition.type: condition for condition in old}
    return tuple(
        condition.model_copy(
            update={
                "last_transition_time": before[condition.type].last_transition_time
                if condition.type in before and before[condition.type].status == condition.status
                else now
            }
        )
        for condition in new
    )
