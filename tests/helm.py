"""Helm, as a user has it, and the chart of this checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from testbed import builder
from testbed.errors import TestbedError

CHART = Path(__file__).parents[1] / "helm" / "sluice"
Json = dict[str, Any]


class Helm:
    """The program, with folders of its own.

    Args:
        folder: for its caches.
        kubeconfig: of the cluster; None where none is needed.
    """

    def __init__(self, folder: Path, kubeconfig: Path | None = None) -> None:
        self._environment = {
            **os.environ,
            **{f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")},
            "KUBECONFIG": str(kubeconfig or os.devnull),
        }

    def __call__(self, *arguments: object) -> str:
        """Run it; returns its standard output.

        Raises:
            TestbedError: it failed; the message is its standard error.
        """
        command = [str(builder.binary("helm")), *map(str, arguments)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            raise TestbedError(f"`helm {' '.join(command[1:])}` ended with code {done.returncode}: {done.stderr}")
        return done.stdout

    def template(self, *arguments: object, namespace: str = "sluice-system") -> list[Json]:
        """The objects that the chart renders to."""
        return objects(self("template", "sluice", CHART, "--namespace", namespace, *arguments))


def objects(text: str) -> list[Json]:
    """The objects of some YAML."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(text, loader) if each]
