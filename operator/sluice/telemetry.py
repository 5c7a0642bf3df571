"""JSON log lines and Prometheus metrics of the operator process."""

from __future__ import annotations

import logging
import sys

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pythonjsonlogger.json import JsonFormatter

from sluice.engine.telemetry import log_context

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_QUIET = ("kopf", "kopf.objects", "kopf._core", "kopf.activities", "aiohttp.access")


class _ContextFilter(logging.Filter):
    """Adds the reconcile id and object of the pass that logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in log_context.get({}).items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def configure_logging(level: str) -> None:
    """One JSON object per line on stderr; other libraries only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_ContextFilter())
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("sluice").setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns that it handles no signals; we do.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)


class PrometheusMeter:
    """Implements `engine.telemetry.Meter`, and holds the registry that /metrics shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._passes = Histogram(
            "sluice_reconcile_seconds",
            "Duration of one pass over one object.",
            ["kind"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._failures = Counter(
            "sluice_reconcile_failures_total",
            "Passes that failed and are tried again.",
            ["cause"],
            registry=self.registry,
        )
        self._kills = Histogram(
            "sluice_kill_seconds",
            "From the event of an engaged Divert or Rollback to the answer of its last weight write.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.shards = Gauge("sluice_shards", "How many shards this process holds.", registry=self.registry)
        self.shard = Gauge("sluice_shard", "1 for each that it holds.", ["shard"], registry=self.registry)
        self.backlog = Gauge("sluice_queue_depth", "Objects that wait for a pass.", registry=self.registry)
        self.rollouts = Gauge("sluice_rollouts", "Rollouts by phase.", ["phase"], registry=self.registry)
        self.switches = Gauge("sluice_kill_switches", "Kill switches by state.", ["state"], registry=self.registry)
        self.sights = Gauge(
            "sluice_kill_switch_watches",
            "Kill switches that trip by themselves, by how well they see.",
            ["sight"],
            registry=self.registry,
        )
        self.members = Gauge("sluice_member_clusters", "Member clusters by state.", ["state"], registry=self.registry)

        self.waiting = Gauge("sluice_audit_waiting", "Audit events that nobody took yet.", registry=self.registry)
        self._events = Counter(
            "sluice_audit_events_total", "Audit events by what became of them.", ["outcome"], registry=self.registry
        )

    def count_events(self, outcome: str, number: int) -> None:
        """Audit events were sent or dropped, or a request failed."""
        self._events.labels(outcome).inc(number)

    def observe_pass(self, kind: str, seconds: float) -> None:
        """One pass took so long."""
        self._passes.labels(kind).observe(seconds)

    def observe_kill(self, seconds: float) -> None:
        """All weight writes of one engagement took so long."""
        self._kills.observe(seconds)

    def count_failure(self, cause: str) -> None:
        """One pass failed."""
        self._failures.labels(cause).inc()
