"""Audit entries as log lines, for whatever collects the operator's stdout."""

from __future__ import annotations

import logging

from sluice.api.common import ObjectRef
from sluice.api.rollout import AuditEntry

_log = logging.getLogger("sluice.audit")


class LogAudit:
    """Implements `ports.AuditSink`. Each entry is one line of the logger `sluice.audit`."""

    def record(self, rollout: ObjectRef, entry: AuditEntry) -> None:
        """Log one entry, whole, with its hash."""
        _log.info("audit", extra={"rollout": str(rollout), "rollout_uid": rollout.uid, "audit": entry.dump()})
