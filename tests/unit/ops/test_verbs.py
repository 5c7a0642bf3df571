"""The verbs of a run, against the real engine in virtual time."""

from collections.abc import Awaitable, Callable

import pytest

from sluice.api.names import Kind, Slot
from sluice.errors import Forbidden, NotFound, Unavailable
from sluice.ops.abort import abort
from sluice.ops.outcome import Ending, rollout
from sluice.ops.pause import pause
from sluice.ops.promote import promote
from sluice.ops.restart import restart
from sluice.ops.resume import resume
from sluice.ops.retry import retry
from sluice.ops.undo import undo
from sluice.sim.clock import run
from sluice.sim.cluster import Call
from sluice.sim.world import World

CHECKOUT = rollout("shop", "checkout")
Prepare = Callable[[], Awaitable[World]]


def refuse(
    verb: str, kind: Kind, error: Exception, times: int = 1_000, phase: str = "before"
) -> Callable[[Call], None]:
    """A fault: requests of this sort fail so many times."""
    left = [times]

    def fault(call: Call) -> None:
        if (call.verb, call.kind, call.phase) == (verb, kind, phase) and left[0]:
            left[0] -= 1
            raise error

    return fault


def test_promote_leaves_the_pause_it_waits_at(waiting_at_a_pause: Prepare) -> None:
    """The answer is the operator's own sentence, and the run is one step on."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        outcome = await promote(world.cluster, CHECKOUT, reason="numbers are fine")
        assert (outcome.ending, outcome.message) == (Ending.DONE, "Rollout shop/checkout: left step 2 (pause)")
        await world.until(lambda: world.green_share("checkout") == 5_000)

    run(main())


def test_promote_fully_skips_what_is_left(waiting_at_a_pause: Prepare) -> None:
    """The rest of the steps are skipped, and the candidate becomes stable."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        outcome = await promote(world.cluster, CHECKOUT, full=True)
        assert outcome.ending is Ending.DONE
        await world.until_phase("checkout", "Healthy")
        assert world.green_share("checkout") == 10_000

    run(main())


def test_pause_and_resume(waiting_at_a_pause: Prepare) -> None:
    """What is paused refuses to be promoted, and says how it goes on."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        assert (await pause(world.cluster, CHECKOUT, reason="looking")).ending is Ending.DONE
        refused = await promote(world.cluster, CHECKOUT)
        assert refused.ending is Ending.REJECTED
        assert "sluice resume checkout -n shop" in refused.message
        assert (await resume(world.cluster, CHECKOUT)).ending is Ending.DONE
        assert (await promote(world.cluster, CHECKOUT)).ending is Ending.DONE

    run(main())


def test_abort_then_retry_then_undo(waiting_at_a_pause: Prepare) -> None:
    """Traffic returns to stable; the revision starts again; and undoing a run under way ends it as well."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        assert (await abort(world.cluster, CHECKOUT, reason="wrong prices")).ending is Ending.DONE
        await world.until_phase("checkout", "Aborted")
        await world.until(lambda: world.green_share("checkout") == 0)
        again = await retry(world.cluster, CHECKOUT)
        assert again.message == "Rollout shop/checkout: revision 2 starts again from step 1"
        await world.until_phase("checkout", "Paused")
        assert (await undo(world.cluster, CHECKOUT)).ending is Ending.DONE
        await world.until_phase("checkout", "Aborted")

    run(main())


def test_restart_replaces_the_pods(running_pods: Prepare) -> None:
    """New pods of the same version, never fewer ready than there were; it needs no run, and begins none."""

    async def main() -> None:
        world = await running_pods()
        before, gaps = names_of_pods(world), len(world.traffic["checkout"].gaps)
        outcome = await restart(world.cluster, CHECKOUT, reason="new password")
        assert outcome.message == "Rollout shop/checkout: the pods of checkout-blue are replaced, new ones first"
        fewest = 3

        def replaced() -> bool:
            nonlocal fewest
            fewest = min(fewest, world.ready_pods("checkout", Slot.BLUE))
            return not names_of_pods(world) & before and world.ready_pods("checkout", Slot.BLUE) == 3

        await world.until(replaced)
        status = world.status("checkout")
        assert (fewest, status.phase, status.revision) == (3, "Healthy", None)
        assert len(world.traffic["checkout"].gaps) == gaps

    run(main())


def names_of_pods(world: World) -> set[str]:
    """The names of the blue slot's pods."""
    return {pod["metadata"]["name"] for pod in world.pods_of("checkout", Slot.BLUE)}


def test_pods_of_others_are_theirs_to_restart(waiting_at_a_pause: Prepare) -> None:
    """Behind Services of the user's own, the answer says what to restart instead."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        outcome = await restart(world.cluster, CHECKOUT)
        assert outcome.ending is Ending.REJECTED
        assert "restart the Deployments behind its Services" in outcome.message

    run(main())


def test_an_action_for_another_revision_is_rejected(waiting_at_a_pause: Prepare) -> None:
    """Whoever looked at revision 9 does not promote revision 1 by accident."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        outcome = await promote(world.cluster, CHECKOUT, revision=9)
        assert outcome.ending is Ending.REJECTED
        assert "it is for revision 9, but the current one is 1" in outcome.message

    run(main())


def test_nothing_to_promote_before_the_first_run(world: World) -> None:
    """A Rollout that never had a run has no revision to name; nothing is written."""

    async def main() -> None:
        world.cluster.seed(Kind.ROLLOUT, {"metadata": {"name": "checkout", "namespace": "shop"}})
        outcome = await promote(world.cluster, CHECKOUT)
        assert outcome.ending is Ending.REJECTED
        assert "no run yet" in outcome.message
        assert await world.cluster.list(Kind.ROLLOUT_ACTION) == []

    run(main())


def test_a_name_that_is_not_there_says_where_to_look(world: World) -> None:
    """Also for verbs that need no revision: an action for nobody would wait for an answer in vain."""

    async def main() -> None:
        for verb in (promote, abort):
            with pytest.raises(NotFound, match="sluice get rollouts -n shop"):
                await verb(world.cluster, CHECKOUT)
        assert await world.cluster.list(Kind.ROLLOUT_ACTION) == []

    run(main())


def test_refused_rights_name_the_verb_that_is_missing(waiting_at_a_pause: Prepare) -> None:
    """A person learns what to ask for, and from where it was refused."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        world.cluster.faults.append(refuse("create", Kind.ROLLOUT_ACTION, Forbidden("carol may not promote")))
        with pytest.raises(Forbidden) as refused:
            await promote(world.cluster, CHECKOUT)
        assert str(refused.value) == (
            "Cannot promote Rollout shop/checkout: carol may not promote. It takes the verb promote on "
            "rollouts.sluice.dev and create on rolloutactions.sluice.dev in namespace shop: "
            "ask who administers the cluster."
        )

    run(main())


def test_who_may_not_read_may_still_abort(waiting_at_a_pause: Prepare) -> None:
    """Stopping must not depend on the right to look."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        world.cluster.faults.append(refuse("get", Kind.ROLLOUT, Forbidden("no get")))
        assert (await abort(world.cluster, CHECKOUT)).ending is Ending.DONE

    run(main())


def test_a_lost_answer_makes_no_second_action(waiting_at_a_pause: Prepare) -> None:
    """The connection broke after the action was stored: the second try meets the first, and one promotion is done."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        lost = refuse("create", Kind.ROLLOUT_ACTION, Unavailable("connection reset"), times=1, phase="after")
        world.cluster.faults.append(lost)
        assert (await promote(world.cluster, CHECKOUT)).ending is Ending.DONE
        assert len(await world.cluster.list(Kind.ROLLOUT_ACTION)) == 1

    run(main())


def test_without_an_operator_it_tells_so_in_time(waiting_at_a_pause: Prepare) -> None:
    """Nobody answers: after the patience given, and not later, it says what became of the action."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        await world.operator.crash()
        before = world.clock.monotonic()
        outcome = await promote(world.cluster, CHECKOUT, patience_seconds=5)
        assert outcome.ending is Ending.PENDING
        assert "kubectl delete rolloutaction checkout-promote-" in outcome.message
        assert world.clock.monotonic() - before < 6

    run(main())


def test_no_patience_does_not_wait(waiting_at_a_pause: Prepare) -> None:
    """The action is left to its status."""

    async def main() -> None:
        world = await waiting_at_a_pause()
        assert (await promote(world.cluster, CHECKOUT, patience_seconds=0)).ending is Ending.SENT

    run(main())


def test_long_names_leave_room_for_the_action(world: World) -> None:
    """An action's name is a label's length at most, whatever the Rollout is called."""
    long = rollout("shop", "a" * 60 + "." + "b" * 60)

    async def main() -> None:
        body = {"metadata": {"name": long.name, "namespace": "shop"}, "status": {"revision": {"number": 1}}}
        world.cluster.seed(Kind.ROLLOUT, body)
        outcome = await promote(world.cluster, long, full=True, patience_seconds=0)
        assert len(outcome.carrier.name) == 63

    run(main())
