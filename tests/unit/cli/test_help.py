"""What every command says of itself, and the commands that need no cluster."""

import shlex
import subprocess
import sys
from typing import Any

import click
import pytest

from sluice import __version__
from sluice.cli.main import cli, main
from sluice.errors import Permanent

COMMANDS = {
    " ".join(path): command
    for path, command in (
        *(((name,), command) for name, command in cli.commands.items()),
        *(
            ((group, name), command)
            for group, member in cli.commands.items()
            if isinstance(member, click.Group)
            for name, command in member.commands.items()
        ),
    )
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(shell: Any, name: str) -> None:
    """One line of purpose, a paragraph, and examples that call this command."""
    text = shell(f"{name} --help").stdout
    purpose, paragraph = (COMMANDS[name].help or "").split("\n\n")[:2]
    assert purpose.endswith(".")
    assert "\n" not in purpose
    assert len(paragraph) > 60
    assert f"Examples:\n    sluice {name}" in text or "Examples:\n    source <(sluice completion" in text


def commands_in_examples() -> list[list[str]]:
    """Every command line in the examples, as arguments."""
    found = []
    for command in (cli, *COMMANDS.values()):
        for line in (command.help or "").splitlines():
            if line.startswith("  sluice "):
                words = shlex.split(line.split("   ")[0].split(" > ")[0])
                found.append(words[1:])
    return found


@pytest.mark.parametrize("words", commands_in_examples(), ids=" ".join)
def test_every_example_is_a_command_line(words: list[str]) -> None:
    """Examples parse: no option that was renamed, none that never was."""
    context = click.Context(cli, info_name="sluice")
    command: click.Command | None = cli
    while isinstance(command, click.Group) and words:
        context = click.Context(command, info_name=words[0], parent=context)
        command, words = command.get_command(context, words[0]), words[1:]
    assert command is not None
    with command.make_context("it", words, parent=context):
        pass


def test_help_is_quick_to_load() -> None:
    """The command line loads nothing heavy before a command runs."""
    heavy = (
        "{'kopf', 'kubernetes', 'pydantic', 'aiohttp', 'rich', 'asyncio', 'yaml', 'cel_expr_python', 'cryptography'}"
    )
    code = f"import sys; import sluice.cli.main; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("line", ["", "--help", "-h"])
def test_the_group_lists_its_commands_in_order(shell: Any, line: str) -> None:
    """Looking first, then steering, then stopping."""
    text = shell(line).output
    places = [text.index(f"\n  {name} ") for name in ("get", "status", "promote", "abort", "kill", "release", "run")]
    assert places == sorted(places)


@pytest.mark.parametrize("called, program", [("/bin/sluice", "sluice"), ("/bin/kubectl-sluice", "kubectl sluice")])
def test_it_goes_by_the_name_it_was_called(
    called: str, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As kubectl's plugin, usage and hints speak of `kubectl sluice`."""
    monkeypatch.setattr(sys, "argv", [called, "get", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.startswith(f"Usage: {program} get ")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: Any, name: str) -> None:
    """Each shell's script calls back into sluice."""
    result = shell(f"completion {name}")
    assert result.exit_code == 0
    assert "_SLUICE_COMPLETE" in result.stdout


def test_version_of_the_client_asks_nobody(shell: Any) -> None:
    """No connection is made."""
    result = shell("version --client")
    assert (result.stdout, shell.asked) == (f"sluice {__version__}\n", None)


def test_version_tells_what_the_server_serves(shell: Any) -> None:
    """Its own version, and which of our resources are there and which are missing."""
    names = {"Rollout": "rollouts", "KillSwitch": "killswitches", "Scale": "rollouts/scale"}
    resources = [{"kind": kind, "name": name} for kind, name in names.items()]
    shell.session.paths = {
        "/version": {"gitVersion": "v1.36.0"},
        "/apis/sluice.dev/v1alpha1": {"resources": resources},
    }
    result = shell("version")
    assert result.stdout.splitlines()[1:] == [
        "server v1.36.0 at https://127.0.0.1:6443",
        "resources Rollout, KillSwitch",
    ]
    assert "Missing: RolloutRun, RolloutAction, ClusterKillSwitch" in result.stderr


def test_version_without_a_server_is_no_failure(shell: Any) -> None:
    """The client's own version is known in any case."""
    shell.unreachable = Permanent("kubeconfig is not there")
    result = shell("version")
    assert (result.exit_code, result.stdout) == (0, f"sluice {__version__}\n")
    assert "kubeconfig is not there" in result.stderr
