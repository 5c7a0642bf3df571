"""Audit entries as AuditSegments in the operator's namespace."""

from __future__ import annotations

from sluice.api.audit import AuditSegmentSpec, segment_name
from sluice.api.names import API_VERSION, ROLLOUT_LABEL, ROLLOUT_NAMESPACE_LABEL, ROLLOUT_UID_LABEL, Kind
from sluice.api.units import JSON
from sluice.decide.audit import SEALED_ENTRIES
from sluice.errors import Conflict, InvalidSpec, NotFound
from sluice.ports import Cluster


class SegmentArchive:
    """Implements `ports.AuditArchive`. It only creates and reads: no segment is changed or deleted.

    Args:
        cluster: the hub.
        namespace: the operator's own.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    async def seal(self, segment: AuditSegmentSpec) -> int:
        """Create the segment, or compare it with the one that is there."""
        try:
            await self._cluster.create(Kind.AUDIT_SEGMENT, self._namespace, self._body(segment))
        except Conflict:
            return await self._last_of_known(segment)
        return segment.last

    async def ending_before(self, uid: str, seq: int) -> AuditSegmentSpec | None:
        """Try the names that it can have, that of a full one first: the operator may not list segments."""
        for first in range(max(1, seq - SEALED_ENTRIES), seq):
            name = segment_name(uid, first)
            try:
                found = await self._cluster.get(Kind.AUDIT_SEGMENT, self._namespace, name)
                spec = AuditSegmentSpec.parse(found.get("spec"), f"AuditSegment {self._namespace}/{name}")
            except (NotFound, InvalidSpec):
                continue
            if (spec.rollout.uid, spec.last) == (uid, seq - 1):
                return spec
        return None

    async def _last_of_known(self, segment: AuditSegmentSpec) -> int:
        where = f"AuditSegment {self._namespace}/{segment.name}"
        try:
            found = await self._cluster.get(Kind.AUDIT_SEGMENT, self._namespace, segment.name)
            known = AuditSegmentSpec.parse(found.get("spec"), where)
        except NotFound as error:
            raise Conflict(f"{where} was there, and is gone: somebody deletes segments") from error
        except InvalidSpec as error:
            raise Conflict(f"{where} is there already, and can't be read: {error}") from error
        if known.signed(None) != AuditSegmentSpec.of(segment.rollout, segment.entries[: len(known.entries)]):
            raise Conflict(f"{where} is there already, and tells otherwise: compare it with the Rollout's status")
        return known.last

    def _body(self, segment: AuditSegmentSpec) -> JSON:
        rollout = segment.rollout
        labels = {
            ROLLOUT_NAMESPACE_LABEL: rollout.namespace,
            ROLLOUT_LABEL: rollout.name,
            ROLLOUT_UID_LABEL: rollout.uid,
        }
        return {
            "apiVersion": API_VERSION,
            "kind": Kind.AUDIT_SEGMENT.value,
            "metadata": {"name": segment.name, "namespace": self._namespace, "labels": labels},
            "spec": segment.dump(),
        }
