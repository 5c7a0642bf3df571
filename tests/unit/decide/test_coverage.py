"""The time that measurements cover."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sluice.api.analysis import ResolvedMetric
from sluice.api.rollout import MetricStatus, StepStatus
from sluice.decide.analysis import assess, begin
from sluice.decide.coverage import BACKGROUND, count_time, covered_until, reach, skip_time
from sluice.decide.model import Measurement, Reading, ReadingKind

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A time so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def metric(name: str = "m", interval: int = 30, **fields: object) -> ResolvedMetric:
    """A metric measured so often, in seconds."""
    base = {"name": name, "prometheus": {"query": "q"}, "threshold": {"max": 1}, "interval": f"{interval}s"}
    return ResolvedMetric.model_validate(base | fields)


class Pause:
    """A pause step while measurements come in, one pass for each."""

    def __init__(self, *metrics: ResolvedMetric) -> None:
        self.metrics = metrics
        self.tallies = begin(metrics, BACKGROUND, START)
        self.step = StepStatus(index=1, of=2, kind="pause", started_at=START)

    def measure(self, now: datetime, good: bool = True, name: str = "m") -> float:
        """A pass with one measurement. Returns the seconds counted so far."""
        reading = Reading(ReadingKind.VALUE, 0.0) if good else Reading(ReadingKind.ERROR)
        measurement = Measurement(name, BACKGROUND, now, reading)
        after = tuple(
            assess(one, tally, measurement, None) if one.name == name else tally
            for one, tally in zip(self.metrics, self.tallies, strict=True)
        )
        return self.look(now, after)

    def look(self, now: datetime, after: tuple[MetricStatus, ...] | None = None) -> float:
        """A pass, without a measurement unless given."""
        after = after or self.tallies
        self.step = count_time(self.step, self.metrics, before=self.tallies, after=after, scope=BACKGROUND, now=now)
        self.tallies = after
        return self.step.counted_seconds


def test_regular_measurements_count_all_time() -> None:
    """Measured each interval, give or take, a pause lasts as long as it says."""
    pause = Pause(metric())
    assert [pause.measure(at(seconds)) for seconds in (31, 62, 110, 140)] == [31, 62, 110, 140]
    assert pause.look(at(155)) == 140


def test_without_metrics_the_clock_counts() -> None:
    """So do runs whose only metrics are dry runs."""
    for pause in (Pause(), Pause(metric(dryRun=True))):
        assert pause.look(at(40)) == 40
        assert pause.look(at(30)) == 40
        assert pause.look(at(100)) == 100


def test_an_outage_does_not_count() -> None:
    """While Prometheus is away nothing counts; afterwards only what the new measurement speaks for."""
    pause = Pause(metric())
    pause.measure(at(30))
    assert [pause.measure(at(seconds), good=False) for seconds in (60, 70, 80, 300)] == [30] * 4
    assert pause.measure(at(310)) == 30 + 60
    assert pause.measure(at(340)) == 30 + 60 + 30


def test_a_long_initial_delay_does_not_count() -> None:
    """What happens before the first measurement's reach, nobody has seen."""
    assert Pause(metric()).measure(at(300)) == 60


def test_one_bad_answer_between_good_ones_is_covered() -> None:
    """A single error that the next question makes good leaves no gap."""
    pause = Pause(metric())
    pause.measure(at(30))
    assert pause.measure(at(60), good=False) == 30
    assert pause.measure(at(70)) == 70


def test_the_slowest_metric_sets_the_pace() -> None:
    """Time counts once every metric has covered it."""
    pause = Pause(metric("fast", 30), metric("slow", 100))
    assert [pause.measure(at(seconds), name="fast") for seconds in (30, 60, 90)] == [0, 0, 0]
    assert pause.measure(at(100), name="slow") == 90
    assert pause.measure(at(120), name="fast") == 100


def test_a_gap_in_one_metric_is_a_gap() -> None:
    """A slower metric's later measurement does not paper over it."""
    pause = Pause(metric("fast", 30), metric("slow", 300))
    pause.measure(at(30), name="fast")
    pause.measure(at(270), name="fast")
    assert pause.measure(at(300), name="slow") == 270 - 210


def test_held_time_is_left_out() -> None:
    """What a hold skipped does not count later, though it was measured."""
    pause = Pause(metric())
    pause.measure(at(30))
    pause.step = skip_time(pause.step, at(50))
    assert pause.measure(at(60)) == 30 + 10
    assert skip_time(pause.step, at(0)).counted_until == at(60)


def test_a_clock_put_back_starts_no_counting_by_itself() -> None:
    """Good measurements that now lie in the future say nothing; new ones count from then on."""
    pause = Pause(metric())
    pause.measure(at(30))
    assert [pause.look(at(seconds)) for seconds in (-3600, -3500, -3000)] == [30, 30, 30]
    pause.measure(at(-2990), good=False)
    assert pause.measure(at(-2980)) == 30
    assert pause.measure(at(-2950)) == 30 + 30


def test_a_clock_put_forward_counts_one_reach_at_most() -> None:
    """A day that was skipped is a day that nobody measured."""
    pause = Pause(metric())
    pause.measure(at(30))
    assert pause.measure(at(86_400)) == 30 + 60


def test_covered_until_is_the_oldest_of_the_last_good() -> None:
    """All metrics must have seen it; dry runs do not matter, and no metrics means now."""
    pause = Pause(metric("a"), metric("b"), metric("dry", dryRun=True))
    pause.measure(at(30), name="a")
    assert covered_until(pause.metrics, pause.tallies, BACKGROUND, at(35)) is None
    pause.measure(at(35), name="b")
    assert covered_until(pause.metrics, pause.tallies, BACKGROUND, at(40)) == at(30)
    assert covered_until(pause.metrics, pause.tallies, "step-1", at(40)) is None
    assert covered_until((), (), BACKGROUND, at(40)) == at(40)


def test_old_good_measurements_say_nothing_about_now() -> None:
    """After an hour away, an operator measures before it lets anything grow."""
    pause = Pause(metric())
    pause.measure(at(30))
    assert covered_until(pause.metrics, pause.tallies, BACKGROUND, at(90)) == at(30)
    assert covered_until(pause.metrics, pause.tallies, BACKGROUND, at(91)) is None
    assert covered_until(pause.metrics, pause.tallies, BACKGROUND, at(0)) is None


def test_short_intervals_allow_for_slow_answers() -> None:
    """An answer may take ten seconds without leaving a gap."""
    assert reach(metric(interval=1)) == timedelta(seconds=11)
    assert reach(metric(interval=300)) == timedelta(seconds=600)


TICKS = st.lists(st.tuples(st.integers(1, 200), st.booleans(), st.sampled_from(["a", "b"])), max_size=40)


@given(ticks=TICKS)
def test_counted_time_is_real_time(ticks: list[tuple[int, bool, str]]) -> None:
    """It only grows, never faster than the clock, and not while every answer is an error."""
    pause, now, counted = Pause(metric("a"), metric("b", 60)), 0, 0.0
    for elapsed, good, name in ticks:
        now += elapsed
        before, counted = counted, pause.measure(at(now), good, name)
        assert before <= counted <= now
        assert good or counted == before
        assert pause.step.counted_until is None or pause.step.counted_until <= at(now)


@given(gaps=st.lists(st.integers(1, 60), min_size=1, max_size=40), looks=st.lists(st.integers(0, 59), max_size=5))
def test_regular_measurements_lose_nothing(gaps: list[int], looks: list[int]) -> None:
    """While measurements follow each other within the reach, every second counts, however often one looks."""
    pause, now = Pause(metric()), 0
    for gap in gaps:
        for look in sorted(looks):
            pause.look(at(now + min(look, gap)))
        now += gap
        assert pause.measure(at(now)) == now


@given(
    ticks=st.lists(st.tuples(st.integers(1, 100), st.booleans(), st.integers(-5000, 5000) | st.just(0)), max_size=40)
)
def test_clock_jumps_never_shorten_a_pause_by_more_than_a_reach(ticks: list[tuple[int, bool, int]]) -> None:
    """Jumps back never add or subtract; each jump forward adds less than one reach to what really passed."""
    pause, real, offset, forward, counted = Pause(metric()), 0, 0, 0, 0.0
    for elapsed, good, jump in ticks:
        real, offset = real + elapsed, offset + jump
        forward += min(max(jump, 0), 60)
        before, counted = counted, pause.measure(at(real + offset), good)
        assert before <= counted <= real + forward
