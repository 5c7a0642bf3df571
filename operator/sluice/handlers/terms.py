"""Terms of leadership: the engine runs from the moment the Lease is ours until it no longer is, one term at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sluice.errors import NotLeader
from sluice.ports import Clock

STARTS_WITHIN_SECONDS = 30.0


class Terms:
    """Begun and ended by the elector.

    The engine may find out that the Lease is lost before the elector says so, or be told by it first, or both at once;
    a term is over when `end` was called and the engine has stopped, in whatever order.

    Args:
        run: leads until cancelled; raises NotLeader once it may write no more.
        prepare: done at the beginning of each term.
        clock: for how long a term has been without an engine.
        failed: told when the engine ends in any other way.
    """

    def __init__(
        self,
        run: Callable[[], Awaitable[None]],
        prepare: Callable[[], Awaitable[None]],
        clock: Clock,
        failed: Callable[[str], None],
    ) -> None:
        self._run = run
        self._prepare = prepare
        self._clock = clock
        self._failed = failed
        self._over = asyncio.Event()
        self._over.set()
        self._task: asyncio.Task[None] | None = None
        self._runs = False
        self._began_at = 0.0

    def begin(self) -> None:
        """The Lease is ours."""
        self._over = asyncio.Event()
        self._began_at = self._clock.monotonic()
        self._task = asyncio.create_task(self._lead(self._task, self._over), name="engine")

    def end(self) -> None:
        """The Lease is no longer ours."""
        self._over.set()
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """End, and wait until nothing is written any more."""
        self.end()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def problem(self) -> str:
        """What is wrong, if this process leads and does nothing; "" otherwise."""
        if self._over.is_set() or self._runs or self._clock.monotonic() - self._began_at < STARTS_WITHIN_SECONDS:
            return ""
        return "this process holds the Lease, but its engine does not run"

    async def _lead(self, before: asyncio.Task[None] | None, over: asyncio.Event) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._prepare()
            if not over.is_set():
                self._runs = True
                await self._run()
        except NotLeader:
            self._runs = False
            await (
                over.wait()
            )  # the elector's word may follow; or it came already, and its cancellation was lost on the way
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, a leader without an engine is no leader
            self._failed(f"the engine ended: {error!r}")
            return
        finally:
            self._runs = False
        if not over.is_set():
            self._failed("the engine ended by itself")
