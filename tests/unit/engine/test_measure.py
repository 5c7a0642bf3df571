"""Asking in the background: each question once at a time, each answer taken once and by its own run only."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from sluice.api.analysis import ResolvedMetric
from sluice.api.common import ObjectRef
from sluice.api.names import Slot
from sluice.api.workload import SlotServices
from sluice.decide.model import Measure, Measurement, Reading, ReadingKind
from sluice.decide.promql import FleetValues
from sluice.engine.measure import FleetSubject, Inbox, Measurer, SlotSubject
from sluice.sim.clock import START, VirtualClock, run

REF = ObjectRef(namespace="shop", name="checkout", uid="uid")
SUBJECT = SlotSubject(
    ref=REF,
    run="checkout-1",
    version="2.0",
    stable_version="1.0",
    services=SlotServices(blue="checkout-blue", green="checkout-green"),
    stable=Slot.BLUE,
)


def metric(query: str = 'up{service="{{service}}"}', **fields: Any) -> ResolvedMetric:
    """A metric."""
    body = {"name": "errors", "prometheus": {"query": query}, "threshold": {"max": 1}, **fields}
    return ResolvedMetric.model_validate(body)


def answer(value: float = 0.0, at: int = 0) -> Measurement:
    """An answer so many seconds after the start."""
    return Measurement("errors", "background", START + timedelta(seconds=at), Reading(ReadingKind.VALUE, value))


class Provider:
    """Answers after a second, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, str | None]] = []

    async def query(self, query: str, *, address: str | None, namespace: str, secret: str | None) -> Reading:
        """Answer a number."""
        self.asked.append((query, namespace, address, secret))
        await asyncio.sleep(1)
        return Reading(ReadingKind.VALUE, float(len(self.asked)))


def measurer(provider: Provider) -> tuple[Measurer, Inbox, list[ObjectRef]]:
    """A measurer over an inbox, and whom it told."""
    inbox, told = Inbox(), list[ObjectRef]()
    return Measurer(provider, inbox, VirtualClock(), told.append), inbox, told


# ---------------------------------------------------------------------------------------------- inbox


def test_answers_belong_to_their_run() -> None:
    """What was asked for an earlier run never counts for the present one."""
    inbox = Inbox()
    inbox.put("uid", "checkout-1", answer(), snapshot=False)
    inbox.put("uid", "checkout-1", answer(7.0), snapshot=True)
    assert inbox.measurements("uid", "checkout-2") == ()
    assert inbox.baselines("uid", "checkout-2") == {}
    assert inbox.measurements("uid", "checkout-1") == (answer(),)
    assert inbox.baselines("uid", "checkout-1") == {"errors": answer(7.0)}


def test_answers_wait_until_a_status_holds_them() -> None:
    """A status that could not be written takes none away; one that was takes just those."""
    inbox = Inbox()
    for at in (1, 2):
        inbox.put("uid", "checkout-1", answer(at=at), snapshot=False)
    taken = inbox.measurements("uid", "checkout-1")
    inbox.put("uid", "checkout-1", answer(at=3), snapshot=False)
    inbox.drop("uid", "checkout-1", taken)
    assert inbox.measurements("uid", "checkout-1") == (answer(at=3),)


def test_answers_of_earlier_runs_are_not_kept_for_ever() -> None:
    """They go with the first status of a later run."""
    inbox = Inbox()
    inbox.put("uid", "checkout-1", answer(), snapshot=False)
    inbox.drop("uid", "checkout-2", ())
    assert dict(inbox._measurements) == {}


def test_a_rollout_that_is_gone_leaves_nothing() -> None:
    """Measurements and baselines go with it."""
    inbox = Inbox()
    inbox.put("uid", "checkout-1", answer(), snapshot=False)
    inbox.put("uid", "checkout-1", answer(), snapshot=True)
    inbox.forget("uid")
    assert (dict(inbox._measurements), dict(inbox._baselines)) == ({}, {})


# ---------------------------------------------------------------------------------------------- measurer


def test_a_question_is_asked_once_at_a_time() -> None:
    """However many passes ask for it; afterwards it may be asked again."""

    async def story() -> None:
        provider = Provider()
        asking, inbox, told = measurer(provider)
        for _ in range(5):
            asking.ask(SUBJECT, Measure(metric(), "background", Slot.GREEN))
            await asyncio.sleep(0.1)
        assert len(provider.asked) == 1
        await asyncio.sleep(2)
        assert (len(inbox.measurements("uid", "checkout-1")), told) == (1, [REF])
        asking.ask(SUBJECT, Measure(metric(), "background", Slot.GREEN))
        await asyncio.sleep(2)
        assert len(provider.asked) == 2

    run(story())


def test_a_measurement_has_what_the_metric_needs() -> None:
    """The candidate's number, stable's at the same moment, and the number of samples, asked at once."""

    async def story() -> None:
        provider = Provider()
        asking, inbox, _ = measurer(provider)
        asked = metric(minSamples={"query": 'count{version="{{version}}"}', "value": 5})
        asking.ask(SUBJECT, Measure(asked, "background", Slot.GREEN, with_baseline=True))
        await asyncio.sleep(2)
        assert [query for query, *_ in provider.asked] == [
            'up{service="checkout-green"}',
            'up{service="checkout-blue"}',
            'count{version="2.0"}',
        ]
        (found,) = inbox.measurements("uid", "checkout-1")
        assert found.baseline is not None
        assert found.samples is not None
        assert (found.reading.value, found.baseline.value, found.samples.value) == (3.0, 3.0, 3.0)

    run(story())


def test_a_snapshot_is_no_measurement() -> None:
    """It is kept as a baseline, with its time, and counts no samples."""

    async def story() -> None:
        provider = Provider()
        asking, inbox, _ = measurer(provider)
        asked = metric(minSamples={"query": "count", "value": 5})
        asking.ask(SUBJECT, Measure(asked, "background", Slot.BLUE, snapshot=True))
        await asyncio.sleep(2)
        assert len(provider.asked) == 1
        assert inbox.measurements("uid", "checkout-1") == ()
        assert inbox.baselines("uid", "checkout-1")["errors"].at == START + timedelta(seconds=1)

    run(story())


def test_secrets_and_addresses_come_from_the_metrics_owner() -> None:
    """A namespaced metric's Secret is in the Rollout's namespace, a cluster template's in the operator's."""

    async def story() -> None:
        provider = Provider()
        asking, _, _ = measurer(provider)
        source = {"query": "up", "address": "http://prometheus:9090", "secretRef": {"name": "token"}}
        for name, cluster_scoped in (("a", False), ("b", True)):
            asked = metric(name=name, prometheus=source, clusterScoped=cluster_scoped)
            asking.ask(SUBJECT, Measure(asked, "background", Slot.GREEN))
        await asyncio.sleep(2)
        assert [place for _, *place in provider.asked] == [
            ["shop", "http://prometheus:9090", "token"],
            ["", "http://prometheus:9090", "token"],
        ]

    run(story())


def test_a_query_that_cannot_be_filled_in_is_an_error_not_a_crash() -> None:
    """Prometheus is not asked, and the run sees an error with what is wrong."""

    async def story() -> None:
        provider = Provider()
        asking, inbox, _ = measurer(provider)
        asking.ask(SUBJECT, Measure(metric("up{{unknown}}"), "background", Slot.GREEN))
        await asyncio.sleep(2)
        (found,) = inbox.measurements("uid", "checkout-1")
        assert (provider.asked, found.reading.kind) == ([], ReadingKind.ERROR)
        assert "unknown" in found.reading.message

    run(story())


def test_stopping_gives_up_what_is_asked() -> None:
    """A process that no longer leads waits for no answer."""

    async def story() -> None:
        asking, inbox, told = measurer(Provider())
        asking.ask(SUBJECT, Measure(metric(), "background", Slot.GREEN))
        await asyncio.sleep(0.1)
        await asking.stop()
        assert (inbox.measurements("uid", "checkout-1"), told) == ((), [])

    run(story())


def test_clusters_as_a_whole_are_asked_for_by_their_names() -> None:
    """Where there is no slot, the question says what its placeholders stand for; so does that for the samples."""

    async def story() -> None:
        provider = Provider()
        asking, inbox, _ = measurer(provider)
        asked = metric('sum(up{c=~"{{clusters}}"})', minSamples={"query": "count(x) * {{clusterCount}}", "value": 1})
        values = FleetValues("checkout", "shop", "2.0", "wave", ("m1", "m2"), timedelta(seconds=30))
        asking.ask(FleetSubject(REF, "checkout-1"), Measure(asked, "batch-wave", values=values))
        await asyncio.sleep(2)
        assert [query for query, *_ in provider.asked] == ['sum(up{c=~"m1|m2"})', "count(x) * 2"]
        [found] = inbox.measurements("uid", "checkout-1")
        assert (found.scope, found.reading.kind, found.samples is None) == ("batch-wave", ReadingKind.VALUE, False)

    run(story())
