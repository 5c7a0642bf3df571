"""What may happen to an app whose pods Sluice runs, each told in a plain sentence."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import strategies as st

from sluice.api.names import Kind, Slot
from sluice.sim.metrics import error, inconclusive, no_data
from sluice.sim.pods import Behaviour
from unit.sequences.life import Life


class Happening:
    """One thing that happens; examples print as their sentences."""

    def __init__(self, text: str, method: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        self._text = text
        self._method = method
        self._args = args

    def __repr__(self) -> str:
        return self._text

    async def happen(self, life: Life) -> None:
        """Let it happen; what the API refuses did not."""
        await life.people(self._method(life, *self._args))


def _of_slots(*texts: tuple[Any, ...]) -> tuple[Happening, ...]:
    """One for each slot: the sentence names it, and the slot follows the first `before` arguments."""
    return tuple(
        Happening(text.format(slot=slot), method, *(slot if arg is Slot else arg for arg in args))
        for slot in Slot
        for text, method, *args in texts
    )


RELEASES = (
    Happening("alice releases 2.0", Life.release, "2.0", Behaviour()),
    Happening("alice releases 2.1", Life.release, "2.1", Behaviour()),
    Happening("alice releases 2.2, which is ready after 40 s", Life.release, "2.2", Behaviour(ready_after_seconds=40)),
    Happening("alice releases 3.0, which never gets ready", Life.release, "3.0", Behaviour(never_ready=True)),
    Happening("alice releases 3.1, which crashes early", Life.release, "3.1", Behaviour(crash_after_seconds=1)),
    Happening("alice releases 3.2, which crashes every 45 s", Life.release, "3.2", Behaviour(crash_after_seconds=45)),
    Happening("alice releases 3.3, which cannot be pulled", Life.release, "3.3", Behaviour(pull_error="not found")),
)
GOOD = RELEASES[:2]
REVERT = (Happening("alice goes back to the stable image", Life.revert),)
SCALES = (
    Happening("the HPA scales to 5", Life.scale, 5),
    Happening("the HPA scales to 2", Life.scale, 2),
    Happening("bob scales to 1", Life.scale, 1),
    Happening("the HPA scales to 8", Life.scale, 8),
    Happening("bob scales to 0", Life.scale, 0),
)
ACTIONS = tuple(
    Happening(f"bob says {verb}", Life.act, verb)
    for verb in ("Promote", "PromoteFully", "Pause", "Hold", "Resume", "Abort", "Reject", "Retry", "Undo", "Restart")
)
PAUSES = (
    Happening("spec.paused becomes true", Life.pause, True),
    Happening("spec.paused becomes false", Life.pause, False),
)
SWITCHES = (
    Happening("carol engages a kill switch", Life.engage, "Divert", ""),
    Happening("carol engages a kill switch of the whole cluster", Life.engage, "Divert", "wide"),
    Happening("carol engages a switch that holds", Life.engage, "Hold", ""),
    Happening("carol engages a switch that rolls back", Life.engage, "Rollback", ""),
    Happening("carol engages a switch of the whole cluster that rolls back", Life.engage, "Rollback", "wide"),
    Happening("carol drills her kill switch", Life.drill, ""),
    Happening("carol drills the kill switch of the whole cluster", Life.drill, "wide"),
    Happening("carol releases her kill switch", Life.disengage, ""),
    Happening("carol releases the kill switch of the whole cluster", Life.disengage, "wide"),
)
BUDGETS = (
    Happening("a budget lets 1 pod go", Life.budget, 1),
    Happening("a budget lets no pod go", Life.budget, 0),
    Happening("the budget is deleted", Life.no_budget),
)
HARM = _of_slots(
    ("a pod of {slot} crashes", Life.crash_pods, Slot, 1),
    ("all pods of {slot} crash", Life.crash_pods, Slot, 99),
    ("a node is lost with a pod of {slot}", Life.lose_node, Slot, 1),
    ("nodes are lost with all pods of {slot}", Life.lose_node, Slot, 99),
    ("the nodes of {slot} are drained", Life.evict, Slot),
)
HANDS = (
    *_of_slots(
        ("mallory deletes Deployment {slot}", Life.remove, Kind.DEPLOYMENT, Slot),
        ("mallory deletes Service {slot}", Life.remove, Kind.SERVICE, Slot),
        ("mallory scales Deployment {slot} to 1", Life.edit, Slot, 1, None),
        ("mallory scales Deployment {slot} to 9", Life.edit, Slot, 9, None),
        ("mallory puts 6.6 into Deployment {slot}", Life.edit, Slot, None, "6.6"),
        ("mallory lets Service {slot} select nothing", Life.misdirect, Slot),
    ),
    *(
        Happening(f"mallory sets the weights to {blue} and {green}", Life.meddle, blue, green)
        for blue, green in ((100, 0), (0, 100), (50, 50), (0, 0))
    ),
    Happening("dave breaks the glass: all to blue", Life.hold, 100, 0),
    Happening("dave breaks the glass: half to each", Life.hold, 50, 50),
    Happening("dave ends the hold", Life.end_hold),
)
ANSWERS = (
    Happening("Prometheus sees no errors", Life.prometheus, 0.0),
    Happening("Prometheus sees 50 % errors", Life.prometheus, 0.5),
    Happening("Prometheus fails", Life.prometheus, error()),
    Happening("Prometheus has no data", Life.prometheus, no_data()),
    Happening("Prometheus answers NaN", Life.prometheus, inconclusive()),
)
MOODS = tuple(
    Happening(text, Life.api, mood)
    for text, mood in (
        ("the API server is well", "well"),
        ("the API server fails some writes", "flaky"),
        ("the API server's answers get lost", "lost answers"),
        ("the API server is slow", "slow"),
        ("the API server is down", "down"),
    )
)
GATEWAY = (
    Happening("the gateway's controller stands still", Life.gateway, "frozen"),
    Happening("the gateway's controller goes on", Life.gateway, ""),
)
OPERATOR = (
    Happening("the operator starts anew", Life.restart, 0.0, 0.0),
    Happening("the operator dies", Life.crash, 0),
    *(Happening(f"the operator dies after {count} more writes", Life.crash, count) for count in (1, 2, 3, 5)),
    Happening("the operator starts anew, its watches 1 s behind", Life.restart, 1.0, 0.0),
    Happening("the operator starts anew, far from the API server", Life.restart, 0.05, 0.1),
)

OBJECTS = (
    Happening("alice deletes the Rollout", Life.delete),
    Happening("alice creates the Rollout anew", Life.create),
    Happening("mallory deletes the newest RolloutRun", Life.forget),
)
WATCHES = tuple(
    Happening(f"the operator's watch of {kind}s {text}", Life.stale, kind, state)
    for kind in (Kind.ROLLOUT, Kind.DEPLOYMENT, Kind.ROLLOUT_RUN, Kind.HTTP_ROUTE)
    for text, state in (("stands still", "held"), ("catches up", ""))
)
ANYTHING = (
    RELEASES, SCALES, ACTIONS, HARM, OPERATOR, MOODS, HANDS, SWITCHES, ANSWERS, REVERT, PAUSES, BUDGETS, GATEWAY,
    OBJECTS, WATCHES,
)  # fmt: skip

Step = tuple[Happening, float]
"""What happens, and how many seconds pass then."""

seconds = st.sampled_from([100.0, 2.0, 0.0, 0.05, 0.3, 7.0, 35.0, 400.0])
anything: st.SearchStrategy[Happening] = st.sampled_from(ANYTHING).flatmap(st.sampled_from)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """A release, and up to 14 things more."""
    first = draw(st.tuples(st.sampled_from(GOOD), seconds))
    return [first, *draw(st.lists(st.tuples(anything, seconds), min_size=1, max_size=14))]


def script_of(steps: list[Step], refusals: list[str]) -> str:
    """The steps as numbered sentences, with what the API said to those that it refused."""
    lines = []
    for number, ((happening, passing), refusal) in enumerate(zip(steps, refusals, strict=False), 1):
        wait = f"; {passing:g} s pass" if passing else ""
        refused = f" (refused: {refusal})" if refusal else ""
        lines.append(f"{number:3}. {happening}{refused}{wait}")
    return "\n".join(lines)
