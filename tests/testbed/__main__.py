"""The testbed's command line: ``PYTHONPATH=tests python -m testbed --help``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from testbed import builder, netns
from testbed.counter import count_by_version
from testbed.errors import TestbedError
from testbed.load import Load
from testbed.pins import CONTROL_PLANE, PARTS
from testbed.playground import Playground, serve

_EPILOG = """\
examples (from the top of the checkout, with PYTHONPATH=tests):
  python -m testbed build                          build what is missing; about twelve minutes the first time
  python -m testbed run -- pytest tests/e2e        run tests in a network namespace of their own
  python -m testbed demo                           see a canary, an abort and a kill switch
  python -m testbed up                             leave a cluster with traffic running, and say how to use it
  python -m testbed status                         say it again
  python -m testbed down                           stop it
"""


def _build(options: argparse.Namespace) -> None:
    builder.build(CONTROL_PLANE if options.control_plane else PARTS)
    print(f"Everything is built, in {builder.cache_folder()}.")


def _run(options: argparse.Namespace) -> None:
    builder.build()
    arguments = netns.command(_command(options))
    sys.stdout.flush()
    os.execvpe(arguments[0], arguments, netns.environment())  # noqa: S606 - replaces this process


def _enter(options: argparse.Namespace) -> None:
    arguments = _command(options)
    environment = netns.prepare()
    try:
        os.execvpe(arguments[0], arguments, environment)  # noqa: S606 - replaces this process
    except OSError as error:
        raise TestbedError(f"Cannot run {arguments[0]}: {error.strerror}.") from error


def _demo(options: argparse.Namespace) -> None:
    builder.build()
    if not netns.inside():
        arguments = netns.command([sys.executable, "-m", "testbed", "demo"])
        sys.stdout.flush()
        os.execvpe(arguments[0], arguments, netns.environment())  # noqa: S606 - replaces this process
    from testbed import demo  # needs Sluice itself, which the other verbs do without

    sys.exit(demo.run())


def _up(options: argparse.Namespace) -> None:
    builder.build()
    playground = Playground(Path.cwd())
    print(playground.describe(playground.up(options.sluice, options.members)))


def _status(options: argparse.Namespace) -> None:
    playground = Playground(Path.cwd())
    state = playground.running()
    if state is None:
        raise TestbedError("No testbed of this folder is running. Start one with `python -m testbed up`.")
    print(playground.describe(state))


def _down(options: argparse.Namespace) -> None:
    print("Stopped." if Playground(Path.cwd()).down() else "No testbed of this folder was running.")


def _serve(options: argparse.Namespace) -> None:
    serve(options.folder, options.sluice, options.members)


def _requests(options: argparse.Namespace) -> None:
    count_by_version(Load(options.host, options.rate, options.address))


def _command(options: argparse.Namespace) -> list[str]:
    arguments: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not arguments:
        raise TestbedError("Say what to run, after `--`: `python -m testbed run -- pytest tests/e2e`.")
    return arguments


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m testbed",
        description="A real Kubernetes with real traffic, without containers.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, act: Callable[[argparse.Namespace], None], text: str, example: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name, help=text, description=text, epilog=f"example:\n  {example}", formatter_class=raw
        )
        added.set_defaults(act=act)
        return added

    build = verb("build", _build, "Build what is missing in the cache.", "python -m testbed build --control-plane")
    build.add_argument(
        "--control-plane", action="store_true", help="only etcd, the API server, its controllers and kubectl"
    )
    run = verb(
        "run", _run, "Run a command in a network namespace of its own.", "python -m testbed run -- pytest tests/e2e"
    )
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    enter = verb(
        "enter",
        _enter,
        "Set up the fresh namespace this process is in, then run a command (used by `run`).",
        "unshare -n python -m testbed enter -- bash",
    )
    enter.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    verb(
        "demo",
        _demo,
        "Show a canary that succeeds, one that its metric aborts, and a kill switch, with real traffic.",
        "python -m testbed demo",
    )
    up = verb(
        "up",
        _up,
        "Leave a cluster with a sample shop under Sluice running in the background.",
        "python -m testbed up && .testbed/sluice get -n shop",
    )
    _sluice_option(up)
    requests = verb(
        "requests",
        _requests,
        "Send requests until interrupted, and count them by version each second (used by .testbed/requests).",
        "python -m testbed requests shop.example 127.0.0.1:8080",
    )
    requests.add_argument("host")
    requests.add_argument("address")
    requests.add_argument("--rate", type=float, default=50, metavar="N", help="requests per second (50)")
    verb(
        "status", _status, "Say whether the testbed of this folder runs, and how to use it.", "python -m testbed status"
    )
    verb("down", _down, "Stop the testbed of this folder.", "python -m testbed down")
    server = verb(
        "serve",
        _serve,
        "Be the testbed of a folder until SIGTERM (used by `up`).",
        "python -m testbed run -- python -m testbed serve .testbed",
    )
    server.add_argument("folder", type=Path)
    _sluice_option(server)
    return parser


def _sluice_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sluice",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="install Sluice, run its operator, and put the shop under a Rollout",
    )
    parser.add_argument(
        "--members", type=int, default=0, metavar="N", help="start N more clusters, to be member clusters (0)"
    )


def main() -> int:
    """Run one verb; returns the exit code."""
    options = _parser().parse_args()
    try:
        options.act(options)
    except TestbedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
