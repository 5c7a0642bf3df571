"""A cache of given objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sluice.api.names import Kind
from sluice.ports import Obj


class Objects:
    """The Reader port over a fixed list."""

    def __init__(self, objects: Iterable[tuple[Kind, Obj]]) -> None:
        self._objects = list(objects)

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object, or None."""
        return next((obj for obj in self.of_namespace(kind, namespace) if obj["metadata"]["name"] == name), None)

    def of_namespace(self, kind: Kind, namespace: str) -> Iterator[Obj]:
        """All objects of a kind in a namespace."""
        return (obj for known, obj in self._objects if known is kind and obj["metadata"]["namespace"] == namespace)

    def endpoint_slices(self, namespace: str, service: str) -> Iterator[Obj]:
        """The EndpointSlices of a Service."""
        for obj in self.of_namespace(Kind.ENDPOINT_SLICE, namespace):
            if obj["metadata"]["labels"]["kubernetes.io/service-name"] == service:
                yield obj
