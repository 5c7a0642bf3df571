"""Who keeps the audit outside is said by settings; what can't work is told at the start, in a sentence."""

from __future__ import annotations

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
