"""Placeholders in queries."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.decide.promql import (
    FLEET_PLACEHOLDERS,
    PLACEHOLDERS,
    FleetValues,
    QueryValues,
    alternatives,
    arg_names,
    escape,
    fill,
    fill_args,
)
from sluice.errors import InvalidSpec

VALUES = QueryValues(
    rollout="checkout",
    namespace="shop",
    slot="green",
    service="checkout-green",
    stable_slot="blue",
    stable_service="checkout-blue",
    version="2.4.1",
    interval=timedelta(seconds=30),
    cluster="eu-1",
)

WHOLE = FleetValues(
    rollout="checkout",
    namespace="shop",
    version="2.4.1",
    batch="wave-1",
    clusters=("eu-1", "us-1"),
    interval=timedelta(seconds=30),
)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?", fullmatch=True)


def unescaped(text: str, quote: str) -> str:
    """Read the inside of a PromQL string as its lexer does (Go's rules); the test fails where it would end early."""
    characters, at = [], 0
    while at < len(text):
        if text[at] != "\\":
            assert text[at] not in {quote, "\n"}, f"the string ends early: {text!r}"
            characters.append(text[at])
            at += 1
        elif text[at + 1] == "x":
            characters.append(chr(int(text[at + 2 : at + 4], 16)))
            at += 4
        elif text[at + 1] == "u":
            characters.append(chr(int(text[at + 2 : at + 6], 16)))
            at += 6
        else:
            assert text[at + 1] == "\\"
            characters.append("\\")
            at += 2
    return "".join(characters)


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_every_placeholder_is_filled(name: str) -> None:
    """Each documented placeholder stands for its value, with or without spaces in the braces."""
    filled = fill(f'up{{x="{{{{{name}}}}}", y="{{{{ {name} }}}}"}}', VALUES)
    assert filled == f'up{{x="{escape(VALUES.of(name))}", y="{escape(VALUES.of(name))}"}}'


def test_a_whole_query() -> None:
    """Args are filled first; the rest, interval outside of quotes, at the measurement."""
    query = (
        'sum(rate(http_{{slot}}_total{service="{{service}}",code=~"{{args.codes}}"}[{{interval}}])) > {{args.least}}'
    )
    half = fill_args(query, {"codes": "5..", "least": "1e-3"}, "metric errors")
    assert half == 'sum(rate(http_{{slot}}_total{service="{{service}}",code=~"5.."}[{{interval}}])) > 1e-3'
    assert fill(half, VALUES) == 'sum(rate(http_green_total{service="checkout-green",code=~"5.."}[30s])) > 1e-3'


@pytest.mark.parametrize(
    "query, told",
    [
        ('up{a="{{slott}}"}', "no placeholder {{slott}}; there are {{rollout}}"),
        ('up{a="{{args.b}}"}', "no placeholder {{args.b}}; there are .*{{args.a}}"),
        ('up{a="{{}}"}', "no placeholder {{}}"),
        ('up{a="{{slot"}', "is no placeholder"),
        ('up{a="{{ slot }"}', "is no placeholder"),
        ("up_{{service}}", "{{service}} stands outside of quotes"),
        ('up{a="x"} + {{version}}', "{{version}} stands outside of quotes"),
        ('up # "\n + {{rollout}}', "{{rollout}} stands outside of quotes"),
    ],
)
def test_a_bad_placeholder_is_named(query: str, told: str) -> None:
    """The error says which placeholder, in which metric, and which there are."""
    with pytest.raises(InvalidSpec, match=f"metric up: .*{told}") as caught:
        fill_args(query, {"a": "1"}, "metric up")
    assert caught.value.reason == "TemplateInvalid"


@pytest.mark.parametrize("value", ["5m", "0.99", "-1", "1e-3", "http_requests_total", "job:errors:rate5m"])
def test_an_arg_outside_of_quotes_is_a_word(value: str) -> None:
    """Numbers, durations and metric names can stand outside of quotes."""
    assert fill_args("f({{args.x}})", {"x": value}, "m") == f"f({value})"


@pytest.mark.parametrize("value", ["", "1 or up", 'up{a="b"}', "1)", "a-b", "# x", "1\n"])
def test_an_arg_outside_of_quotes_is_nothing_else(value: str) -> None:
    """Anything that could be an expression is refused outside of quotes."""
    with pytest.raises(InvalidSpec, match="stands outside of quotes"):
        fill_args("f({{args.x}})", {"x": value}, "m")


def test_between_backticks_values_stand_as_they_are() -> None:
    """PromQL knows no escapes there, so a regular expression keeps its backslashes; a backtick is refused."""
    assert fill_args(r"up{a=~`{{args.x}}`}", {"x": r"\d{2}"}, "m") == r"up{a=~`\d{2}`}"
    for value in ("a`b", "{{slot}}", "a{"):
        with pytest.raises(InvalidSpec, match="between backticks"):
            fill_args("up{a=~`{{args.x}}`}", {"x": value}, "m")


def test_a_backslash_before_a_closing_backtick_is_no_escape() -> None:
    """What follows the string is code again, not part of it."""
    with pytest.raises(InvalidSpec, match="outside of quotes"):
        fill_args("up{a=~`\\`} + {{args.x}}", {"x": "a b"}, "m")


def test_arg_names() -> None:
    """A query tells which args it needs."""
    assert arg_names('{{args.a}} {{slot}} "{{ args.b }}"', "m") == {"a", "b"}


@pytest.mark.parametrize("quote", ['"', "'"])
@given(value=st.text())
def test_any_arg_stays_one_string(quote: str, value: str) -> None:
    """Whatever an arg holds, it remains one string literal that means exactly the value, and is filled once."""
    before, after = f"up{{a={quote}", f"{quote}}}"
    filled = fill_args(before + "{{args.x}}" + after, {"x": value}, "m")
    assert fill(filled, VALUES) == filled
    inside = filled.removeprefix(before).removesuffix(after)
    assert len(before + inside + after) == len(filled)
    assert unescaped(inside, quote) == value


@given(value=st.text())
def test_any_arg_stays_in_its_backticks_or_comment(value: str) -> None:
    """Between backticks a value is refused or has no backtick; in a comment it never begins a new line."""
    try:
        inside = fill_args("`{{args.x}}`", {"x": value}, "m")[1:-1]
    except InvalidSpec:
        pass
    else:
        assert "`" not in inside
        assert fill(f"`{inside}`", VALUES) == f"`{inside}`"
    assert "\n" not in fill_args("up # {{args.x}}", {"x": value}, "m")


@given(version=st.text())
def test_any_version_stays_one_string(version: str) -> None:
    """The version is a person's free text: it cannot change the query either, in any quotes."""
    values = QueryValues(**{name: getattr(VALUES, name) for name in QueryValues.__slots__} | {"version": version})
    for quote in ('"', "'"):
        inside = fill(f"up{{v={quote}{{{{version}}}}{quote}}}", values)[len("up{v=") + 1 : -2]
        assert unescaped(inside, quote) == version
    assert "`" not in fill("up{v=`{{version}}`}", values)[6:-2]


# ---------------------------------------------------------------------------------------------- clusters as a whole


@pytest.mark.parametrize("name", FLEET_PLACEHOLDERS)
def test_every_placeholder_of_a_fleet_is_filled(name: str) -> None:
    """Each documented placeholder stands for its value."""
    assert fill(f'up{{x=~"{{{{{name}}}}}"}}', WHOLE) == f'up{{x=~"{WHOLE.of(name)}"}}'


def test_a_whole_query_of_clusters() -> None:
    """The criterion of the guide: the count may stand outside of quotes."""
    query = 'count(up{cluster=~"{{clusters}}"} == 1) / {{clusterCount}} # {{batch}}'
    assert fill_args(query, {}, "m", FLEET_PLACEHOLDERS) == query
    assert fill(query.partition(" #")[0], WHOLE) == 'count(up{cluster=~"eu-1|us-1"} == 1) / 2'


@pytest.mark.parametrize("name", ["cluster", "slot", "service", "stableSlot", "stableService"])
def test_of_clusters_as_a_whole_no_slot_can_be_named(name: str) -> None:
    """The error lists those that there are."""
    with pytest.raises(InvalidSpec, match=f"no placeholder {{{{{name}}}}}; there are .*{{{{clusters}}}}"):
        fill_args(f'up{{x="{{{{{name}}}}}"}}', {}, "m", FLEET_PLACEHOLDERS)


@pytest.mark.parametrize("name", ["clusters", "clusterCount", "batch"])
def test_of_one_cluster_no_others_can_be_named(name: str) -> None:
    """A cluster's own analysis knows nothing of its batch."""
    with pytest.raises(InvalidSpec, match=f"no placeholder {{{{{name}}}}}"):
        fill_args(f'up{{x=~"{{{{{name}}}}}"}}', {}, "m")


def test_names_stand_within_quotes_only() -> None:
    """Outside, PromQL would read `eu-1|us-1` as something else."""
    with pytest.raises(InvalidSpec, match=r"{{clusters}} stands outside of quotes"):
        fill_args("up_{{clusters}}", {}, "m", FLEET_PLACEHOLDERS)


@given(st.lists(NAMES, min_size=1, max_size=5), NAMES)
def test_names_match_themselves_and_nobody_else(names: list[str], other: str) -> None:
    """As PromQL matches: the whole value; in each kind of quotes the same, for nothing in it is escaped."""
    pattern = alternatives(tuple(names))
    assert all(re.fullmatch(pattern, name) for name in names)
    assert bool(re.fullmatch(pattern, other)) == (other in names)
    assert escape(pattern) == pattern


@pytest.mark.parametrize(
    "names",
    [(), ("a", ""), ("a|b",), (".*",), ('a"} or up{x="',), ("a\\",), ("A",), ("a\n",), ("-a",), ("a-",), ("a{{b}}",)],
)
def test_what_no_cluster_can_be_called_is_asked_of_nobody(names: tuple[str, ...]) -> None:
    """Of no names the expression would match series without a cluster; a strange one could match any."""
    with pytest.raises(InvalidSpec, match="no name of a MemberCluster"):
        fill('up{cluster=~"{{clusters}}"}', replace(WHOLE, clusters=names))
