"""Register a member cluster: an account there, its token here, and a MemberCluster that names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.api.kubeconfig import Kubeconfig, parse_kubeconfig, render_kubeconfig
from sluice.api.names import MEMBER_LABEL, Kind
from sluice.errors import NotFound, Rejected, Unavailable
from sluice.ops import member_objects as objects
from sluice.ops.explain import explaining, resource
from sluice.ops.kill import seen
from sluice.ops.outcome import PATIENCE_SECONDS, Ending, Outcome, Target
from sluice.ops.patience import until
from sluice.ops.steps import Change, Hand, Step
from sluice.ports import Cluster, Obj
from sluice.views.fields import Fields

_PLACEHOLDER = "token-of-the-account"


@dataclass(frozen=True, slots=True)
class Registration:
    """What is to be registered.

    Attributes:
        name: of the MemberCluster.
        server: where the operator finds the member's API server.
        authorities: PEM of who vouches for it; "" for the system's.
        labels: to set on the MemberCluster; others that it has stay.
        weight: how many of its kind it stands for; None leaves what is set, 1 at first.
        prometheus: base URL of the one that measures what runs there; None leaves what is set, none at first.
        namespaces: whose Rollouts may come; none leaves what is set, those of all namespaces at first.
        rotate: make a new token, and delete the ones before.
        namespace: the operator's, in the hub.
    """

    name: str
    server: str
    authorities: str
    labels: Mapping[str, str]
    weight: int | None = None
    prometheus: str | None = None
    namespaces: tuple[str, ...] = ()
    rotate: bool = False
    namespace: str = objects.NAMESPACE

    @property
    def target(self) -> Target:
        """The MemberCluster."""
        return Target(Kind.MEMBER_CLUSTER, "", self.name)

    @property
    def secret(self) -> Target:
        """The Secret in the hub."""
        return Target(Kind.SECRET, self.namespace, objects.secret_name(self.name))

    def member(self) -> Obj:
        """The MemberCluster."""
        return objects.member_cluster(self.name, self.labels, self.weight, self.prometheus, self.namespaces)

    def kubeconfig(self, token: str = _PLACEHOLDER) -> str:
        """The kubeconfig that the operator is to use.

        Raises:
            InvalidSpec: the operator would refuse it.
        """
        text = render_kubeconfig(self.name, Kubeconfig(self.server, "", self.authorities, token))
        parse_kubeconfig(text)
        return text


async def fetch_definitions(hub: Hand) -> list[tuple[Target, Obj]]:
    """The definitions of the kinds that the operator writes in members, as the hub has them: of the operator's version.

    Raises:
        NotFound: the hub has none: its Sluice is older than this program, or there is none.
        Forbidden, Unavailable: with a sentence for the person.
    """
    found = []
    for target in objects.DEFINITION_TARGETS:
        stored = await hub.find(target)
        if stored is None:
            raise NotFound(
                f"The hub has no {target}, which the member is to have too: nothing was written. "
                "Install this version of Sluice there first: kubectl apply --server-side -k manifests/base"
            )
        found.append((target, objects.definition(stored)))
    return found


def planned(order: Registration, definitions: Sequence[tuple[Target, Obj]]) -> list[tuple[str, Target, Obj]]:
    """Every object that `register` would make, with where; the token is a placeholder. Pure.

    Args:
        order: what to register.
        definitions: as `fetch_definitions` gives them.

    Raises:
        InvalidSpec: the operator would refuse the kubeconfig.
    """
    tokens = Target(Kind.SECRET, objects.NAMESPACE, f"{objects.ACCOUNT}-token-...")
    return [
        *(("member", target, body) for target, body in definitions),
        ("member", Target(Kind.NAMESPACE, "", objects.NAMESPACE), {}),
        ("member", objects.ACCOUNT_TARGET, objects.account()),
        ("member", objects.ROLE_TARGET, objects.role()),
        ("member", objects.BINDING_TARGET, objects.binding()),
        ("member", tokens, objects.token_secret()),
        ("hub", order.secret, objects.hub_secret(order.name, order.kubeconfig())),
        ("hub", order.target, order.member()),
    ]


async def register(hub: Hand, member: Hand, order: Registration, patience_seconds: float = PATIENCE_SECONDS) -> Outcome:
    """Register a member cluster; done twice it changes nothing. Writes: all that `planned` names.

    Args:
        hub: as somebody who may write MemberClusters, and Secrets of the operator's namespace.
        member: as its administrator.
        order: what to register.
        patience_seconds: how long to wait for the kinds to be served and for the token, and for the operator's word
            that it is ready; 0: not for the latter.

    Raises:
        InvalidSpec: the operator would refuse the kubeconfig; nothing was written.
        NotFound: the hub lacks a kind that the member is to have; nothing was written.
        Forbidden, Rejected, Unavailable: with a sentence for the person. What was told is done.
    """
    order.kubeconfig()
    await _refuse_a_foreign_secret(hub, order)
    await _install(member, await fetch_definitions(hub), max(patience_seconds, PATIENCE_SECONDS))
    await member.ensure(Target(Kind.NAMESPACE, "", objects.NAMESPACE), {})
    await member.apply(objects.ACCOUNT_TARGET, objects.account())
    await member.apply(objects.ROLE_TARGET, objects.role())
    await member.apply(objects.BINDING_TARGET, objects.binding())
    fresh, old = await _token_secrets(member, rotate=order.rotate)
    token = await _token(member.cluster, fresh, max(patience_seconds, PATIENCE_SECONDS))
    await hub.apply(order.secret, objects.hub_secret(order.name, order.kubeconfig(token)))
    await _ensure_member(hub, order)
    for secret in old:
        await member.delete(secret, "the token before")
    if not patience_seconds:
        return Outcome(
            Ending.SENT, f"{order.target} is registered; `sluice clusters check {order.name}` tells", order.target
        )
    return await _ready(hub.cluster, order, patience_seconds)


async def _refuse_a_foreign_secret(hub: Hand, order: Registration) -> None:
    """A Secret of that name that is nothing of ours is not written over."""
    found = await hub.find(order.secret)
    if found is not None and MEMBER_LABEL not in ((found["metadata"].get("labels")) or {}):
        raise Rejected(
            f"{order.secret} exists and has no label {MEMBER_LABEL}: it is left alone. Delete it, or register the "
            "member under another name."
        )


async def _install(member: Hand, definitions: Sequence[tuple[Target, Obj]], seconds: float) -> None:
    """Give the member the kinds. One that is there as it shall be is not written: it may be the hub's own."""
    for target, body in definitions:
        there = await member.find(target)
        if there is not None and there["spec"] == body["spec"]:
            member.tell(Step(member.where, target, Change.UNCHANGED))
        else:
            await member.apply(target, body)
    for target, _ in definitions:

        async def probe(target: Target = target) -> bool | None:
            return objects.is_established(await member.cluster.get(target.kind, "", target.name)) or None

        with explaining("read", target, "get on customresourcedefinitions in the member"):
            served = await until(probe, seconds)
        if not served:
            raise Unavailable(
                f"{target} in the member is not served after {seconds:.0f} s: see its conditions there, by "
                f"`kubectl get crd {target.name} -o yaml`, and try again."
            )


async def _token_secrets(member: Hand, *, rotate: bool) -> tuple[Target, list[Target]]:
    """The Secret whose token is to be used, and those that are to go."""
    every = Target(Kind.SECRET, objects.NAMESPACE, "")
    with explaining("list", every, "list on secrets in the member"):
        found = [
            each for each in await member.cluster.list(Kind.SECRET, objects.NAMESPACE) if objects.is_token_secret(each)
        ]
    there = [Target(Kind.SECRET, objects.NAMESPACE, each["metadata"]["name"]) for each in found]
    if there and not rotate:
        member.tell(Step(member.where, there[0], Change.UNCHANGED))
        return there[0], []
    with explaining("create", every, "create on secrets in the member"):
        made = await member.cluster.create(Kind.SECRET, objects.NAMESPACE, objects.token_secret())
    fresh = Target(Kind.SECRET, objects.NAMESPACE, made["metadata"]["name"])
    member.tell(Step(member.where, fresh, Change.CREATED, "its token does not expire; deleting the Secret revokes it"))
    return fresh, there


async def _token(cluster: Cluster, secret: Target, seconds: float) -> str:
    async def probe() -> str | None:
        return objects.token_in(await cluster.get(secret.kind, secret.namespace, secret.name)) or None

    with explaining("read", secret, "get on secrets in the member"):
        token = await until(probe, seconds)
    if token is None:
        raise Unavailable(
            f"{secret} in the member got no token within {seconds:.0f} s: does its kube-controller-manager run? "
            "Try again."
        )
    return token


async def _ensure_member(hub: Hand, order: Registration) -> None:
    """Create the MemberCluster, or set what differs: labels that were set by others stay."""
    target, wanted = order.target, order.member()
    before = await hub.find(target)
    if before is None:
        await hub.ensure(target, wanted)
        return
    needs = f"patch on {resource(target.kind)}"
    with explaining("update", target, needs):
        after = await hub.cluster.patch_merge(target.kind, "", target.name, wanted)
    same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    hub.tell(Step(hub.where, target, Change.UNCHANGED if same else Change.UPDATED))


async def _ready(hub: Cluster, order: Registration, seconds: float) -> Outcome:
    last: Fields = Fields({})

    async def probe() -> Outcome | None:
        nonlocal last
        obj = await hub.get(order.target.kind, "", order.name)
        last = Fields(obj)
        return Outcome(Ending.DONE, f"{order.target} is ready{_said(last)}", order.target) if _is_ready(obj) else None

    with explaining("read", order.target, f"get on {resource(order.target.kind)}"):
        found = await until(probe, seconds)
    if found is not None:
        return found
    why = _said(last) or ": the operator has not answered yet; is it running?"
    more = f"See `sluice clusters check {order.name}`"
    return Outcome(Ending.PENDING, f"{order.target} is registered, but not ready{why}. {more}", order.target)


def _is_ready(obj: Obj) -> bool:
    ready = _condition(Fields(obj), "Ready")
    return seen(obj) and ready is not None and ready.text("status") == "True"


def _said(member: Fields) -> str:
    ready = _condition(member, "Ready")
    return f": {ready.text('message')}" if ready is not None and ready.text("message") else ""


def _condition(member: Fields, kind: str) -> Fields | None:
    return next((each for each in member.items("status", "conditions") if each.text("type") == kind), None)
