"""Render crds/ into docs/reference/api.md: a section for each kind, a row for each field.

The CRDs are the source: descriptions, defaults, choices, bounds and rules stand there and nowhere else. `--check` says
whether the page is up to date, for `make check`; without it the page is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"
ORDER = (
    "rollouts",
    "killswitches",
    "clusterkillswitches",
    "rolloutactions",
    "rolloutpolicies",
    "analysistemplates",
    "clusteranalysistemplates",
    "memberclusters",
    "rolloutruns",
    "fleetruns",
    "auditsegments",
)
# Made from those of Rollout and RolloutRun: told in a sentence, and by what they have besides.
MADE = ("memberrollouts", "memberrolloutruns")
HEAD = """# API reference: `sluice.dev/v1alpha1`

<!-- Generated from crds/ by tools/gen_api_docs.py: change it there, then run `make api-docs-write`. -->

`kubectl explain rollouts.spec --api-version=sluice.dev/v1alpha1` tells the same in a terminal. Examples are in
`manifests/samples`, and what each rule refuses in `manifests/samples/invalid`. A field is *required* where its parent
cannot be without it.

- A **share** is 0 to 100, or a percentage with up to two decimals: `10`, `"0.5%"`.
- A **duration** is hours, minutes and seconds in this order: `30s`, `10m`, `1h30m`, `72h`.
- A list **by** some fields holds one item for each value of them; the other lists are replaced as a whole.

"""

Schema = dict[str, Any]
UNBOUNDED = 32768  # what messages in a status have; not worth telling
# Said once, in a section of its own, and linked from everywhere else.
SHARED = {"prometheus": "Metric", "lastTransitionTime": "Condition"}


def page(folder: Path = ROOT / "crds") -> str:
    """The whole page."""
    crds, made = ([_read(folder, name) for name in names] for names in (ORDER, MADE))
    kinds = "".join(
        f"- [{crd['spec']['names']['kind']}](#{crd['spec']['names']['kind'].lower()})\n" for crd in (*crds, *made)
    )
    shared = "- [Metric](#metric)\n- [Condition](#condition)\n"
    sections = [*(_kind(crd) for crd in crds), *(_made(crd, crds) for crd in made)]
    return HEAD + kinds + shared + "".join(sections) + _shared(crds[0])


def _read(folder: Path, name: str) -> Schema:
    crd: Schema = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    return crd


def _kind(crd: Schema) -> str:
    names = crd["spec"]["names"]
    schema = _schema(crd)
    lines = _opening(crd)
    lines += [f"- {_plain(rule['message'])}" for rule in schema.get("x-kubernetes-validations", [])]
    for part in ("spec", "status"):
        if part in schema["properties"]:
            lines += [f"\n### {names['kind']} {part}\n", schema["properties"][part]["description"], ""]
            lines += _rules(schema["properties"][part])
            lines += _table(schema["properties"][part], part)
    return "\n".join(lines) + "\n"


def _made(crd: Schema, others: list[Schema]) -> str:
    """A kind that is another one but for some fields of its spec."""
    kind = crd["spec"]["names"]["kind"].removeprefix("Member")
    [other] = [each for each in others if each["spec"]["names"]["kind"] == kind]
    ours, theirs = (_schema(each)["properties"]["spec"] for each in (crd, other))
    lacks = [f"`spec.{name}`" for name in theirs["properties"] if name not in ours["properties"]]
    has = {name: field for name, field in ours["properties"].items() if name not in theirs["properties"]}
    but = f" but for {', '.join(lacks)}, which it has not" if lacks else ""
    lines = [*_opening(crd), f"It has what a [{kind}](#{kind.lower()}) has{but}{', and besides:' if has else '.'}\n"]
    lines += _table({"properties": has}, "spec") if has else []
    return "\n".join(lines) + "\n"


def _opening(crd: Schema) -> list[str]:
    names = crd["spec"]["names"]
    place = "In a namespace" if crd["spec"]["scope"] == "Namespaced" else "In the cluster as a whole"
    return [
        f"\n## {names['kind']}\n",
        f"{_schema(crd)['description']}\n",
        f"{place}; `kubectl get {names['plural']}.{crd['spec']['group']}`, in short `{names['shortNames'][0]}`.\n",
    ]


def _schema(crd: Schema) -> Schema:
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _shared(rollout: Schema) -> str:
    parts = rollout["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    metric = parts["spec"]["properties"]["analysis"]["properties"]["metrics"]["items"]
    condition = parts["status"]["properties"]["conditions"]["items"]
    lines = [
        "\n## Metric\n",
        f"{metric['description']} Those of a RolloutRun also say whether they are `clusterScoped`.\n",
    ]
    lines += _table(metric, "")
    lines += ["\n## Condition\n", f"{condition['description']}\n", *_table(condition, "")]
    return "\n".join(lines) + "\n"


def _table(schema: Schema, path: str) -> list[str]:
    rows = [f"| {' | '.join(row)} |" for row in _rows(schema, path)]
    return ["| Field | Type | Meaning |", "|---|---|---|", *rows]


def _rules(schema: Schema) -> list[str]:
    sentences = [f"- {_plain(rule['message'])}" for rule in schema.get("x-kubernetes-validations", [])]
    return [*sentences, ""] if sentences else []


def _rows(schema: Schema, path: str) -> Iterator[tuple[str, str, str]]:
    required = set(schema.get("required", []))
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield f"`{here}`", _type(field), _meaning(field, required=name in required)
        inner = field
        while inner.get("type") == "array":
            inner, here = inner["items"], f"{here}[]"
        if not _section(inner):
            yield from _rows(inner, here)


def _section(schema: Schema) -> str:
    """The section that tells an item's fields; "" where they are told in place."""
    return next((section for mark, section in SHARED.items() if mark in schema.get("properties", {})), "")


def _type(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        told = field["description"]
        return "share" if "share" in told else "count or percentage" if "count" in told else "number or name"
    if field["type"] == "array":
        keys = field.get("x-kubernetes-list-map-keys")
        section = _section(field["items"])
        items = f"[{section}](#{section.lower()})" if section else _type(field["items"])
        return f"list of {items}" + (f" by {', '.join(keys)}" if keys else "")
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    if field.get("x-kubernetes-preserve-unknown-fields") and "properties" not in field:
        return "object, as in a Deployment" if "pod template" in field["description"] else "object"
    if "enum" in field:
        return " \\| ".join(f"`{_value(choice)}`" for choice in field["enum"])
    return "time" if field.get("format") == "date-time" else str(field["type"])


def _meaning(field: Schema, *, required: bool) -> str:
    parts = ["*Required.*" if required else "", _plain(field["description"])]
    if "default" in field:
        parts.append(f"Default: `{_value(field['default'])}`.")
    parts.append(_bounds(field))
    ruled = (field, field.get("items", {}), field.get("additionalProperties", {}))
    rules = [rule for schema in ruled for rule in schema.get("x-kubernetes-validations", [])]
    parts += [f"<br>Rule: {_plain(rule['message'])}." for rule in rules]
    return " ".join(part for part in parts if part)


def _value(value: object) -> str:
    """A default or a choice, as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(text: str) -> str:
    """The text, with nothing in it that Markdown would take for a tag or the end of a cell."""
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


def _bounds(field: Schema) -> str:
    if "maxItems" in field:
        return f"Up to {field['maxItems']}."
    if field.get("maxLength", UNBOUNDED) != UNBOUNDED and not field.get("x-kubernetes-int-or-string"):
        return f"Up to {field['maxLength']} characters."
    if "minimum" in field:
        return f"From {field['minimum']}" + (f" to {field['maximum']}." if "maximum" in field else ".")
    return ""


def main() -> int:
    """Write the page, or with `--check` say whether it must be written; 1 where it must."""
    parser = argparse.ArgumentParser(description="Render crds/ into docs/reference/api.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where the page is out of date")
    options = parser.parse_args()
    text = page()
    if not options.check:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is out of date with crds/: run `make api-docs-write` and commit it\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
