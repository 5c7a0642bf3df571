"""The adapter against servers that misbehave."""

import asyncio
import logging
import socket
import threading

import pytest

from contract.metrics.conftest import PATIENT_SECONDS, MakeProvider
from contract.metrics.fake_prometheus import (
    AUTHORITY,
    Behaviour,
    FakePrometheus,
    api_error,
    close,
    cut_short,
    drip,
    fake_prometheus,
    guarded,
    hang,
    held,
    in_turn,
    raw,
    reply,
    result,
    until,
    vector,
)
from contract.metrics.secrets import Secrets
from sluice.adapters.metrics import prometheus
from sluice.adapters.metrics.prometheus import THREADS_PER_ADDRESS, PrometheusProvider
from sluice.decide.model import Reading, ReadingKind

E, N, U = ReadingKind.ERROR, ReadingKind.NO_DATA, ReadingKind.INCONCLUSIVE
SECRET_WORD = "hunter2"
HISTOGRAM = {"metric": {}, "histogram": [1, {"count": "1"}]}


async def ask(provider: PrometheusProvider, query: str = "up", **options: str | None) -> Reading:
    """Ask for a Rollout in the namespace shop, the operator's own Prometheus."""
    arguments: dict[str, str | None] = {"address": None, "namespace": "shop", "secret": None} | options
    return await provider.query(query, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "behaviour, kind, told",
    [
        (result("vector", []), N, "the query returned no series"),
        (vector(warnings=["store is away"]), N, "the query returned no series"),
        (vector("NaN"), N, "the value is NaN"),
        (vector("+Inf"), U, "the value is inf"),
        (result("scalar", [1, "-Inf"]), U, "the value is -inf"),
        (vector("1", "2", "3"), U, "the query returned 3 series: aggregate it, for instance with sum()"),
        (vector("1", warnings=["store is\n away\x1b[31m"]), U, "may be partial, Prometheus warns: store is  away [31m"),
        (result("vector", [HISTOGRAM]), U, "histogram"),
        (result("matrix", []), E, "returns a matrix, not a number"),
        (result("string", [1, "x"]), E, "returns a string, not a number"),
        (api_error(400, "bad_data", "parse error at char 3"), E, "bad_data: parse error at char 3"),
        (api_error(422, "execution", "x" * 500), E, "execution: " + "x" * 120),
        (api_error(503, "timeout", "query timed out"), E, "timeout: query timed out"),
        (reply("nope", 500), E, "HTTP 500"),
        (reply("nope", 404), E, "HTTP 404"),
        (reply("nope", 401), E, "refuses the credentials (HTTP 401)"),
        (reply("nope", 403), E, "refuses the credentials (HTTP 403)"),
        (reply("", 302, "Location: http://169.254.169.254/"), E, "redirect, which is not followed"),
        (reply({"status": "success"}), E, "does not answer as Prometheus does"),
        (reply({"status": "success", "data": {"resultType": "vector", "result": [1]}}), E, "does not answer as"),
        (reply({"status": "success", "data": {"resultType": "vector", "result": [{"value": [1, 2]}]}}), E, "as Prom"),
        (result("vector", [{"value": [1, "one"]}]), E, "does not answer as Prometheus does"),
        (reply([1, 2]), E, "does not answer as Prometheus does"),
        (raw("HTTP/1.1 200 OK\nContent-Length: 9", b"<html>\xff\xfe>"), E, "does not answer as Prometheus does"),
        (raw("HTTP/1.1 200 OK\nContent-Length: 50000", b"[" * 50000), E, "does not answer as Prometheus does"),
        (raw("HTTP/1.1 200 OK\nContent-Length: 4\nContent-Encoding: gzip", b"abcd"), E, "compressed"),
        (raw("HTTP/1.1 200 OK\nContent-Length: 2000000", b"[" * 2_000_000), E, "larger than 1024 KiB"),
        (cut_short("HTTP/1.1 200 OK\nContent-Length: 500", b"{"), E, "the connection broke"),
        (raw("SSH-2.0-OpenSSH_9.9"), E, "the connection broke"),
        (close, E, "the connection broke"),
    ],
)  # fmt: skip
async def test_bad_answers(
    fake: FakePrometheus, make_provider: MakeProvider, behaviour: Behaviour, kind: ReadingKind, told: str
) -> None:
    """Each bad answer has its outcome and says what to do; an error names the address; no value slips through."""
    fake.behaviour = behaviour
    reading = await ask(make_provider())
    assert (reading.kind, reading.value) == (kind, None)
    assert told in reading.message
    assert (f"Prometheus at {fake.address}: " in reading.message) == (kind is E)
    assert len(reading.message) < 300


async def test_what_is_sent(fake: FakePrometheus, make_provider: MakeProvider) -> None:
    """The query goes as it is, below the address' path, without cookies or credentials."""
    reading = await ask(make_provider(f"{fake.address}/prometheus/"), 'sum(up{a="é&b"})')
    assert reading == Reading(ReadingKind.VALUE, 1.0)
    [request] = fake.asked
    assert (request.path, request.query) == ("/prometheus/api/v1/query", 'sum(up{a="é&b"})')
    assert request.headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie"} & set(request.headers)


async def test_a_query_of_thousands_of_clusters_goes_in_a_body(
    fake: FakePrometheus, make_provider: MakeProvider
) -> None:
    """A URL of hundreds of KiB is what no proxy takes; a short query stays one that can be cached and logged."""
    names = "|".join(f"member-{number}" for number in range(5000))
    query = f'sum(up{{cluster=~"{names}"}})'
    provider = make_provider()
    assert (await ask(provider, query)).value == 1.0
    assert (await ask(provider, "sum(up)")).value == 1.0
    assert [(request.method, request.query) for request in fake.asked] == [("POST", query), ("GET", "sum(up)")]
    assert fake.asked[0].path == fake.asked[1].path


async def test_the_environment_is_not_asked(
    fake: FakePrometheus, make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment would be a way around the check of addresses."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await ask(make_provider())).value == 1.0


async def test_connections_are_kept(fake: FakePrometheus, make_provider: MakeProvider) -> None:
    """One question after the other needs one connection."""
    provider = make_provider()
    for n in range(5):
        assert (await ask(provider, f"up{n}")).value == 1.0
    assert (len(fake.asked), fake.connections) == (5, 1)


@pytest.mark.parametrize("fault", [reply("", 503), reply("", 502), reply("", 429), close])
async def test_passing_faults_are_asked_again(
    fake: FakePrometheus, make_provider: MakeProvider, fault: Behaviour
) -> None:
    """A restart of Prometheus costs a moment, not a measurement."""
    fake.behaviour = in_turn(fault, fault, vector("2"))
    assert (await ask(make_provider())).value == 2.0
    assert len(fake.asked) == 3


@pytest.mark.parametrize("answer", [api_error(400, "bad_data", "no"), reply("", 500), vector("NaN"), vector()])
async def test_answers_are_not_asked_again(
    fake: FakePrometheus, make_provider: MakeProvider, answer: Behaviour
) -> None:
    """What would be the same again is asked once."""
    fake.behaviour = answer
    await ask(make_provider())
    assert len(fake.asked) == 1


async def test_three_attempts_at_most(fake: FakePrometheus, make_provider: MakeProvider) -> None:
    """Then the last answer counts."""
    fake.behaviour = reply("", 503)
    assert "HTTP 503" in (await ask(make_provider())).message
    assert len(fake.asked) == 3


@pytest.mark.parametrize(
    "behaviour",
    [hang, drip("HTTP/1.1 200 OK\nX-Slow: "), drip("HTTP/1.1 200 OK\nContent-Length: 900000\n\n")],
    ids=["silence", "endless head", "endless body"],
)
async def test_a_deadline_holds_whatever_the_server_does(
    fake: FakePrometheus, make_provider: MakeProvider, behaviour: Behaviour
) -> None:
    """A byte now and then defeats timeouts of sockets, not the deadline; and the thread is free again after it."""
    provider = make_provider(deadline_seconds=0.5)
    fake.behaviour = behaviour
    async with asyncio.timeout(PATIENT_SECONDS / 2):  # without the deadline, it would take longer than any test
        reading = await ask(provider)
        assert (reading.kind, reading.message) == (E, f"Prometheus at {fake.address}: no answer within 0.5 seconds")
        await provider.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sluice-metrics")]


async def test_the_event_loop_goes_on(fake: FakePrometheus, make_provider: MakeProvider) -> None:
    """While a question hangs, the operator does other things."""
    gate = asyncio.Event()
    fake.behaviour = held(gate, vector("1"))
    asking = asyncio.create_task(ask(make_provider()))
    await until(lambda: fake.under_way == 1)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not asking.done()
    gate.set()
    assert (await asking).value == 1.0


async def test_a_hanging_address_starves_no_other(fake: FakePrometheus, make_provider: MakeProvider) -> None:
    """Each address has its own share of threads: while one hangs, others are answered."""
    async with fake_prometheus() as healthy:
        gate = asyncio.Event()
        fake.behaviour = held(gate, vector("2"))
        provider = make_provider(fake.address, healthy.address)
        hanging = [asyncio.create_task(ask(provider, f"up{n}")) for n in range(40)]
        await until(lambda: fake.under_way == THREADS_PER_ADDRESS)
        assert (await ask(provider, address=healthy.address)).value == 1.0
        assert not any(task.done() for task in hanging)
        gate.set()
        assert {reading.value for reading in await asyncio.gather(*hanging)} == {2.0}
        assert fake.most_under_way == THREADS_PER_ADDRESS


async def test_who_waits_behind_a_hanging_question_times_out(fake: FakePrometheus, make_provider: MakeProvider) -> None:
    """The deadline counts from when it was asked, not from when a thread was free for it."""
    fake.behaviour = hang
    provider = make_provider(deadline_seconds=0.5)
    async with asyncio.timeout(PATIENT_SECONDS / 2):
        readings = await asyncio.gather(*(ask(provider, f"up{n}") for n in range(1000)))
    assert {reading.kind for reading in readings} == {E}


async def test_the_same_question_is_asked_once(
    fake: FakePrometheus, make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred Rollouts with one template share an answer; one that gives up takes it from nobody."""
    monkeypatch.setattr(prometheus, "KEEP_SECONDS", PATIENT_SECONDS)
    provider = make_provider()
    tasks = [asyncio.create_task(ask(provider, namespace=f"team-{n}")) for n in range(100)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    readings = await asyncio.gather(*tasks[1:])
    assert {reading.value for reading in readings} == {1.0}
    assert (await ask(provider)).value == 1.0
    assert len(fake.asked) == 1


async def test_answers_grow_old(fake: FakePrometheus, make_provider: MakeProvider) -> None:
    """After a second the question is asked anew."""
    provider = make_provider()
    assert (await ask(provider)).value == 1.0
    fake.behaviour = vector("2")
    async with asyncio.timeout(PATIENT_SECONDS):
        while (await ask(provider)).value != 2.0:  # noqa: ASYNC110 - the age of an answer sets no event
            await asyncio.sleep(0.05)


async def test_tenants_do_not_share_answers_that_need_credentials(
    fake: FakePrometheus, make_provider: MakeProvider, secrets: Secrets
) -> None:
    """Who has no Secret gets no answer that another's Secret bought."""
    fake.behaviour = guarded("Bearer right", vector("1"))
    secrets.put("a", "prom", token="right")
    secrets.put("b", "prom", token="wrong")
    provider = make_provider()
    assert (await ask(provider, namespace="a", secret="prom")).kind is ReadingKind.VALUE
    for options in ({"namespace": "b", "secret": "prom"}, {"namespace": "a"}):
        reading = await ask(provider, **options)
        assert "HTTP 401" in reading.message


@pytest.mark.parametrize(
    "data, header",
    [
        ({"token": " abc\n"}, "Bearer abc"),
        ({"username": "é", "password": "p:w"}, "Basic w6k6cDp3"),
        ({"token": "abc", "username": "u", "password": "p"}, "Bearer abc"),
    ],
)
async def test_credentials_from_a_secret(
    fake: FakePrometheus, make_provider: MakeProvider, secrets: Secrets, data: dict[str, str], header: str
) -> None:
    """A token, or a name and a password."""
    fake.behaviour = guarded(header, vector("1"))
    secrets.put("shop", "prom", **data)
    assert (await ask(make_provider(), secret="prom")).value == 1.0


@pytest.mark.parametrize(
    "data, told",
    [
        (None, "Secret shop/prom does not exist"),
        ({}, "Secret shop/prom needs the key token, or username and password"),
        ({"username": "u"}, "needs the key token"),
        ({"token": "a\r\nX-Evil: 1"}, "token has characters that no HTTP header can carry"),
        ({"username": "a:b", "password": "p"}, "username has a colon"),
        ({"ca_crt": "nonsense"}, "ca.crt is not a certificate in PEM form"),
    ],
)
async def test_bad_secrets(
    fake: FakePrometheus, make_provider: MakeProvider, secrets: Secrets, data: dict[str, str] | None, told: str
) -> None:
    """What is wrong with the Secret is said; nothing is sent without the credentials that were meant."""
    if data is not None:
        secrets.put("shop", "prom", **data)
    reading = await ask(make_provider(), secret="prom")
    assert reading.kind is E
    assert told in reading.message
    assert fake.asked == []


async def test_secrets_are_read_seldom_and_rotate(
    fake: FakePrometheus, make_provider: MakeProvider, secrets: Secrets
) -> None:
    """A Secret is kept for a while; when the server refuses it, it is read again, and a new one used at once."""
    fake.behaviour = guarded("Bearer old", vector("1"))
    secrets.put("shop", "prom", token="old")
    provider = make_provider()
    for n in range(3):
        assert (await ask(provider, f"up{n}", secret="prom")).value == 1.0
    assert secrets.reads == 1
    fake.behaviour = guarded("Bearer new", vector("2"))
    secrets.put("shop", "prom", token="new")
    assert (await ask(provider, "after", secret="prom")).value == 2.0
    assert secrets.reads == 2


async def test_the_operators_own_secret(fake: FakePrometheus, make_provider: MakeProvider, secrets: Secrets) -> None:
    """It is shown to the operator's own Prometheus only, and not in place of a namespace's own."""
    async with fake_prometheus() as other:
        fake.behaviour = guarded("Bearer operators", vector("1"))
        secrets.put("", "own", token="operators")
        secrets.put("shop", "mine", token="mine")
        provider = make_provider(fake.address, other.address, default_secret="own")
        assert (await ask(provider)).value == 1.0
        assert (await ask(provider, "x", address=fake.address)).value == 1.0
        assert "HTTP 401" in (await ask(provider, secret="mine")).message
        assert (await ask(provider, address=other.address)).value == 1.0
        assert "authorization" not in other.asked[0].headers


async def test_tls(make_provider: MakeProvider, secrets: Secrets) -> None:
    """The authority in the Secret is trusted, and without it the server is not."""
    async with fake_prometheus(tls=True) as server:
        provider = make_provider(server.address)
        reading = await ask(provider)
        assert (
            "its certificate is not trusted; put the authority's certificate into the Secret as ca.crt"
            in reading.message
        )
        secrets.put("shop", "prom", ca_crt=AUTHORITY, token="abc")
        server.behaviour = guarded("Bearer abc", vector("7"))
        assert (await ask(provider, secret="prom")).value == 7.0
        broken = AUTHORITY[:100] + b"\n-----END CERTIFICATE-----\n"
        secrets.put("shop", "broken", ca_crt=broken)
        assert "ca.crt in the Secret cannot be read as PEM" in (await ask(provider, secret="broken")).message


async def test_tls_is_bounded_too(make_provider: MakeProvider) -> None:
    """A server that never finishes the handshake, or hangs behind it, holds no thread."""
    async with fake_prometheus(tls=True) as server, fake_prometheus() as mute:
        secrets_provider = make_provider(server.address, deadline_seconds=0.5)
        server.behaviour = hang
        reading = await ask(secrets_provider)
        assert reading.kind is E
        mute.behaviour = hang
        reading = await ask(make_provider(mute.address.replace("http:", "https:"), deadline_seconds=0.5))
        assert reading.kind is E


async def test_nothing_secret_gets_out(
    fake: FakePrometheus, make_provider: MakeProvider, secrets: Secrets, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither credentials nor the body of a reply appear in messages, logs or reprs."""
    caplog.set_level(logging.DEBUG)
    secrets.put("shop", "prom", token=SECRET_WORD)
    provider = make_provider(deadline_seconds=1.0)
    body = f"<html>{SECRET_WORD}</html>".encode()
    length = f"Content-Length: {len(body)}"
    for number, head in enumerate(
        ("HTTP/1.1 200 OK", "HTTP/1.1 404 X", f"HTTP/1.1 302 X\nLocation: http://{SECRET_WORD}/")
    ):
        fake.behaviour = raw(f"{head}\n{length}", body)
        reading = await ask(provider, f"up{number}", secret="prom")
        assert reading.kind is E
        assert SECRET_WORD not in reading.message
    fake.behaviour = close
    assert SECRET_WORD not in (await ask(provider, "last", secret="prom")).message
    assert SECRET_WORD not in caplog.text
    assert SECRET_WORD not in repr(list(provider._clients))


async def test_clients_are_bounded(
    fake: FakePrometheus, make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many servers are kept connected; one that was let go of is connected anew."""
    monkeypatch.setattr(prometheus, "CLIENTS_MAX", 1)
    async with fake_prometheus() as other:
        provider = make_provider(fake.address, other.address)
        for n in range(4):
            assert (await ask(provider, f"up{n}", address=(fake, other)[n % 2].address)).value == 1.0
        assert len(provider._clients) == 1
        assert (fake.connections, other.connections) == (2, 2)


async def test_a_server_that_is_not_there(make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message tells a refused connection from a name that does not resolve."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, so that nobody else gets it, but not listened at
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert "it refuses the connection" in (await ask(make_provider(address))).message

    def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    unknown = await ask(make_provider("http://prometheus.example:9090"))
    assert "its host cannot be resolved; check the name" in unknown.message


async def test_a_bug_is_a_reading(
    fake: FakePrometheus, make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where the adapter itself fails, the port does not raise; the log has the details."""
    provider = make_provider()
    monkeypatch.setattr(provider, "_client", lambda *_: None)
    reading = await ask(provider)
    assert (reading.kind, "failed unexpectedly (AttributeError)" in reading.message) == (E, True)
    assert "Traceback" in caplog.text
