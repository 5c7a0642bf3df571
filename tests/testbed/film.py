"""An act of the demo while it happens: requests at a steady rate, commands as people type them, frames to look at."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from textwrap import indent
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.live import Live

from sluice.sim import screen
from sluice.sim.story import Act, Frame, VersionRow
from testbed import shop
from testbed.bed import Testbed
from testbed.builder import binary
from testbed.errors import TestbedError
from testbed.load import Load, Requests
from testbed.waiting import wait_for

RATE = 300
_FRAME_SECONDS = 0.2
_WAIT_SECONDS = 120.0
T = TypeVar("T")


class Film:
    """One act, for the length of a ``with``. In a terminal a panel is kept up to date, piped each change is a line.

    Args:
        console: where it is shown.
        testbed: with the shop on its hub.
        act: what is shown; frames are not kept.
        began: when the demo began (`time.monotonic`); frames tell the time since.
        versions: what runs in each slot; the act keeps it current.

    Attributes:
        requests: all of the act's, once the ``with`` is over.
    """

    def __init__(self, console: Console, testbed: Testbed, act: Act, began: float, versions: dict[str, str]) -> None:
        self.act = act
        self.requests = Requests()
        self.console = console
        self.hub = testbed.hub
        self._plane = testbed.data_plane
        self._began = began
        self._versions = versions
        self._load = Load(shop.HOST, RATE, self._plane.envoy_address)
        self._reading = threading.Lock()
        self._steady: dict[str, tuple[float, float]] = {}
        self._stack = contextlib.ExitStack()

    # ------------------------------------------------------------------------------------------ people

    def run(self, *command: str) -> str:
        """Show a command (kubectl or sluice), run it as the administrator, and return all it said.

        Raises:
            TestbedError: it failed; the message carries what it said.
        """
        self.act.command = shlex.join(command)
        screen.show_command(self.console, self.act.command)
        kubectl = str(binary("kubectl"))
        program = [kubectl] if command[0] == "kubectl" else [sys.executable, "-m", "sluice"]
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.hub.kubeconfig),
            "KUBECACHEDIR": str(self.hub.folder / "kubectl-cache"),
        }
        done = subprocess.run([*program, *command[1:]], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TestbedError(
                f"`{self.act.command}` ended with code {done.returncode}: {(done.stderr or done.stdout).strip()}"
            )
        return done.stdout + done.stderr

    def say(self, *command: str) -> None:
        """Run a command and show what it says."""
        said = self.run(*command)
        self.console.print(indent(said.rstrip(), "    "), markup=False, soft_wrap=True)

    def deploy(self, version: str, slot: str) -> None:
        """Run another version in a slot, as a pipeline would, and wait until its pods are the only ones."""
        name = f"{shop.APP}-{slot}"
        self.run(
            *("kubectl", "set", "image", f"deployment/{name}", f"app=registry.example/{shop.APP}:{version}"),
            *("-n", shop.NAMESPACE),
        )
        self.run("kubectl", "rollout", "status", f"deployment/{name}", "-n", shop.NAMESPACE, "--timeout=120s")
        # Envoy hears of it a little later, and must not send the first requests to the pods that are gone.
        self.until(lambda: self._plane.endpoints(shop.NAMESPACE, name) == shop.ready_pods(self.hub, slot), "its pods")
        self._versions[slot] = version

    def release(self, version: str, slot: str) -> None:
        """Ask for a slot to serve: starts a run."""
        patch = f'{{"spec":{{"workload":{{"active":"{slot}","version":"{version}"}}}}}}'
        self.run("kubectl", "patch", "rollout", shop.APP, "-n", shop.NAMESPACE, "--type", "merge", "-p", patch)

    # ------------------------------------------------------------------------------------------ looking

    def status(self) -> dict[str, Any]:
        """The Rollout's, where it is about the spec as it is now; else empty."""
        rollout = shop.rollout(self.hub)
        status: dict[str, Any] = rollout.get("status", {})
        return status if status.get("observedGeneration") == rollout["metadata"]["generation"] else {}

    def until_phase(self, phase: str) -> dict[str, Any]:
        """Wait until the Rollout is in a phase; returns its status."""

        def reached() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("phase") == phase else None

        return self.until(reached, f"the Rollout to be {phase}")

    def until_run(self, version: str) -> None:
        """Wait until the run of a version has begun."""
        self.until(lambda: self.status().get("revision", {}).get("version") == version, f"a run of {version}")

    def until_weight(self, share: str, requests: int) -> None:
        """Wait until Envoy gives the candidate a share, and so many requests were sent and answered after that."""
        self.until(lambda: self._gives(self.status(), share), f"{share} to be confirmed")
        self.until_requests(requests)

    def until_requests(self, count: int) -> float:
        """Wait until so many requests more were answered; returns the Unix time from which on those sent count."""
        since = time.time()
        self.until(lambda: len(self.seen().sent_since(since)) >= count, f"{count} requests more")
        return since

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """Wait until there is something true to see, and return that."""
        seen = wait_for(look, _WAIT_SECONDS, what)
        assert seen is not None
        return seen

    def seen(self) -> Requests:
        """The act's requests until now."""
        with self._reading:
            return self._load.snapshot()

    def measured(self, version: str) -> dict[str, tuple[float, int]]:
        """For each confirmed share that was seen: the version's part of the requests sent meanwhile, and their number.

        To be called after the ``with``.
        """
        parts = {}
        for weight, (start, end) in self._steady.items():
            during = Requests(request for request in self.requests.sent_since(start) if request.sent_at < end)
            if during:
                parts[weight] = len(during.of(version)) / len(during), len(during)
        return parts

    # ------------------------------------------------------------------------------------------ filming

    def __enter__(self) -> Film:
        self._stack.enter_context(self._load)
        self._stack.enter_context(self._camera())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _camera(self) -> Iterator[None]:
        ended = threading.Event()
        with contextlib.ExitStack() as stack:
            live = None
            if self.console.is_terminal:
                live = stack.enter_context(Live(console=self.console, auto_refresh=False))
            with ThreadPoolExecutor(1) as pool:
                filming = pool.submit(self._roll, live, ended)
                try:
                    yield
                finally:
                    ended.set()
                filming.result()
                self.requests = self._load.stop()

    def _roll(self, live: Live | None, ended: threading.Event) -> None:
        told: tuple[object, ...] = ()
        last = False
        while not last:
            last = ended.wait(_FRAME_SECONDS)
            asked_at = time.time()
            status = shop.rollout(self.hub).get("status", {})
            self._note_steady(status, asked_at)
            frame = self._frame(status)
            if live:
                live.update(screen.picture(frame), refresh=True)
                continue
            look = (frame.phase, [(row.version, row.share) for row in frame.rows if row.share])
            if look != told or last:
                told = look
                screen.show_line(self.console, frame)

    def _frame(self, status: dict[str, Any]) -> Frame:
        requests = self.seen()
        counts, failed = requests.by_version(), requests.failed().by_version()
        weights = self._plane.weights(shop.HOST)
        whole = sum(weights.values()) or 1
        shares = dict.fromkeys(self._versions.values(), 0.0)
        for slot, version in self._versions.items():
            shares[version] += weights.get(f"{shop.APP}-{slot}", 0) / whole
        rows = tuple(
            VersionRow(version, shares.get(version, 0.0), counts[version], failed[version])
            for version in sorted({*counts, *shares})
            if counts[version] or shares.get(version)
        )
        phase, message = status.get("phase", ""), status.get("message", "")
        seconds = time.monotonic() - self._began
        return Frame(seconds, self.act.command, phase, message, _metric(status), rows)

    def _note_steady(self, status: dict[str, Any], asked_at: float) -> None:
        """Remember from when to when each share was confirmed, and given by Envoy."""
        weight = status.get("weight")
        if weight and self._gives(status, weight):
            start, _ = self._steady.get(weight, (time.time(), 0.0))
            self._steady[weight] = start, asked_at

    def _gives(self, status: dict[str, Any], share: str) -> bool:
        """Whether a share is confirmed, and Envoy gives it."""
        if (status.get("weight"), status.get("confirmation")) != (share, "Accepted"):
            return False
        weights = self._plane.weights(shop.HOST)
        candidate = weights.get(f"{shop.APP}-{status.get('revision', {}).get('slot')}", 0)
        return bool(weights) and math.isclose(candidate / sum(weights.values()), float(share.rstrip("%")) / 100)


def _metric(status: dict[str, Any]) -> str:
    found = next((each for each in status.get("metrics", ()) if each.get("value") is not None), None)
    return f"{found['name']} {found['value']:.3g}, limit {found['threshold']}: {found['phase']}" if found else ""
