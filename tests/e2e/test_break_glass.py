"""Kills with no operator: a person's own writes, which nobody undoes, and which the operator obeys when it is back."""

from __future__ import annotations

import json

from e2e.support.app import App, Json
from e2e.support.fixtures import MakeApp
from e2e.support.manifests import canary, pause, weight
from e2e.support.waiting import until
from e2e.support.world import RELEASER, World

HALF = canary(weight(50), pause())
WHY = "5xx, and nobody runs"


def test_a_kill_while_no_operator_runs(world: World, make_app: MakeApp) -> None:
    """Rights that are missing are named; with them traffic ends, a sync brings nothing back, and the operator obeys."""
    killed, other = (make_app(name).deploy() for name in ("checkout", "cart"))
    with world.lone_operator() as operator:
        operator.start()
        for app in (killed, other):
            app.manage(HALF)
        with killed.steady(rate=200) as load:
            for app in (killed, other):
                app.release()
                app.wait_weight("50%")
                app.wait_condition("Paused", "True", "AwaitsPromotion")
            load.wait_for_version("v2")
            operator.kill()
            kill = ("kill", "--direct", "-n", killed.namespace, "--reason", WHY)
            refused = world.sluice(*kill)
            assert refused.code == 1
            assert "Cannot write directly what is covered by KillSwitch" in refused.err
            assert "sluice-breakglass" in refused.err
            assert killed.share() == 0.5

            role = "--clusterrole=sluice-breakglass"
            killed.kubectl("create", "rolebinding", "breakglass", role, f"--user={RELEASER}")
            as_before = killed.route()
            until(lambda: world.sluice(*kill).code == 0, "the routes to be written by hand")
            killed.only("v1", 1_000)
            assert killed.share() == 0
            hold = killed.route()["metadata"]["annotations"]["sluice.dev/hold"]
            assert hold.startswith(f"{RELEASER}: {WHY} (")

            sync(killed, as_before)
            assert killed.share() == 0, "a sync gave the candidate its traffic back"
            assert other.share() == 0.5, "another namespace's candidate was taken back, too"

            operator.start()
            assert WHY in killed.wait_phase("Killed")["message"]
            killed.only("v1")
            other.wait_condition("Paused", "True", "AwaitsPromotion")

            assert world.sluice("release", "-n", killed.namespace, "--reason", "mended").code == 0
            killed.act("Retry")
            killed.wait_message("sluice.dev/hold")
            assert killed.share() == 0
            killed.kubectl("annotate", "httproute", killed.name, "sluice.dev/hold-")
            killed.act("Retry")
            killed.wait_weight("50%")


def sync(app: App, route: Json) -> None:
    """As Git has it: without what others wrote into its metadata."""
    manifest = {name: route[name] for name in ("apiVersion", "kind", "spec")}
    manifest["metadata"] = {"name": app.name, "namespace": app.namespace}
    app.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(manifest))
