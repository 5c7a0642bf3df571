"""The demos as people start them: a process of its own, whose output and exit code are all there is to see."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testbed import netns


def shown(command: list[str], timeout: float) -> str:
    """What a command says; it has to end with 0."""
    environment = {**netns.environment(), "NO_COLOR": "1", "COLUMNS": "200"}
    environment.pop("KUBECONFIG", None)
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_demo_ends_as_it_tells() -> None:
    """`make demo` needs no cluster: success, abort and kill, and the name of the next command."""
    told = shown([sys.executable, "-m", "sluice", "demo"], timeout=120)
    for words in (
        "Act 1. A canary that succeeds",
        "then 100 %: complete after",
        "Act 2. A canary that its metric aborts",
        "error-ratio is 0.1, above max 0.01",
        "Act 3. A kill switch, tripped half-way",
        "killed by KillSwitch shop/stop, engaged by alice: double charges reported",
        "All three ended as they should.",
        "make demo-real",
    ):
        assert words in told


@pytest.mark.slow
@pytest.mark.needs("data-plane")
@pytest.mark.timeout(600)
def test_the_real_demo_ends_as_it_tells() -> None:
    """`make demo-real`, in a network of its own: real requests move, a real Prometheus aborts, a patch kills."""
    told = shown(netns.command([sys.executable, "-m", "sluice", "demo", "--real"]), timeout=560)
    for words in (
        "$ kubectl set image deployment/checkout-green app=registry.example/checkout:1.5.0 -n shop",
        "then 100 %: complete after",
        "measured: ",
        "failed: 0",
        "Prometheus had seen enough after",
        "1.6.0 answered none of the last",
        "$ kubectl patch killswitch stop -n shop --as alice",
        "from the API server's answer to the patch to the last answer of 1.6.1: ",
        "killed by KillSwitch shop/stop, engaged by alice: double charges reported",
        "All three ended as they should, after",
        "make testbed",
    ):
        assert words in told
