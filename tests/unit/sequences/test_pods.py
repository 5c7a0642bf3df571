"""Random histories of apps whose pods Sluice runs: whenever the operator dies, the invariants hold.

Each example is a list of things that people, pods, nodes, Prometheus, strangers and fate do, with time between them.
`pod_laws.py` looks at every stored change at the moment it takes effect, and at what lasts. In the end everything is
well again: what was under way must end by itself, and a last good release must end up serving. A failure is told as a
script of plain sentences.
"""

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from unit.defects import gathered
from unit.sequences.happenings import Step, histories, script_of
from unit.sequences.laws import Broken
from unit.sequences.life import APP, Life, Setting
from unit.sequences.search import PROFILE, SEARCH

STEPS = manifests.step_weights(10, 50, pause="1m")
CHECK = {"metrics": [manifests.metric(count=2, interval="10s")]}
BY_HAND: list[Obj] = [
    {"setWeight": 10},
    {"pause": {}},
    {"setCanaryScale": {"share": 50}},
    {"setWeight": 50},
    {"analysis": CHECK},
]
CHECKED: Obj = {"prePromotion": CHECK, "autoPromote": False, "postPromotion": CHECK}

CANARIES = (
    Setting("a canary", manifests.canary(*STEPS)),
    Setting("a canary, with callers past its route", manifests.canary(*STEPS), plain=True),
    Setting(
        "a canary with a dynamic stable, and metadata for its roles",
        {"canary": {"steps": STEPS, "dynamicStable": True}},
        workload={
            "stableMetadata": {"labels": {"role": "stable"}},
            "candidateMetadata": {"labels": {"role": "canary"}},
        },
    ),
    Setting("a canary from a Deployment, in no hurry", manifests.canary(*STEPS), source=True, onDeadline="Hold"),
    Setting(
        "a canary sized by hand, that a person lets go on",
        {"canary": {"steps": BY_HAND, "canarySize": {"replicas": 2}}},
        workload={"minReadySeconds": 5},
        rollbackWindow={"revisions": 2},
    ),
)
SWITCHED = (
    Setting("a blue-green by route", {"blueGreen": {"watch": "2m"}}),
    Setting("a blue-green by Service", {"blueGreen": {"watch": "2m"}}, switched=True),
    Setting("a blue-green by Service, with other callers", {"blueGreen": CHECKED}, switched=True, plain=True),
)


async def _told(setting: Setting, steps: list[Step], seed: int) -> str:
    """Live through a history. Returns how the run ended before the last one.

    Raises:
        Broken: with the script up to there.
    """
    life = Life(setting, seed)
    refusals: list[str] = []
    ending = ""
    try:
        await life.begin()
        for happening, seconds in steps:
            refusals.append("")
            await happening.happen(life)
            refusals[-1] = life.refused
            await life.pass_time(seconds)
            _judge(life)
        ending = "\n     then everything is well again"
        await life.at_rest()
        _judge(life)
        ending += "\n     and alice releases a last good version"
        await life.released_again()
        _judge(life)
    except Broken as broken:
        raise Broken(f"{setting}:\n{script_of(steps, refusals)}{ending}\n  → {broken}") from broken
    return life.world.status(APP).history[-2:][0].outcome.value


def _judge(life: Life) -> None:
    if life.laws.broken is not None:
        raise life.laws.broken
    failure = life.world.operator.failure()
    if failure is not None:
        raise Broken("the engine ended by itself") from failure


def live(setting: Setting, steps: list[Step], seed: int = 0) -> str:
    """Live through a history; fail with its script where an invariant breaks or the operator logs a defect."""
    with gathered() as defects:
        ended = run(_told(setting, steps, seed))
    assert not defects.texts, f"{setting}:\n{script_of(steps, [''] * len(steps))}\n  → {defects.texts[0]}"
    return ended


@pytest.mark.timeout(8 * PROFILE.max_examples)
@settings(PROFILE, max_examples=PROFILE.max_examples * 3 // 5, **SEARCH)
@given(st.sampled_from(CANARIES), histories(), st.integers(0, 2**16))
def test_the_pods_of_a_canary_keep_the_invariants(setting: Setting, steps: list[Step], seed: int) -> None:
    """I1 to I9, whatever happens to a canary of which Sluice runs the pods."""
    event(f"after {live(setting, steps, seed)}")


@pytest.mark.timeout(8 * PROFILE.max_examples)
@settings(PROFILE, max_examples=PROFILE.max_examples * 2 // 5, **SEARCH)
@given(st.sampled_from(SWITCHED), histories(), st.integers(0, 2**16))
def test_the_pods_of_a_blue_green_keep_the_invariants(setting: Setting, steps: list[Step], seed: int) -> None:
    """The same for a blue-green switch, of a route or of a plain Service."""
    event(f"after {live(setting, steps, seed)}")
