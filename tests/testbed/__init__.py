"""A real Kubernetes with real traffic, without containers. See README.md beside this file."""

from __future__ import annotations

from testbed import apps
from testbed.bed import Testbed
from testbed.client import ApiClient
from testbed.cluster import Cluster
from testbed.dataplane import DataPlane
from testbed.errors import ApiError, ApiUnreachableError, NotReadyError, TestbedError
from testbed.external_metrics import ExternalMetrics
from testbed.faults import FaultyApi
from testbed.load import Load, Request, Requests, sample, standard_error
from testbed.nodes import Nodes
from testbed.pods import behaviour, gauges, pods
from testbed.waiting import wait_for

__all__ = [
    "ApiClient",
    "ApiError",
    "ApiUnreachableError",
    "Cluster",
    "DataPlane",
    "ExternalMetrics",
    "FaultyApi",
    "Load",
    "Nodes",
    "NotReadyError",
    "Request",
    "Requests",
    "Testbed",
    "TestbedError",
    "apps",
    "behaviour",
    "gauges",
    "pods",
    "sample",
    "standard_error",
    "wait_for",
]
