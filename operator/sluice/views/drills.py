"""The last drill of a kill switch, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.views.fields import Fields


def drill_lines(switch: Mapping[str, Any]) -> tuple[str, ...]:
    """The evidence of a switch's last drill: what came of it, then a line for each part; empty where there was none."""
    last = Fields(switch).at("status", "lastDrill")
    if not last:
        return ()
    head = f"drill {last.text('outcome') or 'under way'}: {last.text('message')}"
    parts = [f"  {part.text('name'):<9} {part.number('seconds'):>7} s" for part in last.items("parts")]
    return (head, *parts)
