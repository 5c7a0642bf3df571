"""What is found in manifests, and at which line."""

from typing import Any

import pytest

from sluice.ops.lint import rules
from sluice.ops.lint.finding import Finding, Level
from sluice.ops.lint.linter import Linter
from unit.ops.lint.manifests import ANALYSIS, ROLLOUT, TEMPLATE


@pytest.fixture
def lint(definitions: dict[str, Any]) -> Any:
    """Return a function from texts to what is found in them, as tuples of level, line, field and message."""

    def run(*texts: str) -> list[tuple[str, int, str, str]]:
        linter = Linter("shop", definitions)
        for number, text in enumerate(texts):
            linter.add(f"{number}.yaml", text)
        return [(found.level.value, found.line, found.field, found.message) for found in linter.finish()]

    return run


def test_a_finding_says_where(definitions: dict[str, Any]) -> None:
    """File, line, object and field, of the document that it is in."""
    linter = Linter("shop", definitions)
    linter.add("all.yaml", f"{TEMPLATE}---\n{ROLLOUT.replace('canary:', 'canaries:')}")
    first, *_ = linter.finish()
    assert first == Finding(
        file="all.yaml",
        line=23,
        level=Level.ERROR,
        kind="Rollout",
        namespace="shop",
        name="checkout",
        field="spec.strategy.canaries",
        message='unknown field "spec.strategy.canaries"; did you mean canary?',
    )
    assert (linter.checked, linter.skipped) == (2, 0)


@pytest.mark.parametrize(
    "spoiled, line, field, message",
    [
        (("namespace: shop}", "namespace: shop, labels: {a: 1}}"), 3, "metadata.labels.a", "write it in quotes"),
        (("namespace: shop}", "namespace: shop, labels: {a: a b}}"), 3, "metadata.labels.a", "a valid label must be"),
        (
            ("namespace: shop}", "namespace: shop, annotations: {a/b/c: d}}"),
            3,
            "metadata.annotations.a/b/c",
            "a key is",
        ),
        (("namespace: shop}", "namespace: shop, label: {a: b}}"), 3, "metadata.label", "did you mean labels?"),
        (("{name: checkout, ", "{name: Checkout, "), 3, "metadata.name", "RFC 1123"),
        (("{name: checkout, ", "{"), 3, "metadata.name", "Required value"),
        (("active: blue", "active: Blue"), 7, "spec.workload.active", "did you mean blue?"),
        (
            ("active: blue", "active: true"),
            7,
            "spec.workload.active",
            'must be of type string: "boolean"; write it in quotes',
        ),
        (("active: blue", "active: on"), 7, "spec.workload.active", 'must be of type string: "boolean"'),
        (
            ("setWeight: 25", "setWeight: 25%%"),
            14,
            "spec.strategy.canary.steps[0].setWeight",
            'percentage such as "0.5%"',
        ),
        (("setWeight: 25", "setWeight: 0.5"), 14, "spec.strategy.canary.steps[0].setWeight", "integer or string"),
        (("setWeight: 25", "{}"), 14, "spec.strategy.canary.steps[0]", "a step has exactly one of"),
        (("    canary:", "    canary: null\n    blueGreen:"), 12, "spec.strategy.canary", "must be of type object"),
        (("sluice.dev/v1alpha1", "sluice.dev/v1"), 1, "apiVersion", "write sluice.dev/v1alpha1"),
        (("kind: Rollout", "kind: Rolout"), 2, "kind", "did you mean Rollout?"),
        (("spec:", "specs:"), 4, "specs", "did you mean spec?"),
    ],
)
def test_what_the_api_server_would_refuse(
    lint: Any, spoiled: tuple[str, str], line: int, field: str, message: str
) -> None:
    """Each with what to do."""
    found = [each for each in lint(ROLLOUT.replace(*spoiled, 1)) if each[2] == field]
    assert [(each[0], each[1]) for each in found] == [("error", line)]
    assert message in found[0][3]


def test_a_generated_name_is_as_good(lint: Any) -> None:
    """The rules are asked about a name as the API server would make it."""
    assert lint(ROLLOUT.replace("{name: checkout", "{generateName: checkout-")) == []
    [found] = lint(ROLLOUT.replace("{name: checkout", "{generateName: " + "c" * 50))
    assert found[3].startswith("shorten metadata.name to 52 characters")


def test_status_is_not_peoples(lint: Any) -> None:
    """The API server drops it, whatever it says; of a kind without status it is an unknown field."""
    assert lint(f"{ROLLOUT}status: {{phase: 5}}\n") == []
    assert [each[2] for each in lint(f"{TEMPLATE}status: {{phase: 5}}\n")] == ["status"]


def test_rules_are_not_asked_about_what_is_broken_anyway(lint: Any) -> None:
    """So that one mistake is told once; rules about other places are."""
    wrong = ROLLOUT.replace("active: blue", "active: 5").replace("green: checkout-green", "green: checkout-blue")
    assert [each[2] for each in lint(wrong)] == ["spec.workload.services", "spec.workload.active"]


def test_other_kinds_are_skipped_and_counted(definitions: dict[str, Any]) -> None:
    """Also what is no object at all; Lists are looked into."""
    linter = Linter("shop", definitions)
    indented = ROLLOUT.replace("\n", "\n  ").replace("active: blue", "active: red")
    linter.add("list.yaml", f"apiVersion: v1\nkind: List\nitems:\n- {indented}\n- {{apiVersion: v1, kind: Service}}\n")
    linter.add("values.yaml", "---\nreplicas: 3\n---\n---\n[1, 2]\n")
    [found] = linter.finish()
    assert (found.line, found.field) == (10, "spec.workload.active")
    assert (linter.checked, linter.skipped) == (1, 3)


def test_what_is_no_yaml(lint: Any) -> None:
    """Is told by its line, and what came before it is checked all the same."""
    found = lint(f"{ROLLOUT.replace('active: blue', 'active: red')}---\na: [1\nb: {{{{ .Values }}}}\n")
    assert [(each[1], each[2]) for each in found] == [(7, "spec.workload.active"), (17, "")]
    assert found[1][3].startswith("this is no YAML: ")
    assert found[1][3].endswith("is it a template? Render it first")
    assert lint("a: &a [*a]\n")[0][3].startswith("aliases make this too large, or refer to themselves")
    assert lint("a: \x00")[0][3].startswith("this is no YAML")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "5",
        "? [a]\n: b",
        "a: *x",
        "a: " + "[" * 3000,
        "a: " + "9" * 5000,
        "!!python/object:os.system x",
        "x: !!int abc",
        "{apiVersion: v1, kind: List, items: 5}",
        "{apiVersion: v1, kind: List, items: [5, null, {apiVersion: sluice.dev/v1alpha1}]}",
        "{apiVersion: sluice.dev/v1alpha1, kind: [Rollout], metadata: {name: 5, labels: 3}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Rollout, metadata: 5, spec: []}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Rollout, metadata: {name: a}, spec: {workload: [], traffic: null}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: Rollout, metadata: {name: a}, spec: {fleet: {batches: [5]}}}",
        "{apiVersion: sluice.dev/v1alpha1, kind: KillSwitch, metadata: {name: a}, <<: 5, spec: {engaged: yes}}",
    ],
)
def test_nothing_that_a_file_holds_ends_it(lint: Any, text: str) -> None:
    """What follows in other files is checked, whatever one of them has."""
    assert lint(text, ROLLOUT.replace("active: blue", "active: red"))[-1][2] == "spec.workload.active"


def test_aliases_and_merged_keys(lint: Any) -> None:
    """As kubectl reads them; a key that is given twice is warned of."""
    aliased = ROLLOUT.replace("- setWeight: 25", "- &step {setWeight: 25}\n      - {<<: *step, setWeight: 50}")
    assert lint(aliased) == []
    [twice] = lint(ROLLOUT.replace("    active: blue", "    active: blue\n    active: green"))
    assert twice[:3] == ("warning", 8, "spec.workload.active")


@pytest.mark.parametrize("text", ["2026-01-31", "1:30", "1.5.0", "1_0.0"])
def test_what_looks_like_more_than_text_is_text(lint: Any, text: str) -> None:
    """A version needs no quotes only because another reader of YAML would make a date of it."""
    assert lint(ROLLOUT.replace("active: blue", f"active: blue\n    version: {text}")) == []


@pytest.mark.parametrize("text", ["1e3", "1.5", "0x10", "017", "yes", "15"])
def test_what_is_no_text_to_kubectl_is_none_here(lint: Any, text: str) -> None:
    """Such a version needs quotes."""
    assert "must be of type string" in lint(ROLLOUT.replace("active: blue", f"active: blue\n    version: {text}"))[0][3]


# ------------------------------------------------------------------------------------------ what the operator would say


def test_templates_within_the_files(lint: Any) -> None:
    """A run with this template could begin."""
    assert lint(TEMPLATE, ROLLOUT + ANALYSIS) == []


@pytest.mark.parametrize(
    "template, analysis, expected, message",
    [
        ("name: http,", "", ("warning", "spec.analysis.templates[0].name"), "is not in these files"),
        ("name: htp,", "", ("warning", "spec.analysis.templates[0].name"), "did you mean htp?"),
        ("kind: ClusterAnalysisTemplate", "", ("warning", "spec.analysis.templates[0].name"), "say clusterScope: true"),
        ("", "    - {name: jib, value: web}", ("error", "spec.analysis"), "needs a value for arg job"),
        ("", "    - {name: job, value: web}\n    - {name: x, value: z}", ("error", "spec.analysis"), "takes arg x"),
    ],
)
def test_a_rollout_and_its_templates(
    lint: Any, template: str, analysis: str, expected: tuple[str, str], message: str
) -> None:
    """What is not there may be in the cluster; what does not fit is wrong."""
    other = {
        "name: http,": TEMPLATE.replace("shop", "bank"),
        "name: htp,": TEMPLATE.replace("name: http", "name: htp"),
        "kind: ClusterAnalysisTemplate": TEMPLATE.replace("kind: ", "kind: Cluster").replace(", namespace: shop", ""),
    }.get(template, TEMPLATE)
    given = ANALYSIS.replace("    - {name: job, value: web}", analysis) if analysis else ANALYSIS
    [found] = lint(other, ROLLOUT + given)
    assert (found[0], found[2]) == expected
    assert message in found[3]


SWITCH = """\
apiVersion: sluice.dev/v1alpha1
kind: KillSwitch
metadata: {name: stop, namespace: shop}
spec:
  autoTrip:
    args: [{name: service, value: checkout}]
    templates: [{name: http}]
    metrics:
    - {name: cost, prometheus: {query: 'cost{namespace="{{namespace}}"}'}, threshold: {max: 0.5}}
"""
COUNTED = """\
apiVersion: sluice.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: http, namespace: shop}
spec:
  args: [{name: service}]
  metrics:
  - {name: errors, prometheus: {query: 'errors{service="{{args.service}}"}'}, threshold: {max: 0.05}}
"""


@pytest.mark.parametrize(
    "of_switch, of_template, told",
    [
        (("", ""), ("", ""), []),
        (
            ("{{namespace}}", "{{version}}"),
            ("", ""),
            [("spec.autoTrip.metrics[0]", "there is no placeholder {{version}}")],
        ),
        (("name: http", "name: htp"), ("", ""), [("spec.autoTrip.templates[0].name", "did you mean http?")]),
        (("", ""), ("{max: 0.05}", "{maxRatio: 2}"), [("spec.autoTrip", "metric errors compares with a baseline")]),
        (("", ""), ("{{args.service}}\"}'}", "{{args.service}}\"}'}, interval: 1s"), [("spec.autoTrip", "every 5s")]),
        (("service, value", "servce, value"), ("", ""), [("spec.autoTrip", "needs a value for arg service")]),
        (("name: cost", "name: errors"), ("", ""), [("spec.autoTrip", "two metrics are called errors")]),
    ],
)
def test_what_a_switch_could_not_measure(
    lint: Any, of_switch: tuple[str, str], of_template: tuple[str, str], told: list[tuple[str, str]]
) -> None:
    """As of a Rollout's analyses, with the placeholders and bounds that a switch has."""
    found = lint(SWITCH.replace(*of_switch), COUNTED.replace(*of_template))
    assert [field for _, _, field, _ in found] == [field for field, _ in told]
    for (_, _, _, message), (_, part) in zip(found, told, strict=True):
        assert part in message


@pytest.mark.parametrize(
    "old, new, field, message",
    [
        ("{{slot}}", "{{slots}}", "spec.metrics[0]", "there is no placeholder {{slots}}"),
        ("{{args.job}}", "{{args.jib}}", "spec.metrics[0]", "args.jib"),
        ("{{slot}}", "{{slot", "spec.metrics[0]", "{{"),
    ],
)
def test_placeholders_of_a_template(lint: Any, old: str, new: str, field: str, message: str) -> None:
    """Before anybody refers to it."""
    [found, *_] = [each for each in lint(TEMPLATE.replace(old, new)) if each[0] == "error"]
    assert (found[1], found[2]) == (8, field)
    assert message in found[3]


def test_a_template_for_clusters_as_a_whole(lint: Any) -> None:
    """Has placeholders of its own; a mixture of both kinds fits nobody."""
    assert lint(TEMPLATE.replace('slot="{{slot}}"', 'cluster=~"{{clusters}}"')) == []
    mixed = TEMPLATE.replace('slot="{{slot}}"', 'slot="{{slot}}", cluster=~"{{clusters}}"')
    assert "there is no placeholder {{clusters}}" in lint(mixed)[0][3]


def test_an_arg_that_no_query_asks_for(lint: Any) -> None:
    """Is warned of."""
    [found] = lint(TEMPLATE.replace("{{args.job}}", "web"))
    assert (found[0], found[1], found[2]) == ("warning", 6, "spec.args[0].name")


@pytest.mark.parametrize(
    "steps, expected",
    [
        ([{"setWeight": 5}, {"pause": {}}, {"setWeight": 50}], []),
        ([{"setWeight": 50}, {"setWeight": 25}], [(1, "goes back from 50% to 25%")]),
        ([{"setWeight": 25}, {"pause": {}}, {"setWeight": "25%"}], [(2, "the weight is 25% already")]),
        ([{"pause": {}}, {"setWeight": 25}], []),
        ([{"analysis": {"templates": [{"name": "http"}]}}, {"setWeight": 25}], [(0, "nobody is exposed yet")]),
    ],
)
def test_steps_that_contradict_each_other(
    lint: Any, steps: list[dict[str, Any]], expected: list[tuple[int, str]]
) -> None:
    """Are allowed, and warned of."""
    text = ROLLOUT.replace("steps:\n      - setWeight: 25", f"steps: {steps}")
    template = TEMPLATE.replace("- name: job", "- {name: job, value: web}")
    found = [each for each in lint(template, text) if each[0] == "warning"]
    assert len(found) == len(expected)
    for (_, _, field, message), (index, told) in zip(found, expected, strict=True):
        assert field.startswith(f"spec.strategy.canary.steps[{index}]")
        assert told in message


def test_one_route_for_two(lint: Any) -> None:
    """The operator would stall the second; in another namespace it is another route."""
    second = ROLLOUT.replace("name: checkout, ", "name: other, ")
    [found] = lint(ROLLOUT, second)
    assert found == (
        "error",
        10,
        "spec.traffic.routes[0].name",
        "HTTPRoute checkout is moved by Rollout shop/checkout already, and can be by one only: name another one",
    )
    assert lint(ROLLOUT, second.replace("namespace: shop", "namespace: bank")) == []


def test_one_object_twice(lint: Any) -> None:
    """The last one applied stays, which is seldom meant."""
    [found] = lint(ROLLOUT, ROLLOUT)
    assert found[0] == "error"
    assert found[3].startswith("there is another Rollout shop/checkout in these files")


def test_the_operators_own_kinds(lint: Any) -> None:
    """Are not to be applied by hand."""
    found = lint(ROLLOUT.replace("kind: Rollout", "kind: MemberRollout"))
    assert [(each[0], each[3].partition(":")[0]) for each in found] == [("warning", "the operator makes these objects")]


# ------------------------------------------------------------------------------------------ what cannot be checked


def test_a_rule_that_cannot_be_evaluated_is_told(definitions: dict[str, Any]) -> None:
    """By a warning that has the rule; it is never taken for kept."""
    spec = definitions["Rollout"]["spec"]
    [version] = spec["versions"]
    own = version["schema"]["openAPIV3Schema"]
    rule = {"rule": "quantity(self.metadata.name).isGreaterThan(quantity('1'))", "message": "more"}
    schema = {"openAPIV3Schema": {**own, "x-kubernetes-validations": [rule]}}
    crd = {"spec": {**spec, "versions": [{**version, "schema": schema}]}}
    linter = Linter("shop", {**definitions, "Rollout": crd})
    linter.add("rollout.yaml", ROLLOUT)
    [found] = linter.finish()
    assert found.level is Level.WARNING
    assert found.message.startswith("not checked, for it cannot be evaluated here: quantity(self.metadata.name)")


def test_without_an_evaluator_that_is_told_once(definitions: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema is still checked."""

    def no_evaluator(self: rules.Evaluator) -> None:
        self.missing = "it is not there"

    monkeypatch.setattr(rules.Evaluator, "__init__", no_evaluator)
    linter = Linter("shop", definitions)
    linter.add("rollout.yaml", ROLLOUT.replace("active: blue", "active: red"))
    linter.add("other.yaml", ROLLOUT.replace("name: checkout", "name: other"))
    untold, found = linter.finish()
    assert untold.message == "no rule of the CRDs (x-kubernetes-validations) was checked: it is not there"
    assert (found.level, found.field) == (Level.ERROR, "spec.workload.active")
