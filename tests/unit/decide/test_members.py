"""What is said of a member cluster: a table of what was found, and the conditions that it comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluice.api.conditions import Reason, condition_of
from sluice.api.member import MemberClusterStatus
from sluice.decide.members import (
    Findings,
    MemberState,
    Problem,
    assess,
    state_of,
    write_due,
)
from sluice.decide.rights import RIGHTS, Right, role_rules

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SEEN = NOW - timedelta(minutes=3)
NEW = MemberClusterStatus()
NO_ANSWER = Problem(Reason.NO_ANSWER, "read the version: no answer")
GOOD = Findings(host="api:6443", version="v1.36.3", missing=(), answered_at=SEEN)
READY = assess(GOOD, NEW, 1, NOW - timedelta(hours=1))
ONE_MISSING = Findings(host="api:6443", version="v1.36.3", missing=(Right("", "pods", "patch"),), answered_at=SEEN)


def failing(reason: Reason, times: int) -> Findings:
    """A member that failed so many times in a row."""
    return Findings(
        host="api:6443", version="v1.36.3", missing=(), answered_at=SEEN, failure=Problem(reason, "?"), failures=times
    )


@pytest.mark.parametrize(
    "findings, before, told",
    [
        (Findings(), NEW, {}),
        (
            Findings(),
            READY,
            {"Reachable": "True Answers", "Authorized": "True RightsGranted", "Ready": "True MemberReady"},
        ),
        (GOOD, NEW, {"Reachable": "True Answers", "Authorized": "True RightsGranted", "Ready": "True MemberReady"}),
        (
            ONE_MISSING,
            READY,
            {"Reachable": "True Answers", "Authorized": "False RightsMissing", "Ready": "False RightsMissing"},
        ),
        (
            Findings(host="api:6443", version="v1.36.3"),
            NEW,
            {"Reachable": "True Answers", "Authorized": "Unknown Connecting", "Ready": "Unknown Connecting"},
        ),
        (
            failing(Reason.NO_ANSWER, 1),
            READY,
            {"Reachable": "True Answers", "Authorized": "True RightsGranted", "Ready": "True MemberReady"},
        ),
        (
            failing(Reason.NO_ANSWER, 2),
            READY,
            {"Reachable": "False NoAnswer", "Authorized": "Unknown NoAnswer", "Ready": "False NoAnswer"},
        ),
        (
            failing(Reason.NO_ANSWER, 1),
            NEW,
            {"Reachable": "False NoAnswer", "Authorized": "Unknown NoAnswer", "Ready": "False NoAnswer"},
        ),
        (
            failing(Reason.NOT_KUBERNETES, 2),
            READY,
            {"Reachable": "False NotKubernetes", "Authorized": "Unknown NotKubernetes", "Ready": "False NotKubernetes"},
        ),
        (
            failing(Reason.CREDENTIALS_REFUSED, 1),
            READY,
            {
                "Reachable": "True Answers",
                "Authorized": "False CredentialsRefused",
                "Ready": "False CredentialsRefused",
            },
        ),
        (
            Findings(stalled=Problem(Reason.SECRET_MISSING, "?")),
            READY,
            {
                "Reachable": "Unknown SecretMissing",
                "Authorized": "Unknown SecretMissing",
                "Ready": "False SecretMissing",
                "Stalled": "True SecretMissing",
            },
        ),
        (
            Findings(waits=Problem(Reason.CONNECTING, "Secrets are not known")),
            NEW,
            {"Reachable": "Unknown Connecting", "Authorized": "Unknown Connecting", "Ready": "Unknown Connecting"},
        ),
        (
            Findings(waits=Problem(Reason.CONNECTING, "Secrets are not known")),
            READY,
            {"Reachable": "True Answers", "Authorized": "True RightsGranted", "Ready": "True MemberReady"},
        ),
    ],
)
def test_conditions(findings: Findings, before: MemberClusterStatus, told: dict[str, str]) -> None:
    """Each cause has its conditions, and Ready carries the first cause; what is not known yet changes nothing."""
    after = assess(findings, before, 1, NOW)
    assert {each.type: f"{each.status} {each.reason}" for each in after.conditions} == told


def test_stalled_is_there_only_while_true() -> None:
    """kstatus: a mended Secret takes the condition away again."""
    stalled = assess(Findings(stalled=Problem(Reason.KUBECONFIG_REFUSED, "exec")), READY, 1, NOW)
    assert condition_of(stalled.conditions, "Stalled") is not None
    assert condition_of(assess(GOOD, stalled, 1, NOW).conditions, "Stalled") is None


def test_a_quiet_member_writes_nothing() -> None:
    """An answer as before, however often, is the same status: times of answers are not in it."""
    later = assess(Findings(host="api:6443", version="v1.36.3", missing=(), answered_at=NOW), READY, 1, NOW)
    assert later == READY
    assert not write_due(READY, later, None, NOW)


def test_when_it_was_last_seen() -> None:
    """Told once it does not answer, from what was seen last; gone again once it does."""
    gone = assess(failing(Reason.NO_ANSWER, 2), READY, 1, NOW)
    assert gone.last_seen_at == SEEN
    assert assess(Findings(failure=NO_ANSWER, failures=9), gone, 1, NOW).last_seen_at == SEEN
    assert assess(GOOD, gone, 1, NOW).last_seen_at is None


def test_what_it_may_not_do_is_listed() -> None:
    """All of it in a list for tools, some of it in the message, with what to do."""
    missing = RIGHTS[:9]
    after = assess(Findings(host="api", version="v1.36.3", missing=missing), READY, 1, NOW)
    assert after.missing_rights == tuple(map(str, missing))
    message = next(each.message for each in after.conditions if each.type == "Ready")
    assert "get httproutes.gateway.networking.k8s.io" in message
    assert "and 3 more" in message
    assert "sluice clusters add" in message


def test_a_new_spec_is_not_answered_by_an_old_status() -> None:
    """What was found by another Secret says nothing about this one: one failed probe is told at once."""
    after = assess(failing(Reason.NO_ANSWER, 1), READY, 2, NOW)
    assert after.observed_generation == 2
    assert state_of(after) is MemberState.UNREACHABLE


def test_words_alone_wait() -> None:
    """A server that fails in two ways by turns is not a write each time; a change of reason is one at once."""
    one = assess(failing(Reason.NO_ANSWER, 3), READY, 1, NOW)
    other_words = Findings(host="api:6443", version="v1.36.3", answered_at=SEEN, failure=NO_ANSWER, failures=4)
    other = assess(other_words, one, 1, NOW)
    assert other != one
    assert not write_due(one, other, NOW - timedelta(minutes=1), NOW)
    assert write_due(one, other, NOW - timedelta(minutes=6), NOW)
    assert write_due(one, assess(failing(Reason.NOT_KUBERNETES, 4), one, 1, NOW), NOW - timedelta(seconds=1), NOW)


@pytest.mark.parametrize(
    "status, state",
    [
        (NEW, MemberState.UNKNOWN),
        (READY, MemberState.READY),
        (assess(failing(Reason.NO_ANSWER, 2), READY, 1, NOW), MemberState.UNREACHABLE),
        (assess(ONE_MISSING, READY, 1, NOW), MemberState.UNAUTHORIZED),
        (assess(Findings(stalled=Problem(Reason.SECRET_MISSING, "?")), READY, 1, NOW), MemberState.STALLED),
    ],
)
def test_states_for_counting(status: MemberClusterStatus, state: MemberState) -> None:
    """Every member counts as one of five."""
    assert state_of(status) is state


def test_the_role_gives_what_is_asked_for() -> None:
    """The ClusterRole that `sluice clusters add` makes grants every right that is reviewed, and no wildcard."""
    granted: set[tuple[str, str, str]] = set()
    for rule in role_rules():
        for group in rule.get("apiGroups", []):
            for resource in rule.get("resources", []):
                granted |= {(group, resource, verb) for verb in rule["verbs"]}
    wanted: set[tuple[Any, ...]] = {(right.group, right.resource, right.verb) for right in RIGHTS}
    assert granted == wanted
    assert not {"*", "secrets", "impersonate", "escalate", "bind"} & {part for right in granted for part in right}
