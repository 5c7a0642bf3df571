"""Audit events as CloudEvents 1.0 over HTTP.

The address is the administrator's, by a setting of the process: no object of a namespace can change where events go.
All the same no redirect is followed, an answer is bounded in time and size, and nothing of it is logged.

Source: the HTTP protocol binding of CloudEvents 1.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp

from sluice.decide.exported import Event
from sluice.errors import InvalidSpec, Rejected, Unavailable

MODES = ("binary", "structured", "batched")
_AT_ONCE = 100
_TIMEOUT_SECONDS = 10.0
_ANSWER_BYTES = 64 * 1024
_TOKEN_BYTES = 16 * 1024
# The address, the credentials or the hour may be the reason: it is tried again. Any other 4xx is about the event.
_NOT_THE_EVENT = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 429})


class HttpReceiver:
    """Implements `ports.AuditReceiver`. Any answer of 2xx means that the events are kept.

    Args:
        url: where to POST.
        mode: one of MODES: an event a request, as headers and body or as one body; or up to a hundred in one body.
        token_file: holds a bearer token, and is read for each request; None for none.
        timeout_seconds: for one request, its answer included.

    Raises:
        InvalidSpec: this is no address to POST to.
    """

    def __init__(
        self, url: str, mode: str, token_file: Path | None = None, *, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self._url = checked(url)
        self._host = urlsplit(url).netloc
        self._mode = mode
        self._token_file = token_file
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    @property
    def at_once(self) -> int:
        """One, but for batches."""
        return _AT_ONCE if self._mode == "batched" else 1

    async def send(self, events: Sequence[Event]) -> None:
        """POST them."""
        for headers, body in requests_of(events, self._mode):
            await self._post({**headers, **self._authorization()}, body)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, headers: Mapping[str, str], body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=1),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                left = _ANSWER_BYTES  # an answer that is read to its end lets the connection be used again
                while left > 0 and (part := await answer.content.read(left)):
                    left -= len(part)
                if left <= 0:
                    answer.close()
        except TimeoutError as error:
            raise Unavailable(f"{self._host} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"{self._host} can't be reached: {type(error).__name__}") from error
        if 400 <= status < 500 and status not in _NOT_THE_EVENT:
            raise Rejected(f"{self._host} refuses an event: it answered {status}")
        if not 200 <= status < 300:
            follows = ", and redirects are not followed" if 300 <= status < 400 else ""
            raise Unavailable(f"{self._host} answered {status}{follows}")

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            with self._token_file.open(encoding="ascii") as file:
                token = file.read(_TOKEN_BYTES).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"the token in {self._token_file} can't be read: {type(error).__name__}") from error
        if not token or not token.isprintable() or " " in token:
            raise Unavailable(f"{self._token_file} holds no bearer token")
        return {"Authorization": f"Bearer {token}"}


def requests_of(events: Sequence[Event], mode: str) -> list[tuple[dict[str, str], bytes]]:
    """Headers and body of each request that these events take."""
    if mode == "batched":
        return [({"Content-Type": "application/cloudevents-batch+json"}, _json(list(events)))]
    if mode == "structured":
        return [({"Content-Type": "application/cloudevents+json"}, _json(event)) for event in events]
    return [(_headers(event), _json(event["data"])) for event in events]


def checked(url: str) -> str:
    """The address, if it is one.

    Raises:
        InvalidSpec: it is not.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        fine = fine and parts.username is None and not parts.fragment and url.isprintable() and " " not in url
    except ValueError:
        fine = False
    if not fine:
        raise InvalidSpec("InvalidAddress", "the audit goes to http(s)://HOST[:PORT][/PATH], without credentials")
    return url


def _headers(event: Event) -> dict[str, str]:
    attributes = {name: value for name, value in event.items() if name not in {"data", "datacontenttype"}}
    named = {f"ce-{name}": quote(str(value), safe="/:+-._~ ") for name, value in attributes.items()}
    return {"Content-Type": event["datacontenttype"], **named}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
