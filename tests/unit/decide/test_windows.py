"""When a policy's windows are open: by hours of a place, over changes of daylight saving time, and together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.policy import RolloutPolicySpec, Window, WindowKind
from sluice.decide.windows import Standing, changes_at, closed, standing
from sluice.errors import InvalidSpec

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def window(schedule: str, duration: str = "1h", *, kind: str = "Allow", zone: str = "UTC", name: str = "") -> Window:
    """A window."""
    return Window.parse(
        {"kind": kind, "schedule": schedule, "duration": duration, "timeZone": zone, "name": name}, "window"
    )


def at(text: str) -> datetime:
    """A moment in UTC, such as 2026-03-29 01:30."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "now, is_open, until",
    [
        ("2026-11-23 07:59:59", False, "2026-11-23 08:00"),
        ("2026-11-23 08:00", True, "2026-11-23 16:00"),
        ("2026-11-23 15:59:59", True, "2026-11-23 16:00"),
        ("2026-11-23 16:00", False, "2026-11-24 08:00"),
        ("2026-11-27 16:00", False, "2026-11-30 08:00"),  # over a weekend
    ],
)
def test_office_hours_of_a_place(now: str, is_open: bool, until: str) -> None:
    """From nine to five on working days in Berlin; the end is not in it, the beginning is."""
    assert standing(window("0 9 * * 1-5", "8h", zone=BERLIN), at(now)) == Standing(is_open, at(until))


@pytest.mark.parametrize(
    "now, is_open, until",
    [
        ("2026-03-28 01:30", True, "2026-03-28 02:30"),  # the day before: 02:30 is 01:30 UTC
        ("2026-03-29 00:59", False, "2026-03-29 01:00"),  # there is no 02:30: it opens when the hour is skipped
        ("2026-03-29 01:00", True, "2026-03-29 02:00"),
        ("2026-03-30 00:30", True, "2026-03-30 01:30"),  # the day after: 02:30 is 00:30 UTC
    ],
)
def test_the_hour_that_is_skipped(now: str, is_open: bool, until: str) -> None:
    """In spring the clocks of Berlin go from 02:00 to 03:00: a window at 02:30 opens once, right after that."""
    assert standing(window("30 2 * * *", zone=BERLIN), at(now)) == Standing(is_open, at(until))


@pytest.mark.parametrize(
    "now, is_open, until",
    [
        ("2026-10-25 00:29", False, "2026-10-25 00:30"),
        ("2026-10-25 00:30", True, "2026-10-25 01:30"),  # 02:30 for the first time
        ("2026-10-25 01:00", True, "2026-10-25 01:30"),  # 02:00 for the second time
        ("2026-10-25 01:30", False, "2026-10-26 01:30"),  # 02:30 for the second time: it does not open again
    ],
)
def test_the_hour_that_is_there_twice(now: str, is_open: bool, until: str) -> None:
    """In autumn they go from 03:00 back to 02:00: a window at 02:30 opens once, and lasts as long as it says."""
    assert standing(window("30 2 * * *", zone=BERLIN), at(now)) == Standing(is_open, at(until))


def test_a_window_that_opens_again_before_it_closes_goes_on() -> None:
    """Every quarter of an hour for twenty minutes, from nine to ten: it closes once, after the last."""
    assert standing(window("*/15 9 * * *", "20m"), at("2026-11-23 09:17")) == Standing(True, at("2026-11-23 10:05"))


def test_a_window_without_end_is_open_for_good() -> None:
    """Every minute for an hour: nobody is told of an end that never comes."""
    assert standing(window("* * * * *", "1h"), at("2026-11-23 09:17")) == Standing(True, None)


@given(
    st.integers(0, 2 * 365 * 24 * 3600),
    st.sampled_from(["30 2 * * *", "0 9 * * 1-5", "15 1,2,3 * * 0", "0 0 * * *", "*/20 * * * *", "0 23 31 12 *"]),
    st.sampled_from([10, 45, 90, 600]),
    st.sampled_from([BERLIN, NEW_YORK, "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
)
def test_what_is_told_of_the_change_comes_true(second: int, schedule: str, minutes: int, zone: str) -> None:
    """At the time that is told it stands the other way round, and just before that as it stood."""
    seen, now = window(schedule, f"{minutes}m", zone=zone), at("2026-01-01") + timedelta(seconds=second)
    told = standing(seen, now)
    if told.until is None:
        assert told.is_open
        return
    assert told.until > now
    assert standing(seen, told.until).is_open is not told.is_open
    just_before = max(now, told.until - timedelta(seconds=1))
    assert standing(seen, just_before).is_open is told.is_open


def test_a_freeze_outweighs_what_is_allowed() -> None:
    """In a freeze within office hours nothing grows, until the freeze is over."""
    windows = [
        window("0 9 * * *", "8h", name="office"),
        window("0 12 * * *", "1h", kind="Deny", name="lunch"),
    ]
    assert closed(windows, at("2026-11-23 11:00")) is None
    assert str(closed(windows, at("2026-11-23 12:30"))) == "the freeze lunch lasts until 2026-11-23 13:00 UTC"
    evening = closed(windows, at("2026-11-23 18:00"))
    assert str(evening) == "no window is open; the next is office, at 2026-11-24 09:00 UTC"


def test_of_several_freezes_the_last_to_end_is_told() -> None:
    """Who waits is told when it is over, not when the next of them ends."""
    windows = [
        window("0 0 * * *", "2h", kind="Deny", name="night"),
        window("0 0 20 11 *", "288h", kind="Deny", name="black friday"),
    ]
    assert str(closed(windows, at("2026-11-21 01:00"))) == "the freeze black friday lasts until 2026-12-02 00:00 UTC"
    assert changes_at(windows, at("2026-11-21 01:00")) == at("2026-11-21 02:00")


def test_without_windows_of_kind_allow_everything_else_is_allowed() -> None:
    """A policy with freezes alone lets grow outside of them."""
    assert closed([window("0 0 20 11 *", "288h", kind=WindowKind.DENY)], at("2026-12-24 12:00")) is None
    assert closed([], at("2026-12-24 12:00")) is None


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"schedule": "0 0 30 2 *"}, "no cron schedule: Bad day-of-month in '0 0 30 2 *'"),
        ({"schedule": "0 25 * * *"}, "no cron schedule: Bad hour"),
        ({"schedule": "0 0 * * * *"}, "a schedule has five fields"),
        ({"timeZone": "Europe/Nowhere"}, "unknown time zone 'Europe/Nowhere': write one such as Europe/Berlin"),
        ({"timeZone": "Europe"}, "unknown time zone 'Europe'"),
        ({"timeZone": "../../etc/hostname"}, "unknown time zone"),
    ],
)
def test_what_means_nothing_is_refused_with_a_sentence(fields: dict[str, str], said: str) -> None:
    """Neither a day that never comes nor a place that nobody knows becomes a window that never opens."""
    given_window = {"kind": "Deny", "schedule": "0 0 * * *", "duration": "1h", **fields}
    with pytest.raises(InvalidSpec, match=said.replace("*", r"\*").replace("(", r"\(")):
        RolloutPolicySpec.parse({"windows": [given_window]}, "RolloutPolicy bad: spec")


def test_a_schedule_is_read_where_it_is_meant() -> None:
    """Nine o'clock in New York is not nine o'clock in Berlin."""
    now = at("2026-07-01 13:30")
    assert standing(window("0 9 * * *", zone=NEW_YORK), now).is_open
    assert not standing(window("0 9 * * *", zone=BERLIN), now).is_open
    assert now.astimezone(ZoneInfo(NEW_YORK)).hour == 9
