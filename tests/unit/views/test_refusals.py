"""What an API server's audit log tells of refusals: whose, of what, by which rule; and nothing of what went well."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.views.refusals import Refusal, refusals_in

DENIED = (
    "killswitches.sluice.dev \"stop\" is forbidden: ValidatingAdmissionPolicy 'sluice-killswitch-release' with binding "
    "'sluice-killswitch-release' denied request: mallory may not release killswitches/stop: it needs the verb release"
)


def event(code: int = 403, message: str = "no", **fields: Any) -> str:
    """A line of an audit log."""
    return json.dumps(
        {
            "kind": "Event",
            "stage": "ResponseComplete",
            "verb": "patch",
            "user": {"username": "mallory", "groups": ["system:authenticated"]},
            "sourceIPs": ["10.0.0.7"],
            "objectRef": {"apiGroup": "sluice.dev", "resource": "killswitches", "namespace": "shop", "name": "stop"},
            "responseStatus": {"code": code, "message": message},
            "requestReceivedTimestamp": "2026-11-22T10:00:00.123456Z",
        }
        | fields
    )


def test_a_refusal_by_a_policy_names_who_what_and_the_rule() -> None:
    """What the policy said is told without the API server's frame around it."""
    assert list(refusals_in([event(message=DENIED)])) == [
        Refusal(
            at=datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC),
            who="mallory",
            acting_as="",
            verb="patch",
            what="killswitches.sluice.dev shop/stop",
            code=403,
            rule="sluice-killswitch-release",
            why="mallory may not release killswitches/stop: it needs the verb release",
            address="10.0.0.7",
        )
    ]


def test_missing_rights_have_no_rule_of_ours() -> None:
    """RBAC's refusal, and that of somebody nobody knows."""
    nobody = event(401, "Unauthorized", user={})
    assert [(each.rule, each.who, each.code) for each in refusals_in([event(), nobody])] == [
        ("", "mallory", 403),
        ("", "", 401),
    ]


def test_who_is_not_known_is_told_at_once_or_never() -> None:
    """What fails to authenticate is audited when its answer begins; of other answers that begin, the end will tell."""
    unknown = event(401, "Unauthorized", user={}, stage="ResponseStarted")
    watched = [event(stage="ResponseStarted", verb="watch"), event(verb="watch")]
    assert [(each.verb, each.code) for each in refusals_in([unknown, *watched])] == [("patch", 401), ("watch", 403)]


def test_our_policies_refuse_writes_of_other_kinds_too() -> None:
    """A route that somebody tried to move is ours to tell of; who may not read Secrets is not."""
    route = {"apiGroup": "gateway.networking.k8s.io", "resource": "httproutes", "namespace": "shop", "name": "checkout"}
    secret = {"resource": "secrets", "namespace": "shop", "name": "keys"}
    moved = event(422, DENIED.replace("killswitch-release", "causes"), objectRef=route)
    found = list(refusals_in([moved, event(objectRef=secret)]))
    assert [each.what for each in found] == ["httproutes.gateway.networking.k8s.io shop/checkout"]


def test_who_acts_as_another_is_told_as_both() -> None:
    """Impersonation is part of who it was."""
    [told] = refusals_in([event(impersonatedUser={"username": "alice"})])
    assert (told.who, told.acting_as) == ("mallory", "alice")


@pytest.mark.parametrize(
    "line",
    [
        event(200),
        event(409, "the object has been modified"),
        event(404, "not found"),
        event(stage="RequestReceived"),
        "{",
        "[1]",
        "null",
        "[" * 100_000,
        '{"stage": "ResponseComplete", "objectRef": 7, "responseStatus": []}',
    ],
)
def test_all_else_is_passed_over(line: str) -> None:
    """What went well, what merely failed, and what is no audit event."""
    assert list(refusals_in([line])) == []
