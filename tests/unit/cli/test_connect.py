"""The real connection: kubeconfig, default namespace, and what is said when there is nobody."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from sluice.cli.main import cli

Make = Callable[..., dict[str, Any]]


class ApiServer(ThreadingHTTPServer):
    """Answers from a dict of paths; or, where it knows nobody, 401 to everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.knows_nobody = False


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer."""
        assert isinstance(self.server, ApiServer)
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        found = self.server.paths.get(path)
        status, said = (401, "Unauthorized") if self.server.knows_nobody else (404, "not found")
        body = json.dumps(found or {"kind": "Status", "message": said}).encode()
        self.send_response(200 if found else status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PATCH = do_GET  # noqa: N815 - as http.server calls them

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server on this machine."""
    with ApiServer() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> str:
    """A kubeconfig with two contexts: the current one for shop, and one for bank."""
    address = f"http://127.0.0.1:{server.server_address[1]}"
    contexts = [
        {"name": name, "context": {"cluster": "here", "user": "me", "namespace": name}} for name in ("shop", "bank")
    ]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "shop",
        "clusters": [{"name": "here", "cluster": {"server": address}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": contexts,
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def sluice(*arguments: str, kubeconfig: str) -> Result:
    """Run a command line with the real connection."""
    return CliRunner().invoke(cli, arguments, prog_name="sluice", env={"KUBECONFIG": kubeconfig})


def test_it_lists_what_the_server_has(server: ApiServer, kubeconfig: str, rollout: Make) -> None:
    """The namespace is the context's; nothing else has to be given."""
    server.paths["/apis/sluice.dev/v1alpha1/namespaces/shop/rollouts"] = {"items": [rollout()], "metadata": {}}
    result = sluice("get", "-o", "name", kubeconfig=kubeconfig)
    assert (result.exit_code, result.output) == (0, "rollout.sluice.dev/checkout\n")


@pytest.mark.parametrize(
    "arguments, namespace", [((), "shop"), (("--context", "bank"), "bank"), (("-n", "other"), "other")]
)
def test_the_namespace_that_is_meant(
    server: ApiServer, kubeconfig: str, arguments: tuple[str, ...], namespace: str
) -> None:
    """-n, or else the context's that was named, or else the current one's."""
    assert sluice("get", *arguments, kubeconfig=kubeconfig).exit_code == 3
    assert server.asked == [f"/apis/sluice.dev/v1alpha1/namespaces/{namespace}/rollouts"]


def test_version_asks_the_server(server: ApiServer, kubeconfig: str) -> None:
    """Where the resources are not installed, it says how to install them."""
    server.paths["/version"] = {"gitVersion": "v1.36.0"}
    result = sluice("version", kubeconfig=kubeconfig)
    assert "server v1.36.0 at http://127.0.0.1" in result.stdout
    assert "resources none" in result.stdout
    assert "Install Sluice's resources" in result.stderr


def test_a_server_that_is_away(server: ApiServer, kubeconfig: str) -> None:
    """One sentence, no traceback, exit code 1."""
    server.shutdown()
    server.server_close()
    result = sluice("get", kubeconfig=kubeconfig)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "Error: Cannot list Rollouts in shop: list rollouts in shop: no answer from the API server"
    )
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [None, "", "not: [yaml", "[]", "kind: Config\n"])
def test_a_kubeconfig_that_means_nothing(tmp_path: Path, content: str | None) -> None:
    """Missing, empty or broken: a sentence that names the file."""
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    result = sluice("get", kubeconfig=str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(path) in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_context_that_is_not_there(kubeconfig: str) -> None:
    """Its name is in the message."""
    result = sluice("get", "--context", "nowhere", kubeconfig=kubeconfig)
    assert result.exit_code == 1
    assert "nowhere" in result.stderr


@pytest.mark.parametrize(
    "line",
    ["get", "status checkout", "approve checkout", "abort checkout", "kill --reason 5xx", "release stop --reason over"],
)
def test_expired_credentials_are_told_as_such(server: ApiServer, kubeconfig: str, line: str) -> None:
    """Nobody at 3 a.m. looks for a missing right, where what is missing is a fresh token."""
    server.knows_nobody = True
    done = sluice(*line.split(), kubeconfig=kubeconfig)
    assert done.exit_code == 1
    assert "answered 401: Unauthorized. It does not accept the credentials: wrong, or expired." in done.stderr
    assert "Log in again, or use other credentials (--kubeconfig, --context), and try again" in done.stderr
    assert "It takes" not in done.stderr
