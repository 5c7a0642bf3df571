"""Whatever people say, and whenever: a point is passed only while enough others of the group stand by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluice.api.action import Verb
from sluice.decide.planner import plan
from unit.decide.observed import NOW, action, after, running

GROUP, QUORUM, EXPIRES = "release-managers", 2, timedelta(minutes=30)
STEPS: list[dict[str, Any]] = [
    {"setWeight": 10},
    {"approval": {"group": GROUP, "quorum": QUORUM, "expires": "30m"}},
    {"setWeight": 50},
    {"pause": {}},
]
VERBS = (Verb.APPROVE, Verb.APPROVE, Verb.APPROVE, Verb.PROMOTE, Verb.PROMOTE_FULLY, Verb.PAUSE, Verb.RESUME, Verb.HOLD)
WORDS = st.tuples(
    st.sampled_from(VERBS),
    st.sampled_from(["alice", "bob", "carol", "mallory", ""]),
    st.sampled_from([(GROUP,), ("others",), ()]),
    st.sampled_from(["step-2", "step-2", "step-4"]),
    st.integers(0, 20),
)


@given(words=st.lists(WORDS, max_size=12), written=st.booleans())
def test_a_point_is_passed_with_enough_approvals_only(words: list[Any], written: bool) -> None:
    """Of different people, in the group, who did not ask for the run, none older than it counts; after crashes too."""
    seen, at = running(strategy={"canary": {"steps": STEPS}}), NOW
    given_at: dict[str, Any] = {}
    for number, (verb, actor, groups, point, minutes) in enumerate(words):
        at += timedelta(minutes=minutes, seconds=1)
        fields: dict[str, Any] = {"point": point, "actor_groups": groups} if verb is Verb.APPROVE else {}
        told = action(verb, 1, at=at, name=f"a-{number}", actor=actor, reason="why", **fields)
        made = plan(replace(seen, actions=(told,)), at)
        if not written:  # the operator dies after the status write, and sees the action again
            made = plan(replace(after(seen, made), actions=(told,)), at)
        counts = verb is Verb.APPROVE and GROUP in groups and actor not in {"", "alice"} and point == "step-2"
        if counts and not (actor in given_at and at < given_at[actor] + EXPIRES):
            given_at[actor] = at
        standing = [who for who, since in given_at.items() if at < since + EXPIRES]
        seen = after(seen, made)
        assert seen.status.step is not None
        if seen.status.step.index > 2:
            assert len(standing) >= QUORUM, (words[: number + 1], standing)
            return
        assert seen.targets[0].shares == (1000,)
