"""Capacity in the middle of a run: autoscalers, evictions, budgets and restarts cost nobody a request."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from e2e import stories
from e2e.recorder import Recorder
from e2e.slot_recorder import SlotRecorder
from e2e.stories import TWO_STOPS
from e2e.support.app import SLUICE
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from e2e.support.workload import Workload
from e2e.support.world import World
from testbed import ExternalMetrics, apps

QUEUE = "queue"


@pytest.fixture(scope="module")
def metrics(world: World) -> Iterator[ExternalMetrics]:
    """The external metrics API of the world's hub."""
    with ExternalMetrics(world.hub) as served:
        yield served


def capacity(app: Workload) -> int:
    """What the Rollout asks for."""
    return int(app.rollout()["spec"]["workload"]["replicas"])


def test_an_autoscaler_doubles_and_halves_in_mid_run(workload: Workload, metrics: ExternalMetrics) -> None:
    """Both slots follow, each by its share, with the weight where it is; the run goes on to its end."""
    workload.open(replicas=4).serve(TWO_STOPS)
    metrics.set(workload.namespace, QUEUE, 4)
    autoscaler = apps.autoscaler(workload.namespace, workload.name, "sluice.dev/v1alpha1", "Rollout", QUEUE, most=20)
    workload.hub.apply(yaml.safe_dump(autoscaler))
    with workload.steady(rate=200), Recorder(workload) as record, SlotRecorder(workload) as slots:
        stories.started(workload, "v2")
        workload.do("Promote")
        stories.at_stop(workload, "50%")
        metrics.set(workload.namespace, QUEUE, 8)
        until(lambda: capacity(workload) == 8, "the autoscaler to ask for 8")
        workload.wait_ready("blue", 8)
        workload.wait_ready("green", 4)
        metrics.set(workload.namespace, QUEUE, 4)
        until(lambda: capacity(workload) == 4, "the autoscaler to ask for 4")
        workload.wait_ready("blue", 4)
        workload.wait_ready("green", 2)
        scale = f"{SLUICE}/namespaces/{workload.namespace}/rollouts/{workload.name}/scale"
        until(lambda: workload.hub.get(scale)["status"]["replicas"] == 6, "the scale to count the pods of both slots")
        workload.do("Promote")
        workload.wait_served_by("v2")
        slots.check()
        record.catch_up()
    record.check_plan(0, 20, 50, 100)
    assert workload.run(1)["status"]["outcome"] == "Completed"
    assert len(json.loads(workload.kubectl("get", "rolloutruns", "-o", "json"))["items"]) == 1, "scaling began a run"


def test_a_stable_slot_that_shrinks_as_weight_leaves_it(workload: Workload) -> None:
    """With `dynamicStable` both slots together hardly outgrow the capacity, and an abort waits for stable's pods."""
    strategy = {"canary": {"steps": [weight(50), pause(), weight(75), pause()], "dynamicStable": True}}
    workload.open(replicas=4).serve(strategy)
    with workload.steady(rate=200), SlotRecorder(workload) as slots:
        workload.ship("v2")
        stories.at_stop(workload, "50%")
        workload.wait_ready("blue", 2)
        workload.do("Promote")
        stories.at_stop(workload, "75%")
        workload.wait_ready("blue", 1)
        workload.wait_ready("green", 3)
        workload.do("Abort")
        until(lambda: workload.share_of("green") == 0, "everything to be back")
        workload.wait_ready("blue", 4)
        workload.only("v1")
        slots.check()


def test_evictions_within_a_budget_in_mid_run(workload: Workload) -> None:
    """A drained node takes pods of both slots, as many as the budget lets it; no request fails, the run goes on."""
    workload.open(replicas=4).serve(TWO_STOPS)
    with workload.steady(rate=200), Recorder(workload) as record:
        stories.started(workload, "v2")
        workload.do("Promote")
        stories.at_stop(workload, "50%")
        doomed = {**workload.pods("blue"), **workload.pods("green")}
        workload.keep_up(len(doomed), allowed=0)
        assert {workload.evict(pod) for pod in doomed} == {429}
        workload.keep_up(len(doomed) - 1, allowed=1)
        for pod in doomed:
            until(lambda: workload.evict(pod) == 201, f"{pod} to be let go")  # noqa: B023 - called at once
        until(lambda: not doomed.keys() & {**workload.pods("blue"), **workload.pods("green")}.keys(), "new pods")
        workload.wait_ready("blue", 4)
        workload.wait_ready("green", 2)
        workload.do("Promote")
        workload.wait_served_by("v2")
        record.catch_up()
    record.check_plan(0, 20, 50, 100)


def test_a_budget_that_keeps_the_old_pods(workload: Workload) -> None:
    """Sluice takes no pod away that a budget keeps: it says which, and goes on once the budget lets go."""
    workload.open(replicas=2).serve(canary(weight(50), pause()))
    with workload.steady(), SlotRecorder(workload) as slots:
        workload.ship("v2")
        workload.wait_weight("50%")
        workload.keep_up("100%", allowed=0)
        workload.do("Promote")
        workload.wait_served_by("v2")
        workload.wait_message(f"PodDisruptionBudget {workload.name} keeps 2 pods")
        assert len(workload.pods("blue")) == 2
        workload.kubectl("delete", "poddisruptionbudget", workload.name)
        workload.wait_ready("blue", 0)
        slots.check()


def test_a_restart_in_mid_run(workload: Workload) -> None:
    """Every pod of both slots is replaced, and neither slot is ever below what it had; the weight stays."""
    workload.open(replicas=4).serve(TWO_STOPS)
    stories.started(workload, "v2")
    workload.do("Promote")
    stories.at_stop(workload, "50%")
    workload.wait_ready("green", 2)
    old = {**workload.pods("blue"), **workload.pods("green")}
    with workload.steady(rate=200), Recorder(workload) as record, SlotRecorder(workload) as slots:
        workload.do("Restart", reason="a new certificate")
        until(lambda: not old.keys() & {**workload.pods("blue"), **workload.pods("green")}.keys(), "new pods")
        workload.wait_ready("blue", 4)
        workload.wait_ready("green", 2)
        stories.at_stop(workload, "50%")
        slots.check()
        record.catch_up()
        assert (slots.least_available("blue"), slots.least_available("green")) == (4, 2)
        assert record.percents() == [50]
        workload.do("Promote")
        workload.wait_served_by("v2")
