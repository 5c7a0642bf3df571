"""Watches the hub with kopf, in a thread and loop of kopf's own.

kopf lists, watches, reconnects and logs in. Its handlers only hand the objects over; they never write, so that there
are no annotations and finalizers of kopf's, and no timers or daemons either. What kopf is known not to see (an object
deleted while a watch was lost) the engine's periodic list heals; when kopf gives up, `on_died` is told, and the process
is to end rather than to go on blind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp
import kopf

from sluice.adapters.kube.backoff import Backoff
from sluice.adapters.kube.credentials import Credentials
from sluice.adapters.kube.resources import RESOURCES
from sluice.adapters.kube.transport import CLOSES_LATE
from sluice.api.names import Kind
from sluice.handlers.handover import Handover
from sluice.handlers.storages import EndlessBackoffs, NoDiffBase, NoProgress
from sluice.ports import Obj

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0
_GOOD_SECONDS = 60.0  # a login that lasted for so long was a good one

# Watched elsewhere or nowhere: Secrets are read one by one when they are needed, Events are only written.
NEVER_WATCHED = frozenset({Kind.SECRET, Kind.EVENT, Kind.LEASE})


@dataclass(frozen=True, slots=True)
class WatcherSettings:
    """What may differ between installations.

    Attributes:
        namespaces: those to watch; empty for all.
        server_seconds: how long the server keeps one watch open.
        idle_seconds: silence for longer than this is a dead connection; the server sends a bookmark each minute.
        request_seconds: the longest that one LIST page may take.
    """

    namespaces: tuple[str, ...] = ()
    server_seconds: int = 300
    idle_seconds: float = 90.0
    request_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED or DELETED; None where the object comes from the list that each watch begins with."""

    kind: Kind
    type: str | None
    object: Obj


class KopfWatcher:
    """Runs kopf until `stop`.

    Args:
        settings: see WatcherSettings.
        credentials: the hub's, shared with everything else that speaks to it.
        kinds: what to watch. Each must be served: kopf looks only once, when it starts.
        on_event: called in the loop that calls `start`, with the kind, the type and the object; must not raise.
        on_died: called in that loop with a sentence, if kopf ends without having been told to.

    Attributes:
        last_event_at: monotonic seconds of the last event of any kind; 0 before the first. Bookmarks are kopf's own, so
            a quiet hub has old events.
    """

    def __init__(
        self,
        settings: WatcherSettings,
        credentials: Credentials,
        kinds: Iterable[Kind],
        on_event: Callable[[Kind, str | None, Obj], None],
        on_died: Callable[[str], None],
    ) -> None:
        self.kinds = frozenset(kinds) - NEVER_WATCHED
        self.last_event_at = 0.0
        self._settings = settings
        self._credentials = credentials
        self._on_event = on_event
        self._on_died = on_died
        self._stop_flag = threading.Event()
        self._ready_flag = threading.Event()
        self._thread: threading.Thread | None = None
        self._events: Handover[WatchEvent] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._logged_in_at = 0.0
        self._backoff = Backoff(0.2, 30.0)

    @property
    def is_alive(self) -> bool:
        """Whether kopf's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_ready(self) -> bool:
        """Whether kopf has started up. It does not mean that the first lists have come."""
        return self._ready_flag.is_set()

    def start(self) -> None:
        """Start kopf's thread; events come to the running loop."""
        loop = asyncio.get_running_loop()
        self._events = Handover(loop, self._take)
        died: Handover[str] = Handover(loop, self._on_died)
        self._thread = threading.Thread(target=self._run, args=(died,), name="kopf", daemon=True)
        self._thread.start()

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """End kopf and wait for its thread, though not for longer than this."""
        self._stop_flag.set()
        if self._thread is None:
            return
        await asyncio.to_thread(self._thread.join, _PATIENCE_SECONDS)
        if self._thread.is_alive() and self._loop is not None:
            # A request that kopf is retrying keeps it for five seconds more; nothing of it is worth waiting for.
            with contextlib.suppress(RuntimeError):  # it ended at this very moment
                self._loop.call_soon_threadsafe(_cancel_all, self._loop)
            await asyncio.to_thread(self._thread.join, timeout_seconds)

    def _take(self, event: WatchEvent) -> None:
        self._on_event(event.kind, event.type, event.object)

    def _run(self, died: Handover[str]) -> None:
        why = "it ended without being told to"
        try:
            _quieten()
            asyncio.run(self._operate())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, it is the end of the watches
            why = f"{type(error).__name__}: {str(error)[:300]}"
        if not self._stop_flag.is_set():
            _log.error("kopf ended", extra={"error": why})
            died.give(f"The watches of the hub ended ({why}). The process has to start anew")

    async def _operate(self) -> None:
        self._loop = asyncio.get_running_loop()
        await kopf.operator(
            registry=self._registry(),
            settings=operator_settings(self._settings),
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
            stop_flag=self._stop_flag,
            ready_flag=self._ready_flag,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY, backoff=5.0)
        async def login(**_: Any) -> kopf.AiohttpSession:
            return await self._log_in()

        for kind in sorted(self.kinds):
            resource = RESOURCES[kind]
            kopf.on.event(
                resource.group, resource.version, resource.plural, id=f"hand-over-{resource.plural}", registry=registry
            )(self._handler(kind))
        return registry

    async def _log_in(self) -> kopf.AiohttpSession:
        """A session for kopf. It asks again after a 401: then everything is read anew, after a pause."""
        now = time.monotonic()
        if now - self._logged_in_at > _GOOD_SECONDS:
            self._backoff.reset()
        if self._logged_in_at:
            self._credentials.reject()
            await asyncio.sleep(self._backoff.next_seconds())
        self._logged_in_at = time.monotonic()
        return await session_of(self._credentials)

    def _handler(self, kind: Kind) -> Callable[..., Any]:
        async def hand_over(event: kopf.RawEvent, **_: Any) -> None:
            self.last_event_at = time.monotonic()
            if self._events is not None:
                self._events.give(WatchEvent(kind, event["type"], dict(event["object"])))

        return hand_over


def operator_settings(settings: WatcherSettings) -> kopf.OperatorSettings:
    """Settings under which kopf watches, and nothing else. Each line turns off what would write, or would give up."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True  # the Lease decides who acts; every replica watches
    made.scanning.disabled = True  # the CRDs are there before we are; no right to watch CRDs and Namespaces is needed
    made.posting.enabled = False
    made.execution.max_workers = 2
    made.networking.request_timeout = settings.request_seconds
    made.networking.connect_timeout = 5.0
    made.networking.error_backoffs = EndlessBackoffs()
    made.watching.server_timeout = settings.server_seconds
    made.watching.inactivity_timeout = settings.idle_seconds
    made.watching.chunk_size = 500
    made.queueing.worker_limit = None  # a limit makes throughput limit / idle_timeout
    made.queueing.idle_timeout = 1.0
    made.persistence.diffbase_storage = NoDiffBase()
    made.persistence.progress_storage = NoProgress()
    return made


async def session_of(credentials: Credentials) -> kopf.AiohttpSession:
    """A session for kopf, with the same TLS, token and proxy as all our other requests. kopf closes it."""
    authorization = await credentials.authorization()
    tls: ssl.SSLContext | bool = credentials.tls or True
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls, enable_cleanup_closed=CLOSES_LATE),
        headers={"Authorization": authorization} if authorization else {},
        proxy=credentials.proxy,
    )
    return kopf.AiohttpSession(server=credentials.server, aiohttp_session=session)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _quieten() -> None:
    """Without this, kopf logs a line for each event of each object."""
    for name in ("kopf.objects", "kopf.activities"):
        logging.getLogger(name).setLevel(logging.WARNING)
