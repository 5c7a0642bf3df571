"""The AuditReceiver port: what was sent is kept when `send` returns; what can't be taken is told, and sent again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.audit.receivers import KINDS, Place, place_of, serving
from contract.audit.test_archive import chain
from sluice.adapters.audit.cloudevents import HttpReceiver
from sluice.adapters.audit.lines import FileReceiver
from sluice.api.common import ObjectRef
from sluice.api.rollout import AuditEntry
from sluice.decide.audit import chain_hash
from sluice.decide.exported import Event, event_of
from sluice.errors import InvalidSpec, Rejected, Unavailable

CHECKOUT = ObjectRef(namespace="shop", name="checkout", uid="0d0f6a32")


def events(count: int = 3, cluster: str = "") -> list[Event]:
    """Those of a chain."""
    return [event_of(CHECKOUT, cluster, entry) for entry in chain(count).entries]


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Each receiver."""
    async with place_of(request.param, tmp_path) as made:
        yield made


async def test_what_is_sent_is_kept(place: Place) -> None:
    """In order, and whole: whoever keeps it can check the chain."""
    for event in events():
        await place.receiver.send([event])
    assert place.kept() == events()
    before = ""
    for kept in place.kept():
        entry = AuditEntry.model_validate(kept["data"]["entry"])
        assert (entry.hash, kept["id"]) == (chain_hash(before, entry), entry.hash)
        before = entry.hash


async def test_as_many_as_it_takes_at_once(place: Place) -> None:
    """In one call."""
    several = events(place.receiver.at_once)
    await place.receiver.send(several)
    assert place.kept() == several


async def test_an_event_that_comes_twice_is_known_by_its_id(place: Place) -> None:
    """It is the same event, with the same id; another one has another."""
    first, second, _ = events()
    for event in (first, second, first):
        await place.receiver.send([event])
    kept = place.kept()
    assert kept[0] == kept[-1]
    assert len({event["id"] for event in kept}) == 2


async def test_what_cannot_be_taken_is_told(place: Place) -> None:
    """As a failure that passes: nothing is kept in part, and sent again it is kept."""
    place.be_there(False)
    with pytest.raises(Unavailable):
        await place.receiver.send(events(1))
    place.be_there(True)
    await place.receiver.send(events(1))
    assert place.kept() == events(1)


# ------------------------------------------------------------------------------------------ files


async def test_half_a_line_spoils_no_other(tmp_path: Path) -> None:
    """As a crash or a full disk leaves it: what comes after stands on a line of its own."""
    file = tmp_path / "audit.jsonl"
    file.write_text('{"specversion":"1.0","id":"half')
    await FileReceiver(file).send(events(2))
    half, *whole = file.read_text().splitlines()
    assert half.endswith("half")
    assert [json.loads(line) for line in whole] == events(2)


async def test_a_file_may_be_rotated(tmp_path: Path) -> None:
    """Moved away between two events: the next one is in a new file."""
    file = tmp_path / "audit.jsonl"
    receiver = FileReceiver(file)
    for event in events(2):
        await receiver.send([event])
        file.rename(tmp_path / f"{event['data']['entry']['seq']}.jsonl")
    assert [json.loads((tmp_path / f"{number}.jsonl").read_text()) for number in (1, 2)] == events(2)


def test_a_file_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    """With its name and the reason."""
    with pytest.raises(Unavailable, match=r"nowhere/audit\.jsonl can't be written: No such file or directory"):
        FileReceiver(tmp_path / "nowhere" / "audit.jsonl").check()


# ------------------------------------------------------------------------------------------ HTTP


async def test_a_token_goes_along_and_is_never_told(tmp_path: Path) -> None:
    """It is read for each request, so that it may be replaced; a file without one sends nothing."""
    token = tmp_path / "token"
    async with serving() as keeper:
        receiver = HttpReceiver(keeper.url, "structured", token)
        for text in ("s3cret\n", "n3xt"):
            token.write_text(text)
            await receiver.send(events(1))
        assert [headers["Authorization"] for headers in keeper.seen] == ["Bearer s3cret", "Bearer n3xt"]
        for bad in ("", "two words", "line\nbreak"):
            token.write_text(bad)
            with pytest.raises(Unavailable, match="holds no bearer token"):
                await receiver.send(events(1))
        token.unlink()
        with pytest.raises(Unavailable, match="can't be read"):
            await receiver.send(events(1))
        token.write_text("s3cret")
        keeper.status, keeper.body = 401, b"Bearer s3cret is not known"
        with pytest.raises(Unavailable) as told:
            await receiver.send(events(1))
        assert "s3cret" not in str(told.value)
        await receiver.close()


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 408, 429, 500, 503])
async def test_answers_after_which_it_is_sent_again(status: int) -> None:
    """The address, the credentials or the hour may be wrong: nothing is lost by that. No redirect is followed."""
    async with serving() as keeper:
        keeper.status, keeper.headers = status, {"Location": keeper.url}
        receiver = HttpReceiver(keeper.url, "structured")
        with pytest.raises(Unavailable, match=str(status)):
            await receiver.send(events(1))
        assert len(keeper.seen) == 1
        await receiver.close()


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_answers_about_the_event(status: int) -> None:
    """Sent again it would be refused again."""
    async with serving() as keeper:
        keeper.status = status
        receiver = HttpReceiver(keeper.url, "structured")
        with pytest.raises(Rejected, match=str(status)):
            await receiver.send(events(1))
        await receiver.close()


async def test_an_answer_without_end_is_not_read() -> None:
    """Of what is answered only the status counts."""
    async with serving() as keeper:
        keeper.body = b"x" * 1_000_000
        receiver = HttpReceiver(keeper.url, "batched")
        await receiver.send(events(2))
        await receiver.send(events(1))
        assert len(keeper.events) == 3
        await receiver.close()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a",
        "http://",
        "http://user:word@a",
        "http://a:0",
        "http://a:99999",
        "http://a/#b",
        "http://a b",
        "http://[a",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    """Told at the start."""
    with pytest.raises(InvalidSpec, match="without credentials"):
        HttpReceiver(url, "structured")


def test_a_members_event_names_the_member() -> None:
    """And the kind that it is about there."""
    [event] = events(1, cluster="berlin")
    assert event["source"] == "/clusters/berlin/apis/sluice.dev/v1alpha1/namespaces/shop/memberrollouts/checkout"
    assert event["data"]["rollout"]["cluster"] == "berlin"
