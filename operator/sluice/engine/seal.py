"""Entries are sealed before they leave a status, so that no crash between two writes loses one."""

from __future__ import annotations

import asyncio
import logging

from sluice.api.audit import AuditedRollout, AuditSegmentSpec
from sluice.api.conditions import Reason
from sluice.api.rollout import Audit, AuditEntry, RolloutStatus
from sluice.decide.audit import HELD_ENTRIES, MAX_ENTRIES, held, next_sealed, overflows, trimmed
from sluice.decide.model import Note
from sluice.engine.signing import Signing
from sluice.engine.store import Obj
from sluice.engine.writes import About, Ports
from sluice.errors import NotLeader, SluiceError, Unavailable

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 2.0  # what a run aborts for is written after the status, and that after this


class Sealer:
    """Seals what a status has too much of, and signs what is told, where there is a key.

    Args:
        ports: the world.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def seal(self, rollout: Obj, observed: About, planned: RolloutStatus) -> RolloutStatus:
        """Seal what is beyond the bounds; nothing in a pass that tells nothing new.

        A failure keeps nothing from being done: the entries stay where they are, and are sealed by a later pass. People
        are told when that begins, and again when there are so many that the oldest are lost.

        Returns:
            The status to write, without what is sealed, its head signed.

        Raises:
            NotLeader: this process may not write any more.
        """
        audit, stored = planned.audit, observed.status.audit
        if audit.seq == stored.seq:
            return planned
        signing = self._signing(observed, stored)
        until, why = asyncio.get_running_loop().time() + PATIENCE_SECONDS, "more was told at once than a status holds"
        failed = False
        while overflows(audit) and (part := next_sealed(audit, stored.seq)):
            try:
                audit = trimmed(audit, await self._keep(signing, part, until))
            except NotLeader:
                raise
            except SluiceError as error:
                failed, why = True, str(error)
                break
        fits = held(audit)
        if failed or fits is not audit:
            self._tell(rollout, observed, audit, fits, why)
        audit = fits.model_copy(update={"signature": signing.of_head(audit)})
        return planned.model_copy(update={"audit": audit})

    async def seal_all(self, rollout: Obj, observed: About, stored: Audit) -> None:
        """Seal all that is left of a Rollout that is about to go.

        Its deletion does not wait for that where it fails: the entries are lost then, but for the log.

        Args:
            rollout: the object.
            observed: whose entries they are.
            stored: as its status has them.

        Raises:
            NotLeader: this process may not write any more.
        """
        audit, signing = stored, self._signing(observed, stored)
        try:
            while part := next_sealed(audit, stored.seq):
                until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
                audit = trimmed(audit, await self._keep(signing, part, until))
        except NotLeader:
            raise
        except SluiceError as error:
            message = f"entries {audit.entries[0].seq} to {stored.seq} of the audit go with the Rollout: {error}"
            self._note(rollout, observed, message)

    async def _keep(self, signing: Signing, part: tuple[AuditEntry, ...], until: float) -> int:
        """Seal a part. What was sent and not answered in time may be kept: the next try meets an equal segment."""
        segment = AuditSegmentSpec.of(signing.owner, part).signed(signing.of_part(part))
        try:
            async with asyncio.timeout_at(until):
                return await self._ports.archive.seal(segment)
        except TimeoutError:
            raise Unavailable(f"segments were not answered within {PATIENCE_SECONDS:g} s") from None

    def _signing(self, observed: About, stored: Audit) -> Signing:
        ref = observed.ref
        owner = AuditedRollout(namespace=ref.namespace, name=ref.name, uid=ref.uid, cluster=self._ports.name or None)
        return Signing(self._ports.signer, owner, stored)

    def _tell(self, rollout: Obj, observed: About, audit: Audit, fits: Audit, why: str) -> None:
        before, now = observed.status.audit.entries, fits.entries
        lost = fits is not audit
        if lost:
            message = f"audit entries {audit.entries[0].seq} to {now[0].seq - 1} are lost but for the log: {why}"
        else:
            message = f"the oldest audit entries can't be sealed, so {len(now)} wait in the status: {why}"
        if lost or len(before) <= MAX_ENTRIES or len(now) >= HELD_ENTRIES:
            self._note(rollout, observed, message)

    def _note(self, rollout: Obj, observed: About, message: str) -> None:
        log.warning("audit entries can't be sealed", extra={"rollout": str(observed.ref), "error": message})
        self._ports.notifier.note(rollout, Note(True, Reason.AUDIT_NOT_SEALED, message))
