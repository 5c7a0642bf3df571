"""Check that the CRDs in crds/ and the models in `sluice.api` say the same, both ways.

Compared: property names, required, types, enums and defaults. Demanded of every schema: a description, and bounds
(maxLength, maxItems, maxProperties, minimum), without which the API server refuses CEL rules and a manifest can be of
any size.

The CRDs are written by hand, because most of what they say (rules, sentences, bounds) has no place in a model; this
check keeps the part that has. It reads files and prints; `make check` runs it.
"""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from operator import or_
from pathlib import Path
from typing import Any, Literal

import yaml

from sluice.adapters.kube.resources import RESOURCES as SERVED
from sluice.api.action import RolloutActionSpec, RolloutActionStatus
from sluice.api.analysis import AnalysisTemplateSpec
from sluice.api.audit import AuditSegmentSpec
from sluice.api.common import Model
from sluice.api.fleet import FleetRunSpec, FleetRunStatus
from sluice.api.killswitch import KillSwitchSpec, KillSwitchStatus
from sluice.api.member import MemberClusterSpec, MemberClusterStatus
from sluice.api.names import GROUP, VERSION, Kind
from sluice.api.policy import RolloutPolicySpec, RolloutPolicyStatus
from sluice.api.rollout import RolloutSpec, RolloutStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.api.units import Duration, Share, StoredShare, Time

CRDS = Path(__file__).parents[1] / "crds"

Schema = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """The models of a kind. `status` is None for kinds that have none."""

    spec: type[Model]
    status: type[Model] | None
    namespaced: bool = True


RESOURCES: dict[Kind, Resource] = {
    Kind.ROLLOUT: Resource(RolloutSpec, RolloutStatus),
    Kind.ROLLOUT_RUN: Resource(RolloutRunSpec, RolloutRunStatus),
    Kind.ROLLOUT_ACTION: Resource(RolloutActionSpec, RolloutActionStatus),
    Kind.KILL_SWITCH: Resource(KillSwitchSpec, KillSwitchStatus),
    Kind.CLUSTER_KILL_SWITCH: Resource(KillSwitchSpec, KillSwitchStatus, namespaced=False),
    Kind.ANALYSIS_TEMPLATE: Resource(AnalysisTemplateSpec, None),
    Kind.CLUSTER_ANALYSIS_TEMPLATE: Resource(AnalysisTemplateSpec, None, namespaced=False),
    Kind.ROLLOUT_POLICY: Resource(RolloutPolicySpec, RolloutPolicyStatus, namespaced=False),
    Kind.MEMBER_CLUSTER: Resource(MemberClusterSpec, MemberClusterStatus, namespaced=False),
    Kind.FLEET_RUN: Resource(FleetRunSpec, FleetRunStatus),
    Kind.AUDIT_SEGMENT: Resource(AuditSegmentSpec, None),
    Kind.MEMBER_ROLLOUT: Resource(RolloutSpec, RolloutStatus),
    Kind.MEMBER_ROLLOUT_RUN: Resource(RolloutRunSpec, RolloutRunStatus),
}

UNITS: tuple[tuple[object, Schema], ...] = (
    (Share, {"x-kubernetes-int-or-string": True}),
    (StoredShare, {"type": "string"}),
    (Duration, {"type": "string"}),
    (Time, {"type": "string", "date-time": True}),
    (int | str, {"x-kubernetes-int-or-string": True}),
    (Literal[True], {"type": "boolean", "enum": [True]}),
    (dict[str, Any], {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
)

# What differs on purpose, by kind and path, with the reason.
NOT_IN_CRD = {
    ("KillSwitch", "spec.scope.namespaceSelector"): "a namespaced switch covers its own namespace only",
    ("Rollout", "spec.pace"): "the hub sets the pace, of MemberRollouts only",
    ("MemberRollout", "spec.fleet"): "a fleet is the hub's",
    ("MemberRollout", "status.fleet"): "a fleet is the hub's",
}
NO_DEFAULT_IN_CRD = {
    ("KillSwitch", "spec.engaged"): "stays out of Git, so that no sync releases it",
    ("ClusterKillSwitch", "spec.engaged"): "stays out of Git, so that no sync releases it",
    **{
        (kind, f"spec.workload.{name}"): "a default would be there with workload.services too, which refuses it"
        for kind in ("Rollout", "MemberRollout")
        for name in ("replicas", "minReadySeconds", "scaleDownDelay", "drain")
    },
}
# The keys of a schema that tell a type.
SAID = ("type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields", "enum", "date-time")
# By property name. A selector's operator is a plain string in the model, which matches nothing where it knows none.
ENUM_IN_CRD_ONLY = frozenset({"operator"})


def load(folder: Path = CRDS) -> dict[str, Schema]:
    """Read every CRD of a folder, by kind."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))]
    return {crd["spec"]["names"]["kind"]: crd for crd in documents}


def problems(crds: dict[str, Schema]) -> list[str]:
    """Compare all CRDs with all models. Pure.

    Args:
        crds: by kind, as `load` gives them.

    Returns:
        One line for each difference, which names kind and path; empty where everything agrees.
    """
    found = [f"{kind}: the CRD is missing in crds/" for kind in RESOURCES if kind not in crds]
    found += [
        f"{kind}: there is no model of this CRD in tools/check_crds.py" for kind in crds if kind not in set(RESOURCES)
    ]
    for kind, resource in RESOURCES.items():
        if kind in crds:
            found += _crd_problems(str(kind), resource, crds[kind])
    return found + list(_copies_differ(crds))


def root_schema(crd: Schema) -> Schema:
    """The schema of the one version."""
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _crd_problems(kind: str, resource: Resource, crd: Schema) -> Iterator[str]:
    spec, names = crd["spec"], crd["spec"]["names"]
    [version] = spec["versions"]
    expected = {
        "group": (spec["group"], GROUP),
        "version": (version["name"], VERSION),
        "scope": (spec["scope"], "Namespaced" if resource.namespaced else "Cluster"),
        "name": (crd["metadata"]["name"], f"{names['plural']}.{GROUP}"),
        "plural": (names["plural"], SERVED[Kind(kind)].plural),
        "categories": (names.get("categories"), ["sluice"]),
        "status subresource": ("status" in version.get("subresources", {}), resource.status is not None),
    }
    for what, (actual, wanted) in expected.items():
        if actual != wanted:
            yield f"{kind}: {what} is {actual!r}, not {wanted!r}"
    properties = root_schema(crd)["properties"]
    if ("status" in properties) != (resource.status is not None):
        yield f"{kind}: status is in only one of CRD and models"
    walk = _Walk(kind)
    walk.model(resource.spec, properties["spec"], "spec")
    if resource.status is not None and "status" in properties:
        walk.model(resource.status, properties["status"], "status")
    yield from walk.found
    yield from (f"{kind}: {path}: {text}" for path, text in _undisciplined(root_schema(crd), ""))


class _Walk:
    """Walks a model and a schema side by side and notes where they differ."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.found: list[str] = []

    def note(self, path: str, text: str) -> None:
        self.found.append(f"{self.kind}: {path}: {text}")

    def model(self, model: type[Model], schema: Schema, path: str) -> None:
        """Compare the properties of an object."""
        if schema.get("type") != "object":
            self.note(path, f"is an object in {model.__name__}, {schema.get('type')} in the CRD")
            return
        hints = typing.get_type_hints(model, include_extras=True)
        fields = {field.alias or name: (name, field) for name, field in model.model_fields.items()}
        allowed = {alias for alias in fields if (self.kind, f"{path}.{alias}") not in NOT_IN_CRD}
        properties: dict[str, Schema] = schema.get("properties", {})
        for alias in sorted(allowed - set(properties)):
            self.note(f"{path}.{alias}", f"is in {model.__name__}, not in the CRD")
        for alias in sorted(set(properties) - allowed):
            self.note(f"{path}.{alias}", f"is in the CRD, not in {model.__name__}")
        required = {alias for alias, (_, field) in fields.items() if field.is_required()}
        if required != set(schema.get("required", [])):
            actual = sorted(schema.get("required", []))
            self.note(path, f"required is {sorted(required)} in {model.__name__}, {actual} in the CRD")
        blank = {alias: field.get_default() for alias, (_, field) in fields.items() if not field.is_required()}
        for alias in sorted(allowed & set(properties)):
            self.annotation(hints[fields[alias][0]], properties[alias], f"{path}.{alias}")
            if alias in blank:
                self.default(model, fields[alias][0], blank[alias], properties[alias], f"{path}.{alias}")

    def default(self, model: type[Model], name: str, default: object, schema: Schema, path: str) -> None:
        """Compare defaults. Empty ones mean the same as absence, so the CRD has none; a status has none at all."""
        wanted = None
        if not path.startswith("status") and not _is_empty(default):
            wanted = model.model_construct(None, **{name: default}).model_dump(mode="json", include={name})[name]
        if (self.kind, path) in NO_DEFAULT_IN_CRD:
            wanted = None
        if schema.get("default") != wanted:
            self.note(path, f"the default is {wanted!r} in {model.__name__}, {schema.get('default')!r} in the CRD")

    def annotation(self, annotation: Any, schema: Schema, path: str) -> None:
        """Compare a type: enum and nested schemas included."""
        annotation = _without_none(annotation)
        if isinstance(annotation, type) and issubclass(annotation, Model):
            self.model(annotation, schema, path)
            return
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is tuple:
            self.scalar({"type": "array"}, schema, path)
            self.annotation(arguments[0], schema.get("items", {}), f"{path}[]")
        elif origin is dict and annotation != dict[str, Any]:
            self.scalar({"type": "object"}, schema, path)
            self.values(arguments, schema, path)
        else:
            self.scalar(_expected(annotation), schema, path)

    def values(self, arguments: tuple[Any, ...], schema: Schema, path: str) -> None:
        """Compare what a map holds. One whose keys are an enum is an object with these properties in the CRD."""
        key, value = arguments
        if not issubclass(key, StrEnum):
            self.annotation(value, schema.get("additionalProperties", {}), f"{path}.*")
            return
        properties: dict[str, Schema] = schema.get("properties", {})
        keys = sorted(str(member) for member in key)
        if sorted(properties) != keys:
            self.note(path, f"the keys are {keys} in the model, {sorted(properties)} in the CRD")
        for name, inner in properties.items():
            self.annotation(value, inner, f"{path}.{name}")

    def scalar(self, wanted: Schema, schema: Schema, path: str) -> None:
        """Compare the keys that tell a type."""
        for key in SAID:
            actual = _said(schema, key)
            if key == "enum" and path.rpartition(".")[2] in ENUM_IN_CRD_ONLY:
                continue
            if actual != wanted.get(key):
                self.note(path, f"{key} is {wanted.get(key)!r} in the model, {actual!r} in the CRD")


def _said(schema: Schema, key: str) -> object:
    if key == "date-time":
        return schema.get("format") == "date-time" or None
    return sorted(schema["enum"]) if key == "enum" and "enum" in schema else schema.get(key)


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return functools.reduce(or_, (part for part in typing.get_args(annotation) if part is not type(None)))
    return annotation


def _expected(annotation: Any) -> Schema:
    """What the CRD says of a scalar. Raises TypeError for a type that this check does not know yet."""
    for unit, schema in UNITS:
        if annotation == unit:
            return schema
    if typing.get_origin(annotation) is typing.Literal:
        return {"type": "string", "enum": sorted(typing.get_args(annotation))}
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return {"type": "string", "enum": sorted(str(member) for member in annotation)}
    known = {str: "string", bool: "boolean", int: "integer", float: "number"}
    if annotation in known:
        return {"type": known[annotation]}
    raise TypeError(f"tools/check_crds.py knows no schema for {annotation!r}: teach it one")


def _is_empty(default: object) -> bool:
    if isinstance(default, Model):
        return default == type(default).model_construct()
    return default is None or default in ("", (), {})


def _undisciplined(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    """Yield what lacks a description or a bound."""
    kind = schema.get("type")
    if "description" not in schema and not path.endswith(("[]", ".*")):
        yield path, "has no description (kubectl explain shows it)"
    if (kind == "string" or schema.get("x-kubernetes-int-or-string")) and not {"maxLength", "enum", "format"} & set(
        schema
    ):
        yield path, "has no maxLength"
    if kind == "integer" and not {"minimum", "format"} <= set(schema):
        yield path, "has no minimum or no format"
    if kind == "integer" and path.startswith(".spec") and "maximum" not in schema:
        yield path, "has no maximum"
    if kind == "array":
        if not {"maxItems", "x-kubernetes-list-type"} <= set(schema):
            yield path, "has no maxItems or no x-kubernetes-list-type"
        yield from _undisciplined(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        if "maxProperties" not in schema:
            yield path, "has no maxProperties"
        yield from _undisciplined(schema["additionalProperties"], f"{path}.*")
    for name, inner in schema.get("properties", {}).items():
        yield from _undisciplined(inner, f"{path}.{name}")


def _copies_differ(crds: dict[str, Schema]) -> Iterator[str]:
    """A template's metric and the inline one are written in three files, and must agree in rules and sentences too."""

    def spec(kind: str) -> Schema:
        properties: Schema = root_schema(crds[kind])["properties"]["spec"]["properties"]
        return properties

    if not {"Rollout", "AnalysisTemplate", "ClusterAnalysisTemplate"} <= set(crds):
        return
    inline = spec("Rollout")["analysis"]["properties"]
    for kind in ("AnalysisTemplate", "ClusterAnalysisTemplate"):
        for part in ("metrics", "args"):
            if spec(kind).get(part, {}).get("items") != inline.get(part, {}).get("items"):
                yield f"{kind}: spec.{part}[]: differs from Rollout's spec.analysis.{part}[]: copy one over the other"


def main() -> int:
    """Print what differs; 1 where anything does."""
    found = problems(load())
    for line in found:
        sys.stdout.write(f"{line}\n")
    if found:
        sys.stdout.write(
            f"{len(found)} differences between crds/ and sluice.api: change both, or say why in tools/check_crds.py\n"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
