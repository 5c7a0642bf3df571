"""What others do to the slots' objects where no admission policy stands in their way: the whole engine puts it back."""

import asyncio

from sluice.api.names import Kind, Slot
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.world import World

APP = "checkout"


async def _world() -> World:
    world = World()
    world.workload_app(APP, image="shop/checkout:1.0")
    await world.start()
    await world.install(APP, manifests.canary(*manifests.step_weights(10)))
    return world


def test_a_container_that_somebody_adds_goes_again() -> None:
    """Server-side apply alone would leave it: the slot runs the template, and nothing but the template."""

    async def story() -> None:
        world = await _world()
        spy = {"name": "spy", "image": "evil/spy:1"}
        await world.write(Kind.DEPLOYMENT, f"{APP}-blue", replace={"/spec/template/spec/containers/-": spy})

        def clean() -> bool:
            deployment = world.deployment(APP, Slot.BLUE)
            containers = deployment["spec"]["template"]["spec"]["containers"] if deployment else []
            pods = [pod for pod in world.pods_of(APP, Slot.BLUE) if "deletionTimestamp" not in pod["metadata"]]
            return len(containers) == 1 and len(pods) == 3 and all(len(pod["spec"]["containers"]) == 1 for pod in pods)

        await asyncio.sleep(1)
        await world.until(clean, timeout_seconds=120)
        await world.until_phase(APP, "Healthy", timeout_seconds=120)
        settled = world.cluster.store.get(Kind.DEPLOYMENT, world.namespace, f"{APP}-blue")["metadata"]["generation"]
        await asyncio.sleep(300)
        after = world.cluster.store.get(Kind.DEPLOYMENT, world.namespace, f"{APP}-blue")["metadata"]["generation"]
        assert after == settled, "it was put back once, and left alone from then on"

    run(story())
