"""What keeps containers from running, in their own words. Pure."""

from __future__ import annotations

from sluice.api.names import Slot
from sluice.decide.draft import Draft
from sluice.decide.pods import PodFault
from sluice.decide.rendering import revision_in
from sluice.decide.texts import REASON_BYTES, clip

# The kubelet has tried more than once, or will never try: more waiting is not what helps.
HOPELESS = frozenset({"ImagePullBackOff", "CrashLoopBackOff", "InvalidImageName", "ErrImageNeverPull"})


def faults_of(draft: Draft, slot: Slot) -> str:
    """The first container that cannot run of the revision that a slot shall have, with the cause; "" for none."""
    return next((_say(fault) for fault in _faults(draft, slot)), "")


def hopeless(draft: Draft) -> str:
    """The same for a container of the candidate that will not run without a change."""
    return next((_say(fault) for fault in _faults(draft, draft.candidate) if fault.reason in HOPELESS), "")


def _faults(draft: Draft, slot: Slot) -> tuple[PodFault, ...]:
    """Nothing of what another revision left in the slot: a new candidate is not blamed for the one before it."""
    deployment, run = draft.deployment(slot), draft.run_spec
    meant = draft.stable.hash if slot is draft.stable.slot else (run.hash if run else "")
    return deployment.faults if deployment is not None and revision_in(deployment.template) == meant else ()


def _say(fault: PodFault) -> str:
    words = f": {fault.message}" if fault.message else ""
    return clip(f"container {fault.container} of pod {fault.pod}: {fault.reason}{words}", REASON_BYTES)
