"""What served before the stable revision, and whether it can serve again. Pure."""

from __future__ import annotations

from sluice.api.run import RolloutRunSpec
from sluice.api.units import NONE
from sluice.decide.draft import Draft
from sluice.decide.revision import Desired, run_name


class CannotReturn(Exception):
    """Why the stable revision cannot be returned from."""


def served_before(draft: Draft) -> Desired:
    """The revision from which the run led that made the stable one stable.

    Raises:
        CannotReturn: it is not known, or gone from its slot.
    """
    before = _completed_run(draft)
    _slot_untouched(draft, before)
    return Desired(before.from_slot, before.stable_version, before.stable_hash)


def fit_to_return(draft: Draft, run: RolloutRunSpec) -> None:
    """See that a run can return to what served before.

    Raises:
        CannotReturn: nothing of it is left.
    """
    view = draft.observed.slots[run.to_slot]
    if view.ready_endpoints == NONE and draft.workload is None:
        raise CannotReturn(f"{draft.service(run.to_slot)}, which served before, has no ready endpoint")
    if draft.workload is not None and run.template is None:
        raise CannotReturn(f"the pod template of {run.version or run.hash} is not known any more")


def _completed_run(draft: Draft) -> RolloutRunSpec:
    """The run that made the stable revision stable."""
    number = draft.stable.number
    if not number:
        raise CannotReturn("there is no completed run to undo")
    for run in draft.observed.runs:
        if run.spec.revision == number and run.spec.to_slot is draft.stable.slot:
            return run.spec
    name = run_name(draft.observed.ref.name, number)
    raise CannotReturn(f"RolloutRun {draft.observed.ref.namespace}/{name} is gone, so what served before is not known")


def _slot_untouched(draft: Draft, before: RolloutRunSpec) -> None:
    """A later run, however it ended, put another version where the old one was; Sluice's own pods it can put back."""
    if draft.workload is not None:
        return
    for run in reversed(draft.observed.runs):
        later = run.spec.revision > before.revision and run.spec.to_slot is before.from_slot
        if later and run.spec.hash != before.stable_hash:
            version = run.spec.version or run.spec.hash
            raise CannotReturn(
                f"revision {run.spec.revision} ({version}) took the place of what served before in {before.from_slot}; "
                f"put {before.stable_version or before.stable_hash} there and ask for it by spec.workload"
            )
