"""Label selectors in kubectl's syntax."""

import click
import pytest

from sluice.cli.selector import parse_selector


@pytest.mark.parametrize(
    "text, labels, matches",
    [
        ("app=a", {"app": "a"}, True),
        ("app==a", {"app": "a"}, True),
        ("app=a,app=b", {"app": "b"}, False),
        ("app!=a", {}, True),
        ("app in (a, b)", {"app": "b"}, True),
        ("app notin (a,b)", {"app": "b"}, False),
        ("app", {"app": ""}, True),
        ("!app", {"app": "a"}, False),
        ("app=", {"app": ""}, True),
        ("sluice.dev/platform=ios, tier in (x),!old", {"sluice.dev/platform": "ios", "tier": "x"}, True),
    ],
)
def test_selectors(text: str, labels: dict[str, str], matches: bool) -> None:
    """Each form means what it means to kubectl."""
    assert parse_selector(text).matches(labels) is matches


@pytest.mark.parametrize("text", ["", "a=b,", "a in b", "=a", "a=b c", "a in (b", "-a=b", "a>1"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    """With a sentence that shows what one looks like, rather than matching everything or nothing."""
    with pytest.raises(click.BadParameter, match="such as app=checkout"):
        parse_selector(text)
