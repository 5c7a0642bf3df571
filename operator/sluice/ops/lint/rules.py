"""The CRDs' rules in CEL (`x-kubernetes-validations`), evaluated as the API server does when an object is created.

The evaluator is the CEL project's own, with its string functions, which Kubernetes has too. A rule that it does not
understand, for instance for a function of Kubernetes' own, is reported and never taken for kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from sluice.ops.lint.finding import Level, Path, Problem
from sluice.ops.lint.schema import Schema

_BEFORE = re.compile(r"\boldSelf\b")  # there is no object before this one


class Evaluator:
    """Evaluates rules, each compiled once.

    Attributes:
        missing: why there is nothing to evaluate rules with; "" where there is.
    """

    def __init__(self) -> None:
        self.missing = ""
        self._compiled: dict[str, Any] = {}
        try:
            from cel_expr_python import cel  # noqa: PLC0415 - 14 MB, and where it is missing the rest still works
            from cel_expr_python.ext import ext_optional, ext_strings  # noqa: PLC0415 - likewise
        except ImportError as error:
            self.missing = f"the package cel-expr-python cannot be loaded ({error}); it has wheels for most platforms"
            return
        self._boolean, self._string = cel.Type.BOOL, cel.Type.STRING
        self._environment = cel.NewEnv(
            variables={"self": cel.Type.DYN}, extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()]
        )

    def broken(self, rule: dict[str, Any], value: Any) -> str:
        """What a rule says of a value that breaks it; "" where the value keeps it.

        Raises:
            NotEvaluated: the rule cannot be evaluated here.
        """
        verdict = self._run(rule["rule"], value)
        if verdict.type() != self._boolean:
            return f"the rule {rule['rule']} could not be evaluated: {verdict.value()}"
        if verdict.value():
            return ""
        if "messageExpression" in rule:
            told = self._run(rule["messageExpression"], value)
            if told.type() == self._string and str(told.value()).strip():
                return str(told.value())
        return str(rule.get("message") or f"failed rule: {rule['rule']}")

    def _run(self, expression: str, value: Any) -> Any:
        if expression not in self._compiled:
            try:
                self._compiled[expression] = self._environment.compile(expression)
            except RuntimeError as error:  # what the library raises, whatever is wrong
                self._compiled[expression] = NotEvaluated(" ".join(str(error).split())[:200])
        compiled = self._compiled[expression]
        if isinstance(compiled, NotEvaluated):
            raise compiled
        return compiled.eval(data={"self": value})


class NotEvaluated(ValueError):
    """A rule that cannot be evaluated here, and why."""


def problems(
    evaluator: Evaluator, schema: Schema, value: Any, path: Path, amiss: Collection[Path]
) -> Iterator[Problem]:
    """What breaks a rule.

    Args:
        evaluator: what rules are evaluated with; nothing of it is `missing`.
        schema: of the value.
        value: with defaults filled in.
        path: of the value.
        amiss: where something is wrong already: rules are not asked about values that hold such a place.
    """
    if value is None:
        return
    if not any(at[: len(path)] == path for at in amiss):
        yield from _of_value(evaluator, schema.get("x-kubernetes-validations", ()), value, path)
    if isinstance(value, dict):
        properties: dict[str, Schema] = schema.get("properties", {})
        others = schema.get("additionalProperties")
        for name, item in value.items():
            inner = properties.get(name, others)
            if isinstance(inner, dict):
                yield from problems(evaluator, inner, item, (*path, name), amiss)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(evaluator, schema.get("items", {}), item, (*path, index), amiss)


def _of_value(evaluator: Evaluator, rules: Collection[dict[str, Any]], value: Any, path: Path) -> Iterator[Problem]:
    for rule in map(_at_creation, rules):
        if _BEFORE.search(rule["rule"]):
            continue  # it is about changes
        try:
            told = evaluator.broken(rule, value)
        except NotEvaluated as error:
            yield Problem(path, f"not checked, for it cannot be evaluated here: {rule['rule']}: {error}", Level.WARNING)
            continue
        if told:
            yield Problem(path, told)


def _at_creation(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule, which asks for what was there before in vain."""
    return {**rule, "rule": _BEFORE.sub("optional.none()", rule["rule"])} if rule.get("optionalOldSelf") else rule
