"""An API server behind a proxy that fails a share of the requests: the rest is as if it were not there."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from urllib.parse import urlsplit

import pytest

from testbed import ApiClient, Cluster, FaultyApi, Testbed

pytestmark = pytest.mark.e2e

_REQUESTS = 300
_RATE = 0.1
_SLOW_SECONDS = 3.0
_MAPS = "/api/v1/namespaces/default/configmaps"


@contextmanager
def _opened(cluster: Cluster, server: str, path: str) -> Iterator[http.client.HTTPResponse]:
    context = ssl.create_default_context(cafile=str(cluster.ca_file))
    with closing(http.client.HTTPSConnection(urlsplit(server).netloc, timeout=10, context=context)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {cluster.admin_token}"})
        with connection.getresponse() as response:
            yield response


def test_a_tenth_of_the_requests_fail(testbed: Testbed) -> None:
    """About a tenth, with 429 or 500; what passed was done, and some of what was answered 500 as well."""
    hub = testbed.hub
    with FaultyApi(hub, _RATE, seed=1) as faulty:
        client = ApiClient(faulty.server, str(hub.ca_file), hub.admin_token)
        made = [
            client.request("POST", _MAPS, {"metadata": {"name": f"faulty-{number}"}})[0] for number in range(_REQUESTS)
        ]
        counts = faulty.counts()
        assert faulty.failed() == len([status for status in made if status != 201])
        faulty.fail(0)
        assert all(client.request("GET", f"{_MAPS}/faulty-0")[0] in {200, 404} for _ in range(100))
        client.close()
    assert set(made) == {201, 429, 500}
    assert 0.04 * _REQUESTS < len([status for status in made if status != 201]) < 0.2 * _REQUESTS
    there = len([each for each in hub.get(_MAPS)["items"] if each["metadata"]["name"].startswith("faulty-")])
    assert there == counts["POST"] + counts["POST 500 after"]


def test_a_slow_server_does_what_it_is_asked_at_once(testbed: Testbed) -> None:
    """Only its answer is late."""
    hub = testbed.hub
    with FaultyApi(hub, 0.0, seed=1) as faulty:
        client = ApiClient(faulty.server, str(hub.ca_file), hub.admin_token)
        faulty.slow_down(_SLOW_SECONDS)
        asked_at = time.time()
        made = client.checked("POST", _MAPS, {"metadata": {"name": "slowly"}})
        answered_at = time.time()
        client.close()
    created_at = datetime.fromisoformat(made["metadata"]["creationTimestamp"]).timestamp()
    assert answered_at - asked_at >= _SLOW_SECONDS
    assert answered_at - created_at >= _SLOW_SECONDS - 1  # it is told in whole seconds, rounded down


def test_a_watch_fails_at_its_start_or_not_at_all(testbed: Testbed) -> None:
    """An opened watch goes on to show what happens, at once."""
    hub = testbed.hub
    path = f"{_MAPS}?watch=1&timeoutSeconds=20&fieldSelector=metadata.name%3Dwatched"
    with FaultyApi(hub, 1.0, seed=1) as faulty:
        with _opened(hub, faulty.server, path) as refused:
            assert refused.status in {429, 500}
            assert refused.status == 500 or refused.headers["Retry-After"] == "1"
        faulty.fail(0)
        with _opened(hub, faulty.server, path) as stream:
            assert stream.status == 200
            hub.kubectl("create", "configmap", "watched")
            assert json.loads(stream.readline())["type"] == "ADDED"
