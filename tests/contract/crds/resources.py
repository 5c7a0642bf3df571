"""What the tests of this folder share: samples, paths of the API, and instances of models that have every field set."""

import itertools
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from sluice.api.action import RolloutActionSpec, RolloutActionStatus
from sluice.api.analysis import AnalysisTemplateSpec
from sluice.api.audit import AuditSegmentSpec
from sluice.api.common import Model
from sluice.api.fleet import FleetRunSpec, FleetRunStatus
from sluice.api.killswitch import KillSwitchSpec, KillSwitchStatus
from sluice.api.member import MemberClusterSpec, MemberClusterStatus
from sluice.api.policy import RolloutPolicySpec, RolloutPolicyStatus
from sluice.api.rollout import RolloutSpec, RolloutStatus
from sluice.api.run import RolloutRunSpec, RolloutRunStatus
from sluice.api.units import Duration, Share, StoredShare, Time

# Defaults that the models have and the API server does not fill in: with workload.services it refuses these fields.
MODELS_ALONE = {
    "workload": frozenset(
        ("replicas", "minReadySeconds", "scaleDownDelay", "drain", "ports", "stableMetadata", "candidateMetadata")
    ),
    "canary": frozenset({"canarySize"}),
}
SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
SPECS: dict[str, type[Model]] = {
    "Rollout": RolloutSpec,
    "RolloutRun": RolloutRunSpec,
    "RolloutAction": RolloutActionSpec,
    "KillSwitch": KillSwitchSpec,
    "ClusterKillSwitch": KillSwitchSpec,
    "AnalysisTemplate": AnalysisTemplateSpec,
    "ClusterAnalysisTemplate": AnalysisTemplateSpec,
    "RolloutPolicy": RolloutPolicySpec,
    "MemberCluster": MemberClusterSpec,
    "FleetRun": FleetRunSpec,
    "AuditSegment": AuditSegmentSpec,
    "MemberRollout": RolloutSpec,
    "MemberRolloutRun": RolloutRunSpec,
}
STATUSES: dict[str, type[Model]] = {
    "Rollout": RolloutStatus,
    "RolloutRun": RolloutRunStatus,
    "RolloutAction": RolloutActionStatus,
    "KillSwitch": KillSwitchStatus,
    "ClusterKillSwitch": KillSwitchStatus,
    "RolloutPolicy": RolloutPolicyStatus,
    "MemberCluster": MemberClusterStatus,
    "FleetRun": FleetRunStatus,
    "MemberRollout": RolloutStatus,
    "MemberRolloutRun": RolloutRunStatus,
}
# Of a model that two kinds share, what one of them has not.
NOT_ITS_OWN: dict[str, frozenset[str]] = {"MemberRollout": frozenset({"fleet"})}
UNITS: list[tuple[object, object]] = [
    (Share, "12.5%"),
    (StoredShare, "12.5%"),
    (Duration, timedelta(minutes=90)),
    (Time, datetime(2026, 1, 31, tzinfo=UTC)),
]


@dataclass(frozen=True)
class Sample:
    """One object of a file under manifests/samples."""

    file: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file}:{self.body['kind']}/{self.body['metadata']['name']}"


def samples(*folders: str) -> list[Sample]:
    """The objects of the samples in these folders."""
    return [
        Sample(f"{folder}/{path.stem}", body)
        for folder in folders
        for path in sorted((SAMPLES / folder).glob("*.yaml"))
        for body in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def collection(kind: str, namespace: str) -> str:
    """The path of a kind's objects; `namespace` counts for namespaced kinds only."""
    noun = kind.lower()
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("ch") else "s")
    wide = kind.startswith("Cluster") or kind in {"MemberCluster", "RolloutPolicy"}
    place = "" if wide else f"namespaces/{namespace}/"
    return f"/apis/sluice.dev/v1alpha1/{place}{plural}"


def without_empty(value: Any) -> Any:
    """The same JSON without what means the same as absence: "", [] and {}."""
    if isinstance(value, dict):
        kept = {key: without_empty(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in ("", [], {})}
    return [without_empty(inner) for inner in value] if isinstance(value, list) else value


def as_people_write(written: Any, given: Any) -> Any:
    """What a model dumped, without those of its own defaults that `given`, the same spec of a person's, leaves out."""
    if isinstance(written, list):
        items = given if isinstance(given, list) else []
        return [as_people_write(*pair) for pair in itertools.zip_longest(written, items[: len(written)])]
    if not isinstance(written, dict):
        return written
    said = given if isinstance(given, dict) else {}
    kept = {key: as_people_write(inner, said.get(key)) for key, inner in written.items()}
    for part, alone in MODELS_ALONE.items():
        if isinstance(kept.get(part), dict):
            unsaid = alone - set(said.get(part) or {})
            kept[part] = {key: inner for key, inner in kept[part].items() if key not in unsaid}
    # A list of no clusters would be refused, so that nobody's empty template becomes "all the rest".
    unsaid = frozenset({"clusters", "steps"}) - set(said) if "sizeBy" in kept else frozenset()
    return {key: inner for key, inner in kept.items() if key not in unsaid}


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all scalars in a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path


def full(model: type[BaseModel]) -> Any:
    """An instance with every field set, at any depth: what a writer of the model could at most send."""
    hints = typing.get_type_hints(model, include_extras=True)
    return model(**{name: _value(hints[name], name) for name in model.model_fields})


def full_status(kind: str) -> Any:
    """An instance of a kind's status with every field set that the kind has."""
    return full(STATUSES[kind]).model_copy(update=dict.fromkeys(NOT_ITS_OWN.get(kind, ())))


def _value(annotation: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return _value(next(part for part in arguments if part is not type(None)), name)
    if origin is tuple:
        return (_value(arguments[0], name),)
    if origin is dict:
        keys = list(arguments[0]) if issubclass(arguments[0], StrEnum) else [f"{name}-key"]
        return {key: _value(arguments[1], name) for key in keys}
    if origin is typing.Literal:
        return arguments[-1]
    for unit, value in UNITS:
        if annotation == unit:
            return value
    return _one_value(annotation, name)


def _one_value(annotation: Any, name: str) -> Any:
    if annotation is Any:
        return {"anything": [1, "two", {"three": True}]}
    if issubclass(annotation, StrEnum):
        return list(annotation)[-1]
    if issubclass(annotation, BaseModel):
        return full(annotation)
    scalars: dict[type, Any] = {str: f"some-{name.replace('_', '-')}", bool: True, int: 3, float: 0.25}
    return scalars[annotation]
