"""What a fleet costs the hub, and whether order and failure budget hold over 1,000 clusters; in memory.

    PYTHONPATH=tests python bench/fleet_sim.py [--clusters 1000] [--quick]

First a whole run of the real engines, the hub's and one for each cluster: 20 batches by weight, each cluster standing
for 20,000 members, some failing, some silent. It is held to the laws of tests/unit/sequences/fleet_laws.py at every
stored change. Then the hub alone, with members that do at once what they are told, for 10 to 5,000 clusters. The last
line is one JSON object; the exit code is 1 when a guard is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any

from figures import conclude, show
from obedient import ObedientSites
from sluice.api.names import Kind, Slot
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import FakeCluster
from sluice.sim.fleet import FleetWorld
from sluice.sim.operator import FakeMastery
from sluice.sim.stage import Stage
from sluice.sim.world import World
from sluice.wiring import Outlets, build_engine
from unit.sequences.fleet_laws import FleetLaws

APP = "checkout"
WEIGHT, BATCH_WEIGHT, BATCHES = 20_000, 1_000_000, 20
STEPS = manifests.canary(*manifests.step_weights(10, 50, pause="1m"))
STEP_COUNT = 5
BUDGET = "10%"
SIZES = (10, 100, 1_000, 5_000)
LINEAR = 3.0  # how much more a pass may cost per cluster in the largest fleet than in a tenth of it


def batches(count: int) -> list[Obj]:
    """By weight, in so many batches that each takes as many clusters as the others."""
    size = max(1, count // BATCHES) * WEIGHT
    named: list[Obj] = [{"name": f"b{number}", "size": size, "sizeBy": "Weight"} for number in range(1, BATCHES)]
    return [{**batch, "maxFailures": BUDGET, "soak": "2m"} for batch in (*named, {"name": "rest"})]


def stored_bytes(obj: Obj) -> int:
    """About what an object takes."""
    return len(json.dumps({**obj, "metadata": {**obj["metadata"], "managedFields": []}}, separators=(",", ":")))


class Largest:
    """The largest that each kind of object ever was."""

    def __init__(self, stage: Stage) -> None:
        self.bytes = {Kind.ROLLOUT: 0, Kind.FLEET_RUN: 0}
        stage.cluster.on_change.append(self._look)

    def _look(self, change: Any) -> None:
        if change.kind in self.bytes:
            self.bytes[change.kind] = max(self.bytes[change.kind], stored_bytes(change.after))


async def whole(count: int) -> dict[str, Any]:
    """A run over so many clusters, each with its engine."""
    began, world = time.perf_counter(), FleetWorld(pods=False, probe_seconds=300.0)
    names = [f"c{number:05d}" for number in range(count)]
    for name in names:
        world.join(name, weight=WEIGHT)
    world.fleet_app(APP, batches(count), STEPS, progressDeadline="5m")
    largest, laws = Largest(world), FleetLaws(world, APP)
    await world.start(settle_seconds=count / 50 + 10)
    await world.install_fleet(APP, timeout_seconds=7200)
    ill = [name for number, name in enumerate(names) if number % 50 == 7]
    silent = [name for number, name in enumerate(names) if number % 100 == 33]
    for name in ill:
        labels = manifests.slot_labels(APP, Slot.GREEN)
        service = manifests.slot_service(APP, Slot.GREEN)
        world.members[name].endpoints.run_pods(world.namespace, service, labels, ready=0)
    for name in silent:
        world.members[name].cut()
    await asyncio.sleep(10)
    installed, at = time.perf_counter(), world.clock.monotonic()
    laws.asks += 1
    await world.release_fleet(APP, "1.5.0")
    await world.until(lambda: _outcome(world) != "", timeout_seconds=48 * 3600)
    ended, took = time.perf_counter(), world.clock.monotonic() - at
    await asyncio.sleep(60)
    record = world.fleet_runs(APP)[-1]["status"]
    letters = [batch["clusters"] for batch in record["batches"]]
    return {
        "clusters": count,
        "stand_for": count * WEIGHT,
        "batches": len([text for text in letters if text]),
        "outcome": record.get("outcome", ""),
        "failed": sum(text.count("f") for text in letters),
        "meant_to_fail": len({*ill, *silent}),
        "most_failed_in_a_batch": max(text.count("f") for text in letters),
        "completed": sum(text.count("c") for text in letters),
        "install_wall_s": round(installed - began, 1),
        "run_wall_s": round(ended - installed, 1),
        "run_virtual_s": round(took),
        "rollout_bytes": largest.bytes[Kind.ROLLOUT],
        "fleet_run_bytes": largest.bytes[Kind.FLEET_RUN],
        "law": str(laws.broken or ""),
    }


def _outcome(world: Stage) -> str:
    fleet = world.status(APP).fleet
    revision = fleet.revision if fleet is not None else None
    return str(revision.outcome or "") if revision is not None and revision.number == 2 else ""


class Alone(World):
    """A hub whose members are obedient."""

    def __init__(self, count: int) -> None:
        super().__init__(build=self._build_hub)
        self.sites = ObedientSites(count, self._changed, STEP_COUNT)
        self._engine: Engine | None = None
        self.cluster.seed(Kind.NAMESPACE, {"metadata": {"name": "kube-system"}})

    def _build_hub(self, cluster: FakeCluster, mastery: FakeMastery) -> Engine:
        outlets = Outlets(self.notifier, self.audit)
        engine = build_engine(cluster, metrics=self.metrics, outlets=outlets, fence=Fence(mastery), clock=self.clock)
        engine.lead(self.sites)
        self._engine = engine
        return engine

    def _changed(self, namespace: str, name: str) -> None:
        if self._engine is not None:
            self._engine.look_at_fleets(namespace, name)


async def alone(count: int) -> dict[str, Any]:
    """A run over so many obedient clusters: what the hub spends on it."""
    world = Alone(count)
    largest = Largest(world)
    await world.start(settle_seconds=1)
    services = {str(slot): manifests.slot_service(APP, slot) for slot in Slot}
    workload = {"services": services, "active": str(Slot.BLUE), "version": "1.4.0"}
    fleet = {"batches": batches(count)}
    body = manifests.managed_rollout(world.namespace, APP, STEPS, workload, fleet=fleet)
    await world.people.create(Kind.ROLLOUT, world.namespace, body)
    await world.until_phase(APP, "Healthy")
    before, passes = time.process_time(), world.sites.passes
    await world.spec(APP, {"workload": {"active": str(Slot.GREEN), "version": "1.5.0"}})
    await world.until(lambda: _outcome(world) != "", timeout_seconds=48 * 3600)
    seconds, passes = time.process_time() - before, world.sites.passes - passes
    return {
        "clusters": count,
        "passes": passes,
        "cpu_s": round(seconds, 2),
        "pass_ms": round(seconds / passes * 1000, 2),
        "pass_us_per_cluster": round(seconds / passes / count * 1e6, 1),
        "rollout_bytes": largest.bytes[Kind.ROLLOUT],
        "fleet_run_bytes": largest.bytes[Kind.FLEET_RUN],
    }


def broken_guards(found: dict[str, Any], costs: list[dict[str, Any]]) -> list[str]:
    """What is not as it must be."""
    broken = [found["law"]] if found["law"] else []
    if (found["outcome"], found["failed"]) != ("Completed", found["meant_to_fail"]):
        broken.append(f"the run ended {found['outcome']} with {found['failed']} failed")
    if found["completed"] + found["failed"] != found["clusters"]:
        broken.append(f"{found['clusters'] - found['completed'] - found['failed']} clusters are nowhere")
    last, tenth = (
        costs[-1],
        max((each for each in costs if each["clusters"] * 5 <= costs[-1]["clusters"]), key=_clusters),
    )
    if last["pass_us_per_cluster"] > LINEAR * tenth["pass_us_per_cluster"]:
        broken.append(f"a pass costs {last['pass_us_per_cluster']} us per cluster, with {tenth['clusters']} fewer")
    return broken


def _clusters(cost: dict[str, Any]) -> int:
    return int(cost["clusters"])


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clusters", type=int, default=1_000, help="of the whole run")
    parser.add_argument("--quick", action="store_true", help="200 clusters, and the hub alone with up to 1,000")
    options = parser.parse_args()
    costs = [run(alone(count)) for count in (SIZES[:-1] if options.quick else SIZES)]
    show("The hub alone, one run in 20 batches", list(costs[0]), [list(cost.values()) for cost in costs])
    found = run(whole(200 if options.quick else options.clusters))
    show("A whole run, every cluster with its engine", ["figure", "value"], [list(each) for each in found.items()])
    return conclude({"whole": found, "alone": costs}, broken_guards(found, costs))


if __name__ == "__main__":
    sys.exit(main())
