"""What the API server says of metadata, which no CRD describes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from sluice.decide.metadata import mapping
from sluice.ops.lint.finding import Level, Path, Problem

_PATH: Path = ("metadata",)
_PEOPLES = ("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
_THE_SERVERS = (
    *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    *("managedFields", "selfLink"),
)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_MAX = 253
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX_MAX = 58
_SAID_SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
_SAID_LABEL = "a valid label must be an empty string or up to 63 alphanumeric characters, '-', '_' or '.'"
_SAID_KEY = (
    "a key is a name of up to 63 alphanumeric characters, '-', '_' or '.', perhaps after a DNS subdomain and '/'"
)


def as_created(metadata: dict[str, Any]) -> dict[str, Any]:
    """What rules see of it; where the API server is to make up the name, one as it makes them."""
    prefix = str(metadata.get("generateName", ""))
    name = metadata.get("name") or f"{prefix[:_PREFIX_MAX]}xxxxx"
    return {"name": name, **({"generateName": prefix} if prefix else {})}


def problems(metadata: Any, *, namespaced: bool) -> Iterator[Problem]:
    """What is wrong with an object's metadata."""
    if not isinstance(metadata, dict):
        yield Problem(_PATH, "Required value: name or generateName is required")
        return
    for field in metadata:
        if field not in _PEOPLES and field not in _THE_SERVERS:
            close = get_close_matches(str(field), _PEOPLES, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(_PEOPLES)}"
            yield Problem((*_PATH, field), f'unknown field "metadata.{field}"{hint}')
    yield from _of_name(metadata)
    if metadata.get("namespace") and not namespaced:
        yield Problem((*_PATH, "namespace"), "objects of this kind have no namespace: leave it out", Level.WARNING)
    for field in ("labels", "annotations"):
        for key, text in mapping(metadata.get(field)).items():
            yield from _of_pair(field, key, text)


def _of_name(metadata: dict[str, Any]) -> Iterator[Problem]:
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if not name and not prefix:
        yield Problem((*_PATH, "name"), "Required value: name or generateName is required")
    for field, text in (("name", name), ("generateName", f"{prefix}x" if prefix else None)):
        if text and (not isinstance(text, str) or not _is_subdomain(text)):
            yield Problem((*_PATH, field), f"Invalid value: {metadata[field]!r}: {_SAID_SUBDOMAIN}")


def _of_pair(field: str, key: str, text: Any) -> Iterator[Problem]:
    path = (*_PATH, field, key)
    domain, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not _is_subdomain(domain)):
        yield Problem(path, f"Invalid value: {key!r}: {_SAID_KEY}")
    if not isinstance(text, str):
        yield Problem(path, f"Invalid value: {text!r}: must be a string; write it in quotes")
    elif field == "labels" and text and not _NAME.fullmatch(text):
        yield Problem(path, f"Invalid value: {text!r}: {_SAID_LABEL}")


def _is_subdomain(text: str) -> bool:
    return len(text) <= _SUBDOMAIN_MAX and _SUBDOMAIN.fullmatch(text) is not None
