"""What a machine without Docker or kind is told, and what kind is asked for."""

from pathlib import Path

import pytest
import yaml

from kind import KindCluster, KindUnavailable, config_of


def tool(folder: Path, name: str, text: str = "") -> None:
    """Put a program on the PATH."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    "tools, told",
    [
        ({}, "kind was not found: install kind, or name it by its option"),
        ({"kind": ""}, "kubectl was not found"),
        ({"kind": "", "kubectl": ""}, "docker was not found: kind makes its nodes of containers"),
        (
            {"kind": "", "kubectl": "", "docker": "echo 'Is the docker daemon running?' >&2; exit 1"},
            "Docker does not answer: Is the docker daemon running?",
        ),
    ],
)
def test_what_is_missing_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: dict[str, str], told: str
) -> None:
    """Nothing is downloaded or created where a cluster cannot come of it."""
    for name, text in tools.items():
        tool(tmp_path, name, text)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KindUnavailable, match=r".*") as refused:
        KindCluster.start("hub")
    assert told in str(refused.value)


def test_the_api_server_knows_the_users_whatever_the_nodes_version() -> None:
    """Kubeadm changed the form of arguments: one patch for each form, and kind applies the one that fits."""
    [node] = config_of(Path("/somewhere"))["nodes"]
    [mount] = node["extraMounts"]
    patches = {patch["apiVersion"]: patch["apiServer"] for patch in map(yaml.safe_load, node["kubeadmConfigPatches"])}
    file = f"{mount['containerPath']}/tokens.csv"
    assert mount["hostPath"] == "/somewhere"
    assert patches["kubeadm.k8s.io/v1beta3"]["extraArgs"] == {"token-auth-file": file}
    assert patches["kubeadm.k8s.io/v1beta4"]["extraArgs"] == [{"name": "token-auth-file", "value": file}]
    assert {patch["extraVolumes"][0]["mountPath"] for patch in patches.values()} == {mount["containerPath"]}
