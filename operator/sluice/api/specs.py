"""The model of each kind's spec."""

from __future__ import annotations

from sluice.api.action import RolloutActionSpec
from sluice.api.analysis import AnalysisTemplateSpec
from sluice.api.audit import AuditSegmentSpec
from sluice.api.common import Model
from sluice.api.fleet import FleetRunSpec
from sluice.api.killswitch import KillSwitchSpec
from sluice.api.member import MemberClusterSpec
from sluice.api.names import Kind
from sluice.api.policy import RolloutPolicySpec
from sluice.api.rollout import RolloutSpec
from sluice.api.run import RolloutRunSpec

SPEC_MODELS: dict[Kind, type[Model]] = {
    Kind.ROLLOUT: RolloutSpec,
    Kind.ROLLOUT_RUN: RolloutRunSpec,
    Kind.ROLLOUT_ACTION: RolloutActionSpec,
    Kind.KILL_SWITCH: KillSwitchSpec,
    Kind.CLUSTER_KILL_SWITCH: KillSwitchSpec,
    Kind.ANALYSIS_TEMPLATE: AnalysisTemplateSpec,
    Kind.CLUSTER_ANALYSIS_TEMPLATE: AnalysisTemplateSpec,
    Kind.ROLLOUT_POLICY: RolloutPolicySpec,
    Kind.MEMBER_CLUSTER: MemberClusterSpec,
    Kind.FLEET_RUN: FleetRunSpec,
    Kind.AUDIT_SEGMENT: AuditSegmentSpec,
    Kind.MEMBER_ROLLOUT: RolloutSpec,
    Kind.MEMBER_ROLLOUT_RUN: RolloutRunSpec,
}
