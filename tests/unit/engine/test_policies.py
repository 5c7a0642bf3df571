"""RolloutPolicies in a world: whom they hold, who goes when, and what a crash in between changes (nothing)."""

from __future__ import annotations

import itertools
from datetime import timedelta

from sluice.api.names import Kind
from sluice.api.policy import RolloutPolicyStatus
from sluice.errors import Unavailable
from sluice.sim import manifests
from sluice.sim.metrics import no_data
from unit.engine.scene import APP, BYSTANDER, CANARY, Scene, on_route, play, rest

MANY = tuple(f"app-{number:02}" for number in range(12))
SHORT = manifests.canary({"setWeight": 50}, {"pause": {"duration": "20s"}})


async def rule(scene: Scene, name: str = "prod", **spec: object) -> None:
    """Apply a policy."""
    await scene.world.apply(Kind.ROLLOUT_POLICY, manifests.policy(name, **spec))


def said(scene: Scene, name: str = "prod") -> RolloutPolicyStatus:
    """What a policy says of itself."""
    found = scene.world.cluster.store.peek(Kind.ROLLOUT_POLICY, "", name)
    return RolloutPolicyStatus.parse((found or {}).get("status", {}), name)


def under_way(scene: Scene, app: str) -> bool:
    """Whether a run of the app is under way."""
    revision = scene.world.status(app).revision
    return revision is not None and revision.outcome is None


def completed(scene: Scene, app: str) -> bool:
    """Whether the app's first run is complete."""
    revision = scene.world.status(app).revision
    return revision is not None and revision.outcome == "Completed"


def test_a_freeze_holds_until_it_is_over_also_over_a_crash() -> None:
    """Nothing begins in it; who asked gets a run when it is over, without anybody's doing."""

    async def story(scene: Scene) -> None:
        await scene.start(CANARY)
        await rule(scene, windows=[manifests.freeze(scene.world.clock.now(), 300)])
        await scene.world.release_version(APP, "2.0")
        await rest(60)
        status = scene.world.status(APP)
        assert status.message.startswith("revision 2.0 waits: held by RolloutPolicy prod: the freeze sale lasts until")
        assert (status.phase, scene.world.green_share(APP)) == ("Paused", 0)
        policy = said(scene)
        assert policy.state == "Frozen"
        assert policy.covered.rollouts == 1
        await scene.world.restart()
        await rest(200)
        assert scene.world.green_share(APP) == 0
        await scene.world.until(lambda: scene.world.green_share(APP) == 1000, timeout_seconds=60)
        assert said(scene).state == "Open"

    play(story)


def test_a_policy_that_goes_away_lets_go_at_once() -> None:
    """Deleted, or changed so that it covers others: who waited goes on without a push."""

    async def story(scene: Scene) -> None:
        await scene.start(CANARY)
        await rule(scene, windows=[manifests.freeze(scene.world.clock.now(), 3000)])
        await scene.world.release_version(APP, "2.0")
        await rest(30)
        assert scene.world.green_share(APP) == 0
        await rule(
            scene,
            windows=[manifests.freeze(scene.world.clock.now(), 3000)],
            selector={"matchLabels": {"app": "another"}},
        )
        await scene.world.until(lambda: scene.world.green_share(APP) == 1000, timeout_seconds=10)

    play(story)


def test_never_more_at_a_time_than_the_policy_says_and_all_get_their_turn() -> None:
    """Twelve want to begin at once, the operator crashes again and again and writes fail: at most two at any moment."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, *MANY)
        await rule(scene, maxConcurrent=2)
        most: list[int] = []
        scene.world.cluster.on_change.append(lambda _: most.append(sum(under_way(scene, app) for app in MANY)))
        for app in MANY:
            await scene.world.release_version(app, "2.0")
        fails = iter(range(10_000))
        scene.refuse = lambda _: Unavailable("connection reset") if next(fails) % 7 == 0 else None
        for _ in range(60):
            await rest(10)
            await scene.world.restart()
            if all(completed(scene, app) for app in MANY):
                break
        assert [app for app in MANY if not completed(scene, app)] == []
        assert max(most) == 2
        scene.refuse = None
        await rest(5)
        policy = said(scene)
        assert (policy.covered.rollouts, policy.covered.under_way, policy.covered.waiting) == (12, 0, 0)
        assert policy.turns == ()

    play(story)


def test_who_asked_first_goes_first() -> None:
    """The order in which versions were released is the order in which their runs begin, whatever the names."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, *MANY[:4])
        await rule(scene, maxConcurrent=1)
        order = [MANY[index] for index in (2, 0, 3, 1)]
        for app in order:
            await scene.world.release_version(app, "2.0")
            await rest(1)
        assert said(scene).message == (
            "covers 4 Rollouts; 1 of at most 1 with a run under way (shop/app-02); 3 wait for their turn, "
            "next shop/app-00"
        )
        await scene.world.until(lambda: all(completed(scene, app) for app in order), timeout_seconds=600)
        started = {app: scene.world.status(app).revision for app in order}
        assert sorted(order, key=lambda app: started[app].started_at) == order  # type: ignore[union-attr]

    play(story)


def test_cadence_keeps_runs_apart() -> None:
    """One begins every five minutes, though nothing else is in the way."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, *MANY[:3])
        await rule(scene, minInterval="5m")
        for app in MANY[:3]:
            await scene.world.release_version(app, "2.0")
        await scene.world.until(lambda: all(completed(scene, app) for app in MANY[:3]), timeout_seconds=1200)
        times = sorted(scene.world.status(app).revision.started_at for app in MANY[:3])  # type: ignore[union-attr]
        assert all(later - earlier >= timedelta(minutes=5) for earlier, later in itertools.pairwise(times))

    play(story)


def test_who_is_held_up_does_not_hold_up_others() -> None:
    """A Rollout with a turn is paused before its run begins: the next one goes, and it gets its turn afterwards."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, *MANY[:2])
        await rule(scene, maxConcurrent=1)
        first, second = MANY[:2]
        scene.refuse = lambda call: Unavailable("no") if call.kind is Kind.ROLLOUT_RUN and call.name == "" else None
        await scene.world.spec(first, {"paused": True})
        await scene.world.release_version(first, "2.0")
        await scene.world.release_version(second, "2.0")
        scene.refuse = None
        await scene.world.until(lambda: completed(scene, second), timeout_seconds=120)
        await scene.world.spec(first, {"paused": False})
        await scene.world.until(lambda: completed(scene, first), timeout_seconds=120)

    play(story)


def test_two_policies_over_two_rollouts_do_not_lock_each_other_out() -> None:
    """Each needs a turn of both: they are asked for in one order, so both get there."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, APP, BYSTANDER)
        for name in ("a", "b"):
            await rule(scene, name, maxConcurrent=1)
        for app in (APP, BYSTANDER):
            await scene.world.release_version(app, "2.0")
        await scene.world.until(lambda: completed(scene, APP) and completed(scene, BYSTANDER), timeout_seconds=300)

    play(story)


def test_others_go_once_the_house_account_was_stable_for_long_enough() -> None:
    """What the house serves for an hour may go to clients; a version that it does not have waits."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, APP, BYSTANDER)
        await rule(scene, requireStable={"selector": {"matchLabels": {"app": APP}}, "for": "1h"})
        await scene.world.release_version(BYSTANDER, "2.0")
        await rest(10)
        told = scene.world.status(BYSTANDER).message
        assert "2.0 has to be stable for 1h first; something else is stable in shop/checkout (1.4.0)" in told
        await scene.world.release_version(APP, "2.0")
        await scene.world.until(lambda: completed(scene, APP), timeout_seconds=120)
        await rest(3500)
        assert scene.world.green_share(BYSTANDER) == 0
        assert "2.0 has to be stable for 1h first: in shop/checkout it is at " in scene.world.status(BYSTANDER).message
        await scene.world.until(lambda: completed(scene, BYSTANDER), timeout_seconds=300)

    play(story)


def test_who_goes_first_no_longer_holds_nobody_up() -> None:
    """One of two house accounts loses the label that makes it one: who waited for it goes on without a push."""

    async def story(scene: Scene) -> None:
        async def label(app: str, account: str | None) -> None:
            body = {"metadata": {"labels": {"account": account}}}
            await scene.world.people.patch_merge(Kind.ROLLOUT, scene.world.namespace, app, body)

        await scene.start(SHORT, APP, BYSTANDER, "third")
        for app in (BYSTANDER, "third"):
            await label(app, "house")
        await rule(scene, requireStable={"selector": {"matchLabels": {"account": "house"}}, "for": "1m"})
        await scene.world.release_version(BYSTANDER, "2.0")
        await scene.world.until(lambda: completed(scene, BYSTANDER), timeout_seconds=600)
        await scene.world.release_version(APP, "2.0")
        await rest(120)
        assert "something else is stable in shop/third" in scene.world.status(APP).message
        await label("third", None)
        await scene.world.until(lambda: under_way(scene, APP), timeout_seconds=5)

    play(story)


def test_a_namespace_that_gets_other_labels_is_taken_note_of() -> None:
    """Nobody's Rollout changed, and the policy covers others from now on; who has to be stable first counts at once."""

    async def story(scene: Scene) -> None:
        async def label(**labels: str) -> None:
            body = {"metadata": {"labels": labels}}
            await scene.world.people.patch_merge(Kind.NAMESPACE, "", scene.world.namespace, body)

        await scene.start(CANARY)
        await rule(scene, maxConcurrent=1, namespaceSelector={"matchLabels": {"env": "prod"}})
        await rest(5)
        assert said(scene).covered.rollouts == 0
        await label(env="prod")
        await rest(5)
        assert said(scene).covered.rollouts == 1
        await label(env="test")
        await rest(5)
        assert said(scene).covered.rollouts == 0

    play(story)


def test_a_policy_that_means_nothing_holds_and_says_so() -> None:
    """A time zone that nobody knows (CEL cannot tell): the policy is Invalid, and what it covers does not grow."""

    async def story(scene: Scene) -> None:
        await scene.start(CANARY)
        window = {"kind": "Deny", "schedule": "0 0 1 1 *", "duration": "1h", "timeZone": "Mars/Olympus"}
        await rule(scene, windows=[window])
        await scene.world.release_version(APP, "2.0")
        await rest(5)
        assert "RolloutPolicy prod cannot be read, so nothing grows" in scene.world.status(APP).message
        policy = said(scene)
        assert policy.state == "Invalid"
        assert "unknown time zone 'Mars/Olympus'" in policy.message
        await rule(scene, windows=[{**window, "timeZone": "UTC"}])
        await scene.world.until(lambda: scene.world.green_share(APP) == 1000, timeout_seconds=10)

    play(story)


def test_a_quiet_policy_costs_nothing() -> None:
    """Nothing changes, so nothing is written, for an hour."""

    async def story(scene: Scene) -> None:
        await scene.start(CANARY)
        await rule(scene, maxConcurrent=2, windows=[manifests.freeze(scene.world.clock.now(), 10)])
        await rest(60)
        scene.writes.clear()
        await rest(3600)
        assert scene.told() == []
        assert not any(map(on_route, scene.writes))

    play(story)


def test_an_error_budget_is_measured_and_halts_what_grows() -> None:
    """Errors use it up: the policy is Halted, and lets go by itself once there is some left again."""

    async def story(scene: Scene) -> None:
        good = [0.999]
        scene.world.metrics.script(lambda question: good[0] if "good" in question.query else None)
        scene.world.metrics.script(lambda question: 1000.0 if question.query.startswith("sum(total") else None)
        await scene.start(CANARY)
        queries = {"goodQuery": "sum(good[{{window}}])", "totalQuery": "sum(total[{{window}}])"}
        await rule(scene, errorBudget={"objective": "99%", "window": "1h", "interval": "5s", **queries})
        await scene.world.until(lambda: said(scene).state == "Open" and said(scene).budget is not None)
        assert "90% of the error budget is left" in said(scene).message
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(1000)
        good[0] = 0.9
        await scene.world.until(lambda: said(scene).state == "Halted", timeout_seconds=120)
        await rest(300)
        assert scene.world.green_share(APP) == 1000
        assert "held by RolloutPolicy prod: the error budget of 99% over 1h" in scene.world.status(APP).message
        good[0] = 0.999
        await scene.world.until(lambda: scene.world.green_share(APP) == 5000, timeout_seconds=300)

    play(story)


def test_an_error_budget_that_is_not_known_any_more_is_not_shown() -> None:
    """Prometheus has no numbers from now on: the policy is Halted, and its status tells of no share that is left."""

    async def story(scene: Scene) -> None:
        total: list[float | None] = [1000.0]
        scene.world.metrics.script(lambda question: 0.999 if "good" in question.query else None)
        scene.world.metrics.script(
            lambda question: (
                (total[0] if total[0] is not None else no_data()) if question.query.startswith("sum(total") else None
            )
        )
        await scene.start(CANARY)
        queries = {"goodQuery": "sum(good[{{window}}])", "totalQuery": "sum(total[{{window}}])"}
        await rule(scene, errorBudget={"objective": "99%", "window": "1h", "interval": "5s", **queries})
        await scene.world.until(lambda: said(scene).state == "Open" and said(scene).budget is not None)
        total[0] = None
        await rest(1200)
        policy = said(scene)
        assert policy.state == "Halted"
        assert policy.budget is not None
        assert policy.budget.remaining is None

    play(story)
