"""What the audit tells of clusters that fail, however many do so at once."""

from __future__ import annotations

import json
import re

from sluice.api.fleet import FleetRevision, FleetStatus
from sluice.api.rollout import RolloutStatus
from sluice.decide.audit import HELD_BYTES, MAX_MESSAGE, SEALED_ENTRIES
from sluice.decide.fleet.failures import with_failures
from unit.decide.fleet.pretended import MINUTE, REST, installed
from unit.decide.observed import NOW

RUN = FleetStatus(revision=FleetRevision(number=3, hash="abc", version="2.0", started_at=NOW))
STATUS = RolloutStatus(fleet=RUN)


def told(status: RolloutStatus, count: int, **other: str) -> RolloutStatus:
    """With what is told of so many clusters that fail in one pass, for two reasons."""
    why = "no progress for 1m", other.get("message", "it does not answer")
    names = [f"m{number:03}" for number in range(count)]
    reasons = [other.get("reason", "Deadline" if at % 3 else "Lost") for at in range(count)]
    failed = {name: (reasons[at], why[at % 2]) for at, name in enumerate(names)}
    return status.model_copy(update={"audit": with_failures(status, "uid", failed, NOW)})


def messages(status: RolloutStatus) -> list[str]:
    """What the entries say."""
    return [entry.message for entry in status.audit.entries]


def test_each_of_a_few_has_an_entry() -> None:
    """With its message."""
    assert messages(told(STATUS, 2)) == ["m000: no progress for 1m", "m001: it does not answer"]
    assert len(messages(told(STATUS, SEALED_ENTRIES))) == SEALED_ENTRIES
    assert told(STATUS, 0).audit == STATUS.audit


def test_many_are_named_together() -> None:
    """Every one of a hundred, by reason, in the order in which they failed."""
    found = messages(told(STATUS, 100))
    assert len(found) <= 3
    assert all(text.startswith("of 100 clusters that failed at once: ") for text in found)
    names = [word.strip() for text in found for part in text.split(": ")[2:] for word in part.split(";")[0].split(",")]
    assert sorted(names) == [f"m{number:03}" for number in range(100)]
    assert "; Lost: m000, m003, " in " ".join(found)


def test_of_thousands_the_rest_are_counted() -> None:
    """A status has to hold what a pass tells."""
    found = told(STATUS, 5000).audit.entries
    assert len(found) == SEALED_ENTRIES
    assert {len(entry.message) <= MAX_MESSAGE for entry in found} == {True}
    named = sum(len(re.findall(r"\bm\d{3,4}\b", entry.message)) for entry in found)
    assert named > 500
    assert found[-1].message.endswith(f", and {5000 - named} more")


def test_long_messages_are_told_by_name_alone() -> None:
    """Whatever members say, in whatever script; of one alone all of it."""
    large = told(STATUS, SEALED_ENTRIES, message="\u20ac" * 600, reason="\u20ac" * 600).audit.entries
    assert sum(len(json.dumps(entry.dump())) for entry in large) < HELD_BYTES / 4
    assert "m007" in large[-1].message
    alone = with_failures(STATUS, "uid", {"m1": ("Lost", "\u20ac" * 600)}, NOW).entries
    assert len(alone[0].message) == MAX_MESSAGE


def test_what_is_told_is_not_told_again() -> None:
    """After a crash before the record of the run was written: the same clusters fail once more, or others as well."""
    few, many = told(STATUS, 3), told(STATUS, 100)
    assert told(few, 3).audit == few.audit
    assert told(many, 100).audit == many.audit
    assert not any("m002" in text for text in messages(told(few, 100))[3:])
    assert "of 97 clusters" in messages(told(few, 100))[-1]


def test_a_fleet_that_fails_at_once_is_told_in_one_pass() -> None:
    """All count, and are told before what comes of it; a status holds what the pass tells."""
    names = [f"m{number:03}" for number in range(100)]
    hub = installed(names, REST, progressDeadline="5m")
    hub.look()
    hub.look()
    hub.lose(*names)
    before = hub.status.audit.seq
    hub.wait(6 * MINUTE)
    told = [entry for entry in hub.status.audit.entries if entry.seq > before]
    assert set(hub.letters[0]) <= {"f", "b", "r"}
    assert "100 of 100 clusters" in " ".join(entry.message for entry in told)
    assert [entry.action for entry in told][-1] == "return"
    assert len(told) <= SEALED_ENTRIES
    assert all(any(name in entry.message for entry in told) for name in names)
