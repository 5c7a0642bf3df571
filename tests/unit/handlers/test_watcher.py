"""kopf's settings and login, and what happens when kopf ends."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kopf
import pytest

from sluice.adapters.kube.credentials import Credentials, load_credentials
from sluice.api.names import Kind
from sluice.handlers.storages import EndlessBackoffs, NoDiffBase, NoProgress
from sluice.handlers.watcher import KopfWatcher, WatcherSettings, operator_settings, session_of


def credentials(folder: Path, user: dict[str, Any]) -> Credentials:
    """Credentials of a kubeconfig whose server nobody listens at."""
    path = folder / "config"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return load_credentials(str(path))


def test_kopf_only_watches() -> None:
    """Nothing that writes, peers, scans or gives up."""
    settings = operator_settings(WatcherSettings())
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert settings.queueing.worker_limit is None
    assert isinstance(settings.persistence.diffbase_storage, NoDiffBase)
    assert isinstance(settings.persistence.progress_storage, NoProgress)


def test_retries_never_end() -> None:
    """Kopf would end the operator when its backoffs run out; each request has its own sequence of them."""
    backoffs = EndlessBackoffs()
    for _ in range(2):
        waits = list(itertools.islice(backoffs, 1000))
        assert waits[0] <= 0.5
        assert all(7.5 <= wait <= 15.0 for wait in waits[5:])


def watcher_of(known: Credentials) -> KopfWatcher:
    """A watcher that nobody listens to."""
    return KopfWatcher(WatcherSettings(), known, {Kind.ROLLOUT}, lambda *_: None, lambda _: None)


async def test_login_with_a_token(tmp_path: Path) -> None:
    """The same server and token as all our other requests."""
    made = await session_of(credentials(tmp_path, {"token": "abc"}))
    assert made.server == "http://127.0.0.1:9"
    assert made.aiohttp_session.headers["Authorization"] == "Bearer abc"
    await made.aiohttp_session.close()


async def test_a_later_login_reads_anew(tmp_path: Path) -> None:
    """After a 401 the token file is read again, however recent the last reading."""
    token = tmp_path / "token"
    token.write_text("one")
    known = credentials(tmp_path, {"tokenFile": str(token)})
    known._loaded_at -= 60.0
    watcher = watcher_of(known)
    token.write_text("two")
    first, second = await watcher._log_in(), await watcher._log_in()
    assert first.aiohttp_session.headers["Authorization"] == "Bearer one"
    assert second.aiohttp_session.headers["Authorization"] == "Bearer two"
    for made in (first, second):
        await made.aiohttp_session.close()


async def test_secrets_are_never_watched(tmp_path: Path) -> None:
    """Whoever asks for it."""
    kinds = {Kind.SECRET, Kind.EVENT, Kind.ROLLOUT}
    watcher = KopfWatcher(
        WatcherSettings(), credentials(tmp_path, {"token": "a"}), kinds, lambda *_: None, lambda _: None
    )
    assert watcher.kinds == {Kind.ROLLOUT}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, for up to a quarter of a minute."""
    async with asyncio.timeout(15.0):
        while not condition():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("error", [RuntimeError("a watch broke"), kopf.LoginError("no credentials"), None])
async def test_an_end_that_nobody_asked_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """When kopf fails, or just returns, the owner hears of it in its own loop, and the thread is over."""

    async def operator(**_: Any) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(kopf, "operator", operator)
    died: list[str] = []
    watcher = KopfWatcher(
        WatcherSettings(), credentials(tmp_path, {"token": "a"}), {Kind.ROLLOUT}, lambda *_: None, died.append
    )
    watcher.start()
    await until(lambda: bool(died))
    assert str(error or "without being told to") in died[0]
    await watcher.stop()
    assert not watcher.is_alive


async def test_it_outlives_a_server_that_is_away(tmp_path: Path) -> None:
    """While nobody answers, kopf goes on trying; it ends when it is told to."""
    died: list[str] = []
    watcher = KopfWatcher(
        WatcherSettings(), credentials(tmp_path, {"token": "a"}), {Kind.ROLLOUT}, lambda *_: None, died.append
    )
    watcher.start()
    await until(lambda: watcher.is_ready and watcher.is_alive)
    await watcher.stop(timeout_seconds=15.0)
    assert not watcher.is_alive
    assert died == []
