"""Several operators and one policy: whoever has its shard gives the turns, and together they keep to it."""

from __future__ import annotations

from sluice.api.names import Kind
from sluice.sim import manifests
from sluice.sim.clock import run
from unit.sharding.fleet import Fleet

APPS = ("cart", "checkout", "payments", "search", "stock", "users")
SHORT = manifests.canary({"setWeight": 50}, {"pause": {"duration": "20s"}})


def test_replicas_keep_to_a_cap_together_while_one_is_lost() -> None:
    """Six Rollouts of three operators want to begin at once, and the one that gives the turns crashes: two at most."""

    async def main() -> None:
        fleet = Fleet(*APPS)
        await fleet.begin("one", "two", "three")
        for app in APPS:
            await fleet.adopt(app, SHORT)
        await fleet.apply(Kind.ROLLOUT_POLICY, manifests.policy("prod", maxConcurrent=2))
        going: list[int] = []

        def count() -> int:
            revisions = [fleet.status(app).revision for app in APPS]
            return sum(revision is not None and revision.outcome is None for revision in revisions)

        fleet.cluster.on_change.append(lambda _: going.append(count()))
        for app in APPS:
            await fleet.release_version(app, "2.0")
        await fleet.until(lambda: count() == 2, timeout_seconds=60)
        keeper = next(each for each in fleet.living if each.fence.holds((Kind.ROLLOUT_POLICY, "", "prod")))
        await keeper.crash()

        def done() -> bool:
            revisions = [fleet.status(app).revision for app in APPS]
            return all(revision is not None and revision.outcome == "Completed" for revision in revisions)

        await fleet.until(done, timeout_seconds=900)
        assert max(going) == 2
        fleet.verdict()

    run(main())
