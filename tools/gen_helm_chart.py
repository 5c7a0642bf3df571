"""Make the parts of helm/sluice that are told elsewhere: CRDs, policies, roles, settings, a table.

So that the chart is no second copy that can differ: every file that manifests/base and manifests/cluster-profiles list
becomes a template, but for the Namespace (which is the release's) and the Deployment (its template is written by hand,
and a test holds it to manifests/base). The schema of `settings` is what `sluice run` takes. `--check` says whether all
of it is up to date, for `make check`; without it the files are written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from sluice.cli.run import command as run

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "sluice"
BY_HAND = frozenset({"namespace.yaml", "deployment.yaml"})
HEAD = (
    "{{- /* Generated from %s by tools/gen_helm_chart.py: change it there, then run `make helm-chart-write`. */ -}}\n"
)
_GENERATED = "{{- /* Generated from "
_NAMESPACE = "sluice-system"
_RELEASE = ".Release.Namespace"
# Its account in a member is another matter: `sluice clusters add` makes it, in this namespace of every member.
_IN_MEMBERS = re.compile(rf"{_NAMESPACE}(?!:sluice-member\b)")
_STAMPS = "MutatingAdmissionPolicy"
# The chart says these itself.
_FIXED = frozenset({"kubeconfig", "namespace", "http-port", "identity", "lease-name", "audit-key"})
_BEGIN, _END = "<!-- values: by tools/gen_helm_chart.py -->", "<!-- end of values -->"

Schema = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """A kustomization that becomes templates.

    Attributes:
        path: its folder, from the top of the checkout.
        condition: of the chart's values under which it is installed; "" for always.
        namespace: where its objects are that are in a namespace.
    """

    path: str
    condition: str = ""
    namespace: str = _RELEASE


FOLDERS = (
    Folder("manifests/base"),
    Folder("manifests/cluster-profiles", ".Values.settings.clusterProfiles", ".Values.settings.clusterProfiles"),
)
# What the chart's values can leave out, by kind.
CONDITIONS = {
    "CustomResourceDefinition": ".Values.crds.install",
    _STAMPS: ".Values.mutatingPolicies",
    f"{_STAMPS}Binding": ".Values.mutatingPolicies",
}


# ------------------------------------------------------------------------------------------ templates


def templates() -> dict[Path, str]:
    """Every generated template: its file, and what is in it."""
    made: dict[Path, str] = {}
    for folder in FOLDERS:
        for file in _files(ROOT / folder.path):
            source = file.relative_to(ROOT)
            made[_place(source)] = template(file.read_text(encoding="utf-8"), source.as_posix(), folder)
    return made


def _files(folder: Path) -> Iterator[Path]:
    """The files of a kustomization and of those that it lists, in its order."""
    [kustomization] = [path for path in folder.iterdir() if path.stem.lower() == "kustomization"]
    for name in yaml.safe_load(kustomization.read_text(encoding="utf-8"))["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            yield from _files(path)
        elif path.name not in BY_HAND:
            yield path


def _place(source: Path) -> Path:
    """Where a file's template is: in a folder of the same name, those of manifests/base itself at the top."""
    own = "" if source.parent == Path(FOLDERS[0].path) else source.parent.name
    return CHART / "templates" / own / source.name


def template(text: str, source: str, folder: Folder) -> str:
    """A file of manifests as a template. Pure.

    Args:
        text: its YAML documents.
        source: what it is called.
        folder: whose it is.

    Raises:
        ValueError: it holds something that this tool does not know how to take over.
    """
    documents = "---\n".join(_document(part, source, folder) for part in re.split(r"^---\n", text, flags=re.MULTILINE))
    return HEAD % source + _when(folder.condition, documents)


def _document(text: str, source: str, folder: Folder) -> str:
    stored = yaml.safe_load(text)
    lines = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith("metadata:")]
    if len(starts) != 1 or not set(stored["metadata"]) <= {"name", "namespace", "labels"}:
        raise ValueError(
            f"{source}: the metadata of {stored['kind']} is not as tools/gen_helm_chart.py knows it: teach it"
        )
    [start] = starts
    end = next((number for number in range(start + 1, len(lines)) if not lines[number].startswith(" ")), len(lines))
    rest = _escaped("".join(lines[:start])), _escaped("".join(lines[end:]))
    return _when(
        CONDITIONS.get(stored["kind"], ""), f"{rest[0]}{_metadata(stored, folder)}{rest[1]}".rstrip("\n") + "\n"
    )


def _metadata(stored: Schema, folder: Folder) -> str:
    """The whole block, with Helm's labels beside its own."""
    metadata, kind = stored["metadata"], stored["kind"]
    lines = ["metadata:", f"  name: {metadata['name']}"]
    if "namespace" in metadata:
        if metadata["namespace"] != _NAMESPACE:
            raise ValueError(
                f"{kind} {metadata['name']} is in {metadata['namespace']}: the chart has no such namespace"
            )
        lines.append(f"  namespace: {{{{ {folder.namespace} | quote }}}}")
    if kind == "CustomResourceDefinition":  # members get these labels too: nothing there that is this release's
        lines += ["  labels: {app.kubernetes.io/part-of: sluice}", "  annotations: {helm.sh/resource-policy: keep}"]
    else:
        lines += ["  labels:", '    {{- include "sluice.labels" . | nindent 4 }}']
        lines += [f"    {name}: {json.dumps(value)}" for name, value in metadata.get("labels", {}).items()]
    if kind == "ServiceAccount":
        lines += ["  {{- with .Values.serviceAccount.annotations }}", "  annotations: {{- toYaml . | nindent 4 }}"]
        lines += ["  {{- end }}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text as a template that gives the same text, but for the release's namespace."""
    text = text.replace("{{", '{{ "{{" }}')
    text = re.sub(rf"\bnamespace: {_NAMESPACE}\b", f"namespace: {{{{ {_RELEASE} | quote }}}}", text)
    return _IN_MEMBERS.sub(f"{{{{ {_RELEASE} }}}}", text)


def _when(condition: str, text: str) -> str:
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n" if condition else text


# ------------------------------------------------------------------------------------------ settings


def settings() -> Schema:
    """The schema of the value `settings`: the options of `sluice run`, each by its name in camelCase."""
    options = [option for option in run.params if isinstance(option, click.Option)]
    named = {_name(option): option for option in options if _flag(option) not in _FIXED}
    return {
        "type": "object",
        "description": "Options of `sluice run`, each by its name in camelCase. null: the operator's default.",
        "additionalProperties": False,
        "properties": {name: _schema(option) for name, option in named.items()},
    }


def _flag(option: click.Option) -> str:
    return max(option.opts, key=len).removeprefix("--")


def _name(option: click.Option) -> str:
    first, *others = _flag(option).split("-")
    return first + "".join(word.capitalize() for word in others)


def _schema(option: click.Option) -> Schema:
    value = _type(option)
    if option.multiple:
        value = {"type": "array", "items": value, "uniqueItems": True}
    return {"description": _told(option)} | (value if option.multiple else _or_null(value))


def _type(option: click.Option) -> Schema:
    kind = option.type
    if option.is_flag:
        return {"type": "boolean"}
    if isinstance(kind, click.Choice):
        return {"enum": [str(choice) for choice in kind.choices]}
    if isinstance(kind, click.IntRange | click.FloatRange):
        name = "integer" if isinstance(kind, click.IntRange) else "number"
        bounds = {"minimum": kind.min, "maximum": kind.max}
        return {"type": name, **{key: bound for key, bound in bounds.items() if bound is not None}}
    if option.metavar == "URL":
        return {"type": "string", "pattern": r"^https?://[^\s]+$"}
    if option.metavar == "NAMESPACE":
        return {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
    if kind.name in {"integer", "float"}:
        return {"type": {"integer": "integer", "float": "number"}[kind.name]}
    return {"type": "string", "minLength": 1}


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    return schema | {"type": [schema["type"], "null"]}


def _told(option: click.Option) -> str:
    text = " ".join((option.help or "").split())
    if isinstance(option.default, int | float | str) and option.show_default is True:
        return f"{text} [default: {option.default}]"
    return text


def schema() -> str:
    """values.schema.json as it is, with the settings of today."""
    file = CHART / "values.schema.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    whole["properties"]["settings"] = settings()
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


# ------------------------------------------------------------------------------------------ README


def readme() -> str:
    """README.md as it is, with the table of today's values."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"helm/sluice/README.md has lost the line {_BEGIN!r} or {_END!r}")
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    rows = "\n".join(_rows(json.loads(schema()), values, ""))
    return f"{before}{begin}\n\n| value | default | |\n|---|---|---|\n{rows}\n\n{end}{after}"


def _rows(part: Schema, values: Any, path: str) -> Iterator[str]:
    for name, inner in part["properties"].items():
        own, default = f"{path}{name}", values.get(name) if isinstance(values, dict) else None
        if "properties" in inner:
            yield from _rows(inner, default, f"{own}.")
        else:
            shown = "" if default is None else f"`{json.dumps(default)}`"
            yield f"| `{own}` | {shown} | {inner['description'].replace('|', chr(92) + '|')} |"


# ------------------------------------------------------------------------------------------ all of it


def files() -> dict[Path, str]:
    """Every file that is made here, in whole or in part."""
    return {**templates(), CHART / "values.schema.json": schema(), CHART / "README.md": readme()}


def left_over(made: dict[Path, str]) -> list[Path]:
    """Templates whose source is gone."""
    found = sorted((CHART / "templates").rglob("*.yaml"))
    return [path for path in found if path not in made and path.read_text(encoding="utf-8").startswith(_GENERATED)]


def main() -> int:
    """Write the files, or with `--check` say whether they must be written; 1 where they must."""
    parser = argparse.ArgumentParser(description="Make the parts of the Helm chart that are told elsewhere.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is out of date")
    options = parser.parse_args()
    made = files()
    gone = left_over(made)
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if options.check:
        for path in [*stale, *gone]:
            name = path.relative_to(ROOT).as_posix()
            sys.stdout.write(f"{name} is out of date: run `make helm-chart-write` and commit it\n")
        return 1 if stale or gone else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    for path in gone:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
