"""The helm commands that the documents show work as they are written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from helm import Helm
from installation import ROOT
from testbed import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAGES = ("docs/guides/install.md", "README.md", "helm/sluice/README.md")
COMMAND = re.compile(r"^    helm (.+)$", re.MULTILINE)


def commands() -> Iterator[list[str]]:
    """The words of each, in the order of the pages; the chart is this checkout's."""
    for page in PAGES:
        for line in COMMAND.findall((ROOT / page).read_text(encoding="utf-8")):
            yield [str(ROOT / word) if word == "helm/sluice" else word for word in shlex.split(line, comments=True)]


def test_the_helm_commands_of_the_documents_work(bare: Cluster, on: Helm) -> None:
    """Each on a cluster where it belongs: an installation where nothing is, all else on what was installed."""
    found = list(commands())
    assert {words[0] for words in found} == {"install", "upgrade", "uninstall"}
    place = ("-n", "sluice-system")
    for words in found:
        installed = "sluice" in on("list", *place, "--short")
        if words[0] == "install" and installed:
            on("uninstall", "sluice", *place)
        elif words[0] != "install" and not installed:
            on("install", "sluice", ROOT / "helm" / "sluice", *place)
        on(*words)
        if words[0] == "install":
            told = bare.get("/apis/apps/v1/namespaces/sluice-system/deployments/sluice")
            assert told["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
