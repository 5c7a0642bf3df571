"""Members discovered from ClusterProfiles: they come, are told how to be reached, change and go with their profiles."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any

from sluice.api.kubeconfig import parse_kubeconfig
from sluice.api.names import PROFILE_LABEL, Kind
from sluice.engine.fence import Fence
from sluice.engine.member import Inventory
from sluice.engine.profiles import GRACE_SECONDS, Profiles, Source
from sluice.errors import Forbidden
from sluice.ports import Member, Obj
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.store import Change
from unit.engine.stage import Stage

FLEET = "fleet"


class Inventoried(Stage):
    """A hub with ClusterProfiles in a namespace, followed."""

    def __init__(self) -> None:
        super().__init__()
        self.hub.seed(Kind.NAMESPACE, {"metadata": {"name": FLEET}})
        self.unknown = ""
        self.changes: list[str] = []
        self.profiles = Profiles(
            self.hub,
            self.clock,
            Source(FLEET, "sluice-system", ("secretreader",)),
            fence=Fence(self.mastery),
            unknown=lambda: self.unknown,
            wake=self.members.wake,
        )
        self.members.discover(Inventory(self.profiles.problem, self.profiles.kubeconfig, self.profiles.missing))
        self.hub.subscribe(Kind.MEMBER_CLUSTER, self.profiles.take_member)
        self.hub.subscribe(Kind.CLUSTER_PROFILE, self.profiles.take_profile)
        self.hub.on_change.append(self._note)

    def take_secret(self, event: str, obj: Obj) -> None:
        """As the two watches have it, each by its label."""
        if "x-k8s.io/cluster-profile" in obj["metadata"].get("labels", {}):
            self.profiles.take_secret(event, obj)
        else:
            super().take_secret(event, obj)

    def _note(self, change: Change) -> None:
        if change.kind is Kind.MEMBER_CLUSTER:
            self.changes.append(change.type)

    async def _connect(self, name: str, text: str) -> Member:
        if "\n" in text or text.startswith("{"):
            text = parse_kubeconfig(text).host
        return await super()._connect(name, text)

    def profile(self, name: str, **status: Any) -> None:
        """Add or change a profile. `labels` are its own."""
        labels = status.pop("labels", {})
        self.profile_is(
            {"metadata": {"name": name, "namespace": FLEET, "labels": labels}, "spec": {}, "status": status}
        )

    def profile_is(self, body: Obj) -> None:
        """Store a profile."""
        name = body["metadata"]["name"]
        if self.hub.store.peek(Kind.CLUSTER_PROFILE, FLEET, name) is None:
            self.hub.seed(Kind.CLUSTER_PROFILE, body)
        else:
            self.hub.store.merge(Kind.CLUSTER_PROFILE, FLEET, name, body, subresource="", manager="manager")

    async def drop(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object."""
        found = self.hub.store.peek(kind, namespace, name) or {}
        await self.hub.as_manager("manager").delete(kind, namespace, name, uid=found["metadata"]["uid"])

    def lend(self, profile: str, name: str = "", **data: str) -> None:
        """A Secret for a profile."""
        metadata = {
            "name": name or f"lent-{profile}",
            "namespace": "sluice-system",
            "labels": {"x-k8s.io/cluster-profile": profile},
        }
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.hub.seed(Kind.SECRET, {"metadata": metadata, "data": encoded})

    def member(self, name: str) -> Obj | None:
        """A MemberCluster."""
        return self.hub.store.peek(Kind.MEMBER_CLUSTER, "", name)

    def message(self, name: str) -> str:
        """Why a member is not ready."""
        return next(str(each["message"]) for each in self.status(name)["conditions"] if each["type"] == "Ready")


def play(story: Callable[[Inventoried], Coroutine[Any, Any, None]]) -> None:
    """Run a story, with profiles followed and members looked after."""

    async def main() -> None:
        stage = Inventoried()
        running = [asyncio.create_task(stage.members.run()), asyncio.create_task(stage.profiles.run())]
        try:
            await story(stage)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    run(main())


def test_a_profile_with_a_secret_becomes_a_ready_member() -> None:
    """Labels and all, by the kubeconfig that was pushed; and then not a write more."""

    async def story(stage: Inventoried) -> None:
        stage.lend("pilot", Config="pilot")
        stage.profile("pilot", labels={"env": "prod"}, properties=[{"name": "location", "value": "apac"}])
        await stage.until_ready("pilot", seconds=5)
        assert (stage.member("pilot") or {})["metadata"]["labels"] == {
            "env": "prod",
            "location": "apac",
            PROFILE_LABEL: "pilot",
        }
        assert stage.members.views()["pilot"].labels["env"] == "prod"
        written = len(stage.changes)
        stage.profile("pilot", properties=[{"name": "location", "value": "apac", "lastObservedTime": "now"}])
        await asyncio.sleep(3600)
        assert len(stage.changes) == written

    play(story)


def test_without_a_secret_it_says_what_to_create() -> None:
    """Stalled, SecretMissing, in words that name label and key; once that is there the member is ready."""

    async def story(stage: Inventoried) -> None:
        stage.profile("pilot")
        await stage.until(lambda: stage.told("pilot").get("Stalled") == "True SecretMissing", 5)
        assert "with the label x-k8s.io/cluster-profile=pilot and a kubeconfig" in stage.message("pilot")
        stage.lend("pilot", Config="pilot")
        await stage.until_ready("pilot", seconds=5)
        stage.lend("pilot", "another", Config="pilot")
        await stage.until(lambda: stage.told("pilot").get("Stalled") == "True SecretMissing", 5)
        assert "2 Secrets in sluice-system carry the label" in stage.message("pilot")

    play(story)


def test_the_usual_secret_serves_a_discovered_member_too() -> None:
    """One with our own label, as `sluice clusters add` makes it."""

    async def story(stage: Inventoried) -> None:
        stage.secret("pilot", "pilot")
        stage.profile("pilot")
        await stage.until_ready("pilot", seconds=5)

    play(story)


def test_a_token_follows_the_address_in_the_profile() -> None:
    """The cluster moves: the old connection is closed, the new one made; a heartbeat in the profile does nothing."""

    async def story(stage: Inventoried) -> None:
        stage.lend("pilot", token="t")
        stage.profile("pilot", accessProviders=[{"name": "secretreader", "cluster": {"server": "https://one"}}])
        await stage.until(lambda: stage.status("pilot").get("server") == "one:6443", 5)
        stage.profile("pilot", accessProviders=[{"name": "secretreader", "cluster": {"server": "https://two"}}])
        await stage.until(lambda: stage.status("pilot").get("server") == "two:6443", 1)
        assert stage.cluster("one").closed == 1
        probes = stage.cluster("two").probes
        stage.profile("pilot", conditions=[{"type": "ControlPlaneHealthy", "status": "True"}])
        await asyncio.sleep(5)
        assert stage.cluster("two").probes == probes

    play(story)


def test_a_member_goes_with_its_profile_after_a_while() -> None:
    """For five minutes it works on, address and all; a profile that comes back in time leaves no trace."""

    async def story(stage: Inventoried) -> None:
        stage.lend("pilot", token="t")
        status = {"accessProviders": [{"name": "secretreader", "cluster": {"server": "https://one"}}]}
        stage.profile("pilot", **status)
        await stage.until_ready("pilot", seconds=5)
        uid = (stage.member("pilot") or {})["metadata"]["uid"]
        await stage.drop(Kind.CLUSTER_PROFILE, FLEET, "pilot")
        await asyncio.sleep(GRACE_SECONDS - 10)
        assert stage.told("pilot")["Ready"] == "True MemberReady"
        stage.profile("pilot", **status)
        await asyncio.sleep(2 * GRACE_SECONDS)
        assert (stage.member("pilot") or {})["metadata"]["uid"] == uid
        await stage.drop(Kind.CLUSTER_PROFILE, FLEET, "pilot")
        await stage.until(lambda: stage.member("pilot") is None, GRACE_SECONDS + 5)
        assert stage.cluster("one").closed == 1

    play(story)


def test_what_a_lost_watch_missed_is_healed_by_the_list() -> None:
    """A profile that is not in the list is gone; one that is there is made."""

    async def story(stage: Inventoried) -> None:
        stage.profile("gone")
        await stage.until(lambda: stage.member("gone") is not None, 5)
        stage.profiles.replace_profiles([{"metadata": {"name": "here", "namespace": FLEET}}])
        await stage.until(lambda: stage.member("here") is not None, 5)
        await stage.until(lambda: stage.member("gone") is None, GRACE_SECONDS + 5)

    play(story)


def test_members_made_by_hand_stay_as_they_are() -> None:
    """One of the profile's name is neither changed nor deleted; one that is let go stays when its profile goes."""

    async def story(stage: Inventoried) -> None:
        stage.add("pilot")
        stage.lend("pilot", Config="elsewhere")
        stage.profile("pilot", labels={"env": "prod"})
        stage.profile("other")
        await stage.until(lambda: stage.member("other") is not None, 5)
        label = {"metadata": {"labels": {PROFILE_LABEL: None}}}
        stage.hub.store.merge(Kind.MEMBER_CLUSTER, "", "other", label, subresource="", manager="kubectl")
        for name in ("pilot", "other"):
            await stage.drop(Kind.CLUSTER_PROFILE, FLEET, name)
        await asyncio.sleep(2 * GRACE_SECONDS)
        assert "labels" not in (stage.member("pilot") or {})["metadata"]
        assert stage.status("pilot")["server"] == "pilot:6443"
        assert stage.member("other") is not None

    play(story)


def test_a_mark_lends_nobody_anothers_secret() -> None:
    """A MemberCluster by hand that claims to be of a profile does not get at the Secret that is for this one."""

    async def story(stage: Inventoried) -> None:
        stage.lend("prod", Config="prod")
        stage.profile("prod")
        await stage.until_ready("prod", seconds=5)
        marked = {
            "name": "mine",
            "labels": {PROFILE_LABEL: "mine"},
            "annotations": {"sluice.dev/cluster-profile": f"{FLEET}/prod"},
        }
        stage.hub.seed(
            Kind.MEMBER_CLUSTER,
            {"metadata": marked, "spec": {"kubeconfigSecretRef": {"name": "lent-prod", "key": "Config"}}},
        )
        await stage.until(lambda: stage.told("mine").get("Stalled") == "True SecretMissing", 5)
        assert stage.texts == ["prod"]

    play(story)


def test_before_everything_is_known_nothing_is_done() -> None:
    """No member is made, told or deleted by a list that has not come: a start is no reason to lose a fleet."""

    async def story(stage: Inventoried) -> None:
        stage.unknown = "list clusterprofiles: the API server answered 404"
        stage.profile("pilot")
        stage.lend("pilot", Config="pilot")
        await asyncio.sleep(GRACE_SECONDS * 3)
        assert stage.member("pilot") is None
        stage.unknown = ""
        await stage.until_ready("pilot", seconds=10)

    play(story)


def test_a_refused_write_is_tried_again_and_delays_no_other() -> None:
    """Rights that are not there yet: others are made, and this one as soon as it is allowed."""

    async def story(stage: Inventoried) -> None:
        refuses = True

        def fault(call: Call) -> None:
            if refuses and call.verb == "apply" and call.name == "a":
                raise Forbidden("apply MemberCluster a: the API server answered 403")

        stage.hub.faults.append(fault)
        stage.profile("a")
        stage.profile("b")
        await stage.until(lambda: stage.member("b") is not None, 5)
        await asyncio.sleep(600)
        assert stage.member("a") is None
        refuses = False
        await stage.until(lambda: stage.member("a") is not None, 70)

    play(story)
