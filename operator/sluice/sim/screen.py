"""How the demos look: panels in a terminal, plain lines where piped. Says nothing by itself; `demo.py` decides what."""

from __future__ import annotations

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from sluice.sim import story

BAR_WIDTH = 40
WIDTH = 100
COLOURS = ("cyan", "magenta", "yellow", "green")


def show_title(console: Console, number: int, title: str) -> None:
    """Head an act."""
    console.print(f"\n[bold]Act {number}. {escape(title)}[/bold]")


def show_command(console: Console, command: str) -> None:
    """Show what a person types."""
    console.print(f"  $ {escape(command)}", soft_wrap=True)


def show_line(console: Console, frame: story.Frame) -> None:
    """Show a frame as a line of plain text."""
    console.print(escape(line(frame)), soft_wrap=True)


def show_facts(console: Console, act: story.Act) -> None:
    """Show what came of an act."""
    mark = "[green]✓[/green]" if act.as_told else "[red]✗[/red]"
    for fact in act.facts:
        console.print(f"  {mark} {escape(fact)}", soft_wrap=True)


def show_failure(console: Console, acts: list[story.Act]) -> bool:
    """Say which acts did not end as their titles say; returns whether there are any."""
    wrong = [act.title for act in acts if not act.as_told]
    if wrong:
        told = f"This did not end as it should: {'; '.join(wrong)}. Please report it, with this output."
        console.print(f"[red]{escape(told)}[/red]", soft_wrap=True)
    return bool(wrong)


def picture(frame: story.Frame) -> Panel:
    """Draw a frame."""
    lines = [Text(f"$ {frame.command}" if frame.command else "", style="bold", overflow="ellipsis", no_wrap=True)]
    for row in frame.rows:
        drawn = Text(f"{row.version:>7} ")
        full = round(row.share * BAR_WIDTH)
        drawn.append("█" * full, style=COLOURS[sum(row.version.encode()) % len(COLOURS)])
        drawn.append("·" * (BAR_WIDTH - full), style="dim")
        drawn.append(f" {story.share_text(row.share):>6}  {row.requests:>7,} requests")
        if row.failed:
            drawn.append(f"  {row.failed:,} failed", style="red")
        lines.append(drawn)
    lines += [Text(frame.message, overflow="ellipsis", no_wrap=True), Text(frame.metric, style="dim")]
    return Panel(Group(*lines), title=f"{frame.phase or 'New'}, {_clock(frame)}", title_align="left", width=WIDTH)


def line(frame: story.Frame) -> str:
    """Tell a frame in a line."""
    shares = ", ".join(f"{row.version} {story.share_text(row.share)} ({row.requests:,} requests)" for row in frame.rows)
    return f"  {_clock(frame)}  {frame.phase:<11}  {shares}  {frame.message}"


def _clock(frame: story.Frame) -> str:
    minutes, seconds = divmod(round(frame.seconds), 60)
    return f"{minutes:02d}:{seconds:02d}"
