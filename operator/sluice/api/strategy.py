"""How a revision is let through: a canary's steps, or blue-green."""

from __future__ import annotations

from sluice.api.analysis import Analysis
from sluice.api.approval import Approval
from sluice.api.common import Model
from sluice.api.units import Duration, Share
from sluice.api.workload import CanarySize


class Pause(Model):
    """A wait: for a duration, or (empty) for a person."""

    duration: Duration | None = None


class Step(Model):
    """Exactly one of the fields is set."""

    set_weight: Share | None = None
    pause: Pause | None = None
    analysis: Analysis | None = None
    set_canary_scale: CanarySize | None = None
    approval: Approval | None = None


class Canary(Model):
    """Steps in order. A last `setWeight: 100` is implied.

    `canary_size` holds until a `setCanaryScale` step; `dynamic_stable` lets the stable slot shrink as weight leaves it.
    """

    steps: tuple[Step, ...]
    canary_size: CanarySize = CanarySize()
    dynamic_stable: bool = False


class BlueGreen(Model):
    """All at once, with checks before and after."""

    pre_promotion: Analysis | None = None
    auto_promote: bool = True
    post_promotion: Analysis | None = None
    watch: Duration | None = None


class Strategy(Model):
    """Exactly one of the two is set."""

    canary: Canary | None = None
    blue_green: BlueGreen | None = None
