"""KillSwitch (one namespace) and ClusterKillSwitch (all, or by namespaceSelector)."""

from __future__ import annotations

from enum import StrEnum

from sluice.api.autotrip import AutoTrip, TrippedBy, Watch
from sluice.api.common import LabelSelector, Model
from sluice.api.conditions import Condition
from sluice.api.drill import LastDrill
from sluice.api.units import Duration, Time


class Effect(StrEnum):
    """What an engaged switch does. The strictest of overlapping ones counts: Hold < Divert < Rollback."""

    HOLD = "Hold"
    DIVERT = "Divert"
    ROLLBACK = "Rollback"

    @property
    def strictness(self) -> int:
        """Greater is stricter."""
        return (Effect.HOLD, Effect.DIVERT, Effect.ROLLBACK).index(self)

    @property
    def diverts(self) -> bool:
        """Whether it takes the candidate's traffic away."""
        return self is not Effect.HOLD


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
    force: bool = False  # of what diverts: also where stable cannot take the traffic
    forced_by: str = ""  # stamped by the API server
    expires: Duration | None = None  # of a Hold: how long it holds
    auto_trip: AutoTrip | None = None  # what has it engage itself
    drill: bool = False  # the engagement is a drill, and ends by itself


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
    """How far a Divert or Rollback is: routes at 0 and confirmed, and those that are not yet.

    `unconfirmed` names the members in which it is not, as many as there is room for.
    """

    routes: int = 0
    pending: int = 0
    unconfirmed: tuple[str, ...] = ()


# Rollouts that a status has room for, see `deleted`.
MOST_DELETED = 256


class KillSwitchStatus(Model):
    """Status of both kinds.

    `deleted`: Rollouts that it covered when they were deleted, `<namespace>/<name>`, each with a digest of the scope by
    which it did. Who is created by that name is covered from the start.
    """

    observed_generation: int = 0
    state: SwitchState = SwitchState.ARMED
    message: str = ""
    affected: Affected = Affected()
    diverted: Diverted = Diverted()
    deleted: dict[str, str] = {}
    engaged_at: Time | None = None
    effective_at: Time | None = None
    last_drill: LastDrill | None = None  # under way, or the last one
    watch: Watch | None = None  # while it is armed and has something to measure
    tripped_by: TrippedBy | None = None  # what had it engage itself, until it is released
    conditions: tuple[Condition, ...] = ()
