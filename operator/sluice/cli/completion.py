"""`sluice completion`."""

from __future__ import annotations

import click

from sluice.cli.help import Command


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    Loaded into the shell, it completes commands and options of `sluice`. bash needs to be 4.4 or newer.

    Examples:
      source <(sluice completion bash)
      sluice completion zsh > "${fpath[1]}/_sluice"
      sluice completion fish > ~/.config/fish/completions/sluice.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    # Not the subclass's own `source`: bash's first looks for a bash to ask for its version.
    script = ShellComplete.source(found(context.find_root().command, {}, "sluice", "_SLUICE_COMPLETE"))
    click.echo(script)
