"""Letting go of an object: nothing of Sluice's is left on it that would keep other writers from changing it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.api.names import GROUP, Kind
from sluice.decide.model import Patch
from sluice.decide.pointer import pointer

_PREFIX = f"{GROUP}/"


def release(kind: Kind, name: str, uid: str, annotations: Mapping[str, Any]) -> Patch:
    """The patch that lets go of an object which stays: every annotation of Sluice's goes, a person's hold among them.

    It rests on the uid, and on each annotation being there still: where one is gone meanwhile, nothing is written
    (Conflict). Where there are none it changes nothing.

    Args:
        kind: of the object.
        name: of the object.
        uid: of the object that was observed.
        annotations: all that it has.

    >>> release(Kind.SERVICE, "web", "u", {"team": "shop", "sluice.dev/rollout": "shop/web/r"}).operations[1]
    {'op': 'remove', 'path': '/metadata/annotations/sluice.dev~1rollout'}
    """
    ours = sorted(key for key in annotations if key.startswith(_PREFIX))
    removals = ({"op": "remove", "path": pointer("metadata", "annotations", key)} for key in ours)
    return Patch(kind, name, ({"op": "test", "path": "/metadata/uid", "value": uid}, *removals))
