"""What the operator would say of objects that the API server takes: by its own parsing, and of objects together. Pure.

What a condition would tell only when a run begins, such as a query with a placeholder that there is not, is told here
before anything is applied. What depends on a cluster is at most a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sluice.api.analysis import Analysis, AnalysisTemplateSpec, Arg, Metric, TemplateRef
from sluice.api.autotrip import AutoTrip
from sluice.api.common import Model
from sluice.api.errorbudget import ErrorBudget
from sluice.api.killswitch import KillSwitchSpec
from sluice.api.names import Kind
from sluice.api.policy import RolloutPolicySpec
from sluice.api.rollout import RolloutSpec
from sluice.api.specs import SPEC_MODELS
from sluice.api.strategy import Step
from sluice.api.units import FULL, NONE, format_share
from sluice.decide import templates
from sluice.decide.policies import budget_questions
from sluice.decide.promql import FLEET_PLACEHOLDERS, PLACEHOLDERS, arg_names, switch_placeholders
from sluice.decide.tripwires import WHERE, as_metric, resolve_auto_trip
from sluice.errors import InvalidSpec
from sluice.ops.lint.finding import Level, Path, Problem, path_of

_OPERATORS_OWN = frozenset(
    {Kind.ROLLOUT_RUN, Kind.FLEET_RUN, Kind.AUDIT_SEGMENT, Kind.MEMBER_ROLLOUT, Kind.MEMBER_ROLLOUT_RUN}
)
_ANY_VALUE = "1"  # stands wherever an arg may stand


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """An object that the API server takes. `namespace` is "" for a cluster-scoped kind; `spec` has its defaults."""

    kind: str
    namespace: str
    name: str
    spec: Any

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


def problems(things: Iterable[Thing]) -> Iterator[tuple[Thing, Problem]]:
    """What is wrong with them, each alone and all together."""
    parsed: dict[Thing, Model] = {}
    known: dict[tuple[str, str, str], Thing] = {}
    for thing in things:
        if known.setdefault((thing.kind, thing.namespace, thing.name), thing) is not thing:
            told = f"there is another {thing} in these files, and the last one applied stays: leave one out"
            yield thing, Problem((), told)
        if thing.kind in _OPERATORS_OWN:
            told = "the operator makes these objects: what is applied by hand is in its way"
            yield thing, Problem((), told, Level.WARNING)
        try:
            parsed[thing] = SPEC_MODELS[Kind(thing.kind)].parse(thing.spec, "spec")
        except InvalidSpec as error:
            yield thing, Problem(("spec",), _without(str(error), "spec"))
    yield from _in_templates(parsed)
    yield from _in_rollouts(parsed)
    yield from _in_guardrails(parsed)
    yield from _claims(parsed)


def _in_templates(parsed: dict[Thing, Model]) -> Iterator[tuple[Thing, Problem]]:
    for thing, spec in parsed.items():
        if isinstance(spec, AnalysisTemplateSpec):
            yield from ((thing, problem) for problem in _of_template(spec))


def _of_template(spec: AnalysisTemplateSpec) -> Iterator[Problem]:
    """Whoever refers to it: its queries have only placeholders that slots or whole fleets give, and declared args."""
    args = {arg.name: _ANY_VALUE if arg.value is None else arg.value for arg in spec.args}
    used: set[str] = set()
    for index, metric in enumerate(spec.metrics):
        path: Path = ("spec", "metrics", index)
        wrong = _of_metric(metric, args, path, PLACEHOLDERS)
        if wrong is not None and _of_metric(metric, args, path, FLEET_PLACEHOLDERS) is not None:
            yield wrong
        used |= _args_of(metric)
    for index, arg in enumerate(spec.args):
        if arg.name not in used:
            told = f"no query asks for {{{{args.{arg.name}}}}}: leave the arg out, or use it"
            yield Problem(("spec", "args", index, "name"), told, Level.WARNING)


def _of_metric(metric: Metric, args: dict[str, str], path: Path, known: tuple[str, ...]) -> Problem | None:
    used = _args_of(metric)
    given = tuple(Arg(name=name, value=value) for name, value in args.items() if name in used)
    analysis = Analysis(metrics=(metric,), args=given)
    try:
        templates.resolve(analysis, lambda _: None, "this", placeholders=known)
    except InvalidSpec as error:
        return Problem(path, _without(str(error), "this"))
    return None


def _args_of(metric: Metric) -> frozenset[str]:
    samples = metric.min_samples
    try:
        asked = arg_names(metric.prometheus.query, "")
        return asked | arg_names(samples.query, "") if samples is not None else asked
    except InvalidSpec:
        return frozenset()  # which is told where the metric is resolved


def _in_rollouts(parsed: dict[Thing, Model]) -> Iterator[tuple[Thing, Problem]]:
    for thing, spec in parsed.items():
        if isinstance(spec, RolloutSpec) and thing.kind == Kind.ROLLOUT:
            found = [*_Analyses(thing, spec, parsed).problems(), *_of_steps(spec)]
            yield from ((thing, problem) for problem in found)


class _Templates:
    """The templates among the files that an object can name."""

    def __init__(self, thing: Thing, parsed: dict[Thing, Model]) -> None:
        self._found = {
            (found.kind == Kind.CLUSTER_ANALYSIS_TEMPLATE, found.name): model
            for found, model in parsed.items()
            if isinstance(model, AnalysisTemplateSpec) and found.namespace in {"", thing.namespace}
        }

    def lookup(self, ref: TemplateRef) -> AnalysisTemplateSpec | None:
        """One of them."""
        return self._found.get((ref.cluster_scope, ref.name))

    def missing(self, refs: Sequence[TemplateRef], path: Path, needed: str) -> list[Problem]:
        """Those that have to be in the cluster by the time they are needed."""
        named = ((index, ref) for index, ref in enumerate(refs) if self.lookup(ref) is None)
        return [
            Problem((*path, "templates", index, "name"), self._missing(ref, needed), Level.WARNING)
            for index, ref in named
        ]

    def _missing(self, ref: TemplateRef, needed: str) -> str:
        kind = Kind.CLUSTER_ANALYSIS_TEMPLATE if ref.cluster_scope else Kind.ANALYSIS_TEMPLATE
        told = f"{kind} {ref.name} is not in these files, so it has to be in the cluster {needed}"
        if (not ref.cluster_scope, ref.name) in self._found:
            other = "leave clusterScope out" if ref.cluster_scope else "say clusterScope: true"
            return f"{told}; one of the other kind is: {other} if that is meant"
        names = [name for scope, name in self._found if scope == ref.cluster_scope]
        close = get_close_matches(ref.name, names, 1)
        return f"{told}; did you mean {close[0]}?" if close else told


class _Analyses:
    """The analyses of one Rollout, with the templates that are among the files."""

    def __init__(self, thing: Thing, spec: RolloutSpec, parsed: dict[Thing, Model]) -> None:
        self._spec = spec
        self._namespace = thing.namespace
        self._templates = _Templates(thing, parsed)

    def problems(self) -> Iterator[Problem]:
        """Each alone; and where nothing is wrong with any, all together."""
        found = [problem for each in self._all() for problem in self._of(*each)]
        yield from found
        if not found:
            told = templates.resolve_all(self._spec, self._templates.lookup, namespace=self._namespace).problem
            if told:
                yield Problem(("spec",), _without(told, "spec"))

    def _all(self) -> Iterator[tuple[Analysis, Path, tuple[str, ...]]]:
        spec, fleet = self._spec, self._spec.fleet
        if spec.analysis is not None:
            yield spec.analysis, ("spec", "analysis"), PLACEHOLDERS
        for where, analysis in templates.inline_analyses(spec):
            yield analysis, path_of(where), PLACEHOLDERS
        if fleet is None:
            return
        if fleet.analysis is not None:
            yield fleet.analysis, ("spec", "fleet", "analysis"), FLEET_PLACEHOLDERS
        for index, batch in enumerate(fleet.batches):
            path: Path = ("spec", "fleet", "batches", index)
            if batch.analysis is not None:
                yield batch.analysis, (*path, "analysis"), FLEET_PLACEHOLDERS
            for number, step in enumerate(batch.steps):
                if step.analysis is not None:
                    yield step.analysis, (*path, "steps", number, "analysis"), PLACEHOLDERS

    def _of(self, analysis: Analysis, path: Path, known: tuple[str, ...]) -> Iterator[Problem]:
        args = {arg.name: arg.value for arg in analysis.args if arg.value is not None}
        inline = [
            _of_metric(metric, args, (*path, "metrics", index), known) for index, metric in enumerate(analysis.metrics)
        ]
        wrong = [problem for problem in inline if problem is not None]
        yield from wrong
        missing = self._templates.missing(analysis.templates, path, "before a run begins")
        yield from missing
        if wrong or missing:
            return
        try:
            templates.resolve(analysis, self._templates.lookup, "this", namespace=self._namespace, placeholders=known)
        except InvalidSpec as error:
            yield Problem(path, _without(str(error), "this"))


def _in_guardrails(parsed: dict[Thing, Model]) -> Iterator[tuple[Thing, Problem]]:
    for thing, spec in parsed.items():
        if isinstance(spec, RolloutPolicySpec) and spec.error_budget is not None:
            yield from ((thing, problem) for problem in _of_budget(spec.error_budget))
        if isinstance(spec, KillSwitchSpec) and spec.auto_trip is not None:
            found = _of_auto_trip(spec.auto_trip, thing.namespace, _Templates(thing, parsed))
            yield from ((thing, problem) for problem in found)


def _of_budget(budget: ErrorBudget) -> Iterator[Problem]:
    try:
        budget_questions(budget)
    except InvalidSpec as error:
        yield Problem(("spec", "errorBudget"), _without(str(error), "spec.errorBudget"))


def _of_auto_trip(trip: AutoTrip, namespace: str, known: _Templates) -> Iterator[Problem]:
    """Each metric alone; and where nothing is wrong with any, all together with the templates."""
    path: Path = ("spec", "autoTrip")
    args = {arg.name: arg.value for arg in trip.args if arg.value is not None}
    placeholders = switch_placeholders(namespace)
    inline = [
        _of_metric(as_metric(metric), args, (*path, "metrics", index), placeholders)
        for index, metric in enumerate(trip.metrics)
    ]
    wrong = [problem for problem in inline if problem is not None]
    missing = known.missing(trip.templates, path, "for the switch to see anything")
    yield from (*wrong, *missing)
    if wrong or missing:
        return
    try:
        resolve_auto_trip(trip, known.lookup, namespace=namespace)
    except InvalidSpec as error:
        yield Problem(path, _without(str(error), WHERE))


def _of_steps(spec: RolloutSpec) -> Iterator[Problem]:
    if spec.strategy.canary is not None:
        yield from _contradictions(spec.strategy.canary.steps, ("spec", "strategy", "canary", "steps"))
    for index, batch in enumerate(spec.fleet.batches if spec.fleet is not None else ()):
        yield from _contradictions(batch.steps, ("spec", "fleet", "batches", index, "steps"))


def _contradictions(steps: Sequence[Step], path: Path) -> Iterator[Problem]:
    """Steps that are allowed, and mean nothing or the opposite in their place."""
    weight = NONE
    for index, step in enumerate(steps):
        if step.analysis is not None and weight == NONE:
            told = "nobody is exposed yet, so there is nothing to measure: put a setWeight before it"
            yield Problem((*path, index, "analysis"), told, Level.WARNING)
        if step.set_weight is None:
            continue
        share, place = step.set_weight, (*path, index, "setWeight")
        if share < weight:
            told = f"it goes back from {format_share(weight)} to {format_share(share)}: is the order right?"
            yield Problem(place, told, Level.WARNING)
        elif share == weight:
            told = "does nothing" if weight < FULL else "does nothing: all of the traffic is there"
            yield Problem(place, f"the weight is {format_share(weight)} already, and this step {told}", Level.WARNING)
        weight = share


def _claims(parsed: dict[Thing, Model]) -> Iterator[tuple[Thing, Problem]]:
    """A route or Service belongs to one Rollout."""
    owners: dict[tuple[str, str, str], Thing] = {}
    for thing, spec in parsed.items():
        if not isinstance(spec, RolloutSpec) or thing.kind != Kind.ROLLOUT:
            continue
        for kind, name, path in _moved(spec):
            owner = owners.setdefault((thing.namespace, kind, name), thing)
            if (owner.namespace, owner.name) != (thing.namespace, thing.name):
                told = f"{kind} {name} is moved by {owner} already, and can be by one only: name another one"
                yield thing, Problem(path, told)


def _moved(spec: RolloutSpec) -> Iterator[tuple[str, str, Path]]:
    traffic, path = spec.traffic, ("spec", "traffic")
    for index, route in enumerate(traffic.routes):
        yield route.kind, route.name, (*path, "routes", index, "name")
    if traffic.service is not None:
        yield "Service", traffic.service.active, (*path, "service", "active")
        if traffic.service.preview is not None:
            yield "Service", traffic.service.preview, (*path, "service", "preview")
    if traffic.stable_service is not None:
        yield "Service", traffic.stable_service, (*path, "stableService")


def _without(message: str, where: str) -> str:
    return message.removeprefix(f"{where}: ")
