"""Files of manifests in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sluice.api.names import GROUP, VERSION
from sluice.decide.metadata import mapping
from sluice.ops.lint import crds, meaning, metadata, rules, schema
from sluice.ops.lint.documents import Document, Unreadable, items, read
from sluice.ops.lint.finding import Finding, Level, Problem, shown
from sluice.ops.lint.meaning import Thing


@dataclass(frozen=True, slots=True)
class _Item:
    """One of our objects, and where it is."""

    file: str
    document: Document
    kind: str
    namespace: str
    name: str

    def finding(self, problem: Problem) -> Finding:
        return Finding(
            file=self.file,
            line=self.document.line(problem.path),
            level=problem.level,
            kind=self.kind,
            namespace=self.namespace,
            name=self.name,
            field=shown(problem.path),
            message=problem.message,
        )


class Linter:
    """Checks files, first each alone, then their objects together.

    Args:
        namespace: of objects that name none.
        definitions: the CRDs by kind; by default those of this version.

    Attributes:
        checked: how many objects were.
        skipped: how many documents are of other kinds.
    """

    def __init__(self, namespace: str, definitions: Mapping[str, dict[str, Any]] | None = None) -> None:
        self.checked = 0
        self.skipped = 0
        self._namespace = namespace
        self._crds = definitions if definitions is not None else crds.load()
        self._evaluator = rules.Evaluator()
        self._findings: list[Finding] = []
        self._sound: dict[Thing, _Item] = {}

    def add(self, file: str, text: str) -> None:
        """Check the objects of a file, each alone."""
        try:
            for document in read(text):
                for each in items(document):
                    self._check(file, each)
        except Unreadable as error:
            hint = "; is it a template? Render it first" if "{{" in text else ""
            self._findings.append(Finding(file, error.line, Level.ERROR, "", "", "", "", f"{error}{hint}"))

    def finish(self) -> list[Finding]:
        """Check together all that is sound alone. Returns every finding, by file and line."""
        found = [self._sound[thing].finding(problem) for thing, problem in meaning.problems(self._sound)]
        order = {file: place for place, file in enumerate(dict.fromkeys(each.file for each in self._findings + found))}
        every = sorted([*self._findings, *found], key=lambda each: (order[each.file], each.line))
        return [*self._not_checked(), *dict.fromkeys(every)]

    def _not_checked(self) -> list[Finding]:
        """That no rule was evaluated, told once."""
        if not self._evaluator.missing or not self.checked:
            return []
        told = f"no rule of the CRDs (x-kubernetes-validations) was checked: {self._evaluator.missing}"
        return [Finding("", 0, Level.WARNING, "", "", "", "", told)]

    def _check(self, file: str, document: Document) -> None:
        value = mapping(document.value)
        group, _, version = str(value.get("apiVersion", "")).rpartition("/")
        if group != GROUP:
            self.skipped += 1
            return
        self.checked += 1
        item = self._item(file, document, value)
        problems = [*_of_type(self._crds, item.kind, version)]
        if not problems:
            problems += self._of_object(item, value)
        problems += [
            Problem(path, "this key is given twice, and one of the two is lost", Level.WARNING)
            for path in document.twice
        ]
        self._findings += [item.finding(problem) for problem in problems]
        if not any(problem.level is Level.ERROR for problem in problems):
            spec = schema.with_defaults(crds.schema_of(self._crds[item.kind]), value).get("spec")
            self._sound[Thing(item.kind, item.namespace, item.name, spec)] = item

    def _item(self, file: str, document: Document, value: dict[str, Any]) -> _Item:
        given, kind = mapping(value.get("metadata")), str(value.get("kind", ""))
        scope = self._crds.get(kind, {}).get("spec", {}).get("scope")
        namespace = str(given.get("namespace") or self._namespace) if scope == "Namespaced" else ""
        return _Item(file, document, kind, namespace, str(given.get("name") or given.get("generateName") or ""))

    def _of_object(self, item: _Item, value: dict[str, Any]) -> Iterator[Problem]:
        """By its CRD: its schema first, then its rules wherever the schema is kept."""
        crd = self._crds[item.kind]
        own = crds.schema_of(crd)
        served = "status" in crd["spec"]["versions"][0].get("subresources", {})
        given = {key: part for key, part in value.items() if key != "status" or not served}
        complete = schema.with_defaults(own, given)
        found = list(metadata.problems(value.get("metadata"), namespaced=crd["spec"]["scope"] == "Namespaced"))
        found += schema.problems({**own, "properties": {**own["properties"], **_OF_EVERY_OBJECT}}, complete, ())
        yield from found
        if not self._evaluator.missing:
            complete["metadata"] = metadata.as_created(mapping(value.get("metadata")))
            amiss = [problem.path for problem in found if problem.level is Level.ERROR]
            yield from rules.problems(self._evaluator, own, complete, (), amiss)


_OF_EVERY_OBJECT: dict[str, Any] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"x-kubernetes-preserve-unknown-fields": True},
}


def _of_type(known: Mapping[str, Any], kind: str, version: str) -> Iterator[Problem]:
    if version != VERSION:
        yield Problem(("apiVersion",), f'no matches for version "{GROUP}/{version}": write {GROUP}/{VERSION}')
    elif kind not in known:
        close = get_close_matches(kind, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
        yield Problem(("kind",), f'no matches for kind "{kind}" in version "{GROUP}/{VERSION}": {hint}')
