"""What one pass over a Rollout signs: what it tells itself, and what a known key signed before."""

from __future__ import annotations

import logging
from functools import cached_property

from sluice.api.audit import AuditedRollout
from sluice.api.rollout import Audit, AuditEntry, AuditSignature
from sluice.decide.audit import broken_at
from sluice.decide.signatures import Statement, vouched_since
from sluice.ports import AuditSigner

log = logging.getLogger(__name__)


class Signing:
    """Signs heads that continue what is stored.

    Whoever may write a status could otherwise have anything signed by writing it there: so a stored head counts only
    with its signature, and signing begins anew after one that has none.

    Args:
        signer: who has the key; None signs nothing.
        owner: whose entries they are.
        stored: as the status has them.
    """

    def __init__(self, signer: AuditSigner | None, owner: AuditedRollout, stored: Audit) -> None:
        self._signer = signer
        self.owner = owner
        self._stored = stored

    def of_head(self, audit: Audit) -> AuditSignature | None:
        """Of a chain's head, that this pass has appended to."""
        return self._sign(audit.seq, audit.head)

    def of_part(self, part: tuple[AuditEntry, ...]) -> AuditSignature | None:
        """Of stored entries that are to be sealed; None also where they don't lead to the stored head."""
        return self._sign(part[-1].seq, part[-1].hash) if self._leads_to_head else None

    def _sign(self, last: int, head: str) -> AuditSignature | None:
        if self._signer is None or last < self._since:
            return None
        return self._signer.sign(Statement(self.owner, self._since, last, head))

    @cached_property
    def _since(self) -> int:
        if self._signer is None:
            return 0
        since = vouched_since(self.owner, self._stored, self._signer.knows)
        if since > self._stored.seq > 0:
            rollout = f"{self.owner.namespace}/{self.owner.name}"
            log.warning(
                "no known key signed the audit so far: signing begins anew", extra={"rollout": rollout, "since": since}
            )
        return since

    @cached_property
    def _leads_to_head(self) -> bool:
        return self._signer is not None and broken_at(self._stored) is None
