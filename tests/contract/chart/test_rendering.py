"""The chart renders to what `kubectl kustomize` makes of manifests/, and refuses values that mean nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.core import ParameterSource

from helm import CHART, Helm, Json, objects
from installation import ROOT
from sluice.cli.run import command as run
from testbed import TestbedError, builder

pytestmark = pytest.mark.cluster

HELMS_LABELS = ("app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart")
KEPT = {"helm.sh/resource-policy": "keep"}
BEFORE_136 = ("--set", "mutatingPolicies=false", "--kube-version", "1.35.0")
FROM_PROFILES = ("--set", "settings.clusterProfiles=fleet")
COMMANDLINE = ParameterSource.COMMANDLINE
Key = tuple[str, str, str]


def kustomized(folder: str | Path, namespace: str = "sluice-system") -> dict[Key, Json]:
    """The objects of a folder (a path, or a name in manifests/) in another namespace; without the namespace itself."""
    kubectl = str(builder.binary("kubectl"))
    done = subprocess.run(
        [kubectl, "kustomize", ROOT / "manifests" / folder], capture_output=True, text=True, check=True
    )
    text = done.stdout.replace("sluice-system:sluice-member", "MEMBER").replace("sluice-system", namespace)
    made = objects(text.replace("MEMBER", "sluice-system:sluice-member"))
    return by_name(without_blank_lines(each) for each in made if each["kind"] != "Namespace")


def without_blank_lines(value: Any) -> Any:
    """The same without empty lines in its texts: kustomize adds one in folded text, before an indented line."""
    if isinstance(value, dict):
        return {key: without_blank_lines(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_blank_lines(inner) for inner in value]
    return value.replace("\n\n", "\n") if isinstance(value, str) else value


def by_name(made: Iterable[Json]) -> dict[Key, Json]:
    """Objects by what tells them apart, which does so."""
    named = [((each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]), each) for each in made]
    assert len(dict(named)) == len(named)
    return dict(named)


def without_helms(made: dict[Key, Json]) -> dict[Key, Json]:
    """Rendered objects without what only Helm has them for; each of them has it."""
    bare: dict[Key, Json] = {key: without_blank_lines(each) for key, each in made.items()}
    for (kind, *_), each in bare.items():
        metadata = each["metadata"]
        if kind == "CustomResourceDefinition":
            assert metadata.pop("annotations") == KEPT, metadata["name"]
        else:
            assert all(metadata["labels"].pop(label) for label in HELMS_LABELS)
    return bare


@pytest.mark.parametrize("namespace", ["sluice-system", "delivery"])
def test_by_default_it_is_manifests_base(helm: Helm, namespace: str) -> None:
    """Object by object, in whichever namespace; each policy knows the operator by its account there."""
    rendered = without_helms(by_name(helm.template(namespace=namespace)))
    wanted = kustomized("base", namespace)
    assert sorted(rendered) == sorted(wanted)
    for key, each in wanted.items():
        assert rendered[key] == each, key


def test_without_mutating_policies_it_is_manifests_before_136(helm: Helm) -> None:
    """For API servers that do not serve them."""
    assert without_helms(by_name(helm.template(*BEFORE_136))) == kustomized("before-1.36")


def test_with_cluster_profiles_it_has_their_rights_too(helm: Helm) -> None:
    """In the namespace that is followed, and for the account in the release's; the operator is told to follow it."""
    usual, rendered = by_name(helm.template()), by_name(helm.template(*FROM_PROFILES))
    more = without_helms({key: each for key, each in rendered.items() if key not in usual})
    for each in kustomized("cluster-profiles").values():
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = "fleet"
        [found] = [
            made for (kind, _, name), made in more.items() if (kind, name) == (each["kind"], each["metadata"]["name"])
        ]
        assert found == each
    assert len(more) == len(kustomized("cluster-profiles"))
    assert container(rendered)["args"] == ["run", "--cluster-profiles=fleet"]


def container(rendered: dict[Key, Json]) -> Json:
    """The operator's."""
    [deployment] = [each for (kind, *_), each in rendered.items() if kind == "Deployment"]
    [found] = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_with_a_signing_key_it_is_manifests_signed_audit(helm: Helm, tmp_path: Path) -> None:
    """The Secret is mounted for the operator's group alone, and the operator told where; all else is as before."""
    kustomization = {
        "resources": [os.path.relpath(ROOT / "manifests" / "base", tmp_path)],
        "components": [os.path.relpath(ROOT / "manifests" / "signed-audit", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    rendered = helm.template("--set", "audit.signingKey.secretName=sluice-audit-key")
    assert without_helms(by_name(rendered)) == kustomized(tmp_path)
    told = container(by_name(rendered))
    assert told["args"] == ["run", "--audit-key=/etc/sluice/audit-key/audit-key.pem"]
    assert told["securityContext"]["readOnlyRootFilesystem"]
    [deployment] = [each for each in rendered if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["fsGroup"]) == (True, 65532)
    assert pod["volumes"][1]["secret"] == {"secretName": "sluice-audit-key", "defaultMode": 0o440}


def test_crds_can_be_left_to_others(helm: Helm) -> None:
    """With crds.install=false there is none, and all else."""
    usual, rendered = by_name(helm.template()), by_name(helm.template("--set", "crds.install=false"))
    assert {key for key in usual if key not in rendered} == {
        key for key in usual if key[0] == "CustomResourceDefinition"
    }


def test_a_single_replica_has_no_budget(helm: Helm) -> None:
    """A budget of one of one would keep its node from being drained for ever."""
    kinds = {each["kind"] for each in helm.template("--set", "replicas=1")}
    assert "Deployment" in kinds
    assert "PodDisruptionBudget" not in kinds


def test_lint_is_content(helm: Helm) -> None:
    """`helm lint --strict`, whatever optional parts are there."""
    for options in ((), ("--set", "mutatingPolicies=false"), FROM_PROFILES):
        assert "0 chart(s) failed" in helm("lint", "--strict", CHART, *options)


# ------------------------------------------------------------------------------------------ values


def example(schema: Json) -> Any:
    """A value that the schema of a setting allows, and that is none's default."""
    kinds = schema.get("type", "")
    if "items" in schema:
        return [example(schema["items"])]
    if "enum" in schema:
        return schema["enum"][0]
    if "boolean" in kinds:
        return True
    if "integer" in kinds or "number" in kinds:
        return schema.get("maximum", 1000000)
    return "http://prometheus.example:9090" if "http" in schema.get("pattern", "") else "fleet"


def test_every_setting_reaches_the_operator(helm: Helm, tmp_path: Path) -> None:
    """Each as `sluice run` understands it, lists one by one, large numbers without an exponent."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    given = {name: example(inner) for name, inner in schema.items()}
    (tmp_path / "values.yaml").write_text(json.dumps({"settings": given}))
    told = container(by_name(helm.template("--values", tmp_path / "values.yaml")))
    environment = {each["name"]: each.get("value") for each in told["env"]}
    url = environment["SLUICE_PROMETHEUS_URL"]
    context = run.make_context("run", [*told["args"][1:], f"--prometheus-url={url}"])
    names = [str(option.name) for option in run.params]
    understood = [context.params[name] for name in names if context.get_parameter_source(name) is COMMANDLINE]
    assert sorted(map(as_told, understood)) == sorted(map(as_told, given.values()))


def as_told(value: object) -> str:
    """A setting's value, whole numbers as all others."""
    return json.dumps(float(value) if isinstance(value, int) else value)


def test_the_usual_pod_settings(helm: Helm, tmp_path: Path) -> None:
    """Image by digest, pull secrets, labels, annotations, environment, volumes, and where the pods run."""
    digest = "sha256:" + "0" * 64
    chosen: Json = {
        "replicas": 3,
        "image": {"repository": "registry.example/sluice", "digest": digest, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "podLabels": {"team": "delivery"},
        "podAnnotations": {"prometheus.io/scrape": "true"},
        "serviceAccount": {"annotations": {"cloud.example/role": "sluice"}},
        "env": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}],
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
        "resources": {"requests": {"cpu": 1}},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"pool": "control"},
        "tolerations": [{"key": "control", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [],
    }
    (tmp_path / "values.yaml").write_text(json.dumps(chosen))
    rendered = by_name(helm.template("--values", tmp_path / "values.yaml"))
    deployment = rendered["Deployment", "sluice-system", "sluice"]["spec"]
    pod, told = deployment["template"]["spec"], container(rendered)
    metadata = deployment["template"]["metadata"]
    assert deployment["replicas"] == 3
    assert (told["image"], told["imagePullPolicy"]) == (f"registry.example/sluice@{digest}", "Always")
    assert metadata["labels"] == {"app.kubernetes.io/name": "sluice", "team": "delivery"}
    assert metadata["annotations"] == chosen["podAnnotations"]
    for name in ("imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert pod[name] == chosen[name]
    assert "topologySpreadConstraints" not in pod
    assert chosen["env"][0] in told["env"]
    assert [each["name"] for each in pod["volumes"]] == ["tmp", "ca"]
    assert [each["mountPath"] for each in told["volumeMounts"]] == ["/tmp", "/ca"]
    assert told["resources"]["requests"] == {"cpu": 1, "memory": "192Mi"}
    account = rendered["ServiceAccount", "sluice-system", "sluice"]
    assert account["metadata"]["annotations"] == chosen["serviceAccount"]["annotations"]


@pytest.mark.parametrize(
    "value, sentence",
    [
        ("replicas=0", "at '/replicas': minimum: got 0, want 1"),
        ("replicaCount=3", "additional properties 'replicaCount' not allowed"),
        ("settings.leaseSecond=3", "at '/settings': additional properties 'leaseSecond' not allowed"),
        ("settings.leaseSeconds=1", "at '/settings/leaseSeconds': minimum: got 1, want 2"),
        ("settings.prometheusUrl=prometheus:9090", "'prometheus:9090' does not match pattern '^https?://"),
        ("settings.allowAddress=http://p:9090", "at '/settings/allowAddress': got string, want array"),
        ("settings.logLevel=loud", "value must be one of 'debug', 'info', 'warning', 'error'"),
        ("settings=null", "missing property 'settings'"),
        ("image.tag=a b", "at '/image/tag': 'a b' does not match pattern"),
        ("image.digest=latest", "at '/image/digest': 'latest' does not match pattern"),
        (r"podLabels.app\.kubernetes\.io/name=mine", "invalid propertyName 'app.kubernetes.io/name'"),
        ("crds.install=maybe", "at '/crds/install': got string, want boolean"),
        ("env[0].name=POD_NAMESPACE", "at '/env/0/name'"),
        (
            "audit.signingKey.secretName=Audit Key",
            "at '/audit/signingKey/secretName': 'Audit Key' does not match pattern",
        ),
        ("settings.auditKey=/key.pem", "at '/settings': additional properties 'auditKey' not allowed"),
    ],
)
def test_nonsense_is_refused(helm: Helm, value: str, sentence: str) -> None:
    """Before anything is sent to a cluster, with the place and what is allowed there."""
    with pytest.raises(TestbedError) as refused:
        helm.template("--set", value)
    assert sentence in str(refused.value)


def test_a_cluster_that_is_too_old_is_told_what_to_do(helm: Helm) -> None:
    """Without the policies that it does not serve, or not at all."""
    with pytest.raises(TestbedError, match="add --set mutatingPolicies=false"):
        helm.template("--kube-version", "1.35.2")
    with pytest.raises(TestbedError, match=r"requires kubeVersion: >=1\.30"):
        helm.template("--kube-version", "1.29.0")
