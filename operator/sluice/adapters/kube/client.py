"""The Cluster port over a real API server: plain dicts, one request per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from sluice.adapters.kube.listing import fetch_list
from sluice.adapters.kube.resources import RESOURCES, collection_path, describe, object_path
from sluice.adapters.kube.transport import APPLY_PATCH, JSON, JSON_PATCH, MERGE_PATCH, Request, Wire
from sluice.api.names import FIELD_MANAGER, Kind
from sluice.errors import NotFound
from sluice.ports import Guard, Lane, Leadership, Obj

_DRY_RUN = {"dryRun": "All"}


class AlwaysLeader:
    """For what needs no Lease: the Lease itself, the CLI, tests."""

    def check(self) -> None:
        """Never raises."""


class KubeCluster:
    """Implements `ports.Cluster`.

    Args:
        transport: the connections; several KubeClusters may share one.
        leadership: asked right before every write is sent, after any wait for a turn.
        field_manager: by which managedFields tell who wrote.
    """

    def __init__(self, transport: Wire, leadership: Leadership, *, field_manager: str = FIELD_MANAGER) -> None:
        self.transport = transport
        self._params = {"fieldManager": field_manager}
        self._leadership = leadership

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """Read one object."""
        what = f"get {describe(kind, namespace, name)}"
        return _decode(await self.transport.send(Request("GET", object_path(kind, namespace, name), what, str(kind))))

    async def list(self, kind: Kind, namespace: str = "", *, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        """Read all, or those that have these labels, in pages of 500."""
        asked = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else None
        objects, _ = await fetch_list(self.transport, kind, namespace, asked)
        return objects

    async def create(self, kind: Kind, namespace: str, body: Obj) -> Obj:
        """Create. Conflict where the name is taken. The body may leave out apiVersion, kind and namespace."""
        whole = _whole(kind, namespace, body)
        what = f"create {describe(kind, namespace, str(whole['metadata'].get('name', '')))}"
        return await self._write(
            Request("POST", collection_path(kind, namespace), what, str(kind), orjson.dumps(whole), JSON)
        )

    async def patch_json(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        operations: Sequence[Obj],
        *,
        lane: Lane = Lane.NORMAL,
        guard: Guard | None = None,
    ) -> Obj:
        """Apply a JSON Patch. Conflict where a `test` failed, or a path that it walks is not there."""
        path, what = object_path(kind, namespace, name), f"patch {describe(kind, namespace, name)}"
        body = orjson.dumps(list(operations))
        return await self._write(Request("PATCH", path, what, str(kind), body, JSON_PATCH, lane=lane), guard)

    async def patch_merge(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Obj,
        *,
        subresource: str = "",
        lane: Lane = Lane.NORMAL,
        dry_run: bool = False,
    ) -> Obj:
        """Apply a merge patch. Conflict where `metadata.resourceVersion` in it is no longer the object's."""
        path = object_path(kind, namespace, name, subresource)
        doing = "dry run of" if dry_run else "patch"
        what = f"{doing} {'the ' + subresource + ' of ' if subresource else ''}{describe(kind, namespace, name)}"
        params = _DRY_RUN if dry_run else None
        return await self._write(
            Request("PATCH", path, what, str(kind), orjson.dumps(body), MERGE_PATCH, params=params, lane=lane)
        )

    async def apply(self, kind: Kind, namespace: str, name: str, body: Obj, *, dry_run: bool = False) -> Obj:
        """Apply with force, and make what is not there. The body may leave out apiVersion, kind, namespace and name.

        Conflict where `metadata.uid` or `metadata.resourceVersion` in the body is no longer the object's; a uid of an
        object that is gone is one too, a resourceVersion is not: naming any makes an object, and changes none.
        """
        whole = _whole(kind, namespace, body)
        whole["metadata"]["name"] = name
        what = f"{'dry run of' if dry_run else 'apply'} {describe(kind, namespace, name)}"
        path = object_path(kind, namespace, name)
        params = {"force": "true", **(_DRY_RUN if dry_run else {})}
        return await self._write(
            Request("PATCH", path, what, str(kind), orjson.dumps(whole), APPLY_PATCH, params=params)
        )

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete, if the uid still matches (Conflict otherwise). An object that is gone is no error."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        request = Request(
            "DELETE",
            object_path(kind, namespace, name),
            f"delete {describe(kind, namespace, name)}",
            str(kind),
            body=orjson.dumps(options),
            guard=self._leadership.check,
        )
        try:
            await self.transport.send(request)
        except NotFound:
            return

    async def _write(self, request: Request, guard: Guard | None = None) -> Obj:
        def may_write() -> None:
            self._leadership.check()
            if guard is not None:
                guard()

        params = {**self._params, **(request.params or {})}
        return _decode(await self.transport.send(replace(request, params=params, guard=may_write)))


def _whole(kind: Kind, namespace: str, body: Obj) -> Obj:
    """The body with all that says what and where it is, but for its name."""
    metadata = {**(body.get("metadata") or {}), **({"namespace": namespace} if namespace else {})}
    return {**body, "apiVersion": RESOURCES[kind].api_version, "kind": str(kind), "metadata": metadata}


def _decode(body: bytes) -> Obj:
    answer: Any = orjson.loads(body)
    return answer if isinstance(answer, dict) else {}
