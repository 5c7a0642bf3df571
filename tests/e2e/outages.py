"""Outages of the API server, on record: one that has just started refuses everybody until it has read its roles."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from contract.crds.rights import await_right
from installation import NAMESPACE
from testbed import Cluster, DataPlane
from testbed.processes import session

AFTERMATH_SECONDS = 10.0  # in which an operator may still tell of what it was refused before
OPERATOR = f"system:serviceaccount:{NAMESPACE}:sluice"


def _record() -> Path:
    return session().folder / "outages"


@contextlib.contextmanager
def outage(hub: Cluster, plane: DataPlane) -> Iterator[None]:
    """The API server is away for the length of the ``with``, and serves operator and Gateway again at its end."""
    began = time.time()
    hub.stop_apiserver()
    try:
        yield
    finally:
        hub.start_apiserver()
        # A right in every namespace, and one by a Role: roles of either kind are read by themselves.
        await_right(hub, OPERATOR, "list", "rollouts.sluice.dev")
        await_right(hub, OPERATOR, "patch", "leases.coordination.k8s.io", namespace=NAMESPACE, name="sluice")
        plane.restart_contour()
        with _record().open("a") as record:
            record.write(f"{began} {time.time() + AFTERMATH_SECONDS}\n")


def in_an_outage(line: str) -> bool:
    """Whether a line of an operator's log is from an outage of this session, or from right after one."""
    try:
        at = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return False
    spans = (
        [tuple(map(float, each.split())) for each in _record().read_text().splitlines()] if _record().exists() else []
    )
    return any(began <= at <= ended for began, ended in spans)
