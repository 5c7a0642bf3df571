"""Where a JSON Patch finds a field: JSON Pointers (RFC 6901). Pure."""

from __future__ import annotations


def pointer(*parts: str) -> str:
    """The path of a field, from the names on the way to it.

    >>> pointer("metadata", "annotations", "sluice.dev/rollout")
    '/metadata/annotations/sluice.dev~1rollout'
    """
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)
