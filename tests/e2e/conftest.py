"""End-to-end tests: a user's view of Sluice on a real API server, with real traffic and a real Prometheus."""

from e2e.support.fixtures import app, make_app, pytest_runtest_makereport, workload, world
from e2e.support.kind_world import plain, pytest_collection_modifyitems

__all__ = [
    "app",
    "make_app",
    "plain",
    "pytest_collection_modifyitems",
    "pytest_runtest_makereport",
    "workload",
    "world",
]
