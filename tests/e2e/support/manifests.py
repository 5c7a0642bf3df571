"""Pieces of specs: strategies, metrics in PromQL over what the pods show, switches."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_SLOT = 'namespace="{{namespace}}", slot="{{slot}}"'
_WINDOW = "5s"  # a scrape is a second


def weight(share: int | str) -> Json:
    """Step ``setWeight``."""
    return {"setWeight": share}


def pause(duration: str | None = None) -> Json:
    """Step ``pause``, open where no duration is given."""
    return {"pause": {"duration": duration} if duration else {}}


def canary(*steps: Json) -> Json:
    """A canary by these steps."""
    return {"canary": {"steps": list(steps)}}


def blue_green(**fields: Any) -> Json:
    """All at once; fields as in ``spec.strategy.blueGreen``."""
    return {"blueGreen": fields}


def metric(name: str, query: str, threshold: Json, **fields: Any) -> Json:
    """A metric measured each second."""
    return {"name": name, "prometheus": {"query": query}, "interval": "1s", "threshold": threshold, **fields}


def error_rate(limit: float = 0.05, **fields: Any) -> Json:
    """The share of a slot's answers that are 5xx, once it had ten requests in the last five seconds."""
    requests = f"http_requests_total{{{_SLOT}}}"
    errors = f'http_requests_total{{{_SLOT}, code=~"5.."}}'
    query = f"sum(rate({errors}[{_WINDOW}])) / sum(rate({requests}[{_WINDOW}]))"
    return metric("error-rate", query, {"max": limit}, **{"minSamples": enough(), **fields})


def p99_latency(**fields: Any) -> Json:
    """The 99th percentile of a slot's answers in seconds, at most half as much again as the baseline."""
    buckets = f"sum by (le) (rate(http_request_duration_seconds_bucket{{{_SLOT}}}[{_WINDOW}]))"
    query = f"histogram_quantile(0.99, {buckets})"
    return metric("p99-latency", query, {"maxRatio": 1.5}, **{"minSamples": enough(), **fields})


def enough(value: int = 10, **fields: Any) -> Json:
    """``minSamples``: so many requests in the last five seconds."""
    return {"query": f"sum(increase(http_requests_total{{{_SLOT}}}[{_WINDOW}]))", "value": value, **fields}


def gauge(name: str, threshold: Json, **fields: Any) -> Json:
    """A gauge that the slot's pods show under ``name``, with ``-`` for ``_`` in the metric's name."""
    return metric(name.replace("_", "-"), f"max({name}{{{_SLOT}}})", threshold, **fields)


def gate() -> Json:
    """A metric without data, which holds a run at its first share until :meth:`e2e.support.app.App.lets_go`.

    So a test has all the time that a busy machine takes to do something in mid-run, and the run then goes on by itself.
    """
    return gauge("gate", {"min": 1})


def background(*metrics: Json, **fields: Any) -> Json:
    """``spec.analysis`` of inline metrics."""
    return {"metrics": list(metrics), **fields}
