"""Write docs/reference/reasons.md: what each condition, phase and reason means, and what to do.

With --check, fail where the page is stale. Either way, fail where a value of the API has no explanation here, where an
explanation is of nothing, and where no code gives a Reason.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sluice.api.action import ActionPhase
from sluice.api.conditions import ConditionType, Reason
from sluice.api.killswitch import SwitchState
from sluice.api.outcome import Outcome
from sluice.api.rollout import Confirmation, MetricPhase, Phase
from sluice.decide.members import MemberState

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "reasons.md"
PACKAGE = ROOT / "operator" / "sluice"
HEAD = """\
# Conditions, phases and reasons

What a Rollout and a kill switch say about themselves, in `kubectl get -o yaml`, `sluice status` and Kubernetes Events,
and what is said of a member cluster in `kubectl get -o yaml` and `sluice clusters check`.
Every message names the object and, where somebody has to act, the next command. This page is written from
`tools/gen_reasons_docs.py` by `make reasons-docs-write`.
"""

Told = tuple[str, ...]

CONDITIONS: Mapping[ConditionType, Told] = {
    ConditionType.READY: (
        "Rollout, member cluster",
        "With `readiness: Serving` (default): stable answers, and the spec can be followed. With `Complete`: the "
        "version that the spec asks for serves, too. Of a member cluster: Reachable and Authorized.",
        "False: see its reason.",
    ),
    ConditionType.RECONCILING: (
        "Rollout",
        "Present only while True: the operator is not done yet (kstatus; GitOps tools wait on it).",
        "Wait.",
    ),
    ConditionType.STALLED: (
        "Rollout, member cluster",
        "Present only while True: it cannot go on until somebody mends what the message names; with `readiness: "
        "Complete` also after a run that was aborted or killed.",
        "Mend it; the operator notices by itself.",
    ),
    ConditionType.PROGRESSING: (
        "Rollout",
        "True: a run is under way; the reason says what it does or waits for. False: the reason is how the last one "
        "ended.",
        "",
    ),
    ConditionType.PAUSED: (
        "Rollout",
        "True: the run waits for a person, a release or a mended spec.",
        "See its reason.",
    ),
    ConditionType.ANALYSIS_PASSED: (
        "Rollout",
        "True: every last measurement was good. False: a metric ended the run. Unknown: nothing is measured, or not "
        "yet, or a metric holds the run.",
        "",
    ),
    ConditionType.TRAFFIC_CONFIRMED: (
        "Rollout",
        "True: every route reads back the intended share, and its controller accepted it (`Accepted`). Unknown: read "
        "back only (`Written`). False: not read back, or changed by somebody else.",
        "",
    ),
    ConditionType.KILLED: (
        "Rollout",
        "True: a kill switch ended the last run, or covers the Rollout now.",
        "`sluice release` the switch; then `sluice retry` a run that was killed.",
    ),
    ConditionType.EFFECTIVE: (
        "Kill switch",
        "True: engaged, and every covered route reads back 0 and was accepted. False: armed, or not there yet.",
        "",
    ),
    ConditionType.WATCHING: (
        "Kill switch with `autoTrip`",
        "True: each of its metrics gave a number when it was last asked. False: it is blind, or engaged. Unknown: it "
        "has not measured yet, or there was too little traffic. Only numbers trip it.",
        "False: see its reason; until it is mended, people watch.",
    ),
    ConditionType.REACHABLE: (
        "Member cluster",
        "True: its API server answers, as Kubernetes does. False: it does not; `status.lastSeenAt` says when it last "
        "did. Unknown: it was not asked.",
        "False: see its reason.",
    ),
    ConditionType.AUTHORIZED: (
        "Member cluster",
        "True: it lets the operator do everything that Sluice needs. False: it does not; `status.missingRights` lists "
        "what. Unknown: it was not asked.",
        "`sluice clusters check` shows each right.",
    ),
}

PHASES: Mapping[Phase, Told] = {
    Phase.HEALTHY: ("The version that was asked for serves, and nothing is going on.", ""),
    Phase.PROGRESSING: ("A run is under way and goes on by itself.", "`sluice status --watch`"),
    Phase.PAUSED: ("It waits for a person, a release or a mended spec.", "See the condition `Paused`."),
    Phase.ABORTED: ("A run was aborted; stable serves.", "Mend the version, or `sluice retry` the same one."),
    Phase.KILLED: ("A kill switch ended a run; stable serves.", "`sluice release`, then `sluice retry`"),
    Phase.DEGRADED: (
        "Stable has no ready endpoint, or what is needed to follow the spec is missing or wrong.",
        "See the conditions `Ready` and `Stalled`.",
    ),
}

OUTCOMES: Mapping[Outcome, Told] = {
    Outcome.COMPLETED: ("The candidate became stable.",),
    Outcome.ABORTED: ("By a metric, a deadline, a loss or a person; traffic returned to stable.",),
    Outcome.KILLED: ("By a kill switch; traffic returned to stable.",),
    Outcome.SUPERSEDED: ("The spec asked for another version in the candidate's slot.",),
    Outcome.RETURNED: ("The spec asked for stable again, or the Rollout was deleted.",),
}

CONFIRMATIONS: Mapping[Confirmation, Told] = {
    Confirmation.WRITTEN: ("Every route reads back the intended share.",),
    Confirmation.ACCEPTED: ("And the controllers of all its parents accepted it at that generation.",),
}

METRIC_PHASES: Mapping[MetricPhase, Told] = {
    MetricPhase.PENDING: ("Not measured yet.",),
    MetricPhase.PASSING: ("The last measurement was good.",),
    MetricPhase.FAILING: ("The last one missed its threshold, within `failureLimit`.",),
    MetricPhase.ERROR: ("The last one was not answered, or refused.",),
    MetricPhase.NO_DATA: ("The last one had no series, or NaN.",),
    MetricPhase.INCONCLUSIVE: ("The last one was no single number: several series, partial data, infinity.",),
    MetricPhase.TOO_FEW_SAMPLES: ("There was too little traffic to judge; see `minSamples`.",),
    MetricPhase.SUCCESSFUL: ("In a step: it passed as often as it must.",),
    MetricPhase.FAILED: ("A limit is passed.",),
}

SWITCH_STATES: Mapping[SwitchState, Told] = {
    SwitchState.ARMED: ("Not engaged.",),
    SwitchState.ENGAGING: ("Engaged; some routes are not confirmed at 0 yet.",),
    SwitchState.ENGAGED: ("Engaged, and in force everywhere.",),
    SwitchState.EXPIRED: (
        "A Hold whose time is over (`expires`): it holds nobody. Release it before you engage it again.",
    ),
}

MEMBER_STATES: Mapping[MemberState, Told] = {
    MemberState.READY: ("It answers, and lets Sluice do what it needs to.",),
    MemberState.UNREACHABLE: ("Its API server does not answer.",),
    MemberState.UNAUTHORIZED: ("It answers, but refuses the credentials, or rights are missing.",),
    MemberState.STALLED: ("Its Secret, or the kubeconfig in it, has to be mended.",),
    MemberState.UNKNOWN: ("Nothing is known yet.",),
}

ACTION_PHASES: Mapping[ActionPhase, Told] = {
    ActionPhase.DONE: ("Taken; the message says what it did.",),
    ActionPhase.REJECTED: ("Not taken, and never will be; the message says why. Look again, then create a new one.",),
}

WELL, WAITING, ENDED, WRONG, PEOPLE = "Going well", "Waiting", "How a run ended", "Wrong", "Answers to people"
SWITCHES = "Of kill switches that trip by themselves"
MEMBERS = "Of member clusters"
FLEETS = "Over fleets"
METRICS = "Metrics: these hold a run, or end it"
REASONS: Mapping[str, Mapping[Reason, Told]] = {
    WELL: {
        Reason.ADOPTED: ("The Rollout is new: what serves was read off the routes and taken as stable.", ""),
        Reason.RUN_STARTED: ("The spec asks for something other than stable: a run began.", ""),
        Reason.STEP_STARTED: ("A step of the run began.", ""),
        Reason.STEPPING: ("The run is at work.", ""),
        Reason.WEIGHT_CHANGED: ("A share was intended, and is being written to the routes.", ""),
        Reason.CONFIRMED: ("The intended share was read back, and accepted.", ""),
        Reason.MEASURING: ("No bad measurement so far, and not done.", ""),
        Reason.MEASUREMENTS_PASS: ("Every last measurement was good.", ""),
        Reason.NO_ANALYSIS: ("The run measures nothing that could fail.", ""),
        Reason.STABLE_SERVES: ("Stable has ready endpoints.", ""),
        Reason.IDLE: ("There is nothing to say: no run, no pause, no kill.", ""),
    },
    WAITING: {
        Reason.PAUSE_STEP: ("A timed pause; only time that measurements cover counts.", "Wait, or `sluice promote`."),
        Reason.WATCHING: ("Blue-green has switched and looks on before it is complete.", "Wait, or `sluice promote`."),
        Reason.AWAITS_PROMOTION: ("A pause without an end.", "`sluice promote` or `sluice abort`"),
        Reason.WAITS_FOR_APPROVAL: (
            "People of a group have to approve; the message says how many, who did, and until when that counts.",
            "`sluice approve`, by somebody else than who asked for the run; or `sluice reject`.",
        ),
        Reason.APPROVAL_EXPIRED: (
            "Somebody's approval expired before enough people had approved.",
            "Approve again, or lengthen `approval.expires`.",
        ),
        Reason.ANALYSING: ("A step's analysis is not done.", "Wait."),
        Reason.PAUSED_BY_SPEC: ("`spec.paused` is true.", "Set it to false."),
        Reason.PAUSED_BY_ACTION: ("Somebody paused the run; the message says who.", "`sluice resume`"),
        Reason.HELD_BY_POLICY: (
            "A RolloutPolicy does not let exposure grow, or the run begin: no window is open, others have to be stable "
            "first, or it is not its turn yet. The message names the policy and, where that is known, the time.",
            "Wait, or ask who keeps the policy: `kubectl get rolloutpolicies`. To go back is never held.",
        ),
        Reason.HELD_BY_ACTION: (
            "Somebody on call holds the run; the message says who, why and until when.",
            "`sluice resume`, or wait; `sluice extend` makes it longer.",
        ),
        Reason.HOLD_ENDED: ("A hold for a time is over: the run goes on.", ""),
        Reason.HELD_BY_SWITCH: ("An engaged kill switch covers the Rollout.", "`sluice release` the switch it names."),
        Reason.WAITS_FOR_ENDPOINTS: (
            "The candidate's Service has no ready endpoint. Counts against `progressDeadline`.",
            "Look at its pods and at the Service's selector.",
        ),
        Reason.WAITS_FOR_BASELINE: (
            "A relative threshold needs a baseline from stable, and there is none yet.",
            "Is there traffic to stable, and does its query answer? The message has Prometheus' words.",
        ),
        Reason.NOT_CONFIRMED: (
            "A share is written, and not yet read back or accepted everywhere. In a run it counts against "
            "`progressDeadline`.",
            "If it lasts: is the Gateway's controller running? See the route's `status.parents`.",
        ),
        Reason.NO_MEASUREMENT: (
            "A metric was not measured yet at the present share; exposure does not grow before.",
            "Wait for its interval. `sluice promote --full` does not wait for it.",
        ),
        Reason.ANALYSIS_HOLDS: (
            "A metric holds the run: it could not be measured, was inconclusive, or failed with `onFailure: Hold`.",
            "Mend the query or Prometheus. Where a person decides: `sluice promote` (measured anew) or `sluice abort`.",
        ),
        Reason.DRAINING: (
            "The candidate's slot still runs another revision, whose last requests get `drain` to end before its pods "
            "are replaced.",
            "Wait; the message says what it waits for.",
        ),
        Reason.STABLE_CAPACITY: (
            "With `dynamicStable`, stable is small: it takes back what its ready pods can carry, and the rest as they "
            "come. Counts against `progressDeadline`.",
            "Wait. If it lasts, see stable's pods.",
        ),
        Reason.DISRUPTION_BUDGET: (
            "A PodDisruptionBudget lets no more pods go for now; they go as it allows.",
            "If it lasts: does the budget ask for more pods than there are? See "
            "[When pods do not come](../runbooks/pods.md).",
        ),
        Reason.HELD_BY_HAND: (
            "A route carries `sluice.dev/hold`: people hold its weights, and Sluice writes none. It ends a run that "
            "has traffic.",
            "Remove the annotation, then `sluice retry`. See [Break glass](../concepts/other-writers.md#break-glass).",
        ),
    },
    METRICS: {
        Reason.METRIC_FAILED: (
            "A metric missed its threshold more often than `failureLimit`; the message has value and threshold.",
            "Look at the candidate, whose pods are still there. Mended: release a new version.",
        ),
        Reason.METRIC_ERRORS: (
            "A metric's last queries were not answered, or refused.",
            "The message says by what: address, credentials, PromQL.",
        ),
        Reason.METRIC_NO_DATA: (
            "A metric's query finds no series, or NaN.",
            "Is there traffic? Do the labels in the query match?",
        ),
        Reason.METRIC_INCONCLUSIVE: (
            "A metric's answer is no single number.",
            "Aggregate the query, for instance with `sum()`; then `sluice promote` or `sluice abort`.",
        ),
        Reason.TOO_FEW_SAMPLES: (
            "A metric rests on less than `minSamples.value`; after `waitAtMost`, `then: Fail` ends the run.",
            "Send more traffic to the candidate, or lower the value.",
        ),
    },
    ENDED: {
        Reason.COMPLETED: ("The candidate serves, and is stable now.", ""),
        Reason.CANDIDATE_LOST: (
            "The candidate lost its last ready endpoint while it had traffic.",
            "Look at its pods, then `sluice retry`.",
        ),
        Reason.PROGRESS_DEADLINE_EXCEEDED: (
            "The run waited longer than `progressDeadline`; the message says for what.",
            "Mend that, then `sluice retry`.",
        ),
        Reason.CONTAINER_FAILS: (
            "A container of the candidate cannot run (its image cannot be pulled, or it crashes again and again), so "
            "the deadline was not waited for; the message has the container's own words.",
            "Mend it and release a new version, or `sluice retry`. See [When pods do not come](../runbooks/pods.md).",
        ),
        Reason.ABORTED_BY_ACTION: ("A person aborted it; the message says who and why.", "`sluice retry`"),
        Reason.REJECTED_BY_ACTION: (
            "A person who may approve rejected it; the message says who and why.",
            "`sluice retry`, once that is settled.",
        ),
        Reason.UNDONE_BY_ACTION: (
            "What the spec asks for was undone by a person; an older revision serves.",
            "Release a new version; or `sluice retry` the one that was undone.",
        ),
        Reason.KILLED_BY_SWITCH: (
            "A kill switch diverted its traffic; the message says who engaged it and why.",
            "`sluice release` the switch, then `sluice retry`.",
        ),
        Reason.SUPERSEDED: (
            "The spec asked for another version in the candidate's slot; that one has a run of its own.",
            "",
        ),
        Reason.RETURNED_TO_STABLE: ("The spec asked for stable again.", ""),
        Reason.DELETED: ("The Rollout was deleted; traffic returned to stable first.", ""),
    },
    WRONG: {
        Reason.INVALID_SPEC: ("The spec cannot be read, though the API server took it.", "Mend the field it names."),
        Reason.SERVICE_MISSING: ("A slot's Service does not exist.", "Create it, or correct `spec.workload.services`."),
        Reason.ROUTE_MISSING: (
            "A route, or the Service that is switched, does not exist.",
            "Create it, or correct `spec.traffic`.",
        ),
        Reason.ROUTE_UNSUITABLE: (
            "No rule names both slots' Services, a rule has further backends, or a Service selects neither slot.",
            "Mend the route as the message says.",
        ),
        Reason.ROUTE_CLAIMED: (
            "Another Rollout already has one of its routes or Services.",
            "Remove it from one of the two.",
        ),
        Reason.ROUTE_REFUSED: (
            "The Gateway's controller does not accept the route. Counts against `progressDeadline`.",
            "The message has the controller's words.",
        ),
        Reason.TEMPLATE_MISSING: ("An analysis template does not exist.", "Create it, or correct the reference."),
        Reason.TEMPLATE_INVALID: (
            "A template, its args or a placeholder cannot be filled in.",
            "Mend what the message names; new runs wait.",
        ),
        Reason.TEMPLATE_REFUSED: (
            "The API server would refuse pods of the pod template; the last good version goes on.",
            "Mend what the message names; it has the API server's words.",
        ),
        Reason.SOURCE_MISSING: (
            "The Deployment that `workloadRef` names does not exist. What serves goes on.",
            "Create it, or correct `spec.workload.workloadRef`.",
        ),
        Reason.NAME_TAKEN: (
            "A Deployment or Service with the name of a slot exists, and is not Sluice's; it is left alone.",
            "Rename it, or the Rollout.",
        ),
        Reason.EXPOSED_OUTSIDE_WEIGHT: (
            "A Service that the Rollout does not declare selects the candidate's pods, so weights would not hold "
            "requests back. The candidate gets no traffic before.",
            "Narrow its selector, or declare it as `spec.traffic.stableService`.",
        ),
        Reason.FOREIGN_WRITER: (
            "Somebody else changed a share, or changed or deleted a slot's Deployment, and it was put back; again and "
            "again, the Rollout stalls over it.",
            "Stop that writer, or keep its sync from the weights: see [GitOps](../guides/gitops.md).",
        ),
        Reason.NO_HEALTHY_STABLE: (
            "Stable has no ready endpoint. Traffic is not moved to where nobody answers, not even by a kill without "
            "force.",
            "Mend stable's pods; what was intended is done at once then. A kill switch's `force` doesn't wait.",
        ),
        Reason.RUN_LOST: (
            "The run's RolloutRun is gone, or does not fit the status: nobody knows what comes next. Over a fleet, "
            "where the FleetRun is there but tells what cannot be, the run waits where it is.",
            "`sluice retry` starts anew. Over a fleet: mend what the message names, or delete the FleetRun, and retry.",
        ),
        Reason.FORBIDDEN: (
            "The API server forbids the operator a write.",
            "Compare its ClusterRole with `manifests/base`; it tries again by itself.",
        ),
        Reason.WRITE_REFUSED: (
            "The API server refuses a write for good, for instance by an admission policy.",
            "The message has its words; it is tried again now and then.",
        ),
        Reason.AUDIT_NOT_SEALED: (
            "Old audit entries can't be sealed in an AuditSegment, so they stay in the status. It holds 64; beyond "
            "that the oldest are lost, but for the operator's log. Rollouts go on as ever.",
            "The message says what the API server answered: see [Audit](../concepts/audit.md). It is tried again by "
            "itself, when the Rollout next changes.",
        ),
    },
    FLEETS: {
        Reason.BATCH_STARTED: ("A batch of the run began.", ""),
        Reason.BATCH_DONE: (
            "The clusters of a batch have all of their traffic on the revision, but those that failed.",
            "",
        ),
        Reason.SOAKED: ("A batch has soaked for as long as it was to.", ""),
        Reason.CLUSTER_BACK: ("Clusters that did not answer do again.", ""),
        Reason.BATCH_PAUSE: ("The timed pause before a batch.", "Wait, or `sluice promote`."),
        Reason.SOAKING: (
            "Every cluster of the batch that did not fail is done, and the batch soaks. Time in which one of them does "
            "not answer does not count, nor does time in which no operator looked.",
            "Wait. The clusters keep both revisions until it is over, so `sluice abort` and kill switches are instant.",
        ),
        Reason.WAITS_FOR_CLUSTERS: (
            "The clusters that move together wait for those that the message names: nobody takes the next step before "
            "all have done this one.",
            "What they wait for is in brackets, in their own words; `sluice status` has more of them.",
        ),
        Reason.WAITS_FOR_FLEET: (
            "Said in a member, by its MemberRollout: it has done what the hub let it do so far.",
            "See the Rollout on the hub.",
        ),
        Reason.CLUSTER_LOST: (
            "The batch waits for a cluster that does not answer, or does not take its order; counts against "
            "`progressDeadline`, and then that cluster counts as failed.",
            "`sluice clusters check` the one that the message names.",
        ),
        Reason.CLUSTER_FAILED: (
            "The run came to nothing in a cluster, or nothing serves there now; the message has its own words. It "
            "returns to what it had, and counts against `maxFailures`.",
            "See its MemberRollout, there.",
        ),
        Reason.CLUSTER_LEFT: (
            "A cluster of the run is no member any more. It counts against `maxFailures`.",
            "If that was not meant: `sluice clusters add` it again, for the next run.",
        ),
        Reason.TOO_MANY_FAILED: (
            "More clusters of a batch failed than `maxFailures` lets; `onFailure` was done.",
            "The message names who failed and why. Mended: `sluice retry`. With `onFailure: Hold`: `sluice abort`.",
        ),
        Reason.ROLLED_BACK: (
            "A person took clusters of the fleet back; the message says who and why.",
            "The whole fleet: `sluice retry`, or release a new version. One cluster: it takes part in the next run.",
        ),
        Reason.NO_CLUSTERS: (
            "The fleet's selector matches no MemberCluster.",
            "`sluice clusters add` one, or correct `spec.fleet.selector`.",
        ),
        Reason.CLUSTER_UNASSIGNED: (
            "No batch takes a cluster of the fleet, so nobody would ever update it; no run begins.",
            "Add a last batch without `selector`, `clusters` and `size`, which takes the rest.",
        ),
        Reason.NAMESPACE_REFUSED: (
            "A cluster that `spec.fleet.selector` matches does not take Rollouts of this namespace "
            "(`spec.allowedNamespaces` of its MemberCluster); no run begins. In mid-run that cluster failed, and "
            "returns.",
            "Let it be allowed there, or leave the cluster out by the selector.",
        ),
        Reason.CLUSTER_UNKNOWN: (
            "A batch names a cluster that the fleet does not have; no run begins.",
            "Register it, or correct the name or `spec.fleet.selector`.",
        ),
    },
    SWITCHES: {
        Reason.TRIPPED: (
            "A metric of the switch's `autoTrip` failed more often in a row than `failureLimit` tolerates, and the "
            "operator engaged the switch; `status.trippedBy` and `spec.reason` say by how much.",
            "When the cause is mended: `sluice release`. It measures anew then.",
        ),
        Reason.DRILLED: (
            "A drill of a kill switch has the candidate's traffic, or gave it back; on a switch: how its drill ended.",
            "Nothing: the switch releases itself. `status.lastDrill` has the times; of one that did not pass, why.",
        ),
        Reason.LATCHED: (
            "The switch is engaged, so nothing is measured; it stays so until a person releases it.",
            "`sluice release`, when the cause is mended.",
        ),
        Reason.BUDGET_UNKNOWN: (
            "Nobody knows what is left of the switch's error budget, or how fast it is used up: a range gave no "
            "number, or has too few events. It trips nothing.",
            "Run the message's query by hand; where no event is good, it needs `or vector(0)`.",
        ),
        Reason.BUDGET_EXHAUSTED: (
            "The error budget was used up before the switch was armed, or released. It does not trip for that, but it "
            "does when the budget burns too fast, or is used up again after some was left.",
            "",
        ),
    },
    MEMBERS: {
        Reason.MEMBER_READY: ("It answers, and lets Sluice do what it needs to.", ""),
        Reason.ANSWERS: ("Its API server answers.", ""),
        Reason.RIGHTS_GRANTED: ("It has every right that Sluice needs.", ""),
        Reason.CONNECTING: (
            "Nothing is known yet: it is being asked, or the Secrets of the operator's namespace cannot be listed.",
            "If it lasts, the message says why: compare the operator's Role `sluice-members` with `manifests/base`.",
        ),
        Reason.NO_ANSWER: (
            "Twice in a row its API server did not answer; the message says how. It is tried again, at least each "
            "minute.",
            "Is it up, and does the network let the operator reach it? Does its certificate match the CA data?",
        ),
        Reason.NOT_KUBERNETES: (
            "Something answers, but not as a Kubernetes API server does.",
            "Is the address in the kubeconfig that of an API server, or of a login page in front of it?",
        ),
        Reason.CREDENTIALS_REFUSED: (
            "It answers, and does not know the credentials (401), or does not let them ask (403).",
            "`sluice clusters add NAME --rotate-token`, or put a new kubeconfig into the Secret.",
        ),
        Reason.RIGHTS_MISSING: (
            "It lacks rights that Sluice needs, or does not serve MemberRollouts and MemberRolloutRuns: what is not "
            "served gives no rights.",
            "`sluice clusters add` once more gives them, and installs the kinds; `sluice clusters check` shows which.",
        ),
        Reason.SAME_CLUSTER: (
            "Another MemberCluster leads to the same cluster (its Namespace kube-system has the same UID), and has it; "
            "this one is not used. Who has a cluster keeps it; else the one that was made first has it, then the first "
            "by name.",
            "Remove one of the two: `sluice clusters remove`. This one is used as soon as the other is gone.",
        ),
        Reason.SECRET_MISSING: (
            "The Secret is not there, lacks the label `sluice.dev/member-cluster`, or lacks the key. Of a member that "
            "was discovered: no Secret, or several, are labelled for its ClusterProfile, or there is a token and "
            "nobody said where to go with it.",
            "The message has the command.",
        ),
        Reason.KUBECONFIG_REFUSED: (
            "The kubeconfig is none, or holds what the operator does not use: programs, files, proxies, passwords, "
            "unverified TLS.",
            "The message names each thing, and what to do instead.",
        ),
        Reason.ADDRESS_REFUSED: (
            "The address is, or its name leads to, a link-local or metadata address, or no machine's.",
            "Give the address of the member's API server.",
        ),
    },
    PEOPLE: {
        Reason.ACTION_DONE: ("A RolloutAction was taken.", ""),
        Reason.ACTION_REJECTED: (
            "A RolloutAction was not taken; its status says why.",
            "Look again, then decide anew.",
        ),
    },
}


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Conditions", *_table(("Condition", "Of", "", "What to do"), CONDITIONS)]
    parts += ["## Phases of a Rollout", *_table(("`status.phase`", "", "What to do"), PHASES)]
    parts += ["## Reasons", "Of conditions, Events, audit entries, and of a run's end in `status.history`."]
    for title, reasons in REASONS.items():
        parts += [f"### {title}", *_table(("Reason", "What it means", "What to do"), reasons)]
    parts += [
        "## Events",
        "Told as Kubernetes Events of the Rollout: "
        + ", ".join(
            f"`{reason}`"
            for reason in (
                Reason.ADOPTED,
                Reason.RUN_STARTED,
                Reason.STEP_STARTED,
                Reason.BATCH_STARTED,
                Reason.BATCH_DONE,
                Reason.SOAKED,
                Reason.CLUSTER_BACK,
            )
        )
        + ", the end of a run by its reason (a Warning where it was aborted or killed), "
        + f"`{Reason.ACTION_DONE}`, and as Warnings `{Reason.FOREIGN_WRITER}`, `{Reason.ACTION_REJECTED}`, "
        + f"`{Reason.NO_HEALTHY_STABLE}`, `{Reason.CLUSTER_FAILED}`, `{Reason.CLUSTER_LOST}`, "
        + "and what the condition `Stalled` says, once for each reason and change of "
        "the spec. Repeated ones are counted up, not told anew. Of a Rollout over a fleet they are on the hub: the hub "
        "makes none in members, and has no right to.",
    ]
    parts += ["## How runs end", *_table(("`outcome`", ""), OUTCOMES)]
    parts += ["## How far a share is known", *_table(("`status.confirmation`", ""), CONFIRMATIONS)]
    parts += ["## Metrics", *_table(("`status.metrics[].phase`", ""), METRIC_PHASES)]
    parts += ["## Kill switches", *_table(("`status.state`", ""), SWITCH_STATES)]
    parts += ["## Member clusters", *_table(("`state` of the metric", ""), MEMBER_STATES)]
    parts += ["## RolloutActions", *_table(("`status.phase`", ""), ACTION_PHASES)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _table(heads: Told, rows: Mapping[Any, Told]) -> Iterator[str]:
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [f"| `{name}` | {' | '.join(told)} |" for name, told in rows.items()]
    yield "\n".join(lines)


def problems(sources: Iterable[str]) -> Iterator[str]:
    """What keeps the page from being whole, one sentence each.

    Args:
        sources: the package's code, but for where reasons are declared.
    """
    explained: list[Mapping[Any, Told]] = [
        CONDITIONS, PHASES, OUTCOMES, CONFIRMATIONS, METRIC_PHASES, SWITCH_STATES, MEMBER_STATES, ACTION_PHASES,
        {reason: told for reasons in REASONS.values() for reason, told in reasons.items()},
    ]  # fmt: skip
    for rows in explained:
        kind = type(next(iter(rows)))
        for value in kind:
            if value not in rows or not rows[value][0]:
                yield f"{kind.__name__} {value} has no explanation: add it to tools/gen_reasons_docs.py"
    used = {name for source in sources for name in re.findall(r"\bReason\.([A-Z_]+)\b", source)}
    for reason in Reason:
        if reason.name not in used:
            yield f"no code gives the Reason {reason}: remove it from sluice/api/conditions.py"


def main() -> int:
    """Write the page, or check it. Returns the exit code."""
    found = list(problems(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")))
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        found.append(f"{PAGE.relative_to(ROOT)} is stale: run `make reasons-docs-write`")
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
