"""Draws what fleets cost, from the figures kept in bench/results, for docs/reference/performance.md.

    python bench/plot.py            writes docs/reference/fleet-*.svg

The pictures carry their own background, for pages that are light and pages that are dark.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, PAGES = ROOT / "bench" / "results", ROOT / "docs" / "reference"
WIDTH, HEIGHT = 800, 340
LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 56, 16, 56, 48, 72
_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #52514e }
.title { font-weight: 600; fill: #0b0b0b }
.surface { fill: #fcfcfb }
.grid { stroke: #e1e0d9 }
.axis { stroke: #c3c2b7 }
.limit { stroke: #898781; stroke-dasharray: 5 4 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.dot { stroke: #fcfcfb; stroke-width: 2 }
.line.a { stroke: #2a78d6 } .dot.a { fill: #2a78d6 }
.line.b { stroke: #eb6834 } .dot.b { fill: #eb6834 }
.line.c { stroke: #1baf7a } .dot.c { fill: #1baf7a }
@media (prefers-color-scheme: dark) {
text { fill: #c3c2b7 }
.title { fill: #ffffff }
.surface { fill: #1a1a19 }
.grid { stroke: #2c2c2a }
.axis { stroke: #383835 }
.dot { stroke: #1a1a19 }
.line.a { stroke: #3987e5 } .dot.a { fill: #3987e5 }
.line.b { stroke: #d95926 } .dot.b { fill: #d95926 }
.line.c { stroke: #199e70 } .dot.c { fill: #199e70 }
}"""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One chart; both axes are logarithmic.

    Attributes:
        title: what is measured, and in what.
        across: what the horizontal axis counts.
        series: points by name, in the order of their colours; at most three.
        limits: horizontal lines by name.
    """

    title: str
    across: str
    series: Mapping[str, Points]
    limits: Mapping[str, float]

    def bounds(self) -> tuple[float, float, float, float]:
        """Whole decades, as powers of ten: left, right, bottom, top."""
        points = [point for each in self.series.values() for point in each]
        heights = [y for _, y in points] + list(self.limits.values())
        widths = [x for x, _ in points]
        return (
            math.floor(math.log10(min(widths)) + 1e-9),
            max(math.log10(max(widths)), math.floor(math.log10(min(widths)) + 1e-9) + 1),
            math.floor(math.log10(min(heights))),
            math.ceil(math.log10(max(heights))),
        )


def plain(value: float) -> str:
    """A number as people read it.

    >>> plain(1000), plain(0.1), plain(256.4), plain(3.62)
    ('1,000', '0.1', '256', '3.6')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def draw(panel: Panel, left: float, width: float) -> list[str]:
    """The elements of one chart, in the place from `left` on."""
    low_x, high_x, low_y, high_y = panel.bounds()
    bottom, top = HEIGHT - BOTTOM, TOP

    def at(x: float, y: float) -> tuple[float, float]:
        across = left + (math.log10(x) - low_x) / (high_x - low_x) * width
        return across, bottom - (math.log10(y) - low_y) / (high_y - low_y) * (bottom - top)

    parts = [_text(left - 40, 20, panel.title, "title")]
    for power in range(round(low_y), round(high_y) + 1):
        _, y = at(10**low_x, 10**power)
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{y:.1f}" x2="{left + width:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 6, y + 4, plain(10**power), anchor="end"))
    decades = {10**power for power in range(round(low_x), math.floor(high_x + 1e-9) + 1)}
    room, end = left + width - at(max(decades), 10**low_y)[0], round(10**high_x)
    fits = room > 3.5 * len(plain(max(decades))) + 7 * len(plain(end)) + 4
    for across in sorted(decades | ({end} if fits else set())):
        x, _ = at(across, 10**low_y)
        parts.append(f'<line class="axis" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 4}"/>')
        parts.append(_text(x, bottom + 18, plain(across), anchor="middle" if x < left + width - 1 else "end"))
    parts.append(f'<line class="axis" x1="{left:.1f}" y1="{bottom}" x2="{left + width:.1f}" y2="{bottom}"/>')
    parts.append(_text(left + width / 2, HEIGHT - 10, panel.across, anchor="middle"))
    for name, value in panel.limits.items():
        _, y = at(10**low_x, value)
        parts.append(f'<line class="limit" x1="{left:.1f}" y1="{y:.1f}" x2="{left + width:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left + 4, y - 5, name))
    for colour, (name, points) in zip("abc", panel.series.items(), strict=False):
        places = [at(*point) for point in points]
        path = " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(places))
        parts.append(f'<path class="line {colour}" d="{path}"/>')
        for (x, y), (across, height) in zip(places, points, strict=True):
            told = escape(f"{name}: {plain(height)} at {plain(across)} {panel.across}")
            parts.append(f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{told}</title></circle>')
    return parts + _key(panel, left)


def _key(panel: Panel, left: float) -> list[str]:
    """Which colour is whose, where there are several; with the last value of each."""
    if len(panel.series) == 1:
        return []
    parts, x = [], left - 36
    for colour, (name, points) in zip("abc", panel.series.items(), strict=False):
        told = f"{name} ({plain(points[-1][1])})"
        parts.append(f'<circle class="dot {colour}" cx="{x:.1f}" cy="36" r="5"/>')
        parts.append(_text(x + 9, 40, told))
        x += 24 + 6.4 * len(told)
    return parts


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def picture(told: str, panels: Sequence[Panel]) -> str:
    """An SVG with charts side by side. `told` is for who cannot see it."""
    width = (WIDTH - LEFT - RIGHT - BETWEEN * (len(panels) - 1)) / len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(told)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="surface" width="{WIDTH}" height="{HEIGHT}"/>',
    ]
    for number, panel in enumerate(panels):
        parts += draw(panel, LEFT + number * (width + BETWEEN), width)
    return "\n".join([*parts, "</svg>", ""])


def against_clusters(sim: dict[str, Any]) -> str:
    """Of the hub alone, one Rollout: CPU for a pass, and what is stored."""
    costs = sim["alone"]
    kib = {
        name: [(each["clusters"], each[field] / 1024) for each in costs]
        for name, field in (("FleetRun", "fleet_run_bytes"), ("Rollout", "rollout_bytes"))
    }
    panels = (
        Panel("CPU time of a pass over one Rollout, ms", "clusters", {"hub": _of(costs, "clusters", "pass_ms")}, {}),
        Panel(
            "The largest that was stored, KiB",
            "clusters",
            kib,
            {"Rollout: at most 256": 256, "FleetRun: at most 1,024": 1024},
        ),
    )
    return picture("Cost of a fleet against the number of its clusters; the tables have the same figures", panels)


def against_rollouts(sim: dict[str, Any], runs: Sequence[dict[str, Any]]) -> str:
    """Of the hub alone in memory; and of the operator on a testbed."""
    memory = [(run["rollouts"] * run["members"], run["mib"]["Rollouts at rest"]["operator"]) for run in runs]
    panels = (
        Panel(
            "In memory: the hub's CPU time for one run of all, s",
            "Rollouts, each over 10 clusters",
            {"hub": _of(sim["many"], "rollouts", "cpu_s")},
            {},
        ),
        Panel(
            "On the testbed: the operator's memory at rest, MiB",
            "Rollouts, times the members that each is over",
            {"operator": memory},
            {},
        ),
    )
    return picture("Cost of fleets against the number of Rollouts; the tables have the same figures", panels)


def _of(rows: Sequence[dict[str, Any]], across: str, up: str) -> Points:
    return [(row[across], row[up]) for row in rows]


def main() -> int:
    """Write the pictures."""
    sim = json.loads((RESULTS / "fleet-sim.json").read_text())
    runs = [json.loads(path.read_text()) for path in RESULTS.glob("fleet-members-*.json")]
    runs.sort(key=lambda run: run["rollouts"] * run["members"])
    (PAGES / "fleet-clusters.svg").write_text(against_clusters(sim))
    (PAGES / "fleet-rollouts.svg").write_text(against_rollouts(sim, runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
