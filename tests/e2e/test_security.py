"""The operator at work: its rights are enough for all it does, and what it is trusted with stays with it.

Which rights it has is told by the contract tests of the roles; here is whether it ever needed another one.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterable

import pytest
import yaml

from contract.crds.rights import await_right
from e2e.outages import OPERATOR, in_an_outage
from e2e.support.app import SLUICE, App, Json
from e2e.support.manifests import background, canary, metric, pause, weight
from e2e.support.waiting import until
from e2e.support.world import World
from testbed.processes import session

REFUSED = re.compile(r'answered 403|answered 401|Forbidden|"status": 40[13]|status="40[13]"')
ENDING = re.compile(r"being terminated")  # a namespace on its way out takes nothing new, whoever asks
PROMETHEUS = "prometheus-credentials"


def everything_logged(world: World) -> str:
    """The logs of every operator process of this session, also of those that were killed."""
    names = [operator.name for operator in world.operators]
    logs = sorted(path for name in names for path in session().folder.glob(f"{world.hub.name}-{name}-*.log"))
    assert logs, "no operator logged anything"
    return "\n".join(path.read_text(errors="replace") for path in logs)


def lines_with(pattern: re.Pattern[str], lines: Iterable[str]) -> list[str]:
    """The lines that match."""
    return [line for line in lines if pattern.search(line)]


def lead_a_life(app: App) -> None:
    """Go through everything that makes the operator write: runs, actions, a kill, events, old runs, an end."""
    app.deploy(replicas=1).manage(canary(weight(50), pause()), revisionHistoryLimit=1)
    app.apply("KillSwitch", "stop", {})
    app.release()
    app.wait_weight("50%")
    app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", '{"spec":{"engaged":true,"reason":"drill"}}')
    app.wait_phase("Killed")
    released = {"spec": {"engaged": False, "releaseReason": "drill over"}}
    app.kubectl("patch", "killswitch", "stop", "--type=merge", "-p", json.dumps(released))
    until(lambda: not app.condition("Killed") or app.act("Retry")["phase"] == "Done", "a retry to be taken")
    app.wait_weight("50%")
    app.do("Pause", reason="lunch")
    app.do("Resume")
    app.do("Promote")
    app.wait_phase("Healthy")
    app.do("Undo", reason="looks odd")
    until(lambda: app.status["revision"]["number"] >= 3, "the way back")
    app.kubectl("delete", "rollout", app.name, "--timeout=120s")


def test_the_service_account_is_never_refused(world: World, app: App) -> None:
    """In a whole life of a Rollout, and in all that this session did before, no request was refused, nor a defect told.

    A 403 would show in the logs, also of operators that were killed since, and in the metrics of those that run.
    """
    lead_a_life(app)
    logged = [line for line in everything_logged(world).splitlines() if not in_an_outage(line)]
    refused = [line for line in lines_with(REFUSED, logged) if not ENDING.search(line)]
    assert not refused, refused[:5]
    defects = lines_with(re.compile("this is a defect of Sluice|Traceback|Unclosed|never awaited"), logged)
    assert not defects, defects[:5]
    counted = [operator.http("/metrics") for operator in world.operators]
    unauthenticated = [line for text in counted for line in lines_with(re.compile('status="401"'), text.splitlines())]
    assert not unauthenticated, unauthenticated


@pytest.fixture
def token(app: App) -> str:
    """A bearer token in a Secret of the app's namespace, which the operator may read: this Secret, and no other."""
    secret = f"tok-{uuid.uuid4().hex}"
    app.deploy(replicas=1)
    app.kubectl("create", "secret", "generic", PROMETHEUS, f"--from-literal=token={secret}")
    app.kubectl("create", "role", "sluice-secret", "--verb=get", "--resource=secrets", f"--resource-name={PROMETHEUS}")
    account = "--serviceaccount=sluice-system:sluice"
    app.kubectl("create", "rolebinding", "sluice-secret", "--role=sluice-secret", account)
    await_right(app.hub, OPERATOR, "get", "secrets", namespace=app.namespace, name=PROMETHEUS)
    return secret


def test_a_token_is_used_and_never_told(world: World, app: App, token: str) -> None:
    """A metric with `secretRef` is measured; its token is in no log, event, status or metric, also when it fails."""

    def asking(name: str, query: str) -> Json:
        made = metric(name, query, {"max": 1})
        made["prometheus"] |= {"address": app.data_plane.prometheus_url, "secretRef": {"name": PROMETHEUS}}
        return made

    metrics = [asking("good", "vector(0)"), asking("broken", "sum(rate("), asking("many", "up")]
    app.manage(canary(weight(50), pause()), analysis=background(*metrics))
    app.release()
    app.wait_weight("50%")
    until(lambda: app.metric("good").get("phase") == "Passing", "the metric to be measured with the token")
    assert app.metric("good")["value"] == 0
    until(lambda: app.metric("broken").get("phase") == "Error", "the broken one to fail")
    until(lambda: app.metric("many").get("phase") == "Inconclusive", "the vague one to give no number")
    app.do("Abort", reason="seen enough")
    app.wait_event("AbortedByAction")

    told = {
        "logs": everything_logged(world),
        "events": json.dumps(app.hub.get(f"/api/v1/namespaces/{app.namespace}/events")),
        "metrics": "".join(operator.http("/metrics") for operator in world.operators),
        "sluice status": world.sluice("status", app.name, "-n", app.namespace, "-o", "yaml").out,
    }
    for plural in ("rollouts", "rolloutruns", "rolloutactions"):
        told[plural] = json.dumps(app.hub.get(f"{SLUICE}/namespaces/{app.namespace}/{plural}"))
    for where, text in told.items():
        assert text, where
        for form in (token, base64.b64encode(token.encode()).decode()):
            assert form not in text, f"the token is in the {where}"


def test_an_address_nobody_allowed_gets_no_token(app: App, token: str) -> None:
    """A Rollout cannot send the Secret to a server of its own: the address is refused, the message says by what."""
    elsewhere = metric("elsewhere", "vector(0)", {"max": 1})
    elsewhere["prometheus"] |= {"address": "http://collector.example:9090", "secretRef": {"name": PROMETHEUS}}
    app.manage(canary(weight(50), pause()), analysis=background(elsewhere))
    app.release()
    until(lambda: app.metric("elsewhere").get("phase") == "Error", "the address to be refused")
    assert "http://collector.example:9090 is not on the operator's allow-list" in app.metric("elsewhere")["message"]
    assert token not in yaml.safe_dump(app.rollout())
