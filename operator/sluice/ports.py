"""The narrow ports between the engine and the world. Adapters and the sim implement them.

The same contract tests hold both to what is written here.

Objects are plain dicts as the API server gives them. Every method may raise `Unavailable` (retry with back-off) and
`NotLeader` (stop) beside what it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from sluice.api.audit import AuditSegmentSpec
from sluice.api.common import ObjectRef
from sluice.api.names import Kind
from sluice.api.rollout import Audit, AuditSignature
from sluice.api.workload import SlotServices
from sluice.decide.exported import Event
from sluice.decide.model import Note, Reading, Shift, TargetRef, TargetView
from sluice.decide.rights import Right
from sluice.decide.signatures import Statement

Obj = dict[str, Any]

Guard = Callable[[], None]
"""Asked last, when nothing is left to wait for but the network; it raises to drop the write."""


class Lane(Enum):
    """Which queue a write stands in. Kill writes have connections of their own and wait for nobody."""

    NORMAL = "normal"
    KILL = "kill"


class Clock(Protocol):
    """The time, by this process's clock."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        ...


class Reader(Protocol):
    """The caches. No I/O, never blocks; what it returns must not be changed by the caller."""

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None. `namespace` is "" for cluster-scoped kinds."""
        ...

    def of_namespace(self, kind: Kind, namespace: str) -> Iterator[Obj]:
        """All objects of a kind in a namespace."""
        ...

    def endpoint_slices(self, namespace: str, service: str) -> Iterator[Obj]:
        """The EndpointSlices of a Service."""
        ...


class Cluster(Protocol):
    """Reads and writes of one API server.

    Each write returns the object as stored. Raises, beside the two above: NotFound, Forbidden, Rejected, Conflict
    (409, and a JSON Patch whose `test` failed).
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Read one object."""
        ...

    async def list(self, kind: Kind, namespace: str = "", *, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """Read all, or those that have these labels, in pages."""
        ...

    async def create(self, kind: Kind, namespace: str, body: Obj) -> Obj:
        """Create. Conflict where the name is taken."""
        ...

    async def patch_json(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        operations: Sequence[Obj],
        *,
        lane: Lane = Lane.NORMAL,
        guard: Guard | None = None,
    ) -> Obj:
        """Apply a JSON Patch (RFC 6902). Whatever `guard` raises goes through, and nothing is sent."""
        ...

    async def patch_merge(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Obj,
        *,
        subresource: str = "",
        lane: Lane = Lane.NORMAL,
        dry_run: bool = False,
    ) -> Obj:
        """Apply a JSON merge patch (RFC 7386). `metadata.resourceVersion` in the body is a precondition.

        With `dry_run` all is checked and nothing stored.
        """
        ...

    async def apply(self, kind: Kind, namespace: str, name: str, body: Obj, *, dry_run: bool = False) -> Obj:
        """Server-side apply with force: fields in the body are ours, those we had before and left out are removed.

        `metadata.uid` in the body is a precondition (Conflict). So is `metadata.resourceVersion`, but only of an object
        that is there: with one that no object has, what is not there is made, and what is there is left alone. With
        `dry_run` all is checked and nothing stored.
        """
        ...

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete, if the uid still matches (Conflict otherwise). NotFound is not an error."""
        ...


class TrafficRouter(Protocol):
    """Reads and moves the shares of one kind of target (`HTTPRoute` and `GRPCRoute`, or a `Service`'s selector)."""

    def observe(self, ref: TargetRef, services: SlotServices) -> TargetView:
        """What the caches know of the target. No I/O."""
        ...

    async def shift(self, shift: Shift, *, lane: Lane = Lane.NORMAL, guard: Guard | None = None) -> Obj:
        """Write the share, in one patch, other fields untouched. Returns the stored object.

        Args:
            shift: what to write.
            lane: the queue it stands in.
            guard: asked right before the write, after any wait; whatever it raises goes through.

        Raises:
            Conflict: the target changed in a way that matters; observe again.
            NotFound: the target is gone.
            Rejected: the API server refuses the patch.
        """
        ...


class MetricProvider(Protocol):
    """Answers numbers. Never raises: every failure is a Reading."""

    async def query(self, query: str, *, address: str | None, namespace: str, secret: str | None) -> Reading:
        """Ask one instant query.

        Args:
            query: with all placeholders filled in.
            address: base URL, or None for the operator's own Prometheus.
            namespace: where the Secret is; "" means the operator's own namespace.
            secret: name of a Secret with `token`, or `username` and `password`, and optionally `ca.crt`.
        """
        ...


class Notifier(Protocol):
    """Kubernetes Events: deduplicated, bounded, best effort. Never raises, never blocks."""

    def note(self, about: Obj, note: Note) -> None:
        """Tell about an object (a dict with apiVersion, kind, metadata)."""
        ...


class AuditSink(Protocol):
    """Where audit entries go beside the status. Never raises, and never waits."""

    def follow(self, rollout: ObjectRef, cluster: str, audit: Audit, since: int) -> None:
        """Take what a pass has written, also where that is nothing new.

        Args:
            rollout: whose it is.
            cluster: the member that its part is in; "" is the hub.
            audit: as the status has it now.
            since: the number of the last entry that was there before the pass.
        """
        ...


class AuditReceiver(Protocol):
    """Who keeps audit entries outside of the cluster."""

    @property
    def at_once(self) -> int:
        """How many events it takes at once; at least one."""
        ...

    async def send(self, events: Sequence[Event]) -> None:
        """Hand over events. They are kept when this returns; sent again, some may be there twice, with the same `id`.

        Raises:
            Unavailable: it can't take them now. Some may be kept.
            Rejected: it will not take them, whenever they are sent. Some may be kept.
        """
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...


class AuditSigner(Protocol):
    """Signs an audit's heads with a key that this process was given. It waits for nothing and does not fail."""

    @property
    def key_id(self) -> str:
        """Which key that is; see `api.rollout.AuditSignature`."""
        ...

    def sign(self, statement: Statement) -> AuditSignature:
        """Vouch for that."""
        ...

    def knows(self, statement: Statement, signature: AuditSignature) -> bool:
        """Whether that is signed by its own key, or one that it was told to trust."""
        ...


class AuditArchive(Protocol):
    """Where audit entries are kept for good, once they leave a status."""

    async def seal(self, segment: AuditSegmentSpec) -> int:
        """Keep a segment. What is kept already is left as it is.

        Returns:
            The number of the last entry that is kept under the segment's name: the segment's own last, or an earlier
            one where a shorter segment with the same beginning was there before.

        Raises:
            Conflict: something else is kept under its name.
            Forbidden, NotFound, Rejected: it can't be kept; not before somebody mends that.
        """
        ...

    async def ending_before(self, uid: str, seq: int) -> AuditSegmentSpec | None:
        """The segment that ends with the entry before this one; None where there is none that can be read.

        Args:
            uid: of the Rollout.
            seq: the entry's number.

        Raises:
            Forbidden: this process may not read segments.
        """
        ...


class Watch(Protocol):
    """Follows the objects of one kind."""

    @property
    def synced(self) -> bool:
        """Whether all that is there was told once."""
        ...

    @property
    def problem(self) -> str:
        """Why nothing comes; "" while all is well."""
        ...

    async def run(self) -> None:
        """Follow until cancelled. Every failure is waited out and told in `problem`."""
        ...


class Member(Protocol):
    """A connection to one member cluster.

    There a MemberRollout stands for a Rollout, and a MemberRolloutRun for a RolloutRun: whoever asks for the one,
    through `cluster` or `watch`, gets the other.

    What is asked may raise, beside Unavailable: Forbidden (credentials, or the right to ask), BadAnswer, Rejected,
    NotFound, and InvalidSpec where its host leads to an address that no member may have. Messages hold no credential.
    """

    @property
    def host(self) -> str:
        """Of its API server, with its port; fit to be shown."""
        ...

    def tell(self, *, silent: Callable[[], None], back: Callable[[], None]) -> None:
        """Whom to tell that it may be away, and that it answers again.

        Args:
            silent: called when a request got no answer, and when a kill was not sent because others had none. Until
                there is an answer ordinary writes raise Unavailable at once.
            back: called in the moment of the next answer, before any ordinary write is sent.
        """
        ...

    async def fetch_version(self, *, patient: bool = False) -> str:
        """The version of its Kubernetes, such as `v1.36.3`. Whether it answers at all is asked with this.

        Args:
            patient: wait for half a minute, as long as a server under a heavy load may take.
        """
        ...

    async def fetch_uid(self) -> str:
        """The UID of its Namespace kube-system, which no two clusters share, and none changes."""
        ...

    async def fetch_kinds(self) -> frozenset[str]:
        """What of `sluice.dev/v1alpha1` it serves, such as `memberrollouts` and `memberrollouts/status`."""
        ...

    async def may(self, right: Right) -> bool:
        """Whether we may do something, in all namespaces."""
        ...

    async def fetch_served(self, kinds: frozenset[Kind]) -> frozenset[Kind]:
        """Which of the kinds it serves."""
        ...

    def cluster(self, leadership: Leadership) -> Cluster:
        """Reads and writes; each write is sent only while this process leads."""
        ...

    def watch(
        self,
        kind: Kind,
        on_event: Callable[[str, Obj], None],
        on_list: Callable[[list[Obj], int], None],
        *,
        keep: Callable[[Obj], Obj],
        selectors: Mapping[str, str],
        on_problem: Callable[[], None],
    ) -> Watch:
        """Follow a kind.

        Args:
            kind: of the objects.
            on_event: called with ADDED, MODIFIED or DELETED and the object.
            on_list: called with all objects, and the resourceVersion of the list.
            keep: what to keep of each object that is listed.
            selectors: such as `{"labelSelector": "a=b"}`.
            on_problem: called when nothing comes any more, once until something does.
        """
        ...

    async def close(self) -> None:
        """End every connection."""
        ...


class MemberConnector(Protocol):
    """Prepares connections to member clusters."""

    async def __call__(self, name: str, text: str) -> Member:
        """Prepare one, without sending anything yet.

        Args:
            name: of the MemberCluster, for messages.
            text: its kubeconfig.

        Raises:
            InvalidSpec: the kubeconfig is refused.
        """
        ...


class Leadership(Protocol):
    """Whether this process may write what it is about to."""

    def check(self) -> None:
        """Raises NotLeader unless it surely may (monotonic clock, with a margin)."""
        ...


class Mastery(Protocol):
    """Which shards are this process's; see `decide.sharding`."""

    def holds(self, shard: int) -> bool:
        """Whether the shard is ours, as far as we know."""
        ...

    def check_shard(self, shard: int) -> None:
        """Raises NotLeader unless the shard is surely ours (monotonic clock, with a margin)."""
        ...
