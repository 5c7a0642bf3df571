"""What the event loop tells of: all of it, but for connections that end in the midst of their goodbye."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sluice.handlers.troubles import handle

CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"


@pytest.mark.parametrize(
    "message, error, is_told",
    [
        ("Fatal error on SSL protocol", RuntimeError(CLOSED), False),
        ("Fatal error on SSL protocol", RuntimeError("something else"), True),
        ("Fatal error on transport", RuntimeError(CLOSED), True),
        ("Task exception was never retrieved", KeyError("x"), True),
    ],
)
async def test_only_a_lost_goodbye_is_not_told(
    caplog: pytest.LogCaptureFixture, message: str, error: Exception, is_told: bool
) -> None:
    """An error in the log is something to look at."""
    handle(asyncio.get_running_loop(), {"message": message, "exception": error})
    assert any(record.levelno >= logging.ERROR for record in caplog.records) is is_told
