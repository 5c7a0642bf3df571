"""`sluice plan`: what applying files would do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sluice.cli.files import read_files
from sluice.cli.help import Command
from sluice.cli.options import cluster_options
from sluice.cli.session import Access, Session, with_session

if TYPE_CHECKING:
    from sluice.ops.plan.asked import Files
    from sluice.sim.rehearsal.plan import Ground

NAMESPACE = "default"


@click.command("plan", cls=Command)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Without a cluster: a release, in made-up surroundings.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Another form than the page.")
@cluster_options
def command(paths: tuple[str, ...], access: Access, output: str | None, *, offline: bool) -> None:
    """Tell what applying manifests would do, and write nothing.

    Each object is sent to the API server as a dry run, as `kubectl apply` would send it, with your own rights; what it
    refuses is told. Then the operator's own code decides, in memory, on copies of what is in the cluster: whether each
    Rollout would be adopted, begin a run, leave one, or wait, and for what; what it would write first; and the course
    of the run, with the earliest time of each step, if pods come up, analyses pass, and people answer at once. Of kill
    switches and policies: which Rollouts they cover, and what becomes of those. Objects are looked at together, as if
    applied at one moment: a policy in the files holds the Rollout in the files.

    FILE is as for `sluice lint`. Looked at are Rollouts, RolloutActions, kill switches, RolloutPolicies, analysis
    templates, MemberClusters, and the Deployments, Services and routes that Rollouts name; other kinds are named, and
    left alone.

    With --offline no API server is asked, as in a pipeline without a kubeconfig: each Rollout is told as a release from
    an earlier version, with the switches, policies and templates that are in the files.

    Not told: of a Rollout over a fleet, anything but its batches and what holds it; what becomes of objects that the
    files leave out; which fields a tool that applies server-side would take out, and kubectl would of Deployments,
    Services and routes (of the other kinds its own record of what it applied is heeded). The operator is taken to run,
    and to be of this version. A course ends after 14 days, or after 1,500 changes of a status, which is about half a
    day of measuring every 30 s; what comes after is listed without times.

    What it reads is in the ClusterRole sluice-planner; a dry run takes the rights to apply the object, too.

    Exit codes:
      0  nothing is refused, whatever it would do
      1  something is refused or cannot be read, or the cluster does not answer
      2  wrong usage, such as a file that is not there

    Examples:
      sluice plan rollout.yaml
      sluice plan deploy/ -n shop
      kustomize build overlays/prod | sluice plan -
      sluice plan switch.yaml -o json
      sluice plan rollout.yaml --offline
    """
    from sluice.cli.exits import FAILED
    from sluice.cli.output import emit, plain
    from sluice.cli.plan_page import lay_out
    from sluice.ops.plan.asked import collect
    from sluice.sim.rehearsal.plan import make_page

    texts = list(read_files(paths))
    if offline:
        from sluice.adapters.clock import SystemClock
        from sluice.sim.rehearsal.furnish import furnish

        with _rehearsing():
            ground = furnish(_sound(texts, access.namespace or NAMESPACE), SystemClock().now())
    else:

        async def work(session: Session) -> Ground:
            return await _survey(session, collect(texts, session.namespace))

        ground = with_session(access, work)
    with _rehearsing():
        page = make_page(ground)
    if output:
        emit(plain(page) | {"refused": page.refused}, output)
    else:
        click.echo(lay_out(page))
    if page.refused:
        raise click.exceptions.Exit(FAILED)


async def _survey(session: Session, files: Files) -> Ground:
    from sluice.ops.plan.dryrun import try_out
    from sluice.ops.plan.surroundings import copy_homes, copy_wide
    from sluice.sim.rehearsal.plan import Ground, reach

    tried = await try_out(session.cluster, files.asked)
    copies = await copy_wide(session.cluster, [each.namespace for each in files.asked if each.namespace])
    ground = Ground(files, tried, copies, session.clock.now())
    _, keys = reach(ground)
    homes = {namespace for namespace, _ in keys} | {each.namespace for each in files.asked}
    await copy_homes(session.cluster, copies, homes - {""})
    return ground


def _sound(texts: list[tuple[str, str]], namespace: str) -> Files:
    """What the files hold that the API server would take, by the CRDs; the rest is told as refused."""
    from sluice.ops.lint.finding import Level
    from sluice.ops.lint.linter import Linter
    from sluice.ops.plan.asked import Unfit, collect

    linter, files = Linter(namespace), collect(texts, namespace)
    for file, text in texts:
        linter.add(file, text)
    for finding in linter.finish():
        if finding.level is not Level.ERROR or not finding.kind:
            continue
        place = (finding.kind, finding.namespace, finding.name)
        told = f"{finding.field}: {finding.message}".lstrip(": ")
        files.unfit.append(Unfit(f"{finding.file}:{finding.line}", told, *place))
        files.asked = [each for each in files.asked if (str(each.kind), each.namespace, each.name) != place]
    return files


@contextmanager
def _rehearsing() -> Iterator[None]:
    """Without the log of an operator that is not there.

    Raises:
        Failure: the operator's code turned round and round.
    """
    from sluice.cli.exits import Failure, failure_of
    from sluice.errors import SluiceError
    from sluice.sim.clock import Deadlock, Livelock

    logger = logging.getLogger("sluice")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    except SluiceError as error:
        raise failure_of(error) from error
    except (Deadlock, Livelock) as error:
        told = f"The rehearsal does not come to an end, which is a defect of Sluice. Nothing was written. ({error})"
        raise Failure(told) from error
    finally:
        logger.setLevel(before)
