"""A network namespace of our own, in which every pod address is this machine.

Inside, the loopback interface takes connections to all pod addresses (10.240.0.0/12: a /16 for each cluster), so one
process listening on 0.0.0.0 is every pod. Nothing outside is reachable, and nothing outside is touched. The namespace
ends with the last process in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import TestbedError

POD_NETWORK = "10.240.0.0/12"
_MARK = "SLUICE_TESTBED_NETWORK"
PACKAGE_PARENT = str(Path(__file__).parents[1])


def pod_cidr(cluster_index: int) -> str:
    """The addresses of a cluster's pods: 10.244.0.0/16 for the first, the next /16 for the next; 16 in all.

    >>> pod_cidr(0), pod_cidr(12)
    ('10.244.0.0/16', '10.240.0.0/16')
    """
    return f"10.{240 + (4 + cluster_index) % 16}.0.0/16"


def inside() -> bool:
    """Whether this process runs in a namespace made by :func:`command`."""
    return os.environ.get(_MARK) == str(Path("/proc/self/ns/net").readlink())


def require() -> None:
    """Refuse to go on outside such a namespace.

    Raises:
        TestbedError: it is not one.
    """
    if not inside():
        raise TestbedError(
            "Pods with traffic need a network namespace of their own, and this process is not in one. "
            "Run it as `PYTHONPATH=tests python -m testbed run -- pytest tests/e2e`."
        )


def command(arguments: Sequence[str]) -> list[str]:
    """The command line that runs ``arguments`` in a fresh namespace.

    Raises:
        TestbedError: the tools for it are missing.
    """
    for tool in ("unshare", "ip", "setpriv"):
        if not shutil.which(tool):
            raise TestbedError(
                f"`{tool}` is not on the PATH. Install util-linux and iproute2 (Linux only), then run this again."
            )
    flags = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    return ["unshare", *flags, "--", sys.executable, "-m", "testbed", "enter", "--", *arguments]


def environment() -> dict[str, str]:
    """The environment for :func:`command`, in which the package is found from any folder."""
    path = os.pathsep.join(filter(None, (PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def prepare() -> dict[str, str]:
    """Set up the namespace this process was just put into; returns the environment for what runs in it.

    Raises:
        TestbedError: this is not a fresh namespace, or its network cannot be set up.
    """
    if _links() - {"lo"}:
        raise TestbedError("This is not a fresh network namespace. Use `python -m testbed run -- COMMAND`.")
    for arguments in (["link", "set", "lo", "up"], ["route", "add", "local", POD_NETWORK, "dev", "lo"]):
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise TestbedError(f"`ip {' '.join(arguments)}` failed in the new network namespace: {done.stderr.strip()}")
    return {**environment(), _MARK: str(Path("/proc/self/ns/net").readlink())}


def _links() -> set[str]:
    # Not /sys/class/net, which still shows the interfaces of the namespace it was mounted in.
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    return {line.partition(":")[0].strip() for line in lines}
