"""Letting go of objects that stay."""

from __future__ import annotations

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.names import (
    APPLIED_ANNOTATION,
    CAUSE_ANNOTATION,
    HOLD_ANNOTATION,
    OWNER_ANNOTATION,
    REVISION_ANNOTATION,
    WEIGHTS_ANNOTATION,
    Kind,
)
from sluice.decide.release import release

OURS = (
    OWNER_ANNOTATION,
    CAUSE_ANNOTATION,
    WEIGHTS_ANNOTATION,
    HOLD_ANNOTATION,
    REVISION_ANNOTATION,
    APPLIED_ANNOTATION,
)
FOREIGN = ("team", "sluice.development/x", "example.com/sluice.dev", "notsluice.dev/rollout", "sluice.dev")
KEYS = st.sampled_from([*OURS, *FOREIGN])


@pytest.mark.parametrize("kind", [Kind.HTTP_ROUTE, Kind.GRPC_ROUTE, Kind.SERVICE, Kind.DEPLOYMENT])
@given(annotations=st.dictionaries(KEYS, st.text(max_size=5)))
def test_nothing_of_ours_stays(kind: Kind, annotations: dict[str, str]) -> None:
    """All annotations of Sluice's are gone, those that only look like it and everybody else's stay."""
    patch = release(kind, "web", "uid-1", annotations)
    assert (patch.kind, patch.name) == (kind, "web")
    obj = {"metadata": {"uid": "uid-1", "annotations": annotations}}
    after = jsonpatch.apply_patch(obj, patch.operations)["metadata"]["annotations"]
    assert after == {key: value for key, value in annotations.items() if key in FOREIGN}


def test_another_object_of_the_name_is_left_alone() -> None:
    """The first operation tests the uid: an object that was made anew is not the one that was meant."""
    patch = release(Kind.SERVICE, "web", "uid-1", {OWNER_ANNOTATION: "shop/web/r"})
    anew = {"metadata": {"uid": "uid-2", "annotations": {OWNER_ANNOTATION: "shop/web/r"}}}
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(anew, patch.operations)


def test_nothing_to_let_go_of() -> None:
    """An object without annotations of ours gets a patch that changes nothing."""
    assert release(Kind.SERVICE, "web", "u", {"team": "shop"}).operations == (
        {"op": "test", "path": "/metadata/uid", "value": "u"},
    )
