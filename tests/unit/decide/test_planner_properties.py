"""Whatever is observed: plans keep the invariants, come to rest, and leave a status that can be stored.

An example is a situation (a Rollout at rest, stepping, aborted, ...) of which many things are replaced at random:
shares, endpoints, switches, people's actions, answers of Prometheus, records that are gone, clocks that went wrong.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluice.api.action import Verb
from sluice.api.killswitch import Effect
from sluice.api.names import Kind, Slot
from sluice.api.outcome import Outcome
from sluice.api.rollout import Drift, RolloutStatus, Waiting
from sluice.decide import analysis
from sluice.decide.analysis import Outcome as Finding
from sluice.decide.audit import broken_at, held
from sluice.decide.model import (
    Acceptance,
    Measurement,
    Observed,
    Plan,
    Reading,
    ReadingKind,
    Shift,
    TargetView,
    Templates,
)
from sluice.decide.planner import plan
from sluice.decide.switches import stopping, strictest_first
from unit.decide.observed import (
    HOUR,
    MINUTE,
    NOW,
    OPEN_PAUSE,
    SECOND,
    STABLE_SPEC,
    aborted,
    action,
    after,
    ask,
    completed,
    healthy,
    measured,
    metric,
    observed,
    rollout_spec,
    running,
    settle,
    slots,
    switch,
    target,
)

MOST_BYTES = 64 * 1024
PASSES = 40

LENIENT = metric(failureLimit=2, inconclusiveLimit=1)
RELATIVE = metric("latency", threshold={"maxRatio": 2, "max": 5})
INLINE = metric("smoke", initialDelay="0s")
ANALYSED = Templates(background=(LENIENT, RELATIVE), inline=((INLINE,), (INLINE,)))
CHECKED: dict[str, Any] = {
    "blueGreen": {
        "prePromotion": {"metrics": [INLINE.dump()]},
        "postPromotion": {"metrics": [INLINE.dump()]},
        "watch": "5m",
    }
}
BASELINES = {"latency": measured(1.0, NOW, "latency")}

SITUATIONS: tuple[Observed, ...] = (
    observed(),
    observed(rollout_spec()),
    healthy(),
    ask(healthy(), rollout_spec()),
    running(),
    running(strategy=OPEN_PAUSE),
    running(strategy=OPEN_PAUSE, templates=ANALYSED, baselines=BASELINES),
    running(strategy=CHECKED, templates=ANALYSED, baselines=BASELINES),
    running(templates=ANALYSED),
    completed(),
    aborted(),
    settle(replace(running(), switches=(switch(),)), NOW),
    settle(replace(completed(), actions=(action(Verb.UNDO, 1),)), NOW),
    settle(replace(completed(), switches=(switch(Effect.ROLLBACK),)), NOW),
    after(completed(), plan(replace(completed(), switches=(switch(Effect.ROLLBACK),)), NOW)),
    after(running(), plan(replace(running(), actions=(action(Verb.ABORT),)), NOW), writes=False),
    replace(running(), deleting=True),
)

EXPOSED = tuple(seen for seen in SITUATIONS if seen.status.step and seen.targets[0].share(Slot.GREEN))

shares = st.sampled_from([0, 1, 300, 1000, 5000, 9999, 10_000])
offsets = st.sampled_from(
    [-HOUR, -SECOND, 0 * SECOND, SECOND, 30 * SECOND, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 9 * HOUR]
)
texts = st.text(max_size=40) | st.just("x" * 3000) | st.just("\u20ac" * 3000)
readings = st.one_of(
    st.sampled_from([0.0, 0.5, 1e308, -1.0]).map(lambda value: Reading(ReadingKind.VALUE, value)),
    st.builds(
        Reading, st.sampled_from([ReadingKind.ERROR, ReadingKind.NO_DATA, ReadingKind.INCONCLUSIVE]), st.none(), texts
    ),
    st.just(Reading(ReadingKind.VALUE, float("nan"))),
)


@st.composite
def views(draw: st.DrawFn) -> tuple[TargetView, ...]:
    """One to three routes or a switched Service, in any state."""
    found = []
    for index in range(draw(st.integers(1, 3))):
        problem = draw(st.sampled_from(["", "", "", "a third backend"]))
        dark = draw(st.sampled_from([False, False, False, True]))
        rules = (5000,) if dark else tuple(draw(st.lists(shares, max_size=2)))
        view = target(
            name=f"route-{index}" if index else "checkout",
            kind=draw(st.sampled_from([Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE])),
            shares=rules,
            found=draw(st.sampled_from([True, True, True, False])) or bool(rules),
            problem=problem if rules else "no rule names both Services",
            acceptance=draw(st.sampled_from(Acceptance)),
            acceptance_message=draw(texts),
            dark=dark,
        )
        found.append(view)
    return tuple(found)


specs = st.sampled_from(
    [
        STABLE_SPEC,
        rollout_spec(),
        rollout_spec(version="2.1"),
        rollout_spec(Slot.BLUE, "3.0"),
        rollout_spec(strategy=OPEN_PAUSE),
        rollout_spec(paused=True),
        rollout_spec(readiness="Complete", revisionHistoryLimit=1),
        None,
    ]
)
switches = st.lists(
    st.builds(
        lambda effect, reason, forced_by: replace(
            switch(effect, forced_by=forced_by if effect.diverts else ""), reason=reason, actor=reason
        ),
        st.sampled_from(Effect),
        texts,
        st.sampled_from(["", "", "bob"]) | texts,
    ),
    max_size=2,
).map(strictest_first)
actions = st.lists(
    st.builds(
        lambda verb, revision, number, reason: action(verb, revision, name=f"{verb.lower()}-{number}", reason=reason),
        st.sampled_from(Verb),
        st.sampled_from([None, 0, 1, 2, 7]),
        st.integers(0, 3),
        texts,
    ),
    max_size=3,
    unique_by=lambda each: each.name,
).map(tuple)
measurements = st.lists(
    st.builds(
        Measurement,
        st.sampled_from(["errors", "latency", "smoke", "unknown"]),
        st.sampled_from(["background", "step-1", "step-3"]),
        offsets.map(lambda offset: NOW + offset),
        readings,
        st.none() | readings,
        st.none() | readings,
    ),
    max_size=4,
).map(tuple)


@st.composite
def observations(draw: st.DrawFn) -> tuple[Observed, datetime]:
    """A situation with some of it replaced, and the time."""
    seen = draw(st.sampled_from(SITUATIONS))
    choices: dict[str, st.SearchStrategy[Any]] = {
        "targets": views(),
        "slots": st.builds(slots, st.sampled_from([-1, 0, 1, 3]), st.sampled_from([-1, 0, 1, 3])),
        "switches": switches,
        "spec": specs,
        "actions": actions,
        "measurements": measurements,
        "baselines": st.dictionaries(
            st.just("latency"), readings.map(lambda each: Measurement("latency", "", NOW, each))
        ),
        "runs": st.just(()),
        "deleting": st.booleans(),
        "has_finalizer": st.booleans(),
        "namespace_terminating": st.booleans(),
        "rival": st.just("shop/first"),
        "templates": st.sampled_from([ANALYSED, Templates(problem_reason="TemplateMissing", problem="none")]),
        "write_problem": texts.map(lambda text: ("Forbidden", text)),
        "status": _statuses(seen.status),
    }
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=5, unique=True))
    changes = {name: draw(choices[name]) for name in names}
    if "spec" in changes and changes["spec"] is None:
        changes["spec_problem"] = "spec.strategy: missing"
    return replace(seen, **changes), NOW + draw(offsets)


def _statuses(status: RolloutStatus) -> st.SearchStrategy[RolloutStatus]:
    """The status, lost or with a field that somebody changed or a crash left behind."""
    changes: list[dict[str, Any]] = [
        {"stable": None},
        {"confirmation": None},
        {"weight": 7700},
        {"run": None},
        {"run": "checkout-99"},
        {"rejected": tuple("abcdefghijkl")},
        {"drift": Drift(count=9, last_at=NOW + HOUR), "confirmation": None},
        {"drift": Drift(count=2, last_at=NOW - SECOND), "confirmation": None},
        {"waiting": Waiting(reason="WaitsForEndpoints", since=NOW - HOUR)},
    ]
    steps = [status.step.model_copy(update={"index": index}) for index in (0, 2, 99)] if status.step else []
    return st.sampled_from(
        [
            RolloutStatus(),
            *(status.model_copy(update=change) for change in changes),
            *(status.model_copy(update={"step": step}) for step in steps),
        ]
    )


def to_rest(seen: Observed, now: datetime) -> list[tuple[Observed, Plan]]:
    """Every pass until nothing changes, each with what it saw."""
    passes = []
    for _ in range(PASSES):
        made = plan(seen, now)
        passes.append((seen, made))
        then = after(seen, made)
        if then == seen:
            return passes
        seen = then
    raise AssertionError(f"not at rest after {PASSES} passes: {seen.status.message}")


def gains(shift: Shift, slot: Slot) -> bool:
    """Whether a shift gives a slot more on any rule."""
    wanted = shift.share if slot is shift.slot else 10_000 - shift.share
    had = [share if slot is Slot.GREEN else 10_000 - share for share in shift.target.shares]
    return any(before < wanted for before in had)


def candidate(made: Plan) -> Slot:
    """The slot that is not stable."""
    assert made.status.stable is not None
    return made.status.stable.slot.other


# ---------------------------------------------------------------------------------------------- rest


@settings(max_examples=400)
@given(observations())
def test_replanning_comes_to_rest(example: tuple[Observed, datetime]) -> None:
    """On its own outcome a plan changes less and less, and then nothing: no write, no event, the same status."""
    passes = to_rest(*example)
    seen, made = passes[-1]
    assert (made.shifts, made.urgent, made.create_run, made.run_statuses, made.notes, made.delete_runs) == (
        (), (), None, (), (), (),
    )  # fmt: skip
    assert made.status == seen.status


@settings(max_examples=200)
@given(observations())
def test_after_a_crash_before_the_writes_it_comes_to_the_same_rest(example: tuple[Observed, datetime]) -> None:
    """The status was written, the shares were not: the next process writes them, and the routes end the same."""
    seen, now = example
    passes = to_rest(seen, now)
    crashed = after(seen, plan(seen, now), writes=False)
    assume(crashed.status.drift is None)  # what others wrote is put back with patience, also after a crash
    rest = to_rest(crashed, now)[-1][0]
    assert rest.targets[0].shares == passes[-1][0].targets[0].shares
    assert rest.status.phase == passes[-1][0].status.phase


# ---------------------------------------------------------------------------------------------- I1, I3


@settings(max_examples=500)
@given(observations())
def test_growth_passes_every_gate(example: tuple[Observed, datetime]) -> None:
    """I3: no growing share under a switch, a pause, a spec that can't be read, a bad analysis, or without intent."""
    _, now = example
    for seen, made in to_rest(*example):
        for shift in (*made.urgent, *made.shifts):
            if seen.preview is not None and shift.target.ref == seen.preview.ref:
                continue
            slot = candidate(made)
            assert shift.slot is slot
            assert 0 <= shift.share <= 10_000
            if gains(shift, slot) and not shift.target.dark:
                assert shift.grows
            if not shift.grows:
                continue
            assert shift not in made.urgent
            _assert_may_grow(seen, made, shift, now)


def _assert_may_grow(seen: Observed, made: Plan, shift: Shift, now: datetime) -> None:
    assert (tuple(stopping(seen.switches, made.status.under_way, led=seen.led)), seen.deleting, seen.rival) == (
        (),
        False,
        "",
    )
    assert seen.spec is not None
    assert not seen.spec.paused
    assert made.status.paused_by is None
    assert made.status.revision is not None
    assert made.status.revision.outcome is None
    assert shift.share == made.status.weight
    assert not any(view.problem for view in seen.targets)
    run = made.create_run or next(run.spec for run in seen.runs if run.name == made.status.run)
    verdict = analysis.verdict(run.analysis.metrics, made.status.metrics, "background")
    assert verdict.outcome not in {Finding.FAILED, Finding.HELD, Finding.UNSURE}, now


@settings(max_examples=500)
@given(observations())
def test_no_share_goes_to_a_slot_without_ready_endpoints(example: tuple[Observed, datetime]) -> None:
    """I1, in both directions, also for kills, returns, repairs and deletions; but for a kill with force."""
    for seen, made in to_rest(*example):
        forced = any(each.forced_by for each in seen.switches)
        for shift in (*made.urgent, *made.shifts):
            for slot in Slot:
                if gains(shift, slot) and not (forced and slot is candidate(made).other):
                    assert seen.slots[slot].ready_endpoints > 0


@settings(max_examples=300)
@given(observations(), st.sampled_from(EXPOSED), views(), st.sampled_from([1, 3]))
def test_a_kill_is_in_the_first_plan(
    example: tuple[Observed, datetime], exposed: Observed, others: tuple[TargetView, ...], ready: int
) -> None:
    """I4: an exposed candidate under a Divert is taken down at once, wherever stable can answer."""
    seen, now = example
    fields = {name: getattr(exposed, name) for name in ("status", "runs", "has_finalizer")}
    targets = (target(1000), *others[1:])
    seen = replace(
        seen, **fields, targets=targets, slots=slots(blue=ready), switches=(switch(),), deleting=False, rival=""
    )
    made = plan(seen, now)
    down = {view.ref for view in targets if view.share(Slot.GREEN) > 0}
    assert {shift.target.ref for shift in made.urgent} >= down
    assert all(shift.share == 0 for shift in made.urgent)
    assert made.status.revision is not None
    assert made.status.revision.outcome is Outcome.KILLED


@settings(max_examples=200)
@given(observations(), st.sampled_from(EXPOSED), views(), st.sampled_from([-1, 0, 1, 3]), st.sampled_from([-1, 0, 3]))
def test_a_kill_with_force_asks_no_endpoint(
    example: tuple[Observed, datetime], exposed: Observed, others: tuple[TargetView, ...], blue: int, green: int
) -> None:
    """An exposed candidate is taken down at once and everywhere, also where stable cannot answer; and it stays down."""
    seen, now = example
    fields = {name: getattr(exposed, name) for name in ("status", "runs", "has_finalizer")}
    targets = (target(1000), *others[1:])
    stop = (switch(Effect.HOLD, "hold"), switch(name="plain"), switch(forced_by="bob"))
    seen = replace(
        seen,
        **fields,
        targets=targets,
        slots=slots(blue, green),
        switches=strictest_first(stop),
        deleting=False,
        rival="",
    )
    made = plan(seen, now)
    down = {view.ref for view in targets if view.share(Slot.GREEN) > 0}
    assert {shift.target.ref for shift in made.urgent} >= down
    assert all(shift.share == 0 for shift in made.urgent)
    rest = to_rest(seen, now)[-1][0]
    assert not any(view.share(Slot.GREEN) for view in rest.targets)


# ---------------------------------------------------------------------------------------------- the status


@settings(max_examples=400)
@given(observations())
def test_every_status_can_be_stored_and_read_back(example: tuple[Observed, datetime]) -> None:
    """As JSON, equal, below 64 KiB, with a whole audit chain that never goes back."""
    for seen, made in to_rest(*example):
        text = json.dumps(made.status.dump(), allow_nan=False)
        assert RolloutStatus.parse(json.loads(text), "status") == made.status
        assert len(text) < MOST_BYTES
        assert broken_at(made.status.audit) is None
        assert made.status.audit.seq >= seen.status.audit.seq
        told = [(entry.id, entry.stage) for entry in made.status.audit.entries]
        assert len(told) == len(set(told))
        for note in made.notes:
            assert note.message


def test_the_largest_status_stays_below_64_kib() -> None:
    """As many metrics as can be measured, a hundred runs, and people who write novels in any script."""
    novel = "\u20ac" * 20_000
    metrics = tuple(metric(f"{index:063d}", onFailure="Hold", failureLimit=9) for index in range(32))
    seen = running(templates=Templates(background=metrics), strategy=OPEN_PAUSE, spec={"revisionHistoryLimit": 100})
    spec, at = seen.spec, NOW
    for number in range(2, 60):
        abort = action(Verb.ABORT, name=f"abort-{number}", reason=novel, at=at)
        seen = settle(replace(seen, actions=(abort,)), at)
        assert spec is not None
        workload = spec.workload.model_copy(update={"version": f"{number:0128d}"})
        spec = spec.model_copy(update={"workload": workload})
        seen = settle(ask(seen, spec), at)
    pause = action(Verb.PAUSE, name="pause", reason=novel, at=at)
    wrong = Reading(ReadingKind.ERROR, message=novel)
    answers = tuple(measured(wrong, at + SECOND, each.name) for each in metrics)
    loud = replace(switch(Effect.HOLD), reason=novel, actor=novel)
    views = (target(1000, acceptance=Acceptance.REFUSED, acceptance_message=novel),)
    seen = settle(replace(seen, actions=(pause,), measurements=answers, switches=(loud,), targets=views), at)
    kept = seen.status.model_copy(update={"audit": held(seen.status.audit)})  # as who seals has it written at worst
    stored = json.dumps(kept.dump(), ensure_ascii=False).encode()
    assert len(stored) < MOST_BYTES
    assert len(seen.status.metrics) == 32
    assert len(seen.status.rejected) == 10


@given(st.sampled_from(SITUATIONS), st.lists(offsets, min_size=1, max_size=5))
def test_a_clock_that_jumps_breaks_nothing(seen: Observed, jumps: list[timedelta]) -> None:
    """Back and forth by hours: every pass comes to rest, and counted time never shrinks within a step."""
    for offset in jumps:
        before = seen.status.step
        passes = to_rest(seen, NOW + offset)
        seen = passes[-1][0]
        now = seen.status.step
        if before is not None and now is not None and (before.index, before.started_at) == (now.index, now.started_at):
            assert now.counted_seconds >= before.counted_seconds
