"""Whether a number keeps the bounds of a threshold. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sluice.api.analysis import Threshold

_TOLERANCE = 1e-9  # of rounding: 0.3 - 0.1 is not quite 0.2


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing a value with a threshold.

    `passed` is None where that cannot be told; then, and where it is False, `message` says why.
    """

    passed: bool | None
    message: str = ""


def describe(threshold: Threshold) -> str:
    """A threshold in a few words.

    >>> describe(Threshold(max=0.01, max_ratio=2))
    '<= 0.01, <= 2 x baseline'
    """
    bounds = (
        (threshold.max, "<= {}"),
        (threshold.min, ">= {}"),
        (threshold.max_increase, "<= baseline + {}"),
        (threshold.max_ratio, "<= {} x baseline"),
        (threshold.min_ratio, ">= {} x baseline"),
    )
    return ", ".join(form.format(number(bound)) for bound, form in bounds if bound is not None)


def number(value: float) -> str:
    """A number for people.

    >>> number(0.012345678), number(3.0)
    ('0.0123457', '3')
    """
    return f"{value:.6g}"


def compare(name: str, value: float, threshold: Threshold, baseline: float | None) -> Comparison:
    """Compare a finite value with every bound; all must hold.

    Ratios are defined for a baseline of 0 as follows. 0 over 0 is a ratio of 1: nothing changed. More than 0 over 0
    keeps every `minRatio`, and says nothing about `maxRatio`: how far one error is above none at all depends on the
    traffic, not on the ratio. There the other upper bounds (`max`, `maxIncrease`) decide; where there is none, the
    result is inconclusive, neither a pass nor a reason to abort. A ratio to a negative baseline is inconclusive.

    >>> compare("errors", 0.12, Threshold(max=0.01), None).message
    'errors is 0.12, above max 0.01'

    Args:
        name: the metric's, for messages.
        value: finite.
        threshold: the bounds.
        baseline: finite, or None where there is none; only looked at for relative bounds.
    """
    absolute = _against_absolute(name, value, threshold)
    if absolute is not None or not threshold.relative:
        return absolute or Comparison(passed=True)
    if baseline is None:
        return Comparison(None, f"{name} is {number(value)}, and there is no baseline to compare it with")
    return _against_baseline(name, value, threshold, baseline)


def _against_absolute(name: str, value: float, threshold: Threshold) -> Comparison | None:
    if threshold.max is not None and _above(value, threshold.max):
        return Comparison(passed=False, message=f"{name} is {number(value)}, above max {number(threshold.max)}")
    if threshold.min is not None and _above(threshold.min, value):
        return Comparison(passed=False, message=f"{name} is {number(value)}, below min {number(threshold.min)}")
    return None


def _against_baseline(name: str, value: float, threshold: Threshold, baseline: float) -> Comparison:
    told = f"{name} is {number(value)}"
    increase = threshold.max_increase
    if increase is not None and _above(value, baseline + increase):
        return Comparison(passed=False, message=f"{told}, above baseline {number(baseline)} + {number(increase)}")
    if threshold.max_ratio is None and threshold.min_ratio is None:
        return Comparison(passed=True)
    if baseline < 0:
        return Comparison(None, f"{told}; a ratio to the negative baseline {number(baseline)} means nothing")
    ratio = _ratio(value, baseline)
    if threshold.min_ratio is not None and _above(threshold.min_ratio, ratio):
        return Comparison(
            passed=False, message=f"{told}, below {number(threshold.min_ratio)} x baseline {number(baseline)}"
        )
    if threshold.max_ratio is None or not _above(ratio, threshold.max_ratio):
        return Comparison(passed=True)
    if baseline == 0 and value > 0:
        if threshold.max is not None or increase is not None:
            return Comparison(passed=True)
        return Comparison(None, f"{told} and its baseline 0, so their ratio says nothing; add max or maxIncrease")
    return Comparison(
        passed=False, message=f"{told}, above {number(threshold.max_ratio)} x baseline {number(baseline)}"
    )


def _ratio(value: float, baseline: float) -> float:
    if baseline > 0:
        return value / baseline
    return 1.0 if value == 0 else math.copysign(math.inf, value)


def _above(value: float, bound: float) -> bool:
    return value > bound and not math.isclose(value, bound, rel_tol=_TOLERANCE)
