"""How tallies of what the hub measures are kept: their scopes in a status, their record in a FleetRun. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sluice.api.fleet import MetricRecord
from sluice.api.rollout import MetricStatus

FLEET = "fleet"


def scope_of(batch: str) -> str:
    """The scope of a batch's tallies: another one for each, so that no late answer counts for the next."""
    return f"batch-{batch}"


def recorded(tallies: Iterable[MetricStatus], scope: str) -> tuple[MetricRecord, ...]:
    """The tallies of a scope as a FleetRun keeps them."""
    return tuple(
        MetricRecord(
            name=tally.name,
            phase=tally.phase.value,
            value=tally.value,
            threshold=tally.threshold,
            passes=tally.passes,
            failures=tally.failures,
            measured_at=tally.measured_at,
            message=tally.message,
        )
        for tally in tallies
        if tally.scope == scope
    )
