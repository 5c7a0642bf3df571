"""One kind's LIST and WATCH, without a task or a thread between the socket and the callback.

Kill switches come this way: a burst of other kinds' events must not stand between a switch and what it stops. Members'
caches come this way too. The callbacks run in the loop that reads; they must be quick, and not raise.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sluice.adapters.kube.backoff import Backoff
from sluice.adapters.kube.listing import fetch_list, whole
from sluice.adapters.kube.resources import RESOURCES, collection_path
from sluice.adapters.kube.transport import Wire
from sluice.api.names import Kind
from sluice.errors import NotFound, SluiceError, Unavailable
from sluice.ports import Obj

IDLE_SECONDS = 90.0  # the API server sends a bookmark about every minute; silence for longer is a dead connection
_WATCH_SECONDS = 290  # the server ends the watch then; less than what load balancers allow for a quiet connection

_EVENT_BYTES = 8 * 1024 * 1024  # etcd takes no object larger than 1.5 MiB

_BRIEF_SECONDS = 1.0  # a watch that ends sooner is as good as refused

_log = logging.getLogger(__name__)


class _TooOld(Exception):
    """The resourceVersion is no longer in the server's memory: list again."""


class Informer:
    """Keeps a callback told of one kind's objects.

    Args:
        transport: the API server.
        kind: what to watch.
        on_event: called with ADDED, MODIFIED or DELETED and the object.
        on_list: called with all objects, at first and whenever events may have been missed: what is not in it is gone.
        namespace: "" for all.
        selectors: query parameters, such as `{"fieldSelector": "metadata.name=sluice"}`.
        keep: what to keep of each object that is listed, where there are many and little of each is needed.

    Attributes:
        synced: whether a list has come.
        last_event_at: monotonic seconds at which the server was last heard, bookmarks included; 0 before that.
        problem: why nothing comes; "" while all is well.
        on_problem: called when something is in the way, once until nothing is.
    """

    def __init__(
        self,
        transport: Wire,
        kind: Kind,
        on_event: Callable[[str, Obj], None],
        on_list: Callable[[list[Obj]], None],
        *,
        namespace: str = "",
        selectors: Mapping[str, str] | None = None,
        keep: Callable[[Obj], Obj] = whole,
    ) -> None:
        self.kind = kind
        self.synced = False
        self.last_event_at = 0.0
        self.problem = ""
        self.on_problem: Callable[[], None] = lambda: None
        self._transport = transport
        self._on_event = on_event
        self._on_list = on_list
        self._namespace = namespace
        self._selectors = dict(selectors or {})
        self._keep = keep
        self._version = ""
        self._backoff = Backoff()

    @property
    def version(self) -> str:
        """The resourceVersion up to which everything was told; in `on_list`, that of the list. "" before the first."""
        return self._version

    async def run(self) -> None:
        """List and watch until cancelled. Every failure is waited out and told in `problem`."""
        while True:
            try:
                if not self._version:
                    await self._relist()
                began_at = time.monotonic()
                await self._watch()
                if time.monotonic() - began_at > _BRIEF_SECONDS:
                    continue  # the server ended it in good order: go on where it ended
                wait_seconds = self._backoff.next_seconds()
            except _TooOld:
                self._version = ""
                wait_seconds = self._backoff.next_seconds()
            except Unavailable as error:
                self._tell(error)
                wait_seconds = self._backoff.next_seconds(error.retry_after_seconds)
            except SluiceError as error:
                # Not served yet, or not allowed yet: whoever mends that does not tell us.
                self._version = ""
                self._tell(error)
                wait_seconds = self._backoff.next_seconds()
            await asyncio.sleep(wait_seconds)

    def _tell(self, error: SluiceError) -> None:
        if not self.problem:
            _log.warning("watch interrupted", extra={"kind": str(self.kind), "error": str(error)})
        news, self.problem = not self.problem, str(error)
        if news:
            self.on_problem()

    async def _relist(self) -> None:
        objects, self._version = await fetch_list(
            self._transport, self.kind, self._namespace, self._selectors, self._keep
        )
        self._heard()
        self._on_list(objects)
        self.synced = True

    def _heard(self) -> None:
        self.last_event_at = time.monotonic()
        self.problem = ""

    async def _watch(self) -> None:
        jitter_seconds = random.randrange(20)  # noqa: S311 - spreads reconnections, no secret
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(_WATCH_SECONDS - jitter_seconds),
            **self._selectors,
        }
        path, what = collection_path(self.kind, self._namespace), f"watch {RESOURCES[self.kind].plural}"
        try:
            async with self._transport.stream(path, params, what, idle_seconds=IDLE_SECONDS) as stream:
                rest = b""
                async for chunk in stream.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    if len(rest) > _EVENT_BYTES:
                        raise Unavailable(f"{what}: an event is larger than any object can be")
                    for line in lines:
                        if line:
                            self._take(line)
        except NotFound as error:  # 410 to the request itself
            raise _TooOld from error

    def _take(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = orjson.loads(line)
        except ValueError as error:
            raise Unavailable(f"watch {RESOURCES[self.kind].plural}: an event is not JSON") from error
        kind, obj = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise _TooOld
            self._version = ""
            raise Unavailable(f"watch {RESOURCES[self.kind].plural}: {str(obj.get('message'))[:300]}")
        self._version = obj.get("metadata", {}).get("resourceVersion") or self._version
        self._heard()
        self._backoff.reset()
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            self._on_event(kind, obj)
