"""Label selectors as kubectl takes them: `app=checkout,tier!=test,env in (prod,stage),!legacy`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sluice.api.common import LabelRequirement, LabelSelector

_KEY = r"(?P<key>[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?)"
_VALUE = r"[A-Za-z0-9]?[-A-Za-z0-9_.]*"
_EQUAL = re.compile(rf"{_KEY}\s*==?\s*(?P<value>{_VALUE})")
_NOT_EQUAL = re.compile(rf"{_KEY}\s*!=\s*(?P<value>{_VALUE})")
_AMONG = re.compile(rf"{_KEY}\s+(?P<not>not)?in\s*\((?P<values>[^()]*)\)")
_ABSENT = re.compile(rf"!\s*{_KEY}")
_PRESENT = re.compile(_KEY)
_COMMAS_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def parse_selector(text: str) -> LabelSelector:
    """Parse a selector. Equalities become matchLabels, so that a switch made from it reads well.

    Raises:
        BadParameter: it is none; the message says how one looks.
    """
    from sluice.api.common import LabelSelector

    labels: dict[str, str] = {}
    expressions: list[LabelRequirement] = []
    for part in (part.strip() for part in _COMMAS_OUTSIDE_PARENTHESES.split(text)):
        if (equal := _EQUAL.fullmatch(part)) and equal["key"] not in labels:
            labels[equal["key"]] = equal["value"]
        else:
            expressions.append(_requirement(part))
    return LabelSelector(match_labels=labels, match_expressions=tuple(expressions))


def _requirement(part: str) -> LabelRequirement:
    from sluice.api.common import LabelRequirement

    if found := _EQUAL.fullmatch(part):
        return LabelRequirement(key=found["key"], operator="In", values=(found["value"],))
    if found := _NOT_EQUAL.fullmatch(part):
        return LabelRequirement(key=found["key"], operator="NotIn", values=(found["value"],))
    if found := _AMONG.fullmatch(part):
        values = tuple(value.strip() for value in found["values"].split(","))
        return LabelRequirement(key=found["key"], operator="NotIn" if found["not"] else "In", values=values)
    if found := _ABSENT.fullmatch(part):
        return LabelRequirement(key=found["key"], operator="DoesNotExist")
    if found := _PRESENT.fullmatch(part):
        return LabelRequirement(key=found["key"], operator="Exists")
    raise click.BadParameter(
        f"{part!r} is no label requirement; it is such as app=checkout, env!=test or 'env in (a,b)'"
    )
