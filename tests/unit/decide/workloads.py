"""Rollouts whose pods Sluice runs, in all their states.

`shop/checkout` asks for a pod template and ten pods for all of the traffic; a HTTPRoute names both slots. Blue serves
1.0; 2.0 can be shipped.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sluice.api.action import Verb
from sluice.api.names import Kind, Slot
from sluice.api.rollout import RolloutSpec, SlotStatus
from sluice.decide.model import Observed, Plan, SlotView, TargetView
from sluice.decide.pods import AskedTemplate, DeploymentView
from sluice.decide.revision import image_version, template_hash
from unit.decide import observed as plain
from unit.decide.cluster import settle
from unit.decide.observed import NOW, SERVICES

CAPACITY = 10
STEPS: dict[str, Any] = {"canary": {"steps": [{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]}}

# --------------------------------------------------------------------------------------------- what is asked for


def template(version: str = "1.0", *, port: int = 8080, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A pod template with one container, as a person writes it."""
    container = {"name": "app", "image": f"shop/checkout:{version}", "ports": [{"containerPort": port}]}
    return {"metadata": {"labels": labels or {"app": "checkout"}}, "spec": {"containers": [container]}}


def asked_for(pods: dict[str, Any]) -> AskedTemplate:
    """A pod template as the caches show it."""
    return AskedTemplate(pods, template_hash(pods), image_version(pods))


def managed_spec(
    pods: dict[str, Any],
    *,
    strategy: dict[str, Any] | None = None,
    workload: dict[str, Any] | None = None,
    **fields: Any,
) -> RolloutSpec:
    """A Rollout that runs a pod template; `workload` and `fields` as in a manifest."""
    body = {
        "workload": {"template": pods, "replicas": CAPACITY, **(workload or {})},
        "traffic": {"routes": [{"kind": "HTTPRoute", "name": "checkout"}]},
        "strategy": strategy or STEPS,
        **fields,
    }
    return RolloutSpec.parse(body, "spec")


def ship(seen: Observed, pods: dict[str, Any], **fields: Any) -> Observed:
    """Somebody asks for another pod template, and changes other `fields` of the spec; the rest stays as it is."""
    assert seen.spec is not None
    before = seen.spec.dump()
    body = {**before, **fields, "workload": {**before["workload"], **fields.get("workload", {})}}
    if seen.spec.workload.workload_ref is None:
        body["workload"]["template"] = pods
    return replace(seen, spec=RolloutSpec.parse(body, "spec"), asked=asked_for(pods), generation=seen.generation + 1)


def change(seen: Observed, **workload: Any) -> Observed:
    """Somebody changes the spec's workload, but not its template."""
    assert seen.asked is not None
    return ship(seen, seen.asked.template, workload=workload)


# --------------------------------------------------------------------------------------------- scenes


def unborn(
    version: str = "1.0",
    *,
    strategy: dict[str, Any] | None = None,
    workload: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    **fields: Any,
) -> Observed:
    """Just applied: no Deployment, no Service, and a route that gives blue all."""
    pods = template(version)
    given = {
        "asked": asked_for(pods),
        "slots": {slot: SlotView(SERVICES.of(slot), exists=False, ready_endpoints=0) for slot in Slot},
    }
    return plain.observed(managed_spec(pods, strategy=strategy, workload=workload, **(spec or {})), **given | fields)


def serving(**fields: Any) -> Observed:
    """Blue serves 1.0 from ten pods; at rest."""
    return settle(unborn(**fields), NOW)


def stepping(**fields: Any) -> Observed:
    """A run to 2.0 in green, at its first stop: 25 % and three pods."""
    return settle(ship(serving(**fields), template("2.0")), NOW)


def told(seen: Observed, verb: Verb, now: datetime = NOW) -> Observed:
    """Bob tells the run to do something; at rest after that."""
    number = seen.status.revision.number if seen.status.revision else None
    bob = plain.action(verb, number, at=now, name=f"{verb}-{seen.status.audit.seq}")
    return settle(replace(seen, actions=(bob,)), now)


def finished(**fields: Any) -> Observed:
    """Run 1 is over: green serves 2.0 from ten pods, blue keeps those of 1.0 for scaleDownDelay."""
    return told(stepping(**fields), Verb.PROMOTE_FULLY)


def aborted(**fields: Any) -> Observed:
    """Run 1 was aborted at 25 %: blue serves, green keeps its three pods for scaleDownDelay."""
    return told(stepping(**fields), Verb.ABORT)


def follower(green: int | None, **fields: Any) -> TargetView:
    """The plain Service `checkout`, for callers that go past the routes."""
    return plain.target(green, kind=Kind.SERVICE, all_or_nothing=True, **fields)


def source(version: str = "1.0", **fields: Any) -> DeploymentView:
    """The Deployment `legacy` that `workloadRef` names, with ten pods."""
    given: dict[str, Any] = {
        "name": "legacy", "uid": "uid-legacy", "resource_version": "1", "generation": 1, "replicas": CAPACITY,
        "pods": CAPACITY, "available": CAPACITY, "rolled": True, "deleting": False, "template": template(version),
    }  # fmt: skip
    return DeploymentView(**given | fields)


# --------------------------------------------------------------------------------------------- reading


def deployment(seen: Observed, slot: Slot) -> DeploymentView:
    """A slot's Deployment, which is there."""
    found = seen.slots[slot].deployment
    assert found is not None, f"there is no Deployment of {slot}"
    return found


def pods_in(seen: Observed) -> tuple[int, int]:
    """How many pods blue's and green's Deployments ask for; 0 where there is none."""
    views = [seen.slots[slot].deployment for slot in Slot]
    blue, green = (view.replicas if view is not None else 0 for view in views)
    return blue, green


def version_in(seen: Observed, slot: Slot) -> str | None:
    """The version that a slot's Deployment runs."""
    return image_version(deployment(seen, slot).template)


def entry(seen: Observed, slot: Slot) -> SlotStatus:
    """What the status says of a slot."""
    return seen.status.slots[slot]


def applied(made: Plan, kind: Kind = Kind.DEPLOYMENT) -> dict[str, dict[str, Any]]:
    """The specs that a plan applies, by name."""
    return {apply.name: apply.body["spec"] for apply in made.applies if apply.kind is kind}


# --------------------------------------------------------------------------------------------- changing


def with_deployment(seen: Observed, slot: Slot, *, ready: int | None = None, **fields: Any) -> Observed:
    """Another state of a slot's Deployment; `ready`: so many pods are available and in the endpoints."""
    if ready is not None:
        fields["available"] = ready
    view = replace(deployment(seen, slot), **fields)
    endpoints = seen.slots[slot].ready_endpoints if ready is None else ready
    changed = replace(seen.slots[slot], deployment=view, ready_endpoints=endpoints)
    return replace(seen, slots={**seen.slots, slot: changed})


def meddled(seen: Observed, slot: Slot, **fields: Any) -> Observed:
    """Somebody else writes a slot's Deployment."""
    view = deployment(seen, slot)
    return with_deployment(seen, slot, generation=view.generation + 1, writer="kubectl-edit", **fields)


def without(seen: Observed, slot: Slot) -> Observed:
    """Somebody deletes a slot's Deployment, and its pods go."""
    return replace(seen, slots={**seen.slots, slot: replace(seen.slots[slot], deployment=None, ready_endpoints=0)})


def with_slot(seen: Observed, slot: Slot, **fields: Any) -> Observed:
    """Another state of a slot."""
    return replace(seen, slots={**seen.slots, slot: replace(seen.slots[slot], **fields)})
