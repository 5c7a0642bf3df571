"""`sluice lint`: what it reads, prints and exits with."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sluice.cli.main import cli
from unit.ops.lint.manifests import ROLLOUT, TEMPLATE

WRONG = ROLLOUT.replace("active: blue", "active: red")
WARNED = TEMPLATE.replace("{{args.job}}", "web")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_line_for_each_finding(shell: Any, folder: Path) -> None:
    """file:line, how bad, object, field, and what is wrong, on stdout; the count on stderr."""
    (folder / "rollout.yaml").write_text(WRONG)
    result = shell("lint rollout.yaml")
    assert (result.exit_code, result.stdout) == (
        1,
        "rollout.yaml:7: error: Rollout shop/checkout: spec.workload.active: "
        'Unsupported value: "red": supported values: "blue", "green"\n',
    )
    assert result.stderr == "1 file, 1 object, 1 error, 0 warnings, 0 objects of other kinds skipped\n"
    assert shell.asked is None  # no cluster


def test_nothing_wrong(shell: Any, folder: Path) -> None:
    """Nothing but the count is said."""
    (folder / "all.yaml").write_text(f"{ROLLOUT}---\n{{apiVersion: v1, kind: Service}}\n")
    result = shell("lint all.yaml --strict")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 file, 1 object, 0 errors, 0 warnings, 1 object of other kinds skipped\n"


def test_warnings_fail_only_strictly(shell: Any, folder: Path) -> None:
    """So that a pipeline can choose."""
    (folder / "template.yaml").write_text(WARNED)
    assert (shell("lint template.yaml").exit_code, shell("lint template.yaml --strict").exit_code) == (0, 1)
    assert ": warning: AnalysisTemplate shop/http: spec.args[0].name: " in shell("lint template.yaml").stdout


def test_folders(shell: Any, folder: Path) -> None:
    """Every manifest in and below, each once, in order; what is hidden or no manifest is left out."""
    below = folder / "deploy" / "shop"
    below.mkdir(parents=True)
    (folder / "deploy" / "b.yml").write_text(WRONG)
    (below / "a.json").write_text(json.dumps({"apiVersion": "sluice.dev/v1alpha1", "kind": "Nothing"}))
    (below / "notes.txt").write_text(WRONG)
    (folder / "deploy" / ".old").mkdir()
    (folder / "deploy" / ".old" / "c.yaml").write_text(WRONG)
    result = shell("lint deploy deploy/b.yml")
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["deploy/b.yml", "deploy/shop/a.json"]
    assert "2 files, 2 objects" in result.stderr


def test_stdin() -> None:
    """As `helm template` and `kustomize build` write it."""
    result = CliRunner().invoke(cli, ["lint", "-", "-n", "bank"], input=WRONG.replace(", namespace: shop", ""))
    assert result.exit_code == 1
    assert result.stdout.startswith("stdin:7: error: Rollout bank/checkout: spec.workload.active: ")


def test_findings_as_data(shell: Any, folder: Path) -> None:
    """For other programs."""
    (folder / "rollout.yaml").write_text(WRONG)
    result = shell("lint rollout.yaml -o json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["checked"], told["skipped"]) == (1, 1, 0)
    assert told["findings"] == [
        {
            "file": "rollout.yaml",
            "line": 7,
            "level": "error",
            "kind": "Rollout",
            "namespace": "shop",
            "name": "checkout",
            "field": "spec.workload.active",
            "message": 'Unsupported value: "red": supported values: "blue", "green"',
        }
    ]
    assert shell("lint rollout.yaml -o yaml").stdout.startswith("findings:\n- file: rollout.yaml\n")


def test_no_value_speaks_to_the_terminal(shell: Any, folder: Path) -> None:
    """Manifests may come from anybody."""
    (folder / "rollout.yaml").write_text(ROLLOUT.replace("active: blue", 'active: "\\e[31mred"'))
    assert "\x1b" not in shell("lint rollout.yaml").stdout


@pytest.mark.parametrize("line", ["lint", "lint nothing.yaml", "lint . -o wide", "lint . -n Shop"])
def test_wrong_usage_exits_with_2(shell: Any, folder: Path, line: str) -> None:
    """A file that is not there is no file without findings."""
    assert shell(line).exit_code == 2


def test_a_file_that_is_no_text(shell: Any, folder: Path) -> None:
    """Likewise."""
    (folder / "rollout.yaml").write_bytes(b"\xff\xfe\x00")
    assert shell("lint rollout.yaml").exit_code == 2
