"""What keeps pods from being ready, in the cluster's own words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sluice.api.names import Slot
from sluice.decide.draft import Draft
from sluice.decide.pods import DeploymentView, PodFault
from sluice.decide.rendering import revision_in
from sluice.decide.texts import REASON_BYTES, clip

# The kubelet has tried more than once, or will never try: more waiting is not what helps.
HOPELESS = frozenset({"ImagePullBackOff", "CrashLoopBackOff", "InvalidImageName", "ErrImageNeverPull"})


def faults_of(draft: Draft, slot: Slot) -> str:
    """The first container that cannot run of the revision that a slot shall have, with the cause; "" for none."""
    deployment = _of_its_revision(draft, slot)
    return _first(deployment.faults) if deployment is not None else ""


def cause_of(draft: Draft, slot: Slot) -> str:
    """Why pods of the revision that a slot shall have are not ready; "" where nothing tells."""
    deployment = _of_its_revision(draft, slot)
    return _first((*deployment.faults, *deployment.waits)) if deployment is not None else ""


def hopeless(draft: Draft) -> str:
    """The first container of the candidate that will not run without a change, with the cause; "" for none."""
    deployment = _of_its_revision(draft, draft.candidate)
    return _first(fault for fault in deployment.faults if fault.reason in HOPELESS) if deployment is not None else ""


def _of_its_revision(draft: Draft, slot: Slot) -> DeploymentView | None:
    """Nothing of what another revision left in the slot: a new candidate is not blamed for the one before it."""
    deployment, run = draft.deployment(slot), draft.run_spec
    meant = draft.stable.hash if slot is draft.stable.slot else (run.hash if run else "")
    return deployment if deployment is not None and revision_in(deployment.template) == meant else None


def _first(faults: Iterable[PodFault]) -> str:
    return next(map(_say, faults), "")


def _say(fault: PodFault) -> str:
    container = f"container {fault.container} of " if fault.container else ""
    pod = f"pod {fault.pod}: " if fault.pod else ""
    words = f": {fault.message}" if fault.message else ""
    return clip(f"{container}{pod}{fault.reason}{words}", REASON_BYTES)
