"""Member clusters looked after: each by itself, told of in its status, and never in another's way."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from sluice.api.names import Kind
from sluice.decide.members import MemberState
from sluice.decide.rights import RIGHTS
from sluice.decide.sharding import ALL, NO_SHARDS
from sluice.engine.member import FIRST_RETRY_SECONDS, PROBES_PER_REVIEW
from sluice.engine.site import Site
from sluice.errors import BadAnswer, Forbidden, InvalidSpec, NotLeader, Rejected, SluiceError, Unavailable
from sluice.ports import Member
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from unit.engine.stage import INTERVAL_SECONDS, Stage, play


def test_members_become_ready() -> None:
    """Each is connected by its own kubeconfig, asked for every right, and told of with version and host."""

    async def story(stage: Stage) -> None:
        stage.add("one")
        two = stage.add("two")
        await stage.until_ready("one", "two", seconds=5)
        assert stage.status("one")["version"] == "v1.36.3"
        assert stage.status("one")["server"] == "one:6443"
        assert "lastSeenAt" not in stage.status("one")
        assert two.reviews == len(RIGHTS)
        assert list(stage.members.states()) == [MemberState.READY] * 2

    play(story)


def test_a_quiet_fleet_writes_nothing() -> None:
    """Probes go on for hours; statuses stay as they are; rights are asked for with every tenth probe only."""

    async def story(stage: Stage) -> None:
        one = stage.add("one")
        await stage.until_ready("one")
        written = len(stage.writes)
        await asyncio.sleep(2 * 3600)
        assert len(stage.writes) == written
        assert 200 < one.probes < 300
        assert one.reviews <= len(RIGHTS) * (one.probes // PROBES_PER_REVIEW + 1)
        assert stage.members.probes == {"answered": one.probes}

    play(story)


def test_a_kind_that_is_not_served_gives_no_rights() -> None:
    """A member without our kinds cannot be worked in, whatever its role says; once it serves them it can."""

    async def story(stage: Stage) -> None:
        one = stage.add("one")
        one.kinds -= {"memberrolloutruns", "memberrolloutruns/status"}
        await stage.until(lambda: stage.told("one").get("Authorized") == "False RightsMissing", 5)
        assert stage.status("one")["missingRights"] == [
            *(f"{verb} memberrolloutruns.sluice.dev" for verb in ("get", "list", "watch", "create", "delete")),
            "patch memberrolloutruns.sluice.dev/status",
        ]
        one.kinds |= {"memberrolloutruns", "memberrolloutruns/status"}
        await stage.until_ready("one", seconds=2 * INTERVAL_SECONDS)

    play(story)


def test_a_member_that_hangs_delays_no_other() -> None:
    """One never answers a question; the others become ready, are probed on time, and their changes are told."""

    async def story(stage: Stage) -> None:
        stage.add("dead").hangs = True
        two = stage.add("two")
        await stage.until_ready("two", seconds=5)
        two.denied = {"patch pods"}
        await stage.until(lambda: stage.told("two").get("Authorized") == "False RightsMissing", 12 * INTERVAL_SECONDS)
        assert stage.status("two")["missingRights"] == ["patch pods"]
        assert stage.connections["dead"].probes == 1

    play(story)


def test_a_hundred_members_of_which_most_are_dead() -> None:
    """The few that answer are ready within seconds: no turn has to be waited for."""

    async def story(stage: Stage) -> None:
        for number in range(95):
            stage.add(f"dead-{number}").hangs = True
        good = [f"good-{number}" for number in range(5)]
        for name in good:
            stage.add(name)
        await stage.until_ready(*good, seconds=10)

    play(story)


def test_an_outage_is_told_and_mended() -> None:
    """One failed probe is not an outage; the second is, with the last time it was seen; then it is as before."""

    async def story(stage: Stage) -> None:
        one = stage.add("one")
        await stage.until_ready("one")
        one.fails = Unavailable("read the version: no answer")
        failed = one.probes
        await stage.until(lambda: one.probes == failed + 1)
        await asyncio.sleep(FIRST_RETRY_SECONDS / 2)
        assert stage.told("one")["Ready"] == "True MemberReady"
        await stage.until(lambda: stage.told("one")["Reachable"] == "False NoAnswer", INTERVAL_SECONDS)
        assert stage.told("one")["Authorized"] == "Unknown NoAnswer"
        assert stage.status("one")["lastSeenAt"]
        written = len(stage.writes)
        await asyncio.sleep(3600)
        assert len(stage.writes) == written
        one.fails = None
        await stage.until_ready("one", seconds=2 * 60)
        assert "lastSeenAt" not in stage.status("one")

    play(story)


@pytest.mark.parametrize(
    "error, reason, state",
    [
        (BadAnswer("something answers, but not as a Kubernetes does"), "NotKubernetes", MemberState.UNREACHABLE),
        (Forbidden("read the version: the API server answered 401"), "CredentialsRefused", MemberState.UNAUTHORIZED),
        (InvalidSpec("AddressRefused", "leads to a link-local address"), "AddressRefused", MemberState.UNREACHABLE),
        (Rejected("read the version: the API server answered 400"), "NotKubernetes", MemberState.UNREACHABLE),
    ],
)
def test_how_it_fails_is_told(error: SluiceError, reason: str, state: MemberState) -> None:
    """Each way to fail has its reason, and the words that say what happened."""

    async def story(stage: Stage) -> None:
        stage.add("one").fails = error
        await stage.until(lambda: stage.told("one").get("Ready") == f"False {reason}", 10)
        assert any(str(error) in each["message"] for each in stage.status("one")["conditions"])
        assert list(stage.members.states()) == [state]

    play(story)


def test_who_is_away_is_looked_at_once_a_second_at_most() -> None:
    """However many kills wait there."""

    async def story(stage: Stage) -> None:
        one = stage.add("one")
        await stage.until_ready("one")
        one.fails = Unavailable("read the version: no answer within 5 s")
        one.told_silent()
        await stage.until(lambda: stage.told("one")["Reachable"] == "False NoAnswer", INTERVAL_SECONDS)
        await asyncio.sleep(600)
        before = one.probes
        for _ in range(1000):
            one.told_silent()
            await asyncio.sleep(0.01)
        assert 10 <= one.probes - before <= 11

    play(story)


def test_beside_the_probes_one_waits_longer() -> None:
    """Probes give up soon; one question at a time waits, so that who takes long for an answer can be killed in, too."""

    async def story(stage: Stage) -> None:
        one = stage.add("one")
        await stage.until_ready("one")
        one.fails = Unavailable("read the version: no answer within 5 s")
        one.told_silent()
        await stage.until(lambda: one.patient == 1, FIRST_RETRY_SECONDS)
        await asyncio.sleep(3600)
        assert one.patient == 1

    play(story)


def test_a_member_that_asks_for_patience_gets_it() -> None:
    """Retry-After is kept to, though the first retry would come after a second."""

    async def story(stage: Stage) -> None:
        one = stage.add("one")
        one.fails = Unavailable("read the version: the API server answered 429", 120.0)
        await asyncio.sleep(100)
        assert one.probes == 1
        await stage.until(lambda: one.probes == 2, 30)

    play(story)


def test_what_a_member_says_is_cut_and_cleaned() -> None:
    """Its words can be long and speak to a terminal: what gets into the status does neither."""

    async def story(stage: Stage) -> None:
        stage.add("one").fails = Unavailable("no answer \x1b[31m" + "x" * 5000)
        await stage.until(lambda: bool(stage.told("one")), 10)
        messages = [each["message"] for each in stage.status("one")["conditions"]]
        assert all(message.isprintable() and len(message) <= 500 for message in messages)

    play(story)


def test_a_new_kubeconfig_is_taken_up() -> None:
    """The Secret changes: the old connection is closed, and the new cluster is asked at once, rights and all."""

    async def story(stage: Stage) -> None:
        old = stage.add("one")
        await stage.until_ready("one")
        stage.secret("one", "elsewhere")
        await stage.until(lambda: stage.status("one").get("server") == "elsewhere:6443", 1)
        assert old.closed == 1
        assert stage.connections["elsewhere"].reviews == len(RIGHTS)
        assert stage.told("one")["Ready"] == "True MemberReady"

    play(story)


def test_secrets_that_are_wrong() -> None:
    """No Secret, no such key, a refused kubeconfig: Stalled, in words that name it; mended, it is ready at once."""

    async def story(stage: Stage) -> None:
        spec = {"kubeconfigSecretRef": {"name": "member-one"}}
        stage.hub.seed(Kind.MEMBER_CLUSTER, {"metadata": {"name": "one"}, "spec": spec})
        await stage.until(lambda: stage.told("one").get("Stalled") == "True SecretMissing", 1)
        assert "kubectl -n sluice-system label secret member-one" in stage.status("one")["conditions"][0]["message"]
        stage.secret("one", "x", key="config")
        await stage.until(lambda: "no key kubeconfig" in str(stage.status("one")), 600)
        stage.secret("one", "refused")
        await stage.until(lambda: stage.told("one").get("Stalled") == "True KubeconfigRefused", 1)
        stage.secret("one", "good")
        await stage.until_ready("one", seconds=1)
        assert "Stalled" not in stage.told("one")

    play(story)


def test_until_secrets_are_known_nothing_is_claimed() -> None:
    """While they cannot be listed, a new member is Unknown, and one that was ready stays what it was."""

    async def story(stage: Stage) -> None:
        stage.problem = "list secrets: the API server answered 403"
        stage.add("one")
        await stage.until(lambda: stage.told("one").get("Ready") == "Unknown Connecting", 1)
        assert "answered 403" in str(stage.status("one"))
        stage.problem = ""
        await stage.until_ready("one", seconds=2 * INTERVAL_SECONDS)

    play(story)


def test_a_member_that_is_deleted_is_let_go() -> None:
    """Its connection is closed, and it is asked no more; made anew under its name, it is connected anew."""

    async def story(stage: Stage) -> None:
        one = stage.add("one")
        await stage.until_ready("one")
        uid = stage.hub.store.get(Kind.MEMBER_CLUSTER, "", "one")["metadata"]["uid"]
        await stage.hub.delete(Kind.MEMBER_CLUSTER, "", "one", uid=uid)
        await stage.until(lambda: one.closed == 1, 1)
        probes = one.probes
        await asyncio.sleep(3600)
        assert one.probes == probes
        stage.add("one")
        await stage.until_ready("one", seconds=1)
        assert stage.texts == ["one", "one"]

    play(story)


def test_a_new_leader_goes_on_from_the_status() -> None:
    """A member that was ready is not called anything else in between, and nothing is written."""

    async def main() -> None:
        stage = Stage()
        stage.add("one")
        first = asyncio.create_task(stage.members.run())
        await stage.until_ready("one")
        written = len(stage.writes)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        for _ in range(2):
            looking = asyncio.create_task(stage.members.run())
            await asyncio.sleep(60)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            assert stage.connections["one"].closed
        assert len(stage.writes) == written

    run(main())


def test_who_has_not_its_shard_looks_at_a_member_as_often_and_tells_nothing() -> None:
    """Another replica tells of it; when that is lost, this one tells at once, for it has looked all along."""

    async def story(stage: Stage) -> None:
        stage.mastery.held = NO_SHARDS
        one = stage.add("one")
        await asyncio.sleep(10 * INTERVAL_SECONDS)
        assert 5 < one.probes < 20
        assert not stage.writes
        stage.mastery.held = ALL
        stage.members.take_up(ALL)
        await stage.until_ready("one", seconds=1)

    play(story)


def test_who_is_not_sure_to_lead_writes_nothing() -> None:
    """While the Lease may be another's nothing is written; if it was ours all along, the member is told of then."""

    async def story(stage: Stage) -> None:
        def fence(call: Call) -> None:
            if call.writes:
                raise NotLeader("the Lease is not surely ours")

        stage.hub.faults.append(fence)
        one = stage.add("one")
        await stage.until(lambda: one.probes > 3)
        assert not stage.writes
        stage.hub.faults.clear()
        await stage.until_ready("one", seconds=5)

    play(story)


def test_an_older_event_does_not_undo_what_was_written() -> None:
    """The watch may tell late of what the status was before our own last write."""

    async def story(stage: Stage) -> None:
        stage.add("one")
        first = stage.hub.store.get(Kind.MEMBER_CLUSTER, "", "one")
        await stage.until_ready("one")
        written = len(stage.writes)
        stage.members.take_member("MODIFIED", first)
        await asyncio.sleep(10 * INTERVAL_SECONDS)
        assert len(stage.writes) == written

    play(story)


def test_a_defect_met_at_one_member_stays_there() -> None:
    """An exception that nobody foresaw is counted and logged; the others go on, and that one is tried again."""

    async def story(stage: Stage) -> None:
        bad = stage.add("bad")
        bad.fails = RuntimeError("nobody foresaw this")
        stage.add("good")
        await stage.until_ready("good", seconds=5)
        bad.fails = None
        await stage.until_ready("bad", seconds=3600)
        assert stage.members.probes["defect"] > 0

    play(story)


def test_one_cluster_is_one_member() -> None:
    """A second MemberCluster for it says which other one has it, and is used as soon as that one is gone."""

    async def story(stage: Stage) -> None:
        stage.add("one", "home")
        await stage.until_ready("one")
        await asyncio.sleep(1)
        stage.add("again", "home")
        await stage.until(lambda: stage.told("again").get("Ready") == "False SameCluster", 5)
        assert stage.told("again")["Stalled"] == "True SameCluster"
        assert "MemberCluster one" in str(stage.status("again")["conditions"])
        assert (stage.told("one")["Ready"], list(stage.members.views())) == ("True MemberReady", ["one"])
        found = stage.hub.store.get(Kind.MEMBER_CLUSTER, "", "one")
        await stage.hub.delete(Kind.MEMBER_CLUSTER, "", "one", uid=found["metadata"]["uid"])
        await stage.until_ready("again", seconds=5)
        assert (list(stage.members.views()), "Stalled" in stage.told("again")) == (["again"], False)

    play(story)


def test_another_prometheus_is_asked_from_then_on() -> None:
    """A changed address is taken up without a restart: the work there begins anew, with it, and only then."""
    opened: list[str] = []

    class FakeSite:
        ready = True

        async def run(self) -> None:
            await asyncio.Event().wait()

    def open_site(name: str, connection: Member, prometheus: str) -> Site:
        del name, connection
        opened.append(prometheus)
        return cast("Site", FakeSite())

    async def story(stage: Stage) -> None:
        stage.members.work(open_site, lambda: None)
        stage.add("one")
        await stage.until_ready("one")
        await asyncio.sleep(600)
        for address in ("http://new:9090", "http://new:9090"):
            spec = {"spec": {"prometheus": {"address": address}}}
            stage.hub.store.merge(Kind.MEMBER_CLUSTER, "", "one", spec, subresource="", manager="kubectl")
            await asyncio.sleep(60)

    play(story)
    assert opened == ["", "http://new:9090"]
