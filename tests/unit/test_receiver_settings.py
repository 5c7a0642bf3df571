"""Who keeps the audit outside, and who signs it, is said by settings; what can't work is told at the start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sluice.adapters.audit.cloudevents import HttpReceiver
from sluice.adapters.audit.lines import FileReceiver, StdoutReceiver
from sluice.errors import SluiceError
from sluice.handlers.process import _operate
from sluice.settings import Settings
from sluice.wiring import receiver_of


def test_each_receiver_has_its_setting(tmp_path: Path) -> None:
    """None, stdout, a file, a URL in each mode."""
    assert receiver_of(Settings()) is None
    assert isinstance(receiver_of(Settings(audit_to="stdout")), StdoutReceiver)
    assert isinstance(receiver_of(Settings(audit_to=f"file:{tmp_path}/audit.jsonl")), FileReceiver)
    for mode, at_once in (("binary", 1), ("structured", 1), ("batched", 100)):
        receiver = receiver_of(Settings(audit_to="https://audit.example/in", audit_events=mode))
        assert isinstance(receiver, HttpReceiver)
        assert receiver.at_once == at_once


@pytest.mark.parametrize(
    "where, token, sentence",
    [
        ("syslog", None, "--audit-to=syslog is none of stdout, file:PATH, http://... and https://..."),
        ("file:/dev/null/audit", None, "/dev/null/audit can't be written: Not a directory"),
        ("https://me:mine@audit.example", None, "without credentials"),
        ("stdout", "/token", "--audit-token-file is for --audit-to=URL"),
        (None, "/token", "--audit-token-file is for --audit-to=URL"),
    ],
)
def test_what_cannot_work(where: str | None, token: str | None, sentence: str) -> None:
    """Says what to correct."""
    with pytest.raises(SluiceError) as told:
        receiver_of(Settings(audit_to=where, audit_token_file=token))
    assert sentence in str(told.value)


async def test_the_operator_does_not_start_without_its_audit(caplog: pytest.LogCaptureFixture) -> None:
    """Rather than running for weeks with nobody keeping what was asked to be kept."""
    assert await _operate(Settings(audit_to="file:/dev/null/audit")) == 1
    [told] = caplog.records
    assert told.message == "the audit has nowhere to go: correct --audit-to"
    assert "/dev/null/audit can't be written" in told.__dict__["error"]


async def test_the_operator_does_not_start_with_a_key_that_cannot_sign(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rather than leaving unsigned what everybody takes for signed."""
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    assert await _operate(Settings(audit_key=str(file))) == 1
    assert await _operate(Settings(audit_key=str(tmp_path / "none.pem"))) == 1
    unreadable, missing = caplog.records
    assert unreadable.message == missing.message == "the audit can't be signed: correct --audit-key, or leave it out"
    assert f"{file} holds a private key that can't be read" in unreadable.__dict__["error"]
    assert "none.pem can't be read: No such file or directory" in missing.__dict__["error"]
    assert "secret" not in unreadable.__dict__["error"]


def test_who_has_no_key_loads_no_cryptography() -> None:
    """Neither the operator nor the command that checks."""
    program = (
        "import sys; from sluice.handlers import process; from sluice.cli import audit, trail;"
        "from sluice.ops import audit;"
        "from sluice.settings import Settings; from sluice.wiring import signer_of;"
        "assert signer_of(Settings()) is None; assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
