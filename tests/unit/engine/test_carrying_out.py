"""Plans about what runs in the slots: what is written when, what a refusal keeps back, and what it must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluice.adapters.audit.log import LogAudit
from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.names import OWNER_ANNOTATION, WEIGHTS_ANNOTATION, Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.decide.model import Apply, Cause, FinalizerChange, Observed, Patch, Plan, Release, Removal, Shift
from sluice.engine.execute import Executor
from sluice.engine.store import Store
from sluice.engine.switchboard import SwitchBoard
from sluice.engine.writes import Ports, TemplateRefused, reason_of
from sluice.errors import Conflict, Forbidden, Rejected, SluiceError, Unavailable
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import VirtualClock
from sluice.sim.cluster import Call, FakeCluster
from sluice.sim.operator import FakeNotifier
from sluice.wiring import routers_over
from unit.decide import observed as core
from unit.engine.objects import template

NAME = "checkout-green"
LABELS = {"app": "checkout", "sluice.dev/rollout": "checkout", "sluice.dev/slot": "green"}
TOLD = RolloutStatus(message="about to")


def deployment(replicas: int = 2, *, uid: str = "", image: str = "shop/checkout:2.0", **labels: str) -> Apply:
    """A slot's Deployment, as it is applied."""
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": template({**LABELS, **labels}, image),
    }
    return Apply(Kind.DEPLOYMENT, NAME, {"metadata": {"labels": LABELS}, "spec": spec}, uid)


def service(slot: str = "green", *, uid: str = "") -> Apply:
    """A slot's Service, as it is applied."""
    body = manifests.service("shop", NAME, {"sluice.dev/slot": slot})
    return Apply(Kind.SERVICE, NAME, {"spec": body["spec"]}, uid)


class Desk:
    """An executor over a cluster in memory. The caches hold what was `seen` or written, and nothing else."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cluster = FakeCluster(self.clock, namespaces=("shop",))
        self.people = self.cluster.as_manager("kubectl")
        self.store = Store()
        self.told: list[str] = []
        self.refuse: Callable[[Call], BaseException | None] = lambda _: None
        ports = Ports(
            cluster=self.cluster,
            routers=routers_over(self.store, self.cluster),
            notifier=FakeNotifier(self.clock),
            audit=LogAudit(),
            archive=SegmentArchive(self.cluster, "sluice-system"),
            clock=self.clock,
        )
        self._executor = Executor(ports, self.store, SwitchBoard(self.store, self.clock.now), lambda _: None)
        self._rollout = self.seen(Kind.ROLLOUT, manifests.rollout("shop", "checkout", manifests.canary(), version="1"))
        self.cluster.faults.append(self._fault)

    def _fault(self, call: Call) -> float | None:
        if call.manager != self.cluster.manager or call.phase == "after":
            return None
        tried = "try" if call.dry_run else call.verb
        self.told.append(f"{tried} {call.kind}{'/' + call.subresource if call.subresource else ''}")
        refusal = self.refuse(call)
        if refusal is not None:
            raise refusal
        return None

    def made(self, kind: Kind, body: Obj) -> Obj:
        """Somebody makes an object, which the caches don't know of yet."""
        return self.people.seed(kind, body)

    def seen(self, kind: Kind, body: Obj) -> Obj:
        """An object that is stored, and in the caches."""
        stored = self.made(kind, body)
        self.store.apply(kind, "ADDED", stored)
        return stored

    def stored(self, kind: Kind, name: str = NAME) -> Obj | None:
        """What the cluster has."""
        return self.cluster.store.peek(kind, "shop", name)

    def carry_out(self, **plan: Any) -> None:
        """Carry a plan out, whose status says something new."""
        rollout = self.store.get(Kind.ROLLOUT, "shop", "checkout") or self._rollout
        metadata = rollout["metadata"]
        status = RolloutStatus.parse(rollout.get("status") or {}, "status")
        seen = replace(core.observed(), resource_version=metadata["resourceVersion"], status=status)
        asyncio.run(self._run(rollout, seen, Plan(**{"status": TOLD, **plan})))

    async def _run(self, rollout: Obj, seen: Observed, plan: Plan) -> None:
        await self._executor.carry_out(rollout, seen, plan)

    @property
    def status(self) -> Obj:
        """The Rollout's."""
        stored = self.stored(Kind.ROLLOUT, "checkout")
        assert stored is not None
        found: Obj = stored.get("status") or {}
        return found


@pytest.fixture
def desk() -> Desk:
    """A Rollout, and nothing else."""
    return Desk()


# ---------------------------------------------------------------------------------------------- trial


def run_spec() -> Any:
    """A run that would begin."""
    return core.running().runs[0].spec


def test_a_run_is_tried_before_it_is_recorded(desk: Desk) -> None:
    """The API server looks at what the run is to make; then comes the record, the finalizer, the status, the rest."""
    desk.carry_out(
        trial=deployment(0), create_run=run_spec(), finalizer=FinalizerChange.ADD, applies=(deployment(), service())
    )
    head = ["try Deployment", "create RolloutRun", "patch_merge Rollout", "patch_merge Rollout/status"]
    assert desk.told[:4] == head
    assert sorted(desk.told[4:]) == ["apply Deployment", "apply Service"]


@pytest.mark.parametrize("refusal", [Rejected("422: containerPort is out of range"), Forbidden("403: exceeded quota")])
def test_a_template_that_is_refused_begins_nothing(desk: Desk, refusal: SluiceError) -> None:
    """No record, no Deployment: the status says what the API server said, and what to do."""
    desk.refuse = lambda call: refusal if call.dry_run else None
    with pytest.raises(TemplateRefused) as raised:
        desk.carry_out(trial=deployment(), create_run=run_spec(), applies=(deployment(),))
    assert desk.told == ["try Deployment", "patch_merge Rollout/status"]
    [stalled] = [each for each in desk.status["conditions"] if each["type"] == "Stalled"]
    assert stalled["reason"] == reason_of(raised.value) == "TemplateRefused"
    assert stalled["message"].startswith(str(refusal))
    assert "Correct the pod template, or what refuses it" in stalled["message"]


def test_a_template_that_means_nothing_is_found_by_the_trial(desk: Desk) -> None:
    """Not by a stub: the cluster itself refuses a template that lacks the labels of the selector."""
    bad = deployment()
    bad.body["spec"]["template"]["metadata"]["labels"] = {"app": "else"}
    with pytest.raises(TemplateRefused):
        desk.carry_out(trial=bad, create_run=run_spec())
    assert desk.stored(Kind.ROLLOUT_RUN, "checkout-1") is None
    assert desk.stored(Kind.DEPLOYMENT) is None


def test_a_trial_without_an_answer_is_no_refusal(desk: Desk) -> None:
    """The API server did not answer: nothing begins, nothing is said of the template, and it is tried again."""
    desk.refuse = lambda call: Unavailable("timed out") if call.dry_run else None
    with pytest.raises(Unavailable):
        desk.carry_out(trial=deployment(), create_run=run_spec())
    assert desk.told == ["try Deployment"]
    assert desk.status == {}


# ---------------------------------------------------------------------------------------------- applies


def test_what_is_applied_is_known_at_once(desk: Desk) -> None:
    """The answers go into the caches: the next pass does not decide from what was there before."""
    desk.carry_out(applies=(deployment(), service()))
    uid = ""
    for kind in (Kind.DEPLOYMENT, Kind.SERVICE):
        stored, known = desk.stored(kind), desk.store.get(kind, "shop", NAME)
        assert stored is not None
        assert known is not None
        assert known["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
        uid = known["metadata"]["uid"]
    desk.carry_out(status=RolloutStatus(message="more"), applies=(service("blue", uid=uid),))
    changed = desk.stored(Kind.SERVICE)
    assert changed is not None
    assert changed["spec"]["selector"] == {"sluice.dev/slot": "blue"}


def test_nothing_is_applied_before_the_status(desk: Desk) -> None:
    """A status that cannot be written keeps what it would announce from being done."""
    desk.refuse = lambda call: Conflict("somebody was quicker") if call.subresource == "status" else None
    with pytest.raises(Conflict):
        desk.carry_out(applies=(deployment(),), patches=(patch(),), removals=(Removal(Kind.SERVICE, NAME, "x"),))
    assert desk.told == ["patch_merge Rollout/status"]


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.DEPLOYMENT])
def test_an_object_that_came_meanwhile_is_not_taken_over(desk: Desk, kind: Kind) -> None:
    """The caches know of none, but somebody has just made one of that name: it stays as it is."""
    labels = {"app": "somebody"}
    theirs = (
        manifests.service("shop", NAME, labels)
        if kind is Kind.SERVICE
        else manifests.deployment("shop", NAME, "x", replicas=9)
    )
    before = desk.made(kind, theirs)
    with pytest.raises(Conflict, match=NAME):
        desk.carry_out(applies=(service() if kind is Kind.SERVICE else deployment(),))
    after = desk.stored(kind)
    assert after is not None
    assert after["spec"] == before["spec"]


def test_an_object_that_was_made_anew_is_not_changed(desk: Desk) -> None:
    """The uid is that of the one which was seen."""
    desk.made(Kind.SERVICE, manifests.service("shop", NAME, {"app": "somebody"}))
    with pytest.raises(Conflict, match=NAME):
        desk.carry_out(applies=(service(uid="of-the-former"),))


def test_one_refused_apply_keeps_nothing_else_from_being_done(desk: Desk) -> None:
    """A quota that refuses the Deployment leaves its Service, and every share, to be written; what is last is not."""
    kept = desk.seen(Kind.SERVICE, manifests.service("shop", "old", {"a": "b"}))
    desk.refuse = lambda call: Forbidden("exceeded quota") if call.kind is Kind.DEPLOYMENT else None
    removal = Removal(Kind.SERVICE, "old", kept["metadata"]["uid"])
    with pytest.raises(Forbidden, match="quota"):
        desk.carry_out(applies=(deployment(), service()), removals=(removal,))
    assert desk.stored(Kind.SERVICE) is not None
    assert desk.stored(Kind.SERVICE, "old") is not None


def test_an_apply_of_what_is_there_wakes_nobody(desk: Desk) -> None:
    """No change, no event: a pass that finds all in order does not cause another."""
    desk.carry_out(applies=(service(),))
    known = desk.store.get(Kind.SERVICE, "shop", NAME)
    assert known is not None
    changes: list[Kind] = []
    desk.store.listen(lambda kind, before, after: changes.append(kind))
    desk.carry_out(applies=(service(uid=known["metadata"]["uid"]),))
    assert Kind.SERVICE not in changes


# ---------------------------------------------------------------------------------------------- patches, farewells


def patch(name: str = "source", uid: str = "u") -> Patch:
    """A Deployment that is somebody else's is scaled."""
    operations: tuple[Obj, ...] = (
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "replace", "path": "/spec/replicas", "value": 0},
    )
    return Patch(Kind.DEPLOYMENT, name, operations)


def test_a_patch_changes_the_object_that_was_seen(desk: Desk) -> None:
    """And no other one of its name; one that is gone needs none."""
    source = desk.seen(Kind.DEPLOYMENT, manifests.deployment("shop", "source", "x", replicas=3))
    desk.carry_out(patches=(patch(uid=source["metadata"]["uid"]), patch("gone")))
    found = desk.store.get(Kind.DEPLOYMENT, "shop", "source")
    assert found is not None
    assert found["spec"]["replicas"] == 0
    with pytest.raises(Conflict):
        desk.carry_out(status=RolloutStatus(message="more"), patches=(patch(uid="of-the-former"),))


def marked(name: str, **annotations: str) -> Obj:
    """A Service with annotations."""
    body = manifests.service("shop", name, {"a": "b"})
    body["metadata"]["annotations"] = annotations
    return body


MARKS = (OWNER_ANNOTATION, WEIGHTS_ANNOTATION)


def test_letting_go_takes_off_the_marks_that_are_there(desk: Desk) -> None:
    """Whichever of them the object has; other people's annotations stay, and so does what has none of them."""
    one = desk.seen(Kind.SERVICE, marked("one", **{OWNER_ANNOTATION: "shop/checkout/u", "team": "payments"}))
    two = desk.seen(Kind.SERVICE, marked("two", team="payments"))
    uids = {name: stored["metadata"]["uid"] for name, stored in (("one", one), ("two", two))}
    desk.carry_out(releases=tuple(Release(Kind.SERVICE, name, uid, MARKS) for name, uid in uids.items()))
    for name in uids:
        found = desk.stored(Kind.SERVICE, name)
        assert found is not None
        assert found["metadata"]["annotations"] == {"team": "payments"}
    assert desk.told.count("patch_json Service") == 1


def test_what_is_gone_or_another_by_now_is_let_go_of_already(desk: Desk) -> None:
    """It is no reason to keep the finalizer."""
    desk.seen(Kind.SERVICE, marked("one", **{OWNER_ANNOTATION: "shop/else/u"}))
    releases = (Release(Kind.SERVICE, "one", "of-the-former", MARKS), Release(Kind.SERVICE, "gone", "x", MARKS))
    desk.carry_out(releases=releases)
    assert desk.told == ["patch_merge Rollout/status"]


def test_what_cannot_be_made_good_comes_last(desk: Desk) -> None:
    """First all else, then objects are let go of and removed, and then the finalizer goes."""
    desk.carry_out(finalizer=FinalizerChange.ADD)
    one = desk.seen(Kind.SERVICE, marked("one", **{OWNER_ANNOTATION: "shop/checkout/u"}))
    old = desk.seen(Kind.DEPLOYMENT, manifests.deployment("shop", NAME, "x", replicas=1))
    desk.told.clear()
    desk.carry_out(
        status=RolloutStatus(message="ends"),
        applies=(service(),),
        removals=(Removal(Kind.DEPLOYMENT, NAME, old["metadata"]["uid"]),),
        releases=(Release(Kind.SERVICE, "one", one["metadata"]["uid"], MARKS),),
        finalizer=FinalizerChange.REMOVE,
    )
    assert desk.told[:2] == ["patch_merge Rollout/status", "apply Service"]
    assert sorted(desk.told[2:4]) == ["delete Deployment", "patch_json Service"]
    assert desk.told[4:] == ["patch_merge Rollout"]


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.DEPLOYMENT])
def test_a_farewell_that_fails_keeps_the_finalizer(desk: Desk, kind: Kind) -> None:
    """Nothing is forgotten half-marked or half-removed: the next pass goes on."""
    desk.carry_out(finalizer=FinalizerChange.ADD)
    one = desk.seen(Kind.SERVICE, marked("one", **{OWNER_ANNOTATION: "shop/checkout/u"}))
    old = desk.seen(Kind.DEPLOYMENT, manifests.deployment("shop", NAME, "x", replicas=1))
    desk.refuse = lambda call: Unavailable("timed out") if call.kind is kind else None
    with pytest.raises(Unavailable):
        desk.carry_out(
            status=RolloutStatus(message="ends"),
            removals=(Removal(Kind.DEPLOYMENT, NAME, old["metadata"]["uid"]),),
            releases=(Release(Kind.SERVICE, "one", one["metadata"]["uid"], MARKS),),
            finalizer=FinalizerChange.REMOVE,
        )
    rollout = desk.stored(Kind.ROLLOUT, "checkout")
    assert rollout is not None
    assert rollout["metadata"]["finalizers"]


def test_a_removal_spares_another_object_of_the_name(desk: Desk) -> None:
    """Somebody deleted it and made one of their own: that one stays."""
    desk.made(Kind.SERVICE, marked("one"))
    with pytest.raises(Conflict):
        desk.carry_out(removals=(Removal(Kind.SERVICE, "one", "of-the-former"),))
    assert desk.stored(Kind.SERVICE, "one") is not None
    desk.carry_out(status=RolloutStatus(message="more"), removals=(Removal(Kind.SERVICE, "gone", "x"),))


def test_a_kill_comes_before_all_of_it(desk: Desk) -> None:
    """And where it fails, the slots are tended all the same."""
    route = desk.seen(Kind.HTTP_ROUTE, manifests.route("shop", "checkout"))
    target = replace(core.target(1000), uid=route["metadata"]["uid"])
    cause = Cause(run="u/1", action="divert")
    shift = Shift(target, core.SERVICES, Slot.GREEN, share=0, grows=False, cause=cause, owner=core.OWNER)
    desk.refuse = lambda call: Unavailable("timed out") if call.kind is Kind.HTTP_ROUTE else None
    with pytest.raises(Unavailable):
        desk.carry_out(urgent=(shift,), applies=(service(),))
    assert desk.told == ["patch_json HTTPRoute", "patch_merge Rollout/status", "apply Service"]
