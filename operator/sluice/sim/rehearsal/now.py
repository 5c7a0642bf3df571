"""What the operator does first: copies as they are, and a few seconds of the real engine.

Nothing moves in this world but what the operator writes: pods stay as they were copied, Prometheus says nothing. A
route is accepted once it was written here, and a Service that is pointed elsewhere has the endpoints that are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sluice.api.names import ROLLOUT_LABEL, Kind
from sluice.decide.metadata import labels_of, mapping, owner_of, sequence
from sluice.decide.revision import Desired
from sluice.engine.store import key_of
from sluice.ports import Obj
from sluice.sim.gateway import SERVICE_NAME_LABEL
from sluice.sim.rehearsal.holds import Watcher
from sluice.sim.rehearsal.metrics import NoMetrics
from sluice.sim.rehearsal.world import Copy, Rehearsal
from sluice.sim.store import Change
from sluice.views.plans import HoldLine

Key = tuple[str, str]
SECONDS = 3.0
GUARDS = frozenset({str(Kind.KILL_SWITCH), str(Kind.CLUSTER_KILL_SWITCH), str(Kind.ROLLOUT_POLICY)})


@dataclass(slots=True)
class Seen:
    """A Rollout after these seconds."""

    after: Obj
    desired: Desired | None
    holds: list[HoldLine]
    writes: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class First:
    """What became of all of them; of each guard (switch or policy), the object and the Rollouts that it covers."""

    rollouts: dict[Key, Seen]
    fleets: dict[Key, list[HoldLine]]
    guards: dict[tuple[Kind, str, str], Obj]


async def rehearse(
    copies: Iterable[Copy],
    own: Sequence[Key],
    fleets: Sequence[Key],
    guards: Iterable[tuple[Kind, str, str]],
    now: datetime,
) -> First:
    """Let the operator act for a few seconds on these Rollouts.

    Args:
        copies: what is there, with what is applied.
        own: the Rollouts to act on.
        fleets: Rollouts over fleets, of which only is told what holds them.
        guards: kill switches and policies to look at afterwards.
        now: the time.
    """
    world = Rehearsal(copies, own=own, metrics=NoMetrics(), starts_at=now)
    world.gateway.start()
    world.cluster.on_change.append(partial(_point, world))
    world.operator.start()
    await asyncio.sleep(SECONDS)
    failure = world.operator.failure()
    if failure is not None:
        raise failure
    await world.operator.crash()
    watcher = Watcher(world)
    seen = {}
    for key in own:
        after = world.rollout(*key)
        seen[key] = Seen(after, watcher.desired(after), watcher.holds(after), _writes_of(world, after))
    store = world.cluster.store
    over = {key: [hold for hold in watcher.holds(world.rollout(*key)) if hold.kind in GUARDS] for key in fleets}
    return First(seen, over, {guard: store.get(*guard) for guard in guards})


def _point(world: Rehearsal, change: Change) -> None:
    """Have a Service whose selector was changed lead where another one with that selector does."""
    selector, before = _selector(change.after), _selector(change.before)
    if change.kind is not Kind.SERVICE or change.before is None or before == selector:
        return
    namespace, name = key_of(change.after)
    services = world.cluster.store.all(Kind.SERVICE, namespace)
    same = (key_of(each)[1] for each in services if _selector(each) == selector)
    other = next((each for each in same if each != name), "")
    found = [end for each in _slices(world, namespace, other) for end in sequence(each.get("endpoints"))]
    for number, each in enumerate(_slices(world, namespace, name)):
        body = {"endpoints": [] if number else found}
        write = partial(world.cluster.store.merge, subresource="", manager="endpointslice-controller")
        asyncio.get_running_loop().call_soon(write, Kind.ENDPOINT_SLICE, *key_of(each), body)


def _selector(service: Obj | None) -> object:
    return mapping(mapping(service).get("spec")).get("selector")


def _slices(world: Rehearsal, namespace: str, service: str) -> list[Obj]:
    found = world.cluster.store.all(Kind.ENDPOINT_SLICE, namespace)
    return [each for each in found if labels_of(each).get(SERVICE_NAME_LABEL) == service]


def _writes_of(world: Rehearsal, rollout: Obj) -> list[Change]:
    """What was written for one Rollout: by its stamp on what is a user's, and its label on what is Sluice's."""
    namespace, name = key_of(rollout)
    stamp = f"{namespace}/{name}/{rollout['metadata']['uid']}"

    def is_its(change: Change) -> bool:
        same = key_of(change.after)[0] == namespace
        labelled = labels_of(change.after).get(ROLLOUT_LABEL) == name
        return same and (labelled or stamp in {owner_of(change.after), owner_of(change.before)})

    return [change for change in world.writes if is_its(change)]
