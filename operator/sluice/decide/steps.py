"""One mechanism: canary and blue-green compile to the same list of steps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sluice.api.analysis import ResolvedMetric
from sluice.api.run import RunStep
from sluice.api.strategy import BlueGreen, Canary, Strategy
from sluice.api.units import FULL


def compile_steps(strategy: Strategy, inline: Iterable[tuple[ResolvedMetric, ...]]) -> tuple[RunStep, ...]:
    """Compile a strategy.

    Args:
        strategy: exactly one of canary and blueGreen is set.
        inline: the resolved metrics of each analysis, in the order of `templates.inline_analyses`.

    Returns:
        Steps of which the last share is always 100 %.
    """
    metrics = iter(inline)
    if strategy.canary:
        return _canary(strategy.canary, metrics)
    return _blue_green(strategy.blue_green or BlueGreen(), metrics)


def _canary(canary: Canary, metrics: Iterator[tuple[ResolvedMetric, ...]]) -> tuple[RunStep, ...]:
    steps: list[RunStep] = []
    for step in canary.steps:
        if step.set_weight is not None:
            steps.append(RunStep(kind="setWeight", share=step.set_weight))
        elif step.pause is not None:
            steps.append(RunStep(kind="pause", duration=step.pause.duration))
        elif step.analysis is not None:
            steps.append(RunStep(kind="analysis", metrics=next(metrics)))
        elif step.set_canary_scale is not None:
            steps.append(RunStep(kind="setCanaryScale", size=step.set_canary_scale))
        elif step.approval is not None:
            steps.append(RunStep(kind="approval", approval=step.approval))
    shares = [step.share for step in steps if step.kind == "setWeight"]
    if not shares or shares[-1] != FULL:
        steps.append(RunStep(kind="setWeight", share=FULL))
    return tuple(steps)


def _blue_green(strategy: BlueGreen, metrics: Iterator[tuple[ResolvedMetric, ...]]) -> tuple[RunStep, ...]:
    steps: list[RunStep] = []
    if strategy.pre_promotion is not None:
        steps.append(RunStep(kind="analysis", metrics=next(metrics)))
    if not strategy.auto_promote:
        steps.append(RunStep(kind="pause"))
    steps.append(RunStep(kind="setWeight", share=FULL))
    if strategy.post_promotion is not None:
        steps.append(RunStep(kind="analysis", metrics=next(metrics)))
    if strategy.watch:
        steps.append(RunStep(kind="watch", duration=strategy.watch))
    return tuple(steps)
