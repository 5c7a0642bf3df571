"""A connection to one member cluster: its own session, limits, timeouts and circuit breaker.

A member is trusted for itself only. Its answers are bounded, what it says of itself is checked before it is used, and
its words are passed on without our token in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import orjson

from sluice.adapters.kube.breaker import Breaker
from sluice.adapters.kube.client import KubeCluster
from sluice.adapters.kube.identity import MemberIdentity
from sluice.adapters.kube.led import LedCluster, there
from sluice.adapters.kube.listing import fetch_served
from sluice.adapters.kube.resolver import GuardedResolver
from sluice.adapters.kube.resources import object_path
from sluice.adapters.kube.transport import JSON, Limits, Request, Timeouts, Transport
from sluice.adapters.kube.watch import Informer
from sluice.api.conditions import Reason
from sluice.api.kubeconfig import parse_kubeconfig
from sluice.api.names import API_VERSION, Kind
from sluice.decide.rights import Right
from sluice.errors import BadAnswer, InvalidSpec, NotFound, SluiceError, Unavailable
from sluice.ports import Cluster, Lane, Leadership, Obj

REPLY_BYTES = 32 * 1024 * 1024  # a page of a list; one object is never more than a few MiB
CONNECTIONS = 8
# For kills, always open: a probe every half a minute takes them in turn, before the server closes what is idle.
WARM_CONNECTIONS = 2
TIMEOUTS = Timeouts(connect=3.0, normal=5.0, kill=5.0)
PATIENCE_SECONDS = 30.0
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_UID = re.compile(r"[-0-9A-Za-z]{1,64}")
_VERSION = re.compile(r"v[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}([-+][-+.0-9A-Za-z]{1,40})?")


async def connect_member(name: str, text: str) -> KubeMember:
    """Prepare a connection by the text of a kubeconfig. Nothing is sent yet. Implements `ports.MemberConnector`.

    Raises:
        InvalidSpec: the kubeconfig is refused.
    """
    # In a thread: a hundred kilobytes of YAML take a while, and the loop also carries the hub's kills.
    return await asyncio.to_thread(_prepare, name, text)


def _prepare(name: str, text: str) -> KubeMember:
    kubeconfig = parse_kubeconfig(text)
    return KubeMember(name, kubeconfig.host, MemberIdentity(kubeconfig))


class KubeMember:
    """Implements `ports.Member`.

    Attributes:
        host: of its API server, with its port; fit to be shown.
    """

    def __init__(self, name: str, host: str, identity: MemberIdentity) -> None:
        self.host = host
        self._name = name
        self._identity = identity
        self._resolver = GuardedResolver()
        self._breaker = Breaker(f"MemberCluster {name}")
        limits = Limits(CONNECTIONS, CONNECTIONS, REPLY_BYTES, self._resolver)
        self._transport = Transport(identity, name=name, timeouts=TIMEOUTS, limits=limits)
        self._is_slow = False
        self._warm = False
        self._silent: Callable[[], None] = lambda: None
        self._back: Callable[[], None] = lambda: None

    def tell(self, *, silent: Callable[[], None], back: Callable[[], None]) -> None:
        """Whom to tell that a request got no answer, and that one did after that. Implements `ports.Member`."""
        self._silent, self._back = silent, back

    async def fetch_version(self, *, patient: bool = False) -> str:
        """Ask for the version, also while the breaker is open: an answer closes it.

        While all is well, over the connections for kills, so that the first kill waits for no TLS handshake; not where
        kills hang there. Where only the patient get an answer, kills wait as long as they: sooner given up, none would
        ever be confirmed.
        """
        is_well = self._breaker.is_well and not self._transport.is_crowded_by_kills
        lane = Lane.KILL if is_well and not patient else Lane.NORMAL
        seconds = PATIENCE_SECONDS if patient else 0.0
        request = Request("GET", "/version", "read the version", "Version", lane=lane, seconds=seconds)
        warm, self._warm = self._warm, False
        try:
            answer = _decode(await self._send(request, trial=True))
        except NotFound as error:
            raise BadAnswer(f"{error}. Is it the address of an API server?") from None
        if not warm:
            await self._transport.warm(WARM_CONNECTIONS)
        self._warm = True
        version = answer.get("gitVersion")
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise BadAnswer(
                "something answers, but does not tell the version of a Kubernetes: see the server's address"
            )
        return version

    async def fetch_uid(self) -> str:
        """Ask for the UID of its Namespace kube-system."""
        path = object_path(Kind.NAMESPACE, "", "kube-system")
        answer = await self._send(Request("GET", path, "read which cluster it is", "Namespace"))
        metadata = _decode(answer).get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, dict) else None
        if not isinstance(uid, str) or not _UID.fullmatch(uid):
            raise BadAnswer("its Namespace kube-system has no UID, by which clusters are told apart")
        return uid

    async def fetch_kinds(self) -> frozenset[str]:
        """Ask which of our kinds it serves; none where it does not know our group."""
        request = Request("GET", f"/apis/{API_VERSION}", "read which kinds it serves", "APIResourceList")
        try:
            listed = _decode(await self._send(request)).get("resources")
        except NotFound:
            return frozenset()
        names = (each.get("name") for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()
        return frozenset(name for name in names if isinstance(name, str))

    async def may(self, right: Right) -> bool:
        """Ask whether we may do something, in all namespaces."""
        plural, _, part = right.resource.partition("/")
        asked = {"group": right.group, "resource": plural, "verb": right.verb}
        if part:
            asked["subresource"] = part
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        what = f"ask whether it lets us {right}"
        request = Request("POST", _REVIEWS, what, "SelfSubjectAccessReview", orjson.dumps(review), JSON)
        status = _decode(await self._send(request)).get("status")
        allowed = status.get("allowed") if isinstance(status, dict) else None
        if not isinstance(allowed, bool):
            raise BadAnswer(f"{what}: the answer is no access review")
        return allowed

    async def fetch_served(self, kinds: frozenset[Kind]) -> frozenset[Kind]:
        """Which of the kinds it serves."""
        served = await fetch_served(self, frozenset(map(there, kinds)))
        return frozenset(kind for kind in kinds if there(kind) in served)

    def cluster(self, leadership: Leadership) -> Cluster:
        """Reads and writes; each write is sent only while this process leads."""
        return LedCluster(KubeCluster(self, leadership))

    def watch(
        self,
        kind: Kind,
        on_event: Callable[[str, Obj], None],
        on_list: Callable[[list[Obj], int], None],
        *,
        keep: Callable[[Obj], Obj],
        selectors: Mapping[str, str],
        on_problem: Callable[[], None],
    ) -> Informer:
        """Follow a kind."""

        def listed(objects: list[Obj]) -> None:
            on_list(objects, int(informer.version) if informer.version.isdecimal() else 0)

        informer = Informer(self, there(kind), on_event, listed, selectors=selectors, keep=keep)
        informer.on_problem = on_problem
        return informer

    async def close(self) -> None:
        """End every connection."""
        await self._transport.close()

    async def send(self, request: Request) -> bytes:
        """Send a request, if the member answered of late. Implements `Wire`."""
        return await self._send(request)

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], what: str, *, idle_seconds: float
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a watch. Implements `Wire`."""
        self._breaker.check()
        try:
            async with self._transport.stream(path, params, what, idle_seconds=idle_seconds) as stream:
                yield stream
        except Unavailable as error:
            raise Unavailable(self._identity.conceal(str(error)), error.retry_after_seconds) from None
        except SluiceError as error:
            raise type(error)(self._identity.conceal(str(error))) from None

    async def _send(self, request: Request, *, trial: bool = False) -> bytes:
        if not trial:
            self._check(request)
        if self._is_slow and request.lane is Lane.KILL:
            request = replace(request, seconds=PATIENCE_SECONDS)
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        try:
            body = await self._transport.send(request)
        except Unavailable as error:
            # Who was patient may tell of long ago; and who tries is not to be told that he should.
            if not request.seconds and self._breaker.failed() and not trial:
                self._silent()
            if self._resolver.refusal:
                raise InvalidSpec(Reason.ADDRESS_REFUSED, f"{self._resolver.refusal}: no member can be there") from None
            raise Unavailable(self._identity.conceal(str(error)), error.retry_after_seconds) from None
        except SluiceError as error:
            self._answered(loop.time() - sent_at)
            raise type(error)(self._identity.conceal(str(error))) from None
        self._answered(loop.time() - sent_at)
        return body

    def _check(self, request: Request) -> None:
        try:
            self._breaker.check(ordinary_write=_is_ordinary_write(request))
        except Unavailable:
            if request.lane is Lane.KILL:
                self._silent()  # somebody should look whether it answers by now: a kill waits
            raise

    def _answered(self, after_seconds: float) -> None:
        """Tell it in the very moment, so that nobody who waited to write gets ahead of the kills."""
        self._is_slow = after_seconds > TIMEOUTS.normal
        if self._breaker.answered():
            self._transport.renew_kills()
            self._back()


def _is_ordinary_write(request: Request) -> bool:
    return request.writes and request.lane is not Lane.KILL and request.path != _REVIEWS


def _decode(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except ValueError:
        raise BadAnswer("something answers, but not in JSON as a Kubernetes does: see the server's address") from None
    return answer if isinstance(answer, dict) else {}
