"""What the engine tells of itself: counts, durations, and a reconcile id for every log line of a pass."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sluice.api.conditions import ConditionType, condition_of
from sluice.api.names import Kind
from sluice.api.rollout import RolloutStatus
from sluice.ports import Clock

# Merged into every log line by the log formatter.
log_context: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("log_context")


class Meter(Protocol):
    """Where numbers go."""

    def observe_pass(self, kind: str, seconds: float) -> None:
        """One pass took so long."""
        ...

    def count_failure(self, cause: str) -> None:
        """One pass failed."""
        ...

    def observe_kill(self, seconds: float) -> None:
        """All weight writes of one engagement took so long, from the event to the last answer."""
        ...


class NoMeter:
    """Numbers nobody reads (sim, tests)."""

    def observe_pass(self, kind: str, seconds: float) -> None:
        """Forgets it."""

    def count_failure(self, cause: str) -> None:
        """Forgets it."""

    def observe_kill(self, seconds: float) -> None:
        """Forgets it."""


class Telemetry:
    """Times passes and names them."""

    def __init__(self, clock: Clock, meter: Meter) -> None:
        self._clock = clock
        self._meter = meter
        self._passes = 0

    @contextmanager
    def reconcile(self, key: tuple[Kind, str, str]) -> Iterator[None]:
        """Around one pass."""
        self._passes += 1
        began = self._clock.monotonic()
        fields = {"object": f"{key[0]} {key[1]}/{key[2]}", "reconcile_id": f"{self._passes:x}"}
        if key[0] is Kind.ROLLOUT:
            fields["rollout"] = f"{key[1]}/{key[2]}"
        token = log_context.set(fields)
        try:
            yield
        finally:
            log_context.reset(token)
            self._meter.observe_pass(key[0].value, self._clock.monotonic() - began)

    def decided(self, status: RolloutStatus) -> None:
        """Have the rest of the pass' lines say where the Rollout's run is, and why."""
        fields = {"phase": status.phase or ""}
        if status.revision is not None:
            fields["revision"] = str(status.revision.number)
        if status.step is not None:
            fields["step"] = f"{status.step.index}/{status.step.of} {status.step.kind}"
        progressing = condition_of(status.conditions, ConditionType.PROGRESSING)
        if progressing is not None:
            fields["reason"] = progressing.reason
        log_context.set({**log_context.get({}), **fields})

    def killed(self, seconds: float) -> None:
        """Time an engagement."""
        self._meter.observe_kill(seconds)

    def failed(self, cause: str) -> None:
        """Count a failure by its kind."""
        self._meter.count_failure(cause)
