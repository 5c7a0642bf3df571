"""AuditSegment: entries of a Rollout's audit chain that left its status."""

from __future__ import annotations

from sluice.api.common import Model
from sluice.api.rollout import AuditEntry, AuditSignature


def segment_name(uid: str, first: int) -> str:
    """The name of the segment that begins with this number; by it segments sort as their entries do."""
    return f"{uid}-{first:010d}"


class AuditedRollout(Model):
    """Whose entries they are. `cluster` is the member that the Rollout's part is in; absent for the hub."""

    namespace: str
    name: str
    uid: str
    cluster: str | None = None


class AuditSegmentSpec(Model):
    """Spec of an AuditSegment. Immutable (CEL).

    `first` and `last` are the numbers of its first and last entry, `head` is the last one's hash. `signature` is of the
    head; absent where the operator had no key, or could not vouch for what it sealed.
    """

    rollout: AuditedRollout
    first: int
    last: int
    head: str
    entries: tuple[AuditEntry, ...]
    signature: AuditSignature | None = None

    @classmethod
    def of(cls, rollout: AuditedRollout, entries: tuple[AuditEntry, ...]) -> AuditSegmentSpec:
        """The segment of these entries, at least one; unsigned."""
        last = entries[-1]
        return cls(rollout=rollout, first=entries[0].seq, last=last.seq, head=last.hash, entries=entries)

    def signed(self, signature: AuditSignature | None) -> AuditSegmentSpec:
        """The same, with this signature; None for none. Two segments are the same whoever signed them."""
        return self.model_copy(update={"signature": signature})

    @property
    def name(self) -> str:
        """What the object is called: whoever else seals an entry of this Rollout and number meets this one."""
        return segment_name(self.rollout.uid, self.first)
