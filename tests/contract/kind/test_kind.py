"""The path through pytest-kind, without Docker: a `kind` of these tests' own hands out a cluster of the testbed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from installation import PROBERS
from kind import KindCluster, config_of
from testbed import Cluster, TestbedError
from testbed.builder import binary

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[3]
KIND = """\
#!/bin/sh
echo "$@" >> "{folder}/told"
case "$1 $2" in
"get clusters") cat "{folder}/clusters" ;;
"create cluster")
  for each; do case $each in --kubeconfig=*) cp "{kubeconfig}" "${{each#--kubeconfig=}}" ;; esac; done ;;
esac
"""


@pytest.fixture(scope="module")
def cluster(target: str) -> Iterator[Cluster]:
    """What stands in for kind's containers."""
    if target != "testbed":
        pytest.skip("needs the testbed: run `make contract`")
    started = Cluster.start("as-kind", users={name: [] for name in PROBERS})
    yield started
    started.stop()


@pytest.fixture
def kind(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `told` (its arguments) and `clusters` (what it has), and kind, docker and kubectl on the PATH."""
    tools = tmp_path / "bin"
    tools.mkdir()
    # As kind writes it: with a client certificate, no token.
    kubeconfig = cluster.kubeconfig_for_certificate(
        "kubernetes-admin", ["system:masters"], tmp_path / "kind.kubeconfig"
    )
    (tmp_path / "clusters").write_text("")
    for name, text in (
        ("kind", KIND.format(folder=tmp_path, kubeconfig=kubeconfig)),
        ("docker", "#!/bin/sh\n"),
        ("kubectl", f'#!/bin/sh\nexec "{binary("kubectl")}" "$@"\n'),
    ):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def clear(cluster: Cluster) -> None:
    """What a deleted kind cluster would have taken with it."""
    cluster.kubectl("-n", "kube-system", "delete", "serviceaccount", "sluice-tests", "--ignore-not-found")
    cluster.kubectl("delete", "clusterrolebinding", "sluice-tests", "--ignore-not-found")


def test_it_has_the_face_of_the_testbeds_clusters(cluster: Cluster, kind: Path) -> None:
    """An administrator by token, users by token, kubectl, requests and kubeconfigs, as on the testbed."""
    made = KindCluster.start("hub", {"mallory": []}, image="kindest/node:v1.36.1")
    assert made.get("/api/v1/namespaces/default")["metadata"]["name"] == "default"
    assert made.request("GET", "/api/v1/secrets", token="")[0] in {401, 403}
    assert made.request("GET", "/api/v1/secrets", token=made.user_token("mallory"))[0] == 403
    assert "default" in made.kubectl("get", "namespaces", "-o", "name")
    made.kubectl("create", "serviceaccount", "someone", "-n", "default")
    mine = made.kubeconfig_for_token(made.token_for("default", "someone"), kind / "mine")
    assert "cannot list" in made.kubectl("--kubeconfig", str(mine), "get", "nodes", check=False)
    made.stop()
    clear(cluster)

    told = (kind / "told").read_text().splitlines()
    [creation] = [line for line in told if line.startswith("create cluster")]
    assert "--name=hub" in creation
    assert "--image=kindest/node:v1.36.1" in creation
    kubeconfig = re.search(r"--kubeconfig=(\S+)", creation)
    config = re.search(r"--config (\S+)", creation)
    assert kubeconfig is not None
    assert config is not None
    assert Path(kubeconfig[1]).is_absolute()
    assert yaml.safe_load(Path(config[1]).read_text()) == config_of(Path(config[1]).parent)
    assert (Path(config[1]).parent / "tokens.csv").read_text() == 'mallory-token,mallory,mallory,""\n'
    assert told[-1] == f"delete cluster --name=hub --kubeconfig={kubeconfig[1]}"


def test_a_cluster_of_somebody_elses_is_left_alone(kind: Path) -> None:
    """pytest-kind would take an existing cluster over; its tests would then run on it."""
    (kind / "clusters").write_text("precious\n")
    with pytest.raises(TestbedError, match="has a cluster named precious already"):
        KindCluster.start("precious")
    assert (kind / "told").read_text() == "get clusters\n"


@pytest.mark.timeout(600)
def test_the_end_to_end_suite_runs_with_kind(cluster: Cluster, kind: Path) -> None:
    """`pytest tests/e2e --kind` installs Sluice and runs what needs no traffic; the rest is skipped, and says why."""
    command = [sys.executable, "-m", "pytest", "tests/e2e", "--kind", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=560, check=False)
    clear(cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b\d+ passed, \d+ skipped", done.stdout), done.stdout
    assert "needs Gateway, Envoy, Prometheus and pods that answer, which only the testbed has" in done.stdout
