"""The user's labels and annotations for stable and candidate pods change hands on living pods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sluice.api.names import Kind, Slot
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from unit.decide.cluster import settle
from unit.decide.observed import NOW
from unit.decide.workloads import (
    CAPACITY,
    change,
    deployment,
    finished,
    serving,
    ship,
    stepping,
    template,
    with_deployment,
)

ROLES: dict[str, Any] = {
    "stableMetadata": {"labels": {"tier": "live", "team/role": "stable"}, "annotations": {"note": "serves"}},
    "candidateMetadata": {"labels": {"team/role": "candidate"}, "annotations": {"watch": "close"}},
}


def worn(seen: Observed, slot: Slot) -> set[tuple[tuple[str, str], ...]]:
    """What pods of a slot carry beyond their template, each way once."""
    view = deployment(seen, slot)
    own = view.template["metadata"]["labels"].keys()
    return {
        tuple(
            sorted({**{key: value for key, value in pod.labels.items() if key not in own}, **pod.annotations}.items())
        )
        for pod in view.members
    }


STABLE = {(("note", "serves"), ("team/role", "stable"), ("tier", "live"))}
CANDIDATE = {(("team/role", "candidate"), ("watch", "close"))}


def test_every_pod_wears_its_role() -> None:
    """Stable's pods and the candidate's, each its own, by patches of the pods that rest on their uid."""
    seen = stepping(workload=ROLES)
    assert (worn(seen, Slot.BLUE), worn(seen, Slot.GREEN)) == (STABLE, CANDIDATE)


def test_roles_change_hands_without_a_restart() -> None:
    """After the promotion the same pods wear the other's; nothing of before is left on them."""
    before = stepping(workload=ROLES)
    seen = finished(workload=ROLES)
    assert (worn(seen, Slot.GREEN), worn(seen, Slot.BLUE)) == (STABLE, CANDIDATE)
    assert deployment(seen, Slot.GREEN).template == deployment(before, Slot.GREEN).template
    kept = {pod.uid for pod in deployment(before, Slot.GREEN).members}
    assert kept <= {pod.uid for pod in deployment(seen, Slot.GREEN).members}


def test_what_the_roles_say_can_change_at_any_time() -> None:
    """Another value is put on living pods; it starts no run and changes no template."""
    seen = change(serving(workload=ROLES), stableMetadata={"labels": {"tier": "gold"}})
    made = plan(seen, NOW)
    assert (made.create_run, made.applies, len(made.patches)) == (None, (), CAPACITY)
    (labels,) = {dict(each)["tier"] for each in worn(settle(seen, NOW), Slot.BLUE)}
    assert labels == "gold"


def test_only_what_the_other_role_put_there_is_taken_away() -> None:
    """A pod's own label of the same name, with another value, is its own."""
    seen = settle(ship(serving(workload=ROLES), template("2.0", labels={"app": "checkout", "tier": "silver"})), NOW)
    assert {pod.labels["tier"] for pod in deployment(seen, Slot.GREEN).members} == {"silver"}


def test_a_pod_without_labels_or_annotations_is_dressed_too() -> None:
    """A JSON Patch cannot add a key to a map that is not there."""
    seen = serving(workload=ROLES)
    bare = tuple(replace(pod, labels={}, annotations={}) for pod in deployment(seen, Slot.BLUE).members)
    dressed = settle(with_deployment(seen, Slot.BLUE, members=bare), NOW)
    assert all(pod.labels == {"tier": "live", "team/role": "stable"} for pod in deployment(dressed, Slot.BLUE).members)


def test_without_roles_no_pod_is_touched() -> None:
    """Nothing is patched, whatever people put on their pods."""
    assert [patch for patch in plan(serving(), NOW).patches if patch.kind is Kind.POD] == []


def test_keys_with_slashes_are_escaped() -> None:
    """`team/role` is one key, and so is one with a tilde."""
    seen = change(serving(), stableMetadata={"labels": {"a/b": "1"}, "annotations": {"c~d": "2"}})
    paths = {each["path"] for patch in plan(seen, NOW).patches for each in patch.operations[1:]}
    assert paths == {"/metadata/labels/a~1b", "/metadata/annotations"}
    assert worn(settle(seen, NOW), Slot.BLUE) == {(("a/b", "1"), ("c~d", "2"))}
