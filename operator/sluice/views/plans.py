"""What applying files would do, as `sluice plan` tells it. Data only; `-o json` gives it with camelCase keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What the operator would do first about a Rollout."""

    ADOPT = "Adopt"  # see it for the first time, and take what serves as stable
    START = "Start"  # begin a run
    WAIT = "Wait"  # want to begin one, and be held
    SUPERSEDE = "Supersede"  # end the run under way for another version
    RETURN = "Return"  # end the run under way, for stable is asked for again
    KILL = "Kill"  # end the run under way by a kill switch
    COMPLETE = "Complete"  # bring the run under way to its good end
    END = "End"  # end the run under way otherwise
    GO_ON = "GoOn"  # leave the run under way as it is
    NEEDS_RETRY = "NeedsRetry"  # nothing: this version was aborted or killed, and needs a person's retry
    STALL = "Stall"  # nothing, for something has to be mended first
    NOTHING = "Nothing"  # nothing: what is asked for serves
    FLEET = "Fleet"  # it goes over a fleet: told are its batches, and what holds it
    UNKNOWN = "Unknown"  # nobody can tell with the rights that there are


@dataclass(frozen=True, slots=True)
class ObjectLine:
    """An object of the files. `result` is created, changed, unchanged, refused or unreadable."""

    where: str
    kind: str
    namespace: str
    name: str
    result: str
    changed: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class HoldLine:
    """What holds a Rollout now. `until` is a time (RFC 3339), or "" where it waits for somebody or something."""

    kind: str
    name: str
    message: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class RevisionLine:
    """A version and where it is. `number` is 0 of what was adopted, or has no run yet."""

    slot: str
    version: str
    hash: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class CourseLine:
    """One moment of the course.

    `seconds` are from now. `needs` says what a person has to do before it goes on; "" where it goes on by itself.
    """

    seconds: int
    message: str
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """How a run would go, were every analysis to pass, every pod to come up, and everybody to answer at once.

    `done_seconds` is how long it takes at least; None where it does not come to a good end: then `end` says why.
    """

    lines: tuple[CourseLine, ...] = ()
    done_seconds: int | None = None
    end: str = ""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch of a fleet as a run that begins now would have it; what comes before it, and after it, is in words."""

    name: str
    clusters: tuple[str, ...]
    at_once: int
    may_fail: int
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """What would become of a Rollout.

    `next_run_only` are those of the changed fields that a run under way keeps as they were. `writes` are the first
    writes to routes, Services, Deployments and RolloutRuns, in order. `batches` are those of one over a fleet.
    """

    namespace: str
    name: str
    verdict: Verdict
    message: str
    stable: RevisionLine | None = None
    candidate: RevisionLine | None = None
    changed: tuple[str, ...] = ()
    next_run_only: tuple[str, ...] = ()
    holds: tuple[HoldLine, ...] = ()
    writes: tuple[str, ...] = ()
    course: Course | None = None
    batches: tuple[BatchLine, ...] = ()


@dataclass(frozen=True, slots=True)
class GuardPlan:
    """What a kill switch or policy of the files would do: what it says of itself, and the Rollouts that it covers."""

    kind: str
    namespace: str
    name: str
    state: str
    message: str
    covers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanPage:
    """All of it. `assumed` is what it rests on that is not known; `unknown` what could not be read."""

    objects: tuple[ObjectLine, ...]
    rollouts: tuple[RolloutPlan, ...] = ()
    guards: tuple[GuardPlan, ...] = ()
    skipped: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether any object cannot be applied."""
        return any(each.result in {"refused", "unreadable"} for each in self.objects)
