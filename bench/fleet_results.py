"""What bench/fleet_members.py measured: kept, shown, and guarded."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from figures import conclude, machine, median_ratio, show
from fleet_costs import Everybody, Mark, Stretch
from running import progress
from sluice.adapters.kube.member import CONNECTIONS
from sluice.decide.rights import RIGHTS
from wire import Obj

RATIO_GUARD = 1.5
TITLES = {
    "install": "the first version, everywhere",
    "first": "a change, to 10 % everywhere",
    "second": "a promotion, to 50 % everywhere",
    "last": "a promotion, to 100 % and on to rest",
}


@dataclass
class Results:
    """Of so many Rollouts, each over so many members."""

    rollouts: int
    members: int
    stretches: dict[str, Stretch] = field(default_factory=lambda: defaultdict(Stretch))
    kills: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    firsts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    mib: dict[str, dict[str, float]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)

    @property
    def parts(self) -> int:
        """Of all Rollouts, in all members."""
        return self.rollouts * self.members

    # ------------------------------------------------------------------ keeping

    def take(self, what: str, everybody: Everybody, before: Mark, after: Mark, **seconds: float) -> None:
        """Keep one stretch."""
        self.stretches[what].add(everybody, before, after, **seconds)
        progress(f"  {TITLES[what]}: {self.stretches[what].seconds[-1]}")

    def killed(self, side: str, took: Iterable[float], cpu: dict[str, float]) -> None:
        """Keep one kill: seconds from the switch's answer until each route was seen at 0, and CPU seconds of each."""
        took = sorted(took)
        self.firsts[side].append(took[0])
        self.kills[side].append(took[-1])
        self.cpu[side].append(cpu)
        progress(f"  {side}: first {took[0]:.3f} s, last {took[-1]:.3f} s, CPU {cpu}")

    def memory(self, when: str, everybody: Everybody) -> None:
        """Keep how much memory each takes now."""
        self.mib[when] = everybody.memory()
        progress(f"  memory, {when}: {self.mib[when]}")

    def weigh(self, rollouts: Iterable[Obj]) -> None:
        """Keep the sizes of the largest Rollout, as JSON without blanks."""
        for obj in rollouts:
            for what, part in (("Rollout", obj), ("Rollout's status", obj.get("status"))):
                self.bytes[what] = max(self.bytes.get(what, 0), len(orjson.dumps(part)))

    def connected(self, seconds: float) -> None:
        """Keep how long it took from the process's start until every member was Ready."""
        self.starts["every_member_ready_s"] = round(seconds, 1)
        progress(f"  every member is Ready after {seconds:.1f} s")

    def restarted(self, ready: float, calm: float) -> None:
        """Keep how long a start with all parts there took until /readyz, and until nobody worked any more."""
        self.starts |= {"again_ready_s": round(ready, 1), "again_at_rest_s": round(calm, 1)}
        progress(f"  ready again after {ready:.1f} s, at rest after {calm:.1f} s")

    def rested(self, everybody: Everybody, before: Mark, after: Mark) -> None:
        """Keep what a fleet at rest cost."""
        seconds = after.reading.at - before.reading.at
        hub, members = everybody.requests(before, after)
        spent = after.reading.cpu_seconds - before.reading.cpu_seconds
        self.rest = {
            "seconds": round(seconds, 1),
            "hub": dict(sorted(hub.items())),
            "members": dict(sorted(members.items())),
            "requests_per_minute": round((hub.total() + members.total()) / seconds * 60, 1),
            "of_these_to_a_member": round(members.total() / seconds * 60 / self.members, 1),
            "cpu_percent_of_a_core": round(100 * spent / seconds, 2),
        }

    # ------------------------------------------------------------------ telling

    def report(self, out: Path | None) -> int:
        """Show the figures, and keep them where asked for. Returns the exit code."""
        stretches = {name: each.figures(self.rollouts, self.members) for name, each in self.stretches.items()}
        self._show_steps(stretches)
        self._show_requests(stretches)
        columns = list(next(iter(self.mib.values())))
        show("Memory (RSS), MiB", ("", *columns), [(when, *mib.values()) for when, mib in self.mib.items()])
        runs = len(self.kills["sluice"])
        show(
            f"{self.parts} routes in {self.members} members, one switch: seconds until every weight is 0",
            ("", *(f"run {number + 1}" for number in range(runs))),
            [(side, *(round(each, 3) for each in took)) for side, took in self.kills.items()],
        )
        show("At rest", ("", ""), [(name, str(value)) for name, value in {**self.rest, **self.starts}.items()])
        ratio = median_ratio(self.kills["sluice"], self.kills["bare"])
        kill = {
            **{f"{side}_s": [round(each, 3) for each in took] for side, took in self.kills.items()},
            **{f"{side}_first_s": [round(each, 3) for each in took] for side, took in self.firsts.items()},
            **{f"{side}_cpu_s": each for side, each in self.cpu.items()},
            "median_ratio": ratio,
            "connections_to_a_member": CONNECTIONS,
        }
        figures = {
            "bench": "fleet",
            "rollouts": self.rollouts,
            "members": self.members,
            "stretches": stretches,
            "kill": kill,
            "mib": self.mib,
            "bytes": self.bytes,
            "rest": self.rest,
            "starts": self.starts,
        }
        if out is not None:
            out.write_text(json.dumps({**figures, "machine": machine()}, indent=1) + "\n")
        return conclude(figures, self._broken(ratio))

    def _show_steps(self, stretches: Mapping[str, Any]) -> None:
        rows = []
        for name, found in stretches.items():
            for what in found["seconds"][0]:
                took = [each[what] for each in found["seconds"]]
                rows.append((TITLES[name], what, len(took), round(statistics.median(took), 1), max(took)))
        columns = ("of all Rollouts", "until", "times", "median, s", "most, s")
        show(f"{self.rollouts} Rollouts over {self.members} members", columns, rows)
        names = list(next(iter(stretches.values()))["cpu_seconds"])
        rows_of_cpu = [(TITLES[name], *found["cpu_seconds"].values()) for name, found in stretches.items()]
        show("CPU seconds of one such time", ("", *names), rows_of_cpu)

    def _show_requests(self, stretches: Mapping[str, Any]) -> None:
        for place, of in (("per_rollout_in_the_hub", "Rollout"), ("per_part_in_a_member", "part")):
            found = {name: stretches[name][place] for name in stretches}
            whats = list(dict.fromkeys(what for each in found.values() for what in each))
            rows = [(what, *(found[name].get(what, "") for name in found)) for what in whats]
            title = f"Requests {'to the hub' if of == 'Rollout' else 'to members'}, for each {of}"
            show(title, ("", *found), rows)

    def _broken(self, ratio: float) -> list[str]:
        broken = []
        if ratio > RATIO_GUARD:
            broken.append(f"the median kill is {ratio} times the bare client's; at most {RATIO_GUARD}")
        for place in ("hub", "members"):
            count = 1 if place == "hub" else self.members
            for what, number in self.rest[place].items():
                limit = count * _expected(what, self.rest["seconds"])
                if number > limit:
                    broken.append(f"at rest {number} times {what} in {place}; expected at most {limit:.0f}")
        return broken


def _expected(what: str, seconds: float) -> float:
    """What one API server may be asked by an operator at rest."""
    verb, _, resource = what.partition(" ")
    if verb == "watch":
        return 1 + seconds / 250  # a watch lives for 270 s at the least; and one for each kind
    if "leases" in resource:
        return seconds / 4
    if what == "get /version":
        return 2 + seconds / 24
    if "selfsubjectaccessreviews" in resource:
        return len(RIGHTS) * math.ceil(1 + seconds / 240)
    return 0
