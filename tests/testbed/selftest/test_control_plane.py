"""The clusters are real: they check who asks, keep their data over an outage, and end with their owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from testbed import ApiUnreachableError, Testbed, wait_for
from testbed.processes import start_time

pytestmark = pytest.mark.e2e

_OWNER = """
from testbed.processes import session
import signal
print(session().spawn("sleeper", ["sleep", "600"]).pid, flush=True)
signal.pause()
"""


def test_a_token_of_a_service_account_is_that_account(testbed: Testbed) -> None:
    """A token from the TokenRequest API identifies its account, and RBAC gives it nothing by itself."""
    testbed.hub.kubectl("create", "serviceaccount", "robot")
    token = testbed.hub.token_for("default", "robot")
    status, answer = testbed.hub.request("GET", "/api/v1/namespaces/default/secrets", token=token)
    assert status == 403
    assert "system:serviceaccount:default:robot" in answer["message"]


def test_clusters_share_nothing(testbed: Testbed) -> None:
    """What is made on the hub is not on a member, though both keep their data in one etcd."""
    testbed.hub.kubectl("create", "namespace", "only-on-the-hub")
    status, _ = testbed.members[0].request("GET", "/api/v1/namespaces/only-on-the-hub")
    assert status == 404


def test_an_api_server_comes_back_with_its_data(testbed: Testbed) -> None:
    """While it is stopped, its port refuses; started again, it serves what it had, at the same address."""
    member = testbed.members[0]
    member.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    member.stop_apiserver()
    with pytest.raises(ApiUnreachableError):
        member.get("/api/v1/namespaces/default/configmaps/kept")
    member.start_apiserver()
    assert member.get("/api/v1/namespaces/default/configmaps/kept")["data"] == {"a": "b"}


def test_children_die_with_a_killed_owner() -> None:
    """SIGKILL gives the owner no chance to clean up; its processes end all the same."""
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        child = int(owner.stdout.readline())
        started = start_time(child)
        assert started
        os.kill(owner.pid, signal.SIGKILL)
    wait_for(lambda: start_time(child) != started, 10, "the child to end")
