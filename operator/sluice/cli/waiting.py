"""How `sluice wait` waits: what it follows, when it gives up, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import click

from sluice.api.names import Kind
from sluice.cli.exits import ENDED_OTHERWISE, NOT_FOUND, TIMED_OUT, Failure
from sluice.cli.mirror import Mirror
from sluice.cli.output import emit, name_of
from sluice.cli.page import one_line
from sluice.cli.session import Session
from sluice.cli.watch import Lines, follow
from sluice.errors import Forbidden, NotFound
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import rollout
from sluice.ports import Obj
from sluice.views.detail import RolloutDetail, rollout_detail
from sluice.views.waiting import Goal, Judgement, Prospect, asked_revision, judge, source_of

SILENCE_SECONDS = 30.0


class Ending(Enum):
    """How waiting ended, and the exit code of it."""

    REACHED = ("Reached", 0)
    ENDED_OTHERWISE = ("EndedOtherwise", ENDED_OTHERWISE)
    TIMED_OUT = ("TimedOut", TIMED_OUT)
    GONE = ("Gone", NOT_FOUND)

    def __init__(self, title: str, code: int) -> None:
        self.title = title
        self.code = code


@dataclass(frozen=True, slots=True)
class Result:
    """How waiting ended, which goal was reached (None: none), and a sentence that tells it."""

    ending: Ending
    goal: Goal | None
    message: str


class Waiter:
    """Waits for one Rollout.

    Args:
        session: the cluster.
        name: of the Rollout.
        goals: what to wait for.
        program: what the reader types to call Sluice.
        grace_seconds: how long it may be in trouble.
        quiet: whether nothing is told of progress.
    """

    def __init__(
        self, session: Session, name: str, goals: Sequence[Goal], program: str, *, grace_seconds: float, quiet: bool
    ) -> None:
        self._session = session
        self._target = rollout(session.namespace, name)
        self._goals = tuple(goals)
        self._program = program
        self._grace_seconds = grace_seconds
        self._quiet = quiet
        self._rollout = Mirror()
        self._sources = Mirror()
        self._source = ""  # the Deployment that is followed
        self._printed: Lines[str] = Lines()
        self._result: Result | None = None
        self._troubled_at: float | None = None
        self._behind_at: float | None = None

    async def wait(self, timeout_seconds: float | None) -> Result:
        """Wait; with 0 seconds, look once.

        Raises:
            NotFound, Forbidden, Unavailable: at the first look; with a sentence for the person.
        """
        try:
            async with asyncio.timeout(timeout_seconds or None):
                await self._follow(once=timeout_seconds == 0)
        except TimeoutError:
            pass
        return self._result or self._out_of_time(timeout_seconds or 0.0)

    def tell(self, result: Result, output: str | None) -> None:
        """Print how it ended; unless it was reached, that ends the command with its exit code."""
        found = self._found()
        message = f"{self._target} {result.message}"
        if output in {"json", "yaml"}:
            row = self._detail(found).row if found is not None else None
            emit(
                {
                    "ending": result.ending.title,
                    "goal": result.goal.value if result.goal else None,
                    "message": message,
                    "phase": row.phase if row else "",
                    "revision": row.revision if row else "",
                    "version": row.version if row else "",
                    "kind": self._target.kind.value,
                    "namespace": self._target.namespace,
                    "name": self._target.name,
                },
                output,
            )
        elif output == "name":
            click.echo(name_of(self._target.kind, self._target.name))
        elif result.ending is Ending.REACHED:
            click.echo(message)
        if result.ending is not Ending.REACHED:
            raise Failure(message, result.ending.code)

    async def _follow(self, *, once: bool) -> None:
        """Follow the Rollout, and the Deployment that it names; anew where it names another one."""
        await self._fetch_rollout()
        while self._result is None:
            await self._fetch_source()
            if once:
                self._has_ended()
                return
            where = self._target.namespace
            feeds = [self._session.feed(Kind.ROLLOUT, where, self._target.name, self._rollout)]
            mirrors = [self._rollout]
            if self._source and self._sources.objects:
                feeds.append(self._session.feed(Kind.DEPLOYMENT, where, self._source, self._sources))
                mirrors.append(self._sources)
            await follow(feeds, mirrors, page=None, lines=self._news, ended=self._has_ended, to_stderr=True)

    async def _fetch_rollout(self) -> None:
        with explaining("get", self._target, f"get on {resource(Kind.ROLLOUT)}"):
            found = await self._session.cluster.get(Kind.ROLLOUT, self._target.namespace, self._target.name)
        self._rollout.on_list([found])

    async def _fetch_source(self) -> None:
        """Its template decides what is asked for; who may not read it is told what that means."""
        found = self._found()
        self._source = source_of(found) if found is not None else ""
        self._sources.on_list([])
        if not self._source:
            return
        try:
            deployment = await self._session.cluster.get(Kind.DEPLOYMENT, self._target.namespace, self._source)
        except NotFound:
            return
        except Forbidden as error:
            click.echo(
                f"Deployment {self._target.namespace}/{self._source} cannot be read, so a change made there just now "
                f"may be missed: {error}",
                err=True,
            )
            return
        self._sources.on_list([deployment])

    def _found(self) -> Obj | None:
        return self._rollout.objects.get((self._target.namespace, self._target.name))

    def _detail(self, found: Obj) -> RolloutDetail:
        return rollout_detail(found, now=self._session.clock.now(), program=self._program)

    def _judgement(self, found: Obj) -> Judgement:
        source = self._sources.objects.get((self._target.namespace, self._source))
        return judge(found, self._goals, asked_revision(found, source))

    def _has_ended(self) -> bool:
        """Whether there is nothing more to wait for, or something else to follow."""
        found = self._found()
        if found is None:
            self._result = Result(Ending.GONE, None, "was deleted while it was waited for")
            return True
        if source_of(found) != self._source:
            return True
        judged = self._judgement(found)
        phase = self._detail(found).row.phase
        since = self._trouble_seconds(troubled=judged.prospect is Prospect.TROUBLED)
        if judged.prospect is Prospect.REACHED and judged.goal is not None:
            self._result = Result(Ending.REACHED, judged.goal, f"is {judged.goal}: {phase}: {judged.message}")
        elif judged.prospect is Prospect.OVER:
            self._result = Result(Ending.ENDED_OTHERWISE, None, f"is not {self._asked}: {phase}: {judged.message}")
        elif judged.prospect is Prospect.TROUBLED and since >= self._grace_seconds:
            told = f"is not {self._asked}: {phase} for {since:.0f} s: {judged.message}"
            self._result = Result(Ending.ENDED_OTHERWISE, None, told)
        return self._result is not None

    @property
    def _asked(self) -> str:
        return " or ".join(self._goals)

    def _trouble_seconds(self, *, troubled: bool) -> float:
        """For how long it has been in trouble without a break, as far as was seen."""
        now = asyncio.get_running_loop().time()
        self._troubled_at = (now if self._troubled_at is None else self._troubled_at) if troubled else None
        return now - self._troubled_at if self._troubled_at is not None else 0.0

    def _out_of_time(self, timeout_seconds: float) -> Result:
        found = self._found()
        if found is None:
            return Result(Ending.TIMED_OUT, None, f"was not read within {timeout_seconds:g} s")
        detail = self._detail(found)
        said = self._judgement(found).message
        hint = f". Next: {detail.hint}" if detail.hint else ""
        when = f" within {timeout_seconds:g} s" if timeout_seconds else " now"
        return Result(
            Ending.TIMED_OUT, None, f"is not {self._asked}{when}: {detail.row.phase or 'no phase'}: {said}{hint}"
        )

    def _news(self) -> Sequence[str]:
        """What changed since the last call, for people who look on."""
        found = self._found()
        if found is None or self._quiet:
            return ()
        detail = self._detail(found)
        said = self._judgement(found).message
        lines = [("", one_line(detail) + ("" if said in detail.row.message else f"   ({said})"))]
        if self._silent(behind=detail.behind):
            told = "the operator has not answered yet. Is it running? kubectl get pods,lease -n sluice-system"
            lines.append(("silence", told))
        return [line for key, line in lines if self._printed.fresh(key, line)]

    def _silent(self, *, behind: bool) -> bool:
        """Whether the operator has been behind for long."""
        now = asyncio.get_running_loop().time()
        self._behind_at = (now if self._behind_at is None else self._behind_at) if behind else None
        return self._behind_at is not None and now - self._behind_at >= SILENCE_SECONDS
