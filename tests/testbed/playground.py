"""A testbed left running in the background, with a small shop on it: ``python -m testbed up``, ``status``, ``down``.

The background process owns everything; its state stands in ``.testbed/state.json`` of the folder it was started in, and
it is only ever ended by the process id recorded there, checked against its start time.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import string
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from testbed import branches, netns, shop
from testbed.bed import Testbed
from testbed.builder import binary
from testbed.errors import NotReadyError, TestbedError
from testbed.processes import kill_recorded, start_time
from testbed.waiting import wait_for

_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_BLUE, _GREEN = "v1", "v2"
_STEPS: list[shop.Json] = [{"setWeight": 10}, {"pause": {"duration": "30s"}}, {"setWeight": 50}, {"pause": {}}]
_ALL = """\
A Kubernetes with a shop on it is running in a network namespace of its own.

  $home/kubectl -n shop get pods,httproute    kubectl, as its administrator
  $home/shell                                 a shell in the namespace, with KUBECONFIG and PATH set
  $home/shell curl -si -H 'Host: $host' http://$envoy/
  $home/shell curl -s '$prometheus/api/v1/query?query=http_requests_total'
  $home/requests                              requests without end, counted by version each second
"""
_SLUICE = """
Sluice is installed, and its operator runs. The shop has a Rollout (10 %, half a minute, 50 %, then until somebody
promotes; its metric needs requests) and an armed kill switch. With $home/requests in one terminal, try in another:

  $home/kubectl -n shop patch rollout checkout --type merge -p '{"spec":{"workload":{"active":"green","version":"v2"}}}'
  $home/sluice status checkout -n shop --watch
  $home/sluice promote checkout -n shop
  $home/kubectl -n shop patch killswitch stop --type merge -p '{"spec":{"engaged":true,"reason":"to see it"}}'
  $home/sluice release stop -n shop --reason 'seen it'
  $home/sluice retry checkout -n shop

Let one answer in ten of v2 fail, and the metric takes a canary back (error_rate 0 heals it):

  $home/shell curl $pods/behaviour -d '{"namespace":"shop","version":"v2","error_rate":0.1,"latency_seconds":0}'
"""
_MEMBERS = """
Beside it are $count clusters for docs/guides/fleets.md: their kubeconfigs are $home/member-1.kubeconfig and so on, and
each has a namespace shop, an HTTPRoute storefront, and a Prometheus:

$members
"""
_END = """
In the namespace: Envoy is http://$envoy (host $host), Prometheus $prometheus.
The kubeconfig is $kubeconfig.
Stop it with `make testbed-down` (or `python -m testbed down`)."""


@dataclass(frozen=True)
class State:
    """What is running; written by the background process once all of it is ready."""

    pid: int
    started: str
    kubeconfig: str
    envoy_address: str
    prometheus_url: str
    pods_address: str = ""
    sluice: bool = False
    members: dict[str, str] = field(default_factory=dict)  # the address of each one's Prometheus, by its name


class Playground:
    """The testbed of one folder.

    Args:
        folder: where ``.testbed`` lies, normally the top of the checkout.
    """

    def __init__(self, folder: Path) -> None:
        self._home = folder.resolve() / ".testbed"
        self._state = self._home / "state.json"
        self._log = self._home / "log"

    def up(self, sluice: bool = True, members: int = 0) -> State:
        """Start it, unless it runs already, and wait until it is ready; says meanwhile what it is doing.

        Args:
            sluice: whether Sluice is installed and runs too, with the shop under a Rollout.
            members: how many clusters there are beside it.

        Raises:
            TestbedError: it ended before it was ready; the message carries the end of its log.
        """
        if state := self.running():
            return state
        self._home.mkdir(exist_ok=True)
        (self._home / ".gitignore").write_text("*\n")
        self._state.unlink(missing_ok=True)
        serving = [sys.executable, "-m", "testbed", "serve", "--sluice" if sluice else "--no-sluice"]
        serving += ["--members", str(members)]
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                netns.command([*serving, str(self._home)]),
                env=netns.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        told = _Tail(self._log)
        try:
            wait_for(
                lambda: told.passed_on() and (process.poll() is not None or self.running()),
                _START_SECONDS * (1 + members),
                f"the testbed to be ready (log: {self._log})",
            )
        except NotReadyError:
            process.kill()
            raise
        state = self.running()
        if state is None:
            raise TestbedError(f"The testbed ended before it was ready:\n{self._log.read_text()[-2000:]}")
        self._write_scripts(state)
        return state

    def running(self) -> State | None:
        """What runs now, or None."""
        try:
            state = State(**json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None
        return state if start_time(state.pid) == state.started else None

    def down(self) -> bool:
        """Stop it; returns whether it ran."""
        state = self.running()
        if state is None:
            return False
        kill_recorded(state.pid, state.started, signal.SIGTERM)
        wait_for(lambda: start_time(state.pid) != state.started, _STOP_SECONDS, f"process {state.pid} to end")
        self._state.unlink(missing_ok=True)
        return True

    def describe(self, state: State) -> str:
        """How to use it."""
        text = _ALL + (_SLUICE if state.sluice else "") + (_MEMBERS if state.members else "") + _END
        return string.Template(text).substitute(
            home=os.path.relpath(self._home),
            host=shop.HOST,
            envoy=state.envoy_address,
            prometheus=state.prometheus_url,
            pods=state.pods_address,
            kubeconfig=state.kubeconfig,
            count=len(state.members),
            members="\n".join(f"  {name}  {address}" for name, address in state.members.items()),
        )

    def _write_scripts(self, state: State) -> None:
        enter = [
            "nsenter",
            "--target",
            str(state.pid),
            *(["--user", "--preserve-credentials"] if os.geteuid() else []),
            "--net",
        ]
        tools = f"{binary('kubectl').parent}:{Path(sys.executable).parent}"
        same = f'[ "$(sed "s/.*) //" /proc/{state.pid}/stat 2>/dev/null | cut -d" " -f20)" = {state.started} ]'
        gone = (
            "{ echo 'The testbed is not running: start it with `make testbed` (python -m testbed up).' >&2; exit 1; }"
        )
        start = f"#!/bin/sh\n{same} && [ -e /proc/{state.pid}/ns/net ] || {gone}\n"
        python, ours = shlex.quote(sys.executable), shlex.quote(netns.PACKAGE_PARENT)
        settings = f'KUBECONFIG={shlex.quote(state.kubeconfig)} PATH={shlex.quote(tools)}:"$PATH" PYTHONPATH={ours}'
        inside = f"exec {shlex.join(enter)} -- env {settings}"
        shell = f'{start}[ $# -gt 0 ] || set -- "${{SHELL:-/bin/sh}}"\n{inside} "$@"\n'
        scripts = {
            "shell": shell,
            "kubectl": f'{start}{inside} kubectl "$@"\n',
            "requests": f"{start}{inside} {python} -m testbed requests {shop.HOST} {state.envoy_address}\n",
            "sluice": f'{start}{inside} {python} -m sluice "$@"\n',
        }
        if not state.sluice:
            del scripts["sluice"]
            (self._home / "sluice").unlink(missing_ok=True)
        for name, text in scripts.items():
            path = self._home / name
            path.write_text(text)
            path.chmod(0o755)


class _Tail:
    """Passes on what a log grew by."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._told = 0

    def passed_on(self) -> bool:
        """Print what is new, in whole lines; True."""
        text = self._log.read_text(errors="replace")
        whole = text.rfind("\n") + 1
        print(text[self._told : whole], end="", flush=True)
        self._told = whole
        return True


def serve(home: Path, sluice: bool, members: int) -> None:
    """Be the background process: start everything, write the state, wait for SIGTERM, end everything."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    print("Starting a Kubernetes, an Envoy and a Prometheus ...", flush=True)
    with Testbed(1 + members, member_data_planes=True, users=shop.USERS) as testbed:
        plane = testbed.data_plane
        if sluice:
            print("Installing Sluice from manifests/base, and starting it as its ServiceAccount ...", flush=True)
            shop.start_sluice(testbed)
        print("Opening the shop ...", flush=True)
        shop.open_shop(testbed.hub, plane, _BLUE, _GREEN)
        if sluice:
            shop.hand_over(testbed.hub, _STEPS, _BLUE)
        told = branches.open_branches(testbed, home)
        pid = os.getpid()
        state = State(
            pid,
            start_time(pid) or "",
            str(testbed.hub.kubeconfig),
            plane.envoy_address,
            plane.prometheus_url,
            plane.pods.address,
            sluice,
            told,
        )
        partial = home / "state.json.partial"
        partial.write_text(json.dumps(asdict(state)))
        partial.rename(home / "state.json")
        ended.wait()
