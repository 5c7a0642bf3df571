"""What a tenant may try so that a RolloutPolicy holds them less than others; nothing of it helps."""

from __future__ import annotations

import pytest

from sluice.api.names import Kind
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.fleet import FleetWorld
from unit.engine.scene import APP, BYSTANDER, CANARY, Scene, play, rest
from unit.engine.test_policies import MANY, SHORT, completed, rule, said, under_way

OLDEN = "2020-01-01T00:00:00Z"


async def remove(scene: Scene, app: str) -> None:
    """Delete an app's Rollout, and see it go."""
    world = scene.world
    await world.delete_rollout(app)
    await world.until(lambda: world.cluster.store.peek(Kind.ROLLOUT, world.namespace, app) is None, timeout_seconds=60)


def test_other_labels_on_a_rollout_leave_no_policy_that_goes_by_namespaces() -> None:
    """Whatever a Rollout calls itself, it is held where its namespace is."""

    async def story(scene: Scene) -> None:
        home = scene.world.namespace
        await scene.start(CANARY)
        labels = {"metadata": {"labels": {"env": "prod"}}}
        await scene.world.people.patch_merge(Kind.NAMESPACE, "", home, labels)
        await rule(
            scene,
            namespaceSelector={"matchLabels": {"env": "prod"}},
            windows=[manifests.freeze(scene.world.clock.now(), 900)],
        )
        await scene.world.release_version(APP, "2.0")
        await rest(10)
        body = {"metadata": {"labels": {"env": "playground", "app": "another"}}}
        await scene.world.people.patch_merge(Kind.ROLLOUT, home, APP, body)
        await rest(300)
        assert scene.world.green_share(APP) == 0
        assert "held by RolloutPolicy prod: the freeze sale" in scene.world.status(APP).message

    play(story)


def test_a_forged_place_in_line_gives_no_turn() -> None:
    """Somebody writes into a Rollout's status that it has waited for years: no more runs go than the policy says."""

    async def story(scene: Scene) -> None:
        await scene.start(manifests.canary({"setWeight": 50}, {"pause": {}}), APP, BYSTANDER)
        await rule(scene, maxConcurrent=1)
        await scene.world.release_version(APP, "2.0")
        await scene.until_share(5000)
        await scene.world.release_version(BYSTANDER, "2.0")
        await rest(10)
        forged = {"status": {"queued": {"policy": "prod", "since": OLDEN}}}
        namespace = scene.world.namespace
        await scene.world.people.patch_merge(Kind.ROLLOUT, namespace, BYSTANDER, forged, subresource="status")
        await rest(300)
        assert (said(scene).turns, under_way(scene, BYSTANDER)) == ((), False)

    play(story)


def test_who_creates_a_rollout_anew_goes_to_the_end_of_the_line() -> None:
    """The turn, and the place, of the one that was deleted are not those of the one that has its name."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, *MANY[:3])
        await rule(scene, maxConcurrent=1)
        for app in MANY[:3]:
            await scene.world.release_version(app, "2.0")
            await rest(1)
        again = MANY[1]
        await remove(scene, again)
        await scene.world.adopt(again, SHORT)
        await scene.world.release_version(again, "2.0")
        await scene.world.until(lambda: all(completed(scene, app) for app in MANY[:3]), timeout_seconds=600)
        began = {app: scene.world.status(app).revision.started_at for app in MANY[:3]}  # type: ignore[union-attr]
        assert sorted(began, key=lambda app: began[app]) == [MANY[0], MANY[2], again]

    play(story)


def test_a_rollout_created_anew_does_not_skip_who_has_to_be_stable_first() -> None:
    """It asks for a version that the house does not have from its first moment on: what served goes on serving."""

    async def story(scene: Scene) -> None:
        await scene.start(SHORT, APP, BYSTANDER)
        await rule(scene, requireStable={"selector": {"matchLabels": {"app": BYSTANDER}}, "for": "1h"})
        await remove(scene, APP)
        body = manifests.rollout(scene.world.namespace, APP, SHORT, version="1.4.0")
        body["spec"]["workload"] |= {"active": "green", "version": "2.0"}
        await scene.world.apply(Kind.ROLLOUT, body)
        await rest(300)
        assert scene.world.green_share(APP) == 0
        assert "2.0 has to be stable for 1h first" in scene.world.status(APP).message

    play(story)


@pytest.mark.parametrize("how", ["selector", "labels"])
def test_a_cluster_that_is_drawn_into_a_fleet_is_not_taken_past_a_policy(how: str) -> None:
    """Its traffic stays on what serves there: no wider selector, and no label of a cluster, replaces approval."""

    async def story() -> None:
        world = FleetWorld(pods=False)
        for name, env in (("m1", "test"), ("m2", "test"), ("m3", "prod")):
            world.join(name, env=env)
        world.fleet_app(APP, [{"name": "all"}], SHORT, fleet={"selector": {"matchLabels": {"env": "test"}}})
        await world.start()
        await world.install_fleet(APP)
        await world.release_fleet(APP, "2.0")
        await world.until(lambda: "2.0 serves in 2 of 2 clusters" in world.status(APP).message)
        approval = {"group": "release-managers"}
        await world.apply(Kind.ROLLOUT_POLICY, manifests.policy("prod", approval=approval))
        if how == "selector":
            await world.spec(APP, {"fleet": {"selector": {"matchLabels": {"env": None}}}})
        else:
            await world.people.patch_merge(Kind.MEMBER_CLUSTER, "", "m3", {"metadata": {"labels": {"env": "test"}}})
        await rest(300)
        assert [world.share(name, APP) for name in ("m1", "m2", "m3")] == [10_000, 10_000, 0]
        assert world.status(APP).message == (
            "2.0 serves in 2 of 2 clusters; m3 joins with the next run, for RolloutPolicy prod wants approval"
        )
        policy = world.cluster.store.get(Kind.ROLLOUT_POLICY, "", "prod")
        await world.people.delete(Kind.ROLLOUT_POLICY, "", "prod", uid=policy["metadata"]["uid"])
        await world.until(lambda: world.status(APP).message == "2.0 serves in 3 of 3 clusters", timeout_seconds=300)

    run(story())
