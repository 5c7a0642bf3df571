"""Audit entries as CloudEvents, and which of them are to be sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sluice.api.common import ObjectRef
from sluice.api.rollout import Audit
from sluice.decide.audit import Telling, append
from sluice.decide.exported import due, event_of
from unit.decide.observed import NOW

CHECKOUT = ObjectRef(namespace="shop", name="checkout", uid="0d0f6a32")
HOUR = timedelta(hours=1)


def chain() -> Audit:
    """Four entries: of two hours ago, of one, and two of now."""
    audit = Audit()
    for number, age in enumerate((2, 1, 0, 0)):
        told = Telling(f"id-{number}", "Observed", "step-1", "sluice", "WeightChanged", "to 10%")
        audit = append(audit, told, NOW - age * HOUR)
    return audit


def test_an_entry_is_an_event() -> None:
    """With the attributes that CloudEvents 1.0 asks for; the entry is in it as its chain has it."""
    entry = chain().entries[0]
    event = event_of(CHECKOUT, "", entry)
    assert event == {
        "specversion": "1.0",
        "id": entry.hash,
        "source": "/apis/sluice.dev/v1alpha1/namespaces/shop/rollouts/checkout",
        "type": "dev.sluice.audit.observed",
        "subject": "0d0f6a32",
        "time": entry.dump()["at"],
        "datacontenttype": "application/json",
        "data": {"rollout": {"namespace": "shop", "name": "checkout", "uid": "0d0f6a32"}, "entry": entry.dump()},
    }


@pytest.mark.parametrize(
    "since, sent, hours, wanted",
    [
        (4, 4, 24, []),
        (2, 2, 24, [3, 4]),
        (4, 1, 0, [2, 3, 4]),
        (4, None, 1, [2, 3, 4]),
        (4, None, 24, [1, 2, 3, 4]),
        (3, None, 0, [3, 4]),
        (0, None, 0, [1, 2, 3, 4]),
    ],
    ids=["all sent", "new", "one pass missed", "first sight", "first sight, a day", "nothing anew", "a new Rollout"],
)
def test_what_is_due(since: int, sent: int | None, hours: int, wanted: list[int]) -> None:
    """What comes after the last that was sent; at the first sight what is new, or not older than so many hours."""
    found = due(chain(), since=since, sent=sent, young=NOW - hours * HOUR)
    assert [entry.seq for entry in found] == wanted
