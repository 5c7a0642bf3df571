"""A tiny cluster that does at once what plans say: Deployments, Services, pods and endpoints, and nothing else.

A `Kubelet` says how far the pods of a Deployment that changed have come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sluice.api.names import APPLIED_ANNOTATION, OWNER_ANNOTATION, REVISION_ANNOTATION, Kind, Slot
from sluice.api.workload import ServicePort
from sluice.decide.model import Apply, Observed, Patch, Plan, SlotView, TargetView
from sluice.decide.planner import plan
from sluice.decide.pods import DeploymentView, PodView, ServiceView
from unit.decide import observed as plain
from unit.decide.observed import SERVICES, shifted

Kubelet = Callable[[DeploymentView | None, DeploymentView], DeploymentView]


def at_once(_: DeploymentView | None, now: DeploymentView) -> DeploymentView:
    """Every pod is there, is of the present template, and is available."""
    return replace(now, pods=now.replicas, available=now.replicas, rolled=True)


def slowly(before: DeploymentView | None, now: DeploymentView) -> DeploymentView:
    """Pods are made but none gets ready; those that are too many end. A new template has no ready pod."""
    same = before is not None and before.template == now.template
    kept = min(before.available, now.replicas) if before is not None and same else 0
    return replace(now, pods=now.replicas, available=kept, rolled=True)


def after(before: Observed, made: Plan, kubelet: Kubelet = at_once, *, writes: bool = True) -> Observed:
    """The world once the plan was carried out; without `writes`, as a crash just after the status leaves it."""
    seen = plain.after(before, made, writes=writes)
    if not writes:
        return seen
    shifts = (*made.urgent, *made.shifts)
    seen = replace(seen, followers=tuple(shifted(view, shifts) for view in seen.followers))
    for apply in made.applies:
        slot = next(slot for slot in Slot if SERVICES.of(slot) == apply.name)
        view = _applied(seen.slots[slot], apply, kubelet)
        seen = replace(seen, slots={**seen.slots, slot: view})
    for patch in made.patches:
        seen = _patched(seen, patch)
    return _let_go(seen, made)


def settle(seen: Observed, now: datetime, kubelet: Kubelet = at_once, passes: int = 30) -> Observed:
    """Pass after pass at one moment, until nothing changes."""
    for _ in range(passes):
        then = after(seen, plan(seen, now), kubelet)
        if then == seen:
            return seen
        seen = then
    raise AssertionError(f"not at rest after {passes} passes: {seen.status.message}")


def _applied(view: SlotView, apply: Apply, kubelet: Kubelet) -> SlotView:
    body = apply.body
    annotations, spec = body["metadata"]["annotations"], body["spec"]
    if apply.kind is Kind.SERVICE:
        ports = tuple(ServicePort.parse(port, "Service") for port in spec["ports"])
        applied = annotations[APPLIED_ANNOTATION]
        kept = ServiceView(f"uid-svc-{apply.name}", annotations[OWNER_ANNOTATION], spec["selector"], ports, applied)
        ready = view.deployment.available if view.deployment is not None else 0
        return replace(view, exists=True, kept=kept, ready_endpoints=ready)
    old = view.deployment
    assert apply.uid == (old.uid if old is not None else "")
    stored = {**spec["template"], "spec": {**spec["template"]["spec"], "restartPolicy": "Always"}}  # a default
    changed = old is None or (old.replicas, old.template) != (spec["replicas"], stored)
    now = DeploymentView(
        name=apply.name,
        uid=old.uid if old is not None else f"uid-{apply.name}",
        resource_version=str(int(old.resource_version) + 1 if old is not None else 1),
        generation=(old.generation if old is not None else 0) + changed,
        replicas=spec["replicas"],
        pods=old.pods if old is not None else 0,
        available=old.available if old is not None else 0,
        rolled=old.rolled if old is not None else True,
        deleting=False,
        template=stored,
        hash=annotations[REVISION_ANNOTATION],
        applied=annotations[APPLIED_ANNOTATION],
        owner=annotations[OWNER_ANNOTATION],
        writer="sluice",
        faults=old.faults if old is not None and old.template == stored else (),
        members=old.members if old is not None else (),
    )
    if changed:
        now = kubelet(old, now)
        now = replace(now, members=_members(old, now))
    return replace(view, deployment=now, ready_endpoints=now.available if view.exists else 0)


def _members(old: DeploymentView | None, now: DeploymentView) -> tuple[PodView, ...]:
    """Its pods; those that were there stay as they are, unless the template is another one."""
    kept = old.members[: now.pods] if old is not None and old.template == now.template else ()
    labels = (now.template.get("metadata") or {}).get("labels") or {}
    names = [f"{now.name}-{now.generation}-{number}" for number in range(len(kept), now.pods)]
    return (*kept, *(PodView(name, f"uid-{name}", labels, {}) for name in names))


def _patched(seen: Observed, patch: Patch) -> Observed:
    test, *operations = patch.operations
    if patch.kind is Kind.DEPLOYMENT and operations[0]["path"] == "/spec":
        return seen  # of a slot, beside an apply of the same
    if patch.kind is Kind.DEPLOYMENT:
        assert seen.source is not None
        assert (patch.name, test["value"]) == (seen.source.name, seen.source.uid)
        count = next(each["value"] for each in operations if each["path"] == "/spec/replicas")
        owner = next(each["value"] for each in operations if each["path"].startswith("/metadata/annotations/"))
        generation = seen.source.generation + 1
        ended = replace(seen.source, replicas=count, pods=count, available=count, owner=owner, generation=generation)
        return replace(seen, source=ended)
    views = dict(seen.slots)
    for slot, view in views.items():
        if view.deployment is not None:
            members = tuple(
                _relabelled(pod, operations) if (pod.name, pod.uid) == (patch.name, test["value"]) else pod
                for pod in view.deployment.members
            )
            views[slot] = replace(view, deployment=replace(view.deployment, members=members))
    return replace(seen, slots=views)


def _relabelled(pod: PodView, operations: list[dict[str, Any]]) -> PodView:
    fields = {"labels": dict(pod.labels), "annotations": dict(pod.annotations)}
    for operation in operations:
        _, _, field, *rest = operation["path"].split("/")
        key = rest[0].replace("~1", "/").replace("~0", "~") if rest else ""
        if not key:
            assert not fields[field], "the whole map would be replaced"
            fields[field] = dict(operation["value"])
        elif operation["op"] == "remove":
            del fields[field][key]
        else:
            assert fields[field], "the API server refuses a key of a map that is not there"
            fields[field][key] = operation["value"]
    return replace(pod, labels=fields["labels"], annotations=fields["annotations"])


def _let_go(seen: Observed, made: Plan) -> Observed:
    gone = {removal.uid for removal in made.removals}
    freed = {release.uid for release in made.releases}

    def free(view: TargetView) -> TargetView:
        return replace(view, owner="") if view.uid in freed else view

    return replace(
        seen,
        slots={slot: _slot_let_go(view, gone, freed) for slot, view in seen.slots.items()},
        targets=tuple(map(free, seen.targets)),
        followers=tuple(map(free, seen.followers)),
        source=replace(seen.source, owner="") if seen.source and seen.source.uid in freed else seen.source,
    )


def _slot_let_go(view: SlotView, gone: set[str], freed: set[str]) -> SlotView:
    kept, runs = view.kept, view.deployment
    if kept is not None and kept.uid in freed:
        kept = replace(kept, owner="", applied="")
    if runs is not None and runs.uid in freed:
        runs = replace(runs, owner="", applied="", hash="")
    has_service = kept is not None and kept.uid not in gone
    has_pods = runs is not None and runs.uid not in gone
    return replace(
        view,
        exists=has_service,
        kept=kept if has_service else None,
        deployment=runs if has_pods else None,
        ready_endpoints=view.ready_endpoints if has_service and has_pods else 0,
    )
