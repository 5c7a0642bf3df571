"""LIST, in pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from sluice.adapters.kube.resources import RESOURCES, collection_path
from sluice.adapters.kube.transport import Request, Wire
from sluice.api.names import Kind
from sluice.errors import NotFound, Unavailable
from sluice.ports import Obj

PAGE_LIMIT = 500
_PAGE_SECONDS = 30.0


def whole(obj: Obj) -> Obj:
    """Keep all of an object."""
    return obj


async def fetch_list(
    transport: Wire,
    kind: Kind,
    namespace: str = "",
    selectors: Mapping[str, str] | None = None,
    keep: Callable[[Obj], Obj] = whole,
) -> tuple[list[Obj], str]:
    """Read all objects of a kind.

    Args:
        transport: the API server.
        kind: what to list.
        namespace: "" for all.
        selectors: query parameters such as `fieldSelector`.
        keep: what to keep of each object; the rest is dropped with its page.

    Returns:
        The objects, each with its apiVersion and kind, and the resourceVersion to watch from.

    Raises:
        SluiceError: see `Transport.send`. Unavailable also where the list changed faster than it could be read.
    """
    resource = RESOURCES[kind]
    params = {"limit": str(PAGE_LIMIT), **(selectors or {})}
    objects: list[Obj] = []
    what = f"list {resource.plural}" + (f" in {namespace}" if namespace else "")
    path = collection_path(kind, namespace)
    while True:
        request = Request("GET", path, what, str(kind), params=params, seconds=_PAGE_SECONDS)
        try:
            page: dict[str, Any] = orjson.loads(await transport.send(request))
        except NotFound as error:
            if "continue" not in params:
                raise
            raise Unavailable(f"{what}: the list grew too old between two pages; it is read anew") from error
        for item in page.get("items") or ():
            # The items of a built-in kind do not say what they are.
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", str(kind))
            objects.append(keep(item))
        metadata = page.get("metadata") or {}
        if not metadata.get("continue"):
            return objects, str(metadata.get("resourceVersion", ""))
        params["continue"] = metadata["continue"]


async def fetch_served(transport: Wire, kinds: frozenset[Kind]) -> frozenset[Kind]:
    """Which of the kinds the API server serves: a cluster may have no GRPCRoute, for example.

    Raises:
        SluiceError: see `Transport.send`.
    """
    served: set[Kind] = set()
    for group_path in sorted({RESOURCES[kind].group_path for kind in kinds}):
        try:
            answer = orjson.loads(
                await transport.send(Request("GET", group_path, f"discover {group_path}", "APIResourceList"))
            )
        except NotFound:
            continue
        plurals = {entry.get("name") for entry in answer.get("resources") or ()}
        served |= {
            kind for kind in kinds if RESOURCES[kind].group_path == group_path and RESOURCES[kind].plural in plurals
        }
    return frozenset(served)
