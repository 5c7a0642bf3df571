"""The CRDs of member clusters are those of Rollout and RolloutRun, but for what is the hub's or the member's."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.api.test_crd_agreement import load_tool

tool = load_tool("gen_member_crds")
CRDS = Path(__file__).parents[3] / "crds"
ROLLOUTS, RUNS = tool.MEMBERS


def source(name: str) -> Any:
    """A CRD that members' are made from."""
    return yaml.safe_load((CRDS / name).read_text(encoding="utf-8"))


def schema(crd: Any) -> Any:
    """Of its one version."""
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def bare(value: Any) -> Any:
    """The same without descriptions and sentences."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {"description"} | ({"message"} if "rule" in value else set())
    return {key: bare(inner) for key, inner in value.items() if not (key in told and isinstance(inner, str))}


@pytest.mark.parametrize("member", tool.MEMBERS, ids=lambda member: member.plural)
def test_the_files_are_up_to_date(member: Any) -> None:
    """What is in crds/ is what is made now, and it reads back as that."""
    text = (CRDS / f"{member.plural}.yaml").read_text(encoding="utf-8")
    assert text == tool.rendered(member)
    assert text.startswith(f"# Generated from crds/{member.source} by tools/gen_member_crds.py")
    assert yaml.safe_load(text) == tool.made(member, source(member.source))
    assert "&id" not in text  # nothing by reference


def test_a_member_rollout_is_a_rollout_with_a_pace_and_without_a_fleet() -> None:
    """Every other field, rule, default and bound is the same, the scale subresource included."""
    crd, hubs = tool.made(ROLLOUTS, source("rollouts.yaml")), source("rollouts.yaml")
    assert crd["metadata"]["name"] == "memberrollouts.sluice.dev"
    assert crd["spec"]["versions"][0]["subresources"] == hubs["spec"]["versions"][0]["subresources"]
    assert "scale" in crd["spec"]["versions"][0]["subresources"]
    ours, theirs = bare(schema(crd)), bare(schema(hubs))
    assert ours["properties"]["spec"]["properties"].pop("pace") == bare(tool.PACE)
    del theirs["properties"]["spec"]["properties"]["fleet"]
    del theirs["properties"]["status"]["properties"]["fleet"]
    rules = theirs["properties"]["spec"]["x-kubernetes-validations"]
    theirs["properties"]["spec"]["x-kubernetes-validations"] = [rule for rule in rules if "fleet" not in rule["rule"]]
    assert ours == theirs
    assert "'fleet'" not in str(ours)  # a run's fleetRun is the member's to know


def test_a_member_rollout_run_is_a_rollout_run() -> None:
    """Every field, rule, default and bound is the same."""
    crd, hubs = tool.made(RUNS, source("rolloutruns.yaml")), source("rolloutruns.yaml")
    assert bare(schema(crd)) == bare(schema(hubs))
    assert crd["spec"]["names"]["shortNames"] == ["smrr"]


@pytest.mark.parametrize("member", tool.MEMBERS, ids=lambda member: member.plural)
def test_descriptions_do_not_speak_of_another_kind(member: Any) -> None:
    """Where the source says Rollout, a member's says MemberRollout, or names the hub's on purpose."""

    def texts(value: Any) -> list[str]:
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        if not isinstance(value, dict):
            return []
        own = [value[key] for key in ("description", "message") if isinstance(value.get(key), str)]
        return own + [text for inner in value.values() for text in texts(inner)]

    words = [text for text in texts(tool.made(member, source(member.source))["spec"]) if " Rollout" in text]
    assert [text for text in words if "hub" not in text] == []


def test_a_sentence_that_went_away_is_told() -> None:
    """Where a source loses a rule whose sentence is another one for members, the tool says what to mend."""
    changed = copy.deepcopy(source("rolloutruns.yaml"))
    schema(changed)["properties"]["spec"]["x-kubernetes-validations"][0]["message"] = "it is immutable"
    with pytest.raises(ValueError, match=r"mend tools/gen_member_crds\.py"):
        tool.made(RUNS, changed)


def test_the_source_is_left_as_it_is() -> None:
    """Making one changes nothing that was given."""
    given = source("rollouts.yaml")
    tool.made(ROLLOUTS, given)
    assert given == source("rollouts.yaml")
