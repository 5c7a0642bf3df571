"""What the repository tells people to apply and to type: samples live, YAML and commands are valid."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml

from e2e.support.app import MERGE, SLUICE, App, Json
from e2e.support.fixtures import show
from e2e.support.waiting import until
from e2e.support.world import World
from installation import ROOT
from sluice.cli.main import cli
from testbed import Cluster, apps

NAMESPACE, ELSEWHERE = "shop", "shop-of-documents"  # what samples and documents name, and one without their objects
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("[mc]*/*.yaml"))
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/[!ra]*/*.md")), *sorted(ROOT.glob("docs/runbooks/*.md"))]
READING = {"get", "describe", "events", "logs"}
PLACEHOLDERS = {
    "NAMESPACE": NAMESPACE,
    "NAME": "checkout",
    "ROUTE": "checkout",
    "SLOT": "blue",
    "SELECTOR": '{"app":"checkout","slot":"blue"}',
    "HOLDER": "sluice-0",
    "WHY": "drill",
    "WHAT WAS MENDED": "drill is over",
}
_GOES_ON = "\\"
# Policies are left out: they cover every namespace.
LIVING = ("AnalysisTemplate", "ClusterAnalysisTemplate", "Rollout", "KillSwitch", "RolloutAction")
_FENCED = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)


def objects(kind: str = "") -> list[Json]:
    """The samples' objects, all or of one kind."""
    found = [made for path in SAMPLES for made in yaml.safe_load_all(path.read_text())]
    return [made for made in found if kind in {"", made["kind"]}]


def surroundings(rollout: Json) -> list[Json]:
    """The Services, Deployments and routes that a sample Rollout speaks of, with all traffic on blue."""
    name, workload, traffic = rollout["metadata"]["name"], rollout["spec"]["workload"], rollout["spec"]["traffic"]
    made: list[Json] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    if "services" in workload:
        made += yaml.safe_load_all(apps.two_slots(NAMESPACE, name, "", replicas=1, route=None, grace_seconds=1))
    if "workloadRef" in workload:
        deployment = apps.deployment(NAMESPACE, name, "blue", "v1", replicas=1, grace_seconds=1)
        made.append(deployment | {"metadata": {"name": workload["workloadRef"]["name"], "namespace": NAMESPACE}})
    for number, route in enumerate(traffic.get("routes", ())):
        weights = {f"{name}-blue": 100, f"{name}-green": 0}
        host, kind = f"{name}-{number}.shop.example", route.get("kind", "HTTPRoute")
        made.append(apps.weighted_route(NAMESPACE, route["name"], host, weights, kind=kind))
        for backend in made[-1]["spec"]["rules"][0]["backendRefs"]:
            backend["port"] = port_of(workload)
    switched = traffic.get("service", {})
    plain = {switched.get("active"): "blue", switched.get("preview"): "green", traffic.get("stableService"): "blue"}
    made += [apps.service(NAMESPACE, service, name, slot) for service, slot in plain.items() if service]
    return made


def port_of(workload: Json) -> int:
    """The first port of the slots' Services."""
    if "template" not in workload:
        return 80
    [first, *_] = workload.get("ports") or workload["template"]["spec"]["containers"][0]["ports"]
    return int(first["port"] if "port" in first else first["containerPort"])


@pytest.fixture(scope="module")
def shop(world: World) -> Iterator[Cluster]:
    """The namespace of the samples, with what they speak of; it and all cluster-wide samples are gone at the end."""
    hub = world.hub
    rollouts = objects("Rollout")
    hub.apply(yaml.safe_dump_all([made for rollout in rollouts for made in surroundings(rollout)]))
    for app in [sample_app(world, rollout) for rollout in rollouts if "services" in rollout["spec"]["workload"]]:
        for service in (app.blue, app.green):
            app.wait_endpoints(service, 1)
    yield hub
    for switch in objects("ClusterKillSwitch"):
        path = f"{SLUICE}/clusterkillswitches/{switch['metadata']['name']}"
        hub.request("PATCH", path, {"spec": {"engaged": False, "releaseReason": "samples were seen"}}, MERGE)
        hub.request("DELETE", path)
    for template in objects("ClusterAnalysisTemplate"):
        hub.request("DELETE", f"{SLUICE}/clusteranalysistemplates/{template['metadata']['name']}")
    for member in objects("MemberCluster"):
        hub.request("DELETE", f"{SLUICE}/memberclusters/{member['metadata']['name']}")
    hub.request("DELETE", f"{SLUICE}/namespaces/{NAMESPACE}/rollouts")
    for namespace in (NAMESPACE, ELSEWHERE):
        hub.request("DELETE", f"/api/v1/namespaces/{namespace}")


def sample_app(world: World, rollout: Json) -> App:
    """The app of a sample Rollout."""
    return App(world.hub, world.data_plane, namespace=NAMESPACE, name=rollout["metadata"]["name"], host="")


# ------------------------------------------------------------------------------------------ samples


def test_every_sample_lives(world: World, shop: Cluster, request: pytest.FixtureRequest) -> None:
    """Applied as they are, in the order of their kinds: Rollouts are adopted and start their runs, switches act.

    Those over a fleet say that they have none here.
    """
    switches = objects("ClusterKillSwitch")
    shop.apply(yaml.safe_dump_all([made for kind in LIVING for made in objects(kind)]))
    for rollout in objects("Rollout"):
        app = sample_app(world, rollout)
        show(request.node, world, app)
        if "fleet" in rollout["spec"]:
            until(lambda app=app: app.condition("Ready").get("status") == "False", f"{app} to wait")  # type: ignore[misc]
            assert app.status["message"]
            continue
        status = app.wait_phase("Healthy", "Progressing", "Paused", "Aborted")
        if rollout["spec"]["workload"].get("active", "blue") == "blue":
            assert "revision" not in status
            app.wait_phase("Healthy")
        else:
            until(lambda app=app: app.status.get("revision", {}).get("number") == 1, f"the run of {app}")  # type: ignore[misc]
        assert not app.condition("Stalled"), app.condition("Stalled")
    for action in objects("RolloutAction"):
        path = f"{SLUICE}/namespaces/{NAMESPACE}/rolloutactions/{action['metadata']['name']}"
        until(partial(status_of, shop, path, "phase"), f"an answer to {path}")
    shop.apply(yaml.safe_dump_all(switches))
    for switch in switches:
        path = f"{SLUICE}/clusterkillswitches/{switch['metadata']['name']}"
        engaged = bool(switch["spec"].get("engaged"))
        until(partial(status_of, shop, path, "effectiveAt" if engaged else "state"), f"{path} to be in force")
        assert status_of(shop, path, "state") == ("Engaged" if engaged else "Armed")
    members = objects("MemberCluster")  # by Secrets that nobody made here
    shop.apply(yaml.safe_dump_all(members))
    for member in members:
        path = f"{SLUICE}/memberclusters/{member['metadata']['name']}"
        until(partial(is_stalled, shop, path), f"{path} to be Stalled")


def is_stalled(cluster: Cluster, path: str) -> bool:
    """Whether a MemberCluster's Secret is said to be missing."""
    conditions = cluster.get(path).get("status", {}).get("conditions", [])
    return any(told["type"] == "Stalled" and told["reason"] == "SecretMissing" for told in conditions)


def status_of(cluster: Cluster, path: str, field: str) -> str:
    """A field of an object's status; empty before it is there."""
    return str(cluster.get(path).get("status", {}).get(field, ""))


# ------------------------------------------------------------------------------------------ documents


def fenced_yaml() -> list[tuple[str, str]]:
    """(document, YAML) of every fenced block that is a whole object; settings of other programs are not ours to try."""
    blocks = [(path, block) for path in DOCUMENTS for block in _FENCED.findall(path.read_text())]
    return [(str(path.relative_to(ROOT)), block) for path, block in blocks if block.startswith("apiVersion:")]


def indented(path: Path) -> Iterator[str]:
    """Every indented block of a document, without the indentation and outside of fenced blocks."""
    for block in _INDENTED.findall(re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)):
        yield "\n".join(line[4:] for line in block.splitlines())


def commands(program: str) -> list[tuple[str, list[str]]]:
    """(document, words) of every command of a program, with placeholders filled in."""
    found = []
    for path in DOCUMENTS:
        for block in indented(path):
            for line in joined(block):
                text = line.removeprefix("$ ")
                for placeholder, value in PLACEHOLDERS.items():
                    text = re.sub(rf"\b{placeholder}\b", value, text)
                if text.startswith(f"{program} "):
                    found.append((str(path.relative_to(ROOT)), shlex.split(text, comments=True)[1:]))
    return found


def joined(block: str) -> Iterator[str]:
    """The lines of a block; those that a quote or a backslash goes on over are one."""
    line = ""
    for part in block.splitlines():
        line = f"{line.removesuffix(_GOES_ON)}\n{part}" if line else part
        if line.count("'") % 2 == 0 and not line.endswith(_GOES_ON):
            yield line
            line = ""


def identity(value: object) -> str:
    """How a parametrised test is called."""
    return value if isinstance(value, str) and "\n" not in value else ""


def can_run(words: list[str]) -> bool:
    """Whether a kubectl command needs neither an editor nor a file of the reader's own."""
    files = [after for word, after in itertools.pairwise(words) if word in {"-f", "--kubeconfig"}]
    files += [word.rpartition("=")[2] for word in words if word.startswith("--from-file=")]
    return "edit" not in words and all((ROOT / file).exists() for file in files)


@pytest.mark.parametrize("document, block", fenced_yaml(), ids=identity)
def test_the_yaml_of_a_document_is_accepted(shop: Cluster, document: str, block: str) -> None:
    """As written, by the API server with its policies, where nothing of these names is there yet."""
    shop.kubectl("create", "namespace", ELSEWHERE, check=False)
    block = re.sub(rf"\bnamespace: {NAMESPACE}\b", f"namespace: {ELSEWHERE}", block)
    named = all("name" in made["metadata"] for made in yaml.safe_load_all(block))
    verb = "apply" if named else "create"  # kubectl applies nothing that has no name yet
    shop.kubectl(verb, "--dry-run=server", "-f", "-", input=block)


def fragments() -> list[tuple[str, Json]]:
    """(document, part of a Rollout or of a switch) of every indented block that begins with `spec:`."""
    blocks = [(path, block) for path in DOCUMENTS for block in indented(path) if block.startswith("spec:")]
    return [(str(path.relative_to(ROOT)), yaml.safe_load(block)) for path, block in blocks]


@pytest.mark.parametrize("document, fragment", fragments(), ids=identity)
def test_a_fragment_of_a_spec_is_accepted(shop: Cluster, document: str, fragment: Json) -> None:
    """Where it belongs: in the smallest canary, and what is measured to trip a switch in an armed one."""
    if "autoTrip" in fragment["spec"]:
        whole = next(made for made in objects("KillSwitch") if "autoTrip" in made["spec"])
    else:
        whole = next(made for made in objects("Rollout") if made["metadata"]["name"] == "checkout")
    whole = {**whole, "spec": whole["spec"] | fragment["spec"]}
    shop.kubectl("apply", "--dry-run=server", "-f", "-", input=yaml.safe_dump(whole))


def test_the_kubectl_commands_of_the_documents_work(shop: Cluster) -> None:
    """Each as written, one after the other; what writes, with `--dry-run=server`."""
    found = [(document, words) for document, words in commands("kubectl") if can_run(words)]
    assert len(found) >= 8, found
    shop.apply(yaml.safe_dump_all([made for kind in LIVING for made in objects(kind)]))
    shop.apply(yaml.safe_dump_all(objects("ClusterKillSwitch") + objects("MemberCluster")))
    shop.apply(ROOT / "manifests" / "samples" / "minimal" / "kill-switch.yaml")
    shop.apply(yaml.safe_dump(apps.service(NAMESPACE, "checkout", "checkout", "blue")))
    for document, words in found:
        if any("releaseReason" in word for word in words):
            engage = '{"spec":{"engaged":true,"reason":"to be released"}}'
            shop.kubectl("patch", "killswitch", "stop", "-n", NAMESPACE, "--type=merge", "-p", engage)
        here = [str(ROOT / word) if "/" in word and (ROOT / word).exists() else word for word in words]
        dry = [] if words[0] in READING else ["--dry-run=server"]
        answer = shop.kubectl(*here, *dry, check=False)
        assert "rror" not in answer, f"{document}: kubectl {shlex.join(words)}: {answer}"
    release = '{"spec":{"engaged":false,"releaseReason":"documents were read"}}'
    shop.kubectl("patch", "killswitch", "stop", "-n", NAMESPACE, "--type=merge", "-p", release)


def test_the_sluice_commands_of_the_documents_parse() -> None:
    """Every subcommand, option and argument in the documents exists."""
    found = commands("sluice")
    assert len(found) >= 8, found
    for document, words in found:
        subcommand = cast("dict[str, click.Command]", cast("Any", cli).commands).get(words[0])
        assert subcommand is not None, f"{document}: sluice {shlex.join(words)}"
        try:
            subcommand.make_context(words[0], list(words[1:]))
        except click.UsageError as error:
            pytest.fail(f"{document}: sluice {shlex.join(words)}: {error.format_message()}")


def test_every_document_is_looked_at() -> None:
    """The patterns above still find what is written."""
    assert {path.parent.name for path in DOCUMENTS} >= {"guides", "concepts", "runbooks"}
    assert len(fenced_yaml()) >= 3
    assert list(itertools.chain(*map(indented, DOCUMENTS)))
    assert {made["kind"] for made in objects()} >= {"Rollout", "KillSwitch", "RolloutAction", "AnalysisTemplate"}
