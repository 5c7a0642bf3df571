"""An API server that fails a share of the requests, or is slow, for clients that go through a proxy before it."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from types import TracebackType

from testbed import netns
from testbed.access import Access
from testbed.client import ApiClient
from testbed.errors import ApiUnreachableError
from testbed.faulty_proxy import CONTROL_PATH
from testbed.processes import Child, free_port, session

_START_SECONDS = 30.0
_number = itertools.count()


class FaultyApi:
    """The cluster's API for the length of a ``with``, but a share of the requests are answered 429 or 500.

    Watches fail at their start only. A third of the failures are 429 with a Retry-After, a third are 500 before the
    API server heard of the request, and a third 500 after it did what was asked.

    Args:
        cluster: whose API it is.
        rate: share of the requests that fail, 0 to 1.
        seed: repeats the draws.

    Attributes:
        server: where clients find it, in place of ``cluster.server``; the same certificate authority vouches for it.
    """

    def __init__(self, cluster: Access, rate: float, seed: int) -> None:
        self._order = {
            "port": free_port(),
            "server": cluster.server,
            "ca_file": str(cluster.ca_file),
            "certificate": str(cluster.folder / "apiserver.crt"),
            "key": str(cluster.folder / "apiserver.key"),
            "rate": rate,
            "seed": seed,
        }
        self._cluster = cluster
        self.server = f"https://127.0.0.1:{self._order['port']}"
        self._client = ApiClient(self.server, str(cluster.ca_file), "")
        self._child: Child | None = None

    def fail(self, rate: float) -> None:
        """From now on this share of the requests fails."""
        self._client.checked("POST", CONTROL_PATH, {"rate": rate})

    def slow_down(self, seconds: float) -> None:
        """From now on each answer, and each piece of a watch, comes so much later; what is asked is done at once."""
        self._client.checked("POST", CONTROL_PATH, {"delay_seconds": seconds})

    def counts(self) -> Counter[str]:
        """Requests so far: by method, or ``watch``, and where they failed how, such as ``PATCH 429``."""
        return Counter(self._client.get(CONTROL_PATH))

    def failed(self) -> int:
        """How many requests failed so far."""
        return sum(count for what, count in self.counts().items() if " " in what)

    def __enter__(self) -> FaultyApi:
        name = f"{self._cluster.name}-faulty-proxy-{next(_number)}"
        arguments = [sys.executable, "-m", "testbed.faulty_proxy", json.dumps(self._order)]
        self._child = session().spawn(name, arguments, env=netns.environment())
        self._cluster.wait(self._answers, _START_SECONDS, name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._child:
            self._child.stop()

    def _answers(self) -> bool:
        assert self._child
        self._child.check()
        try:
            return self._client.request("GET", CONTROL_PATH)[0] == 200
        except ApiUnreachableError:
            return False
