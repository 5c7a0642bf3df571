"""PodDisruptionBudgets, spent within one pass: what one slot takes, the other cannot. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sluice.api.names import Slot
from sluice.decide.pods import BudgetView


@dataclass(frozen=True, slots=True)
class Spared:
    """How many available pods may go, and the budget that lets no more of them go."""

    pods: int
    budget: str


class Budgets:
    """The budgets as the disruption controller last counted them."""

    def __init__(self, views: Iterable[BudgetView]) -> None:
        self._views = tuple(views)
        self._left = {view.name: view.allowed for view in self._views}

    def take(self, slot: Slot, pods: int) -> Spared:
        """Take so many available pods of a slot out of every budget that covers them, or as many as there are left.

        >>> budgets = Budgets([BudgetView("web", allowed=2, slots=frozenset(Slot))])
        >>> [budgets.take(slot, 3).pods for slot in Slot]
        [2, 0]
        """
        tightest = self.tightest(slot)
        taken = min(pods, max(0, self._left[tightest])) if tightest else pods
        for name in self._covering(slot):
            self._left[name] -= taken
        return Spared(taken, tightest)

    def tightest(self, slot: Slot) -> str:
        """The budget that covers a slot's pods and has the fewest left; "" where none covers them."""
        return min(self._covering(slot), key=lambda name: self._left[name], default="")

    def _covering(self, slot: Slot) -> list[str]:
        return [view.name for view in self._views if slot in view.slots]
