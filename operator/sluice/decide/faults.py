"""What keeps containers from running, in their own words. Pure."""

from __future__ import annotations

from sluice.api.names import Slot
from sluice.decide.draft import Draft
from sluice.decide.pods import PodFault
from sluice.decide.texts import REASON_BYTES, clip

# The kubelet has tried more than once, or will never try: more waiting is not what helps.
HOPELESS = frozenset({"ImagePullBackOff", "CrashLoopBackOff", "InvalidImageName", "ErrImageNeverPull"})


def faults_of(draft: Draft, slot: Slot) -> str:
    """The first container of a slot that cannot run, with the cause; "" where none is known."""
    deployment = draft.deployment(slot)
    return _say(deployment.faults[0]) if deployment is not None and deployment.faults else ""


def hopeless(draft: Draft) -> str:
    """The same for a container of the candidate that will not run without a change."""
    deployment = draft.deployment(draft.candidate)
    found = deployment.faults if deployment is not None else ()
    return next((_say(fault) for fault in found if fault.reason in HOPELESS), "")


def _say(fault: PodFault) -> str:
    words = f": {fault.message}" if fault.message else ""
    return clip(f"container {fault.container} of pod {fault.pod}: {fault.reason}{words}", REASON_BYTES)
