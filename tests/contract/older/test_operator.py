"""What the operator makes of it, where the API server stamps nobody: kills work, and an approval takes one's own name.

One Rollout, whose Services lead nowhere: their EndpointSlices are the test's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from contract.crds.people import MERGE, As
from contract.crds.resources import collection
from contract.policies import action, rollout, switch
from installation import Operator
from testbed import Cluster, NotReadyError, apps

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
GROUP = "release-managers"  # grace is in it
SECONDS = 60
MINE = {"actor": "grace", "actorGroups": [GROUP, "system:authenticated"]}


@pytest.fixture(scope="module")
def operator(installed: Cluster) -> Iterator[Operator]:
    """Running, with the rights that the manifests give it there."""
    started = Operator(installed, name="older-operator").start()
    yield started
    started.stop()


def endpoints(namespace: str, service: str, slot: str) -> Json:
    """An EndpointSlice by which a Service has one ready pod, of a slot."""
    address = {"blue": "10.244.9.1", "green": "10.244.9.2"}[slot]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": service,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 9000}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }


class Shop:
    """The Rollout `checkout` in a namespace, and what became of it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self._path = f"{collection('Rollout', namespace)}/checkout"

    def deploy(self) -> None:
        """Make its Services and itself; it is served from blue."""
        slots = {"checkout": "blue", "checkout-blue": "blue", "checkout-green": "green"}
        services = [apps.service(self.namespace, name, "checkout", slot) for name, slot in slots.items()]
        slices = [endpoints(self.namespace, name, slot) for name, slot in slots.items()]
        self.cluster.apply(yaml.safe_dump_all([*services, *slices]))
        body = rollout("checkout", service={"active": "checkout"})
        body["spec"]["workload"] = {
            "services": {slot: f"checkout-{slot}" for slot in ("blue", "green")},
            "active": "blue",
            "version": "v1",
        }
        self.cluster.client.checked("POST", collection("Rollout", self.namespace), body)
        self.wait(lambda status: status.get("phase") == "Healthy", "to be Healthy")

    def release(self, version: str) -> None:
        """Ask for a version in green, as the administrator, who says nothing of who asks."""
        change = {"spec": {"workload": {"active": "green", "version": version}}}
        self.cluster.client.checked("PATCH", self._path, change, MERGE)

    def wait(self, good: Callable[[Json], object], what: str) -> Json:
        """Wait until its status is good, and give that."""

        def found() -> Json:
            status: Json = self.cluster.get(self._path).get("status", {})
            if not good(status):
                raise NotReadyError(f"its status is {status}")
            return status

        return self.cluster.wait(found, SECONDS, f"checkout {what}")

    def actors(self, **fields: str) -> set[str]:
        """Who is named by the audit's entries with these fields."""
        entries = self.cluster.get(self._path)["status"]["audit"]["entries"]
        return {each["actor"] for each in entries if fields.items() <= each.items()}

    def approval(self, **who: Any) -> Json:
        """A RolloutAction that approves what waits now, by whom it says."""
        status = self.wait(lambda status: status.get("approvals"), "to wait for approval")
        [asked] = status["approvals"]
        return action("Approve", revision=asked["revision"], point=asked["point"], **who)

    def served(self) -> str:
        """The slot that its Service selects."""
        found = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/services/checkout")
        return str(found["spec"]["selector"]["slot"])

    def answer(self, made: tuple[int, Json]) -> tuple[str, str]:
        """The operator's answer to a RolloutAction: phase and message."""
        status, body = made
        assert status == 201, body
        path = f"{collection('RolloutAction', self.namespace)}/{body['metadata']['name']}"
        found = self.cluster.wait(
            lambda: (each := self.cluster.get(path).get("status", {})).get("phase") and each, SECONDS, "an answer"
        )
        return found["phase"], found["message"]


@pytest.fixture
def shop(installed: Cluster, namespace: str, operator: Operator) -> Iterator[Shop]:
    """In a run to v2, which waits for somebody of the group, by a RolloutPolicy."""
    policy = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "RolloutPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "approval": {"group": GROUP},
        },
    }
    assert operator.running()
    path = collection("RolloutPolicy", "")
    installed.client.checked("POST", path, policy)
    made = Shop(installed, namespace)
    made.deploy()
    installed.wait(lambda: installed.get(f"{path}/{namespace}").get("status"), SECONDS, "the policy to be in force")
    made.release("v2")
    made.wait(lambda status: status.get("approvals"), "to wait for approval")
    yield made
    installed.client.checked("DELETE", f"{path}/{namespace}")


def test_an_approval_counts_in_ones_own_name_alone(shop: Shop, user: Callable[..., As]) -> None:
    """Without name and groups it is rejected, and says why; with one's own it counts, and says what is not known."""
    grace = user("grace", "sluice-approver")
    phase, message = shop.answer(grace.create(shop.approval()))
    assert (phase, "nobody vouches for who approves" in message) == ("Rejected", True), message
    phase, message = shop.answer(grace.create(shop.approval(actor="grace")))
    assert (phase, "nobody vouches for who approves" in message) == ("Rejected", True), message
    phase, message = shop.answer(grace.create(shop.approval(**MINE)))
    assert (phase, "self-approval could not be ruled out" in message) == ("Done", True), message
    assert shop.actors(action="Approve") == {"grace"}
    [asker] = shop.actors(action="start")
    assert asker.startswith("unattributed (field manager ")


@pytest.mark.parametrize("named, told", [({}, "unattributed"), ({"engagedBy": "bob"}, "bob")])
def test_a_kill_works_whoever_did_it(shop: Shop, user: Callable[..., As], named: Json, told: str) -> None:
    """The run is killed, and status and audit say that nobody knows by whom, or the name that somebody wrote."""
    bob, grace = user("bob", "sluice-operator-verbs"), user("grace", "sluice-approver")
    assert shop.answer(grace.create(shop.approval(**MINE)))[0] == "Done"
    shop.cluster.wait(lambda: shop.served() == "green", SECONDS, "the switch to green")
    assert bob.create(switch("stop", engaged=True, reason="5xx on checkout", **named))[0] == 201
    status = shop.wait(lambda status: status.get("phase") == "Killed", "to be killed")
    assert f"by {told}: 5xx on checkout" in status["message"]
    assert shop.actors(action="return", reason="KilledBySwitch") == {told}
    assert shop.served() == "blue"


def test_what_others_write_is_put_back(shop: Shop) -> None:
    """Nothing pins what Sluice has set: it is in force until the operator sees it, and told as somebody else's."""
    path = f"/api/v1/namespaces/{shop.namespace}/services/checkout"
    foreign = {"spec": {"selector": {"slot": "green"}}}
    assert shop.cluster.client.checked("PATCH", path, foreign, MERGE)["spec"]["selector"]["slot"] == "green"
    shop.cluster.wait(lambda: shop.served() == "blue", SECONDS, "the selector to be put back")
    shop.cluster.wait(lambda: shop.actors(action="repair"), SECONDS, "the audit to tell of it")
