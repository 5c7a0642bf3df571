"""Whole runs, told line by line: the real engine and core in an embedded world, compared with golden transcripts.

After a change that is meant, `SLUICE_UPDATE_GOLDEN=1 make unit ARGS=tests/unit/sequences` writes them anew; read the
difference before committing it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sluice.api.names import Slot
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.metrics import constant
from sluice.sim.transcript import Transcript
from sluice.sim.world import World

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "SLUICE_UPDATE_GOLDEN"
APP = "checkout"
CANARY = manifests.canary(*manifests.step_weights(5, 50, pause="1m"))
METRICS = (manifests.metric(),)

Story = Callable[[World, Transcript], Awaitable[None]]


async def canary_success(world: World, transcript: Transcript) -> None:
    """A canary goes through its steps under background analysis and becomes stable; the next goes back to blue."""
    await world.adopt(APP, CANARY, metrics=METRICS)
    transcript.say("version 1.5.0 in green")
    await world.release_version(APP, "1.5.0")
    await world.until(lambda: _outcome(world) == "Completed")
    transcript.say("version 1.6.0 in blue")
    await world.release_version(APP, "1.6.0", Slot.BLUE)
    await world.until(lambda: _outcome(world) == "Completed" and _number(world) == 2)


async def abort_by_metric(world: World, transcript: Transcript) -> None:
    """Errors of the candidate end the run; the message names metric, value and threshold."""
    world.metrics.script(constant(0.07, where="checkout-green"))
    await world.adopt(APP, CANARY, metrics=METRICS)
    transcript.say("version 1.5.0 in green, with 7 % errors")
    await world.release_version(APP, "1.5.0")
    await world.until_phase(APP, "Aborted")


async def kill_and_retry(world: World, transcript: Transcript) -> None:
    """A kill ends the run at once; release alone starts nothing; Retry does, from step 1."""
    await world.adopt(APP, CANARY, metrics=METRICS)
    await world.release_version(APP, "1.5.0")
    await world.until(lambda: _accepted(world, 5000))
    transcript.say("alice engages the switch")
    await world.engage(reason="5xx on checkout", actor="alice")
    await world.until_phase(APP, "Killed")
    await asyncio.sleep(30)
    transcript.say("bob retries while it is engaged")
    await world.act(APP, "Retry", actor="bob")
    await asyncio.sleep(30)
    transcript.say("alice releases the switch")
    await world.release()
    await asyncio.sleep(600)
    transcript.say("bob retries")
    await world.act(APP, "Retry", actor="bob")
    await world.until(lambda: _outcome(world) == "Completed")


async def hold_and_release(world: World, transcript: Transcript) -> None:
    """A Hold freezes the run where it is; after its release the run goes on by itself."""
    await world.adopt(APP, CANARY, metrics=METRICS)
    await world.release_version(APP, "1.5.0")
    await world.until(lambda: _accepted(world, 500))
    transcript.say("alice holds everything")
    await world.engage(reason="maintenance", effect="Hold", wide=True)
    await asyncio.sleep(600)
    transcript.say("alice releases the switch")
    await world.release(wide=True)
    await world.until(lambda: _outcome(world) == "Completed")


async def blue_green(world: World, transcript: Transcript) -> None:
    """Checked before, promoted by a person, checked after, watched, completed."""
    check = {"metrics": [manifests.metric(count=2, interval="10s")]}
    strategy = {"blueGreen": {"prePromotion": check, "autoPromote": False, "postPromotion": check, "watch": "10m"}}
    await world.adopt(APP, strategy)
    transcript.say("version 1.5.0 in green")
    await world.release_version(APP, "1.5.0")
    await world.until_phase(APP, "Paused")
    transcript.say("bob promotes")
    await world.act(APP, "Promote", actor="bob")
    await world.until(lambda: _outcome(world) == "Completed")


async def blue_green_by_service(world: World, transcript: Transcript) -> None:
    """A plain Service's selector is switched, and switched back when the check afterwards fails."""
    check = {"metrics": [manifests.metric(count=2, interval="10s")]}
    await world.adopt("cart", {"blueGreen": {"postPromotion": check, "watch": "10m"}}, switched=True)
    transcript.say("version 1.5.0 in green, failing")
    world.metrics.script(constant(0.2, where="cart-green"))
    await world.release_version("cart", "1.5.0")
    await world.until_phase("cart", "Aborted")
    await asyncio.sleep(60)


async def pause_resume_promote(world: World, transcript: Transcript) -> None:
    """A person's Pause holds whatever the steps say; Promote ends an open pause; PromoteFully skips the rest."""
    steps: list[Obj] = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "1h"}}]
    await world.adopt(APP, manifests.canary(*steps))
    await world.release_version(APP, "1.5.0")
    await world.until_phase(APP, "Paused")
    transcript.say("bob pauses, promotes, resumes, promotes")
    for verb in ("Pause", "Promote", "Resume", "Promote"):
        await world.act(APP, verb, actor="bob", reason="lunch")
        await asyncio.sleep(60)
    transcript.say("bob promotes fully")
    await world.act(APP, "PromoteFully", actor="bob")
    await world.until(lambda: _outcome(world) == "Completed")


async def approved_by_two(world: World, transcript: Transcript) -> None:
    """A step waits until two of the group have approved; the asker, a stranger and a second word do not count."""
    approval = {"approval": {"group": "release-managers", "quorum": 2, "expires": "1h"}}
    await world.adopt(APP, manifests.canary({"setWeight": 10}, approval, {"setWeight": 50}, approval))
    await world.asked_by(APP, "alice")
    transcript.say("alice asks for version 1.5.0 in green")
    await world.release_version(APP, "1.5.0")
    await world.until_phase(APP, "Paused")
    transcript.say("alice, mallory, bob, bob and an hour later carol approve")
    for who, group in (("alice", "release-managers"), ("mallory", "others"), ("bob", "release-managers")):
        await world.approve(APP, who, group)
        await asyncio.sleep(60)
    await world.approve(APP, "bob", "release-managers")
    await asyncio.sleep(3600)
    await world.approve(APP, "carol", "release-managers")
    await asyncio.sleep(60)
    transcript.say("bob approves again")
    await world.approve(APP, "bob", "release-managers")
    await world.until(lambda: _accepted(world, 5000))
    transcript.say("dave holds for half an hour, and makes it longer")
    await world.act(APP, "Hold", actor="dave", reason="incident 481", duration="30m")
    await asyncio.sleep(60)
    await world.act(APP, "Extend", actor="dave", reason="not over yet", duration="30m")
    await asyncio.sleep(4000)
    transcript.say("carol rejects")
    await world.act(APP, "Reject", actor="carol", reason="refunds untested")
    await world.until_phase(APP, "Aborted")


async def supersede(world: World, transcript: Transcript) -> None:
    """A newer version replaces the one under way, through stable, and starts from step 1."""
    await world.adopt(APP, CANARY, metrics=METRICS)
    await world.release_version(APP, "1.5.0")
    await world.until(lambda: _accepted(world, 5000))
    transcript.say("version 1.5.1 in green")
    await world.release_version(APP, "1.5.1")
    await world.until(lambda: _number(world) == 2 and _outcome(world) == "Completed")


async def spec_returns_to_stable(world: World, transcript: Transcript) -> None:
    """Git reverts in mid-run: traffic goes back, and nothing else happens."""
    await world.adopt(APP, CANARY, metrics=METRICS)
    await world.release_version(APP, "1.5.0")
    await world.until(lambda: _accepted(world, 5000))
    transcript.say("the spec names blue 1.4.0 again")
    await world.spec(APP, {"workload": {"active": "blue", "version": "1.4.0"}})
    await world.until_phase(APP, "Healthy")
    await asyncio.sleep(600)


async def undo(world: World, transcript: Transcript) -> None:
    """After a completed run, Undo goes back to the revision before, by a run of its own."""
    await world.adopt(APP, CANARY)
    await world.release_version(APP, "1.5.0")
    await world.until(lambda: _outcome(world) == "Completed")
    transcript.say("bob undoes")
    await world.act(APP, "Undo", actor="bob", reason="customers complain")
    await asyncio.sleep(1800)


STORIES: tuple[Story, ...] = (
    canary_success,
    abort_by_metric,
    kill_and_retry,
    hold_and_release,
    blue_green,
    blue_green_by_service,
    pause_resume_promote,
    approved_by_two,
    supersede,
    spec_returns_to_stable,
    undo,
)


@pytest.mark.parametrize("story", STORIES, ids=[story.__name__ for story in STORIES])
def test_story(story: Story) -> None:
    """What happens, in which order and when, is what the golden transcript tells."""
    told = run(_told(story))
    golden = GOLDEN / f"{story.__name__}.txt"
    if os.environ.get(UPDATE):
        golden.write_text(told)
    assert told == golden.read_text(), f"{golden.name} differs; if it is meant to, run again with {UPDATE}=1"


@pytest.mark.parametrize("share", [pytest.param(500, id="5%"), pytest.param(5000, id="50%")])
def test_weights_that_are_all_zero_are_put_right(share: int) -> None:
    """Whatever share is intended: with all weights 0 every request fails."""

    async def main() -> int:
        world = World()
        world.app(APP)
        await world.start()
        await world.adopt(APP, CANARY, metrics=METRICS)
        await world.release_version(APP, "1.5.0")
        await world.until(lambda: _accepted(world, share))
        await world.meddle(APP, 0, 0)
        await asyncio.sleep(10)
        return world.green_share(APP)

    assert run(main()) == share


async def _told(story: Story) -> str:
    world = World()
    transcript = Transcript(world.cluster, world.clock, world.notifier)
    world.app(APP)
    world.app("cart", switched=True)
    await world.start()
    await story(world, transcript)
    await asyncio.sleep(60)
    assert world.operator.failure() is None
    return f"{story.__doc__}\n\n{transcript.text()}"


def _outcome(world: World) -> str | None:
    revision = world.status(APP).revision
    return revision.outcome if revision else None


def _accepted(world: World, share: int) -> bool:
    status = world.status(APP)
    return status.weight == share and status.confirmation == "Accepted"


def _number(world: World) -> int:
    revision = world.status(APP).revision
    return revision.number if revision else 0
