"""Promises about the repository as a whole that no single module can keep."""

import ast
import doctest
import importlib
import importlib.metadata
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sluice

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "sluice"
LINES_MAX = 400
PURE_PACKAGES = ("api", "decide", "views")

# Home folders and scratch space of somebody's machine. Split, so that this file does not match itself.
MACHINE_PATH = re.compile(
    r"(?<![\w.~$})-])/(?:" + "|".join(["wor" + "k", "roo" + "t", "Use" + "rs", "hom" + "e"]) + r")/\w"
)
# A registry's address in a lock would send every user to whichever mirror the author had.
REGISTRY = re.compile(r"https?://|--(?:extra-)?index-url|--find-links|--trusted-host|^-[if] ", re.MULTILINE)


def tracked_files() -> Iterator[Path]:
    """Yield every file under version control; skip the test where there is none (an unpacked sdist)."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    # A checkout may belong to another user, as in a container: say that it is fine for this one reading.
    command = [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.split("\0"):
        path = ROOT / name
        if name and path.is_file():
            yield path


def text_of(path: Path) -> str:
    """Return a file's text; "" for a binary file."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def collected_from(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield what pytest would collect from a file, at any depth of classes."""
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        for node in ast.iter_child_nodes(nodes.pop()):
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                nodes.append(node)
                yield node
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield node


def test_operator_folder_is_no_package() -> None:
    """operator/__init__.py would hide the standard library's `operator` from every Python started in the root."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_every_test_says_what_it_promises() -> None:
    """A failing test is read by somebody who did not write it: its docstring states the behaviour."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in collected_from(path)
        if not ast.get_docstring(node)
    ]
    assert silent == []


def test_modules_stay_small() -> None:
    """A module of more than 400 lines holds two concepts: split it by concept."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > LINES_MAX] == []


def test_no_file_names_somebodys_machine() -> None:
    """Paths of the author's machine mean nothing to anybody else."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_locks_name_no_registry() -> None:
    """A lock holds versions and hashes; where to fetch them is the installing machine's matter."""
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert locks
    for lock in locks:
        assert REGISTRY.findall(lock.read_text(encoding="utf-8")) == []


def test_lock_covers_the_dependencies() -> None:
    """`make venv` installs from the lock alone: a dependency missing from it would be missing from .venv."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    lock = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
    locked = {normalised(line.partition("==")[0]) for line in lock.splitlines() if re.match(r"\w", line)}
    assert {normalised(re.split(r"[\[<>=;! ]", requirement, maxsplit=1)[0]) for requirement in wanted} <= locked


def normalised(name: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_changelog_has_this_version() -> None:
    """Who upgrades looks up the version in CHANGELOG.md; until its release it is under Unreleased."""
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert sluice.__version__ in headings


def test_installed_version_is_this_one() -> None:
    """The metadata is the checkout's: `sluice version` and pip agree."""
    assert importlib.metadata.version("sluice-operator") == sluice.__version__


@pytest.mark.parametrize("script", ["sluice", "kubectl-sluice"])
def test_console_script_resolves(script: str) -> None:
    """Each installed command leads to a function that exists."""
    [entry_point] = importlib.metadata.entry_points(group="console_scripts", name=script)
    assert callable(entry_point.load())


def test_docstring_examples_hold() -> None:
    """Worked examples in the core's docstrings are run, so that they stay true."""
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for package in PURE_PACKAGES
        for path in sorted((PACKAGE / package).rglob("*.py"))
    ]
    results = {name: doctest.testmod(importlib.import_module(name)) for name in modules}
    assert {name: result for name, result in results.items() if result.failed} == {}
