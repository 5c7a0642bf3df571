"""The connection to a member: over TLS, bounded, checked, and silent about its credentials."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from sluice.adapters.kube import member as member_module
from sluice.adapters.kube import resolver
from sluice.adapters.kube.breaker import FAILURES, Breaker
from sluice.adapters.kube.client import AlwaysLeader
from sluice.adapters.kube.identity import MemberIdentity
from sluice.adapters.kube.member import CONNECTIONS, REPLY_BYTES, WARM_CONNECTIONS, KubeMember, connect_member
from sluice.adapters.kube.resolver import GuardedResolver
from sluice.adapters.kube.transport import Timeouts
from sluice.api.kubeconfig import Kubeconfig, render_kubeconfig
from sluice.api.names import Kind
from sluice.decide.rights import Right
from sluice.errors import BadAnswer, Forbidden, InvalidSpec, SluiceError, Unavailable
from sluice.ports import Lane, Obj

TLS = Path(__file__).parents[3] / "contract" / "metrics" / "tls"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.the-members-own-token"
PATCH_PODS = Right("", "pods", "patch")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """A server with a certificate for 127.0.0.1; answers as the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.handler: Handler = self._good
        self.asked: list[str] = []
        self.reviews: list[object] = []

    async def _good(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({"gitVersion": "v1.36.3"})
        review = await request.json()
        self.reviews.append(review["spec"]["resourceAttributes"])
        return web.json_response({"status": {"allowed": True}})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        self.asked.append(f"{request.method} {request.path} {request.headers.get('Authorization', '')}")
        return await self.handler(request)

    def kubeconfig(self, host: str = "127.0.0.1") -> str:
        """A kubeconfig that leads to it."""
        server = f"https://{host}:{self.port}"
        authorities = (TLS / "ca.crt").read_text()
        return render_kubeconfig("m", Kubeconfig(server, "", authorities, TOKEN))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """One that is up."""
    made = Api()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
async def member(api: Api) -> AsyncIterator[KubeMember]:
    """A connection to it."""
    made = await connect_member("pilot", api.kubeconfig())
    yield made
    await made.close()


async def test_what_is_asked(api: Api, member: KubeMember) -> None:
    """The version, and rights by SelfSubjectAccessReview, as the account of the kubeconfig."""
    assert await member.fetch_version() == "v1.36.3"
    assert await member.may(PATCH_PODS)
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert list(dict.fromkeys(api.asked)) == [f"GET /version Bearer {TOKEN}", f"POST {path} Bearer {TOKEN}"]
    assert api.reviews == [{"group": "", "resource": "pods", "verb": "patch"}]
    assert member.host == f"127.0.0.1:{api.port}"


async def test_connections_for_kills_are_open_beforehand(api: Api, member: KubeMember) -> None:
    """The first answer opens them, and later probes take no more: at rest they cost nothing."""
    await member.fetch_version()
    assert len(api.asked) == 1 + WARM_CONNECTIONS
    await member.fetch_version()
    assert len(api.asked) == 2 + WARM_CONNECTIONS


@pytest.mark.parametrize(
    "answer, uid",
    [
        ({"metadata": {"uid": "6c1f5a9e-0d6b-4f0e-9a3a-0b1c2d3e4f50"}}, "6c1f5a9e-0d6b-4f0e-9a3a-0b1c2d3e4f50"),
        ({"metadata": {"uid": "x" * 65}}, None),
        ({"metadata": {"uid": 7}}, None),
        ({"metadata": "none"}, None),
        ({}, None),
    ],
)
async def test_which_cluster_it_is(api: Api, member: KubeMember, answer: dict[str, object], uid: str | None) -> None:
    """Told by the UID of kube-system; what is none is no answer, and nothing is known by it."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response(answer)

    api.handler = handler
    if uid is None:
        with pytest.raises(BadAnswer, match="kube-system has no UID"):
            await member.fetch_uid()
    else:
        assert await member.fetch_uid() == uid
    assert api.asked == [f"GET /api/v1/namespaces/kube-system Bearer {TOKEN}"]


async def test_a_right_on_a_subresource(api: Api, member: KubeMember) -> None:
    """Asked as RBAC has it, apart from the resource."""
    assert await member.may(Right("sluice.dev", "memberrollouts/status", "patch"))
    wanted = {"group": "sluice.dev", "resource": "memberrollouts", "subresource": "status", "verb": "patch"}
    assert api.reviews == [wanted]


@pytest.mark.parametrize(
    "answer, kinds",
    [
        (
            {"resources": [{"name": "memberrollouts"}, {"name": "memberrollouts/status"}]},
            {"memberrollouts", "memberrollouts/status"},
        ),
        (None, set()),
        ({"resources": "all of them"}, set()),
        ({"resources": [7, {"name": ["memberrollouts"]}]}, set()),
    ],
    ids=["some", "unknown-group", "no-list", "rubbish"],
)
async def test_which_kinds_are_served(api: Api, member: KubeMember, answer: object, kinds: set[str]) -> None:
    """By discovery; a group that it does not know, or an answer that is no list, is none."""

    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(answer or {"message": "not found"}, status=200 if answer else 404)

    api.handler = handler
    assert await member.fetch_kinds() == kinds
    assert api.asked == [f"GET /apis/sluice.dev/v1alpha1 Bearer {TOKEN}"]


def test_a_client_certificate_is_loaded_without_a_file() -> None:
    """Certificate and key reach TLS from memory, checked against each other; no header is sent beside them.

    That an API server takes it is shown in tests/e2e/test_clusters.py.
    """
    pem = (TLS / "server.pem").read_text()
    end = "-----END PRIVATE KEY-----\n"
    key, certificate = pem.partition(end)[0] + end, pem.partition(end)[2]
    identity = MemberIdentity(Kubeconfig("https://a.example", "", "", "", certificate, key))
    assert asyncio.run(identity.authorization()) is None
    with pytest.raises(InvalidSpec, match="mean nothing to TLS"):
        MemberIdentity(Kubeconfig("https://a.example", "", "", "", (TLS / "ca.crt").read_text(), key))


@pytest.mark.parametrize("part", ["authorities", "certificate"])
async def test_pem_that_means_nothing_is_refused(part: str) -> None:
    """Looks like PEM, is none: the kubeconfig is refused before anything is sent."""
    bad = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n"
    key = "-----BEGIN PRIVATE KEY-----\nbm90aGluZw==\n-----END PRIVATE KEY-----\n"
    config = {
        "authorities": Kubeconfig("https://a.example", "", bad, TOKEN),
        "certificate": Kubeconfig("https://a.example", "", "", "", bad, key),
    }[part]
    with pytest.raises(InvalidSpec, match="mean nothing to TLS") as caught:
        await connect_member("pilot", render_kubeconfig("m", config))
    assert caught.value.reason == "KubeconfigRefused"


async def test_another_authority_is_not_trusted(api: Api) -> None:
    """Without the right CA data nobody is told the token."""
    config = render_kubeconfig("m", Kubeconfig(f"https://127.0.0.1:{api.port}", "", "", TOKEN))
    member = await connect_member("pilot", config)
    with pytest.raises(Unavailable, match="certificate"):
        await member.fetch_version()
    assert api.asked == []
    await member.close()


def answering(body: bytes, status: int = 200) -> Handler:
    """Answers everything with this."""

    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status)

    return handle


@pytest.mark.parametrize(
    "body, status, error",
    [
        (b"<html>", 200, BadAnswer),
        (b"[1, 2]", 200, BadAnswer),
        (b"{}", 200, BadAnswer),
        (b'{"gitVersion": 7}', 200, BadAnswer),
        (b'{"gitVersion": "v1.2.3<script>"}', 200, BadAnswer),
        (b'{"gitVersion": "v1.2.3-' + b"x" * 100 + b'"}', 200, BadAnswer),
        (b"{" * 100_000, 200, BadAnswer),
        (b"x" * (REPLY_BYTES + 1), 200, BadAnswer),
        (b"x" * (REPLY_BYTES + 1), 500, BadAnswer),
        (b"nothing here", 404, BadAnswer),
        (b"go elsewhere", 302, Unavailable),
        (b"", 503, Unavailable),
        (b"", 401, Forbidden),
        (b"", 403, Forbidden),
    ],
)
async def test_answers_that_are_none(
    api: Api, member: KubeMember, body: bytes, status: int, error: type[SluiceError]
) -> None:
    """Each is told apart: rubbish, a server that is not well, and one that does not know us."""
    api.handler = answering(body, status)
    with pytest.raises(error) as caught:
        await member.fetch_version()
    assert len(str(caught.value)) < 1000
    assert "script" not in str(caught.value)


@pytest.mark.parametrize("body", [b"{}", b'{"status": []}', b'{"status": {"allowed": "yes"}}', b"null"])
async def test_a_review_that_is_none(api: Api, member: KubeMember, body: bytes) -> None:
    """What does not say true or false says nothing."""
    api.handler = answering(body)
    with pytest.raises(BadAnswer):
        await member.may(PATCH_PODS)


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("before", ["", "x" * 270])
async def test_a_token_that_is_quoted_back_is_not_passed_on(
    api: Api, member: KubeMember, status: int, before: str
) -> None:
    """A server may quote what it was sent, and its words may be cut in the middle of it."""
    api.handler = answering(f'{{"message": "{before} you sent Bearer {TOKEN} to me"}}'.encode(), status)
    with pytest.raises(SluiceError) as caught:
        await member.fetch_version()
    assert TOKEN[:12] not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_the_breaker_spares_everybody_the_waiting(api: Api, member: KubeMember) -> None:
    """After some requests without an answer reviews fail at once; an answer to the version closes it again."""
    good, api.handler = api.handler, answering(b"", 503)
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            await member.may(PATCH_PODS)
    asked = len(api.asked)
    with pytest.raises(Unavailable, match="MemberCluster pilot did not answer 3 times in a row"):
        await member.may(PATCH_PODS)
    assert len(api.asked) == asked
    api.handler = good
    await member.fetch_version()
    assert await member.may(PATCH_PODS)


async def write(member: KubeMember, lane: Lane) -> Obj:
    """Write something in the member."""
    cluster = member.cluster(AlwaysLeader())
    return await cluster.patch_json(Kind.HTTP_ROUTE, "shop", "checkout", [], lane=lane)


async def test_nothing_but_kills_is_written_to_who_left_a_request_unanswered(api: Api, member: KubeMember) -> None:
    """What is sent to a frozen server may be read in any order later; with the next answer, kills come first."""
    told: list[str] = []
    member.tell(silent=lambda: told.append("silent"), back=lambda: told.append(f"back at {len(api.asked)}"))
    api.handler = answering(b"", 503)
    with pytest.raises(Unavailable):
        await write(member, Lane.NORMAL)
    assert told == ["silent"]
    with pytest.raises(Unavailable, match="nothing but kills is written until it does"):
        await write(member, Lane.NORMAL)
    assert len(api.asked) == 1
    api.handler = answering(b'{"metadata": {"name": "checkout"}}')
    await write(member, Lane.KILL)
    assert told == ["silent", "back at 2"]
    await write(member, Lane.NORMAL)
    assert told == ["silent", "back at 2"]


async def test_a_kill_that_waits_has_somebody_look(api: Api, member: KubeMember) -> None:
    """The longer an outage, the rarer the probes; but not while there is something to kill."""
    told: list[str] = []
    member.tell(silent=lambda: told.append("silent"), back=lambda: told.append("back"))
    api.handler = answering(b"", 503)
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            await write(member, Lane.KILL)
    assert told == ["silent"]
    with pytest.raises(Unavailable, match="is not asked until it does"):
        await write(member, Lane.KILL)
    assert told == ["silent", "silent"]
    assert len(api.asked) == FAILURES


async def test_a_slow_server_is_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the patient get an answer, kills are patient; when it is quick again, they give up as soon as ever."""
    monkeypatch.setattr(member_module, "TIMEOUTS", Timeouts(connect=0.2, normal=0.2, kill=0.2))
    member = await connect_member("pilot", api.kubeconfig())

    async def quick(_: web.Request) -> web.StreamResponse:
        return web.json_response({"gitVersion": "v1.36.3", "metadata": {"name": "checkout"}})

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return await quick(request)

    api.handler = slow
    with pytest.raises(Unavailable):
        await member.fetch_version()
    with pytest.raises(Unavailable):
        await write(member, Lane.KILL)
    await member.fetch_version(patient=True)
    await write(member, Lane.KILL)
    api.handler = quick
    await write(member, Lane.KILL)
    api.handler = slow
    with pytest.raises(Unavailable):
        await write(member, Lane.KILL)
    await member.close()


async def test_kills_that_hang_are_in_no_later_ones_way(api: Api, member: KubeMember) -> None:
    """All turns of kills may be taken by requests that are lost; who answers again is killed in at once."""
    lost, hung = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        if len(api.asked) == CONNECTIONS:
            hung.set()
        await lost.wait()
        return web.json_response({})

    good = answering(b'{"gitVersion": "v1.36.3", "metadata": {"name": "checkout"}}')
    api.handler = hang
    hanging = [asyncio.create_task(write(member, Lane.KILL)) for _ in range(CONNECTIONS)]
    await hung.wait()
    api.handler = answering(b"", 503)
    with pytest.raises(Unavailable):
        await member.fetch_version()
    api.handler = good
    await member.fetch_version()
    await write(member, Lane.KILL)
    assert not any(task.done() for task in hanging)
    lost.set()
    await asyncio.gather(*hanging)


def test_any_answer_closes_the_breaker() -> None:
    """It counts failures in a row, not in all."""
    breaker = Breaker("it", failures=2)
    for _ in range(5):
        breaker.failed()
        breaker.answered()
        breaker.check()
    assert not breaker.is_open


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254"])
async def test_a_name_that_leads_astray(api: Api, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A name may resolve to anything: what it leads to is checked right before connecting, and told."""
    monkeypatch.setattr(resolver, "_look_up", lambda host, port: [(2, address)])
    member = await connect_member("pilot", api.kubeconfig("metadata.example"))
    with pytest.raises(InvalidSpec, match=r"metadata\.example leads to a") as caught:
        await member.fetch_version()
    assert caught.value.reason == "AddressRefused"
    assert api.asked == []
    await member.close()


async def test_a_good_name_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """And at most four addresses of it are tried."""
    monkeypatch.setattr(resolver, "_look_up", lambda host, port: [(2, f"10.0.0.{n}") for n in range(1, 9)])
    found = await GuardedResolver().resolve("api.example", 6443)
    assert [each["host"] for each in found] == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]


async def test_a_lookup_that_hangs_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again and again, the same lookup is waited for."""
    gate, lookups = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def hang(host: str, port: int) -> list[tuple[int, str]]:
        lookups.append(host)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(15)
        return [(2, "10.0.0.1")]

    monkeypatch.setattr(resolver, "_look_up", hang)
    guarded = GuardedResolver()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await guarded.resolve("api.example", 6443)
    gate.set()
    assert (await guarded.resolve("api.example", 6443))[0]["host"] == "10.0.0.1"
    assert lookups == ["api.example"]


def test_an_identity_shows_no_token() -> None:
    """Neither in its repr nor in text that quotes a part of it."""
    identity = MemberIdentity(Kubeconfig("https://a.example", "a.example", "", TOKEN))
    assert TOKEN not in repr(vars(identity).keys())
    assert identity.conceal(f"got {TOKEN}, and {TOKEN[:20]}") == "got [token] and [token]"
