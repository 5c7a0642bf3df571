"""The finish of a race between apps that all got a new image: who is there, and when."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import fleet
import workloads
from wire import MERGE_PATCH, Api, Obj, Watch

IN_FLIGHT = 16


class Arrivals:
    """When each of some apps was first seen where it was to come to."""

    def __init__(self, names: Iterable[str]) -> None:
        self.at: dict[str, float] = {}  # monotonic seconds, by `<namespace>/<name>`
        self._left = set(names)
        self._all = asyncio.Event()

    def see(self, name: str) -> None:
        """It is there."""
        if name in self._left:
            self._left.discard(name)
            self.at[name] = time.monotonic()
            if not self._left:
                self._all.set()

    async def wait(self, what: str, seconds: float) -> None:
        """Until all are there.

        Raises:
            RuntimeError: they are not, within so many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._all.wait()
        except TimeoutError:
            some = ", ".join(sorted(self._left)[:3])
            raise RuntimeError(f"waited {seconds:g} s for {what}; {len(self._left)} not yet, as {some}") from None


class Finish:
    """Sees pods get ready, and routes give the candidate its weight.

    Args:
        pods: all of them.
        routes: all of them.
        needed: how many pods an app has.
    """

    def __init__(self, pods: Watch, routes: Watch, needed: int) -> None:
        self._needed = needed
        self._image = ""
        self._pods: defaultdict[str, set[str]] = defaultdict(set)  # uids of new pods that are ready, by app
        self._ready = self._weighed = Arrivals(())
        pods.listen(self._see_pod)
        routes.listen(self._see_route)

    def expect(self, names: Sequence[str], version: int) -> tuple[Arrivals, Arrivals]:
        """Begin to look out for the apps `<namespace>/<name>`: their new pods ready, their routes at 50 %."""
        self._image = workloads.image(version)
        self._pods.clear()
        self._ready, self._weighed = Arrivals(names), Arrivals(names)
        return self._ready, self._weighed

    def _see_pod(self, pod: Obj) -> None:
        if pod["spec"]["containers"][0]["image"] == self._image and workloads.is_ready(pod):
            metadata = pod["metadata"]
            app = f"{metadata['namespace']}/{metadata['labels']['app']}"
            self._pods[app].add(metadata["uid"])
            if len(self._pods[app]) >= self._needed:
                self._ready.see(app)

    def _see_route(self, route: Obj) -> None:
        if fleet.green_weight(route) == 50:
            self._weighed.see(f"{route['metadata']['namespace']}/{route['metadata']['name']}")


async def patch_all(api: Api, paths: Mapping[str, str], body: Obj) -> dict[str, float]:
    """Patch the objects at `paths` as fast as so many connections can. Returns when each patch was sent, by name."""
    sent_at: dict[str, float] = {}
    left = iter(paths.items())

    async def patch_next() -> None:
        for name, path in left:
            sent_at[name] = time.monotonic()
            await api.send("PATCH", path, body, MERGE_PATCH)

    await asyncio.gather(*(patch_next() for _ in range(IN_FLIGHT)))
    return sent_at
