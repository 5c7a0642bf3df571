"""Two well-behaved apps beside a hostile one, and a limit on the work that the hostile one may cause."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.support.app import SLUICE, App
from e2e.support.manifests import canary, pause, weight
from e2e.support.world import World
from e2e.watch import Json, Watch, named

MOST_REQUESTS = 600  # of the operators while two neighbours go through a canary; a tight loop makes thousands
MOST_REQUESTS_PER_SECOND = 20  # more, for as long as that takes on a busy machine
log = logging.getLogger(__name__)
_REQUESTS = re.compile(r'^sluice_api_requests_total\{[^}]*verb="(?!watch)[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


class Neighbours:
    """`near` lives in the hostile app's namespace, `far` in another one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.near, self.far = world.app("near"), world.app("far")
        self._green = False
        for app in (self.near, self.far):
            app.deploy(replicas=1).manage(canary(weight(40), pause("1s")))

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Both go through a canary under load while the body runs: no request fails, and both end Healthy."""
        self._green = not self._green
        slot, version = ("green", "v2") if self._green else ("blue", "v1")
        with self.near.steady(rate=50, connections=4), self.far.steady(rate=50, connections=4):
            for app in (self.near, self.far):
                app.release(version, active=slot)
            yield
            for app in (self.near, self.far):
                status = app.wait_phase("Healthy")
                assert status["stable"]["slot"] == slot, status
                app.only(version)

    @contextmanager
    def beside(self, hostile: App, most_writes: int = 12, per_second: float = 0) -> Iterator[list[Json]]:
        """As `undisturbed`; and the hostile Rollout is written at most so often meanwhile, with few requests overall.

        Args:
            hostile: the app whose Rollout it is.
            most_writes: of its Rollout.
            per_second: and so many more for each second that it takes.

        Yields:
            Every state of the hostile Rollout that was seen so far; grows.
        """
        states: list[Json] = []
        rollouts = f"{SLUICE}/namespaces/{hostile.namespace}/rollouts"
        watch = Watch(hostile.hub, rollouts, named(hostile.name), states.append)
        watch.start()
        began_at, before = time.monotonic(), self._requests()
        try:
            with self.undisturbed():
                yield states
        finally:
            watch.stop()
        seconds, asked = time.monotonic() - began_at, self._requests() - before
        log.info("%s: %d writes, %d requests in %.1f s", hostile, len(states), asked, seconds)
        most = most_writes + per_second * seconds
        assert len(states) <= most, f"{hostile} was written {len(states)} times in {seconds:.0f} s: {_told(states)}"
        most = MOST_REQUESTS + MOST_REQUESTS_PER_SECOND * seconds
        assert 0 < asked <= most, f"the operators made {asked:.0f} requests in {seconds:.0f} s"

    def _requests(self) -> float:
        """Of every replica: which of them acts on what may change."""
        return sum(requests_of(operator.http("/metrics")) for operator in self._world.operators)


def requests_of(metrics: str) -> float:
    """Requests to the API server so far, but for watches."""
    return sum(float(number) for number in _REQUESTS.findall(metrics))


def _told(states: list[Json]) -> list[str]:
    return [str((state.get("status") or {}).get("message")) for state in states]
