"""What is sent for an object that is there already: just what `kubectl apply` would send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.errors import Forbidden, Unavailable
from sluice.ops.plan.asked import Asked
from sluice.ops.plan.dryrun import LAST_APPLIED, merge_patch_of, try_out
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster


def obj(spec: Obj, last: Obj | None = None, **metadata: Any) -> Obj:
    """A Rollout, perhaps with kubectl's record of what it applied."""
    record = {"annotations": {LAST_APPLIED: json.dumps({"spec": last})}} if last is not None else {}
    return {"kind": "Rollout", "metadata": {"name": "checkout", **record, **metadata}, "spec": spec}


CASES = {
    "nothing": ({"a": 1}, {"a": 1}, {"a": 1}, {}),
    "a change": ({"a": 2}, {"a": 1}, {"a": 1}, {"a": 2}),
    "a new field": ({"a": 1, "b": {"c": 2}}, {"a": 1}, {"a": 1}, {"b": {"c": 2}}),
    "taken out of the file": ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}, {"b": None}),
    "taken out of a part": ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 2}}, {"a": {"c": None}}),
    "a default of the API server's": ({"a": 1}, {"a": 1}, {"a": 1, "b": 2}, {}),
    "taken out, and gone already": ({"a": 1}, {"a": 1, "b": 2}, {"a": 1}, {}),
    "never applied": ({"a": 1}, None, {"a": 1, "b": 2}, {}),
    "a list is a whole": ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}, {"a": [1]}),
    "a part becomes a value": ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}, {"a": 1}),
}


@pytest.mark.parametrize("given, last, live, patch", CASES.values(), ids=CASES)
def test_the_patch(given: Obj, last: Obj | None, live: Obj, patch: Obj) -> None:
    """What the file says is written; what it said and says no more goes; all else stays."""
    assert merge_patch_of(obj(given), obj(live, last)) == ({"spec": patch} if patch else {})


def test_a_record_that_means_nothing_takes_nothing_out() -> None:
    """Somebody may write anything into an annotation."""
    live = obj({"a": 1}) | {"metadata": {"name": "checkout", "annotations": {LAST_APPLIED: "[not json"}}}
    assert merge_patch_of(obj({"a": 1}), live) == {}


def asked(version: str) -> Asked:
    """A Rollout of a file."""
    body = manifests.rollout("shop", "checkout", manifests.canary({"setWeight": 10}), version=version)
    return Asked("a.yaml:1", Kind.ROLLOUT, "shop", "checkout", body)


def cluster() -> FakeCluster:
    """With the Rollout in it."""
    made = FakeCluster(VirtualClock(), namespaces=("shop",))
    made.seed(Kind.ROLLOUT, asked("1.4.0").body)
    return made


def test_the_answer_is_the_object_as_it_would_be() -> None:
    """With its uid and its next generation; and nothing is stored."""
    made = cluster()
    version = made.store.version
    (tried,) = run(try_out(made, [asked("1.5.0")]))
    assert tried.before is not None
    assert tried.after is not None
    assert tried.changed == ("spec.workload.version",)
    assert tried.after["metadata"]["uid"] == tried.before["metadata"]["uid"]
    assert (tried.before["metadata"]["generation"], tried.after["metadata"]["generation"]) == (1, 2)
    assert made.store.version == version


@pytest.mark.parametrize("error", [Forbidden("no"), Unavailable("away")])
def test_no_right_is_a_refusal_and_no_answer_is_an_error(error: Exception) -> None:
    """Nobody is told of a refusal where the API server said nothing."""
    made = cluster()

    def fail(_call: object) -> None:
        raise error

    made.faults.append(fail)
    if isinstance(error, Unavailable):
        with pytest.raises(Unavailable):
            run(try_out(made, [asked("1.5.0")]))
    else:
        (tried,) = run(try_out(made, [asked("1.5.0")]))
        assert (tried.after, tried.refusal) == (None, "no")


def test_a_namespace_that_is_not_there_is_named() -> None:
    """It is what has to be made first."""
    made = FakeCluster(VirtualClock(), namespaces=())
    (tried,) = run(try_out(made, [asked("1.5.0")]))
    assert tried.refusal.endswith("Create the namespace shop first")
