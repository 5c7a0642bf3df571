"""How a Deployment's replica sets grow and shrink: the arithmetic of Kubernetes' own controller."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.sim.rolling import Limits, SetSize, limits, next_targets


@pytest.mark.parametrize(
    "desired, surge, unavailable, expected",
    [
        pytest.param(6, "25%", 0, (2, 0), id="slot"),
        pytest.param(4, "25%", "25%", (1, 1), id="even"),
        pytest.param(6, "25%", "25%", (2, 1), id="up-and-down"),
        pytest.param(1, "25%", 0, (1, 0), id="one"),
        pytest.param(0, "25%", 0, (0, 1), id="none"),
        pytest.param(3, 0, 0, (0, 1), id="never-both-0"),
        pytest.param(3, 5, 2, (5, 2), id="numbers"),
    ],
)
def test_surge_is_rounded_up_and_missing_pods_down(
    desired: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    """As Kubernetes rounds: never fewer than asked for by rounding, and always a way to go on."""
    found = limits(desired, surge, unavailable)
    assert (found.surge, found.unavailable) == expected


@pytest.mark.parametrize(
    "sets, expected",
    [
        pytest.param({"new": (0, 0)}, {"new": 4}, id="first"),
        pytest.param({"old": (4, 4), "new": (0, 0)}, {"old": 4, "new": 1}, id="surge"),
        pytest.param({"old": (4, 4), "new": (1, 0)}, {"old": 4, "new": 1}, id="wait-for-ready"),
        pytest.param({"old": (4, 4), "new": (1, 1)}, {"old": 3, "new": 1}, id="one-for-one"),
        pytest.param({"old": (4, 2), "new": (1, 1)}, {"old": 3, "new": 1}, id="old-that-are-not-ready"),
        pytest.param({"old": (4, 0), "new": (1, 0)}, {"old": 4, "new": 1}, id="all-broken"),
        pytest.param({"older": (2, 2), "old": (2, 0), "new": (1, 1)}, {"older": 2, "old": 1, "new": 1}, id="two-old"),
        pytest.param({"old": (0, 0), "new": (4, 4)}, {"old": 0, "new": 4}, id="done"),
        pytest.param({"old": (0, 0), "new": (6, 6)}, {"old": 0, "new": 4}, id="too-many"),
    ],
)
def test_a_rolling_update_goes_step_by_step(sets: dict[str, tuple[int, int]], expected: dict[str, int]) -> None:
    """Four pods, one more than that at most, none missing."""
    sizes = {name: SetSize(*size) for name, size in sets.items()}
    assert next_targets(sizes, "new", Limits(4, 1, 0), resized=False) == expected


@pytest.mark.parametrize(
    "sets, bounds, expected",
    [
        pytest.param({"old": (3, 3), "new": (0, 0)}, Limits(6, 2, 0), {"old": 6, "new": 0}, id="one-that-serves"),
        pytest.param({"old": (3, 3), "new": (1, 0)}, Limits(6, 2, 0), {"old": 6, "new": 2}, id="in-parts"),
        pytest.param({"old": (6, 6), "new": (2, 0)}, Limits(3, 1, 0), {"old": 3, "new": 1}, id="fewer"),
        pytest.param({"old": (2, 2), "new": (4, 4)}, Limits(4, 1, 0), {"old": 0, "new": 4}, id="saturated"),
        pytest.param({"old": (3, 3), "new": (1, 0)}, Limits(0, 0, 1), {"old": 0, "new": 0}, id="none"),
        pytest.param({"new": (0, 0)}, Limits(3, 1, 0), {"new": 3}, id="from-nothing"),
    ],
)
def test_another_number_is_shared_out(
    sets: dict[str, tuple[int, int]], bounds: Limits, expected: dict[str, int]
) -> None:
    """Scaling in the middle of an update grows what serves along with what is new, so that capacity follows."""
    sizes = {name: SetSize(*size) for name, size in sets.items()}
    assert next_targets(sizes, "new", bounds, resized=True) == expected


@given(st.integers(0, 12), st.integers(0, 12), st.sampled_from([("25%", 0), ("25%", "25%"), (0, 1), (3, 2)]), st.data())
def test_an_update_comes_to_its_end_within_its_limits(
    before: int, desired: int, bounds: tuple[int | str, int | str], data: st.DataObject
) -> None:
    """Whatever becomes ready first: never more pods than allowed, never fewer available, and all are new at the end."""
    limit = limits(desired, *bounds)
    targets, available = {"old": before, "new": 0}, {"old": before, "new": 0}
    resized = before != desired
    for _ in range(100):
        sizes = {name: SetSize(targets[name], available[name]) for name in targets}
        targets = next_targets(sizes, "new", limit, resized=resized)
        available = {name: min(available[name], targets[name]) for name in targets}
        if not resized and before == desired:
            assert sum(targets.values()) <= limit.most
            assert sum(available.values()) >= desired - limit.unavailable
        resized = False
        late = [name for name in targets if available[name] < targets[name]]
        if late:
            available[data.draw(st.sampled_from(late))] += 1
        elif targets == {"old": 0, "new": desired}:
            break
    assert targets == {"old": 0, "new": desired}
