"""Reading raw objects that may hold anything."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.views.fields import ITEMS_MAX, TEXT_MAX, UNKNOWN, Fields, clean

OBJECT: dict[str, Any] = {
    "status": {"phase": "Healthy", "weight": "0.5%", "list": [1, 2, 3], "number": 7, "bad": ["x"]}
}


@pytest.mark.parametrize(
    "path, expected",
    [
        (("status", "phase"), "Healthy"),
        (("status", "absent"), ""),
        (("absent", "deeper"), ""),
        (("status", "bad"), UNKNOWN),
        (("status", "phase", "deeper"), UNKNOWN),
        (("status", "number"), UNKNOWN),
    ],
)
def test_text_tells_absent_from_nonsense(path: tuple[str, ...], expected: str) -> None:
    """Absent reads as nothing; a wrong type, here or on the way, as "?"."""
    assert Fields(OBJECT).text(*path) == expected


@pytest.mark.parametrize("value", ["101%", -1, True, 1.5, [], {}, "5", 10**30])
def test_a_share_that_is_none_is_unknown(value: object) -> None:
    """A weight that makes no sense is never shown as a number."""
    assert Fields({"weight": value}).share("weight") == UNKNOWN


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, 10**19, True])
def test_a_number_that_is_none_is_no_number(value: object) -> None:
    """NaN, infinities, text and absurd sizes are not figures."""
    assert Fields({"value": value}).number("value") in {UNKNOWN, ""}


@pytest.mark.parametrize("value", ["yesterday", "2026-01-01T00:00:00", 5, "9999999-01-01T00:00:00Z", [], "2026" * 100])
def test_a_time_that_is_none_is_absent(value: object) -> None:
    """What is no RFC 3339 time with a zone has no age."""
    assert Fields({"at": value}).moment("at") is None


def test_lists_are_bounded() -> None:
    """A list of a million items costs no more than a hundred."""
    assert len(list(Fields({"items": [1] * 1000}).items("items"))) == ITEMS_MAX


@given(st.text(max_size=3 * TEXT_MAX))
def test_clean_text_cannot_command_a_terminal(text: str) -> None:
    """Whatever an object holds, no control, format or separator character reaches the terminal, and it is bounded."""
    shown = clean(text)
    assert len(shown) <= TEXT_MAX
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=TEXT_MAX))
def test_plain_text_stays_as_it_is(text: str) -> None:
    """Cleaning harms no honest text."""
    assert clean(text) == text
