"""Make the CRDs of member clusters, MemberRollout and MemberRolloutRun, from those of Rollout and RolloutRun.

In a member the hub's engine does with the former what it does with the latter at home, so they must be the same but for
what is the hub's (`fleet`) and what is the member's (`pace`). `--check` says whether the files are up to date, for
`make check`; without it they are written.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CRDS = ROOT / "crds"
HEAD = "# Generated from {source} by tools/gen_member_crds.py: change it there, then run `make member-crds-write`.\n"

Schema = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """How a kind becomes a member's.

    Attributes:
        source: the file it is made from.
        plural: of the new kind.
        short: its short name.
        texts: what the schemas at some paths are called in place of what they are called in the source.
        sentences: of rules, likewise, by how the old one begins.
    """

    source: str
    plural: str
    short: str
    texts: dict[str, str]
    sentences: dict[str, str]


_HUB = "the Rollout of the same namespace and name on the hub"
PACE: Schema = {
    "type": "object",
    "description": "How far the hub lets it go in the run to this spec. Absent: to the end.",
    "required": ["run", "upTo"],
    "properties": {
        "run": {
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "maximum": 1000000000,
            "description": "The number of the hub's FleetRun. A revision that an earlier one rejected is tried again.",
        },
        "analysis": {
            "type": "object",
            "description": "What it is measured by, as the hub looked it up when the run over the fleet began.",
            "x-kubernetes-preserve-unknown-fields": True,
        },
        "upTo": {
            "type": "integer",
            "format": "int32",
            "minimum": 0,
            "maximum": 1000,
            "description": "The last step that it may enter; one more than there are, and it may complete.",
        },
    },
}
MEMBERS = (
    Member(
        source="rollouts.yaml",
        plural="memberrollouts",
        short="smr",
        texts={
            "": "A MemberRollout is what a member cluster has of a Rollout over a fleet. The hub's operator writes it "
            f"and sees to it as to a Rollout; nothing of Sluice runs in the member. To change it, change {_HUB}.",
            "spec": "What shall serve here, and how to get there: from the Rollout on the hub.",
            "status.pausedBy": "Who paused the run by a RolloutAction on the hub.",
        },
        sentences={
            "a Rollout keeps to workload.services": "a MemberRollout keeps to workload.services, or to "
            "workload.template: make another Rollout on the hub for the other",
        },
    ),
    Member(
        source="rolloutruns.yaml",
        plural="memberrolloutruns",
        short="smrr",
        texts={
            "": "A MemberRolloutRun is what one run of a MemberRollout executes, fixed when it began, and the record "
            "of how it went. The hub's operator creates it."
        },
        sentences={
            "a RolloutRun's spec is immutable": "a MemberRolloutRun's spec is immutable: change the Rollout on the "
            "hub, and the next run takes it"
        },
    ),
)
_KINDS = re.compile(r"\b(Rollout|RolloutRun)\b")


class _Dumper(yaml.SafeDumper):
    """Every text in one line, nothing by reference, and a map that holds scalars only in one line too."""

    def ignore_aliases(self, _data: object) -> bool:
        """Write what is there twice, twice."""
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        """One line where nothing is below but lists of words, and it is no rule."""
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = "rule" not in mapping and all(_is_flat(value) for _, value in node.value)
        return node


def _is_flat(node: yaml.Node) -> bool:
    if isinstance(node, yaml.SequenceNode):
        return all(isinstance(item, yaml.ScalarNode) for item in node.value)
    return isinstance(node, yaml.ScalarNode) or (isinstance(node, yaml.MappingNode) and not node.value)


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if " " in text else None)


_Dumper.add_representer(str, _text)


def rendered(member: Member, folder: Path = CRDS) -> str:
    """The whole file of a member's CRD.

    Raises:
        ValueError: the source has lost what is changed here.
    """
    crd = yaml.safe_load((folder / member.source).read_text(encoding="utf-8"))
    text: str = yaml.dump(
        made(member, crd), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=1_000_000, allow_unicode=True
    )
    return HEAD.format(source=f"crds/{member.source}") + text


def made(member: Member, source: Schema) -> Schema:
    """The CRD for members. Pure.

    Raises:
        ValueError: the source has lost what is changed here.
    """
    crd = _renamed(copy.deepcopy(source), _Sentences(member.sentences))
    names = crd["spec"]["names"]
    kind = f"Member{source['spec']['names']['kind']}"
    names |= {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": member.plural,
        "singular": kind.lower(),
        "shortNames": [member.short],
    }
    crd["metadata"]["name"] = f"{member.plural}.{crd['spec']['group']}"
    [version] = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    for path, text in member.texts.items():
        _at(schema, path)["description"] = text
    if "fleet" in schema["properties"]["spec"]["properties"]:
        _paced(version)
    return crd


class _Sentences:
    """Sentences that become others, each of which must be met."""

    def __init__(self, table: dict[str, str]) -> None:
        self._table = table
        self._met: set[str] = set()

    def become(self, sentence: str) -> str:
        """The sentence that a rule shall have."""
        for beginning, other in self._table.items():
            if sentence.startswith(beginning):
                self._met.add(beginning)
                return other
        return _KINDS.sub(r"Member\1", sentence)

    def check(self) -> None:
        """Raises ValueError where one was never met."""
        if lost := set(self._table) - self._met:
            raise ValueError(f"no rule has a sentence that begins with {sorted(lost)}: mend tools/gen_member_crds.py")


def _renamed(crd: Schema, sentences: _Sentences) -> Schema:
    """The same with the member's kinds in every description and sentence."""

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            if isinstance(value.get("description"), str):
                value["description"] = _KINDS.sub(r"Member\1", value["description"])
            if isinstance(value.get("message"), str) and "rule" in value:
                value["message"] = sentences.become(value["message"])
            for inner in value.values():
                walk(inner)

    walk(crd["spec"]["versions"])
    sentences.check()
    return crd


def _paced(version: Schema) -> None:
    """Take out what is the hub's, with its rules and column; put in what is the member's."""
    spec, status = (version["schema"]["openAPIV3Schema"]["properties"][part] for part in ("spec", "status"))
    spec["properties"] = {
        other: schema
        for name, schema in spec["properties"].items()
        for other, schema in [("pace", copy.deepcopy(PACE)) if name == "fleet" else (name, schema)]
    }
    spec["x-kubernetes-validations"] = [
        rule for rule in spec["x-kubernetes-validations"] if "self.fleet" not in rule["rule"]
    ]
    del status["properties"]["fleet"]
    version["additionalPrinterColumns"] = [
        column for column in version["additionalPrinterColumns"] if ".fleet." not in column["jsonPath"]
    ]


def _at(schema: Schema, path: str) -> Schema:
    for name in path.split(".") if path else ():
        schema = schema["properties"][name]
    return schema


def main() -> int:
    """Write the files, or with `--check` say whether they must be written; 1 where they must."""
    parser = argparse.ArgumentParser(description="Make the CRDs of member clusters.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is out of date")
    options = parser.parse_args()
    stale = 0
    for member in MEMBERS:
        file, text = CRDS / f"{member.plural}.yaml", rendered(member)
        if not options.check:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            sys.stdout.write(f"crds/{file.name} is out of date: run `make member-crds-write` and commit it\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
