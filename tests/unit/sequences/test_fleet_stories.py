"""Runs over fleets, told one by one: the real engines of a hub and its members in an embedded world."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from sluice.api.fleet import FleetStatus
from sluice.api.names import FIELD_MANAGER, Kind, Slot
from sluice.errors import Unavailable
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.fleet import FleetWorld
from sluice.sim.store import Change
from unit.defects import gathered

APP, OTHER = "checkout", "payments"
CANARY = manifests.canary(*manifests.step_weights(10, 50, pause="20s"))
NAMES = ("m1", "m2", "m3", "m4")
BATCHES: list[Obj] = [{"name": "pilot", "clusters": ["m1"], "soak": "40s"}, {"name": "rest", "maxConcurrency": 2}]

Story = Callable[[FleetWorld], Awaitable[None]]


def told(story: Story, batches: list[Obj] = BATCHES, **fields: object) -> FleetWorld:
    """A fleet of four with the app installed, and then the story; nothing in it may be a defect of the operator's."""

    async def main() -> FleetWorld:
        world = FleetWorld(pods=False)
        for name in NAMES:
            world.join(name, zone=name)
        world.fleet_app(APP, batches, CANARY, **fields)
        await world.start()
        await world.install_fleet(APP)
        await story(world)
        assert world.operator.failure() is None
        return world

    with gathered() as defects:
        world = run(main())
    assert not defects.texts, defects.texts[0]
    return world


def fleet(world: FleetWorld, app: str = APP) -> FleetStatus:
    """What the hub says of the fleet."""
    found = world.status(app).fleet
    assert found is not None
    return found


def stage(world: FleetWorld) -> str:
    """The batch and its stage, such as `pilot Soaking`; "" outside of a run."""
    batch = fleet(world).batch
    return f"{batch.name} {batch.stage}" if batch is not None else ""


def outcome(world: FleetWorld, number: int = 2, app: str = APP) -> str:
    """How a run ended; "" while it is under way or was not begun."""
    revision = fleet(world, app).revision
    return str(revision.outcome or "") if revision is not None and revision.number == number else ""


def shares(world: FleetWorld) -> list[int]:
    """What green gets in each cluster, in percent."""
    return [world.share(name, APP) // 100 for name in NAMES]


def records(world: FleetWorld) -> list[str]:
    """The letters of the newest FleetRun's clusters, batch by batch."""
    return [batch["clusters"] for batch in world.fleet_runs(APP)[-1]["status"]["batches"]]


def test_a_run_goes_batch_by_batch() -> None:
    """The pilot first, its soak, and then the others two by two; in the end the revision serves everywhere."""
    seen: list[str] = []

    async def story(world: FleetWorld) -> None:
        world.cluster.on_change.append(lambda _: seen.append(str(shares(world))))
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: outcome(world) == "Completed")
        await asyncio.sleep(1)

    world = told(story)
    assert list(dict.fromkeys(seen))[-1] == "[100, 100, 100, 100]"
    assert "[100, 50, 50, 0]" in seen
    assert "[100, 100, 100, 50]" in seen
    assert records(world) == ["c", "ccc"]


@pytest.mark.parametrize("moment", ["pilot Moving", "pilot Soaking", "rest Moving"])
def test_a_restart_of_the_hub_changes_nothing(moment: str) -> None:
    """A new process does not know its members at once: it takes none for gone, and skips no soak."""
    at: dict[str, float] = {}

    async def story(world: FleetWorld) -> None:
        def note(_: object) -> None:
            at.setdefault(stage(world), world.clock.monotonic())

        world.cluster.on_change.append(note)
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == moment)
        await asyncio.sleep(3)
        await world.restart()
        await world.until(lambda: outcome(world) != "")
        await asyncio.sleep(1)

    world = told(story)
    assert (outcome(world), records(world)) == ("Completed", ["c", "ccc"])
    assert world.fleet_runs(APP)[-1]["status"]["failures"] == []
    assert at["rest Moving"] - at["pilot Soaking"] >= 40


def test_a_cluster_that_is_lost_when_the_run_ends_completes_when_it_is_back() -> None:
    """All of its traffic was on the new revision already: that is what serves there in the end."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1:] == [100, 100, 50])
        world.members["m2"].cut()
        await world.until(lambda: outcome(world) != "")
        await asyncio.sleep(1)
        await asyncio.sleep(60)
        world.members["m2"].mend()
        await asyncio.sleep(120)

    world = told(story)
    assert (outcome(world), shares(world), records(world)) == ("Completed", [100] * 4, ["c", "ccc"])
    assert world.part("m2", APP).stable == world.part("m3", APP).stable or (world.part("m2", APP).phase == "Healthy")


def test_a_lost_pilot_that_completed_late_keeps_the_revision_when_a_later_batch_is_aborted() -> None:
    """What has completed is not taken back by an abort, also where the hub learned of it only in the next batch."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "pilot Soaking")
        await asyncio.sleep(39)
        world.members["m1"].cut()
        await asyncio.sleep(10)
        world.members["m1"].mend()
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 50)
        await world.until(lambda: world.part("m1", APP).revision is not None and _is_over(world, "m1"))
        await asyncio.sleep(1)
        await world.act(APP, "Abort")
        await asyncio.sleep(120)

    world = told(story)
    assert (outcome(world), shares(world)) == ("Aborted", [100, 0, 0, 0])


def _is_over(world: FleetWorld, name: str) -> bool:
    revision = world.part(name, APP).revision
    return revision is not None and revision.outcome is not None


def test_a_lost_cluster_fails_once_its_deadline_is_over_and_returns_when_it_is_back() -> None:
    """The others of its batch wait for it until then; within what may fail they go on without it."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 10)
        world.members["m2"].cut()
        await asyncio.sleep(100)
        assert shares(world)[2] == 10
        await world.until(lambda: outcome(world) != "")
        await asyncio.sleep(1)
        world.members["m2"].mend()
        await asyncio.sleep(120)

    world = told(story, fleet={"maxFailures": 1}, progressDeadline="3m")
    assert (outcome(world), shares(world), records(world)) == ("Completed", [100, 0, 100, 100], ["c", "fcc"])


def test_a_lost_cluster_delays_no_other_rollout() -> None:
    """A Rollout over other clusters takes as long as without it."""
    seconds: list[float] = []

    async def story(world: FleetWorld) -> None:
        await world.install_fleet(OTHER)
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving")
        if seconds:
            world.members["m2"].cut()
        began = world.clock.monotonic()
        await world.release_fleet(OTHER, "1.5.0")
        await world.until(lambda: outcome(world, app=OTHER) == "Completed")
        seconds.append(world.clock.monotonic() - began)
        if len(seconds) > 1:
            assert outcome(world) == ""

    async def with_other(world: FleetWorld) -> None:
        selector = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["m3", "m4"]}]}
        world.fleet_app(OTHER, [{"name": "all"}], CANARY, fleet={"selector": selector})
        await story(world)

    told(with_other)
    told(with_other)
    assert seconds[1] == pytest.approx(seconds[0], abs=2)


def test_a_divert_takes_the_candidate_everywhere_at_once() -> None:
    """All clusters that are halfway return, as one; those that had completed keep the revision."""
    seen: list[list[int]] = []

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1:] == [50, 50, 0])
        await world.engage(reason="5xx", actor="alice")
        await asyncio.sleep(1)
        seen.append(shares(world))
        await asyncio.sleep(120)

    world = told(story)
    assert seen == [[100, 0, 0, 0]]
    assert (outcome(world), shares(world), world.status(APP).phase) == ("Killed", [100, 0, 0, 0], "Killed")


def test_a_kill_anywhere_goes_before_everything_else_everywhere() -> None:
    """Kill writes in one member are slow: until the last of them, nobody in the hub or elsewhere writes anything else.

    What computes and writes then takes its time from kills.
    """
    wrote: list[tuple[str, str]] = []

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: shares(world) == [50, 50, 50, 50])
        await asyncio.sleep(5)
        for name, cluster in {"hub": world.cluster, **{name: world.members[name].cluster for name in NAMES}}.items():

            def note(change: Change, name: str = name) -> None:
                if change.manager == FIELD_MANAGER and change.kind is not Kind.LEASE:
                    wrote.append((name, change.kind))

            cluster.on_change.append(note)
        world.members["m3"].delay_seconds = 1.0
        await world.engage(reason="5xx", actor="alice")
        await world.until(lambda: outcome(world) != "")

    told(story, [{"name": "all"}])
    assert sorted(wrote[: len(NAMES)]) == [(name, Kind.HTTP_ROUTE) for name in NAMES]


FUTURE = "2999-01-01T00:00:00Z"
MAD: dict[str, Obj] = {
    "types": {"step": {"index": -7, "done": "yes"}, "stable": ["?"], "revision": 3, "weight": {}, "conditions": 1},
    "future": {
        "step": {"index": 2, "of": 5, "kind": "pause", "startedAt": FUTURE, "countedUntil": FUTURE},
        "waiting": {"reason": "WaitsForEndpoints", "since": FUTURE},
        "nextTransitionAt": FUTURE,
    },
    "past": {"waiting": {"reason": "WaitsForEndpoints", "since": "1970-01-01T00:00:00Z"}},
    "step": {"step": {"index": 10**9, "of": 5, "kind": "pause", "startedAt": FUTURE, "done": True}},
    "long": {"message": "x" * 500_000, "step": {"index": 2, "of": 5, "kind": "y" * 500_000, "startedAt": FUTURE}},
    "nothing": {},
}


@pytest.mark.parametrize("what", MAD)
def test_mad_data_of_a_member_harms_it_alone(what: str) -> None:
    """What one member says can be anything: the others go on, and it counts as one that failed at most."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 10)
        honest = world.members["m2"].cluster.store.get(Kind.ROLLOUT, world.namespace, APP)["status"]
        status = {**(honest if what in {"future", "past", "step", "long"} else {}), **MAD[what]}
        world.members["m2"].madden(world.namespace, APP, status)
        await world.until(lambda: outcome(world) != "", timeout_seconds=7200)

    async def main() -> FleetWorld:
        world = FleetWorld(pods=False)
        for name in NAMES:
            world.join(name)
        world.fleet_app(APP, BATCHES, CANARY, fleet={"maxFailures": 1})
        await world.start()
        await world.install_fleet(APP)
        await story(world)
        return world

    world = run(main())
    assert (outcome(world), shares(world)[2:]) == ("Completed", [100, 100])
    assert {each["name"] for each in world.fleet_runs(APP)[-1]["status"]["failures"]} <= {"m2"}


def test_a_cluster_that_leaves_is_not_waited_for() -> None:
    """It counts as failed; the others go on."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 10)
        await world.leave("m2")
        world.join("m5")
        await world.until(lambda: outcome(world) != "")
        await asyncio.sleep(1)

    world = told(story, fleet={"maxFailures": 1})
    assert (outcome(world), records(world)) == ("Completed", ["c", "lcc"])
    assert world.share("m5", APP) == 0


def test_a_cluster_that_does_not_let_the_hub_work_has_until_the_deadline() -> None:
    """A new hub that may not work in a member does not wait for it for ever."""

    async def story(world: FleetWorld) -> None:
        from sluice.decide.rights import RIGHTS

        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 10)
        world.members["m2"].denied.add(RIGHTS[0])
        await world.restart()
        await world.until(lambda: outcome(world) != "")
        await asyncio.sleep(1)

    world = told(story, fleet={"maxFailures": 1})
    assert (outcome(world), records(world)) == ("Completed", ["c", "fcc"])


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=-400), timedelta(days=3650)])
@pytest.mark.parametrize("pods", [False, True])
def test_a_member_s_clock_counts_for_nothing(ahead: timedelta, pods: bool) -> None:
    """Its API server writes wrong times, far ahead or long ago: the run takes as long as any, share by share, in order.

    Killed in the middle of the next one, it returns as the others do.
    """
    seen: list[int] = []

    async def story() -> None:
        world = FleetWorld(pods=pods)
        for name in NAMES:
            world.join(name, ahead=ahead if name == "m1" else timedelta(0), zone=name)
        world.fleet_app(APP, BATCHES, CANARY)
        await world.start()
        await world.install_fleet(APP)
        began = world.clock.monotonic()
        world.members["m1"].cluster.on_change.append(lambda _: seen.append(shares(world)[0]))
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "pilot Soaking")
        assert world.clock.monotonic() - began >= 2 * 20
        await world.until(lambda: outcome(world) == "Completed")
        await asyncio.sleep(1)
        assert shares(world) == [100, 100, 100, 100]
        assert not world.fleet_runs(APP)[-1]["status"]["failures"]
        await world.release_fleet(APP, "1.6.0", Slot.BLUE)
        await world.until(lambda: world.share("m1", APP) in {1000, 9000})
        await world.engage(reason="5xx")
        await world.until_phase(APP, "Killed", timeout_seconds=30)
        assert shares(world) == [100, 100, 100, 100]
        assert world.operator.failure() is None

    run(story())
    assert list(dict.fromkeys(seen))[:4] == [0, 10, 50, 100]


def test_another_label_frees_no_fleet() -> None:
    """Held by its labels in mid-run, a fleet gets others: no cluster goes on, until the switch is released."""

    async def story(world: FleetWorld) -> None:
        await relabel(world, "edge")
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 10)
        scope = {"selector": {"matchLabels": {"tier": "edge"}}}
        await world.engage(reason="maintenance", effect="Hold", scope=scope)
        await asyncio.sleep(2)
        held = shares(world)
        await relabel(world, "core")
        await asyncio.sleep(300)
        assert shares(world) == held
        assert [each.switch for each in world.status(APP).covered_by] == ["KillSwitch shop/stop"]
        assert [each.switch for each in world.part("m2", APP).covered_by] == ["KillSwitch shop/stop"]
        await world.release()
        await world.until(lambda: outcome(world) == "Completed")
        assert (world.status(APP).covered_by, world.part("m2", APP).covered_by) == ((), ())

    told(story)


def test_a_hold_over_a_fleet_expires_everywhere() -> None:
    """The hub and its members let go at the same time, and the run goes on to its end by itself."""

    async def story(world: FleetWorld) -> None:
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: stage(world) == "rest Moving" and shares(world)[1] == 10)
        await world.engage(reason="maintenance", effect="Hold", expires="5m")
        await asyncio.sleep(290)
        assert shares(world) == [100, 10, 10, 0]
        await world.until(lambda: outcome(world) == "Completed", timeout_seconds=180)

    told(story)


async def relabel(world: FleetWorld, tier: str) -> None:
    """Give the Rollout another label."""
    await world.people.patch_merge(Kind.ROLLOUT, world.namespace, APP, {"metadata": {"labels": {"tier": tier}}})


@pytest.mark.parametrize("weights", [(50,), (50, 100)])
def test_a_pause_without_an_end_waits_for_a_person_also_as_the_last_step(weights: tuple[int, ...]) -> None:
    """In each batch, and in each wave of it: nothing completes before somebody said so."""
    steps = [*({"setWeight": weight} for weight in weights), {"pause": {}}]
    promoted: list[list[int]] = []

    async def story(world: FleetWorld) -> None:
        await world.spec(APP, {"strategy": {"canary": {"steps": steps}}})
        await world.release_fleet(APP, "1.5.0")
        for _ in range(3):
            await world.until(lambda: "waits for a person" in world.status(APP).message)
            await asyncio.sleep(300)
            assert "waits for a person" in world.status(APP).message
            promoted.append(shares(world))
            await world.act(APP, "Promote")
            await asyncio.sleep(100)
        await world.until(lambda: outcome(world) == "Completed")

    told(story)
    most = weights[-1]
    assert promoted == [[most, 0, 0, 0], [100, most, most, 0], [100, 100, 100, most]]


def test_what_the_hub_tells_is_logged_though_an_answer_is_lost() -> None:
    """The API server stored the status, and the operator does not know: its entries are told once all the same."""
    lost: list[str] = []

    async def story(world: FleetWorld) -> None:
        def lose(call: Call) -> float | None:
            ours = call.manager == FIELD_MANAGER and call.kind is Kind.ROLLOUT and call.subresource == "status"
            if ours and call.phase == "after" and not lost:
                lost.append(call.name)
                raise Unavailable("no answer within 5 s")
            return None

        world.cluster.faults.append(lose)
        await world.release_fleet(APP, "1.5.0")
        await world.until(lambda: outcome(world) != "")

    world = told(story)
    kept = {entry.hash for entry in world.status(APP).audit.entries}
    sent = [entry.hash for _, entry in world.audit.entries if entry.hash in kept]
    assert lost
    assert sorted(sent) == sorted(kept)
