"""The operator process: everything that `sluice run` starts, and the order in which it starts and ends.

Every replica watches everything and keeps its caches warm; its engine acts on the shards that it holds by the Lease.
What ends by itself (kopf, a watch, the engine in an unforeseen way) ends the process with a non-zero code, so that a
supervisor starts it anew rather than leaving it half alive.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

import uvloop

from sluice.adapters.audit.log import LogAudit
from sluice.adapters.audit.outbox import Bounds, Outbox
from sluice.adapters.audit.segments import SegmentArchive
from sluice.adapters.clock import SystemClock
from sluice.adapters.kube.client import AlwaysLeader, KubeCluster
from sluice.adapters.kube.credentials import Credentials, load_credentials
from sluice.adapters.kube.events import EventRecorder
from sluice.adapters.kube.listing import fetch_served
from sluice.adapters.kube.shards import ShardKeeper
from sluice.adapters.kube.terms import LeaseTimes
from sluice.adapters.kube.transport import Transport
from sluice.adapters.kube.watch import Informer
from sluice.adapters.metrics.prometheus import PrometheusProvider
from sluice.adapters.silent import SilentNotifier
from sluice.api.names import Kind
from sluice.decide.sharding import Shards
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence
from sluice.engine.watched import WATCHED
from sluice.errors import SluiceError
from sluice.handlers import troubles
from sluice.handlers.caches import RETRY_SECONDS, WATCHED_APART, Caches
from sluice.handlers.fleet import Fleet
from sluice.handlers.http import HttpServer
from sluice.handlers.scrape import Scrape
from sluice.handlers.watcher import KopfWatcher, WatcherSettings
from sluice.ports import AuditArchive, AuditReceiver, AuditSigner, AuditSink, Obj
from sluice.settings import Settings
from sluice.telemetry import PrometheusMeter, configure_logging
from sluice.wiring import Outlets, build_engine, receiver_of, signer_of

_log = logging.getLogger(__name__)
# Without these nothing can be decided. The others may be missing: a cluster need not have a Gateway, for example.
_NEEDED = frozenset(WATCHED) - {Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.POD_DISRUPTION_BUDGET}
# kopf's thread computes for each event of each object; the default, 5 ms, is how long a kill may wait for it each time.
_SWITCH_INTERVAL_SECONDS = 0.0005
_LAST_EVENTS_SECONDS = 5.0  # for what waits to be taken, when the process ends


def run_operator(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code."""
    configure_logging(settings.log_level)
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_operate(settings))


async def _operate(settings: Settings) -> int:
    try:
        receiver = receiver_of(settings)
    except SluiceError as error:
        _log.error("the audit has nowhere to go: correct --audit-to", extra={"error": str(error)})
        return 1
    try:
        signer = signer_of(settings)
    except SluiceError as error:
        _log.error("the audit can't be signed: correct --audit-key, or leave it out", extra={"error": str(error)})
        return 1
    if signer is not None:
        _log.info("signs the audit", extra={"key": signer.key_id})
    credentials = load_credentials(settings.kubeconfig, settings.context)
    async with Transport(credentials) as transport:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(troubles.handle)
        denied = await _addresses_of(credentials.server)
        process = OperatorProcess(settings, credentials, transport, denied=denied, receiver=receiver, signer=signer)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.stop)
        return await process.run()


async def _addresses_of(server: str) -> tuple[tuple[str, int], ...]:
    """Where the API server is: no metric may be asked of it. Empty where its name cannot be resolved now."""
    url = urlsplit(server)
    port = url.port or 443
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple({(str(address[0]), port) for *_, address in found})


class OperatorProcess:
    """One replica.

    Args:
        settings: from outside.
        credentials: the hub's, for kopf; the transport has them too.
        transport: the connections to the API server.
        denied: (IP address, port) pairs that no metric query may reach.
        receiver: keeps the audit outside of the cluster; None for nobody.
        signer: signs the audit; None for nobody.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        transport: Transport,
        *,
        denied: tuple[tuple[str, int], ...] = (),
        receiver: AuditReceiver | None = None,
        signer: AuditSigner | None = None,
    ) -> None:
        self._settings = settings
        self._receiver = receiver
        self._outbox: Outbox | None = None
        self._credentials = credentials
        self._transport = transport
        self._clock = SystemClock()
        self._meter = PrometheusMeter()
        bare = KubeCluster(transport, AlwaysLeader())
        self._keeper = ShardKeeper(
            bare,
            settings.namespace,
            settings.lease_name,
            settings.identity,
            clock=self._clock,
            times=LeaseTimes.lasting(settings.lease_seconds),
        )
        self._fence = Fence(self._keeper)
        self._cluster = KubeCluster(transport, self._fence)
        # Events are about what was done, also where it is another's by the time that they are sent.
        self._recorder = EventRecorder(KubeCluster(transport, self._keeper), self._clock, settings.identity)
        self._provider = PrometheusProvider(
            default_address=settings.prometheus_url,
            allowed=settings.allowed_addresses,
            secret_loader=self._load_secret,
            denied=denied,
        )
        archive = SegmentArchive(self._cluster, settings.namespace)
        audit = self._audit(archive)
        self._engine: Engine = build_engine(
            self._cluster,
            metrics=self._provider,
            outlets=Outlets(self._recorder, audit, archive, signer, self._meter),
            fence=self._fence,
            clock=self._clock,
        )
        self._caches = Caches(transport, self._engine.store, settings.heal_seconds)
        self._lease_watch = self._watch_lease()
        self._fleet = Fleet(
            transport,
            self._cluster,
            self._clock,
            settings,
            engine=self._engine,
            metrics=self._provider,
            fence=self._fence,
            outlets=Outlets(SilentNotifier(), audit, archive, signer),
        )
        self._watcher: KopfWatcher | None = None
        self._scrape = Scrape(self._meter, self._engine, transport, self._keeper, self._fleet.members)
        self._http = HttpServer(self._unhealthy, self._unready, self._meter, self._scrape.refresh)
        self._keeping: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._failure = ""

    def stop(self) -> None:
        """Hand over and end."""
        self._ending.set()

    async def run(self) -> int:
        """Run until `stop`, or until a part that may not end does. Returns the exit code."""
        await self._http.start(self._settings.http_host, self._settings.http_port)
        _log.info("serving probes and metrics", extra={"port": self._http.port, "identity": self._settings.identity})
        tasks: list[asyncio.Task[None]] = []
        try:
            kinds = await self._served()
            if not self._ending.is_set():
                tasks += [self._start(informer.run(), f"watch {informer.kind}") for informer in self._caches.informers]
                tasks.append(self._start(self._recorder.run(), "events"))
                if self._outbox is not None:
                    tasks.append(self._start(self._outbox.run(), "audit"))
                tasks.append(self._start(self._lease_watch.run(), "watch the Lease"))
                tasks += [self._start(each.run(), f"watch {each.kind} of members") for each in self._fleet.informers]
                self._watcher = KopfWatcher(
                    WatcherSettings(),
                    self._credentials,
                    kinds - set(WATCHED_APART),
                    self._caches.take,
                    self._fail,
                )
                self._watcher.start()
                await self._caches.fill(kinds)
                tasks.append(self._start(self._caches.heal(kinds), "heal"))
                tasks.append(self._start(self._engine.run(), "engine"))
                tasks.append(self._start(self._fleet.run(), "members"))
                keeping = self._keeper.run(self._take_up, self._give_up, self._fence.drained)
                self._keeping = self._start(keeping, "shards")
            await self._ending.wait()
        finally:
            await self._end(tasks)
        if self._failure:
            _log.error("the process ends", extra={"reason": self._failure})
        return 1 if self._failure else 0

    # ------------------------------------------------------------------ parts

    def _audit(self, archive: AuditArchive) -> AuditSink:
        """The log, and whoever keeps the audit outside, too."""
        if self._receiver is None:
            return LogAudit()
        bounds = Bounds(timedelta(hours=self._settings.audit_resend_hours))
        count = self._meter.count_events
        self._outbox = Outbox(LogAudit(), self._receiver, archive, self._clock, count=count, bounds=bounds)
        self._meter.waiting.set_function(lambda: self._outbox.waiting if self._outbox is not None else 0)
        return self._outbox

    def _start(self, work: object, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._ending.is_set() or task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("a part of the process failed", exc_info=error)
        self._fail(f"{task.get_name()} ended: {error!r}")

    def _take_up(self, shards: Shards) -> None:
        if self._warming is None or self._warming.done():
            self._warming = asyncio.create_task(self._transport.warm(), name="warm")
        self._engine.take_up(shards)
        self._fleet.take_up(shards)

    def _give_up(self, shards: Shards) -> None:
        self._engine.give_up(shards)
        self._fleet.give_up(shards)

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        self._ending.set()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Finish what is being written, let go of the shards, then close."""
        if self._keeping is not None:
            self._keeper.stop()
            await asyncio.wait([self._keeping])
        tasks += [self._warming] if self._warming is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watcher is not None:
            await self._watcher.stop()
        if self._outbox is not None:
            await self._outbox.close(_LAST_EVENTS_SECONDS)
        await self._provider.close()
        await self._http.stop()

    async def _served(self) -> frozenset[Kind]:
        """The kinds to watch; waits until Sluice's own are installed."""
        wanted = frozenset(WATCHED)
        while not self._ending.is_set():
            try:
                served = await fetch_served(self._transport, wanted)
            except SluiceError as error:
                _log.warning("the API server does not answer yet", extra={"error": str(error)})
            else:
                missing = _NEEDED - served
                if not missing:
                    return served
                _log.warning("waits for kinds that are not served yet", extra={"missing": sorted(missing)})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await self._ending.wait()
        return frozenset()

    def _watch_lease(self) -> Informer:
        """A replica hears at once of shards that are free and of others that come; it does not ask again and again."""

        def changed(event: str, lease: Obj) -> None:
            self._keeper.notice(None if event == "DELETED" else lease)

        def listed(leases: list[Obj]) -> None:
            self._keeper.notice(leases[0] if leases else None)

        return Informer(
            self._transport,
            Kind.LEASE,
            changed,
            listed,
            namespace=self._settings.namespace,
            selectors={"fieldSelector": f"metadata.name={self._settings.lease_name}"},
        )

    async def _load_secret(self, namespace: str, name: str) -> dict[str, bytes]:
        """A Secret's data; "" stands for the operator's own namespace."""
        secret = await self._cluster.get(Kind.SECRET, namespace or self._settings.namespace, name)
        data: Mapping[str, str] = secret.get("data") or {}
        return {key: base64.b64decode(value) for key, value in data.items()}

    # ------------------------------------------------------------------ probes

    def _unhealthy(self) -> str:
        if self._failure:
            return self._failure
        if self._watcher is not None and not self._watcher.is_alive:
            return "kopf's thread has ended"
        return ""

    def _unready(self) -> str:
        return self._caches.problem() or self._unhealthy()
