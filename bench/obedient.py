"""Members that do at once what they are told, so that what is left to measure is the hub."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from sluice.api.rollout import RolloutSpec
from sluice.decide.fleet import parts
from sluice.decide.fleet.model import MemberView
from sluice.engine.courier import Order

Obj = dict[str, Any]
_WORDS = "no pod of the candidate gets ready: " + 80 * "cannot pull "
READY = [{"type": "Ready", "status": "True"}]


class Obedient:
    """Implements `engine.sites.Workplace`.

    Args:
        changed: told namespace and name of a part that changed.
        steps: of every run.
        fails: whether whatever replaces its first version fails there, with as many words as anybody may use.
    """

    ready = True

    def __init__(self, changed: Callable[[str, str], None], steps: int, *, fails: bool = False) -> None:
        self._changed = changed
        self._steps = steps
        self._fails = fails
        self._parts: dict[tuple[str, str], Obj] = {}
        self._stable: dict[tuple[str, str], str] = {}

    def part(self, namespace: str, name: str) -> Obj | None:
        """Its part, as it would stand in the caches."""
        return self._parts.get((namespace, name))

    def moves(self, namespace: str, name: str) -> None:
        """Nothing: no kill is measured here."""
        del namespace, name

    def trouble(self, namespace: str, name: str) -> str:
        """Nothing is."""
        del namespace, name
        return ""

    def give(self, namespace: str, name: str, order: Order) -> None:
        """Do it."""
        key = (namespace, name)
        known, stable = self._parts.get(key), self._stable.get(key, "")
        if order.body is None or (known is not None and order.digest == known["digest"]):
            return
        spec = order.body["spec"]
        wanted, pace = _hash_of(order.digest, spec), spec.get("pace")
        run = {"hash": wanted, "fleetRun": pace["run"]} if pace else {}
        status: Obj = {"observedGeneration": 1, "conditions": READY, "confirmation": "Accepted"}
        if pace and stable not in {"", wanted} and self._fails:
            status["revision"] = {**run, "outcome": "Aborted", "reason": "PodsFailed", "message": _WORDS}
            status["message"] = _WORDS
        elif pace and stable and pace["upTo"] <= self._steps:
            status |= {"revision": run, "step": {"index": pace["upTo"], "done": True}, "weight": "50%"}
        else:
            self._stable[key] = stable = wanted
            status["revision"] = {**run, "outcome": "Completed"} if run else {}
        status["stable"] = {"hash": stable}
        metadata = order.body["metadata"] | {"generation": 1}
        self._parts[key] = {"metadata": metadata, "status": status, "digest": order.digest}
        self._changed(namespace, name)


class ObedientSites:
    """Implements `engine.sites.Sites`.

    Args:
        names: of the members.
        changed: told namespace and name of a part that changed in one of them.
        steps: of every run.
        failing: those in which every run fails.

    Attributes:
        passes: how often somebody looked.
    """

    listed = True

    def __init__(
        self, names: Sequence[str], changed: Callable[[str, str], None], steps: int, failing: Container[str] = ()
    ) -> None:
        self.passes = 0
        self._views = {name: MemberView(name, {}, 20_000) for name in names}
        self._places = {name: Obedient(changed, steps, fails=name in failing) for name in names}

    def views(self) -> dict[str, MemberView]:
        """Every MemberCluster."""
        self.passes += 1
        return dict(self._views)

    def workplaces(self) -> Mapping[str, Obedient]:
        """All of them."""
        return self._places


_KNOWN: dict[str, str] = {}


def _hash_of(digest: str, spec: Obj) -> str:
    if digest not in _KNOWN:
        _KNOWN[digest] = parts.revision_of(RolloutSpec.parse(spec, "spec"))[0]
    return _KNOWN[digest]
