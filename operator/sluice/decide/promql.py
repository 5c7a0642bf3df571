"""Placeholders in PromQL queries, `{{slot}}` or `{{args.service}}`, filled so that no value changes the question.

Args are filled in when a run begins (`fill_args`), the rest at each measurement (`fill`). A value within quotes is
escaped by PromQL's rules; outside of quotes only numbers, durations and metric names can stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Protocol

from sluice.api.conditions import Reason
from sluice.api.units import format_duration
from sluice.errors import InvalidSpec

PLACEHOLDERS = (
    "rollout",
    "namespace",
    "slot",
    "service",
    "stableSlot",
    "stableService",
    "version",
    "cluster",
    "interval",
)

# Where the hub measures clusters as a whole: no slot, Service or cluster is the one that is meant.
FLEET_PLACEHOLDERS = ("rollout", "namespace", "version", "batch", "clusters", "clusterCount", "interval")

# Where a kill switch measures what it covers as a whole.
SWITCH_PLACEHOLDERS = ("namespace", "interval")

# The others may hold a `-`, which PromQL takes for a minus.
_UNQUOTED = frozenset({"slot", "stableSlot", "interval", "window", "clusterCount"})
_WINDOW = "window"
_CLUSTER = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")  # what the API server takes for a MemberCluster's name
_ARG = "args."
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}\s]*)\s*\}\}")
_WORD = re.compile(r"[A-Za-z0-9_:.]+|[+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?")
_UNSAFE_RAW = re.compile(r"[\x00-\x1f\x7f`\ufffd\ud800-\udfff]|\{\{|\{$")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"'`{}\\\ufffd\ud800-\udfff]")


class _Place(Enum):
    """Where in the query something stands."""

    CODE = auto()
    QUOTED = auto()
    RAW = auto()  # between backticks, where PromQL knows no escapes
    COMMENT = auto()


@dataclass(frozen=True, slots=True)
class _Hole:
    name: str
    place: _Place


class Values(Protocol):
    """What the placeholders stand for in one question."""

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Those that there are."""
        ...

    def of(self, name: str) -> str:
        """The value of one of them.

        Raises:
            InvalidSpec: it has none that a query could hold.
        """
        ...


@dataclass(frozen=True, slots=True)
class QueryValues:
    """Of a slot in one cluster. For a baseline, `slot`, `service` and `version` are stable's."""

    rollout: str
    namespace: str
    slot: str
    service: str
    stable_slot: str
    stable_service: str
    version: str
    interval: timedelta
    cluster: str = ""  # the MemberCluster; "" in the hub

    @property
    def placeholders(self) -> tuple[str, ...]:
        """As in `Values`."""
        return PLACEHOLDERS

    def of(self, name: str) -> str:
        """The value of one of `PLACEHOLDERS`."""
        return {
            "rollout": self.rollout,
            "namespace": self.namespace,
            "slot": self.slot,
            "service": self.service,
            "stableSlot": self.stable_slot,
            "stableService": self.stable_service,
            "version": self.version,
            "cluster": self.cluster,
            "interval": format_duration(self.interval),
        }[name]


@dataclass(frozen=True, slots=True)
class FleetValues:
    """Of clusters as a whole. `batch` is the one that the run is in, also where `clusters` are of several."""

    rollout: str
    namespace: str
    version: str
    batch: str
    clusters: tuple[str, ...]
    interval: timedelta

    @property
    def placeholders(self) -> tuple[str, ...]:
        """As in `Values`."""
        return FLEET_PLACEHOLDERS

    def of(self, name: str) -> str:
        """The value of one of `FLEET_PLACEHOLDERS`."""
        if name == "clusters":
            return alternatives(self.clusters)
        return {
            "rollout": self.rollout,
            "namespace": self.namespace,
            "version": self.version,
            "batch": self.batch,
            "clusterCount": str(len(self.clusters)),
            "interval": format_duration(self.interval),
        }[name]


@dataclass(frozen=True, slots=True)
class SwitchValues:
    """Of what a kill switch covers."""

    namespace: str  # "" for a ClusterKillSwitch, which has none
    interval: timedelta

    @property
    def placeholders(self) -> tuple[str, ...]:
        """As in `Values`."""
        return switch_placeholders(self.namespace)

    def of(self, name: str) -> str:
        """The value of one of them."""
        return {"namespace": self.namespace, "interval": format_duration(self.interval)}[name]


def switch_placeholders(namespace: str) -> tuple[str, ...]:
    """What a switch's queries may have: one of no namespace cannot name it.

    >>> switch_placeholders("")
    ('interval',)
    """
    return SWITCH_PLACEHOLDERS if namespace else SWITCH_PLACEHOLDERS[1:]


def alternatives(clusters: tuple[str, ...]) -> str:
    """A regular expression that matches the names of these clusters, as a whole, and no others.

    It holds no backslash, so that it means the same in every kind of quotes.

    >>> alternatives(("member-1", "eu.member-2"))
    'member-1|eu[.]member-2'

    Raises:
        InvalidSpec: a name that no MemberCluster can have; or no names, for of those the expression would match series
            without a cluster.
    """
    strange = next((name for name in clusters or ("",) if not _CLUSTER.fullmatch(name)), None)
    if strange is not None:
        raise _invalid(f"{strange[:60]!r} is no name of a MemberCluster, so {{{{clusters}}}} cannot hold it")
    return "|".join(name.replace(".", "[.]") for name in clusters)


def fill_args(query: str, args: Mapping[str, str], where: str, known: tuple[str, ...] = PLACEHOLDERS) -> str:
    r"""Fill in `{{args.x}}`, and check every other placeholder.

    >>> fill_args('up{job="{{args.job}}", slot="{{slot}}"}', {"job": 'a"b'}, "metric up")
    'up{job="a\\x22b", slot="{{slot}}"}'

    Args:
        query: PromQL with placeholders.
        args: values by name.
        where: for the message, such as `AnalysisTemplate shop/http: metric error-rate`.
        known: the other placeholders that there are.

    Raises:
        InvalidSpec: an unknown placeholder, an arg without a value, or a value that cannot stand where it would.
    """

    def rendered(hole: _Hole) -> str:
        if not hole.name.startswith(_ARG):
            _check(hole, args, where, known)
            return "{{" + hole.name + "}}"
        name = hole.name.removeprefix(_ARG)
        if name not in args:
            raise _unknown(hole.name, args, where, known)
        return _placed_arg(name, args[name], hole.place, where)

    return _replaced(query, rendered, where)


def fill(query: str, values: Values) -> str:
    """Fill in all that `fill_args` left.

    Raises:
        InvalidSpec: a placeholder that `fill_args` would have refused, or a value that no query could hold.
    """

    def rendered(hole: _Hole) -> str:
        _check(hole, {}, "query", values.placeholders)
        value = values.of(hole.name)
        return value if hole.place is _Place.CODE else escape(value)

    return _replaced(query, rendered, "query")


def fill_window(query: str, window: timedelta, where: str, known: tuple[str, ...]) -> str:
    """Fill in `{{window}}`, and check every other placeholder.

    >>> fill_window('increase(good{namespace="{{namespace}}"}[{{window}}])', timedelta(hours=6), "m", ("namespace",))
    'increase(good{namespace="{{namespace}}"}[6h])'

    Raises:
        InvalidSpec: an unknown placeholder, or none for the window: then every range would be asked the same.
    """
    filled = list[str]()

    def rendered(hole: _Hole) -> str:
        _check(hole, {}, where, (*known, _WINDOW))
        if hole.name != _WINDOW:
            return "{{" + hole.name + "}}"
        filled.append(hole.name)
        return format_duration(window)

    text = _replaced(query, rendered, where)
    if not filled:
        raise _invalid(f"{where}: it has no {{{{window}}}}: write it as the range, as in [{{{{window}}}}]")
    return text


def arg_names(query: str, where: str) -> frozenset[str]:
    """The names of the args that a query asks for.

    Raises:
        InvalidSpec: a placeholder is not closed.
    """
    holes = (part for part in _parts(query, where) if isinstance(part, _Hole))
    return frozenset(hole.name.removeprefix(_ARG) for hole in holes if hole.name.startswith(_ARG))


def escape(value: str) -> str:
    r"""Escape a value for the inside of a PromQL string in double or single quotes.

    Braces are escaped too, so that a value never makes a placeholder. Between backticks the result cannot break out
    either, but has another meaning where it holds an escape.

    >>> print(escape('say "hi"\n'))
    say \x22hi\x22\x0a
    """
    return _UNSAFE.sub(_escaped, value)


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    if char == "\\":
        return "\\\\"
    # \" is an error within single quotes and the other way round; \x22 means the same in both.
    return f"\\x{ord(char):02x}" if ord(char) < 0x80 else "\\ufffd"


def _placed_arg(name: str, value: str, place: _Place, where: str) -> str:
    if place is _Place.CODE and not _WORD.fullmatch(value):
        raise _invalid(
            f"{where}: {{{{args.{name}}}}} stands outside of quotes, where only a number, a duration or a name can "
            f"stand, not {value[:60]!r}; put quotes around the placeholder, or give another value"
        )
    if place is _Place.RAW:
        if _UNSAFE_RAW.search(value):
            raise _invalid(
                f"{where}: {{{{args.{name}}}}} stands between backticks, where its value {value[:60]!r} cannot be "
                "escaped; use double quotes around the placeholder"
            )
        return value
    return value if place is _Place.CODE else escape(value)


def _check(hole: _Hole, args: Mapping[str, str], where: str, known: tuple[str, ...]) -> None:
    if hole.name not in known:
        raise _unknown(hole.name, args, where, known)
    if hole.place is _Place.CODE and hole.name not in _UNQUOTED:
        raise _invalid(
            f"{where}: {{{{{hole.name}}}}} stands outside of quotes, where PromQL would read its value as an "
            "expression; put quotes around it"
        )


def _unknown(name: str, args: Mapping[str, str], where: str, known: tuple[str, ...]) -> InvalidSpec:
    there_are = (*known, *(f"{_ARG}{arg}" for arg in sorted(args)))
    listed = ", ".join(f"{{{{{one}}}}}" for one in there_are)
    return _invalid(f"{where}: there is no placeholder {{{{{name[:60]}}}}}; there are {listed}")


def _invalid(message: str) -> InvalidSpec:
    return InvalidSpec(Reason.TEMPLATE_INVALID, message)


def _replaced(query: str, rendered: Callable[[_Hole], str], where: str) -> str:
    return "".join(part if isinstance(part, str) else rendered(part) for part in _parts(query, where))


def _parts(query: str, where: str) -> Iterator[str | _Hole]:
    place, quote, at = _Place.CODE, "", 0
    while at < len(query):
        if query.startswith("{{", at):
            match = _PLACEHOLDER.match(query, at)
            if match is None:
                raise _invalid(f"{where}: {query[at : at + 30]!r} is no placeholder; write it like {{{{slot}}}}")
            yield _Hole(match.group(1), place)
            at = match.end()
            continue
        size = 2 if place is _Place.QUOTED and query[at] == "\\" else 1
        text = query[at : at + size]
        yield text
        place, quote = _after(text, place, quote)
        at += size


def _after(text: str, place: _Place, quote: str) -> tuple[_Place, str]:
    if place is _Place.CODE:
        opened = {'"': _Place.QUOTED, "'": _Place.QUOTED, "`": _Place.RAW, "#": _Place.COMMENT}.get(text, place)
        return opened, text
    closing = "\n" if place is _Place.COMMENT else quote
    return (_Place.CODE, "") if text == closing else (place, quote)
