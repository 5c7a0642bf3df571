"""The page that `sluice plan` shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sluice.api.units import format_duration
from sluice.cli.table import Column, bold, by_meaning, render
from sluice.decide.texts import some
from sluice.views.fields import clean
from sluice.views.plans import BatchLine, Course, GuardPlan, ObjectLine, PlanPage, RevisionLine, RolloutPlan, Verdict

_TOLD = {
    Verdict.ADOPT: "is adopted: what serves now is taken as stable",
    Verdict.START: "begins a run",
    Verdict.WAIT: "wants to begin a run, and waits",
    Verdict.SUPERSEDE: "leaves the run under way for another version",
    Verdict.RETURN: "leaves the run under way, back to stable",
    Verdict.KILL: "is killed: the run under way ends, and stable gets all",
    Verdict.COMPLETE: "completes the run under way",
    Verdict.END: "ends the run under way",
    Verdict.GO_ON: "goes on with the run under way",
    Verdict.NEEDS_RETRY: "begins nothing: this version needs a retry",
    Verdict.STALL: "begins nothing until something is mended",
    Verdict.NOTHING: "begins nothing",
    Verdict.FLEET: "goes over a fleet",
    Verdict.UNKNOWN: "nobody can tell",
}
_FIELDS_SHOWN = 6
_COVERED_SHOWN = 20


def lay_out(page: PlanPage) -> str:
    """The page as text, without a newline at the end."""
    parts = [_objects(page.objects)]
    parts += ["\n".join(_guard(each)) for each in page.guards]
    parts += ["\n".join(_rollout(each)) for each in page.rollouts]
    parts.append("\n".join(_notes(page)))
    return "\n\n".join(part for part in parts if part)


def _objects(objects: tuple[ObjectLine, ...]) -> str:
    columns = [Column("OBJECT"), Column("RESULT", by_meaning), Column("FIELDS"), Column("FROM")]
    rows = [
        [
            _title(each.kind or "?", each.namespace, each.name),
            each.result,
            some(each.changed, _FIELDS_SHOWN),
            each.where,
        ]
        for each in objects
    ]
    table = render(columns, [[clean(cell) for cell in row] for row in rows]) if rows else ""
    told = [
        f"{_title(each.kind, each.namespace, each.name)}: {each.message}".lstrip(": ")
        for each in objects
        if each.message
    ]
    return "\n".join([table, *map(clean, told)]) if told else table


def _title(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace + '/' if namespace else ''}{name}".strip()


def _guard(guard: GuardPlan) -> Iterator[str]:
    yield f"{bold(_title(guard.kind, guard.namespace, guard.name))} {guard.state}".rstrip()
    if guard.message:
        yield f"  {clean(guard.message)}"
    yield f"  covers {clean(some(guard.covers, _COVERED_SHOWN)) or 'no Rollout'}"


def _rollout(plan: RolloutPlan) -> Iterator[str]:
    yield f"{bold(f'Rollout {plan.namespace}/{plan.name}')} {_TOLD[plan.verdict]}"
    if plan.stable is not None and plan.candidate is not None:
        number = f"revision {plan.candidate.number}: " if plan.candidate.number else ""
        yield f"  {number}{_revision(plan.stable)} to {_revision(plan.candidate)}"
    yield f"  {clean(plan.message)}"
    if plan.next_run_only:
        yield f"  the run under way keeps these as they were: {clean(some(plan.next_run_only, _FIELDS_SHOWN))}"
    held = [hold for hold in plan.holds if hold.message not in plan.message]
    if held:
        yield f"  {'also ' if len(held) < len(plan.holds) else ''}in its way now:"
        yield from (f"    {clean(hold.message)}" for hold in held)
    if plan.writes:
        yield "  first writes:"
        yield from (f"    {clean(each)}" for each in plan.writes)
    if plan.batches:
        yield "  batches, were a run to begin now:"
        yield from (f"    {clean(each)}" for each in map(_batch, plan.batches))
    if plan.course is not None:
        yield from _course(plan.course)


def _batch(batch: BatchLine) -> str:
    before = f"after {batch.before}: " if batch.before else ""
    after = f"; {batch.after}" if batch.after else ""
    clusters = some(batch.clusters, _COVERED_SHOWN) or "no cluster"
    return f"{batch.name}: {before}{clusters}, {batch.at_once} at a time, {batch.may_fail} may fail{after}"


def _revision(revision: RevisionLine) -> str:
    return clean(f"{revision.slot} ({revision.version or revision.hash})")


def _course(course: Course) -> Iterator[str]:
    yield "  course, at the earliest:"
    times = [f"+{_duration(line.seconds)}" for line in course.lines]
    width = max(map(len, times), default=0)
    for line, time in zip(course.lines, times, strict=True):
        yield f"    {time:<{width}}  {clean(line.message)}"
        if line.needs:
            yield f"    {'':<{width}}    until {clean(line.needs)}"
    if course.done_seconds is not None:
        yield f"  done after {_duration(course.done_seconds)}"
    elif course.end:
        yield f"  ends there: {clean(course.end)}"


def _duration(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))


def _notes(page: PlanPage) -> Iterator[str]:
    if page.assumed:
        yield "The courses suppose that " + "; ".join(page.assumed) + "."
    yield from (f"Not known: {clean(each)}." for each in page.unknown)
    if page.skipped:
        yield f"Not looked at: {clean(some(page.skipped, _COVERED_SHOWN))}."
    yield "Nothing was written."
