"""The Helm chart is made from crds/, manifests/ and the operator's options, and the tool that makes it is not blind."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import yaml

import sluice
from unit.api.test_crd_agreement import load_tool

tool = load_tool("gen_helm_chart")
FOLDER = tool.Folder("manifests/base")
BINDING = """\
# Who may.
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sluice-leader, namespace: sluice-system}
# As the Role says.
subjects: [{kind: ServiceAccount, name: sluice, namespace: sluice-system}]
"""


def test_the_files_are_up_to_date() -> None:
    """What is in helm/sluice is what is made now, and no template is left whose source is gone."""
    made = tool.files()
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert (stale, tool.left_over(made)) == ([], [])


def test_nothing_of_the_manifests_is_forgotten() -> None:
    """Each file that manifests/base lists, each CRD and each policy is a template."""
    names = {path.name for path in tool.templates()}
    listed = yaml.safe_load((tool.ROOT / "manifests/base/kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    crds = {path.name for path in (tool.ROOT / "crds").glob("*.yaml")}
    assert {name for name in listed if name.endswith(".yaml")} - tool.BY_HAND <= names
    assert crds <= names


def test_chart_and_operator_have_one_version() -> None:
    """The chart of a version installs the operator of that version."""
    chart = yaml.safe_load((tool.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (sluice.__version__, sluice.__version__)


def test_a_document_becomes_a_template() -> None:
    """In the release's namespace, with Helm's labels, and with its comments."""
    assert tool.template(BINDING, "a.yaml", FOLDER) == tool.HEAD % "a.yaml" + (
        "# Who may.\n"
        "apiVersion: rbac.authorization.k8s.io/v1\n"
        "kind: RoleBinding\n"
        "metadata:\n"
        "  name: sluice-leader\n"
        "  namespace: {{ .Release.Namespace | quote }}\n"
        "  labels:\n"
        '    {{- include "sluice.labels" . | nindent 4 }}\n'
        "# As the Role says.\n"
        "subjects: [{kind: ServiceAccount, name: sluice, namespace: {{ .Release.Namespace | quote }}}]\n"
    )


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("value: 'sluice-system'\n", "value: '{{ .Release.Namespace }}'\n"),
        ("rule: \"!a.contains('{{')\"\n", 'rule: "!a.contains(\'{{ "{{" }}\')"\n'),
        (
            "user: system:serviceaccount:sluice-system:sluice\n",
            "user: system:serviceaccount:{{ .Release.Namespace }}:sluice\n",
        ),
        ("user: a:sluice-system:sluice-member\n", "user: a:sluice-system:sluice-member\n"),
    ],
    ids=["namespace", "placeholder", "account", "account in members"],
)
def test_text_that_is_taken_over(text: str, wanted: str) -> None:
    """It renders to the same text; what names the operator's namespace names the release's, but not that in members."""
    document = f"kind: Role\nmetadata: {{name: a}}\n{text}"
    assert tool.template(document, "a.yaml", FOLDER).endswith(f"nindent 4 }}}}\n{wanted}")


def test_a_crd_is_kept_and_can_be_left_out() -> None:
    """It stays when the release goes, and has no label of the release, for members get its labels too."""
    made = tool.template("kind: CustomResourceDefinition\nmetadata: {name: a}\nspec: {}\n", "a.yaml", FOLDER)
    assert "  annotations: {helm.sh/resource-policy: keep}\n" in made
    assert "sluice.labels" not in made
    assert "{{- if .Values.crds.install }}\n" in made
    assert made.endswith("spec: {}\n{{- end }}\n")


@pytest.mark.parametrize("metadata", ["{name: a, annotations: {b: c}}", "{name: a, namespace: other}"])
def test_what_is_not_known_is_refused(metadata: str) -> None:
    """What would be lost without a word ends in an error that names the tool."""
    with pytest.raises(ValueError, match=r"teach it|no such namespace"):
        tool.template(f"kind: Role\nmetadata: {metadata}\n", "a.yaml", FOLDER)


@pytest.mark.parametrize(
    "option, wanted",
    [
        (
            click.Option(["--count"], type=click.IntRange(1, 9)),
            {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
        ),
        (click.Option(["--share"], type=click.FloatRange(min=0)), {"type": ["number", "null"], "minimum": 0}),
        (click.Option(["--many"], type=int), {"type": ["integer", "null"]}),
        (click.Option(["--mode"], type=click.Choice(["a", "b"])), {"enum": ["a", "b", None]}),
        (click.Option(["--loud"], is_flag=True), {"type": ["boolean", "null"]}),
        (click.Option(["--file"], type=click.Path()), {"type": ["string", "null"], "minLength": 1}),
        (
            click.Option(["--name"], multiple=True),
            {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True},
        ),
    ],
    ids=["integer", "number", "unbounded", "choice", "flag", "path", "list"],
)
def test_an_option_becomes_a_setting(option: click.Option, wanted: dict[str, object]) -> None:
    """With its bounds; null where it may be left to the operator."""
    assert tool._schema(option) == {"description": "", **wanted}


def test_a_template_whose_source_is_gone_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be installed for ever."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "old.yaml").write_text(tool.HEAD % "crds/old.yaml")
    (tmp_path / "templates" / "deployment.yaml").write_text("kind: Deployment\n")
    monkeypatch.setattr(tool, "CHART", tmp_path)
    assert [path.name for path in tool.left_over({})] == ["old.yaml"]
