"""Takes part in the Lease that the replicas share: joins it, renews, takes on shards, lets go of them, and leaves.

What may be done when, and why no shard ever has two masters, is `tenure`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from sluice.adapters.kube.backoff import Backoff
from sluice.adapters.kube.lease import SharedLease
from sluice.adapters.kube.register import Line, Register, line_name
from sluice.adapters.kube.tenure import Tenure, Told
from sluice.adapters.kube.terms import LeaseTimes, boot_seconds
from sluice.decide.sharding import ALL, NO_SHARDS, Shards
from sluice.errors import Conflict, NotFound, NotLeader, SluiceError
from sluice.ports import Clock, Cluster, Obj

_log = logging.getLogger(__name__)
_SPREAD_SECONDS = 0.05  # several replicas see one change: they need not all try at once
_FIRST_RETRY_SECONDS = 0.05
_LAST_WRITES_SECONDS = 6.0  # a member cluster that hangs keeps a write for five


class ShardKeeper:
    """Implements `ports.Mastery` with one coordination.k8s.io/v1 Lease, and `ports.Leadership` for what has no shard.

    Args:
        cluster: with a Leadership that always agrees, for this is what decides it.
        namespace: of the Lease.
        name: of the Lease.
        identity: of this process, and of no other that lives. One started in its place, such as a container anew in its
            pod, may use it again: it takes over at once, for the one before is gone.
        clock: for the times in the Lease, which only people read.
        times: see LeaseTimes.
        monotonic: the clock that counts.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Clock,
        times: LeaseTimes | None = None,
        monotonic: Callable[[], float] = boot_seconds,
    ) -> None:
        self._times = times or LeaseTimes()
        self._lease = SharedLease(cluster, namespace, name, clock=clock)
        self._identity = identity
        self._name = line_name(identity)
        self._monotonic = monotonic
        self._tenure = Tenure(self._name, self._times, monotonic)
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._who = {"lease": name, "identity": identity}

    # ------------------------------------------------------------------------------------------ asked by writers

    def holds(self, shard: int) -> bool:
        """Whether the shard is ours, as far as we know."""
        return shard in self._tenure.held

    def check_shard(self, shard: int) -> None:
        """Raises NotLeader unless the shard is surely ours."""
        if shard not in self._tenure.held:
            raise NotLeader(f"shard {shard} is not this replica's by {self._lease}; nothing is written")
        self.check()

    def check(self) -> None:
        """Raises NotLeader unless this replica surely takes part."""
        left = self._tenure.seconds_left
        if left < 0:
            raise NotLeader(
                f"{self._identity} may not write by {self._lease}: its time was over {-left:.1f}s ago, or it takes no"
                " part in it; nothing is written"
            )

    @property
    def shards(self) -> Shards:
        """Those that may be acted on now."""
        return self._tenure.held if self._tenure.seconds_left >= 0 else NO_SHARDS

    # ------------------------------------------------------------------------------------------ told by the watch

    def notice(self, lease: Obj | None) -> None:
        """Take in the Lease as a watch or a list gave it; None where it is gone."""
        if lease is None:
            self._tenure.lapse()  # others may make a new one, in which we are not
            self._changed.set()
            return
        before = self._tenure.seen.shape
        self._tenure.see(Register.parse(lease))
        if self._tenure.seen.shape != before:
            self._changed.set()

    # ------------------------------------------------------------------------------------------ the loop

    async def run(self, gained: Told, lost: Told, drained: Callable[[Shards], Awaitable[None]]) -> None:
        """Take part, and again when that was lost, until `stop`. Cancelling it leaves too.

        Args:
            gained: called when shards are ours.
            lost: called when they are no longer; `check_shard` refuses from before that on.
            drained: returns once no write about any of the shards is under way.
        """
        self._tenure.gained, self._tenure.lost = gained, lost
        try:
            while not self._stopping.is_set():
                await self._join()
                await self._stay(drained)
                if not self._stopping.is_set():
                    self._tenure.close()
                    _log.warning("takes no part any more", extra=self._who)
        finally:
            await self._leave(drained)

    def stop(self) -> None:
        """End `run` soon; on its way out it waits for the last writes, and lets go of its shards."""
        self._stopping.set()

    async def _join(self) -> None:
        """Wait until we may take part, and do; or until told to stop."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, self._times.retry)
        while not self._stopping.is_set():
            try:
                register = await self._lease.read(self._times.request)
                self._tenure.see(register)
                if self._tenure.may_join(register, self._identity):
                    await self._write(register, self._tenure.first_line(register))
                    _log.info("takes part", extra=self._who)
                    return
            except Conflict:
                await self._wait(random.uniform(0.0, _SPREAD_SECONDS))  # noqa: S311 - no secret
            except SluiceError as error:
                _log.warning("the Lease cannot be read or taken", extra={**self._who, "error": str(error)})
                await self._wait(backoff.next_seconds())
            else:
                backoff.reset()
                await self._wait(max(0.01, self._tenure.seconds_until_silence()))

    async def _stay(self, drained: Callable[[Shards], Awaitable[None]]) -> None:
        """Renew, take on what is due and free, and let go of what is due to others, until the term is lost."""
        tenure, backoff = self._tenure, Backoff(_FIRST_RETRY_SECONDS, self._times.retry)
        renew_at = self._monotonic() + self._times.renew
        while not self._stopping.is_set() and tenure.seconds_left >= 0 and tenure.line is not None:
            self._let_go(drained)
            renew_in = renew_at - self._monotonic()
            if renew_in > 0 and not (tenure.takes() or tenure.released() or tenure.dead(tenure.seen)):
                await self._wait(min(renew_in, tenure.seconds_left, tenure.seconds_until_a_death()))
                continue
            try:
                await self._write_on(tenure.line)
            except (Conflict, NotFound):
                await self._look_again()
                await self._wait(random.uniform(0.0, _SPREAD_SECONDS))  # noqa: S311 - no secret
            except SluiceError as error:
                _log.warning("the Lease was not renewed", extra={**self._who, "error": str(error)})
                await self._wait(backoff.next_seconds())
            else:
                backoff.reset()
                renew_at = self._monotonic() + self._times.renew * random.uniform(0.9, 1.0)  # noqa: S311 - no secret

    def _let_go(self, drained: Callable[[Shards], Awaitable[None]]) -> None:
        excess = self._tenure.excess()
        if excess:
            draining = asyncio.ensure_future(drained(excess))
            draining.add_done_callback(lambda _: self._changed.set())
            self._tenure.end(excess, draining)

    async def _write_on(self, line: Line) -> None:
        """Write our line anew: as a claim where it takes anything on, else as a renewal, which rarely conflicts."""
        tenure, following = self._tenure, self._tenure.next_line(line)
        if tenure.takes() or tenure.dead(tenure.seen):
            await self._write(tenure.seen, following)
            return
        sent_at = self._monotonic()
        stored = await self._lease.renew(tenure.seen, self._name, line, following, tenure.patience)
        tenure.answered(stored, sent_at)

    async def _write(self, register: Register, line: Line) -> None:
        sent_at, dead = self._monotonic(), self._tenure.dead(register)
        stored = await self._lease.write(register, self._name, line, dead, self._tenure.patience)
        self._tenure.answered(stored, sent_at)

    async def _look_again(self) -> None:
        """After a Conflict: are we in it still?"""
        with contextlib.suppress(SluiceError):  # not known: our time goes on unchanged, and ends by itself
            self._tenure.rest_on(await self._lease.read(self._tenure.patience))

    async def _leave(self, drained: Callable[[Shards], Awaitable[None]]) -> None:
        """Take our line out once the last write has ended, so that others need not wait. Best effort."""
        line = self._tenure.line
        if line is None:
            return
        self._tenure.give_up(self._tenure.held)
        with contextlib.suppress(SluiceError, TimeoutError):
            async with asyncio.timeout(max(self._times.request, _LAST_WRITES_SECONDS)):
                await drained(ALL)
            async with asyncio.timeout(self._times.request):
                while await self._is_named(line.term):
                    with contextlib.suppress(Conflict):
                        await self._lease.withdraw(self._tenure.seen, self._name, self._times.request)
                        break
        self._tenure.close()
        _log.info("lets go of its shards", extra=self._who)

    async def _is_named(self, term: str) -> bool:
        """Whether the Lease has our line of that term, by a fresh look."""
        register = await self._lease.read(self._times.request)
        self._tenure.see(register)
        return self._name in register.lines and register.lines[self._name].term == term

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not past a stop or a change of the Lease that is worth a look."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._changed, self._stopping)]
        try:
            await asyncio.wait(waits, timeout=max(0.001, seconds), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._changed.clear()
            for wait in waits:
                wait.cancel()
