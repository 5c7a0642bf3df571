"""What fleets cost the hub, and whether order and failure budget hold over 1,000 clusters; in memory.

    PYTHONPATH=tests python bench/fleet_sim.py [--clusters 1000] [--quick] [--out FILE]

First the hub alone, with members that do at once what they are told: one Rollout over 10 to 5,000 clusters, 1 to 200
Rollouts over 10 clusters, and the sizes of what is stored where 5,000 clusters have long names and each tenth fails.
Then whole runs of the real engines, the hub's and one for each cluster: 20 batches by weight, each cluster standing for
20,000 members, some failing, some silent; and one in which more of a batch fail than may. They are held to the laws of
tests/unit/sequences/fleet_laws.py at every stored change. The last line is one JSON object; the exit code is 1 when a
guard is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from figures import conclude, machine, show
from obedient import ObedientSites
from sluice.adapters.audit.segments import SegmentArchive
from sluice.api.names import Kind, Slot
from sluice.engine.engine import Engine
from sluice.engine.fence import Fence
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import FakeCluster
from sluice.sim.fleet import FleetWorld
from sluice.sim.operator import FakeMastery
from sluice.sim.stage import SYSTEM, Stage
from sluice.sim.world import World
from sluice.wiring import Outlets, build_engine
from unit.sequences.fleet_laws import FleetLaws

APP = "checkout"
WEIGHT, BATCH_WEIGHT, BATCHES = 20_000, 1_000_000, 20
STEPS = manifests.canary(*manifests.step_weights(10, 50, pause="1m"))
STEP_COUNT = 5
BUDGET = "10%"
SIZES = (10, 100, 1_000, 5_000)
COUNTS = (1, 10, 100, 200)  # of Rollouts
CLUSTERS_OF_EACH = 10
MOST_CLUSTERS = 5_000
LONGEST_NAME = 63
BEYOND = 4  # the batch in which more fail than may, in the run that is to end by that
LINEAR = 3.0  # how much more a pass may cost per cluster in the largest fleet than in a tenth of it
Figures = dict[str, Any]
MOST_BYTES = {"rollout_bytes": 256 * 1024, "fleet_run_bytes": 1024 * 1024}


def batches(count: int) -> list[Obj]:
    """By weight, in so many batches that each takes as many clusters as the others."""
    size = max(1, count // BATCHES) * WEIGHT
    named: list[Obj] = [{"name": f"b{number}", "size": size, "sizeBy": "Weight"} for number in range(1, BATCHES)]
    return [{**batch, "maxFailures": BUDGET, "soak": "2m"} for batch in (*named, {"name": "rest"})]


def stored_bytes(obj: Obj) -> int:
    """About what an object takes, managedFields and all."""
    return len(json.dumps(obj, separators=(",", ":")))


class Largest:
    """The largest that each kind of object ever was."""

    def __init__(self, stage: Stage) -> None:
        self.bytes = {Kind.ROLLOUT: 0, Kind.FLEET_RUN: 0}
        stage.cluster.on_change.append(self._look)

    def _look(self, change: Any) -> None:
        if change.kind in self.bytes:
            self.bytes[change.kind] = max(self.bytes[change.kind], stored_bytes(change.after))


async def whole(count: int, beyond: int = 0) -> dict[str, Any]:
    """A run over so many clusters, each with its engine; in the batch `beyond`, all clusters fail."""
    began, world = time.perf_counter(), FleetWorld(pods=False, probe_seconds=300.0)
    names = [f"c{number:05d}" for number in range(count)]
    for name in names:
        world.join(name, weight=WEIGHT)
    world.fleet_app(APP, batches(count), STEPS, progressDeadline="5m")
    largest, laws = Largest(world), FleetLaws(world, APP)
    await world.start(settle_seconds=count / 50 + 10)
    await world.install_fleet(APP, timeout_seconds=7200)
    size = max(1, count // BATCHES)
    ill = [name for at, name in enumerate(names) if (at // size + 1 == beyond if beyond else at % 50 == 7)]
    silent = [] if beyond else [name for number, name in enumerate(names) if number % 100 == 33]
    for name in ill:
        labels = manifests.slot_labels(APP, Slot.GREEN)
        service = manifests.slot_service(APP, Slot.GREEN)
        world.members[name].endpoints.run_pods(world.namespace, service, labels, ready=0)
    for name in silent:
        world.members[name].cut()
    await asyncio.sleep(10)
    installed, cpu, at = time.perf_counter(), time.process_time(), world.clock.monotonic()
    laws.asks += 1
    await world.release_fleet(APP, "1.5.0")
    await world.until(lambda: _outcome(world) != "", timeout_seconds=48 * 3600)
    ended, cpu, took = time.perf_counter(), time.process_time() - cpu, world.clock.monotonic() - at
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
        "never_begun": sum(text.count("w") for text in letters),
        "exposed_at_the_end": sum(world.share(name, APP) > 0 for name in names),
        "install_wall_s": round(installed - began, 1),
        "run_wall_s": round(ended - installed, 1),
        "run_cpu_s": round(cpu, 1),
        "run_virtual_s": round(took),
        "rollout_bytes": largest.bytes[Kind.ROLLOUT],
        "fleet_run_bytes": largest.bytes[Kind.FLEET_RUN],
        "law": str(laws.broken or ""),
    }


def _outcome(world: Stage, app: str = APP) -> str:
    fleet = world.status(app).fleet
    revision = fleet.revision if fleet is not None else None
    return str(revision.outcome or "") if revision is not None and revision.number == 2 else ""


class Alone(World):
    """A hub whose members are obedient."""

    def __init__(self, names: Sequence[str], failing: Container[str] = ()) -> None:
        super().__init__(build=self._build_hub)
        self.sites = ObedientSites(names, self._changed, STEP_COUNT, failing)
        self._engine: Engine | None = None
        self.cluster.seed(Kind.NAMESPACE, {"metadata": {"name": "kube-system"}})

    def _build_hub(self, cluster: FakeCluster, mastery: FakeMastery) -> Engine:
        outlets = Outlets(self.notifier, self.audit, SegmentArchive(cluster, SYSTEM))
        engine = build_engine(cluster, metrics=self.metrics, outlets=outlets, fence=Fence(mastery), clock=self.clock)
        engine.lead(self.sites)
        self._engine = engine
        return engine

    def _changed(self, namespace: str, name: str) -> None:
        if self._engine is not None:
            self._engine.look_at_fleets(namespace, name)

    async def go(self, apps: Sequence[str], fleet: Obj) -> tuple[float, int]:
        """Install Rollouts, then release all of them at once. Returns CPU seconds and passes of the release."""
        await self.start(settle_seconds=1)
        services = {str(slot): manifests.slot_service(APP, slot) for slot in Slot}
        workload = {"services": services, "active": str(Slot.BLUE), "version": "1.4.0"}
        for app in apps:
            body = manifests.managed_rollout(self.namespace, app, STEPS, workload, fleet=fleet)
            await self.people.create(Kind.ROLLOUT, self.namespace, body)
        for app in apps:
            await self.until_phase(app, "Healthy")
        before, passes = time.process_time(), self.sites.passes
        for app in apps:
            await self.spec(app, {"workload": {"active": str(Slot.GREEN), "version": "1.5.0"}})
        for app in apps:
            await self.until(lambda app=app: _outcome(self, app) != "", timeout_seconds=48 * 3600)  # type: ignore[misc] # bound now
        return time.process_time() - before, self.sites.passes - passes


async def alone(count: int) -> dict[str, Any]:
    """A run over so many obedient clusters: what the hub spends on it."""
    world = Alone([f"c{number:05d}" for number in range(count)])
    largest = Largest(world)
    seconds, passes = await world.go([APP], {"batches": batches(count)})
    return {
        "clusters": count,
        "passes": passes,
        "cpu_s": round(seconds, 2),
        "pass_ms": round(seconds / passes * 1000, 2),
        "pass_us_per_cluster": round(seconds / passes / count * 1e6, 1),
        "rollout_bytes": largest.bytes[Kind.ROLLOUT],
        "fleet_run_bytes": largest.bytes[Kind.FLEET_RUN],
    }


async def many(count: int) -> dict[str, Any]:
    """Runs of so many Rollouts over a few obedient clusters, all at once: what the hub spends on one."""
    world = Alone([f"c{number:05d}" for number in range(CLUSTERS_OF_EACH)])
    seconds, passes = await world.go([f"{APP}-{number:04d}" for number in range(count)], {"batches": [{"name": "all"}]})
    return {
        "rollouts": count,
        "clusters": CLUSTERS_OF_EACH,
        "passes": passes,
        "cpu_s": round(seconds, 2),
        "cpu_ms_per_rollout": round(seconds / count * 1000, 1),
        "cpu_ms_per_part": round(seconds / count / CLUSTERS_OF_EACH * 1000, 2),
    }


async def sizes(count: int) -> dict[str, Any]:
    """The largest objects of a run over clusters with long names, of which each tenth fails at length."""
    names = [f"c{number:05d}-".ljust(LONGEST_NAME - 1, "x") + "0" for number in range(count)]
    world = Alone(names, failing=frozenset(names[::10]))
    largest = Largest(world)
    fleet = {"batches": batches(count), "onFailure": "RollbackCluster"}
    await world.go([APP], fleet)
    record = world.cluster.store.all(Kind.FLEET_RUN, world.namespace)
    letters = "".join(batch["clusters"] for run_of in record for batch in run_of["status"]["batches"])
    return {
        "clusters": count,
        "failed": letters.count("f"),
        "rollout_bytes": largest.bytes[Kind.ROLLOUT],
        "fleet_run_bytes": largest.bytes[Kind.FLEET_RUN],
    }


def broken_guards(figures: Figures) -> list[str]:
    """What is not as it must be."""
    found, beyond, costs = figures["whole"], figures["beyond"], figures["alone"]
    broken = [law for law in (found["law"], beyond["law"]) if law]
    if (found["outcome"], found["failed"]) != ("Completed", found["meant_to_fail"]):
        broken.append(f"the run ended {found['outcome']} with {found['failed']} failed")
    if found["completed"] + found["failed"] != found["clusters"]:
        broken.append(f"{found['clusters'] - found['completed'] - found['failed']} clusters are nowhere")
    size = beyond["clusters"] // BATCHES
    ended = tuple(beyond[field] for field in ("outcome", "completed", "exposed_at_the_end", "never_begun"))
    if ended != ("Aborted", (BEYOND - 1) * size, (BEYOND - 1) * size, (BATCHES - BEYOND) * size):
        broken.append(f"the run of which too many failed ended {ended}")
    for sized in (found, figures["sizes"]):
        broken += [
            f"{what} is {sized[what]}; at most {most}" for what, most in MOST_BYTES.items() if sized[what] > most
        ]
    last = costs[-1]
    tenth = max((each for each in costs if each["clusters"] * 5 <= last["clusters"]), key=_clusters)
    if last["pass_us_per_cluster"] > LINEAR * tenth["pass_us_per_cluster"]:
        broken.append(f"a pass costs {last['pass_us_per_cluster']} us per cluster, with {tenth['clusters']} fewer")
    first, most = figures["many"][0], figures["many"][-1]
    if most["cpu_ms_per_rollout"] > LINEAR * first["cpu_ms_per_rollout"]:
        broken.append(f"a run costs {most['cpu_ms_per_rollout']} ms among {most['rollouts']}, far more than alone")
    return broken


def _clusters(cost: dict[str, Any]) -> int:
    return int(cost["clusters"])


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clusters", type=int, default=1_000, help="of the whole run")
    parser.add_argument("--quick", action="store_true", help="200 clusters, and the hub alone with up to 1,000")
    parser.add_argument("--out", type=Path, help="keep the figures there too, as JSON")
    options = parser.parse_args()
    quick = options.quick
    figures: Figures = {"bench": "fleet-sim", "alone": [run(alone(count)) for count in SIZES[: -1 if quick else None]]}
    _table("The hub alone, one run in 20 batches", figures["alone"])
    figures["many"] = [run(many(count)) for count in COUNTS]
    _table("The hub alone, so many Rollouts at once", figures["many"])
    figures["sizes"] = run(sizes(1_000 if quick else MOST_CLUSTERS))
    _table("What is stored at the most", [figures["sizes"]])
    count = 200 if quick else options.clusters
    figures["beyond"] = run(whole(200, BEYOND))
    figures["whole"] = run(whole(count))
    rows = [[what, figures["whole"][what], figures["beyond"][what]] for what in figures["whole"]]
    show("Whole runs, every cluster with its engine", ["figure", "some fail", "too many fail"], rows)
    if options.out is not None:
        options.out.write_text(json.dumps({**figures, "machine": machine()}, indent=1) + "\n")
    return conclude(figures, broken_guards(figures))


def _table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    show(title, list(rows[0]), [list(row.values()) for row in rows])


if __name__ == "__main__":
    sys.exit(main())
