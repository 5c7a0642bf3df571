"""What keeps pods from being ready: told in the cluster's own words, and a reason not to wait any longer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.conditions import condition_of
from sluice.api.names import Slot
from sluice.api.rollout import Outcome
from sluice.decide.model import Observed
from sluice.decide.planner import plan
from sluice.decide.pods import PodFault
from unit.decide.cluster import settle, slowly
from unit.decide.observed import HOUR, NOW, SECOND
from unit.decide.workloads import (
    CAPACITY,
    deployment,
    pods_in,
    serving,
    ship,
    stepping,
    template,
    unborn,
    version_in,
    with_deployment,
)

DRAINED = NOW + 10 * SECOND


def fault(reason: str = "CrashLoopBackOff", message: str = "back-off 10s restarting failed container") -> PodFault:
    """A container of the candidate's that does not run."""
    return PodFault("checkout-green-1", "app", reason, message)


def coming(*faults: PodFault, **fields: Any) -> Observed:
    """A run to 2.0 of which no pod is ready yet, and why."""
    seen = settle(ship(serving(**fields), template("2.0")), NOW, slowly)
    return with_deployment(seen, Slot.GREEN, faults=faults)


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_what_will_not_run_by_waiting_ends_the_run_at_once(reason: str) -> None:
    """Long before the deadline, with the pod, the container and the kubelet's words; stable was not touched."""
    made = plan(coming(fault(reason, "not found")), NOW + SECOND)
    revision = made.status.revision
    assert revision is not None
    assert (revision.outcome, revision.reason) == (Outcome.ABORTED, "ContainerFails")
    assert revision.message == f"green cannot run: container app of pod checkout-green-1: {reason}: not found"
    assert (made.status.rejected, made.shifts) == ((revision.hash,), ())


@pytest.mark.parametrize("reason", ["ErrImagePull", "CreateContainerConfigError", "PodInitializing"])
def test_what_may_come_right_is_waited_for(reason: str) -> None:
    """A first failure to pull, a ConfigMap that is not there yet: told meanwhile, and ended by the deadline."""
    seen = coming(fault(reason, "try again"))
    made = plan(seen, NOW + SECOND)
    assert made.status.revision is not None
    assert made.status.revision.outcome is None
    assert made.status.message.endswith(
        f"has 0 of 1 pods ready: container app of pod checkout-green-1: {reason}: try again"
    )
    late = plan(seen, NOW + HOUR)
    assert late.status.revision is not None
    assert late.status.revision.reason == "ProgressDeadlineExceeded"
    assert reason in late.status.revision.message


@pytest.mark.parametrize(
    "wait, words",
    [
        (PodFault("p-1", "app", "NotReady", "its probe"), "container app of pod p-1: NotReady: its probe"),
        (PodFault("p-1", "", "Unschedulable", "no node"), "pod p-1: Unschedulable: no node"),
        (PodFault("", "", "FailedCreate", "exceeded quota"), "FailedCreate: exceeded quota"),
    ],
)
def test_what_is_waited_for_is_told_and_named_at_the_deadline(wait: PodFault, words: str) -> None:
    """A readiness probe, a node, a quota: the run waits, and its end says for what."""
    coming_up = settle(ship(serving(), template("2.0")), NOW, slowly)
    seen = with_deployment(coming_up, Slot.GREEN, waits=(wait,))
    assert plan(seen, NOW + SECOND).status.message.endswith(f"has 0 of 1 pods ready: {words}")
    late = plan(seen, NOW + HOUR).status.revision
    assert late is not None
    assert (late.reason, late.message.endswith(words)) == ("ProgressDeadlineExceeded", True)


def test_a_container_that_cannot_run_is_told_before_one_that_is_not_ready() -> None:
    """The cause, not what follows from it."""
    slow = PodFault("checkout-green-0", "app", "NotReady", "it runs")
    seen = with_deployment(coming(fault("ErrImagePull")), Slot.GREEN, waits=(slow,))
    assert "ErrImagePull" in plan(seen, NOW + SECOND).status.message


def test_a_first_version_whose_pods_only_start_is_no_trouble() -> None:
    """Not Degraded while its probes are waited for."""
    slow = PodFault("checkout-blue-0", "app", "NotReady", "it runs, and its readiness probe has not passed")
    seen = with_deployment(settle(unborn(), NOW, slowly), Slot.BLUE, ready=0, waits=(slow,))
    made = plan(seen, NOW + SECOND)
    assert (made.status.phase, "NotReady" in made.status.message) == ("Progressing", True)


def test_the_hopeless_one_counts_wherever_it_stands() -> None:
    """One pod only begins, another cannot run."""
    made = plan(coming(fault("ErrImagePull"), fault()), NOW + SECOND)
    assert made.status.revision is not None
    assert "CrashLoopBackOff" in made.status.revision.message


def test_on_deadline_hold_tells_and_waits() -> None:
    """The run stays for people, who are told what to mend and how to give up; mended, it goes on."""
    seen = coming(fault(), spec={"onDeadline": "Hold"})
    made = plan(seen, NOW + SECOND)
    assert made.status.revision is not None
    assert made.status.revision.outcome is None
    stalled = condition_of(made.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == "ContainerFails"
    assert stalled.message.endswith("waits on (onDeadline is Hold): mend it, or sluice abort checkout -n shop")
    mended = settle(with_deployment(seen, Slot.GREEN, faults=(), ready=1), NOW + SECOND)
    assert (mended.targets[0].shares, condition_of(mended.status.conditions, "Stalled")) == ((2500,), None)


def test_a_fault_is_no_matter_while_nothing_waits_for_the_pod() -> None:
    """At its share, with the pods that it needs: a container that crashes once ends no run."""
    seen = with_deployment(stepping(), Slot.GREEN, faults=(fault(),))
    made = plan(seen, NOW + SECOND)
    assert made.status.revision is not None
    assert (made.status.revision.outcome, made.shifts) == (None, ())


def test_a_mended_version_takes_the_place_of_one_that_could_not_run() -> None:
    """What the slot still holds is not held against it, neither before nor after it is replaced."""
    failed = settle(coming(fault()), NOW, slowly)
    assert failed.status.phase == "Aborted"
    mended = settle(ship(failed, template("2.1")), DRAINED)
    assert (version_in(mended, Slot.GREEN), mended.targets[0].shares) == ("2.1", (2500,))
    assert deployment(mended, Slot.GREEN).faults == ()


def test_stables_containers_end_no_run() -> None:
    """A pod of stable that crashes is told of by nobody's abort."""
    seen = with_deployment(stepping(), Slot.BLUE, faults=(fault(),), ready=CAPACITY - 1)
    made = plan(seen, NOW + SECOND)
    assert made.status.revision is not None
    assert made.status.revision.outcome is None


def test_stable_without_a_ready_pod_says_why() -> None:
    """Degraded, with the container's own words."""
    seen = with_deployment(serving(), Slot.BLUE, faults=(fault(),), ready=0)
    made = plan(seen, NOW)
    assert (made.status.phase, "CrashLoopBackOff" in made.status.message) == ("Degraded", True)


def test_what_a_container_says_is_cut_short() -> None:
    """A novel of a message does not fill the status."""
    made = plan(coming(fault("ErrImagePull", "x" * 5000)), NOW + SECOND)
    assert len(made.status.message) < 500


def test_an_aborted_candidate_that_cannot_run_goes_after_the_delay() -> None:
    """Its pods stay to be looked at for a while, and end then."""
    failed = settle(coming(fault()), NOW, slowly)
    assert pods_in(failed) == (CAPACITY, 1)
    later = replace(failed, switches=())
    assert pods_in(settle(later, NOW + HOUR, slowly)) == (CAPACITY, 0)
