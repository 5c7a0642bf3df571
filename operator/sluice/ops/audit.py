"""Reading the whole audit of a Rollout: what is in its status, and what was sealed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.api.common import ObjectRef
from sluice.api.names import ROLLOUT_LABEL, ROLLOUT_NAMESPACE_LABEL, ROLLOUT_UID_LABEL, Kind
from sluice.decide.metadata import mapping
from sluice.decide.proof import STATUS, Piece, Proof, verify
from sluice.decide.signatures import Claim
from sluice.errors import Conflict, NotFound
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import Target
from sluice.ports import Cluster, Obj


@dataclass(frozen=True, slots=True)
class Trail:
    """A Rollout's audit.

    Attributes:
        rollout: whose it is.
        there: whether the Rollout is there; its segments outlive it.
        segments: how many there are.
        proof: of all of it.
        claims: signatures, not checked.
    """

    rollout: ObjectRef
    there: bool
    segments: int
    proof: Proof
    claims: tuple[Claim, ...] = ()


async def fetch_trail(cluster: Cluster, target: Target, operator_namespace: str, uid: str = "") -> Trail:
    """Read and check the audit of a Rollout, also of one that is gone.

    Args:
        cluster: the hub.
        target: the Rollout.
        operator_namespace: where segments are.
        uid: of one that is gone, or whose part is in a member cluster; "" for the one that is there.

    Raises:
        NotFound: there is no such Rollout, nor a segment of one.
        Conflict: it is gone, and there were several of its name.
        SluiceError: it could not be read.
    """
    rollout = await _fetch_rollout(cluster, target)
    known = str(rollout["metadata"].get("uid") or "") if rollout is not None else ""
    labels = {ROLLOUT_NAMESPACE_LABEL: target.namespace, ROLLOUT_LABEL: target.name}
    if uid or known:
        labels[ROLLOUT_UID_LABEL] = uid or known
    where = Target(Kind.AUDIT_SEGMENT, operator_namespace, f"of {target}")
    with explaining("list", where, f"list on {resource(Kind.AUDIT_SEGMENT)}"):
        segments = await cluster.list(Kind.AUDIT_SEGMENT, operator_namespace, labels=labels)
    uid = uid or known or _only_uid(segments, target)
    pieces = [Piece.of_segment(segment, uid) for segment in segments]
    ref = ObjectRef(namespace=target.namespace, name=target.name, uid=uid)
    claims = [Claim.of_segment(segment, ref) for segment in segments]
    there = rollout is not None and uid == known
    if rollout is not None and there:
        audit = mapping(rollout.get("status")).get("audit")
        pieces.append(Piece.read(STATUS, audit, sealed=False))
        claims.append(Claim.of_status(audit, ref))
    if not pieces:
        raise NotFound(
            f"{target} with the UID {uid} is not there, nor is anything sealed of it in {operator_namespace}."
        )
    return Trail(ref, there, len(segments), verify(pieces), tuple(claim for claim in claims if claim is not None))


async def _fetch_rollout(cluster: Cluster, target: Target) -> Obj | None:
    try:
        with explaining("read", target, f"get on {resource(Kind.ROLLOUT)}"):
            return await cluster.get(Kind.ROLLOUT, target.namespace, target.name)
    except NotFound:
        return None


def _only_uid(segments: Sequence[Obj], target: Target) -> str:
    """The UID that all of these are of, those in member clusters left out."""
    owners = [mapping(mapping(segment.get("spec")).get("rollout")) for segment in segments]
    uids = sorted({str(owner.get("uid")) for owner in owners if not owner.get("cluster")})
    if not uids:
        raise NotFound(
            f"There is no {target}, and nothing was sealed of one. See what there is: sluice get rollouts -A"
        )
    if len(uids) > 1:
        raise Conflict(
            f"{target} is gone, and there were several of its name. Say which, with --uid: {', '.join(uids)}"
        )
    return uids[0]
