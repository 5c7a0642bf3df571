"""What a Rollout keeps of the kill switches that cover it."""

from __future__ import annotations

from sluice.api.common import Model


class Coverage(Model):
    """A switch that covers a Rollout, as that keeps it in its status: it goes on covering it, however it is relabelled.

    `scope` is a digest of the switch's scope: who may change that while it is engaged lets go what it no longer covers.
    """

    switch: str  # kind and name
    uid: str
    scope: str
    effect: str = ""
    engaged_by: str = ""
    reason: str = ""
