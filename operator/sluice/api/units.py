"""Units of the API: shares and durations, parsed exactly and printed as people write them.

A share is held in basis points (1/100 of a percent, 0 to 10,000), so that "0.5%" is exact.
Durations are Go-style strings (`90s`, `1h30m`, `72h`), as everywhere in Kubernetes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainSerializer

BasisPoints: TypeAlias = int
FULL: BasisPoints = 10_000
NONE: BasisPoints = 0

_SHARE = re.compile(r"^(100(?:\.0{1,2})?|[0-9]{1,2}(?:\.[0-9]{1,2})?)%$")
_DURATION = re.compile(r"^(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9})s)?$")


def parse_share(value: object) -> BasisPoints:
    """Turn an API share into basis points.

    >>> parse_share(25), parse_share("0.5%"), parse_share("100%")
    (2500, 50, 10000)

    Raises:
        ValueError: not an integer from 0 to 100, nor a percentage with at most two decimals.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100:
        return value * 100
    if isinstance(value, str) and (match := _SHARE.match(value)):
        whole, _, fraction = match.group(1).partition(".")
        return int(whole) * 100 + int((fraction + "00")[:2])
    raise ValueError(f'a share is 0 to 100 or a percentage such as "0.5%", not {value!r}')


def format_share(basis_points: BasisPoints) -> str:
    """Print basis points as a percentage without needless zeros.

    >>> format_share(2500), format_share(50), format_share(1)
    ('25%', '0.5%', '0.01%')
    """
    whole, fraction = divmod(basis_points, 100)
    return f"{whole}%" if not fraction else f"{whole}.{fraction:02d}".rstrip("0") + "%"


def parse_duration(value: object) -> timedelta:
    """Turn `1h30m`, `90s` or `72h` into a timedelta.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)

    Raises:
        ValueError: not such a string.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and value and (match := _DURATION.match(value)):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    raise ValueError(f"a duration is such as 30s, 10m or 72h, not {value!r}")


def format_duration(value: timedelta) -> str:
    """Print a timedelta in the API's form, whole seconds, never negative.

    >>> format_duration(timedelta(seconds=5400)), format_duration(timedelta(0))
    ('1h30m', '0s')
    """
    total = max(0, round(value.total_seconds()))
    hours, rest = divmod(total, 3600)
    minutes, seconds = divmod(rest, 60)
    text = "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if number)
    return text or "0s"


def parse_time(value: object) -> datetime:
    """Turn an RFC 3339 timestamp into an aware UTC datetime.

    Raises:
        ValueError: not a timestamp, or one without a zone.
    """
    if isinstance(value, datetime):
        parsed = value
    elif isinstance(value, str) and len(value) <= 40:
        parsed = datetime.fromisoformat(value)
    else:
        raise ValueError(f"a time is such as 2026-01-31T12:00:00Z, not {value!r}")
    if parsed.tzinfo is None:
        raise ValueError(f"a time needs a zone: {value!r}")
    return parsed.astimezone(UTC)


def format_time(value: datetime) -> str:
    """Print a time in UTC with microseconds, the form of Kubernetes' MicroTime."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _dump_duration(value: timedelta) -> str:
    return format_duration(value)


def _stored_share(value: object) -> BasisPoints:
    """What Sluice itself writes is always a percentage; a plain number is basis points, set by Sluice's own code."""
    return value if isinstance(value, int) and not isinstance(value, bool) else parse_share(value)


Share = Annotated[BasisPoints, BeforeValidator(parse_share), PlainSerializer(format_share)]
"""A share that people write: 25 means 25 %."""
StoredShare = Annotated[BasisPoints, BeforeValidator(_stored_share), PlainSerializer(format_share)]
"""A share that Sluice writes: always a string such as "25%"."""
Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(_dump_duration)]
Time = Annotated[datetime, BeforeValidator(parse_time), PlainSerializer(format_time)]
JSON: TypeAlias = dict[str, Any]
