"""`--watch`, to a pipe and to a terminal."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from sluice.api.names import Kind

Make = Callable[..., dict[str, Any]]


def status(shell: Any, **fields: Any) -> Callable[[], None]:
    """A change of checkout's status, as the operator writes it."""

    def change() -> None:
        body = {"status": fields}
        shell.cluster.store.merge(Kind.ROLLOUT, "shop", "checkout", body, subresource="status", manager="sluice")

    return change


def delete(shell: Any) -> Callable[[], None]:
    """Deletion of checkout."""
    return lambda: shell.cluster.store.delete(Kind.ROLLOUT, "shop", "checkout", uid=None, manager="kubectl")


def interrupt() -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt


@pytest.fixture
def story(shell: Any, rollout: Make) -> Any:
    """Checkout pauses at 25 %, goes to 50 %, and is deleted; then the person has seen enough."""
    shell.add(Kind.ROLLOUT, rollout())

    def plot(loop: Any) -> None:
        loop.call_later(5, status(shell, phase="Progressing", weight="50%", message="step 4 of 6"))
        loop.call_later(7, status(shell, confirmation="Written"))  # nothing that a line shows
        loop.call_later(60, delete(shell))
        loop.call_later(70, interrupt)

    shell.plot = plot
    return shell


def test_get_prints_a_line_per_change(story: Any) -> None:
    """A header once, a line when something but the clock changed, and a line for what is gone."""
    result = story("get --watch")
    assert [line.split()[:4] for line in result.stdout.splitlines()] == [
        ["NAME", "PHASE", "STEP", "WEIGHT"],
        ["checkout", "Paused", "3/6", "pause"],
        ["checkout", "Progressing", "3/6", "pause"],
        ["shop/checkout", "deleted"],
    ]
    assert result.exit_code == 130


def test_get_gives_a_document_per_change(story: Any) -> None:
    """A stream of JSON objects, one for each version of each object."""
    decoder, text, weights = json.JSONDecoder(), story("get --watch -o json").stdout, []
    while text.strip():
        obj, end = decoder.raw_decode(text.lstrip())
        text = text.lstrip()[end:]
        weights.append(obj["status"]["weight"])
    assert weights == ["25%", "50%", "50%"]


def test_status_prints_a_line_per_change(story: Any) -> None:
    """And ends with 3 when the Rollout is deleted."""
    result = story("status checkout --watch")
    assert result.stdout.splitlines() == [
        "shop/checkout   Paused   revision 7   step 3/6 pause   weight 25%   "
        "step 3 of 6, green at 25%: waits for a person: sluice promote checkout -n shop",
        "shop/checkout   Progressing   revision 7   step 3/6 pause   weight 50%   step 4 of 6",
    ]
    assert result.exit_code == 3
    assert result.stderr == "Error: Rollout shop/checkout was deleted\n"


def test_watching_a_name_that_is_not_there_exits_at_once(shell: Any) -> None:
    """A mistyped name is not waited for."""
    assert shell("status checkout --watch").exit_code == 3


def test_a_broken_watch_is_told_once(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown may be old: stderr says so when it begins, not at every look."""
    make = story.session.feed

    def broken(*args: Any) -> Any:
        feed = make(*args)
        feed.problem = "no answer from the API server"
        return feed

    monkeypatch.setattr(story.session, "feed", broken)
    told = story("status checkout --watch").stderr
    assert told.count("what is shown may be old: no answer from the API server") == 1


def test_a_terminal_is_redrawn(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the page stays in place and its clock moves."""
    pictures: list[str] = []

    class Screen:
        """Takes the place of rich's Live."""

        def __init__(self, first: Any, **_: Any) -> None:
            pictures.append(first.plain)

        def __enter__(self) -> "Screen":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, picture: Any, *, refresh: bool) -> None:
            assert refresh
            pictures.append(picture.plain)

    monkeypatch.setattr("rich.live.Live", Screen)
    monkeypatch.setattr("sluice.cli.watch.on_terminal", lambda: True)
    result = story("status checkout --watch")
    assert result.exit_code == 3
    assert len(pictures) > 50
    assert "12s" in pictures[0]
    assert any("weight 50%" in picture for picture in pictures)


def test_watching_keeps_the_name_of_what_served_before(orders: Any) -> None:
    """While one looks, the first run completes, and its RolloutRun goes: the old slot's version is still known."""
    orders.cluster.store.delete(Kind.ROLLOUT_RUN, "shop", "orders-7", uid=None, manager="sluice")
    stored = orders.cluster.store.get(Kind.ROLLOUT, "shop", "orders")["status"]
    done = {"stable": stored["revision"], "revision": {"outcome": "Completed"}, "history": []}

    def complete() -> None:
        orders.cluster.store.merge(
            Kind.ROLLOUT, "shop", "orders", {"status": done}, subresource="status", manager="sluice"
        )

    def plot(loop: Any) -> None:
        loop.call_later(5, complete)
        loop.call_later(10, interrupt)

    orders.plot = plot
    pages = orders("status orders -o yaml --watch").stdout.split("---\n")
    slots = [{slot["slot"]: slot for slot in yaml.safe_load(page)["slots"]} for page in pages if page]
    assert [(page["blue"]["role"], page["blue"]["version"]) for page in slots] == [
        ("stable", "1.4.0"),
        ("old", "1.4.0"),
    ]
