"""The demo's three acts, lived through in virtual time and kept as frames to show.

Nothing here is acted out: each act applies objects to a world, waits for what the operator makes of them, and reads its
facts from what was stored and counted. Prometheus's answers follow from the simulated requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sluice.api.names import Kind, Slot
from sluice.api.rollout import RolloutStatus
from sluice.api.units import format_share
from sluice.sim import manifests
from sluice.sim.metrics import Question
from sluice.sim.store import Change
from sluice.sim.traffic import NOBODY
from sluice.sim.world import STABLE_VERSION, World

APP = "checkout"
STEPS = (5, 25, 50)
EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version's part: `share` of the requests now (0 to 1), and counts since the act began."""

    version: str
    share: float
    requests: int
    failed: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What is to be seen at one moment of an act; `command` is the last thing a person did."""

    seconds: float
    command: str
    phase: str
    message: str
    metric: str
    rows: tuple[VersionRow, ...]


@dataclass(slots=True)
class Act:
    """One act: what people did, what was seen, and what came of it.

    `as_told` is False where it did not end as its title says; then the demo fails.
    """

    title: str
    command: str = ""
    frames: list[Frame] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    as_told: bool = False


async def tell() -> list[Act]:
    """Live through all three acts. Runs in a virtual loop."""
    world = World()
    world.cluster.latency_seconds = 0.004
    world.operator.watch_delay_seconds = 0.002
    world.metrics.script(lambda question: _error_ratio(world, question))
    world.app(APP)
    await world.start()
    armed = {"metadata": {"name": "stop", "namespace": world.namespace}, "spec": {"engaged": False}}
    await world.apply(Kind.KILL_SWITCH, armed)
    steps = manifests.step_weights(*STEPS, pause="2m")
    await world.adopt(APP, manifests.canary(*steps), metrics=[manifests.metric()])
    return [await _success(world), await _abort(world), await _kill(world)]


async def _success(world: World) -> Act:
    act = Act("A canary that succeeds")
    with _filming(world, act):
        act.command = _apply("1.5.0", Slot.GREEN)
        await world.release_version(APP, "1.5.0")
        await world.until_phase(APP, "Progressing", timeout_seconds=60)
        took = await world.until_phase(APP, "Healthy")
        await asyncio.sleep(EVERY_SECONDS)
    rows = act.frames[-1].rows
    status = world.status(APP)
    act.as_told = status.stable is not None and status.stable.version == "1.5.0" and not any(row.failed for row in rows)
    act.facts = [
        f"{', '.join(f'{share} %' for share in STEPS)}, then 100 %: complete after {_minutes(took)} (virtual)",
        f"requests by version: {_counts(rows)}; failed: {sum(row.failed for row in rows)}",
    ]
    return act


async def _abort(world: World) -> Act:
    act = Act("A canary that its metric aborts")
    world.error_ratios["1.6.0"] = 0.1
    with _filming(world, act):
        act.command = _apply("1.6.0", Slot.BLUE)
        await world.release_version(APP, "1.6.0", Slot.BLUE)
        await world.until_phase(APP, "Progressing", timeout_seconds=60)
        took = await world.until_phase(APP, "Aborted")
        await asyncio.sleep(3 * EVERY_SECONDS)
    status = world.status(APP)
    why = status.revision.message if status.revision else ""
    act.as_told = status.phase == "Aborted" and "error-ratio" in why and world.green_share(APP) == 10_000
    act.facts = [
        f"aborted after {_minutes(took)} (virtual): {why}",
        f"requests by version: {_counts(act.frames[-1].rows)}; stable {_stable(status)} serves everything again",
        *_last_event(world),
    ]
    return act


async def _kill(world: World) -> Act:
    reason = "double charges reported"
    act = Act("A kill switch, tripped half-way")
    watch = _StopWatch(world)
    with _filming(world, act):
        act.command = _apply("1.6.1", Slot.BLUE)
        await world.release_version(APP, "1.6.1", Slot.BLUE)
        await world.until(lambda: world.status(APP).weight == 5000, timeout_seconds=900)
        await asyncio.sleep(4 * EVERY_SECONDS)
        patch = f'{{"spec":{{"engaged":true,"reason":"{reason}"}}}}'
        act.command = f"kubectl patch killswitch stop -n shop --type merge -p '{patch}'"
        await world.engage(reason=reason, actor="alice")
        await world.until_phase(APP, "Killed")
        await asyncio.sleep(4 * EVERY_SECONDS)
    status = world.status(APP)
    written, gone = watch.milliseconds
    act.as_told = status.phase == "Killed" and written is not None and gone is not None
    act.facts = [
        f"from the patch to weight 0: {written} ms; to the candidate's last request: {gone} ms (virtual)",
        f"{status.revision.message if status.revision else ''}",
        f"requests by version: {_counts(act.frames[-1].rows)}; it stays stopped until: sluice retry {APP}",
    ]
    return act


class _StopWatch:
    """Times a kill: from the switch's engagement to the weight 0 and to the candidate's last request."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._engaged: float | None = None
        self._written: float | None = None
        self._gone: float | None = None
        world.cluster.on_change.append(self._on_change)

    @property
    def milliseconds(self) -> tuple[int | None, int | None]:
        """Time to the written 0, and to the last request; None for what was not seen."""
        if self._engaged is None:
            return None, None
        ends = (self._written, self._gone)
        written, gone = (None if end is None else round((end - self._engaged) * 1000) for end in ends)
        return written, gone

    def _on_change(self, change: Change) -> None:
        now = self._world.clock.monotonic()
        if change.kind is Kind.KILL_SWITCH and change.after["spec"]["engaged"] and self._engaged is None:
            self._engaged = now
        if change.kind is not Kind.HTTP_ROUTE or self._engaged is None:
            return
        if self._written is None and self._world.green_share(APP) == 10_000:
            self._written = now
        if self._gone is None and self._world.traffic[APP].mix.get("1.6.1", 0.0) == 0:
            self._gone = now


@contextmanager
def _filming(world: World, act: Act) -> Iterator[None]:
    """Take a frame every so often, and whenever the Rollout's status changes."""
    before = _tally(world)
    told: list[tuple[object, ...]] = [()]

    def shoot() -> None:
        act.frames.append(_frame(world, act.command, before))

    def on_change(change: Change) -> None:
        if change.kind is Kind.ROLLOUT:
            status = world.status(APP)
            look = (status.phase, status.weight, status.confirmation)
            if look != told[-1]:
                told.append(look)
                shoot()

    async def roll() -> None:
        while True:
            shoot()
            await asyncio.sleep(EVERY_SECONDS)

    world.cluster.on_change.append(on_change)
    camera = asyncio.get_running_loop().create_task(roll(), name="sim camera")
    try:
        yield
        shoot()
    finally:
        camera.cancel()
        world.cluster.on_change.remove(on_change)


def _frame(world: World, command: str, before: dict[str, tuple[float, float]]) -> Frame:
    status = world.status(APP)
    now = _tally(world)
    mix = world.traffic[APP].mix
    rows = []
    for version in sorted({*now, *mix} - {NOBODY}):
        requests, failed = now.get(version, (0.0, 0.0))
        requests_before, failed_before = before.get(version, (0.0, 0.0))
        row = VersionRow(
            version, mix.get(version, 0.0), round(requests - requests_before), round(failed - failed_before)
        )
        if row.requests or row.share:
            rows.append(row)
    return Frame(
        seconds=world.clock.monotonic(),
        command=command,
        phase=str(status.phase or ""),
        message=status.message,
        metric=_metric(status),
        rows=tuple(rows),
    )


def _tally(world: World) -> dict[str, tuple[float, float]]:
    tally = world.traffic[APP].settle()
    return {version: (count, tally.failed[version]) for version, count in tally.requests.items()}


def _metric(status: RolloutStatus) -> str:
    found = next((item for item in status.metrics if item.value is not None), None)
    return "" if found is None else f"{found.name} {found.value:.3g}, limit {found.threshold}: {found.phase}"


def _error_ratio(world: World, question: Question) -> float | None:
    """What Prometheus would compute from the simulated requests of the Service in the query."""
    group = next((name for name in world.versions if f'service="{name}"' in question.query), None)
    return None if group is None else world.error_ratios.get(world.versions[group], 0.0)


def _apply(version: str, slot: Slot) -> str:
    patch = f'{{"spec":{{"workload":{{"active":"{slot}","version":"{version}"}}}}}}'
    return f"kubectl patch rollout {APP} -n shop --type merge -p '{patch}'"


def _last_event(world: World) -> list[str]:
    warnings = [note for _, name, note in world.notifier.notes if name == APP and note.warning]
    return [f"event: {warnings[-1].reason}: {warnings[-1].message}"] if warnings else []


def _stable(status: RolloutStatus) -> str:
    return (status.stable.version if status.stable else None) or STABLE_VERSION


def _counts(rows: tuple[VersionRow, ...]) -> str:
    return ", ".join(f"{row.version} {row.requests:,}" for row in rows)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def share_text(share: float) -> str:
    """Print a share as a percentage."""
    return format_share(round(share * 10_000))
