"""What to do next about a Rollout, in one sentence: an ordered list of states, the first that holds speaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.api.conditions import ConditionType, Reason
from sluice.api.fleet import BatchStage
from sluice.api.names import HOLD_ANNOTATION, ROLLOUT_LABEL, SLOT_LABEL
from sluice.api.rollout import Phase
from sluice.decide.fleet.failing import HALTING
from sluice.views.approvals import asked_of
from sluice.views.fields import Fields
from sluice.views.fleets import lost_cluster
from sluice.views.moments import age, countdown
from sluice.views.rows import is_managed, running
from sluice.views.switches import SwitchRow


@dataclass(frozen=True, slots=True)
class _Case:
    """What the states below look at."""

    rollout: Fields
    switches: Sequence[SwitchRow]
    now: datetime
    program: str

    @property
    def status(self) -> Fields:
        return self.rollout.at("status")

    @property
    def phase(self) -> str:
        return self.status.text("phase")

    def call(self, verb: str, rest: str = "") -> str:
        """The command line for a verb on this Rollout."""
        name, namespace = self.rollout.text("metadata", "name"), self.rollout.text("metadata", "namespace")
        return f"{self.program} {verb} {name} -n {namespace}{' ' + rest if rest else ''}"

    def pods(self, slot: str) -> str:
        """The command line that shows the pods of a slot that Sluice runs."""
        name, namespace = self.rollout.text("metadata", "name"), self.rollout.text("metadata", "namespace")
        return f"kubectl get pods -n {namespace} -l {ROLLOUT_LABEL}={name},{SLOT_LABEL}={slot}"

    @property
    def let_go(self) -> str:
        """The command line that ends a hold by hand."""
        return f"kubectl annotate KIND NAME -n {self.rollout.text('metadata', 'namespace')} {HOLD_ANNOTATION}-"

    def reason(self, condition_type: ConditionType) -> str:
        """The reason of a condition that is True; "" otherwise."""
        return self._field(condition_type, "reason")

    def message(self, condition_type: ConditionType) -> str:
        """The message of a condition that is True; "" otherwise."""
        return self._field(condition_type, "message")

    def _field(self, condition_type: ConditionType, name: str) -> str:
        for condition in self.status.items("conditions"):
            if condition.text("type") == condition_type and condition.text("status") == "True":
                return condition.text(name)
        return ""


def next_hint(rollout: Fields, switches: Sequence[SwitchRow], *, now: datetime, program: str) -> str:
    """Tell what to do next, or what it waits for.

    Args:
        rollout: the Rollout.
        switches: the engaged kill switches that cover it.
        now: for countdowns.
        program: what the reader types to call Sluice.
    """
    case = _Case(rollout, switches, now, program)
    return next((told for state in _STATES if (told := state(case))), "")


def _being_deleted(case: _Case) -> str:
    if not case.rollout.at("metadata", "deletionTimestamp"):
        return ""
    return "being deleted: the operator first returns the traffic to stable"


def _no_status(case: _Case) -> str:
    if case.phase:
        return ""
    return "no status yet: is the operator running? Look at its pods and their logs"


def _halted(case: _Case) -> str:
    """Of a fleet with onFailure Hold."""
    reason = case.reason(ConditionType.STALLED)
    if reason not in HALTING:
        return ""
    what = "more clusters failed than may" if reason == Reason.TOO_MANY_FAILED else "what the hub measures failed"
    return f"{what}; you decide: {case.call('abort')}, or {case.call('rollback', '--fleet')}"


def _stalled(case: _Case) -> str:
    reason = case.reason(ConditionType.STALLED)
    if not reason:
        return ""
    said = case.message(ConditionType.STALLED)
    if said and said != case.status.text("message"):
        return f"stalled ({reason}): {said}"
    return f"stalled ({reason}): mend what its message names; the operator goes on by itself when it sees the change"


def _killed(case: _Case) -> str:
    if case.phase != Phase.KILLED:
        return ""
    retry = case.call("retry")
    if case.switches:
        return f"{_release(case)}, then {retry}"
    if case.reason(ConditionType.KILLED) == Reason.HELD_BY_HAND:
        return f"once nobody holds it by hand any more ({case.let_go}): {retry}"
    return f"no kill switch covers it any more: {retry}"


def _held_by_switch(case: _Case) -> str:
    if case.reason(ConditionType.PAUSED) != Reason.HELD_BY_SWITCH:
        return ""
    return _release(case) if case.switches else "the kill switch that held it is released: it goes on in a moment"


def _release(case: _Case) -> str:
    switch = case.switches[0]
    where = f"-n {switch.namespace}" if switch.namespace else "--cluster"
    return f"held by {switch.title}: {case.program} release {switch.name} {where} --reason '...'"


def _not_obeyed(case: _Case) -> str:
    """The operator acts on a switch within a moment; where it does not, nobody should be sent on."""
    if not case.switches or not running(case.status) or case.reason(ConditionType.KILLED):
        return ""
    switch = case.switches[0]
    return (
        f"{switch.title} is engaged, and the operator has not acted on it yet; if that lasts, it does not answer: "
        f"kubectl get pods,lease -n sluice-system"
    )


def _held_by_hand(case: _Case) -> str:
    if case.reason(ConditionType.PAUSED) != Reason.HELD_BY_HAND:
        return ""
    return f"held by hand, as its message names; to let it go on: {case.let_go}"


def _aborted(case: _Case) -> str:
    if case.phase != Phase.ABORTED:
        return ""
    if case.status.at("fleet"):
        everything = case.status.text("fleet", "revision", "reason") == Reason.ROLLED_BACK
        keeps = "" if everything else f"; where it had completed, it stays until {case.call('rollback', '--fleet')}"
        return f"to try this revision again: {case.call('retry')}{keeps}"
    back = _way_back(case)
    return f"stable serves; to try this revision again: {case.call('retry')}{', or ' + back if back else ''}"


def _way_back(case: _Case) -> str:
    """How the spec asks for what serves again; `undo` would go one further back."""
    slot, workload = case.status.text("stable", "slot"), case.rollout.at("spec", "workload")
    if not slot:
        return ""
    if not is_managed(case.rollout):
        return f"set spec.workload.active back to {slot}"
    version = case.status.text("stable", "version")
    serves = f"that serves ({version})" if version else "that serves"
    source = workload.text("workloadRef", "name")
    return f"apply the pod template {serves} again{', in Deployment ' + source if source else ''}"


def _paused_by_person(case: _Case) -> str:
    match case.reason(ConditionType.PAUSED):
        case Reason.PAUSED_BY_ACTION:
            actor = case.status.text("pausedBy", "actor")
            return f"paused{' by ' + actor if actor else ''}: {case.call('resume')}"
        case Reason.PAUSED_BY_SPEC:
            return "paused in its manifest: set spec.paused to false"
        case Reason.HELD_BY_ACTION:
            held = case.status.at("heldBy")
            end = countdown(held.moment("until"), case.now)
            by = f"held{' by ' + held.text('actor') if held.text('actor') else ''}"
            return f"{by}: {case.call('resume')}{f', or it goes on {end}' if end else ''}"
    return ""


def _held_by_policy(case: _Case) -> str:
    if case.reason(ConditionType.PAUSED) != Reason.HELD_BY_POLICY:
        return ""
    back = f"; {case.call('undo')}, abort and kill switches are not held" if running(case.status) else ""
    return f"a policy holds it, and lets it go by itself: kubectl get rolloutpolicies{back}"


def _awaits_approval(case: _Case) -> str:
    if case.reason(ConditionType.PAUSED) != Reason.WAITS_FOR_APPROVAL:
        return ""
    missing = [f"{each.missing} more of {each.group}" for each in asked_of(case.status) if each.missing]
    against = case.call("reject", "--reason '...'")
    return f"waits for {' and '.join(missing) or 'approval'}: {case.call('approve')}; against it: {against}"


def _awaits_promotion(case: _Case) -> str:
    reason = case.reason(ConditionType.PAUSED)
    if reason == Reason.ANALYSIS_HOLDS:
        how = "which measures anew" if case.status.at("fleet") else "past an inline one"
        return f"the analysis holds it; you decide: {case.call('promote')} ({how}), or {case.call('abort')}"
    if reason not in {Reason.AWAITS_PROMOTION, Reason.PAUSE_STEP} or case.status.moment("nextTransitionAt"):
        return ""
    return f"waits for you: {case.call('promote')}"


def _next_transition(case: _Case) -> str:
    told = countdown(case.status.moment("nextTransitionAt"), case.now)
    if not told or not running(case.status):
        return ""
    fleet = case.status.at("fleet")
    if fleet.text("batch", "stage") == BatchStage.PAUSED or (
        not fleet and case.status.text("step", "kind") in {"pause", "watch"}
    ):
        return f"goes on {told}; sooner: {case.call('promote')}"
    return f"goes on {told}"


def _no_pods_asked(case: _Case) -> str:
    if not is_managed(case.rollout) or case.rollout.whole("spec", "workload", "replicas") != 0:
        return ""
    name, namespace = case.rollout.text("metadata", "name"), case.rollout.text("metadata", "namespace")
    return (
        f"spec.workload.replicas is 0, so there are no pods: kubectl scale rollout/{name} -n {namespace} --replicas=1"
    )


def _waiting(case: _Case) -> str:
    reason = case.status.text("waiting", "reason")
    if not reason:
        return ""
    since = age(case.status.moment("waiting", "since"), case.now)
    deadline = case.rollout.text("spec", "progressDeadline")
    most = f", at most {deadline}" if deadline and case.rollout.text("spec", "onDeadline") != "Hold" else ""
    told = f"waits ({reason}){' since ' + since if since else ''}{most}"
    lost = lost_cluster(case.status) if reason == Reason.CLUSTER_LOST else ""
    if lost:
        return f"{told}, then {lost} counts as failed; see {case.program} clusters check {lost}"
    slot = case.status.text("revision", "slot")
    if reason != Reason.WAITS_FOR_ENDPOINTS or not slot or not is_managed(case.rollout):
        return told
    return f"{told}; see {case.pods(slot)}"


def _short_of_pods(case: _Case) -> str:
    """Stable does not answer: a first version that comes up, or pods that were lost."""
    slot = case.status.text("stable", "slot")
    pods = case.status.at("slots", slot)
    if case.phase != Phase.DEGRADED or not pods or pods.whole("ready") or not pods.whole("replicas"):
        return ""
    name = case.rollout.text("metadata", "name")
    return f"waits for the pods of {name}-{slot}, of which 0 of {pods.count('replicas')} are ready: {case.pods(slot)}"


def _degraded(case: _Case) -> str:
    return "read its conditions and message for what is wrong" if case.phase == Phase.DEGRADED else ""


def _healthy(case: _Case) -> str:
    return "nothing to do" if case.phase == Phase.HEALTHY else ""


def _progressing(case: _Case) -> str:
    return "nothing to do: it goes on by itself" if case.phase == Phase.PROGRESSING else ""


_STATES: tuple[Callable[[_Case], str], ...] = (
    _being_deleted,
    _no_status,
    _halted,
    _stalled,
    _killed,
    _held_by_switch,
    _not_obeyed,
    _held_by_hand,
    _held_by_policy,
    _no_pods_asked,
    _aborted,
    _paused_by_person,
    _awaits_approval,
    _awaits_promotion,
    _next_transition,
    _waiting,
    _short_of_pods,
    _degraded,
    _healthy,
    _progressing,
)
