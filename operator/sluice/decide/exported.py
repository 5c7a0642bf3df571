"""Audit entries as CloudEvents 1.0, for whoever keeps them outside of the cluster; and which of them to send. Pure.

An event's `id` is its entry's hash, which covers the entry and all before it: by it, one that comes twice is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sluice.api.common import ObjectRef
from sluice.api.names import API_VERSION
from sluice.api.rollout import Audit, AuditEntry
from sluice.api.units import format_time

Event = dict[str, Any]
SPEC_VERSION = "1.0"
DATA_TYPE = "application/json"


def event_of(rollout: ObjectRef, cluster: str, entry: AuditEntry) -> Event:
    """An entry as a CloudEvent in JSON.

    Args:
        rollout: whose it is.
        cluster: the member that its part is in; "" is the hub.
        entry: as its chain has it.
    """
    kind = "memberrollouts" if cluster else "rollouts"
    place = f"/clusters/{cluster}" if cluster else ""
    whose = {"namespace": rollout.namespace, "name": rollout.name, "uid": rollout.uid}
    return {
        "specversion": SPEC_VERSION,
        "id": entry.hash,
        "source": f"{place}/apis/{API_VERSION}/namespaces/{rollout.namespace}/{kind}/{rollout.name}",
        "type": f"dev.sluice.audit.{entry.stage.lower()}",
        "subject": rollout.uid,
        "time": format_time(entry.at),
        "datacontenttype": DATA_TYPE,
        "data": {"rollout": {**whose, "cluster": cluster} if cluster else whose, "entry": entry.dump()},
    }


def due(audit: Audit, *, since: int, sent: int | None, young: datetime) -> Iterator[AuditEntry]:
    """The entries to send now, oldest first.

    Args:
        audit: as its status has it.
        since: the number of the last entry that was there before this pass.
        sent: that of the last one this process took to be sent; None where it sees the Rollout for the first time. Then
            nobody knows what the process before it could still send.
        young: entries from this time on are sent anew at the first sight.
    """
    for entry in audit.entries:
        if entry.seq > sent if sent is not None else entry.seq > since or entry.at >= young:
            yield entry
