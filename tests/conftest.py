"""What every tier of tests shares: the target, time limits, and the guards that keep tests off other people's clusters.

A test's tier is the folder it is in. Fixtures that start clusters or the operator belong to the tiers' own conftest.py.
"""

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import hypothesis
import pytest

Target = Literal["none", "testbed", "kind"]

TESTS = Path(__file__).parent
TIMEOUT_SECONDS = {"unit": 20, "contract": 180, "e2e": 420, "chaos": 420}
PROPERTY_TIMEOUT_SECONDS = 240  # half a minute of work, on a machine that may be busy
TIERS_ON_A_CLUSTER = {"e2e", "chaos"}

# No deadline for a single example: on a busy machine it measures the neighbours. The time limit per test stays.
# The same examples each time, so that a change is judged by what it changed; `thorough` looks for new ones.
hypothesis.settings.register_profile("sluice", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("sluice"), max_examples=2000, derandomize=False
)
hypothesis.settings.load_profile("sluice")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of cluster."""
    group = parser.getgroup("sluice")
    group.addoption(
        "--target",
        choices=("none", "testbed", "kind"),
        default="none",
        help="where tests that need a cluster run: the testbed (see `make testbed`), or kind clusters (needs Docker)",
    )
    group.addoption("--kind", action="store_const", const="kind", dest="target", help="short for --target=kind")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own kubeconfig, so that no test can reach a cluster by default.

    With `--target=testbed` a KUBECONFIG stays, for it is the testbed's.
    """
    if config.getoption("target") != "testbed":
        os.environ["KUBECONFIG"] = os.devnull


def tier_of(path: Path) -> str:
    """Return the tier of a test file: the folder under tests/ it is in, or "" for a file outside tests/."""
    try:
        return path.relative_to(TESTS).parts[0]
    except ValueError:
        return ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its tier and time limit, and skip those whose cluster was not asked for."""
    without_cluster = config.getoption("target") == "none"
    for item in items:
        tier = tier_of(item.path)
        if tier in TIMEOUT_SECONDS:
            item.add_marker(tier)
        is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if is_property:
            item.add_marker("property")
        if item.get_closest_marker("timeout") is None and tier in TIMEOUT_SECONDS:
            limit = TIMEOUT_SECONDS[tier]
            item.add_marker(pytest.mark.timeout(max(limit, PROPERTY_TIMEOUT_SECONDS) if is_property else limit))
        if without_cluster and (tier in TIERS_ON_A_CLUSTER or item.get_closest_marker("cluster")):
            item.add_marker(pytest.mark.skip(reason="needs a cluster: run `make contract` or `make e2e`"))


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Target:
    """Where tests that need a cluster run."""
    chosen: Target = pytestconfig.getoption("target")
    return chosen


class _LoopbackGuard:
    """Refuses connections to anything but this machine while `active`."""

    active = False

    @staticmethod
    def is_loopback(address: object) -> bool:
        """Tell whether a socket's address is a path, a loopback address, or a name for one."""
        if not isinstance(address, tuple):
            return True
        host = str(address[0])
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host in {"localhost", ""}

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        """Audit hook: raise in the caller of `connect`."""
        if self.active and event == "socket.connect" and not self.is_loopback(args[1]):
            msg = f"a unit test tried to connect to {args[1]}; unit tests talk to nothing but this machine"
            raise PermissionError(msg)


_guard = _LoopbackGuard()
sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unit tests cannot reach other machines. The other tiers live in a network namespace of the testbed's."""
    _guard.active = tier_of(request.path) == "unit"
    yield
    _guard.active = False
