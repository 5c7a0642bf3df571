"""Audit entries as log lines, for whatever collects the operator's log."""

from __future__ import annotations

import logging

from sluice.api.common import ObjectRef
from sluice.api.rollout import Audit

_log = logging.getLogger("sluice.audit")


class LogAudit:
    """Implements `ports.AuditSink`. Each entry is one line of the logger `sluice.audit`."""

    def follow(self, rollout: ObjectRef, cluster: str, audit: Audit, since: int) -> None:  # noqa: ARG002 - the port's
        """Log each new entry, whole, with its hash."""
        for entry in audit.entries:
            if entry.seq > since:
                told = {"rollout": str(rollout), "rollout_uid": rollout.uid, "audit": entry.dump()}
                _log.info("audit", extra=told)
