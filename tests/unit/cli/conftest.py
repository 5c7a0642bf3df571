"""The command line over a cluster in memory, in virtual time."""

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sluice.api.names import Kind
from sluice.cli.main import cli
from sluice.cli.mirror import Feed, Mirror
from sluice.cli.session import Access, Environment, Session
from sluice.errors import NotFound, SluiceError
from sluice.ports import Obj
from sluice.sim.clock import START, VirtualClock, run
from sluice.sim.cluster import FakeCluster
from sluice.sim.store import Change, EventType

GOLDEN = Path(__file__).parent / "golden"


class FakeFeed:
    """A watch of the FakeCluster."""

    def __init__(self, cluster: FakeCluster, kind: Kind, namespace: str, name: str, mirror: Mirror) -> None:
        self.problem = ""
        self._cluster = cluster
        self._kind = kind
        self._where = (namespace, name)
        self._mirror = mirror

    async def run(self) -> None:
        """Feed until cancelled."""
        subscription = self._cluster.subscribe(self._kind, self._tell)
        try:
            await asyncio.Event().wait()
        finally:
            subscription.close()

    def _tell(self, event: EventType, obj: Obj) -> None:
        namespace, name = self._where
        metadata = obj["metadata"]
        if namespace in {"", metadata.get("namespace", "")} and name in {"", metadata["name"]}:
            self._mirror.on_event(event, obj)


@dataclass
class FakeSession:
    """A Session over a FakeCluster."""

    cluster: FakeCluster
    clock: VirtualClock
    namespace: str = "shop"
    server: str = "https://127.0.0.1:6443"
    authorities: str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    paths: dict[str, Obj] = field(default_factory=dict)

    def feed(self, kind: Kind, namespace: str, name: str, mirror: Mirror) -> Feed:
        """Watch."""
        return FakeFeed(self.cluster, kind, namespace, name, mirror)

    async def read(self, path: str) -> Obj:
        """Answer what was put in `paths`."""
        if path not in self.paths:
            raise NotFound(f"{path} not found")
        return self.paths[path]


@dataclass
class Shell:
    """Runs command lines against a cluster in memory.

    Attributes:
        plot: called in the loop before each command; it may schedule what happens meanwhile.
        unreachable: raised instead of connecting.
        others: further clusters, by the kubeconfig that names them.
    """

    cluster: FakeCluster
    session: FakeSession
    plot: Callable[[asyncio.AbstractEventLoop], None] = lambda loop: None
    unreachable: SluiceError | None = None
    asked: Access | None = None
    others: dict[str, FakeSession] = field(default_factory=dict)

    def __call__(self, line: str, *more: str, color: bool = False, env: dict[str, str] | None = None) -> Result:
        """Run a command line; `more` are arguments that hold blanks."""
        environment = Environment(self._connect, run)
        result = CliRunner().invoke(
            cli, [*line.split(), *more], obj=environment, color=color, env=env, prog_name="sluice"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def add(self, kind: Kind, body: Obj) -> Obj:
        """Store an object."""
        return self.cluster.seed(kind, body)

    @asynccontextmanager
    async def _connect(self, access: Access) -> AsyncIterator[Session]:
        self.asked = access
        if self.unreachable is not None:
            raise self.unreachable
        if access.namespace:
            self.session.namespace = access.namespace
        self.plot(asyncio.get_running_loop())
        yield self.others.get(access.kubeconfig or "", self.session)


@pytest.fixture
def shell() -> Shell:
    """An empty cluster with the namespaces shop and bank."""
    clock = VirtualClock()
    cluster = FakeCluster(clock, namespaces=("shop", "bank"))
    return Shell(cluster, FakeSession(cluster, clock))


def answer(shell: Shell, phase: str, message: str = "") -> None:
    """Let an operator answer every RolloutAction a little later."""

    def on_change(change: Change) -> None:
        if change.kind is Kind.ROLLOUT_ACTION and change.type == "ADDED":
            metadata = change.after["metadata"]
            body = {"status": {"phase": phase, "message": message}}
            merge = functools.partial(
                shell.cluster.store.merge,
                change.kind,
                metadata["namespace"],
                metadata["name"],
                body,
                subresource="status",
                manager="sluice",
            )
            asyncio.get_running_loop().call_later(0.3, merge)

    shell.cluster.on_change.append(on_change)


@pytest.fixture
def answering() -> Callable[..., None]:
    """Return `answer`."""
    return answer


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare with a file under golden/; SLUICE_GOLDEN=write in the environment writes it instead."""

    def compare(name: str, actual: str) -> None:
        path = GOLDEN / name
        if os.environ.get("SLUICE_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(actual, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == actual

    return compare


@pytest.fixture(autouse=True)
def no_terminal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's NO_COLOR and TERM change nothing."""
    for name in ("NO_COLOR", "TERM", "KUBECONFIG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def rollout_object(name: str = "checkout", namespace: str = "shop", **fields: Any) -> Obj:
    """A Rollout at step 3 of 6 of a run from blue to green, with a metric, a history and an audit trail."""
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}} | fields.pop("metadata", {}),
        "spec": {
            "workload": {
                "services": {"blue": f"{name}-blue", "green": f"{name}-green"},
                "active": "green",
                "version": "1.5.0",
            },
            "traffic": {"routes": [{"name": name}]},
            "strategy": {"canary": {"steps": [{"setWeight": 25}, {"pause": {}}]}},
        },
        "status": fields.pop("status", None) or status_under_way(name, namespace),
    }


def managed_object(name: str = "orders") -> Obj:
    """The same of a Rollout whose pods Sluice runs, in its first run; its RolloutRun is `run_object`."""
    obj = rollout_object(name)
    status = obj["status"]
    obj["spec"]["workload"] = {"template": {"spec": {"containers": [{"name": "app", "image": "app:1.5.0"}]}}}
    obj["spec"]["workload"]["replicas"] = 6
    status["stable"] |= {"number": 0}
    status["slots"] = {
        "blue": {"hash": status["stable"]["hash"], "replicas": 6, "pods": 6, "ready": 6, "repairs": 2},
        "green": {"hash": status["revision"]["hash"], "replicas": 2, "pods": 2, "ready": 1},
    }
    status["slots"]["green"]["restartedAt"] = stamp(-30)
    return obj


def completed_object(name: str = "orders") -> Obj:
    """The same once its first run is complete; its status has forgotten what blue, the old slot, is called."""
    obj = managed_object(name)
    status = obj["status"]
    status["stable"] = {key: status["revision"][key] for key in ("slot", "hash", "version", "number")}
    status["revision"] |= {"outcome": "Completed", "reason": "Completed"}
    status |= {"phase": "Healthy", "message": "green (1.5.0) serves", "weight": "100%", "history": []}
    status["slots"]["blue"]["idleSince"] = stamp(-120)
    status["conditions"], status["step"] = [], None
    return obj


def run_object(name: str = "orders") -> Obj:
    """The RolloutRun of `managed_object`."""
    stable, candidate = (rollout_object(name)["status"][key] for key in ("stable", "revision"))
    spec = {"rollout": name, "revision": 7, "hash": candidate["hash"], "version": "1.5.0"}
    spec |= {"stableHash": stable["hash"], "stableVersion": "1.4.0"}
    return {"metadata": {"name": f"{name}-7", "namespace": "shop"}, "spec": spec}


def stamp(seconds: float) -> str:
    """A time so many seconds from the start."""
    return (START + timedelta(seconds=seconds)).isoformat()


def status_under_way(name: str, namespace: str) -> dict[str, Any]:
    """The status of `rollout_object`."""
    waits = f"waits for a person: sluice promote {name} -n {namespace}"
    return {
        "observedGeneration": 1,
        "phase": "Paused",
        "message": f"step 3 of 6, green at 25%: {waits}",
        "stable": {"slot": "blue", "hash": "0a1b2c3d4e5f60718293", "version": "1.4.0", "number": 6},
        "revision": {
            "number": 7,
            "hash": "f0e1d2c3b4a596877869",
            "slot": "green",
            "version": "1.5.0",
            "startedAt": stamp(-900),
        },
        "run": f"{name}-7",
        "step": {"index": 3, "of": 6, "kind": "pause", "startedAt": stamp(-252)},
        "weight": "25%",
        "confirmation": "Accepted",
        "metrics": [
            {
                "name": "error-ratio",
                "scope": "background",
                "phase": "Passing",
                "value": 0.0021,
                "baseline": 0.0018,
                "threshold": "<= 0.01, at most 2 x baseline",
                "passes": 28,
                "failures": 0,
                "measuredAt": stamp(-12),
                "firstAt": stamp(-880),
            }
        ],
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "observedGeneration": 1,
                "lastTransitionTime": stamp(-252),
            }
            for kind, status, reason, message in (
                ("Ready", "True", "StableServes", f"step 3 of 6, green at 25%: {waits}"),
                ("Paused", "True", "AwaitsPromotion", waits),
                ("TrafficConfirmed", "True", "Confirmed", "Accepted: read back, and accepted by every controller"),
            )
        ],
        "history": [
            {
                "number": 6,
                "hash": "0a1b2c3d4e5f60718293",
                "version": "1.4.0",
                "fromSlot": "green",
                "toSlot": "blue",
                "outcome": "Completed",
                "reason": "Completed",
                "message": "revision 6 (1.4.0) serves from blue",
                "endedAt": stamp(-90_000),
            }
        ],
        "audit": {
            "seq": 41,
            "head": "00",
            "entries": [
                {
                    "seq": 40,
                    "id": "x",
                    "stage": "Intended",
                    "action": "step-2",
                    "actor": "sluice",
                    "reason": "WeightChanged",
                    "message": "green to 25%",
                    "at": stamp(-253),
                    "hash": "00",
                },
                {
                    "seq": 41,
                    "id": "y",
                    "stage": "Observed",
                    "action": "step-2",
                    "actor": "sluice",
                    "reason": "Confirmed",
                    "message": "green at 25%: Accepted",
                    "at": stamp(-252),
                    "hash": "00",
                },
            ],
        },
    }


@pytest.fixture
def rollout() -> Callable[..., Obj]:
    """Return `rollout_object`."""
    return rollout_object


@pytest.fixture
def orders(shell: Shell) -> Shell:
    """A cluster with a Rollout whose pods Sluice runs, in mid-run, and its RolloutRun."""
    shell.add(Kind.ROLLOUT, managed_object())
    shell.add(Kind.ROLLOUT_RUN, run_object())
    return shell


@pytest.fixture
def completed(shell: Shell) -> Shell:
    """The same once the run is complete."""
    shell.add(Kind.ROLLOUT, completed_object())
    shell.add(Kind.ROLLOUT_RUN, run_object())
    return shell


def switch_object(name: str = "stop", namespace: str = "shop", **spec: Any) -> Obj:
    """An engaged kill switch; cluster-scoped where the namespace is empty."""
    return {
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {"engaged": True, "reason": "5xx on checkout", "engagedBy": "alice", "effect": "Divert"} | spec,
        "status": {
            "observedGeneration": 1,
            "state": "Engaged",
            "message": "Divert of 2 Rollouts by alice: 5xx on checkout",
            "affected": {"rollouts": 2, "routes": 2},
            "diverted": {"routes": 2, "pending": 0},
            "engagedAt": stamp(-75),
        },
    }


@pytest.fixture
def switch() -> Callable[..., Obj]:
    """Return `switch_object`."""
    return switch_object
