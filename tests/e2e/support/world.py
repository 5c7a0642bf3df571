"""The world that end-to-end tests share: one hub with traffic, Sluice as manifests/base installs it, two replicas.

Tests keep apart by name: each makes apps in namespaces and on hosts of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from e2e.support.app import App
from e2e.support.waiting import until
from e2e.support.workload import Workload
from installation import PROBERS, Operator, install, share_all
from testbed import Cluster, DataPlane, Testbed
from testbed.processes import session

RELEASER = "rita"  # may read, use every verb on Rollouts, engage and release switches, everywhere
PLANNER = "pia"  # may the same, and read what plans need
APPROVERS = ("anna", "ben")  # of the group APPROVING; they may approve, reject and read, everywhere
STRANGER = "sam"  # may the same, and is of no group
APPROVING = "release-managers"
_ROLES = ("view", "sluice-viewer", "sluice-editor", "sluice-operator-verbs", "sluice-releaser")
LONE_LEASE_SECONDS = 3
_READY_SECONDS = 120
MEMBER_PROBE_SECONDS = 0.5
_numbers = itertools.count(1)
_WARNED = re.compile(r'"level": "(WARNING|ERROR|CRITICAL)"')
T = TypeVar("T", bound=App)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class World:
    """A hub with a data plane, and the replicas of the operator.

    Attributes:
        testbed: the clusters.
        operators: every replica, as its ServiceAccount; which of them acts on what may change.
        kubeconfig: of the user RELEASER.
        others: operators that a test ran in place of these.
    """

    testbed: Testbed
    operators: tuple[Operator, ...]
    kubeconfig: Path
    others: list[Operator] = field(default_factory=list)

    @property
    def hub(self) -> Cluster:
        """The one cluster."""
        return self.testbed.hub

    @property
    def data_plane(self) -> DataPlane:
        """The hub's."""
        return self.testbed.data_plane

    def settle(self) -> None:
        """Wait until the replicas share all that there is to do."""
        until(lambda: share_all(self.operators), "the replicas to share all shards")

    def replica(self) -> Operator:
        """One of those that run."""
        return next(one for one in self.operators if one.running())

    def app(self, name: str = "checkout") -> App:
        """An app nobody else knows: ``name`` in a namespace and on a host of its own. Call :meth:`App.deploy` next."""
        return self._new(App, name)

    def workload(self, name: str = "checkout") -> Workload:
        """Likewise an app whose pods Sluice runs. Call :meth:`Workload.open` next."""
        return self._new(Workload, name)

    def _new(self, kind: type[T], name: str) -> T:
        number = next(_numbers)
        return kind(self.hub, self.data_plane, namespace=f"e2e-{number}", name=name, host=f"{name}-{number}.example")

    def sluice(self, *arguments: str, user: str = RELEASER, kubeconfig: Path | None = None) -> Done:
        """Run the command line tool as a user, or with a kubeconfig, which is appended; return how it ended."""
        if kubeconfig is None:
            kubeconfig = self.kubeconfig if user == RELEASER else kubeconfig_of(self.hub, user)
        command = [sys.executable, "-m", "sluice", *arguments, "--kubeconfig", str(kubeconfig)]
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def lone_operator(self, *, server: str = "") -> Iterator[Operator]:
        """One replica in place of all others, not yet started; it keeps its name over restarts, as a pod does.

        Args:
            server: where it finds the API; see :class:`testbed.FaultyApi`.
        """
        arguments = ["--lease-seconds", str(LONE_LEASE_SECONDS), "--identity", "the-only-one"]
        name = f"lone-{next(_numbers)}"
        alone = Operator(self.hub, self.data_plane.prometheus_url, arguments, name, server=server)
        with self.relieved(alone):
            yield alone

    @contextmanager
    def relieved(self, *stand_ins: Operator) -> Iterator[None]:
        """The world's own replicas are stopped, and these are in their place, started by whoever wants them."""
        for operator in self.operators:
            operator.stop()
        self.others.extend(stand_ins)
        try:
            yield
        finally:
            for operator in stand_ins:
                operator.stop()
            for operator in self.operators:
                operator.start(ready=False)
            for operator in self.operators:
                self.hub.wait(operator.ready, _READY_SECONDS, f"{operator.name} to be ready")
            self.settle()

    def log_about(self, app: App, lines: int = 25) -> str:
        """The end of what the replicas logged about an app, and of what they warned of that is about no app."""
        told = [
            (_time_of(line), f"{operator.name}: {line}")
            for operator in (*self.operators, *self.others)
            for line in operator.log.splitlines()
        ]
        about = [line for line in told if f"{app.namespace}/" in line[1]]
        warned = [line for line in told if _WARNED.search(line[1]) and '"rollout"' not in line[1]]
        return "\n".join(line for _, line in sorted({*about[-lines:], *warned[-lines:]}))


def _time_of(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return str(entry.get("time", ""))


@contextmanager
def world(replicas: int = 2) -> Iterator[World]:
    """Start all of it, and end all of it."""
    users: dict[str, list[str]] = {name: [] for name in (*PROBERS, RELEASER, PLANNER, STRANGER)}
    users |= {name: [APPROVING] for name in APPROVERS}
    with Testbed(clusters=1, data_plane=True, users=users) as testbed:
        hub = testbed.hub
        install(hub)
        approvers = [_binding("sluice-approver", name) for name in (*APPROVERS, STRANGER, RELEASER)]
        planners = [_binding(role, PLANNER) for role in (*_ROLES, "sluice-planner")]
        hub.apply(yaml.safe_dump_all([*(_binding(role) for role in _ROLES), *planners, *approvers]))
        kubeconfig = kubeconfig_of(hub, RELEASER)
        prometheus = testbed.data_plane.prometheus_url
        often = ["--member-probe-seconds", str(MEMBER_PROBE_SECONDS)]
        operators = tuple(Operator(hub, prometheus, often, name=f"operator-{number}") for number in range(replicas))
        for operator in operators:
            operator.start(ready=False)
        for operator in operators:
            hub.wait(operator.ready, 120, f"{operator.name} to be ready")
        yield World(testbed, operators, kubeconfig)
        for operator in operators:
            operator.stop()
        hub.client.close()


def kubeconfig_of(hub: Cluster, user: str) -> Path:
    """A kubeconfig by which a user speaks to the hub."""
    return hub.kubeconfig_for_token(hub.user_token(user), session().folder / f"{user}.kubeconfig")


def _binding(role: str, user: str = RELEASER) -> dict[str, object]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{user}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": user}],
    }
