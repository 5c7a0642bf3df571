"""The operator's writes in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sluice.api.names import Kind
from sluice.decide.metadata import mapping, sequence
from sluice.decide.texts import count_of
from sluice.engine.store import key_of
from sluice.ports import Obj
from sluice.sim.store import Change

_ROUTES = (Kind.HTTP_ROUTE, Kind.GRPC_ROUTE)


def tell_writes(changes: Iterable[Change]) -> list[str]:
    """Each write to what serves, and each run that is made, in order; what only changes a record is left out."""
    return [told for change in changes for told in _tell(change)]


def _tell(change: Change) -> Iterator[str]:
    namespace, name = key_of(change.after)
    where = f"{change.kind} {namespace}/{name}"
    if change.kind is Kind.ROLLOUT_RUN and change.type == "ADDED":
        yield f"{where}: made"
    elif change.kind in _ROUTES and change.before is not None:
        yield from (f"{where}: {told}" for told in _weights(change.before, change.after))
    elif change.kind in {Kind.SERVICE, Kind.DEPLOYMENT}:
        yield from (f"{where}: {told}" for told in _kept(change))


def _weights(before: Obj, after: Obj) -> Iterator[str]:
    """Rule by rule; a rule without a name is told by its number."""
    rules = [sequence(mapping(each.get("spec")).get("rules")) for each in (before, after)]
    many = len(rules[1]) > 1
    for number, (old, new) in enumerate(zip(*rules, strict=False), start=1):
        shares = [{str(ref.get("name")): ref.get("weight", 1) for ref in _backends(rule)} for rule in (old, new)]
        moved = [
            f"{service} {shares[0].get(service, '-')} to {weight}"
            for service, weight in shares[1].items()
            if shares[0].get(service) != weight
        ]
        if moved:
            yield f"{f'rule {number}: ' if many else ''}weights {', '.join(moved)}"


def _backends(rule: object) -> list[Obj]:
    return [mapping(each) for each in sequence(mapping(rule).get("backendRefs"))]


def _kept(change: Change) -> Iterator[str]:
    if change.type == "DELETED":
        yield "deleted"
        return
    before, after = mapping((change.before or {}).get("spec")), mapping(change.after.get("spec"))
    if change.before is None:
        yield "made" + (
            f", {count_of(after.get('replicas', 1), 'replica')} of {_image(after)}" if _image(after) else ""
        )
        return
    if before.get("replicas") != after.get("replicas"):
        yield f"replicas {before.get('replicas', 1)} to {after.get('replicas', 1)}"
    if _image(before) != _image(after):
        yield f"image {_image(before)} to {_image(after)}"
    if before.get("selector") != after.get("selector"):
        yield f"selector {_pairs(before)} to {_pairs(after)}"


def _image(spec: Obj) -> str:
    containers = sequence(mapping(mapping(spec.get("template")).get("spec")).get("containers"))
    return str(mapping(containers[0]).get("image", "")) if containers else ""


def _pairs(spec: Obj) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(mapping(spec.get("selector")).items())) or "nothing"
