"""One line per kill switch, and which switches bear on a Rollout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.conditions import ConditionType
from sluice.api.killswitch import Effect, SwitchState
from sluice.api.names import Kind
from sluice.decide.switches import Reached, anywhere, covers, read_switch
from sluice.errors import InvalidSpec
from sluice.views.fields import UNKNOWN, Fields, clean
from sluice.views.moments import age

_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class SwitchRow:
    """A kill switch in a list. Every field is text; "" is absent, "?" is a value that makes no sense."""

    kind: str
    namespace: str  # "" for ClusterKillSwitch
    name: str
    state: str  # Armed, Engaging, Engaged, Expired, Releasing
    effect: str  # Hold, Divert, "Divert, forced"
    scope: str  # "all in shop", "app=checkout"
    rollouts: str  # how many it covers
    diverted: str  # "2/3 routes"
    watch: str  # of one that may trip by itself: watching, blind, not yet, tripped
    by: str
    reason: str
    engaged: str  # how long ago
    age: str
    message: str

    @property
    def title(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


def switch_row(switch: Mapping[str, Any], now: datetime) -> SwitchRow:
    """Read a KillSwitch or ClusterKillSwitch."""
    fields = Fields(switch)
    spec, status = fields.at("spec"), fields.at("status")
    engaged = is_engaged(switch)
    return SwitchRow(
        kind=fields.text("kind"),
        namespace=fields.text("metadata", "namespace"),
        name=fields.text("metadata", "name"),
        state=_state(fields, engaged=engaged),
        effect=_effect(spec),
        scope=_scope(fields),
        rollouts=status.count("affected", "rollouts"),
        diverted=_diverted(status) if engaged else "",
        watch=_watch(fields, engaged=engaged),
        by=_by(fields) if engaged else "",
        reason=spec.text("reason") if engaged else "",
        engaged=age(status.moment("engagedAt"), now) if engaged else "",
        age=age(fields.moment("metadata", "creationTimestamp"), now),
        message=status.text("message"),
    )


def is_engaged(switch: Mapping[str, Any]) -> bool:
    """Whether somebody has it engaged, whatever the operator has done about it yet."""
    return Fields(switch).true("spec", "engaged")


def bearing_on(
    rollout: Mapping[str, Any],
    switches: Iterable[Mapping[str, Any]],
    *,
    namespace_labels: Mapping[str, str] | None,
    now: datetime,
) -> tuple[SwitchRow, ...]:
    """The engaged switches that cover a Rollout now.

    Args:
        rollout: the Rollout.
        switches: any KillSwitches and ClusterKillSwitches.
        namespace_labels: of the Rollout's namespace; None where the caller may not read them, and then a switch with a
            namespaceSelector counts as covering.
        now: for ages.
    """
    reached, is_fleet = Reached.read(dict(rollout)), bool(Fields(rollout).at("spec", "fleet"))
    return tuple(
        switch_row(switch, now)
        for switch in switches
        if is_engaged(switch)
        and not _has_expired(switch)
        and _covers(switch, reached, namespace_labels, is_fleet=is_fleet)
    )


def _has_expired(switch: Mapping[str, Any]) -> bool:
    """Whether the operator says so of the present spec."""
    fields = Fields(switch)
    return _is_seen(fields) and fields.text("status", "state") == SwitchState.EXPIRED


def _is_seen(switch: Fields) -> bool:
    """Whether the status speaks of the present spec."""
    return switch.whole("status", "observedGeneration") == switch.whole("metadata", "generation")


def _covers(
    switch: Mapping[str, Any], rollout: Reached, namespace_labels: Mapping[str, str] | None, *, is_fleet: bool
) -> bool:
    """Whether it covers it; of a Rollout over a fleet, whether it may cover parts of it."""
    fields = Fields(switch)
    kind = Kind.KILL_SWITCH if fields.text("kind") == Kind.KILL_SWITCH else Kind.CLUSTER_KILL_SWITCH
    try:
        spec, view = read_switch(kind, dict(switch))
    except InvalidSpec:  # nobody knows what it covers: better shown than hidden
        return kind is Kind.CLUSTER_KILL_SWITCH or fields.text("metadata", "namespace") == rollout.namespace
    spec = anywhere(spec) if is_fleet else spec
    return covers(view, spec, rollout, dict(namespace_labels) if namespace_labels is not None else None)


def _state(fields: Fields, *, engaged: bool) -> str:
    """What the operator says, or where that lags behind what people want, the way it is going."""
    told = fields.text("status", "state")
    if engaged and (
        told in {"", SwitchState.ARMED} or (told in {SwitchState.ENGAGED, SwitchState.EXPIRED} and not _is_seen(fields))
    ):
        return SwitchState.ENGAGING
    if not engaged and told in {SwitchState.ENGAGED, SwitchState.ENGAGING, SwitchState.EXPIRED}:
        return "Releasing"
    return told or SwitchState.ARMED


def _watch(fields: Fields, *, engaged: bool) -> str:
    """Whether it sees what may trip it; "" where nothing does but people."""
    if not fields.at("spec", "autoTrip"):
        return ""
    if engaged:
        return "tripped" if fields.at("status", "trippedBy") else "no: engaged"
    if not _is_seen(fields):
        return "not yet"
    told = {condition.text("type"): condition.text("status") for condition in fields.at("status").items("conditions")}
    return {"True": "watching", "False": "blind"}.get(told.get(ConditionType.WATCHING, ""), "not yet")


def _by(fields: Fields) -> str:
    """Who engaged it: the operator does so for a metric alone."""
    by, metric = fields.text("spec", "engagedBy"), fields.text("status", "trippedBy", "metric")
    return f"itself: {metric}" if metric and by.startswith(_ACCOUNT) else by


def _effect(spec: Fields) -> str:
    effect = spec.text("effect") or Effect.DIVERT.value
    if spec.true("drill"):
        return f"{effect}, drill"
    return f"{effect}, forced" if spec.true("force") else effect


def _scope(fields: Fields) -> str:
    scope = fields.at("spec", "scope")
    parts = [_selector(scope.at("selector"))]
    if fields.text("kind") == Kind.CLUSTER_KILL_SWITCH:
        of_namespaces = _selector(scope.at("namespaceSelector"))
        parts.append(f"namespaces {of_namespaces}" if of_namespaces else "")
        everything = "all"
    else:
        everything = f"all in {fields.text('metadata', 'namespace')}"
    of_clusters = _selector(scope.at("clusters"))
    parts.append(f"clusters {of_clusters}" if of_clusters else "")
    parts += [_named(scope, "platforms"), _named(scope, "actions")]
    return "; ".join(part for part in parts if part) or everything


def _named(scope: Fields, what: str) -> str:
    values = ",".join(value.text() for value in list(scope.items(what))[:8])
    return f"{what} {values}" if values else ""


def _selector(selector: Fields) -> str:
    labels = selector.at("matchLabels")
    parts = []
    if isinstance(labels.value, Mapping):
        parts += [f"{clean(str(key))}={clean(str(value))}" for key, value in list(labels.value.items())[:8]]
    elif labels:
        parts.append(UNKNOWN)
    for requirement in selector.items("matchExpressions"):
        values = ",".join(value.text() for value in requirement.items("values"))
        told = f"{requirement.text('key')} {requirement.text('operator')}"
        parts.append(f"{told} ({values})" if values else told)
    return ",".join(parts)


def _diverted(status: Fields) -> str:
    diverted = status.at("diverted")
    if not diverted:
        return ""
    done, pending = diverted.whole("routes"), diverted.whole("pending")
    if done is None and pending is None:
        return UNKNOWN
    return f"{done or 0}/{(done or 0) + (pending or 0)} routes"
