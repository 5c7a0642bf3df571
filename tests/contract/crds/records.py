"""The API server's own audit log, read as a person would: by `sluice audit refusals`."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from sluice.cli.main import cli
from testbed import Cluster

SECONDS = 60  # until the API server has written its log, on a busy machine


def refusals(cluster: Cluster, part: str) -> list[dict[str, Any]]:
    """The refusals of objects whose name, namespace or kind holds this part."""
    assert cluster.audit_log is not None
    done = CliRunner().invoke(cli, ["audit", "refusals", str(cluster.audit_log), "-o", "json"])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [each for each in found if part in each["what"]]


def await_refusals(cluster: Cluster, part: str, count: int) -> list[dict[str, Any]]:
    """Wait until there are so many of them, and give them all."""
    cluster.wait(lambda: len(refusals(cluster, part)) >= count, SECONDS, f"{count} refusals about {part} on record")
    return refusals(cluster, part)
