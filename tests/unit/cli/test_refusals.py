"""`sluice audit refusals`: a line for each, which says by what it was refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sluice.cli.main import cli


def event(code: int, message: str, **fields: Any) -> str:
    """A line of an audit log."""
    return json.dumps(
        {
            "stage": "ResponseComplete",
            "verb": "patch",
            "user": {"username": "mallory"},
            "sourceIPs": ["10.0.0.7"],
            "objectRef": {"apiGroup": "sluice.dev", "resource": "killswitches", "namespace": "shop", "name": "stop"},
            "responseStatus": {"code": code, "message": message},
            "requestReceivedTimestamp": "2026-11-22T10:00:00.123456Z",
        }
        | fields
    )


def test_each_line_says_by_what_it_was_refused(tmp_path: Path) -> None:
    """A policy by its name, a missing right, and credentials that are not accepted, whose nobody knows."""
    denied = "ValidatingAdmissionPolicy 'sluice-killswitch-release' with binding 'b' denied request: say why"
    unknown = event(401, "Unauthorized", user={}, stage="ResponseStarted")
    log = tmp_path / "audit.log"
    log.write_text("\n".join([event(422, denied), event(403, "no"), unknown]))
    done = CliRunner().invoke(cli, ["audit", "refusals", str(log)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    at, what = "2026-11-22T10:00:00Z", ["patch", "killswitches.sluice.dev", "shop/stop"]
    assert rows[1:] == [
        [at, "mallory", *what, "422", "sluice-killswitch-release", "10.0.0.7", "say", "why"],
        [at, "mallory", *what, "403", "rights", "10.0.0.7", "no"],
        [at, "nobody", "known", *what, "401", "credentials", "10.0.0.7", "Unauthorized"],
    ]


@pytest.mark.parametrize("who, users", [("mallory", ["mallory"]), ("eve", ["gitops"]), ("", [""]), ("alice", [])])
def test_only_those_of_one_user(tmp_path: Path, who: str, users: list[str]) -> None:
    """Also of who acts as another; and "" are those of whom nobody knows who they are."""
    acting = event(403, "no", user={"username": "gitops"}, impersonatedUser={"username": "eve"})
    log = tmp_path / "audit.log"
    log.write_text("\n".join([event(403, "no"), acting, event(401, "Unauthorized", user={})]))
    done = CliRunner().invoke(cli, ["audit", "refusals", str(log), "--who", who, "-o", "json"])
    assert done.exit_code == 0, done.output
    assert [each["who"] for each in json.loads(done.stdout)] == users
