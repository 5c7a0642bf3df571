"""From a reply of Prometheus' HTTP API to a reading. Of the body, only numbers and short error texts get further."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from sluice.adapters.metrics.exchange import Reply
from sluice.decide.model import Reading, ReadingKind

TEXT_MAX = 120
_ERROR_TYPE = re.compile(r"[a-z_]{1,40}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def read_reply(reply: Reply) -> Reading:
    """Turn a reply into a reading. Never raises.

    One number is a VALUE. An empty vector and NaN are NO_DATA. Infinities, several series, histograms and partial data
    are INCONCLUSIVE: an answer, but not a number. Everything else is an ERROR.
    """
    if 300 <= reply.status < 400:
        return _error("it answers with a redirect, which is not followed; name the address it leads to")
    if reply.status in {401, 403}:
        return _error(f"it refuses the credentials (HTTP {reply.status}); check the Secret that secretRef names")
    payload = _parsed(reply.body)
    if reply.status != 200 or payload.get("status") != "success":
        return _error(_api_error(reply.status, payload))
    data = payload.get("data")
    if not isinstance(data, dict):
        return _not_prometheus()
    return _read_data(data.get("resultType"), data.get("result"), payload.get("warnings"))


def _read_data(kind: object, result: object, warnings: object) -> Reading:
    if kind in {"matrix", "string"}:
        return _error(f"the query returns a {kind}, not a number; mend the query")
    if not isinstance(result, list) or kind not in {"vector", "scalar"}:
        return _not_prometheus()
    if kind == "vector" and not result:
        return Reading(ReadingKind.NO_DATA, message="the query returned no series")
    if warnings:
        told = warnings[0] if isinstance(warnings, list) else ""
        return _inconclusive(f"the answer may be partial, Prometheus warns: {_clean(told)}")
    return _read_sample(result) if kind == "scalar" else _read_vector(result)


def _read_vector(result: list[Any]) -> Reading:
    if len(result) > 1:
        return _inconclusive(f"the query returned {len(result)} series: aggregate it, for instance with sum()")
    series = result[0]
    if not isinstance(series, dict):
        return _not_prometheus()
    if "histogram" in series:
        return _inconclusive("the query returned a histogram: take a number from it, with histogram_quantile() or so")
    return _read_sample(series.get("value"))


def _read_sample(sample: object) -> Reading:
    """Read a pair of a time and a number in a string."""
    if not isinstance(sample, list) or len(sample) != 2 or not isinstance(sample[1], str):
        return _not_prometheus()
    try:
        value = float(sample[1])
    except ValueError:
        return _not_prometheus()
    if math.isnan(value):
        # What a ratio gives where there is no traffic, which is as good as no series: it comes and goes by itself.
        return Reading(ReadingKind.NO_DATA, message="the value is NaN (0/0, where there is no traffic)")
    if math.isinf(value):
        return _inconclusive(f"the value is {value}")
    return Reading(ReadingKind.VALUE, value)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _api_error(status: int, payload: dict[str, Any]) -> str:
    kind = payload.get("errorType")
    if payload.get("status") == "error" and isinstance(kind, str) and _ERROR_TYPE.fullmatch(kind):
        return f"{kind}: {_clean(payload.get('error'))}"
    if status == 200:
        return "it does not answer as Prometheus does; check the address"
    return f"it answers HTTP {status}"


def _clean(text: object) -> str:
    """A server's words, short and without anything that could disturb a log or a terminal."""
    return _UNPRINTABLE.sub(" ", text)[:TEXT_MAX] if isinstance(text, str) else ""


def _not_prometheus() -> Reading:
    return _error("it does not answer as Prometheus does; check the address")


def _error(message: str) -> Reading:
    return Reading(ReadingKind.ERROR, message=message)


def _inconclusive(message: str) -> Reading:
    return Reading(ReadingKind.INCONCLUSIVE, message=message)
