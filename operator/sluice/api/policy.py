"""RolloutPolicy: guardrails for many Rollouts. Cluster-scoped."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from sluice.api.approval import PolicyApproval
from sluice.api.common import LabelSelector, Model
from sluice.api.conditions import Condition
from sluice.api.errorbudget import BudgetStatus, ErrorBudget
from sluice.api.units import Duration, Time

CRON_FIELDS = 5
_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)


class WindowKind(StrEnum):
    """What an open window does."""

    ALLOW = "Allow"  # exposure grows only while one such window is open
    DENY = "Deny"  # a freeze: exposure does not grow while it is open


class Window(Model):
    """A time that comes again: open for `duration` from each moment that `schedule` tells, in `time_zone`.

    The duration is what passes on a clock that knows no daylight saving time.
    """

    name: str = ""
    kind: WindowKind
    schedule: str  # cron, five fields, as Debian's: minute, hour, day of month, month, day of week
    duration: Duration
    time_zone: str = "UTC"  # of the tz database

    @field_validator("schedule")
    @classmethod
    def _comes_again(cls, schedule: str) -> str:
        if len(schedule.split()) != CRON_FIELDS:
            raise ValueError(f"a schedule has five fields, such as '0 9 * * 1-5', not {schedule!r}")
        try:
            CronSim(schedule, _SOME_DAY)
        except CronSimError as problem:
            raise ValueError(f"no cron schedule: {problem} in {schedule!r}") from problem
        return schedule

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, KeyError) as problem:
            raise ValueError(f"unknown time zone {name!r}: write one such as Europe/Berlin") from problem
        return name


class RequireStable(Model):
    """Rollouts that go first: each has to serve a version for so long before others begin with it."""

    namespace_selector: LabelSelector = LabelSelector()
    selector: LabelSelector = LabelSelector()
    for_: Duration = Field(alias="for")


class RolloutPolicySpec(Model):
    """Spec. It covers the Rollouts that both selectors match; empty: all.

    `max_concurrent` and `min_interval` are about runs: how many are under way at a time, and how long after one another
    they begin.
    """

    namespace_selector: LabelSelector = LabelSelector()
    selector: LabelSelector = LabelSelector()
    windows: tuple[Window, ...] = ()
    max_concurrent: int | None = None
    min_interval: Duration | None = None
    require_stable: RequireStable | None = None
    approval: PolicyApproval | None = None
    error_budget: ErrorBudget | None = None

    @property
    def rations(self) -> bool:
        """Whether runs have to wait for their turn."""
        return self.max_concurrent is not None or self.min_interval is not None


class Turn(Model):
    """A Rollout whose run may begin. Kept until the run is under way, or nobody asks for it any more.

    `since` is that of the Rollout's `status.queued`, which it answers.
    """

    rollout: str  # namespace/name
    uid: str
    since: Time


class PolicyState(StrEnum):
    """At a glance."""

    OPEN = "Open"  # by its windows, exposure may grow
    FROZEN = "Frozen"  # by its windows, it may not
    HALTED = "Halted"  # its error budget is used up, burns too fast, or is not known
    INVALID = "Invalid"  # it cannot be read, so nothing that it covers grows


class Covered(Model):
    """How many Rollouts a policy covers; of those, how many have a run under way, and how many wait for their turn."""

    rollouts: int = 0
    under_way: int = 0
    waiting: int = 0


class RolloutPolicyStatus(Model):
    """Status of a RolloutPolicy. `turns` and `last_turn_at` are the operator's record: it survives a crash."""

    observed_generation: int = 0
    state: PolicyState = PolicyState.OPEN
    until: Time | None = None  # when the state changes next, by the windows
    message: str = ""
    covered: Covered = Covered()
    budget: BudgetStatus | None = None
    turns: tuple[Turn, ...] = ()
    last_turn_at: Time | None = None
    conditions: tuple[Condition, ...] = ()
