"""A Rollout's runs and actions, parsed. Views of runs are kept by resourceVersion: most never change again."""

from __future__ import annotations

import logging

from sluice.api.action import RolloutActionSpec
from sluice.api.common import ObjectRef
from sluice.api.names import Kind
from sluice.api.rollout import RolloutStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.decide.metadata import created_at
from sluice.decide.model import ActionView, RunView
from sluice.decide.revision import run_name
from sluice.engine.index import Index
from sluice.engine.store import Obj, Store
from sluice.errors import InvalidSpec

log = logging.getLogger(__name__)


class Records:
    """Reads RolloutRuns and RolloutActions."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store = store
        self._index = index
        self._runs: dict[str, tuple[str, RunView]] = {}

    def forget_run(self, uid: str) -> None:
        """Drop what is kept of a RolloutRun that is gone."""
        self._runs.pop(uid, None)

    def runs(self, ref: ObjectRef) -> tuple[RunView, ...]:
        """The RolloutRuns of the Rollout's name, oldest first; those that can't be read are left out."""
        found = [view for run in self._index.runs(ref.namespace, ref.name) if (view := self._run(run)) is not None]
        return tuple(sorted(found, key=lambda run: run.spec.revision))

    def _run(self, run: Obj) -> RunView | None:
        metadata = run["metadata"]
        known = self._runs.get(metadata["uid"])
        if known is not None and known[0] == metadata["resourceVersion"]:
            return known[1]
        where = f"RolloutRun {metadata['namespace']}/{metadata['name']}"
        try:
            view = RunView(
                name=metadata["name"],
                uid=metadata["uid"],
                spec=RolloutRunSpec.parse(run.get("spec") or {}, f"{where}: spec"),
                status=RolloutRunStatus.parse(run.get("status") or {}, f"{where}: status"),
                resource_version=metadata["resourceVersion"],
            )
        except InvalidSpec as problem:
            log.error("a RolloutRun cannot be read", extra={"run": where, "problem": str(problem)})
            return None
        self._runs[metadata["uid"]] = (metadata["resourceVersion"], view)
        return view

    def taken_number(self, ref: ObjectRef, status: RolloutStatus, runs: tuple[RunView, ...]) -> int:
        """The number below the first whose name is free: a RolloutRun that can't be read has its name all the same."""
        number = max(
            (run.spec.revision for run in runs), default=status.revision.number if status.revision is not None else 0
        )
        while self._store.get(Kind.ROLLOUT_RUN, ref.namespace, run_name(ref.name, number + 1)) is not None:
            number += 1
        return number

    def actions(self, ref: ObjectRef) -> tuple[ActionView, ...]:
        """The RolloutActions for it that nobody answered yet, oldest first."""
        found = []
        for action in self._index.actions(ref.namespace, ref.name):
            if (action.get("status") or {}).get("phase"):
                continue
            metadata = action["metadata"]
            try:
                spec = RolloutActionSpec.parse(action.get("spec") or {}, f"RolloutAction {metadata['name']}: spec")
            except InvalidSpec as problem:
                log.error("a RolloutAction cannot be read", extra={"action": metadata["name"], "problem": str(problem)})
                continue
            found.append(ActionView(metadata["name"], metadata["uid"], created_at(action), spec))
        return tuple(sorted(found, key=lambda action: (action.created_at, action.name)))
