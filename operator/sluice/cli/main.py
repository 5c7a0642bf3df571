"""The group of all commands, and the entry point."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from sluice.cli import (
    abort,
    approve,
    audit,
    clusters,
    completion,
    demo,
    drill,
    extend,
    get,
    hold,
    kill,
    lint,
    pause,
    plan,
    promote,
    reject,
    release,
    restart,
    resume,
    retry,
    rollback,
    run,
    status,
    switches,
    undo,
    version,
    wait,
)
from sluice.cli.connect import connect
from sluice.cli.help import Group
from sluice.cli.session import Environment

COMPLETE_VARIABLE = "_SLUICE_COMPLETE"


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.pass_context
def cli(context: click.Context) -> None:
    """Watch and steer progressive rollouts, and stop them.

    Data goes to stdout, messages to stderr; colours only to a terminal, and not where NO_COLOR is set.

    Exit codes:
      0  done
      1  refused, rejected or failed
      2  wrong usage
      3  not found
      4  written, but not confirmed in time; or what was waited for did not come in time
      5  what was waited for will not come: it ended otherwise
      130  interrupted, which is how --watch ends

    Examples:
      sluice get -A                                    every Rollout
      sluice status checkout -n shop --watch           one Rollout, live
      sluice wait checkout -n shop --timeout 30m       until the new version serves, for pipelines
      sluice promote checkout -n shop                  past the pause it waits at
      sluice kill -n shop --reason "5xx on checkout"   all of shop back to stable, at once
    """
    context.obj = context.obj or Environment(connect)
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        context.color = False


STEERING = (promote, approve, reject, pause, hold, extend, resume, abort, retry, undo, rollback, restart)
for module in (
    get,
    status,
    wait,
    *STEERING,
    kill,
    release,
    drill,
    switches,
    audit,
    clusters,
    lint,
    plan,
    version,
    completion,
    demo,
    run,
):
    cli.add_command(module.command)


def main() -> None:
    """Run the command line; also as kubectl's plugin."""
    program = "kubectl sluice" if Path(sys.argv[0]).name.startswith("kubectl") else "sluice"
    cli.main(prog_name=program, complete_var=COMPLETE_VARIABLE)
