"""What an API server refuses: paths that an endpoint cannot change, metadata, and contents that mean nothing. Pure.

Of Deployments, Services, Pods and budgets only what Sluice or its users could plausibly get wrong is looked at.
"""

from __future__ import annotations

import re

from sluice.api.names import FIELD_MANAGER, Kind
from sluice.api.specs import SPEC_MODELS
from sluice.decide.metadata import labels_of, mapping
from sluice.errors import Forbidden, InvalidSpec, NotFound, Rejected
from sluice.ports import Obj
from sluice.sim.kinds import IMMUTABLE_SPECS, SCALED, STATUS_MODELS, WITH_STATUS

_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$")
_SERVICE_NAME_CHARACTERS = 63
# No API server knows which time zones there are.
_TAKEN_UNREAD = frozenset({Kind.ROLLOUT_POLICY})
_SWITCHES = frozenset({Kind.KILL_SWITCH, Kind.CLUSTER_KILL_SWITCH})
OPERATOR_ACCOUNT = "system:serviceaccount:sluice-system:sluice"


def reached(kind: Kind, old: Obj, new: Obj, subresource: str, where: str) -> Obj:
    """Of a patched object, what the endpoint (the object itself, its status or scale) may change.

    Raises:
        NotFound: there is no such subresource.
        Rejected: identity or finalizers were changed in a way that cannot be.
    """
    served = {"": True, "status": kind in WITH_STATUS, "scale": kind in SCALED}
    if not served.get(subresource):
        raise NotFound(f"{where} has no subresource {subresource}")
    if subresource == "scale":
        return {**old, "spec": new["spec"]}
    if subresource:
        result = {**old, "status": new["status"]} if "status" in new else dict(old)
        if kind is Kind.DEPLOYMENT and "annotations" in new["metadata"]:  # where its controller counts revisions
            result["metadata"] = {**old["metadata"], "annotations": new["metadata"]["annotations"]}
        return result
    if not isinstance(new.get("metadata"), dict):
        raise Rejected(f"{where}: the patch leaves no metadata")
    _check_identity(old, new, where)
    if kind in WITH_STATUS:
        new.pop("status", None)
        new.update({"status": old["status"]} if "status" in old else {})
    return new


def _check_identity(old: Obj, new: Obj, where: str) -> None:
    meta, was = new["metadata"], old["metadata"]
    for field in ("uid", "name", "namespace"):
        if field in meta and meta[field] != was.get(field):
            raise Rejected(f"{where}: metadata.{field} is immutable: it is {was.get(field)}, not {meta[field]}")
    if "deletionTimestamp" in was and set(meta.get("finalizers", ())) - set(was.get("finalizers", ())):
        raise Rejected(f"{where}: no new finalizers can be added while it is being deleted")


def stamp(kind: Kind, old: Obj, new: Obj, manager: str, where: str) -> None:
    """Of kill switches that trip, or are drilled: the operator is stamped, and alone tells what tripped one.

    Of others nothing is looked at: people who use the command line are told apart from the operator by nothing here.

    Raises:
        Forbidden: somebody else tells so, or the operator changes more than it may.
    """
    before, after = mapping(old.get("spec")), mapping(new.get("spec"))
    if kind not in _SWITCHES or not (before.get("autoTrip") or before.get("drill")):
        return
    if before.get("drill") and (manager != FIELD_MANAGER or not after.get("engaged")):
        _stamp_drill(before, after, manager, where)
        return
    if manager != FIELD_MANAGER:
        if mapping(new.get("status")).get("trippedBy") != mapping(old.get("status")).get("trippedBy"):
            raise Forbidden(
                f"{where}: status.trippedBy tells what had the switch engage itself, and the operator writes it"
            )
        return
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    if changed - {"engaged", "reason", "force", "engagedBy"} or (changed and not after.get("engaged")):
        raise Forbidden(f"{where}: the operator changes spec.engaged, reason and force of a switch, and nothing else")
    if after.get("engaged") and not before.get("engaged"):
        after["engagedBy"] = OPERATOR_ACCOUNT


def _stamp_drill(before: Obj, after: Obj, manager: str, where: str) -> None:
    """A drill becomes real by another reason; the operator releases it and changes nothing else."""
    if manager == FIELD_MANAGER:
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        if changed - {"engaged", "drill", "releaseReason"}:
            raise Forbidden(
                f"{where}: the operator changes engaged, drill and releaseReason of a drill, and nothing else"
            )
    elif after.get("engaged") and after.get("drill") and after.get("reason") != before.get("reason"):
        del after["drill"]


def check(kind: Kind, old: Obj | None, new: Obj, where: str) -> None:
    """Refuse what cannot be stored.

    Raises:
        Rejected: with the field, and what is wrong with it.
    """
    if old is not None and kind in IMMUTABLE_SPECS and new.get("spec") != old.get("spec"):
        raise Rejected(f"{where}: spec is immutable")
    try:
        if kind in SPEC_MODELS and kind not in _TAKEN_UNREAD:
            SPEC_MODELS[kind].parse(new.get("spec"), f"{where} is invalid: spec")
        if kind in STATUS_MODELS and "status" in new:
            STATUS_MODELS[kind].parse(new["status"], f"{where} is invalid: status")
    except InvalidSpec as error:
        raise Rejected(str(error)) from error
    problem = _label_problem(new["metadata"])
    if kind in _PROBLEMS and (old is None or new.get("spec") != old.get("spec")):
        problem = problem or _PROBLEMS[kind](mapping((old or {}).get("spec")), new)
    if problem:
        raise Rejected(f"{where} is invalid: {problem}")


def _label_problem(metadata: Obj) -> str:
    for key, value in mapping(metadata.get("labels")).items():
        if not isinstance(value, str) or not _LABEL_VALUE.match(value):
            return f"metadata.labels: Invalid value: {value!r} of {key} is no label: 63 letters, digits, '-', '_', '.'"
    return ""


def _deployment_problem(old: Obj, obj: Obj) -> str:
    spec = mapping(obj.get("spec"))
    labels = labels_of(mapping(spec.get("template")))
    selector = mapping(spec.get("selector"))
    if not mapping(selector.get("matchLabels")):
        return "spec.selector: Required value"
    if not mapping(selector.get("matchLabels")).items() <= labels.items():
        return f"spec.template.metadata.labels: Invalid value: {labels}: `selector` does not match template `labels`"
    if old and selector != old.get("selector"):
        return f"spec.selector: Invalid value: {selector}: field is immutable"
    if not isinstance(spec.get("replicas", 1), int) or spec.get("replicas", 1) < 0:
        return f"spec.replicas: Invalid value: {spec['replicas']}: must be greater than or equal to 0"
    if problem := _label_problem(mapping(spec["template"]["metadata"])):
        return f"spec.template.{problem}"
    return _containers_problem(mapping(spec["template"].get("spec")), "spec.template.spec")


def _pod_problem(old: Obj, obj: Obj) -> str:
    del old
    return _containers_problem(mapping(obj.get("spec")), "spec")


def _containers_problem(spec: Obj, path: str) -> str:
    containers = spec.get("containers")
    if not isinstance(containers, list) or not containers:
        return f"{path}.containers: Required value"
    for index, container in enumerate(containers):
        for field in ("name", "image"):
            if not mapping(container).get(field):
                return f"{path}.containers[{index}].{field}: Required value"
    names = [container["name"] for container in containers]
    twice = next((name for name in names if names.count(name) > 1), "")
    return f"{path}.containers: Duplicate value: {twice}" if twice else ""


def _service_problem(old: Obj, obj: Obj) -> str:
    del old
    ports = mapping(obj.get("spec")).get("ports")
    if len(obj["metadata"]["name"]) > _SERVICE_NAME_CHARACTERS:
        return f"metadata.name: Invalid value: must be no more than {_SERVICE_NAME_CHARACTERS} characters"
    if not isinstance(ports, list) or not ports:
        return "spec.ports: Required value"
    unnamed = next((index for index, port in enumerate(ports) if not port.get("name")), None)
    return f"spec.ports[{unnamed}].name: Required value" if unnamed is not None and len(ports) > 1 else ""


def _budget_problem(old: Obj, obj: Obj) -> str:
    del old
    both = {"minAvailable", "maxUnavailable"} <= mapping(obj.get("spec")).keys()
    return "spec: minAvailable and maxUnavailable cannot be both set" if both else ""


def _action_problem(old: Obj, obj: Obj) -> str:
    del old
    spec = mapping(obj.get("spec"))
    action = spec.get("action")
    if (action == "Approve") != ("point" in spec):
        return "spec: say what you approve: spec.point is required for Approve, and goes with nothing else"
    if action in {"Reject", "Hold", "Extend"} and not str(spec.get("reason") or "").strip():
        return "spec: say why: spec.reason is required for Reject, Hold and Extend"
    if action == "Extend" and "duration" not in spec:
        return "spec: say by how much: spec.duration is required for Extend"
    if action not in {"Hold", "Extend"} and "duration" in spec:
        return "spec: spec.duration is for Hold and Extend only: leave it out"
    return ""


def _switch_problem(old: Obj, obj: Obj) -> str:
    spec = mapping(obj.get("spec"))
    if not spec.get("drill"):
        return ""
    if not spec.get("engaged"):
        return "spec: a drill is an engagement: write engaged: true with drill: true"
    if spec.get("effect", "Divert") != "Divert" or spec.get("force"):
        return "spec: a drill rehearses a Divert, without force"
    if any(mapping(mapping(spec.get("scope")).get("clusters")).values()):
        return "spec: a drill moves nothing in member clusters: drill a switch without scope.clusters"
    if old.get("engaged") and not old.get("drill"):
        return "spec: it is engaged, and a drill is no way to release it: release it, then drill it"
    return ""


_PROBLEMS = {
    Kind.KILL_SWITCH: _switch_problem,
    Kind.CLUSTER_KILL_SWITCH: _switch_problem,
    Kind.ROLLOUT_ACTION: _action_problem,
    Kind.DEPLOYMENT: _deployment_problem,
    Kind.POD: _pod_problem,
    Kind.SERVICE: _service_problem,
    Kind.POD_DISRUPTION_BUDGET: _budget_problem,
}
