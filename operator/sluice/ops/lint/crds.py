"""The CRDs that come with this version of Sluice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sluice.errors import Permanent
from sluice.ops.lint.schema import Schema

_PACKAGE = Path(__file__).parents[2]
# In the wheel beside the code; in a checkout, from which the code runs as it stands, at its top.
FOLDERS = (_PACKAGE / "crds", _PACKAGE.parents[1] / "crds")


def load(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The CRDs by kind.

    Raises:
        Permanent: they are not there.
    """
    chosen = folder or next((each for each in FOLDERS if (each / "rollouts.yaml").is_file()), None)
    if chosen is None:
        raise Permanent(f"the CRDs are not where they belong, in {FOLDERS[0]}: install Sluice again")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = [yaml.load(path.read_bytes(), Loader=loader) for path in sorted(chosen.glob("*.yaml"))]  # noqa: S506 - safe
    return {crd["spec"]["names"]["kind"]: crd for crd in found}


def schema_of(crd: dict[str, Any]) -> Schema:
    """The schema of the one version, without status: people do not write it."""
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    properties = {name: inner for name, inner in schema["properties"].items() if name != "status"}
    return {**schema, "properties": properties}
