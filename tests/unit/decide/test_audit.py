"""The audit chain: bounded, told once, and broken by whatever is changed in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.rollout import Audit, AuditEntry
from sluice.decide.audit import (
    HELD_BYTES,
    HELD_ENTRIES,
    MAX_BYTES,
    MAX_ENTRIES,
    SEALED_BYTES,
    SEALED_ENTRIES,
    Telling,
    append,
    broken_at,
    entry_id,
    has,
    held,
    is_much,
    next_sealed,
    overflows,
    trimmed,
)
from unit.decide.observed import NOW


def telling(number: int, message: str = "green to 10%", **fields: Any) -> Telling:
    """Something to tell."""
    given: dict[str, Any] = {
        "identity": entry_id("uid", number, "", "step-1"),
        "stage": "Intended",
        "action": "step-1",
        "actor": "sluice",
        "reason": "WeightChanged",
        "message": message,
    }
    return Telling(**given | fields)


def size(entries: Sequence[AuditEntry]) -> int:
    """In bytes, as they stand in a status."""
    return sum(len(json.dumps(entry.dump())) for entry in entries)


def chain(count: int, message: str = "green to 10%") -> Audit:
    """So many entries."""
    audit = Audit()
    for number in range(count):
        audit = append(audit, telling(number, message), NOW + timedelta(seconds=number))
    return audit


def test_each_entry_continues_the_one_before() -> None:
    """Numbered from 1; the head is the newest entry's hash; it reads back the same from the status."""
    audit = chain(3)
    assert [entry.seq for entry in audit.entries] == [1, 2, 3]
    assert (audit.seq, audit.head) == (3, audit.entries[-1].hash)
    assert Audit.parse(audit.dump(), "audit") == audit
    assert broken_at(Audit.parse(json.loads(json.dumps(audit.dump())), "audit")) is None


def test_what_is_told_is_not_told_again() -> None:
    """The same identity and stage; the other stage is another entry."""
    audit = chain(1)
    assert append(audit, telling(0), NOW) is audit
    seen = append(audit, telling(0, stage="Observed"), NOW)
    assert [entry.stage for entry in seen.entries] == ["Intended", "Observed"]
    assert has(audit, entry_id("uid", 0, "", "step-1"), "Intended")
    assert not has(audit, entry_id("uid", 0, "", "step-1"), "Observed")


def test_identities_tell_apart_what_differs() -> None:
    """Rollout, revision, cause, action and cluster; nor can one field's text pass for two."""
    ids = [
        entry_id("uid", 1, "cause", "step-1"),
        entry_id("uid2", 1, "cause", "step-1"),
        entry_id("uid", 2, "cause", "step-1"),
        entry_id("uid", 1, "", "step-1"),
        entry_id("uid", 1, "cause", "step-2"),
        entry_id("uid", 1, "cause", "step-1", "member"),
        entry_id("uid", 1, "cause\0step-1", ""),
    ]
    assert len(set(ids[:-1])) == 6


def test_what_a_status_holds_is_bounded_by_number_and_size() -> None:
    """At most 64 entries and 32 KiB, the newest, whatever can't be sealed; numbers go on."""
    many = held(chain(100))
    assert (len(many.entries), many.entries[0].seq, many.seq) == (HELD_ENTRIES, 37, 100)
    large = held(chain(60, "\u20ac" * 10_000))
    assert size(large.entries) <= HELD_BYTES
    assert len(large.entries) < HELD_ENTRIES
    assert broken_at(many) is None
    assert broken_at(large) is None
    fits = chain(HELD_ENTRIES)
    assert held(fits) is fits


def test_nothing_is_dropped_by_telling_more() -> None:
    """What is beyond the bounds may still be sealed: who seals drops what can't be."""
    assert [entry.seq for entry in chain(100).entries] == list(range(1, 101))


def test_what_is_much_for_a_pass() -> None:
    """As many entries as a segment has, or as large."""
    assert not is_much(chain(SEALED_ENTRIES - 1).entries)
    assert is_much(chain(SEALED_ENTRIES).entries)
    assert is_much(chain(2, "\u20ac" * 512).entries)


def test_the_oldest_are_sealed_once_there_are_too_many() -> None:
    """More than 32 entries, or 16 KiB: eight of them at a time, or 4 KiB, but at least one."""
    assert not overflows(chain(MAX_ENTRIES))
    assert overflows(chain(MAX_ENTRIES + 1))
    assert [entry.seq for entry in next_sealed(chain(33), 33)] == list(range(1, SEALED_ENTRIES + 1))
    large = chain(10, "\u20ac" * 512)
    assert size(large.entries) > MAX_BYTES
    assert overflows(large)
    assert 0 < size(next_sealed(large, 10)) <= SEALED_BYTES
    assert len(next_sealed(chain(1, "\u20ac" * 512), 1)) == 1


def test_only_what_is_stored_is_sealed() -> None:
    """What was only decided may be decided anew after a crash, and then be told at another time."""
    assert [entry.seq for entry in next_sealed(chain(40), 3)] == [1, 2, 3]
    assert next_sealed(chain(40), 0) == ()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 600))
def test_the_same_entries_make_the_same_segment(first: int, second: int, length: int) -> None:
    """However many came after them: who seals again after a crash meets an equal segment, or a shorter one."""
    whole, longer = chain(min(first, second), "x" * length), chain(max(first, second), "x" * length)
    one, other = next_sealed(whole, whole.seq), next_sealed(longer, longer.seq)
    assert other[: len(one)] == one
    assert one == other or len(one) == whole.seq


def test_what_is_sealed_leaves() -> None:
    """The rest is whole, and goes on from there."""
    rest = trimmed(chain(40), 8)
    assert ([entry.seq for entry in rest.entries], rest.seq) == (list(range(9, 41)), 40)
    assert broken_at(rest) is None
    assert append(rest, telling(99), NOW).seq == 41


def test_fields_are_bounded() -> None:
    """Whatever a person wrote as a reason."""
    (entry,) = append(Audit(), telling(1, "x" * 10_000, actor="y" * 1000), NOW).entries
    assert (len(entry.message), len(entry.actor)) == (512, 253)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(
    "change",
    [{"message": "never"}, {"actor": "mallory"}, {"seq": 17}, {"stage": "Observed"}, {"hash": "0" * 64}, {"id": "x"}],
)
def test_a_changed_entry_is_found(index: int, change: dict[str, Any]) -> None:
    """Whichever entry and field; at the entry itself, or where the next one does not continue it."""
    audit = chain(4)
    entries = [entry.model_copy(update=change) if at == index else entry for at, entry in enumerate(audit.entries)]
    assert broken_at(audit.model_copy(update={"entries": tuple(entries)})) is not None


@pytest.mark.parametrize("kept", [[0, 1, 3], [0, 2, 1, 3], [0, 1, 2], [], [1, 0, 2, 3], [0, 0, 1, 2, 3]])
def test_dropped_and_moved_entries_are_found(kept: list[int]) -> None:
    """In the middle, at the end, all of them, doubled or swapped."""
    audit = chain(4)
    assert broken_at(audit.model_copy(update={"entries": tuple(audit.entries[at] for at in kept)})) is not None


def test_what_left_the_tail_is_not_missed() -> None:
    """The oldest entries leave by the bound: the tail is whole without them."""
    audit = chain(4)
    assert broken_at(audit.model_copy(update={"entries": audit.entries[2:]})) is None
    assert broken_at(Audit()) is None


@given(st.lists(st.tuples(st.integers(0, 8), st.text(max_size=700), st.text(max_size=300)), max_size=60))
def test_any_tellings_make_a_whole_chain(tellings: list[tuple[int, str, str]]) -> None:
    """Whatever text: whole, bounded, and the same after a round through JSON."""
    audit = Audit()
    for number, message, actor in tellings:
        audit = append(audit, telling(number, message, actor=actor), NOW)
    assert broken_at(audit) is None
    assert Audit.parse(json.loads(json.dumps(audit.dump())), "audit") == audit
