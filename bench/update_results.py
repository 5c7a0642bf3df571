"""What bench/update.py measured: kept round by round, shown, and guarded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from costs import Stretch
from figures import conclude, median_ratio, quantile, show
from running import progress
from wire import Obj

HOME, PLAIN = "fleet", "plain"  # the namespaces of the Rollouts, and of the Deployments
RATIO_GUARD = 8.0
WRITES_GUARD = 14.0
_TITLES = {
    "update": "an update to its first weight",
    "promotion": "its promotion, and on to rest",
    "plain": "an update of a plain Deployment",
}
Costs = dict[str, dict[str, Any]]


@dataclass
class Results:
    """What the rounds gave: seconds until the last was there, seconds for each, and the operator's costs."""

    apps: int  # on each side
    pods: int  # of each app
    whole: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    each: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bytes: dict[str, int] = field(default_factory=dict)
    resident_mib: dict[str, float] = field(default_factory=dict)
    stretches: dict[str, Stretch] = field(
        default_factory=lambda: {"update": Stretch(HOME), "promotion": Stretch(HOME), "plain": Stretch(PLAIN)}
    )

    def take(self, what: str, began_at: Mapping[str, float], ended_at: Mapping[str, float]) -> None:
        """Keep the times of one round: monotonic seconds by app."""
        self.whole[what].append(max(ended_at.values()) - min(began_at.values()))
        self.each[what] += [at - began_at[name] for name, at in ended_at.items()]
        progress(f"  {what}: {self.whole[what][-1]:.2f} s")

    def weigh(self, rollouts: Iterable[Obj], runs: Iterable[Obj]) -> None:
        """Keep the sizes of what Sluice stores, the largest of each, as JSON without blanks."""
        for obj in rollouts:
            self._weigh("pod template", obj["spec"]["workload"]["template"])
            self._weigh("Rollout's status", obj["status"])
            self._weigh("Rollout's managedFields", obj["metadata"]["managedFields"])
            self._weigh("Rollout", obj)
        for obj in runs:
            self._weigh("RolloutRun", obj)

    def _weigh(self, what: str, part: object) -> None:
        self.bytes[what] = max(self.bytes.get(what, 0), len(orjson.dumps(part)))


def report(results: Results) -> int:
    """Show the figures. Returns the exit code."""
    rounds = len(results.whole["Deployments"])
    costs = {name: stretch.per_update(results.apps * rounds) for name, stretch in results.stretches.items()}
    figures: dict[str, Any] = {
        "bench": "update",
        "rollouts": results.apps,
        "pods": results.pods,
        "whole_s": {what: [round(value, 3) for value in values] for what, values in results.whole.items()},
        "median_ratio": median_ratio(results.whole["Rollouts"], results.whole["Deployments"]),
        "each_s": {what: _spread(values) for what, values in results.each.items()},
        "costs_per_update": costs,
        "resident_mib": {name: round(value, 1) for name, value in results.resident_mib.items()},
        "bytes": results.bytes,
    }
    _show_times(figures, rounds)
    _show_costs(costs)
    rows = [(f"operator's memory (MiB), {name}", value) for name, value in figures["resident_mib"].items()]
    show("Sizes", ("", ""), rows + [(f"largest {name} (bytes)", value) for name, value in results.bytes.items()])
    return conclude(figures, _guards(figures))


def trace(results: Results, app: str) -> None:
    """Tell every request about one app, in order, with the milliseconds since the first of its stretch."""
    for name, stretch in results.stretches.items():
        about = [request for request in stretch.requests if request.about.startswith(app)]
        for request in about:
            since = (request.at - about[0].at).total_seconds() * 1000
            progress(f"{name:10} {since:9.1f} ms  {request.answered} {request.what} {request.name}")


def _show_times(figures: dict[str, Any], rounds: int) -> None:
    numbers = [f"round {number + 1}" for number in range(rounds)]
    rows = [(what, *values) for what, values in figures["whole_s"].items()]
    show(f"{figures['rollouts']} new images at once: seconds until the last is there", ("", *numbers), rows)
    rows = [(what, *found.values()) for what, found in figures["each_s"].items()]
    show("Each of them: seconds from its patch", ("", "p50", "p90", "max"), rows)


def _show_costs(costs: Costs) -> None:
    for name in ("update", "promotion"):
        rows = [(what, *found.values()) for what, found in costs[name]["requests"].items()]
        show(f"The operator's requests for {_TITLES[name]}", ("", "mean", "most for one", "refused"), rows)
    fields = ("cpu_seconds", "passes", "failed_passes", "apiserver_seconds")
    rows = [(title, *(costs[name][each] for each in fields)) for name, title in _TITLES.items()]
    columns = ("for", "operator's CPU s", "passes", "failed ones", "API server's CPU s")
    show("What it takes on average", columns, rows)


def _spread(seconds: list[float]) -> dict[str, float]:
    """The middle, the edge and the end."""
    found = {"p50": quantile(seconds, 0.5), "p90": quantile(seconds, 0.9), "max": max(seconds)}
    return {name: round(value, 3) for name, value in found.items()}


def _guards(figures: dict[str, Any]) -> list[str]:
    """What is worse than promised."""
    broken, ratio = [], figures["median_ratio"]
    if ratio > RATIO_GUARD:
        broken.append(f"the median is {ratio} times the Deployments'; at most {RATIO_GUARD}")
    requests = figures["costs_per_update"]["update"]["requests"]
    writes = round(sum(found["each"] for what, found in requests.items() if not what.endswith(" events")), 2)
    if writes > WRITES_GUARD:
        broken.append(f"{writes} requests for an update to its first weight, without Events; at most {WRITES_GUARD}")
    return broken
