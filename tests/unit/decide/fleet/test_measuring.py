"""What the hub measures of clusters as a whole: when, of which, and what its numbers do to the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sluice.api.action import Verb
from sluice.api.analysis import AnalysisTemplateSpec, TemplateRef
from sluice.api.conditions import ConditionType, condition_of
from sluice.api.outcome import Outcome
from sluice.api.rollout import MetricPhase, MetricStatus, Phase
from sluice.decide.fleet.planner import plan_fleet
from sluice.decide.model import Reading, ReadingKind
from unit.decide.fleet.pretended import HOLD, MINUTE, REST, SECOND, Pretended, installed

QUERY = '100 * sum(members_responding{cluster=~"{{clusters}}"}) / sum(members_total{cluster=~"{{clusters}}"})'
RESPONDING: dict[str, Any] = {
    "name": "responding",
    "prometheus": {"query": QUERY},
    "interval": "10s",
    "threshold": {"min": 98.5},
}
FIRST: dict[str, Any] = {"name": "first", "size": 2}
AWAY = Reading(ReadingKind.ERROR, message="connection refused")
SEVERAL = Reading(ReadingKind.INCONCLUSIVE, message="the query returned 2 series")


def analysis(**fields: Any) -> dict[str, Any]:
    """Of the members that respond."""
    return {"metrics": [{**RESPONDING, **fields}]}


def measured(names: str = "abc", *, soak: str = "1m", fleet: dict[str, Any] | None = None, **fields: Any) -> Pretended:
    """A fleet whose first batch of two is measured, and that is asked for 2.0; all members respond."""
    batches = {**FIRST, "soak": soak, "analysis": analysis(**fields)}, REST
    hub = installed(names, *batches, fleet=fleet or {})
    hub.prometheus = lambda _: 100.0
    return hub


def whole(names: str = "abcd", **fleet: Any) -> Pretended:
    """A fleet of two batches that is measured as a whole."""
    hub = installed(names, {**FIRST, "soak": "1m"}, REST, fleet={"analysis": analysis(), **fleet})
    hub.prometheus = lambda _: 100.0
    return hub


def tally(hub: Pretended, scope: str = "batch-first") -> MetricStatus:
    """Where the metric stands."""
    return next(each for each in hub.status.metrics if each.scope == scope)


def until_stage(hub: Pretended, stage: str, batch: str = "first") -> None:
    """Let time pass, a second by the other, until a batch is in a stage."""
    for _ in range(600):
        at = hub.fleet.batch
        if at is not None and (at.name, at.stage) == (batch, stage):
            return
        hub.wait(SECOND, every=SECOND)
    raise AssertionError(f"{batch} is not {stage}: {hub.status.message}")


def until_over(hub: Pretended) -> None:
    """Let time pass until the run is over, and its clusters rest."""
    for _ in range(600):
        hub.wait(SECOND, every=SECOND)
        if hub.outcome is not None and not set("mr") & set("".join(hub.letters)):
            return
    raise AssertionError(f"the run goes on: {hub.status.message}")


# ------------------------------------------------------------------------------------------ when, and of whom


def test_all_well_completes_with_the_numbers_on_record() -> None:
    """The batch's last number stays in its record, whatever comes after it; AnalysisPassed says how it ended."""
    hub = measured()
    until_over(hub)
    assert (hub.outcome, hub.letters) == (Outcome.COMPLETED, ["cc", "c"])
    [number] = hub.runs[-1].status.batches[0].metrics
    assert (number.name, number.phase, number.value, number.threshold) == ("responding", "Passing", 100.0, ">= 98.5")
    assert hub.runs[-1].status.batches[1].metrics == ()


def test_the_whole_fleet_is_measured_to_the_end_of_the_run() -> None:
    """Of the clusters that it has come to; the number goes on record with the run, and stays in the status."""
    hub = whole()
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED
    asked = list(dict.fromkeys(each.values.clusters for each in hub.asked if each.values is not None))
    assert asked == [("a", "b"), ("a", "b", "c", "d")]
    assert [each.value for each in hub.runs[-1].status.metrics] == [100.0]
    assert tally(hub, "fleet").phase is MetricPhase.PASSING
    assert hub.condition(ConditionType.ANALYSIS_PASSED).status == "True"


def test_a_question_is_of_the_batch() -> None:
    """Its clusters, its name, the candidate's version; asked from the first traffic on, and not after the soak."""
    hub = measured()
    hub.look()
    assert hub.asked == []
    until_stage(hub, "Closing")
    assert hub.status.metrics
    count = len(hub.asked)
    until_over(hub)
    assert len(hub.asked) == count
    values = {each.values for each in hub.asked}
    [value] = values
    assert value is not None
    assert (value.clusters, value.batch, value.version) == (("a", "b"), "first", "2.0")
    assert (value.of("clusters"), value.of("clusterCount")) == ("a|b", "2")


def test_a_first_version_is_not_measured() -> None:
    """Nothing served before, so nothing is exposed, and there is nothing to go back to."""
    hub = Pretended("abc", {**FIRST, "soak": "1h", "analysis": analysis()}, REST, fleet={"analysis": analysis()})
    hub.go()
    assert (hub.outcome, hub.asked, hub.status.metrics) == (Outcome.COMPLETED, [], ())
    found = hub.condition(ConditionType.ANALYSIS_PASSED)
    assert (found.status, found.reason) == ("Unknown", "NoMeasurement")


def test_where_nothing_is_measured_nothing_is_said_of_it() -> None:
    """No condition, no numbers, and no wait."""
    hub = installed("ab", REST)
    hub.go()
    assert hub.outcome is Outcome.COMPLETED
    assert condition_of(hub.status.conditions, ConditionType.ANALYSIS_PASSED) is None


def test_metrics_are_those_that_the_templates_had_when_the_run_began() -> None:
    """A template that is changed or deleted in mid-run changes nothing of the run."""
    template = AnalysisTemplateSpec.model_validate({"metrics": [RESPONDING], "args": []})
    hub = Pretended("ab", {**REST, "analysis": {"templates": [{"name": "members"}]}})
    hub.templates[TemplateRef(name="members")] = template
    hub.go()
    hub.ask("2.0")
    hub.prometheus = lambda _: 100.0
    hub.look()
    hub.templates.clear()
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED
    assert {each.metric.name for each in hub.asked} == {"responding"}


def test_no_run_begins_without_its_templates() -> None:
    """The Rollout says which one is missing, and where it is named."""
    hub = installed("ab", REST)
    hub.ask("2.0", fleet={"analysis": {"templates": [{"name": "members"}]}})
    hub.go()
    assert [run.spec.revision for run in hub.runs] == [1]
    assert "spec.fleet.analysis: AnalysisTemplate members does not exist" in hub.status.message


# ------------------------------------------------------------------------------------------ what a number lets go


def test_no_step_is_entered_before_all_were_measured_in_the_one_before() -> None:
    """A number from before the last cluster was there is of another share."""
    hub = measured(initialDelay="0s")
    hub.deaf = {"b"}
    hub.wait(35 * SECOND, every=SECOND)
    assert (hub.step, tally(hub).passes) == (1, 4)
    hub.deaf = set()
    hub.wait(3 * SECOND, every=SECOND)
    assert (hub.step, tally(hub).passes) == (1, 4)
    assert "waits for every metric of batch first to be measured" in hub.status.message
    hub.wait(6 * SECOND, every=SECOND)
    assert (hub.step, tally(hub).passes) == (2, 5)


def test_a_number_that_cannot_be_had_is_no_pass() -> None:
    """While Prometheus does not answer nobody goes further; when it does, the run goes on by itself."""
    hub = measured()
    hub.prometheus = lambda _: AWAY
    hub.wait(5 * MINUTE)
    assert (hub.step, hub.letters, hub.outcome) == (1, ["mm", "w"], None)
    assert "batch first: responding could not be measured: connection refused" in hub.status.message
    assert (hub.status.phase, hub.condition(ConditionType.PAUSED).reason) == (Phase.PAUSED, "AnalysisHolds")
    assert hub.condition(ConditionType.ANALYSIS_PASSED).reason == "MetricErrors"
    hub.prometheus = lambda _: 99.0
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED


def test_only_measured_time_soaks() -> None:
    """A minute in which nothing could be measured is no minute of soak."""
    hub = measured(soak="1m")
    until_stage(hub, "Soaking")
    hub.wait(20 * SECOND, every=SECOND)
    before = hub.batch.counted_seconds
    hub.prometheus = lambda _: AWAY
    hub.wait(10 * MINUTE, every=5 * SECOND)
    assert (hub.batch.stage, hub.batch.counted_seconds - before <= 10) == ("Soaking", True)
    assert "nextTransitionAt" not in hub.status.dump()
    hub.prometheus = lambda _: 100.0
    hub.wait(30 * SECOND, every=SECOND)
    assert hub.batch.stage == "Soaking"
    hub.wait(MINUTE, every=SECOND)
    assert hub.letters[0] == "cc"


def test_a_soak_that_is_measured_all_the_time_takes_as_long_as_it_says() -> None:
    """It is measured when it could end, so that it need not wait for the measurement after that."""
    hub = measured(soak="62s")
    until_stage(hub, "Soaking")
    began_at = hub.batch.started_at
    until_stage(hub, "Closing")
    assert 62 <= (hub.batch.started_at - began_at).total_seconds() <= 64


def test_without_a_soak_all_of_the_traffic_is_measured_once_all_the_same() -> None:
    """Nothing completes on the strength of a smaller share's numbers."""
    hub = measured(soak="0s", failureLimit=1)
    until_stage(hub, "Soaking")
    hub.prometheus = lambda _: AWAY
    hub.wait(2 * MINUTE)
    assert (hub.batch.stage, hub.letters) == ("Soaking", ["dd", "w"])
    hub.prometheus = lambda _: 100.0
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED


def test_a_wave_waits_for_the_measurement_of_the_one_before() -> None:
    """`maxConcurrency`: who comes next gets nothing while those before are not known to be well."""
    hub = installed("ab", {"name": "first", "maxConcurrency": 1, "analysis": analysis()})
    hub.prometheus = lambda _: 100.0
    while hub.letters[0] != "dw" if hub.outcome is None else True:
        hub.wait(SECOND, every=SECOND)
        if hub.outcome is None and hub.letters[0] in {"dw", "dm"}:
            break
    hub.prometheus = lambda _: AWAY
    hub.wait(2 * MINUTE)
    assert hub.letters == ["dw"]
    hub.prometheus = lambda _: 100.0
    until_over(hub)
    assert hub.letters == ["cc"]


def test_the_next_batch_waits_for_the_fleet() -> None:
    """Between batches, too, the whole fleet must be known to be well before anybody else gets the candidate."""
    hub = installed("abc", {**FIRST}, {**REST, "pause": {"duration": "1m"}}, fleet={"analysis": analysis()})
    hub.prometheus = lambda _: 100.0
    until_stage(hub, "Paused", "rest")
    hub.prometheus = lambda _: AWAY
    hub.wait(5 * MINUTE)
    assert (hub.batch.stage, hub.step, hub.up_to("c")) == ("Moving", 0, None)
    assert "the fleet: responding could not be measured" in hub.status.message
    hub.prometheus = lambda _: 100.0
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED


def test_a_late_answer_of_one_batch_does_not_count_for_the_next() -> None:
    """Two batches with the same metric have tallies of their own."""
    batches = [
        {"name": name, "clusters": [letter], "analysis": analysis()} for name, letter in (("x", "a"), ("y", "b"))
    ]
    hub = installed("ab", *batches)
    hub.prometheus = lambda _: 100.0
    until_stage(hub, "Moving", "y")
    hub.prometheus = lambda _: 50.0
    stale = replace(hub.asked[-1], scope="batch-x")
    hub.plan = replace(hub.plan, measures=(stale,))
    hub._answers = (hub._answered(stale),)
    hub.look()
    assert hub.outcome is None
    assert [each.scope for each in hub.status.metrics if each.failures] == []


# ------------------------------------------------------------------------------------------ failing


@pytest.mark.parametrize(
    "on_failure, outcome, letters",
    [
        ("RollbackCluster", Outcome.ABORTED, ["cc", "bb", "w"]),
        ("RollbackBatch", Outcome.ABORTED, ["cc", "bb", "w"]),
        ("RollbackFleet", Outcome.ABORTED, ["bb", "bb", "w"]),
        ("Hold", None, ["cc", "dd", "w"]),
    ],
)
@pytest.mark.parametrize("by", ["batch", "fleet"])
def test_what_a_failed_measurement_does(by: str, on_failure: str, outcome: Outcome | None, letters: list[str]) -> None:
    """As a failure too many of clusters; where those alone would return, the batch does: nobody knows which it is."""
    second: dict[str, Any] = {"name": "second", "size": 2, "soak": "1m"}
    fleet: dict[str, Any] = {"onFailure": on_failure}
    if by == "batch":
        second["analysis"] = analysis()
    else:
        fleet["analysis"] = analysis()
    hub = installed("abcde", {"name": "first", "size": 2}, second, REST, fleet=fleet)
    stable = hub.serves("a")
    hub.prometheus = lambda _: 98.5
    until_stage(hub, "Soaking", "second")
    hub.prometheus = lambda _: 98.4
    hub.wait(30 * SECOND, every=SECOND)
    assert (hub.outcome, hub.letters) == (outcome, letters)
    whose = "batch second" if by == "batch" else "the fleet"
    told = f"{whose}: responding is 98.4, below min 98.5"
    assert told in hub.status.message
    if outcome is None:
        hub.wait(10 * MINUTE)
        assert hub.condition(ConditionType.STALLED).reason == "MetricFailed"
        assert hub.condition(ConditionType.ANALYSIS_PASSED).status == "False"
        assert (hub.batch.stage, hub.up_to("e")) == ("Soaking", None)
        hub.act(Verb.ABORT)
        hub.go()
        assert hub.outcome is Outcome.ABORTED
    else:
        record = hub.runs[-1].status
        assert (record.reason, told in record.message) == ("MetricFailed", True)
        [number] = record.batches[1].metrics if by == "batch" else record.metrics
        assert (number.value, number.phase, number.failures) == (98.4, "Failed", 1)
        found = hub.condition(ConditionType.ANALYSIS_PASSED)
        assert (found.status, found.reason) == ("False", "MetricFailed")
        assert any(told in entry.message for entry in hub.status.audit.entries)
    assert {hub.serves(name) for name in "cde"} == {stable}


def test_nobody_promotes_past_a_failed_measurement() -> None:
    """With `onFailure: Hold` of the fleet, also where a batch waits for a person before it begins."""
    batches = {**FIRST, "soak": "1m"}, {**REST, "pause": {}}
    hub = installed("abcd", *batches, fleet={"analysis": analysis(), "onFailure": "Hold"})
    hub.prometheus = lambda _: 100.0
    until_stage(hub, "Paused", "rest")
    hub.prometheus = lambda _: 50.0
    hub.wait(MINUTE)
    hub.act(Verb.PROMOTE, revision=2)
    hub.look()
    halted = "the fleet: responding is 50, below min 98.5; all waits: sluice abort checkout -n shop"
    assert [(each.done, each.message) for each in hub.plan.answers] == [(False, halted)]
    hub.wait(MINUTE)
    assert (hub.status.message, hub.batch.stage, hub.letters) == (halted, "Paused", ["cc", "ww"])


def test_as_often_as_the_limit_says_a_number_may_fail() -> None:
    """But nobody goes further on the strength of one that did."""
    hub = measured(failureLimit=2)
    numbers = iter([100.0, 98.0, 98.0])
    hub.prometheus = lambda _: next(numbers, 100.0)
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED
    assert hub.runs[-1].status.batches[0].metrics[0].failures == 2


def test_what_says_nothing_waits_for_a_person() -> None:
    """Several series: the query is the matter. Promote sets that aside and measures anew; nothing goes unmeasured."""
    hub = measured()
    hub.prometheus = lambda _: SEVERAL
    hub.wait(MINUTE, every=SECOND)
    assert (hub.step, hub.outcome) == (1, None)
    assert "a person decides" in hub.status.message
    hub.act(Verb.PROMOTE, revision=2)
    hub.look()
    assert (hub.step, hub.plan.answers[0].done) == (1, True)
    assert "responding is measured anew" in hub.plan.answers[0].message
    hub.prometheus = lambda _: 100.0
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED


def test_a_person_does_not_promote_past_a_measurement() -> None:
    """The pause is over when somebody says so, and not before what it shows is known to be well."""
    hub = measured(initialDelay="1m")
    hub.ask("2.0", strategy={"canary": {"steps": [{"setWeight": 10}, {"pause": {}}]}})
    hub.prometheus = lambda _: AWAY
    hub.wait(10 * MINUTE)
    assert hub.step == 1
    hub.prometheus = lambda _: 100.0
    hub.wait(30 * SECOND, every=SECOND)
    assert hub.step == 2
    hub.prometheus = lambda _: AWAY
    hub.wait(30 * SECOND, every=SECOND)
    hub.act(Verb.PROMOTE, revision=2)
    hub.look()
    [answer] = hub.plan.answers
    assert (answer.done, hub.step) == (False, 2)
    assert "could not be measured" in answer.message
    hub.prometheus = lambda _: 100.0
    hub.wait(30 * SECOND, every=SECOND)
    hub.act(Verb.PROMOTE, revision=2)
    hub.look()
    assert (hub.plan.answers[0].done, hub.step) == (True, 3)


def test_a_metric_that_holds_does_not_take_back() -> None:
    """`onFailure: Hold` of the metric: the run stays where it is until somebody decides."""
    hub = measured(onFailure="Hold")
    until_stage(hub, "Soaking")
    hub.prometheus = lambda _: 50.0
    hub.wait(5 * MINUTE)
    assert (hub.outcome, hub.letters) == (None, ["dd", "w"])
    assert hub.condition(ConditionType.PAUSED).reason == "AnalysisHolds"


def test_a_dry_run_is_only_reported() -> None:
    """It shows its number, and stops nothing."""
    hub = measured(dryRun=True)
    hub.prometheus = lambda _: 50.0
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED


def test_clusters_that_fail_and_numbers_that_fail_both_count() -> None:
    """While those that failed return alone and the rest goes on, the batch is measured as before."""
    hub = measured("abc", fleet={"onFailure": "RollbackCluster"})
    until_stage(hub, "Moving")
    hub.wait(SECOND, every=SECOND)
    hub.fail("a")
    hub.wait(2 * SECOND, every=SECOND)
    assert hub.letters == ["fm", "w"]
    hub.prometheus = lambda _: 50.0
    until_over(hub)
    assert hub.outcome is Outcome.ABORTED
    assert "batch first: responding is 50" in hub.status.message


# ------------------------------------------------------------------------------------------ held, away, crashed


def test_a_run_that_is_held_is_measured_on() -> None:
    """A switch that holds: no soak counts; a failure still takes the batch back."""
    hub = measured()
    until_stage(hub, "Soaking")
    hub.wait(20 * SECOND, every=SECOND)
    hub.switches = (HOLD,)
    hub.look()
    counted = hub.batch.counted_seconds
    hub.wait(5 * MINUTE)
    assert hub.batch.counted_seconds == counted
    hub.prometheus = lambda _: 90.0
    hub.wait(MINUTE)
    assert hub.outcome is Outcome.ABORTED


def test_nothing_counts_while_a_cluster_of_the_batch_does_not_answer() -> None:
    """Good numbers of the others do not make up for it."""
    hub = measured()
    until_stage(hub, "Soaking")
    hub.wait(20 * SECOND, every=SECOND)
    hub.lose("b")
    hub.look()
    counted = hub.batch.counted_seconds
    hub.wait(5 * MINUTE)
    assert hub.batch.counted_seconds == counted
    hub.find("b")
    until_over(hub)
    assert hub.outcome is Outcome.COMPLETED


def test_the_numbers_of_a_batch_outlive_a_crash() -> None:
    """An operator that died between the status and the record leaves the record to the next one."""
    hub = measured()
    until_stage(hub, "Soaking")
    for _ in range(200):
        runs = hub.runs
        hub.look()
        if hub.batch.stage == "Closing":
            hub.runs = runs
            break
        hub.carry()
        hub.now += SECOND
    hub.carry()
    until_over(hub)
    assert [each.value for each in hub.runs[-1].status.batches[0].metrics] == [100.0]


def test_the_numbers_that_ended_a_run_outlive_a_crash() -> None:
    """The record is written before the status; what it tells is not what the status last knew."""
    hub = measured(fleet={"analysis": analysis()})
    until_stage(hub, "Soaking")
    hub.prometheus = lambda _: 98.4
    before = hub.status
    while not hub.plan.closed:
        before = hub.status
        hub.look()
        hub.carry()
        hub.now += SECOND
    hub.status, hub._answers = before, ()
    until_over(hub)
    record = hub.runs[-1].status
    assert (hub.outcome, record.reason) == (Outcome.ABORTED, "MetricFailed")
    assert [each.value for each in (*record.batches[0].metrics, *record.metrics)] == [98.4, 98.4]


def test_an_answer_is_taken_once() -> None:
    """A pass that is repeated with the same answers counts them no second time."""
    hub = measured()
    until_stage(hub, "Soaking")
    while not hub.plan.measures:
        hub.wait(SECOND, every=SECOND)
    observed = hub._observed()
    once = plan_fleet(observed, hub.now).status
    again = plan_fleet(replace(observed, status=once), hub.now).status
    assert [each.passes for each in again.metrics] == [each.passes for each in once.metrics]


def test_measures_name_no_slot() -> None:
    """Which slot is the candidate's may differ from cluster to cluster."""
    hub = measured()
    until_over(hub)
    assert {each.slot for each in hub.asked} == {None}
