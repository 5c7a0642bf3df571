"""Who somebody is, by client certificates and tokens of service accounts: allowed, forbidden, forged, and expired.

Other tests tell people apart by static tokens, which neither expire nor are signed by anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.crds.people import As, allow, refused
from contract.crds.records import await_refusals
from contract.crds.resources import collection
from contract.crds.rights import await_right
from contract.policies import action, rollout, switch
from testbed import Cluster
from testbed.identities import make_authority

pytestmark = pytest.mark.cluster

MANAGERS, OTHERS = "release-managers", "accounting"
APPROVAL: dict[str, Any] = {"revision": 1, "point": "step-3"}
HOUR_SECONDS = 3600
Grant = Callable[..., None]


def by_certificate(cluster: Cluster, namespace: str, name: str, *groups: str, **how: Any) -> As:
    """Somebody whose name and groups a client certificate tells."""
    return As(cluster, namespace, client=cluster.client_for_certificate(name, groups, **how))


# ------------------------------------------------------------------ client certificates


@pytest.fixture
def mia(installed: Cluster, namespace: str, grant: Grant) -> As:
    """On call, and one of the release managers: by a certificate."""
    grant("mia", "sluice-operator-verbs", "sluice-approver")
    return by_certificate(installed, namespace, "mia", MANAGERS, "oncall")


@pytest.mark.parametrize("forged", [{}, {"actor": "grace"}, {"actorGroups": ["admins"]}, {"actorGroups": []}])
def test_a_certificates_name_and_groups_are_stamped(mia: As, forged: dict[str, Any]) -> None:
    """Who approves, and for which groups it counts, is what the certificate says, whatever the request does."""
    status, body = mia.create(action("Approve", **APPROVAL, **forged))
    assert (status, body["spec"]["actor"]) == (201, "mia")
    assert sorted(body["spec"]["actorGroups"]) == ["oncall", MANAGERS, "system:authenticated"]


def test_a_certificates_name_is_on_switches_and_rollouts(mia: As, installed: Cluster, namespace: str) -> None:
    """Also who engages, and who asks for a run, in place of another that they name."""
    status, body = mia.create(switch("stop", engaged=True, reason="5xx", engagedBy="grace"))
    assert (status, body["spec"]["engagedBy"]) == (201, "mia")
    allow(installed, namespace, "author", "create", "rollouts.sluice.dev", user="mia")
    allow(installed, namespace, "mover", "patch", "httproutes.gateway.networking.k8s.io", "a", user="mia")
    asked = rollout("checkout")
    asked["metadata"]["annotations"] = {"sluice.dev/requester": "grace", "sluice.dev/requested-by": "grace"}
    status, body = mia.create(asked)
    assert (status, body["metadata"]["annotations"]["sluice.dev/requester"]) == (201, "mia"), body


def test_what_a_group_may_its_certificates_may(installed: Cluster, namespace: str) -> None:
    """A role that is bound to a group is for those whose certificate names it, and for nobody else."""
    installed.kubectl(
        "-n", namespace, "create", "rolebinding", "managers", "--clusterrole=sluice-approver", f"--group={MANAGERS}"
    )
    await_right(installed, "nina", "approve", "rollouts.sluice.dev", namespace=namespace, groups=(MANAGERS,))
    nina = by_certificate(installed, namespace, "nina", MANAGERS)
    otto = by_certificate(installed, namespace, "otto", OTHERS)
    assert nina.create(action("Approve", **APPROVAL))[0] == 201
    refused(otto.create(action("Approve", **APPROVAL)), 403, 'User "otto" cannot create resource "rolloutactions"')
    refused(nina.create(action("Hold", reason="looking")), 403, "nina may not hold rollouts/checkout")


def test_a_missing_verb_is_told_by_the_certificates_name(installed: Cluster, namespace: str, grant: Grant) -> None:
    """Refused, and on record: who may write Rollouts may not therefore approve, nor release."""
    grant("olaf", "sluice-editor")
    olaf = by_certificate(installed, namespace, "olaf", MANAGERS)
    refused(olaf.create(action("Approve", **APPROVAL)), 403, "olaf may not approve rollouts/checkout")
    assert olaf.create(switch("stop", engaged=True, reason="5xx"))[0] == 201
    released = olaf.patch("KillSwitch", "stop", engaged=False, releaseReason="fixed")
    refused(released, 403, "olaf may not release killswitches/stop: it needs the verb release")
    told = await_refusals(installed, namespace, 2)
    assert [(each["who"], each["rule"]) for each in told] == [
        ("olaf", "sluice-rolloutaction-verbs"),
        ("olaf", "sluice-killswitch-release"),
    ]


def acting_as(cluster: Cluster, namespace: str, name: str, whom: str, group: str) -> As:
    """Somebody who asks to be taken for another, in a group of the other's."""
    headers = {"Impersonate-User": whom, "Impersonate-Group": group}
    return As(cluster, namespace, client=cluster.client_for_certificate(name, headers=headers))


def test_nobody_acts_as_another_without_the_right(installed: Cluster, namespace: str, grant: Grant) -> None:
    """Impersonation is refused, leaves no approval behind, and is on record with the name of who tried."""
    grant("grace", "sluice-approver")
    mallory = acting_as(installed, namespace, "mallory", "grace", MANAGERS)
    refused(mallory.create(action("Approve", **APPROVAL)), 403, 'User "mallory" cannot impersonate')
    assert installed.get(collection("RolloutAction", namespace))["items"] == []
    [told] = await_refusals(installed, namespace, 1)
    assert (told["who"], told["actingAs"], told["code"]) == ("mallory", "", 403)


def test_who_may_act_as_another_is_on_record_beside_them(installed: Cluster, namespace: str) -> None:
    """With the right to impersonate one is the other, for the stamps and the verbs; the API server tells of both."""
    rule = {"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    name = f"support-{namespace}"
    installed.client.checked("POST", f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": [rule]})
    installed.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", "--user=support")
    await_right(installed, "support", "impersonate", "users")
    allow(installed, namespace, "creator", "create", "rolloutactions.sluice.dev", user="heidi")
    heidi = acting_as(installed, namespace, "support", "heidi", OTHERS)
    refused(heidi.create(action("Approve", **APPROVAL)), 403, "heidi may not approve rollouts/checkout")
    [told] = await_refusals(installed, namespace, 1)
    assert (told["who"], told["actingAs"]) == ("support", "heidi")
    allow(installed, namespace, "approver", "approve", "rollouts.sluice.dev", user="heidi")
    status, body = heidi.create(action("Approve", **APPROVAL))
    assert (status, body["spec"]["actor"]) == (201, "heidi")
    assert sorted(body["spec"]["actorGroups"]) == [OTHERS, "system:authenticated"]


def test_a_certificate_of_another_authority_is_nobodys(installed: Cluster, namespace: str, tmp_path: Path) -> None:
    """Whoever signs themselves a certificate with an administrator's name and groups is let do nothing."""
    forged = by_certificate(installed, namespace, "admin", "system:masters", signed_in=make_authority(tmp_path))
    refused(forged.create(action("Approve", **APPROVAL)), 401, "Unauthorized")


# ------------------------------------------------------------------ credentials that have expired

Credentials = Callable[[int], As]


@pytest.fixture(params=["token", "certificate"])
def credentials(request: pytest.FixtureRequest, installed: Cluster, namespace: str) -> Credentials:
    """Makes, for one who may approve, engage and release, credentials that are good for so many seconds."""
    if request.param == "token":
        installed.kubectl("-n", namespace, "create", "serviceaccount", "robot")
    name = f"system:serviceaccount:{namespace}:robot" if request.param == "token" else "pia"
    for role in ("sluice-approver", "sluice-operator-verbs", "sluice-releaser"):
        installed.kubectl("-n", namespace, "create", "rolebinding", role, f"--clusterrole={role}", f"--user={name}")
    for verb, resource in (("approve", "rollouts"), ("patch", "killswitches"), ("release", "killswitches")):
        await_right(installed, name, verb, f"{resource}.sluice.dev", namespace=namespace)

    def good_for(seconds: int) -> As:
        if request.param == "certificate":
            return by_certificate(installed, namespace, "pia", MANAGERS, seconds=seconds)
        return As(installed, namespace, token=installed.signed_token(namespace, "robot", seconds))

    return good_for


def attempts(who: As) -> Sequence[tuple[int, dict[str, Any]]]:
    """Approves, engages, and releases."""
    return (
        who.create(action("Approve", **APPROVAL)),
        who.patch("KillSwitch", "armed", engaged=True, reason="5xx"),
        who.patch("KillSwitch", "engaged", engaged=False, releaseReason="over"),
    )


def stored(cluster: Cluster, namespace: str) -> list[tuple[str, str]]:
    """All actions and switches, and which version of each."""
    kinds = ("RolloutAction", "KillSwitch")
    found = [each for kind in kinds for each in cluster.get(collection(kind, namespace))["items"]]
    return [(each["metadata"]["name"], each["metadata"]["resourceVersion"]) for each in found]


def test_expired_credentials_change_nothing(installed: Cluster, namespace: str, credentials: Credentials) -> None:
    """An expired token or certificate approves, engages and releases nothing, and each attempt is on record.

    The same from the same hand, but not expired, is let do all of it.
    """
    for name, spec in (("armed", {}), ("engaged", {"engaged": True, "reason": "5xx"})):
        installed.client.checked("POST", collection("KillSwitch", namespace), switch(name, **spec))
    before = stored(installed, namespace)
    for answer in attempts(credentials(-HOUR_SECONDS)):
        refused(answer, 401, "Unauthorized")
    assert stored(installed, namespace) == before
    told = await_refusals(installed, namespace, 3)
    assert [(each["code"], each["who"], each["verb"], each["what"]) for each in told] == [
        (401, "", "create", f"rolloutactions.sluice.dev {namespace}"),
        (401, "", "patch", f"killswitches.sluice.dev {namespace}/armed"),
        (401, "", "patch", f"killswitches.sluice.dev {namespace}/engaged"),
    ]
    assert {each["address"] for each in told} == {"127.0.0.1"}
    assert [status for status, _ in attempts(credentials(HOUR_SECONDS))] == [201, 200, 200]


def test_a_look_with_an_expired_token_is_on_record(installed: Cluster, namespace: str) -> None:
    """Most tools read first, and so get no further; who is known may read without being written down."""
    installed.kubectl("-n", namespace, "create", "serviceaccount", "robot")
    expired, good = (installed.signed_token(namespace, "robot", seconds) for seconds in (-HOUR_SECONDS, HOUR_SECONDS))
    path = f"{collection('Rollout', namespace)}/checkout"
    assert installed.request("GET", path, token=good)[0] == 403
    assert installed.request("GET", path, token=expired)[0] == 401
    [told] = await_refusals(installed, namespace, 1)
    assert (told["verb"], told["what"], told["code"]) == ("get", f"rollouts.sluice.dev {namespace}/checkout", 401)


def test_a_token_ends_with_what_it_is_bound_to(installed: Cluster, namespace: str) -> None:
    """A token that has an hour left is nobody's once the object that it was made for is gone."""
    installed.kubectl("-n", namespace, "create", "serviceaccount", "robot")
    account = f"system:serviceaccount:{namespace}:robot"
    allow(installed, namespace, "engager", "create", "killswitches.sluice.dev", user=account)
    path = f"/api/v1/namespaces/{namespace}"
    for name in ("kept", "gone"):
        installed.client.checked("POST", f"{path}/secrets", {"metadata": {"name": name}})
    tokens = {}
    for name in ("kept", "gone"):
        bound = {"kind": "Secret", "apiVersion": "v1", "name": name}
        asked = {"spec": {"boundObjectRef": bound, "expirationSeconds": HOUR_SECONDS}}
        made = installed.client.checked("POST", f"{path}/serviceaccounts/robot/token", asked)
        tokens[name] = As(installed, namespace, token=made["status"]["token"])
    installed.client.checked("DELETE", f"{path}/secrets/gone")
    refused(tokens["gone"].create(switch("gone", engaged=True, reason="5xx")), 401, "Unauthorized")
    status, body = tokens["kept"].create(switch("kept", engaged=True, reason="5xx"))
    assert (status, body["spec"]["engagedBy"]) == (201, account)
