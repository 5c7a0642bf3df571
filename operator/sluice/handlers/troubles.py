"""What the event loop tells of that nobody awaited."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

_log = logging.getLogger(__name__)
# uvloop says so of a connection that is closed while its TLS has something left to write: nobody is there to read it.
_CLOSED = "the handler is closed"


def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of it as usual, but for a connection that ended in the midst of its goodbye: whoever used it was told."""
    error = context.get("exception")
    if isinstance(error, RuntimeError) and _CLOSED in str(error) and "SSL" in str(context.get("message")):
        _log.debug("a connection was closed before its TLS was", extra={"error": str(error)})
        return
    loop.default_exception_handler(context)
