"""Member clusters beside the world's hub: API servers of their own, over the one etcd."""

from __future__ import annotations

import base64
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from e2e.support.waiting import until
from e2e.support.world import Done, World
from testbed import Cluster

PATH = "/apis/sluice.dev/v1alpha1/memberclusters"
_TOKENS = "serviceaccount-token"  # the one controller that a member needs here
Json = dict[str, Any]


class Fleet:
    """Member clusters, and the hub's word on them.

    Args:
        world: with the hub.
        members: API servers that are up.
    """

    def __init__(self, world: World, members: list[Cluster]) -> None:
        self.world = world
        self.members = members

    @property
    def hub(self) -> Cluster:
        """Where the MemberClusters are."""
        return self.world.hub

    def clusters(self, verb: str, *arguments: object, kubeconfig: Path | None = None) -> Done:
        """Run `sluice clusters` as the hub's administrator, or by another kubeconfig of the hub's."""
        command = [sys.executable, "-m", "sluice", "clusters", verb, *map(str, arguments)]
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or self.hub.kubeconfig),
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    def add(self, member: Cluster, *arguments: object) -> Done:
        """`sluice clusters add`, which waits until the member is ready."""
        done = self.clusters("add", member.name, "--kubeconfig", member.kubeconfig, "--timeout", 60, *arguments)
        assert done.code == 0, done
        return done

    def get(self, name: str) -> Json:
        """The MemberCluster."""
        found: Json = self.hub.get(f"{PATH}/{name}")
        return found

    def told(self, name: str) -> dict[str, str]:
        """Its conditions: status and reason by type."""
        conditions = self.get(name).get("status", {}).get("conditions", [])
        return {each["type"]: f"{each['status']} {each['reason']}" for each in conditions}

    def message(self, name: str, kind: str = "Ready") -> str:
        """The words of a condition."""
        conditions = self.get(name)["status"]["conditions"]
        return str(next(each["message"] for each in conditions if each["type"] == kind))

    def wait(self, name: str, kind: str, told: str) -> None:
        """Wait until a condition is told, such as `False NoAnswer`."""
        until(lambda: self.told(name).get(kind) == told, f"{kind} of {name} to be {told}")

    def wait_ready(self, name: str) -> None:
        """Wait until a member is ready."""
        self.wait(name, "Ready", "True MemberReady")

    def probes(self) -> int:
        """How many probes a replica that runs made."""
        return sum(map(int, re.findall(r"sluice_member_probes_total\S* (\d+)", self.world.replica().http("/metrics"))))

    def wait_probes(self, more: int) -> None:
        """Wait until it made so many more."""
        before = self.probes()
        until(lambda: self.probes() >= before + more, f"{more} more probes")

    def put_secret(self, name: str, kubeconfig: str) -> None:
        """Write the Secret of a member by hand, with its label."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"member-{name}", "labels": {"sluice.dev/member-cluster": name}},
            "data": {"kubeconfig": base64.b64encode(kubeconfig.encode()).decode()},
        }
        path = f"/api/v1/namespaces/sluice-system/secrets/member-{name}?fieldManager=tests&force=true"
        self.hub.client.checked("PATCH", path, body, "application/apply-patch+yaml")

    def secret(self, name: str) -> str:
        """The kubeconfig in the Secret of a member."""
        data = self.hub.get(f"/api/v1/namespaces/sluice-system/secrets/member-{name}")["data"]
        return base64.b64decode(data["kubeconfig"]).decode()

    def token(self, name: str) -> str:
        """The token in the Secret of a member."""
        return str(yaml.safe_load(self.secret(name))["users"][0]["user"]["token"])

    def register_by_hand(self, name: str, kubeconfig: str) -> None:
        """A Secret and a MemberCluster."""
        self.put_secret(name, kubeconfig)
        spec = {"kubeconfigSecretRef": {"name": f"member-{name}"}}
        body = {"apiVersion": "sluice.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": name}, "spec": spec}
        self.hub.client.checked("POST", PATH, body)

    def forget(self, *names: str) -> None:
        """Take MemberClusters and their Secrets out of the hub, where they are there."""
        for name in names:
            self.hub.request("DELETE", f"{PATH}/{name}")
            self.hub.request("DELETE", f"/api/v1/namespaces/sluice-system/secrets/member-{name}")


@contextmanager
def fleet(world: World, count: int = 2) -> Iterator[Fleet]:
    """Start members, and end them."""
    with ThreadPoolExecutor() as pool:
        names = [f"member-{number}" for number in range(1, count + 1)]
        members = list(pool.map(lambda name: Cluster.start(name, controllers=_TOKENS), names))
    made = Fleet(world, members)
    try:
        yield made
    finally:
        made.forget(*names)
        for member in members:
            member.stop()
            member.client.close()


@contextmanager
def rubbish_server(like: Cluster, body: bytes) -> Iterator[str]:
    """Something that is no API server, with the certificate of one: it answers all with one body. Gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - as the base class calls it
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up on too long an answer is what the test is about."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(like.folder / "apiserver.crt", like.folder / "apiserver.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
