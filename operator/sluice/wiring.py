"""The composition root: which adapter stands behind which port.

It does not import handlers (kopf): the process that runs the operator (`cli.run`) gives it the watcher. So the sim and
the command line never pay for kopf.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sluice.adapters.audit.lines import FileReceiver, StdoutReceiver
from sluice.adapters.traffic.routes import RouteRouter
from sluice.adapters.traffic.selector import SelectorRouter
from sluice.api.names import Kind
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence
from sluice.engine.precedence import Precedence
from sluice.engine.store import Store
from sluice.engine.telemetry import Meter, NoMeter, Telemetry
from sluice.engine.writes import Ports
from sluice.errors import InvalidSpec
from sluice.ports import (
    AuditArchive,
    AuditReceiver,
    AuditSigner,
    AuditSink,
    Clock,
    Cluster,
    MetricProvider,
    Notifier,
    TrafficRouter,
)
from sluice.settings import Settings


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where an engine tells of what it does."""

    notifier: Notifier
    audit: AuditSink
    archive: AuditArchive
    signer: AuditSigner | None = None
    meter: Meter = field(default_factory=NoMeter)


@dataclass(frozen=True, slots=True)
class Branch:
    """What makes an engine that of a member.

    Attributes:
        name: of the member.
        mirrored: kinds in its caches that are the hub's: read, and never written.
        precedence: that of the hub's engine, so that kills anywhere go before everything else everywhere.
    """

    name: str
    mirrored: frozenset[Kind]
    precedence: Precedence


def build_engine(
    cluster: Cluster,
    *,
    metrics: MetricProvider,
    outlets: Outlets,
    fence: Fence,
    clock: Clock,
    branch: Branch | None = None,
) -> Engine:
    """An engine over a cluster, with empty caches. Feed `engine.store`, then `run` it.

    The cluster's own Leadership is to be the same `fence`, so that each write is checked right before it is sent.
    """
    store = Store()
    ports = Ports(
        cluster=cluster,
        routers=routers_over(store, cluster),
        notifier=outlets.notifier,
        audit=outlets.audit,
        archive=outlets.archive,
        signer=outlets.signer,
        clock=clock,
        name=branch.name if branch is not None else "",
    )
    return Engine(
        ports,
        store,
        metrics=metrics,
        fence=fence,
        telemetry=Telemetry(clock, outlets.meter),
        mirrored=branch.mirrored if branch is not None else frozenset(),
        precedence=branch.precedence if branch is not None else None,
    )


def routers_over(store: Store, cluster: Cluster) -> Mapping[Kind, TrafficRouter]:
    """The router of each kind of target."""
    routes = RouteRouter(store, cluster)
    return {Kind.HTTP_ROUTE: routes, Kind.GRPC_ROUTE: routes, Kind.SERVICE: SelectorRouter(store, cluster)}


def signer_of(settings: Settings) -> AuditSigner | None:
    """Who signs the audit; None where no key was given.

    Raises:
        InvalidSpec: the file holds no key that can sign.
        Unavailable: it can't be read.
    """
    if not settings.audit_key:
        return None
    from sluice.adapters.audit.keys import SigningKey  # noqa: PLC0415 - who has no key loads no cryptography

    return SigningKey.load(Path(settings.audit_key))


def receiver_of(settings: Settings) -> AuditReceiver | None:
    """Who keeps the audit outside of the cluster; None where nobody does.

    Raises:
        InvalidSpec: the setting means nothing.
        Unavailable: the file can't be written.
    """
    where, token = settings.audit_to, settings.audit_token_file
    if token and not (where or "").startswith("http"):
        raise InvalidSpec("InvalidAddress", "--audit-token-file is for --audit-to=URL: leave it out, or name a URL")
    if not where:
        return None
    if where == "stdout":
        return StdoutReceiver(sys.stdout)
    if where.startswith("file:"):
        file = FileReceiver(Path(where.removeprefix("file:")))
        file.check()
        return file
    if where.startswith(("http://", "https://")):
        from sluice.adapters.audit.cloudevents import HttpReceiver  # noqa: PLC0415 - loads aiohttp, which few need

        return HttpReceiver(where, settings.audit_events, Path(token) if token else None)
    raise InvalidSpec("InvalidAddress", f"--audit-to={where} is none of stdout, file:PATH, http://... and https://...")
