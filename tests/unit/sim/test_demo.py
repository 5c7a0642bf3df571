"""The demo, as it is seen when piped."""

import sys

import pytest
from rich.console import Console

from sluice.sim import demo
from sluice.sim.story import Act


def test_all_three_acts_end_as_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    """A success, an abort that says why, a kill that says who and why, and the next command."""
    assert demo.main() == 0
    told = capsys.readouterr().out
    for words in (
        "A canary that succeeds",
        "failed: 0",
        "error-ratio is 0.1, above max 0.01",
        "killed by KillSwitch shop/stop, engaged by alice: double charges reported",
        "from the patch to weight 0: 4 ms",
        "make demo-real",
        "README.md",
    ):
        assert words in told


def test_an_act_that_does_not_end_as_told_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code tells scripts, and the act's title tells people."""
    act = Act("A canary that succeeds", facts=["failed: 3"])
    assert demo._summary(Console(), [act]) == 1
    assert "did not end as it should: A canary that succeeds" in capsys.readouterr().out


def test_without_a_checkout_the_real_demo_says_what_it_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package has no testbed: the message names the command for a checkout."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not entry.endswith("tests")])
    monkeypatch.delitem(sys.modules, "testbed", raising=False)  # another test may have imported it
    assert demo.main(real=True) == 2
    assert "make demo-real" in capsys.readouterr().out
