"""The CRDs, read once."""

from typing import Any

import pytest

from sluice.ops.lint import crds


@pytest.fixture(scope="session")
def definitions() -> dict[str, dict[str, Any]]:
    """The CRDs by kind."""
    return crds.load()
