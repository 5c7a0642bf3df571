"""Credentials: where they come from, and how they stay good."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sluice.adapters.kube.credentials import REFRESH_SECONDS, NoCredentials, _kubeconfig_source, load_credentials
from sluice.adapters.kube.credentials import Credentials as Loaded


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Now."""
        return self.seconds


def kubeconfig(folder: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    """A kubeconfig of one user."""
    path = folder / "config"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(content))
    return path


def loaded(path: Path, clock: Clock) -> Loaded:
    """Credentials under a clock of the test's."""
    return Loaded(_kubeconfig_source(str(path), None), monotonic=clock)


async def test_a_token(tmp_path: Path) -> None:
    """A static token is sent as a bearer token, to the server without its slash."""
    credentials = load_credentials(str(kubeconfig(tmp_path, {"token": "abc"})))
    assert await credentials.authorization() == "Bearer abc"
    assert credentials.server == "http://127.0.0.1:1"


async def test_a_rotated_token_file_is_read_again(tmp_path: Path) -> None:
    """A token file is read again after a minute, and its line end is no part of the token."""
    (tmp_path / "token").write_text("one\n")
    clock = Clock()
    credentials = loaded(kubeconfig(tmp_path, {"tokenFile": str(tmp_path / "token")}), clock)
    (tmp_path / "token").write_text("two\n")
    assert await credentials.authorization() == "Bearer one"
    clock.seconds += REFRESH_SECONDS
    assert await credentials.authorization() == "Bearer two"


async def test_a_file_in_the_middle_of_its_replacement(tmp_path: Path) -> None:
    """While a token file is away, the last known token is used; the server is the one to refuse it."""
    (tmp_path / "token").write_text("one")
    clock = Clock()
    credentials = loaded(kubeconfig(tmp_path, {"tokenFile": str(tmp_path / "token")}), clock)
    (tmp_path / "token").unlink()
    clock.seconds += REFRESH_SECONDS
    assert await credentials.authorization() == "Bearer one"


async def test_a_plugin_runs_again_when_its_token_is_refused(tmp_path: Path) -> None:
    """An exec plugin is not run for nothing, but it is when the server answered 401, and not again right after."""
    runs = tmp_path / "runs"
    script = tmp_path / "plugin.py"
    script.write_text(
        "import json, pathlib\n"
        f"runs = pathlib.Path({str(runs)!r})\n"
        "count = int(runs.read_text()) + 1 if runs.exists() else 1\n"
        "runs.write_text(str(count))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': {'token': f'run-{count}'}}))\n"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(script)],
        "interactiveMode": "Never",
    }
    clock = Clock()
    credentials = loaded(kubeconfig(tmp_path, {"exec": plugin}), clock)
    clock.seconds += REFRESH_SECONDS
    assert await credentials.authorization() == "Bearer run-1"
    credentials.reject()
    assert await credentials.authorization() == "Bearer run-2"
    credentials.reject()
    assert await credentials.authorization() == "Bearer run-2"
    assert runs.read_text() == "2"


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "no such file|No configuration|Invalid"),
        ("{", "kubeconfig"),
        ('{"contexts": []}', "current-context|Expected"),
    ],
)
def test_a_kubeconfig_that_means_nothing(tmp_path: Path, content: str, message: str) -> None:
    """The message names the file."""
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(NoCredentials, match=message) as caught:
        load_credentials(str(path))
    assert str(path) in str(caught.value)


def test_no_kubeconfig_at_all(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(NoCredentials, match="Name one with --kubeconfig"):
        load_credentials(str(tmp_path / "nothing"))


def test_an_unknown_context(tmp_path: Path) -> None:
    """The message names the context."""
    with pytest.raises(NoCredentials, match="context other"):
        load_credentials(str(kubeconfig(tmp_path, {"token": "abc"})), "other")


def test_what_would_be_ignored_is_refused(tmp_path: Path) -> None:
    """A tls-server-name, which not every part of us could honour, is an error and not a surprise."""
    path = kubeconfig(tmp_path, {"token": "abc"}, {"server": "https://127.0.0.1:1", "tls-server-name": "api"})
    with pytest.raises(NoCredentials, match="tls-server-name"):
        load_credentials(str(path))


def test_certificates_are_verified(tmp_path: Path) -> None:
    """TLS verifies the server unless the kubeconfig says otherwise."""
    verified = load_credentials(str(kubeconfig(tmp_path, {"token": "a"}, {"server": "https://127.0.0.1:1"})))
    assert verified.tls is not None
    assert verified.tls.check_hostname
    insecure = {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}
    unverified = load_credentials(str(kubeconfig(tmp_path, {"token": "a"}, insecure)))
    assert unverified.tls is not None
    assert not unverified.tls.check_hostname
