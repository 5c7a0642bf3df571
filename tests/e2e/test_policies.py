"""RolloutPolicies with real traffic: when exposure may grow, how many at a time, and who goes first."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from e2e.support.app import App
from e2e.support.fixtures import MakeApp
from e2e.support.manifests import Json, canary, pause, weight
from e2e.support.traffic import Steady
from e2e.support.waiting import until
from e2e.support.world import APPROVERS, APPROVING, RELEASER, World
from sluice.sim import manifests

OPEN = canary(weight(10), pause(), weight(50), pause())
SHORT = canary(weight(50), pause("1s"))


class Policy:
    """A RolloutPolicy over the Rollouts of some namespaces; gone when the test is."""

    def __init__(self, world: World, name: str, spec: Json) -> None:
        self._hub = world.hub
        self.name = name
        self.apply(spec)

    def apply(self, spec: Json) -> None:
        """``kubectl apply``."""
        body = {"apiVersion": "sluice.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": self.name}}
        self._hub.apply(yaml.safe_dump({**body, "spec": spec}))

    @property
    def status(self) -> Json:
        """What it says of itself."""
        found: Json = json.loads(self._hub.kubectl("get", "rolloutpolicy", self.name, "-o", "json"))
        return found.get("status", {})

    def wait(self, holds: Callable[[Json], Any], what: str) -> Json:
        """Wait until something holds of the status."""
        return until(lambda: (status := self.status) and holds(status) and status, f"the policy to say {what}")

    def remove(self) -> None:
        """Delete it."""
        self._hub.kubectl("delete", "rolloutpolicy", self.name, "--ignore-not-found")


@contextmanager
def policy(world: World, *apps: App, **spec: Any) -> Iterator[Policy]:
    """A policy over the namespaces of these apps."""
    homes = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": homes_of(apps)}]}
    made = Policy(world, f"rule-{apps[0].namespace}", {"namespaceSelector": homes, **spec})
    try:
        yield made
    finally:
        made.remove()


def homes_of(apps: tuple[App, ...]) -> list[str]:
    """Their namespaces."""
    return sorted({app.namespace for app in apps})


def test_a_freeze_keeps_the_share_where_it_is_and_lets_go_by_itself(world: World, make_app: MakeApp) -> None:
    """Neither a promote nor a new run gets through it; an abort does; at its end the run that waited begins."""
    app, other = make_app(), make_app("payments")
    for each in (app, other):
        each.deploy().manage(OPEN)
    app.release()
    app.wait_weight("10%")
    with app.steady(), policy(world, app, other, windows=[manifests.freeze(datetime.now(UTC), 25)]) as rule:
        ends_at = rule.wait(lambda status: status["state"] == "Frozen", "that it is frozen")["until"]
        refused = world.sluice("promote", app.name, "-n", app.namespace)
        assert refused.code == 1
        assert f"held by RolloutPolicy {rule.name}: the freeze sale lasts until" in refused.out + refused.err
        other.release()
        assert "revision v2 waits: held by RolloutPolicy" in other.wait_message("the freeze sale lasts until")
        assert (other.wait_phase("Paused")["message"], other.share()) == (other.status["message"], 0)
        shown = world.sluice("status", other.name, "-n", other.namespace)
        assert "a policy holds it, and lets it go by itself: kubectl get rolloutpolicies" in shown.out
        assert app.share() == 0.1
        aborted = world.sluice("abort", app.name, "-n", app.namespace, "--reason", "refunds fail")
        assert aborted.code == 0, aborted
        app.wait_weight("0%")
        other.wait_weight("10%")
        assert other.status["revision"]["startedAt"] >= ends_at
        rule.wait(lambda status: status["state"] == "Open", "that it is open again")


CLIENTS, AT_A_TIME, APART = 20, 4, timedelta(seconds=1)
PROVEN = timedelta(seconds=5)
PEOPLES = ("Approve", "Extend", "Reject")


def test_a_version_goes_from_the_house_account_to_twenty_clients(world: World, make_app: MakeApp) -> None:
    """All ask for it at once, and one policy has them wait: for the end of a freeze, then for the house account.

    Four go at a time, one a second, and two of a group agree to each. The first of them fails: its errors use the
    budget up and all stop where they are, until a person rejected it and the budget recovered. All others arrive.
    """
    house, clients = make_app("house").labelled(account="house"), [make_app(f"shop-{i:02}") for i in range(CLIENTS)]
    for each in (house, *clients):
        each.deploy(replicas=1)
    for each in (house, *clients):
        each.apply_rollout(SHORT if each is house else canary(weight(20), pause("4s"), weight(50), pause("1s")))
    for each in (house, *clients):
        each.wait_phase("Healthy")
    rules = {
        "windows": [manifests.freeze(datetime.now(UTC), 30)],
        "requireStable": {
            "selector": {"matchLabels": {"account": "house"}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": house.namespace}},
            "for": f"{PROVEN.seconds}s",
        },
        "approval": {"group": APPROVING, "quorum": len(APPROVERS)},
        "maxConcurrent": AT_A_TIME,
        "minInterval": f"{APART.seconds}s",
        "errorBudget": budget(*clients),
    }
    with policy(world, *clients, **rules) as rule, clients[0].steady(20).count_apart("v2"):
        frozen = rule.wait(lambda status: status["state"] == "Frozen", "that it is frozen")
        for client in clients:
            client.release()
        clients[-1].wait_message(f"held by RolloutPolicy {rule.name}: the freeze sale lasts until")
        clients[-1].wait_message(f"v2 has to be stable for {PROVEN.seconds}s first; something else is stable in")
        house.release()
        until(lambda: house.share() == 1 and house.status["phase"] == "Healthy", "the house to have it")
        first = until(lambda: next(filter(waits_for_people, clients), None), "the first client to begin")
        told = rule.wait(lambda status: "next" in status.get("message", ""), "who is next")["message"]
        assert f"of at most {AT_A_TIME} with a run under way" in told
        with first.steady().count_apart("v2") as load:
            fail_and_be_rejected(world, rule, first, load)
            rule.wait(lambda status: status["state"] == "Open", "that the budget recovered")
        others = [client for client in clients if client is not first]
        waiting = list(others)
        while waiting:
            asked = until(lambda: next(filter(waits_for_people, waiting), None), "another client to wait for people")
            assert asked.share() == 0
            approve(world, asked)
            waiting.remove(asked)
        for client in others:
            until(lambda client=client: client.share() == 1, f"{client} to have it")  # type: ignore[misc]
            client.wait_phase("Healthy")
        assert first.share() == 0
        rule.wait(lambda status: status["covered"]["underWay"] == 0 and not status.get("turns"), "that all is done")
    spans = [(client.status["revision"]["startedAt"], client.run(1)["status"]["endedAt"]) for client in clients]
    begun = sorted(datetime.fromisoformat(start) for start, _ in spans)
    assert begun[0] >= datetime.fromisoformat(frozen["until"])
    assert begun[0] - datetime.fromisoformat(house.status["stable"]["since"]) >= PROVEN
    assert all(later - earlier >= APART for earlier, later in itertools.pairwise(begun))
    assert 1 < most_at_a_time(spans) <= AT_A_TIME
    agreed = [("Approve", user) for user in APPROVERS]
    for client in clients:
        acted = [(entry["action"], entry["actor"]) for entry in client.audit() if entry["action"] in PEOPLES]
        assert acted == agreed + ([("Extend", RELEASER), ("Reject", APPROVERS[0])] if client is first else [])


def fail_and_be_rejected(world: World, rule: Policy, app: App, load: Steady) -> None:
    """People let it go and give it more time; its errors halt everybody, and one of them ends it."""
    approve(world, app)
    app.wait_weight("20%")
    extended = world.sluice("extend", app.name, "-n", app.namespace, "--by", "2m", "--reason", "one more look")
    assert extended.code == 0, extended
    load.wait_for_version("v2")
    app.behaves("v2", error_rate=1.0)
    rule.wait(lambda status: status["state"] == "Halted", "that the budget is gone")
    app.wait_message(f"held by RolloutPolicy {rule.name}: the error budget of 90% over 1h")
    assert app.share() == 0.2
    rejected = world.sluice("reject", app.name, "-n", app.namespace, "--reason", "refunds fail", user=APPROVERS[0])
    assert rejected.code == 0, rejected
    app.wait_weight("0%")
    app.only("v1")


def approve(world: World, app: App) -> None:
    """Everybody who has to agrees."""
    for user in APPROVERS:
        done = world.sluice("approve", app.name, "-n", app.namespace, user=user)
        assert done.code == 0, done


def waits_for_people(app: App) -> bool:
    """Whether its run waits for approval."""
    return "waits for approval by" in app.status.get("message", "")


def most_at_a_time(spans: list[tuple[str, str]]) -> int:
    """Of runs, by when they began and ended, how many were under way at the same time at most."""
    moments = sorted([(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans])
    going = most = 0
    for _, change in moments:
        going += change
        most = max(most, going)
    return most


def budget(*apps: App) -> Json:
    """That of their namespaces, small enough to be used up within seconds."""
    every = f'http_requests_total{{namespace=~"{"|".join(homes_of(apps))}"}}[{{{{window}}}}]'
    good = every.replace("}[", ',code!~"5.."}[')
    return {
        "objective": "90%",
        "window": "1h",
        "goodQuery": f"sum(increase({good}))",
        "totalQuery": f"sum(increase({every}))",
        "burnRates": [{"factor": 1.2, "long": "10s", "short": "5s"}],
        "interval": "5s",
    }
