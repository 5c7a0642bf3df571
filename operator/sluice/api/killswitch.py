"""KillSwitch (one namespace) and ClusterKillSwitch (all, or by namespaceSelector)."""

from __future__ import annotations

from enum import StrEnum

from sluice.api.common import LabelSelector, Model
from sluice.api.conditions import Condition
from sluice.api.units import Duration, Time


class Effect(StrEnum):
    """What an engaged switch does to the candidate. The strictest of overlapping ones counts: Hold < Divert."""

    HOLD = "Hold"
    DIVERT = "Divert"

    @property
    def strictness(self) -> int:
        """Greater is stricter."""
        return (Effect.HOLD, Effect.DIVERT).index(self)


class Scope(Model):
    """Which Rollouts are covered, by all that is said. Empty: all in reach. `namespaceSelector` is ClusterKillSwitch's.

    With `clusters` it is only the parts of Rollouts over a fleet in those members, by the labels of MemberClusters.
    Platforms and actions are values of the labels `sluice.dev/platform` and `sluice.dev/action`; one of each is enough.
    """

    selector: LabelSelector = LabelSelector()
    namespace_selector: LabelSelector = LabelSelector()
    clusters: LabelSelector = LabelSelector()
    platforms: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


class KillSwitchSpec(Model):
    """Spec of both kinds. No default for `engaged`: Git may leave it out."""

    engaged: bool = False
    reason: str = ""
    engaged_by: str = ""  # stamped by the API server
    release_reason: str = ""
    scope: Scope = Scope()
    effect: Effect = Effect.DIVERT
    force: bool = False  # of a Divert: also where stable cannot take the traffic
    forced_by: str = ""  # stamped by the API server
    expires: Duration | None = None  # of a Hold: how long it holds


class Coverage(Model):
    """A switch that covers a Rollout, as that keeps it in its status: it goes on covering it, however it is relabelled.

    `scope` is a digest of the switch's scope: who may change that while it is engaged lets go what it no longer covers.
    """

    switch: str  # kind and name
    uid: str
    scope: str
    effect: str = ""
    engaged_by: str = ""
    reason: str = ""


class SwitchState(StrEnum):
    """At a glance."""

    ARMED = "Armed"
    ENGAGING = "Engaging"
    ENGAGED = "Engaged"
    EXPIRED = "Expired"


class Affected(Model):
    """How much a switch covers now."""

    rollouts: int = 0
    clusters: int = 0  # members that those go over
    routes: int = 0


class Diverted(Model):
    """How far a Divert is: routes at 0 and confirmed, and those that are not yet.

    `unconfirmed` names the members in which it is not, as many as there is room for.
    """

    routes: int = 0
    pending: int = 0
    unconfirmed: tuple[str, ...] = ()


class KillSwitchStatus(Model):
    """Status of both kinds."""

    observed_generation: int = 0
    state: SwitchState = SwitchState.ARMED
    message: str = ""
    affected: Affected = Affected()
    diverted: Diverted = Diverted()
    engaged_at: Time | None = None
    effective_at: Time | None = None
    conditions: tuple[Condition, ...] = ()
