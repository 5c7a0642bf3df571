"""What this replica may do by what it knows of the Lease. No I/O: `shards.ShardKeeper` reads, writes and tells.

A shard becomes ours by the answer to a write of ours that shows it in our line, and by nothing else. Such a write names
the version of the Lease in which the shard was free, so no two replicas can both make it. A shard is free when no line
has it: its holder wrote it out of its own, after its last write about it had ended, or was silent for so long that it
can not act any more, and its line was taken out. From then on every renewal of that replica fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from uuid import uuid4

from sluice.adapters.kube.register import ABSENT, TOGETHER, Line, Register
from sluice.adapters.kube.terms import LeaseTimes, Silences
from sluice.decide.sharding import NO_SHARDS, Shards, print_shards

_log = logging.getLogger(__name__)
Told = Callable[[Shards], None]


class Tenure:
    """One replica's part in the Lease, from one term to the next.

    Args:
        name: of the replica in the Lease.
        times: see LeaseTimes.
        monotonic: the clock that counts.

    Attributes:
        seen: the newest state of the Lease that we know.
        line: ours, as it was stored last; None while we take no part.
        held: the shards that are ours, as far as we know.
        gained: told of shards that became ours.
        lost: told of shards that are ours no more; they can not be written about from before that on.
    """

    def __init__(self, name: str, times: LeaseTimes, monotonic: Callable[[], float]) -> None:
        self.seen: Register = ABSENT
        self.line: Line | None = None
        self.held = NO_SHARDS
        self.gained: Told = _nobody_is_told
        self.lost: Told = _nobody_is_told
        self._name = name
        self._times = times
        self._monotonic = monotonic
        self._silences = Silences(times.duration, monotonic)
        self._ending: dict[int, asyncio.Future[None]] = {}  # not ours to act on, but in our line until all has ended
        self._valid_until = 0.0  # by `monotonic`; 0 while we take no part

    # ------------------------------------------------------------------------------------------ until when

    @property
    def seconds_left(self) -> float:
        """For how long we may write; 0 or less: we may not."""
        return self._valid_until - self._times.margin - self._monotonic()

    @property
    def patience(self) -> float:
        """How many seconds a request may take: an answer that comes when our term is over is none."""
        return min(self._times.request, max(self.seconds_left, 0.05)) if self.line else self._times.request

    def seconds_until_a_death(self) -> float:
        """Until the first of the others has been silent for too long, if it goes on being so."""
        lines = self.seen.lines.items()
        left = [self._silences.seconds_left(name, line) for name, line in lines if name != self._name]
        return min(left, default=self._times.duration)

    def seconds_until_silence(self) -> float:
        """Until nobody who ever wrote the Lease can act by it any more, if nobody writes again."""
        return self._silences.lease_seconds_left()

    def lapse(self) -> None:
        """Write nothing from now on: we may be out of it."""
        self._valid_until = 0.0

    # ------------------------------------------------------------------------------------------ what is heard

    def see(self, register: Register) -> None:
        """Keep the newest state. What is not ours in it any more is given up here and now."""
        if register.number <= self.seen.number:
            return
        self.seen = register
        self._silences.hear(register)
        line = register.lines.get(self._name)
        if self.line is None:
            return
        if line is None or line.term != self.line.term:
            self.lapse()
        else:  # by somebody's hand: we ourselves write out only what we hold no more
            self.give_up(self.held - line.shards)

    def rest_on(self, register: Register) -> None:
        """After a Conflict: the next write rests on what was read; our own may have come through without an answer."""
        self.see(register)
        line = register.lines.get(self._name)
        if line is None or self.line is None or line.term != self.line.term:
            self.lapse()
        else:
            self.line = line  # it makes nothing ours before that write is answered

    def answered(self, stored: Register, sent_at: float) -> None:
        """Take in the answer to a write of ours: what stands in our line is ours from now on."""
        self.line = line = stored.lines[self._name]
        self._valid_until = sent_at + self._times.duration
        for shard in self._ending.keys() - line.shards:
            del self._ending[shard]
        gained = line.shards - self.held - self._ending.keys()
        self.held |= gained
        self.see(stored)
        if gained:
            _log.info("shards taken on", extra={"shards": print_shards(gained), "identity": self._name})
            self.gained(gained)

    # ------------------------------------------------------------------------------------------ whose is what

    def may_join(self, register: Register, identity: str) -> bool:
        """Whether nobody may act by the Lease, as it was just read, who knows nothing of our line."""
        if register is ABSENT:  # who deleted it did not tell those that it named
            return not self.seen.holder or self.seen.lines.keys() == {self._name} or self.seconds_until_silence() <= 0
        return register.holder in ("", TOGETHER, identity) or self.seconds_until_silence() <= 0

    def dead(self, register: Register) -> frozenset[str]:
        """The other replicas that can not act any more."""
        return self._silences.dead(register, self._name)

    def first_line(self, register: Register) -> Line:
        """The line of a new term. What a process of our name held before is ours: it is gone."""
        before, dead = register.lines.get(self._name), self.dead(register)
        due = register.due(self._name, before.shards if before else NO_SHARDS, dead)
        return Line.make(uuid4().hex[:8], 1, self._times.duration, due & register.free(self._name, dead))

    def next_line(self, line: Line) -> Line:
        """What our line is to say next: without what has ended, with what is due to us and free."""
        shards = (line.shards - self.released()) | self.takes()
        return Line.make(line.term, line.beat + 1, self._times.duration, shards)

    def takes(self) -> Shards:
        """What is due to us and free, and not ours yet."""
        dead = self.dead(self.seen)
        due = self.seen.due(self._name, self.held, dead) & self.seen.free(self._name, dead)
        return due - self.held - self._ending.keys()

    def excess(self) -> Shards:
        """What is ours and due to others."""
        return self.held - self.seen.due(self._name, self.held, self.dead(self.seen))

    def end(self, shards: Shards, drained: asyncio.Future[None]) -> None:
        """Act no more on shards; they stay in our line until that is done."""
        self.give_up(shards)
        self._ending.update(dict.fromkeys(shards, drained))

    def released(self) -> Shards:
        """What we act on no more, and where nothing is under way any more either."""
        return frozenset(shard for shard, drained in self._ending.items() if drained.done())

    def give_up(self, shards: Shards) -> None:
        """Act no more on shards."""
        self.held -= shards
        if shards:
            _log.info("shards given up", extra={"shards": print_shards(shards), "identity": self._name})
            self.lost(shards)

    def close(self) -> None:
        """The term is over."""
        self.lapse()
        self.line = None
        for drained in self._ending.values():
            drained.cancel()
        self._ending.clear()
        self.give_up(self.held)


def _nobody_is_told(_: Shards) -> None:
    """Before anybody asked to be."""
