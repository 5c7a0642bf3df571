"""What an API server's answers mean."""

import json
from typing import Any

import pytest

from sluice.adapters.kube.failures import failure_of
from sluice.errors import Conflict, Forbidden, NotFound, Rejected, Unauthenticated, Unavailable

# As kube-apiserver 1.36 answers a JSON Patch whose test failed.
DOES_NOT_APPLY = {
    "kind": "Status",
    "message": "the server rejected our request due to an error in our request",
    "reason": "Invalid",
    "details": {},
    "code": 422,
}
INVALID = {
    "message": 'Service "a" is invalid: spec.ports[0].port: Invalid value: 0',
    "reason": "Invalid",
    "details": {"name": "a", "causes": [{"reason": "FieldValueInvalid"}]},
}
# As it answers a patch that names another uid than the object's.
ANOTHER_UID = {
    "message": 'Service "a" is invalid: metadata.uid: Invalid value: "x": field is immutable',
    "reason": "Invalid",
    "details": {"name": "a", "causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]},
}


def failure(status: int, body: Any, *, json_patch: bool = False, headers: Any = None) -> Exception:
    """The exception for an answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure_of(status, headers or {}, raw, "patch HTTPRoute shop/web", json_patch=json_patch)


@pytest.mark.parametrize(
    "status, body, json_patch, expected",
    [
        (401, {"message": "Unauthorized"}, False, Unauthenticated),
        (403, {"message": "no"}, False, Forbidden),
        (404, {"message": "not found"}, False, NotFound),
        (410, {"message": "expired"}, False, NotFound),
        (409, {"message": "the object has been modified"}, False, Conflict),
        (422, DOES_NOT_APPLY, True, Conflict),
        (422, DOES_NOT_APPLY, False, Rejected),
        (422, INVALID, True, Rejected),
        (422, ANOTHER_UID, False, Conflict),
        (422, ANOTHER_UID, True, Conflict),
        (422, {"details": {"causes": 7}}, False, Rejected),
        (422, {"message": "admission webhook denied the request"}, True, Rejected),
        (400, {"message": "bad"}, False, Rejected),
        (413, b"<html>too large</html>", False, Rejected),
        (429, {}, False, Unavailable),
        (500, b"", False, Unavailable),
        (
            500,
            {"message": "failed to create typed patch object (shop/a): .spec.x: field not declared"},
            False,
            Rejected,
        ),
        (503, b"upstream connect error", False, Unavailable),
        (302, b"", False, Unavailable),
    ],
)
def test_statuses(status: int, body: Any, json_patch: bool, expected: type[Exception]) -> None:
    """Each status becomes the exception with its retry meaning."""
    assert type(failure(status, body, json_patch=json_patch)) is expected


def test_messages_say_what_and_are_short() -> None:
    """The message names the request, and quotes the server on one line of bounded length."""
    text = str(failure(400, {"message": "line one\nline two " + "x" * 10_000}))
    assert text.startswith("patch HTTPRoute shop/web: the API server answered 400: line one line two")
    assert len(text) < 400


@pytest.mark.parametrize(
    "status, said, hint",
    [
        (401, "Unauthorized", False),
        (403, 'services is forbidden: User "sluice" cannot patch resource "services" in API group ""', True),
        (403, 'services "a" is forbidden: exceeded quota: small', False),
    ],
)
def test_only_a_missing_right_is_blamed_on_rbac(status: int, said: str, hint: bool) -> None:
    """A quota or an admission plugin says itself what is wrong; to look into RBAC would lead nowhere."""
    text = str(failure(status, {"message": said}))
    assert said in text
    assert ("RBAC" in text) is hint


def test_who_is_not_known_is_not_sent_to_look_for_rights() -> None:
    """An expired token has no rights to ask for: the message blames the credentials, and it is still a refusal."""
    found = failure(401, {"message": "Unauthorized"})
    assert isinstance(found, Forbidden)
    assert str(found).endswith("answered 401: Unauthorized. It does not accept the credentials: wrong, or expired")


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[1,2]", b'{"message": {"a": 1}, "details": [7]}', b"null"])
def test_nonsense_is_survived(body: bytes) -> None:
    """A proxy's page or a broken body is no reason to fail otherwise."""
    assert isinstance(failure(503, body), Unavailable)


@pytest.mark.parametrize(
    "headers, body, seconds",
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"details": {"retryAfterSeconds": 3}}, 3.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, 0.0),
        ({"Retry-After": "-5"}, {}, 0.0),
        ({"Retry-After": "1e9"}, {}, 300.0),
        ({"Retry-After": "nan"}, {}, 0.0),
    ],
)
def test_the_servers_wish(headers: dict[str, str], body: Any, seconds: float) -> None:
    """Retry-After is kept within bounds."""
    error = failure(429, body, headers=headers)
    assert isinstance(error, Unavailable)
    assert error.retry_after_seconds == seconds


def test_what_a_server_says_is_fit_for_a_terminal() -> None:
    """A member's server, or a webhook behind it, writes into what the hub tells: no escapes, and on one line."""
    told = str(failure(422, {"message": "denied\x1b]0;pwned\x07 by\n\u202eeman a"}))
    assert told == "patch HTTPRoute shop/web: the API server answered 422: denied ]0;pwned by eman a"
