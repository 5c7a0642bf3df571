"""Metrics that are read off the process when it is scraped, rather than kept up to date all the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from sluice.api.killswitch import SwitchState
from sluice.api.names import Kind
from sluice.api.rollout import Phase
from sluice.decide.members import MemberState
from sluice.decide.watching import Sight, sight_of
from sluice.engine.switchboard import SWITCH_KINDS

if TYPE_CHECKING:
    from sluice.adapters.kube.shards import ShardKeeper
    from sluice.adapters.kube.transport import Transport
    from sluice.engine.engine import Engine
    from sluice.engine.members import Members
    from sluice.telemetry import PrometheusMeter


class Scrape(Collector):
    """Fills the gauges, and collects the counts of API requests."""

    def __init__(
        self, meter: PrometheusMeter, engine: Engine, transport: Transport, keeper: ShardKeeper, members: Members
    ) -> None:
        self._meter = meter
        self._engine = engine
        self._transport = transport
        self._keeper = keeper
        self._members = members
        meter.registry.register(self)

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        held = self._keeper.shards
        self._meter.shards.set(len(held))
        self._meter.shard.clear()
        for shard in sorted(held):
            self._meter.shard.labels(str(shard)).set(1)
        self._meter.backlog.set(self._engine.backlog)
        phases = Counter(_field(obj, "phase") for obj in self._engine.store.all(Kind.ROLLOUT))
        for phase in Phase:
            self._meter.rollouts.labels(phase.value).set(phases[phase.value])
        states = Counter(_field(obj, "state") for kind in SWITCH_KINDS for obj in self._engine.store.all(kind))
        for state in SwitchState:
            self._meter.switches.labels(state.value).set(states[state.value])
        sights = Counter(sight_of(obj) for kind in SWITCH_KINDS for obj in self._engine.store.all(kind))
        for sight in Sight:
            self._meter.sights.labels(sight.value).set(sights[sight])
        found = Counter(self._members.states())
        for member_state in MemberState:
            self._meter.members.labels(member_state.value).set(found[member_state])

    def collect(self) -> Iterator[Metric]:
        """Requests to the API server and the time spent in them, and probes of members."""
        names = ("verb", "kind", "lane", "status")
        count = CounterMetricFamily("sluice_api_requests", "Requests to the API server.", labels=names)
        seconds = CounterMetricFamily("sluice_api_request_seconds", "Time spent in requests.", labels=names)
        for labels, number in list(self._transport.requests.items()):
            count.add_metric(list(labels), number)
        for labels, spent in list(self._transport.seconds.items()):
            seconds.add_metric(list(labels), spent)
        yield count
        yield seconds
        probes = CounterMetricFamily("sluice_member_probes", "Probes of member clusters.", labels=("outcome",))
        for outcome, number in list(self._members.probes.items()):
            probes.add_metric([outcome], number)
        yield probes


def _field(obj: dict[str, object], name: str) -> str:
    status = obj.get("status")
    return str(status.get(name, "")) if isinstance(status, dict) else ""
