"""Kill and release, against the real engine in virtual time."""

from collections.abc import Awaitable, Callable

import pytest

from sluice.api.common import LabelSelector
from sluice.api.killswitch import Effect, Scope
from sluice.api.names import Kind, Slot
from sluice.errors import Forbidden, NotFound, Rejected, Unavailable
from sluice.ops.kill import Manner, kill
from sluice.ops.outcome import Ending, Target
from sluice.ops.release import release
from sluice.ports import Lane
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.world import World

STOP = Target(Kind.KILL_SWITCH, "shop", "stop")
EVERYWHERE = Target(Kind.CLUSTER_KILL_SWITCH, "", "stop")
Prepare = Callable[[], Awaitable[World]]


def armed(world: World, name: str = "stop", **spec: object) -> None:
    """A switch that is there and not engaged."""
    world.cluster.seed(Kind.KILL_SWITCH, {"metadata": {"name": name, "namespace": "shop"}, "spec": spec})


@pytest.mark.parametrize("target", [STOP, EVERYWHERE], ids=str)
def test_a_switch_that_is_not_there_is_made(waiting_at_a_pause: Prepare, target: Target) -> None:
    """In an emergency nobody has to prepare a switch first; Done means in effect, not just written."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        outcome = await kill(world.cluster, target, reason="5xx")
        assert outcome.ending is Ending.DONE
        assert "Divert of 1 Rollout by" in outcome.message
        assert world.green_share("checkout") == 0
        assert world.status("checkout").phase == "Killed"

    run(main())


def test_a_switch_that_is_there_takes_one_request_before_the_effect(waiting_at_a_pause: Prepare) -> None:
    """The first request is the patch, in the lane of kills; nothing is read before it."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world)
        calls: list[Call] = []
        ours = world.cluster.as_manager("cli")
        world.cluster.faults.append(lambda call: calls.append(call) if call.manager == "cli" else None)
        assert (await kill(ours, STOP, reason="5xx")).ending is Ending.DONE
        assert (calls[0].verb, calls[0].kind, calls[0].lane) == ("patch_merge", Kind.KILL_SWITCH, Lane.KILL)

    run(main())


def test_a_rollout_is_not_mistaken_for_a_switch(waiting_at_a_pause: Prepare) -> None:
    """`kill checkout` means the Rollout to who types it: a new switch of that name would stop the whole namespace."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        outcome = await kill(world.cluster, Target(Kind.KILL_SWITCH, "shop", "checkout"), reason="5xx")
        assert outcome.ending is Ending.REJECTED
        assert "sluice abort checkout -n shop" in outcome.message
        assert await world.cluster.list(Kind.KILL_SWITCH) == []

    run(main())


def test_a_scope_makes_a_switch_of_that_scope(waiting_at_a_pause: Prepare) -> None:
    """A selector that matches nothing here leaves the run alone, and says so."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        scope = Scope(selector=LabelSelector(match_labels={"app": "cart"}))
        outcome = await kill(world.cluster, STOP, reason="5xx", scope=scope, manner=Manner(effect=Effect.HOLD))
        assert outcome.ending is Ending.DONE
        stored = await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop")
        assert stored["spec"]["scope"] == {"selector": {"matchLabels": {"app": "cart"}}}
        assert stored["spec"]["effect"] == "Hold"
        assert world.status("checkout").phase == "Paused"

    run(main())


@pytest.mark.parametrize("labels, ending", [({"app": "cart"}, Ending.DONE), ({}, Ending.REJECTED)])
def test_a_scope_never_changes_a_switch(waiting_at_a_pause: Prepare, labels: dict[str, str], ending: Ending) -> None:
    """A switch that exists is engaged as it is, or, where its scope is another, not at all."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world, scope={"selector": {"matchLabels": labels}} if labels else {})
        scope = Scope(selector=LabelSelector(match_labels={"app": "cart"}))
        assert (await kill(world.cluster, STOP, reason="5xx", scope=scope)).ending is ending
        engaged = (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"].get("engaged", False)
        assert engaged is (ending is Ending.DONE)

    run(main())


def test_force_is_asked_for_and_warned_of(waiting_at_a_pause: Prepare) -> None:
    """One that holds becomes a Divert with force, and the answer says what that costs; also the next time."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world, effect="Hold")
        world.pods("checkout", Slot.BLUE, 0)
        outcome = await kill(world.cluster, STOP, reason="leaks", manner=Manner(force=True))
        assert outcome.ending is Ending.DONE
        assert "stable has no ready endpoint in shop/checkout" in outcome.message
        assert "requests fail now that the candidate answered before" in outcome.message
        assert world.green_share("checkout") == 0
        again = await kill(world.cluster, STOP, reason="leaks")
        assert "Warning: it has force" in again.message
        plain = await kill(world.cluster, STOP, reason="leaks", manner=Manner(effect=Effect.HOLD))
        assert "Warning" not in plain.message
        assert not (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"].get("force")

    run(main())


def test_force_leaves_a_rollback_what_it_is(waiting_at_a_pause: Prepare) -> None:
    """Who adds force to a switch that rolls back does not make it weaker by that."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world, effect="Rollback")
        assert (await kill(world.cluster, STOP, reason="leaks", manner=Manner(force=True))).ending is Ending.DONE
        spec = (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"]
        assert (spec["effect"], spec["force"]) == ("Rollback", True)

    run(main())


@pytest.mark.parametrize("refusal, times, effect", [(Unavailable, 3, "Rollback"), (Forbidden, 1, "Divert")])
def test_force_weakens_no_rollback_because_it_could_not_be_read(
    waiting_at_a_pause: Prepare, refusal: type[Unavailable] | type[Forbidden], times: int, effect: str
) -> None:
    """An API server that is away is asked again; only who may not read the switch engages the Divert that all know."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world, effect="Rollback")
        left = [times]

        def fail(call: Call) -> None:
            if call.verb == "get" and call.kind is Kind.KILL_SWITCH and call.manager == "cli" and left[0]:
                left[0] -= 1
                raise refusal("no answer")

        world.cluster.faults.append(fail)
        ours = world.cluster.as_manager("cli")
        assert (await kill(ours, STOP, reason="leaks", manner=Manner(force=True))).ending is Ending.DONE
        assert (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"]["effect"] == effect

    run(main())


def test_it_insists_while_the_api_server_is_away(waiting_at_a_pause: Prepare) -> None:
    """A kill is tried again until it is taken."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world)
        left = [3]

        def away(call: Call) -> None:
            if call.verb == "patch_merge" and call.kind is Kind.KILL_SWITCH and not call.subresource and left[0]:
                left[0] -= 1
                raise Unavailable("connection refused", retry_after_seconds=2)

        world.cluster.faults.append(away)
        assert (await kill(world.cluster, STOP, reason="5xx")).ending is Ending.DONE

    run(main())


@pytest.mark.parametrize("refusals", [0, 1])
def test_a_name_of_an_earlier_time_stops_no_kill(waiting_at_a_pause: Prepare, refusals: int) -> None:
    """Where the API server stamps nothing, it refuses to engage in another's name: then the name is taken off."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world, engagedBy="alice")
        left = [refusals]

        def refuse(call: Call) -> None:
            if call.verb == "patch_merge" and call.kind is Kind.KILL_SWITCH and not call.subresource and left[0]:
                left[0] -= 1
                raise Rejected("spec.engagedBy tells who engaged the switch")

        world.cluster.faults.append(refuse)
        assert (await kill(world.cluster, STOP, reason="5xx")).ending is Ending.DONE
        spec = (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"]
        assert spec.get("engagedBy") == (None if refusals else "alice")

    run(main())


def test_what_is_refused_for_another_reason_is_told(waiting_at_a_pause: Prepare) -> None:
    """In the words of the first refusal, and soon."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        armed(world)
        told: list[str] = []

        def refuse(call: Call) -> None:
            if call.verb == "patch_merge" and call.kind is Kind.KILL_SWITCH and not call.subresource:
                told.append(f"refusal {len(told) + 1}")
                raise Rejected(told[-1])

        world.cluster.faults.append(refuse)
        with pytest.raises(Rejected, match=r"Cannot engage KillSwitch shop/stop: refusal 1\."):
            await kill(world.cluster, STOP, reason="5xx")
        assert len(told) == 3

    run(main())


def test_without_an_operator_it_is_engaged_and_pending(waiting_at_a_pause: Prepare) -> None:
    """Written is not in effect, and the difference is told."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        await world.operator.crash()
        outcome = await kill(world.cluster, STOP, reason="5xx", patience_seconds=3)
        assert outcome.ending is Ending.PENDING
        assert "the operator has not answered yet" in outcome.message
        assert (await kill(world.cluster, STOP, reason="5xx", patience_seconds=0)).ending is Ending.SENT

    run(main())


def test_release_lets_go_and_says_what_is_left(waiting_at_a_pause: Prepare) -> None:
    """The same words serve for every release, because engaging forgets the last ones."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        for _ in range(2):
            await kill(world.cluster, STOP, reason="5xx")
            assert "releaseReason" not in (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"]
            outcome = await release(world.cluster, STOP, reason="fixed")
            assert outcome.ending is Ending.DONE
            assert "sluice retry" in outcome.message
        spec = (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"]
        assert (spec["engaged"], spec["releaseReason"]) == (False, "fixed")

    run(main())


def test_releasing_what_is_not_engaged_does_nothing(world: World) -> None:
    """It is as it was asked for, and the trail of reasons stays clean."""

    async def main() -> None:
        armed(world)
        outcome = await release(world.cluster, STOP, reason="fixed")
        assert (outcome.ending, "not engaged" in outcome.message) == (Ending.DONE, True)
        assert "releaseReason" not in (await world.cluster.get(Kind.KILL_SWITCH, "shop", "stop"))["spec"]

    run(main())


def test_release_needs_its_own_right(waiting_at_a_pause: Prepare) -> None:
    """The refusal names the verb `release`."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        await kill(world.cluster, STOP, reason="5xx")

        def refuse(call: Call) -> None:
            if call.verb == "patch_merge" and call.kind is Kind.KILL_SWITCH and not call.subresource:
                raise Forbidden("oncall may not release")

        world.cluster.faults.append(refuse)
        with pytest.raises(
            Forbidden, match=r"the verbs release and patch on killswitches\.sluice\.dev in namespace shop"
        ):
            await release(world.cluster, STOP, reason="fixed")

    run(main())


def test_releasing_what_is_not_there_is_not_found(world: World) -> None:
    """With the command that lists what is."""

    async def main() -> None:
        with pytest.raises(NotFound, match="sluice get switches -n shop"):
            await release(world.cluster, STOP, reason="fixed")

    run(main())
