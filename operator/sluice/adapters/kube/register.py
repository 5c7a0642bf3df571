"""The Lease that all replicas share: whom it says they are, until when, and which shards each holds.

It has a line (an annotation) for each replica, which that replica renews. They hold the Lease together, under one name:
a version of Sluice from before there were shards sees a Lease that is held and renewed, and waits.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.api.names import GROUP
from sluice.decide.sharding import ALL, Shards, parse_shards, print_shards, share_out
from sluice.ports import Obj

TOGETHER = "sluice-replicas"  # the holder's identity while replicas share the Lease
LINE_PREFIX = f"replica.{GROUP}/"
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_MOST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Line:
    """What one replica says of itself.

    Attributes:
        term: drawn anew whenever the replica joins; what was held in an earlier term is not held any more.
        beat: counts its writes, so that each changes the line.
        seconds: how long the replica may act after it sent this.
        shards: those that it holds.
        text: as it is stored.
    """

    term: str
    beat: int
    seconds: float
    shards: Shards
    text: str

    @classmethod
    def make(cls, term: str, beat: int, seconds: float, shards: Shards) -> Line:
        """A line to write."""
        said = {"term": term, "beat": beat, "seconds": seconds, "shards": print_shards(shards)}
        return cls(term, beat, seconds, shards, json.dumps(said))

    @classmethod
    def parse(cls, text: str) -> Line:
        """A line that was read. One that means nothing may mean that all is held: nothing is taken until it is dead."""
        try:
            said = json.loads(text)
            seconds = min(float(said["seconds"]), _MOST_SECONDS)
            return cls(str(said["term"]), int(said["beat"]), seconds, parse_shards(str(said["shards"])), text)
        except (ValueError, TypeError, KeyError):
            return cls("", 0, 0.0, ALL, text)


@dataclass(frozen=True, slots=True)
class Register:
    """The Lease as it was read.

    Attributes:
        holder: its holderIdentity; "" for nobody.
        renew_time: as whoever wrote last has it; only compared, never computed with.
        seconds: its leaseDurationSeconds, 0 where there are none.
        transitions: how often it changed hands.
        version: its resourceVersion.
        lines: of the replicas that hold it together, by name; none where somebody else holds it, for then they are old.
    """

    holder: str
    renew_time: str
    seconds: float
    transitions: int
    version: str
    lines: Mapping[str, Line] = field(default_factory=dict)
    stale: tuple[str, ...] = ()  # the annotations of lines that do not count any more

    @classmethod
    def parse(cls, lease: Obj) -> Register:
        """Read a Lease."""
        metadata, spec = lease.get("metadata") or {}, lease.get("spec") or {}
        seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        holder = str(spec.get("holderIdentity") or "")
        texts = {key: str(text) for key, text in (metadata.get("annotations") or {}).items() if _is_line(key)}
        lines = {key.removeprefix(LINE_PREFIX): Line.parse(text) for key, text in sorted(texts.items())}
        return cls(
            holder=holder,
            renew_time=str(spec.get("renewTime") or ""),
            seconds=min(float(seconds), _MOST_SECONDS) if isinstance(seconds, int) else 0.0,
            transitions=transitions if isinstance(transitions, int) else 0,
            version=str(metadata.get("resourceVersion") or ""),
            lines=lines if holder == TOGETHER else {},
            stale=() if holder == TOGETHER else tuple(texts),
        )

    @property
    def number(self) -> int:
        """The resourceVersion as a number, by which an older state is told from a newer one."""
        return int(self.version) if self.version.isdecimal() else 0

    def due(self, name: str, held: Shards, dead: Collection[str] = ()) -> Shards:
        """What a replica should hold, where it holds so much now and the dead hold nothing any more."""
        others = {other: line.shards for other, line in self.lines.items() if other not in dead and line.term}
        return share_out({**others, name: held})[name]

    def free(self, name: str, dead: Collection[str] = ()) -> Shards:
        """What no other replica holds that may live."""
        return ALL.difference(*(line.shards for other, line in self.lines.items() if other not in {name, *dead}))

    @property
    def shape(self) -> Any:
        """What must change for a replica to have anything to do, other than to renew."""
        return self.holder, {name: (line.term, line.shards) for name, line in self.lines.items()}


ABSENT = Register("", "", 0.0, 0, "")  # where there is no Lease


def line_name(identity: str) -> str:
    """A replica's name in the Lease: its identity, or a digest where an annotation cannot have that for its name."""
    return identity if _NAME.fullmatch(identity) else hashlib.sha256(identity.encode()).hexdigest()[:32]


def line_path(name: str) -> str:
    """The JSON pointer of a replica's line."""
    return f"/metadata/annotations/{(LINE_PREFIX + name).replace('~', '~0').replace('/', '~1')}"


def _is_line(annotation: str) -> bool:
    return annotation.startswith(LINE_PREFIX)
