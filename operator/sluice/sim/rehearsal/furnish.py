"""Surroundings for Rollouts that no cluster has: an earlier version serves, and what they name is there.

The operator itself brings that earlier version in. What the files hold of Services, routes and Deployments is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from sluice.api.names import REQUESTER_ANNOTATION, Kind, Slot
from sluice.api.rollout import Phase, RolloutSpec
from sluice.decide.metadata import mapping, sequence
from sluice.errors import InvalidSpec, Rejected
from sluice.ops.plan.asked import Asked, Files
from sluice.ops.plan.dryrun import Tried, try_out
from sluice.ops.plan.surroundings import Copies
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.rehearsal.metrics import PassingMetrics
from sluice.sim.rehearsal.plan import Ground
from sluice.sim.rehearsal.verdicts import status_of
from sluice.sim.rehearsal.world import Rehearsal

EARLIER = "earlier"
SOMEBODY = "whoever applies it"
_INSTALL_SECONDS = 1800.0
_TEMPLATES = (Kind.ANALYSIS_TEMPLATE, Kind.CLUSTER_ANALYSIS_TEMPLATE)


def furnish(files: Files, now: datetime) -> Ground:
    """Make up what files say nothing of. Runs a loop of its own: not to be called within one."""
    return run(_Furnisher(files, now).make())


class _Furnisher:
    def __init__(self, files: Files, now: datetime) -> None:
        self._files = files
        self._given = {(each.kind, each.namespace, each.name): each for each in files.asked}
        self._rollouts = [each for each in files.asked if each.kind is Kind.ROLLOUT and not _is_fleet(each)]
        self._notes: list[str] = []
        own = [(each.namespace, each.name) for each in self._rollouts]
        self._world = Rehearsal((), own=own, metrics=PassingMetrics(), starts_at=now)
        self._seeded: set[tuple[Kind, str, str]] = set()

    async def make(self) -> Ground:
        world = self._world
        for namespace in sorted({each.namespace for each in self._files.asked} - {""}):
            self._seed(Kind.NAMESPACE, {"metadata": {"name": namespace}})
        for each in self._rollouts:
            with suppress(InvalidSpec, Rejected):  # which the dry run tells
                await self._install(each)
        world.start_controllers()
        world.operator.start()
        with suppress(TimeoutError):
            await world.until(self._is_installed, timeout_seconds=_INSTALL_SECONDS)
        await world.operator.crash()
        asked = [each for each in self._files.asked if (each.kind, each.namespace, each.name) not in self._seeded]
        tried = [_stamped(each) for each in await try_out(world.people, asked)]
        objects = [(kind, obj) for kind in Kind for obj in world.cluster.store.all(kind)]
        notes = [*self._notes, "no cluster was asked: switches, policies and templates are those of the files"]
        return Ground(self._files, tried, Copies(objects, notes=notes), world.clock.now())

    def _is_installed(self) -> bool:
        statuses = (status_of(each) for each in self._world.cluster.store.all(Kind.ROLLOUT))
        return all(status.phase is Phase.HEALTHY for status in statuses)

    def _seed(self, kind: Kind, body: Obj) -> None:
        meta = body["metadata"]
        place = (kind, meta.get("namespace", ""), meta["name"])
        if place in self._seeded:
            return
        self._seeded.add(place)
        given = self._given.get(place)
        self._world.people.seed(kind, copy.deepcopy(given.body) if given is not None else body)

    async def _install(self, asked: Asked) -> None:
        spec = RolloutSpec.parse(asked.body.get("spec"), f"{asked}: spec")
        before = _earlier(asked.body)
        serving = Slot.BLUE if spec.workload.managed else (spec.workload.active or Slot.BLUE).other
        self._surround(asked, spec, serving)
        self._source(asked, spec)
        self._make_up_templates(asked)
        await self._world.people.create(Kind.ROLLOUT, asked.namespace, before)

    def _make_up_templates(self, asked: Asked) -> None:
        """Those that the files lack; each takes whatever args it is given anywhere."""
        taken: dict[tuple[Kind, str, str], set[str]] = {}
        for place, args in _templates_of(asked):
            taken.setdefault(place, set()).update(args)
        for (kind, home, name), wanted in taken.items():
            if (kind, home, name) in self._given:
                continue
            self._notes.append(f"{kind} {name} is not in the files: one that passes is made up")
            metric = manifests.metric(f"{'' if home else 'cluster-'}{name}".replace(".", "-")[:63], "vector(0)")
            spec = {"args": [{"name": arg, "value": EARLIER} for arg in sorted(wanted)], "metrics": [metric]}
            self._seed(kind, {"metadata": {"name": name, **({"namespace": home} if home else {})}, "spec": spec})

    def _surround(self, asked: Asked, spec: RolloutSpec, serving: Slot) -> None:
        """Services and routes, with all traffic where the earlier version is."""
        home, app, services = asked.namespace, asked.name, spec.workload.services_of(asked.name)
        labels_of = manifests.managed_labels if spec.workload.managed else manifests.slot_labels
        if not spec.workload.managed:
            for slot in Slot:
                labels = manifests.slot_labels(app, slot)
                self._seed(Kind.SERVICE, manifests.service(home, services.of(slot), labels))
                self._world.endpoints.run_pods(home, services.of(slot), labels, ready=1)
        for route in spec.traffic.routes:
            weights = {services.of(slot): 100 if slot is serving else 0 for slot in Slot}
            self._seed(Kind(route.kind), _route(home, route.name, weights))
        switch = spec.traffic.service
        for name in (switch.active, switch.preview) if switch is not None else ():
            if name:
                self._seed(Kind.SERVICE, manifests.service(home, name, labels_of(app, serving)))
        if spec.traffic.stable_service:
            selector = {manifests.APP_LABEL: app}
            self._seed(Kind.SERVICE, manifests.service(home, spec.traffic.stable_service, selector))

    def _source(self, asked: Asked, spec: RolloutSpec) -> None:
        """The Deployment of a `workloadRef`, with the earlier image; that of the files is applied later."""
        ref = spec.workload.workload_ref
        if ref is None:
            return
        given = self._given.get((Kind.DEPLOYMENT, asked.namespace, ref.name))
        if given is None:
            body = manifests.deployment(asked.namespace, ref.name, f"{ref.name}:{EARLIER}", replicas=1)
            self._notes.append(f"Deployment {ref.name} is not in the files, so there is no new version of {asked}")
        else:
            body = copy.deepcopy(given.body)
            _age(mapping(mapping(body.get("spec")).get("template")))
        self._world.people.seed(Kind.DEPLOYMENT, body)


def _is_fleet(asked: Asked) -> bool:
    return bool(mapping(asked.body.get("spec")).get("fleet"))


def _earlier(body: Obj) -> Obj:
    """The Rollout as it was with the version before."""
    before = copy.deepcopy({key: value for key, value in body.items() if key != "status"})
    spec = before["spec"]
    spec.pop("paused", None)
    workload = spec["workload"]
    if "services" in workload:
        workload["active"] = str(Slot(workload.get("active") or Slot.BLUE).other)
        if "version" in workload:
            workload["version"] = EARLIER
    elif "template" in workload:
        _age(workload["template"])
    return before


def _age(template: Obj) -> None:
    """Give the first container an earlier image."""
    containers = sequence(mapping(template.get("spec")).get("containers"))
    if containers and isinstance(containers[0], dict):
        image = str(containers[0].get("image") or "app").partition("@")[0]
        head, slash, last = image.rpartition("/")
        containers[0]["image"] = f"{head}{slash}{last.partition(':')[0]}:{EARLIER}"


def _route(namespace: str, name: str, weights: dict[str, int]) -> Obj:
    route = manifests.route(namespace, name)
    backends = [
        {"group": "", "kind": "Service", "name": to, "port": 80, "weight": each} for to, each in weights.items()
    ]
    route["spec"]["rules"][0]["backendRefs"] = backends
    return route


def _templates_of(asked: Asked) -> Iterator[tuple[tuple[Kind, str, str], list[str]]]:
    """The analysis templates that a spec names anywhere, each with the args that it is given there."""

    def walk(value: Any) -> Iterator[tuple[tuple[Kind, str, str], list[str]]]:
        if isinstance(value, dict):
            args = [str(mapping(each).get("name")) for each in sequence(value.get("args"))]
            for ref in map(mapping, sequence(value.get("templates"))):
                wide = bool(ref.get("clusterScope"))
                yield (_TEMPLATES[wide], "" if wide else asked.namespace, str(ref.get("name"))), args
            value = list(value.values())
        for each in value if isinstance(value, list) else ():
            yield from walk(each)

    spec = mapping(asked.body.get("spec"))
    yield from walk({key: spec[key] for key in ("analysis", "strategy") if key in spec})


def _stamped(tried: Tried) -> Tried:
    """With what the API server would stamp: who asks."""
    after = copy.deepcopy(tried.after)
    if after is None:
        return tried
    if tried.asked.kind is Kind.ROLLOUT:
        after["metadata"].setdefault("annotations", {})[REQUESTER_ANNOTATION] = SOMEBODY
    elif tried.asked.kind in {Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH} and mapping(after.get("spec")).get("engaged"):
        after["spec"].setdefault("engagedBy", SOMEBODY)
    return Tried(tried.asked, tried.before, after, tried.refusal)
