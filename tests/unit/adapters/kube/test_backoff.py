"""Waits between tries."""

from sluice.adapters.kube.backoff import Backoff


def test_waits_grow_to_a_bound() -> None:
    """Each wait is in the upper half of its step; steps double up to the most, and start anew after a success."""
    backoff = Backoff(first_seconds=1.0, most_seconds=8.0)
    waits = [backoff.next_seconds() for _ in range(6)]
    for wait, step in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert step / 2 <= wait <= step
    backoff.reset()
    assert backoff.next_seconds() <= 1.0


def test_the_servers_wish_counts() -> None:
    """Never sooner than the server asked for; and a thousand failures are no number too large."""
    backoff = Backoff()
    assert backoff.next_seconds(60.0) == 60.0
    for _ in range(1000):
        assert backoff.next_seconds() <= 15.0
