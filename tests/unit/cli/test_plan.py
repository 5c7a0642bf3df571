"""`sluice plan`: what it says, and that the operator then does just that, over one world twice.

Both worlds come to the same state, for virtual time is exact. One is planned over; to the other the files are applied.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sluice.api.names import API_VERSION, FIELD_MANAGER, Kind, Slot
from sluice.cli.main import cli
from sluice.cli.session import Access, Environment
from sluice.errors import Forbidden
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.clock import run
from sluice.sim.cluster import Call, FakeCluster
from sluice.sim.metrics import constant
from sluice.sim.rehearsal.now import SECONDS
from sluice.sim.rehearsal.writes import tell_writes
from sluice.sim.store import Change
from sluice.sim.world import World

STEPS = manifests.canary({"setWeight": 10}, {"pause": {"duration": "2m"}}, {"setWeight": 50}, {"pause": {}})
SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
Prepare = Callable[[World], Awaitable[None]]


@dataclass
class Still:
    """A world that no time passes in any more, as a Session."""

    cluster: FakeCluster
    at: datetime
    namespace: str = "shop"
    server: str = "https://127.0.0.1:6443"
    authorities: str = ""
    clock: Still = field(init=False)

    def __post_init__(self) -> None:
        self.clock = self

    def now(self) -> datetime:
        """When it stopped."""
        return self.at


@dataclass
class Bench:
    """Plans over a world, and applies to its twin.

    Attributes:
        prepare: brings a world to where it is planned over.
        managed: whether Sluice runs the pods, of a Deployment that `workloadRef` names.
        switched: whether a Service carries the traffic, and no route.
    """

    folder: Path
    prepare: Prepare
    managed: bool = False
    switched: bool = False

    def plan(self, *objects: Obj, faults: tuple[Any, ...] = (), form: str = "-ojson") -> Result:
        """What `sluice plan` says to a file of these objects. Nothing may have been written then."""
        file = self.folder / "all.yaml"
        file.write_text(yaml.safe_dump_all(objects))
        still = run(self._stop())
        still.cluster.faults = list(faults)
        before = still.cluster.store.version

        @asynccontextmanager
        async def connect(_access: Access) -> AsyncIterator[Any]:
            yield still

        result = CliRunner().invoke(
            cli, ["plan", str(file), *([form] if form else [])], obj=Environment(connect, run), prog_name="sluice"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert still.cluster.store.version == before, "a plan wrote something"
        return result

    def told(self, *objects: Obj, **more: Any) -> Any:
        """The same as data."""
        return json.loads(self.plan(*objects, **more).stdout)

    def done(self, *objects: Obj) -> tuple[list[str], Obj]:
        """Apply them, and see what the operator writes for checkout in the first seconds, and the Rollout then."""
        return run(self._apply(objects))

    async def _world(self) -> World:
        world = World()
        if self.managed:
            world.workload_app("checkout", image="checkout:1.4.0", source=True)
            await world.start()
            await world.install("checkout", STEPS)
        else:
            world.app("checkout", switched=self.switched)
            await world.start()
            strategy = {"blueGreen": {}} if self.switched else STEPS
            await world.adopt("checkout", strategy, switched=self.switched)
        await self.prepare(world)
        return world

    async def _stop(self) -> Still:
        world = await self._world()
        await world.operator.crash()
        people = world.people
        people.on_change.clear()
        people._subscriptions.clear()
        return Still(people, world.clock.now())

    async def _apply(self, objects: tuple[Obj, ...]) -> tuple[list[str], Obj]:
        world = await self._world()
        seen: list[Change] = []
        world.cluster.on_change.append(lambda change: seen.append(change) if change.manager == FIELD_MANAGER else None)
        for each in objects:
            body = {key: value for key, value in each.items() if key not in {"apiVersion", "kind"}}
            await world.apply(Kind(each["kind"]), body)
        await asyncio.sleep(SECONDS)
        told = [each for each in tell_writes(seen) if " shop/checkout" in each]
        return told, world.cluster.store.get(Kind.ROLLOUT, "shop", "checkout")


def whole(kind: Kind, body: Obj) -> Obj:
    """An object as it is in a file."""
    return {"apiVersion": API_VERSION, "kind": str(kind), **body}


def rollout(version: str = "1.5.0", slot: Slot = Slot.GREEN, **spec: Any) -> Obj:
    """The Rollout of the world, asking for something else."""
    body = manifests.rollout("shop", "checkout", spec.pop("strategy", STEPS), version=version, **spec)
    body["spec"]["workload"]["active"] = str(slot)
    return whole(Kind.ROLLOUT, body)


def switch(**spec: Any) -> Obj:
    """An engaged kill switch over the namespace."""
    return whole(Kind.KILL_SWITCH, manifests.switch("shop", "stop", reason="5xx on checkout", **spec))


def policy(**spec: Any) -> Obj:
    """A policy over everything."""
    return whole(Kind.ROLLOUT_POLICY, manifests.policy("night", **spec))


FREEZE = policy(windows=[{"name": "sale", "kind": "Deny", "schedule": "0 9 * * *", "duration": "1h"}])


async def settled(_world: World) -> None:
    """Nothing is under way."""


async def under_way(world: World) -> None:
    """A run waits at half for a person."""
    await world.release_version("checkout", "1.5.0")
    await world.until(lambda: world.green_share("checkout") == 5_000)
    await asyncio.sleep(5)


async def stopped(world: World) -> None:
    """A switch is engaged."""
    await world.engage(reason="maintenance")
    await asyncio.sleep(2)


async def busy(world: World) -> None:
    """Another Rollout has the only turn."""
    world.app("orders")
    await world.adopt("orders", STEPS)
    await world.apply(Kind.ROLLOUT_POLICY, manifests.policy("one", maxConcurrent=1))
    await asyncio.sleep(2)
    await world.release_version("orders", "2.0.0")
    await asyncio.sleep(10)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[[Prepare], Bench]:
    """Make a bench over a prepared world."""
    return lambda prepare: Bench(tmp_path, prepare)


CASES = {
    "a new version": (settled, [rollout()], "Start"),
    "the same again": (settled, [rollout("1.4.0", Slot.BLUE)], "Nothing"),
    "a switch in the way": (stopped, [rollout()], "Wait"),
    "a switch beside it": (settled, [switch(), rollout()], "Wait"),
    "a freeze beside it": (settled, [FREEZE, rollout()], "Wait"),
    "approval beside it": (settled, [policy(approval={"group": "leads", "quorum": 2}), rollout()], "Start"),
    "another's turn": (busy, [rollout()], "Wait"),
    "another version": (under_way, [rollout("1.6.0")], "Supersede"),
    "stable again": (under_way, [rollout("1.4.0", Slot.BLUE)], "Return"),
    "only a text": (under_way, [rollout(progressDeadline="5m")], "GoOn"),
    "a kill": (under_way, [switch()], "Kill"),
    "a freeze in mid-run": (under_way, [FREEZE], "GoOn"),
    "paused by the spec": (settled, [rollout(paused=True)], "Wait"),
    "a template that is not there": (settled, [rollout(analysis={"templates": [{"name": "no-such"}]})], "Stall"),
    "another strategy, too": (
        settled,
        [rollout(strategy=manifests.canary({"setWeight": 1}, {"setWeight": 2}, {"pause": {}}))],
        "Start",
    ),
}


@pytest.mark.parametrize("prepare, objects, verdict", CASES.values(), ids=CASES)
def test_what_is_said_comes_true(
    bench: Callable[[Prepare], Bench], prepare: Prepare, objects: list[Obj], verdict: str
) -> None:
    """The first writes are those that the operator then makes, and the Rollout says of itself what was said."""
    made = bench(prepare)
    told = made.told(*objects)
    plan = next(each for each in told["rollouts"] if each["name"] == "checkout")
    writes, after = made.done(*objects)
    assert plan["verdict"] == verdict
    assert plan["writes"] == writes
    assert after["status"]["message"] in plan["message"]
    assert not told["refused"]


GUARDS = st.lists(
    st.sampled_from(
        [
            FREEZE,
            switch(),
            switch(effect="Hold"),
            switch(effect="Rollback"),
            policy(approval={"group": "leads", "quorum": 2}),
            policy(maxConcurrent=1),
            policy(minInterval="1h"),
            policy(requireStable={"selector": {"matchLabels": {"app": "orders"}}, "for": "1h"}),
        ]
    ),
    max_size=2,
    unique_by=lambda each: each["kind"],
)
MIDDLE: list[Obj] = [{"setWeight": 5}, {"setWeight": 60}, {"pause": {}}, {"pause": {"duration": "1m"}}]
ASKED = st.builds(
    rollout,
    st.sampled_from(["1.4.0", "1.5.0", "1.6.0"]),
    st.sampled_from(list(Slot)),
    paused=st.booleans(),
    strategy=st.lists(st.sampled_from(MIDDLE), min_size=1, max_size=4).map(
        lambda steps: manifests.canary({"setWeight": 1}, *steps)
    ),
)


@pytest.mark.property
@settings(max_examples=30, deadline=None)
@given(prepare=st.sampled_from([settled, under_way, stopped, busy]), guards=GUARDS, asked=st.none() | ASKED)
def test_whatever_is_said_comes_true(prepare: Prepare, guards: list[Obj], asked: Obj | None) -> None:
    """Over any of these states, with any of these files."""
    objects = [*guards, *([asked] if asked is not None else [])]
    assume(objects)
    with TemporaryDirectory() as folder:
        made = Bench(Path(folder), prepare)
        told = made.told(*objects)
        writes, after = made.done(*objects)
        for plan in told["rollouts"]:
            if plan["name"] == "checkout":
                assert plan["writes"] == writes
                assert after["status"]["message"] in plan["message"]


def deployment(image: str) -> Obj:
    """The Deployment that `workloadRef` names, with another image."""
    body = manifests.deployment("shop", "checkout", image, replicas=3)
    return {"apiVersion": "apps/v1", "kind": "Deployment", **body}


def test_a_new_image_in_a_deployment(tmp_path: Path) -> None:
    """The Rollout that names it begins a run: what it runs first, and the whole course, with pods that come up."""
    made = Bench(tmp_path, settled, managed=True)
    told = made.told(deployment("checkout:1.5.0"))
    (plan,) = told["rollouts"]
    writes, after = made.done(deployment("checkout:1.5.0"))
    assert (plan["verdict"], plan["candidate"]["version"]) == ("Start", "1.5.0")
    assert plan["writes"] == writes[: len(plan["writes"])]
    assert plan["writes"][:2] == [
        "RolloutRun shop/checkout-1: made",
        "Deployment shop/checkout-green: made, 1 replica of checkout:1.5.0",
    ]
    assert after["status"]["revision"]["number"] == plan["candidate"]["number"]
    assert plan["course"]["doneSeconds"] is not None


def test_a_service_whose_selector_is_switched(tmp_path: Path) -> None:
    """Without a route there is one write, and the course is over once it is in force."""
    made = Bench(tmp_path, settled, switched=True)
    new = rollout(strategy={"blueGreen": {}}, switched=True)
    (plan,) = made.told(new)["rollouts"]
    writes, after = made.done(new)
    assert plan["writes"] == writes
    assert plan["writes"][-1] == "Service shop/checkout: selector app=checkout,slot=blue to app=checkout,slot=green"
    assert plan["course"]["doneSeconds"] is not None, plan["course"]
    assert after["status"]["message"] in plan["message"]


def test_an_error_budget_that_nobody_measured_yet(bench: Callable[[Prepare], Bench]) -> None:
    """A policy that is new holds until it knows; the course supposes that there is some left."""
    budget = {
        "objective": "99.9%",
        "goodQuery": "good()[{{window}}]",
        "totalQuery": "total()[{{window}}]",
        "minTotal": 9,
    }
    made = bench(settled)
    objects = [policy(errorBudget=budget), rollout()]
    (plan,) = made.told(*objects)["rollouts"]
    assert plan["verdict"] == "Wait"
    assert "the error budget" in plan["message"]
    assert plan["course"]["doneSeconds"] is not None, plan["course"]


def test_one_that_is_being_deleted(bench: Callable[[Prepare], Bench]) -> None:
    """Nothing is foretold of what is about to go."""

    async def going(world: World) -> None:
        await world.engage(reason="maintenance")
        await world.operator.crash()
        await world.remove(Kind.ROLLOUT, "checkout")

    (plan,) = bench(going).told(switch(effect="Hold"))["rollouts"]
    assert (plan["verdict"], plan["message"]) == ("Unknown", "it is being deleted")


def test_without_a_right_to_list_rollouts(bench: Callable[[Prepare], Bench]) -> None:
    """The Rollout of the file is known all the same."""
    told = bench(under_way).told(rollout("1.6.0"), faults=(lacking(Kind.ROLLOUT),))
    assert told["rollouts"][0]["verdict"] == "Supersede"
    assert "what Rollouts of other namespaces do" in "; ".join(told["unknown"])


def test_an_adoption(bench: Callable[[Prepare], Bench]) -> None:
    """What serves is taken as stable, and nothing moves."""

    async def bare(world: World) -> None:
        world.app("orders")
        await asyncio.sleep(2)

    new = rollout("1.4.0", Slot.BLUE)
    new["metadata"] = {"name": "orders", "namespace": "shop"}
    new["spec"]["workload"]["services"] = {"blue": "orders-blue", "green": "orders-green"}
    new["spec"]["traffic"]["routes"][0]["name"] = "orders"
    told = bench(bare).told(new)
    assert [each["result"] for each in told["objects"]] == ["created"]
    (plan,) = told["rollouts"]
    assert (plan["verdict"], plan["stable"]["slot"], plan["candidate"]) == ("Adopt", "blue", None)
    assert not [each for each in plan["writes"] if "weights" in each]


def test_a_fleet(bench: Callable[[Prepare], Bench]) -> None:
    """Batches in their order, who is in each, and what holds it; not what its clusters would do."""

    async def members(world: World) -> None:
        for name, region in (("a", "eu"), ("b", "eu"), ("c", "us")):
            spec = {"kubeconfigSecretRef": {"name": name}}
            world.people.seed(
                Kind.MEMBER_CLUSTER, {"metadata": {"name": name, "labels": {"region": region}}, "spec": spec}
            )

    batches = [
        {"name": "pilot", "clusters": ["c", "gone"], "soak": "1h"},
        {"name": "eu", "selector": {"matchLabels": {"region": "eu"}}, "approval": {"group": "leads", "quorum": 2}},
    ]
    over = rollout(fleet={"batches": batches})
    over["metadata"]["name"] = "wide"
    told = bench(members).told(over, FREEZE)
    plan = next(each for each in told["rollouts"] if each["name"] == "wide")
    assert plan["verdict"] == "Fleet"
    assert "there is no such cluster in the fleet: gone" in plan["message"]
    assert [(each["name"], each["clusters"], each["before"], each["after"]) for each in plan["batches"]] == [
        ("pilot", ["c"], "", "soak for 1h"),
        ("eu", ["a", "b"], "approval by 2 of leads", ""),
    ]
    assert [hold["name"] for hold in plan["holds"]] == ["RolloutPolicy night"]


@pytest.mark.parametrize("verb, verdict", [("Abort", "End"), ("Promote", "Complete")])
def test_an_action(bench: Callable[[Prepare], Bench], verb: str, verdict: str) -> None:
    """What a person would tell a run by a file is done in the rehearsal."""
    body = manifests.action("shop", "checkout", verb, revision=1, actor="bob", reason="why")
    body["metadata"] = {"name": "now", "namespace": "shop"}
    (plan,) = bench(under_way).told(whole(Kind.ROLLOUT_ACTION, body))["rollouts"]
    assert plan["verdict"] == verdict
    assert len(plan["writes"]) == 1


def test_several_courses_at_a_time(bench: Callable[[Prepare], Bench]) -> None:
    """Each Rollout of the files has its own people: none waits until the run of another is over."""
    orders = rollout("2.1.0")
    orders["metadata"] = {"name": "orders", "namespace": "shop"}
    orders["spec"]["workload"]["services"] = {"blue": "orders-blue", "green": "orders-green"}
    orders["spec"]["traffic"]["routes"][0]["name"] = "orders"

    async def two(world: World) -> None:
        world.app("orders")
        await world.adopt("orders", STEPS)

    plans = bench(two).told(rollout(), orders)["rollouts"]
    assert [plan["course"]["doneSeconds"] for plan in plans] == [121, 121]


def test_the_page_of_a_new_version(bench: Callable[[Prepare], Bench], golden: Callable[[str, str], None]) -> None:
    """All of it, with a policy and a switch in the same file."""
    result = bench(settled).plan(rollout(metrics=[manifests.metric()]), FREEZE, switch(), form="")
    assert result.exit_code == 0
    golden("plan.txt", result.stdout.replace(str(bench(settled).folder), ""))


def test_the_course(bench: Callable[[Prepare], Bench]) -> None:
    """Each step with its time, and the person whom it waits for."""
    (plan,) = bench(settled).told(rollout())["rollouts"]
    lines = [(line["seconds"], line["message"]) for line in plan["course"]["lines"]]
    assert lines == [
        (0, "step 1 of 5: set weight to 10%"),
        (0, "step 2 of 5: pause for 2m"),
        (120, "step 3 of 5: set weight to 50%"),
        (120, "step 4 of 5: pause until promoted"),
        (120, "waits for a person: sluice promote checkout -n shop"),
        (120, "step 5 of 5: set weight to 100%"),
        (121, "revision 1 (1.5.0) serves from green"),
    ]
    assert plan["course"]["lines"][4]["needs"] == "a person promotes it (sluice promote)"
    assert plan["course"]["doneSeconds"] == 121


def test_analyses_pass_whatever_they_ask(bench: Callable[[Prepare], Bench]) -> None:
    """A bound from below, one from above, a baseline and a minimum of samples."""
    metrics = [
        manifests.metric("hits", 'hits{service="{{service}}"}', threshold={"min": 0.9}),
        manifests.metric("cold", 'cold{service="{{service}}"}', threshold={"max": -3}),
        manifests.metric("slower", 'slow{service="{{service}}"}', threshold={"maxRatio": 1.2}),
        manifests.metric("some", "errors()", minSamples={"query": "requests()", "value": 500}),
    ]
    (plan,) = bench(settled).told(rollout(metrics=metrics))["rollouts"]
    assert plan["course"]["doneSeconds"] is not None, plan["course"]["end"]


def test_a_run_under_way_is_measured_well(bench: Callable[[Prepare], Bench]) -> None:
    """What it has asked so far is answered so that it passes, too."""
    metrics = [manifests.metric("hits", 'hits{service="{{service}}"}', threshold={"min": 0.9})]

    async def measured(world: World) -> None:
        world.metrics.script(constant(0.95))
        await world.spec("checkout", {"analysis": {"metrics": metrics}})
        await under_way(world)

    (plan,) = bench(measured).told(rollout(metrics=metrics))["rollouts"]
    assert plan["verdict"] == "GoOn"
    assert plan["course"]["doneSeconds"] is not None, plan["course"]["end"]


def test_a_freeze_is_waited_for(bench: Callable[[Prepare], Bench]) -> None:
    """The course goes on when the window lets go, which is told."""
    told = bench(settled).told(rollout(), FREEZE)
    (plan,), (guard,) = told["rollouts"], told["guards"]
    assert (guard["state"], guard["covers"]) == ("Frozen", ["shop/checkout"])
    (hold,) = plan["holds"]
    assert (hold["name"], hold["until"]) == ("RolloutPolicy night", "2026-03-02T10:00:00+00:00")
    assert plan["course"]["doneSeconds"] > 3_500


def test_a_kill_tells_what_moves(bench: Callable[[Prepare], Bench]) -> None:
    """Of a switch: whom it covers, and the weights that it takes."""
    told = bench(under_way).told(switch())
    assert told["guards"][0]["covers"] == ["shop/checkout"]
    assert told["rollouts"][0]["writes"] == [
        "HTTPRoute shop/checkout: weights checkout-blue 50 to 100, checkout-green 50 to 0"
    ]


def test_what_a_run_keeps(bench: Callable[[Prepare], Bench]) -> None:
    """Changed fields that the run under way does not take over are named."""
    changed = rollout(progressDeadline="5m", revisionHistoryLimit=3)
    (plan,) = bench(under_way).told(changed)["rollouts"]
    assert plan["changed"] == ["spec.progressDeadline", "spec.revisionHistoryLimit"]
    assert plan["nextRunOnly"] == ["spec.progressDeadline"]


def test_a_refusal_is_told_and_fails(bench: Callable[[Prepare], Bench]) -> None:
    """Per object, in the API server's words; the others are planned all the same."""
    wrong = rollout()
    wrong["metadata"]["name"] = "other"
    wrong["spec"]["workload"]["active"] = "red"
    result = bench(settled).plan(wrong, rollout())
    told = json.loads(result.stdout)
    assert (result.exit_code, told["refused"]) == (1, True)
    assert [each["result"] for each in told["objects"]] == ["refused", "changed"]
    assert "workload.active" in told["objects"][0]["message"]
    assert told["rollouts"][0]["verdict"] == "Start"


def lacking(*kinds: Kind) -> Callable[[Call], None]:
    """A fault: no right to list these kinds."""

    def refuse(call: Call) -> None:
        if call.verb == "list" and call.kind in kinds:
            raise Forbidden(f"{call.kind} is forbidden: User alice cannot list it")

    return refuse


def test_what_cannot_be_listed_is_said(bench: Callable[[Prepare], Bench]) -> None:
    """A right that is missing makes the plan smaller, not wrong."""
    denied = lacking(Kind.CLUSTER_KILL_SWITCH, Kind.ROLLOUT_POLICY, Kind.NAMESPACE, Kind.MEMBER_CLUSTER)
    told = bench(settled).told(rollout(), faults=(denied,))
    assert told["rollouts"][0]["verdict"] == "Start"
    known = "; ".join(told["unknown"])
    assert "whether a ClusterKillSwitch covers any of them is not known: no right to list ClusterKillSwitches" in known
    assert "whether a RolloutPolicy holds any of them is not known" in known


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.HTTP_ROUTE, Kind.ROLLOUT_RUN, Kind.ENDPOINT_SLICE])
def test_nothing_is_decided_without_what_decides(bench: Callable[[Prepare], Bench], kind: Kind) -> None:
    """Without a look at Services or routes the operator's code would see what is not so."""
    (plan,) = bench(settled).told(rollout(), faults=(lacking(kind),))["rollouts"]
    assert plan["verdict"] == "Unknown"
    assert plan["message"] == f"no right to list {kind} in namespace shop: nobody can tell without"


def test_a_first_sight(bench: Callable[[Prepare], Bench]) -> None:
    """A Rollout that is not there is adopted; without Services it is told what is missing."""
    new = rollout()
    new["metadata"]["name"] = new["metadata"]["labels"]["app"] = "orders"
    new["spec"] |= {"traffic": {"routes": [{"name": "orders"}]}}
    new["spec"]["workload"]["services"] = {"blue": "orders-blue", "green": "orders-green"}
    told = bench(settled).told(new)
    (plan,) = told["rollouts"]
    assert told["objects"][0]["result"] == "created"
    assert plan["verdict"] == "Stall"
    assert "orders" in plan["message"]


def offline(*paths: Path) -> Any:
    """What is said without a cluster."""
    result = CliRunner().invoke(cli, ["plan", "--offline", "-ojson", *map(str, paths)], prog_name="sluice")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


SOUND = sorted((SAMPLES / "complete").glob("*.yaml")) + sorted((SAMPLES / "minimal").glob("*.yaml"))


@pytest.mark.parametrize("sample", SOUND, ids=[f"{path.parent.name}-{path.stem}" for path in SOUND])
def test_samples_offline(sample: Path) -> None:
    """Every sample is planned without a cluster; what begins a run comes to a good end."""
    told = offline(sample)
    for plan in told["rollouts"]:
        assert plan["verdict"] in {"Start", "Nothing", "Fleet"}, plan["message"]
        if plan["verdict"] == "Start":
            course = plan["course"]
            assert course["doneSeconds"] is not None or "more measurements" in course["end"], plan


def test_offline_tells_what_is_refused(tmp_path: Path) -> None:
    """By the CRDs, as `sluice lint` does."""
    wrong = rollout()
    wrong["spec"]["workload"]["active"] = "red"
    file = tmp_path / "rollout.yaml"
    file.write_text(yaml.safe_dump(wrong))
    result = CliRunner().invoke(cli, ["plan", "--offline", str(file)], prog_name="sluice")
    assert result.exit_code == 1
    assert 'Unsupported value: "red"' in result.stdout
    (line,) = [each for each in result.stdout.splitlines() if each.startswith("Rollout shop/checkout ")]
    assert line.split()[2] == "refused"


@pytest.mark.parametrize("text", ["a: [1", "{apiVersion: sluice.dev/v1alpha1, kind: Rollout, metadata: {}}"])
def test_what_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    """Beside what can, which is planned."""
    (tmp_path / "wrong.yaml").write_text(text)
    (tmp_path / "right.yaml").write_text(yaml.safe_dump(rollout()))
    result = CliRunner().invoke(cli, ["plan", "--offline", "-ojson", str(tmp_path)], prog_name="sluice")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["refused"]) == (1, True)
    assert [each["verdict"] for each in told["rollouts"]] == ["Start"]
