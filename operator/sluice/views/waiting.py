"""Whether a Rollout has come to what somebody waits for, may still come to it, or never will. Pure.

Only a status that answers the present spec counts: its observedGeneration is the newest, and it speaks of the revision
that is asked for now. A Rollout whose template is another object's (`workloadRef`) is asked for something new without a
new generation of its own, and one that may not start yet is Healthy with the version before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sluice.api.conditions import ConditionType
from sluice.api.rollout import Phase, RolloutSpec
from sluice.decide.fleet import parts
from sluice.decide.metadata import mapping
from sluice.decide.revision import desired_of, template_hash
from sluice.errors import InvalidSpec
from sluice.views.detail import is_behind
from sluice.views.fields import Fields
from sluice.views.fleets import is_fleet
from sluice.views.rows import revision_of, running, stable_of


class Goal(StrEnum):
    """What can be waited for."""

    HEALTHY = "healthy"  # the version that is asked for serves, and no run is under way
    STARTED = "started"  # a run to it has begun, or is over already, well
    PAUSED = "paused"  # the run waits for a person, or for the release of a kill switch
    FINISHED = "finished"  # no run is under way any more, whatever came of it


class Prospect(StrEnum):
    """What is to be expected of going on waiting."""

    REACHED = "Reached"
    COMING = "Coming"
    TROUBLED = "Troubled"  # it is stalled or degraded, which may mend itself, or need somebody
    OVER = "Over"  # it ended otherwise


@dataclass(frozen=True, slots=True)
class Judgement:
    """What there is to expect, which of the goals was reached (None: none), and a sentence about it."""

    prospect: Prospect
    goal: Goal | None
    message: str


def source_of(rollout: Mapping[str, Any]) -> str:
    """The Deployment whose pod template is asked for; "" where it is no other object's."""
    return Fields(rollout).text("spec", "workload", "workloadRef", "name")


def asked_revision(rollout: Mapping[str, Any], source: Mapping[str, Any] | None) -> str | None:
    """The hash of the revision that is asked for now, by the operator's own arithmetic.

    Args:
        rollout: the Rollout.
        source: the Deployment that `source_of` names, if it could be read.

    Returns:
        None where that cannot be told: the spec means nothing, or there is no such Deployment.
    """
    try:
        spec = RolloutSpec.parse(rollout.get("spec"), "spec")
    except InvalidSpec:
        return None
    if spec.workload.workload_ref is not None:
        template = mapping(mapping((source or {}).get("spec")).get("template"))
        return template_hash(template) if template else None
    if is_fleet(Fields(rollout)) or spec.workload.template is not None:
        return parts.revision_of(spec)[0] or None
    desired = desired_of(spec)
    return desired.hash if desired is not None else None


def judge(rollout: Mapping[str, Any], goals: Sequence[Goal], asked: str | None) -> Judgement:
    """Tell what is to be expected.

    Args:
        rollout: the Rollout.
        goals: what is waited for; the first that is reached is named.
        asked: see `asked_revision`; None: observedGeneration alone tells whether the status is about the present spec.
    """
    case = _Case(Fields(rollout), asked)
    phase, message = case.status.text("phase"), case.status.text("message")
    if case.rollout.at("metadata", "deletionTimestamp"):
        return Judgement(Prospect.OVER, None, "it is being deleted")
    if is_behind(case.rollout) or not phase:
        return Judgement(Prospect.COMING, None, "the operator has not yet seen the newest change of the spec")
    reached = next((goal for goal in goals if _REACHED[goal](case)), None)
    if reached is not None:
        return Judgement(Prospect.REACHED, reached, message)
    if case.rejected or case.healthy:
        return Judgement(Prospect.OVER, None, message)
    stalled = case.stalled
    if stalled is not None or phase == Phase.DEGRADED:
        return Judgement(Prospect.TROUBLED, None, (stalled.text("message") if stalled else "") or message)
    if not case.known:
        return Judgement(Prospect.COMING, None, f"what is asked for now has not begun yet; {message}")
    return Judgement(Prospect.COMING, None, message)


@dataclass(frozen=True, slots=True)
class _Case:
    """A Rollout whose status is of the newest generation."""

    rollout: Fields
    asked: str | None

    @property
    def status(self) -> Fields:
        return self.rollout.at("status")

    @property
    def stalled(self) -> Fields | None:
        for condition in self.status.items("conditions"):
            if condition.text("type") == ConditionType.STALLED and condition.text("status") == "True":
                return condition
        return None

    @property
    def healthy(self) -> bool:
        return self.status.text("phase") == Phase.HEALTHY and self._is_asked(stable_of(self.status))

    @property
    def under_way(self) -> bool:
        return running(self.status) and self._is_asked(revision_of(self.status))

    @property
    def paused(self) -> bool:
        return self.under_way and self.status.text("phase") == Phase.PAUSED and self.stalled is None

    @property
    def known(self) -> bool:
        return self._is_asked(revision_of(self.status)) or self._is_asked(stable_of(self.status))

    @property
    def rejected(self) -> bool:
        """Whether what is asked for was aborted or killed, and nothing tries it again by itself."""
        if self.status.text("phase") not in {Phase.ABORTED, Phase.KILLED}:
            return False
        named = self.status.at("rejected").value
        known = named if isinstance(named, list) else []
        return self.asked is None or self.asked in known or self._is_asked(revision_of(self.status))

    def _is_asked(self, revision: Fields) -> bool:
        return self.asked is None or revision.text("hash") == self.asked


_REACHED = {
    Goal.HEALTHY: lambda case: case.healthy,
    Goal.STARTED: lambda case: case.under_way or case.healthy,
    Goal.PAUSED: lambda case: case.paused,
    Goal.FINISHED: lambda case: case.healthy or case.rejected,
}
