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
from e2e.support.waiting import until
from e2e.support.world import APPROVERS, APPROVING, RELEASER, World

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


def freeze(seconds: int, name: str = "sale") -> Json:
    """A freeze that began with this minute, in Berlin, and lasts for so many seconds from now."""
    now = datetime.now(UTC)
    opened = now.replace(second=0, microsecond=0)
    lasts = round((now - opened + timedelta(seconds=seconds)).total_seconds())
    schedule = f"{opened.minute} {opened.hour} {opened.day} {opened.month} *"
    return {"name": name, "kind": "Deny", "schedule": schedule, "duration": f"{lasts}s"}


def test_a_freeze_keeps_the_share_where_it_is_and_lets_go_by_itself(world: World, make_app: MakeApp) -> None:
    """Neither a promote nor a new run gets through it; an abort does; at its end the run that waited begins."""
    app, other = make_app(), make_app("payments")
    for each in (app, other):
        each.deploy().manage(OPEN)
    app.release()
    app.wait_weight("10%")
    with app.steady(), policy(world, app, other, windows=[freeze(25)]) as rule:
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


def test_a_cap_lets_twenty_through_a_few_at_a_time(world: World, make_app: MakeApp) -> None:
    """Twenty ask at once; never more than four are under way, each gets its turn, and the policy tells who is next."""
    apps = [make_app(f"shop-{number:02}") for number in range(20)]
    for app in apps:
        app.deploy(replicas=1)
    for app in apps:
        app.apply_rollout(SHORT)
    for app in apps:
        app.wait_phase("Healthy")
    with policy(world, *apps, maxConcurrent=4, minInterval="1s") as rule:
        for app in apps:
            app.release()
        told = rule.wait(lambda status: "next" in status.get("message", ""), "who is next")
        assert "of at most 4 with a run under way" in told["message"]
        for app in apps:
            app.wait_phase("Healthy")
            until(lambda app=app: app.share() == 1, f"{app} to be complete")  # type: ignore[misc]
        spans = [
            (run["startedAt"], app.run(1)["status"]["endedAt"]) for app in apps for run in [app.status["revision"]]
        ]
        assert most_at_a_time(spans) <= 4
        begun = sorted(datetime.fromisoformat(start) for start, _ in spans)
        assert all(later - earlier >= timedelta(seconds=1) for earlier, later in itertools.pairwise(begun))
        rule.wait(lambda status: status["covered"]["underWay"] == 0 and not status.get("turns"), "that all is done")


def most_at_a_time(spans: list[tuple[str, str]]) -> int:
    """Of runs, by when they began and ended, how many were under way at the same time at most."""
    moments = sorted([(end, -1) for _, end in spans] + [(start, 1) for start, _ in spans])
    going = most = 0
    for _, change in moments:
        going += change
        most = max(most, going)
    return most


def test_clients_get_what_the_house_account_has_had_for_a_while(world: World, make_app: MakeApp) -> None:
    """The house goes first; the client's run begins by itself once the version was stable there for long enough."""
    house, client = make_app("house"), make_app("client")
    house.labelled(account="house")
    for each in (house, client):
        each.deploy().manage(SHORT)
    first = {"selector": {"matchLabels": {"account": "house"}}, "namespaceSelector": name_of(house), "for": "8s"}
    with policy(world, house, client, requireStable=first), client.steady():
        client.release()
        told = client.wait_message("something else is stable in")
        assert "v2 has to be stable for 8s first" in told
        house.release()
        until(lambda: house.share() == 1 and house.status["phase"] == "Healthy", "the house to have it")
        client.wait_message("v2 has to be stable for 8s first: in")
        assert client.share() == 0
        until(lambda: client.share() == 1, "the client to have it")
        since = datetime.fromisoformat(house.status["stable"]["since"])
        begun = datetime.fromisoformat(client.status["revision"]["startedAt"])
        assert begun - since >= timedelta(seconds=8)


def name_of(app: App) -> Json:
    """A selector of the app's namespace."""
    return {"matchLabels": {"kubernetes.io/metadata.name": app.namespace}}


def test_people_agree_and_an_error_budget_stops_what_they_let_go(world: World, make_app: MakeApp) -> None:
    """Two of a group let a run begin; errors then use the budget up and it stops where it is; a person ends it."""
    app = make_app()
    app.deploy().manage(canary(weight(20), pause("8s"), weight(50), pause()))
    approval = {"group": APPROVING, "quorum": 2}
    with policy(world, app, approval=approval, errorBudget=budget(app)) as rule, app.steady().count_apart("v2") as load:
        rule.wait(lambda status: status["state"] == "Open", "that there is a budget")
        app.release()
        told = app.wait_message("waits for approval")
        assert f"RolloutPolicy {rule.name} waits for approval by 2 of {APPROVING}" in told
        for user in APPROVERS:
            assert app.share() == 0
            done = world.sluice("approve", app.name, "-n", app.namespace, user=user)
            assert done.code == 0, done
        app.wait_weight("20%")
        extended = world.sluice("extend", app.name, "-n", app.namespace, "--by", "2s", "--reason", "one more look")
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
    acted = [(entry["action"], entry["actor"]) for entry in app.audit() if entry["action"] in PEOPLES]
    assert acted == [
        *(("Approve", user) for user in APPROVERS),
        ("Extend", RELEASER),
        ("Reject", APPROVERS[0]),
    ]


PEOPLES = ("Approve", "Extend", "Reject")


def budget(app: App) -> Json:
    """That of an app's namespace, small enough to be used up within seconds."""
    every = f'http_requests_total{{namespace="{app.namespace}"}}[{{{{window}}}}]'
    good = every.replace("}[", ',code!~"5.."}[')
    return {
        "objective": "90%",
        "window": "1h",
        "goodQuery": f"sum(increase({good}))",
        "totalQuery": f"sum(increase({every}))",
        "burnRates": [{"factor": 1.2, "long": "10s", "short": "5s"}],
        "interval": "5s",
    }
