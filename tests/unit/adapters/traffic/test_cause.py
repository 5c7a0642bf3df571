"""The cause of a weight, to the annotation and back, whoever wrote it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.adapters.traffic.cause import MAX_CHARACTERS, dump_cause, parse_cause
from sluice.decide.model import Cause

TEXTS = st.text(max_size=80)


@given(
    st.builds(
        Cause, run=TEXTS.filter(bool), action=TEXTS.filter(bool), switch=TEXTS, reason=TEXTS, actor=TEXTS, at=TEXTS
    )
)
def test_it_comes_back_as_it_was(cause: Cause) -> None:
    """Any cause survives the annotation."""
    assert parse_cause(dump_cause(cause)) == cause


def test_it_is_compact_and_bounded() -> None:
    """Empty fields are left out, long ones cut, so that it always can be read back."""
    assert dump_cause(Cause(run="u/1", action="abort")) == '{"run":"u/1","action":"abort"}'
    huge = Cause(run="u/1", action="abort", reason="x" * 100_000, actor='"' * 100_000)
    assert len(dump_cause(huge)) < MAX_CHARACTERS
    assert parse_cause(dump_cause(huge)) is not None


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "{}",
        '{"run": "", "action": "x"}',
        '{"run": 7, "action": "x"}',
        '{"run": {"a": 1}, "action": ["x"]}',
        "[" * 4000,
        '{"run":"u","action":"a","reason":"' + "x" * MAX_CHARACTERS + '"}',
        '{"run":"u"}',
        "NaN",
    ],
)
def test_what_is_not_ours_is_nothing(text: object) -> None:
    """Hostile or broken annotations are as good as none, and never an error."""
    assert parse_cause(text) is None


def test_foreign_fields_are_dropped() -> None:
    """Fields we do not know are ignored; those of another type count as empty."""
    found = parse_cause(json.dumps({"run": "u/1", "action": "abort", "reason": 7, "evil": "<script>"}))
    assert found == Cause(run="u/1", action="abort")
