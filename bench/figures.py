"""Figures: quantiles, the machine's facts, a table for people and a last line of JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_COLUMNS = 110


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed.

    >>> quantile([4.0, 1.0, 3.0, 2.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-len(ordered) * round(share * 1000) // 1000) - 1))]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds at the middle, the edge and the end."""
    if not seconds:
        return {}
    return {
        "n": len(seconds),
        "p50_ms": round(quantile(seconds, 0.5) * 1000, 2),
        "p90_ms": round(quantile(seconds, 0.9) * 1000, 2),
        "p99_ms": round(quantile(seconds, 0.99) * 1000, 2),
        "max_ms": round(max(seconds) * 1000, 2),
    }


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of what was measured side by side."""
    return round(statistics.median(own / other for own, other in zip(ours, theirs, strict=True)), 3)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_1m": round(os.getloadavg()[0], 2),
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console()
    Console(width=None if console.is_terminal else _COLUMNS).print(table)


def conclude(figures: dict[str, Any], broken: Sequence[str]) -> int:
    """Print the guards that are broken and the line of JSON. Returns the exit code."""
    for guard in broken:
        print(f"BROKEN: {guard}", flush=True)
    print(json.dumps({**figures, "broken": list(broken), "machine": machine()}, separators=(",", ":")), flush=True)
    return 1 if broken else 0
