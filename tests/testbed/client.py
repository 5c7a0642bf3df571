"""A small blocking client of a Kubernetes API server, for any number of threads."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from testbed.errors import ApiError, ApiUnreachableError

_TIMEOUT_SECONDS = 30.0
_REUSED = (ConnectionError, ssl.SSLError, http.client.CannotSendRequest)


class ApiClient:
    """Requests to one server over verified TLS, with a bearer token, a client certificate, or neither.

    Args:
        server: for example ``https://127.0.0.1:34567``.
        ca_file: the certificates that the server's own is checked against.
        token: sent as ``Authorization: Bearer``; a request can bring another, or "" for none.
        certificate: paths of a client certificate and its key.
        headers: sent with each request, such as ``Impersonate-User``.
    """

    def __init__(
        self,
        server: str,
        ca_file: str,
        token: str = "",
        certificate: tuple[Path, Path] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._address = urlsplit(server).netloc
        self._token = token
        self._headers = dict(headers or {})
        self._context = ssl.create_default_context(cafile=ca_file)
        if certificate:
            self._context.load_cert_chain(*certificate)
        self._idle: list[http.client.HTTPSConnection] = []
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        token: str | None = None,
    ) -> tuple[int, Any]:
        """One request; returns the HTTP status, whatever it is, and the decoded JSON (or the text where it is none).

        Raises:
            ApiUnreachableError: no answer; retry once the server runs.
        """
        token = self._token if token is None else token
        headers = {**self._headers, "Content-Type": content_type, "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        payload = body if isinstance(body, bytes | str | None) else json.dumps(body)
        try:
            status, data = self._send(method, path, payload, headers)
        except (OSError, http.client.HTTPException) as error:
            raise ApiUnreachableError(
                f"{method} https://{self._address}{path}: no answer: {error!r}. Is the API server started?"
            ) from error
        return status, _decode(data)

    def get(self, path: str) -> Any:
        """The JSON of an object, a list or any other path.

        Raises:
            ApiError: the answer's status is 400 or more.
            ApiUnreachableError: no answer.
        """
        return self.checked("GET", path)

    def checked(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Like :meth:`request`, for when only success will do.

        Raises:
            ApiError: the answer's status is 400 or more.
        """
        status, answer = self.request(method, path, body, content_type)
        if status >= 400:
            message = answer.get("message") if isinstance(answer, dict) else answer
            raise ApiError(f"{method} {path} answered {status}: {message}", status, answer)
        return answer

    def close(self) -> None:
        """Close the idle connections; a later request opens new ones."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _send(self, method: str, path: str, payload: bytes | str | None, headers: dict[str, str]) -> tuple[int, bytes]:
        with self._lock:
            reused = self._idle.pop() if self._idle else None
        if reused:
            try:
                return self._exchange(reused, method, path, payload, headers)
            except _REUSED:
                # The server closed the idle connection; a fresh one tells whether it is there.
                self.close()
        return self._exchange(self._new_connection(), method, path, payload, headers)

    def _new_connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, timeout=_TIMEOUT_SECONDS, context=self._context)

    def _exchange(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        payload: bytes | str | None,
        headers: dict[str, str],
    ) -> tuple[int, bytes]:
        try:
            connection.request(method, path, body=payload, headers=headers)
            response = connection.getresponse()
            answer = response.status, response.read()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return answer


def _decode(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
