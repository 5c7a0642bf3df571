"""The demo on the real thing: a canary that succeeds, one that Prometheus' numbers abort, and a kill switch.

Real are the API server, Envoy, Prometheus and every request; the operator is installed from manifests/ and runs as its
ServiceAccount. It tells what `sluice demo` tells in virtual time.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.markup import escape

from installation import Operator
from sluice.sim import screen
from sluice.sim.story import Act
from testbed import netns, shop
from testbed.apps import SLOTS
from testbed.bed import Testbed
from testbed.film import Film
from testbed.load import Requests, standard_error
from testbed.pods import behaviour

STEPS = (5, 25, 50)
PAUSE = "4s"
REASON = "double charges reported"
_OPEN_END = f'[{{"op":"replace","path":"/spec/strategy/canary/steps/{2 * len(STEPS) - 1}","value":{{"pause":{{}}}}}}]'
_ENOUGH = 300  # requests, to see that something is so
_LOG_LINES = 15
_ANSWERED = re.compile(r'^I\d{4} (\d\d:\d\d:\d\d\.\d{6}) .*verb="PATCH".* status="200 OK"', re.MULTILINE)


def run() -> int:
    """Start everything, show the three acts, end everything.

    Returns:
        The exit code: 0 where every act ended as its title says.
    """
    netns.require()
    console = Console(highlight=False)
    began = time.monotonic()
    with _started(console) as (testbed, operator):
        versions = dict.fromkeys(SLOTS, "1.4.0")
        acts: list[Act] = []
        for title, play in _ACTS.items():
            acts.append(Act(title))
            screen.show_title(console, len(acts), title)
            play(Film(console, testbed, acts[-1], began, versions))
            screen.show_facts(console, acts[-1])
            if not acts[-1].as_told:
                break  # the next act begins where this one should have ended
        log = operator.log
    return _summary(console, acts, log, time.monotonic() - began)


@contextmanager
def _started(console: Console) -> Iterator[tuple[Testbed, Operator]]:
    with _progress(console, "A Kubernetes, an Envoy and a Prometheus"):
        testbed = Testbed(users=shop.USERS)
        testbed.__enter__()
    try:
        with _progress(console, "Sluice, from manifests/base, as its ServiceAccount"):
            operator = shop.start_sluice(testbed)
        with _progress(console, f"A shop: {shop.APP} 1.4.0 behind {shop.HOST}, under a Rollout; a kill switch, armed"):
            shop.open_shop(testbed.hub, testbed.data_plane, "1.4.0", "1.4.0")
            pauses = [step for share in STEPS for step in ({"setWeight": share}, {"pause": {"duration": PAUSE}})]
            shop.hand_over(testbed.hub, pauses, "1.4.0", measure="version")
        yield testbed, operator
        operator.stop()
    finally:
        testbed.stop()
        testbed.hub.client.close()


@contextmanager
def _progress(console: Console, what: str) -> Iterator[None]:
    began = time.monotonic()
    with console.status(f"{escape(what)} ..."):
        yield
    console.print(f"  [green]✓[/green] {escape(what)}  [dim]{time.monotonic() - began:.0f} s[/dim]", soft_wrap=True)


def _success(film: Film) -> None:
    act = film.act
    with film:
        film.deploy("1.5.0", "green")
        film.until_requests(_ENOUGH)
        film.release("1.5.0", "green")
        began = time.monotonic()
        film.until_run("1.5.0")
        status = film.until_phase("Healthy")
        took = time.monotonic() - began
        film.until_requests(_ENOUGH)
    failed = film.requests.failed()
    shares = film.measured("1.5.0")
    right = [
        abs(seen - part / 100) <= 5 * standard_error(part / 100, number)
        for part, (seen, number) in ((part, shares[f"{part}%"]) for part in STEPS if f"{part}%" in shares)
    ]  # a share that passed while a busy machine kept this process waiting was not seen, and is not judged
    act.as_told = status["stable"].get("version") == "1.5.0" and not failed and bool(right) and all(right)
    act.facts = [
        f"{', '.join(f'{part} %' for part in STEPS)}, then 100 %: complete after {took:.1f} s",
        "measured: " + ", ".join(f"{shares[w][0]:.1%} of {shares[w][1]:,} requests at {w}" for w in shares),
        f"requests by version: {_counts(film.requests)}; failed: {len(failed)}",
    ]


def _abort(film: Film) -> None:
    behaviour(shop.NAMESPACE, "1.6.0", error_rate=0.1)
    with film:
        film.deploy("1.6.0", "blue")
        film.release("1.6.0", "blue")
        began = time.monotonic()
        film.until_run("1.6.0")
        status = film.until_phase("Aborted")
        took = time.monotonic() - began
        film.until_weight("0%", 0)
        since = film.until_requests(_ENOUGH)
        film.say("sluice", "status", shop.APP, "-n", shop.NAMESPACE)
    bad, after = film.requests.of("1.6.0"), film.requests.sent_since(since)
    late = after.of("1.6.0")
    others = len(film.requests.failed()) - len(bad.failed())
    why = status["revision"].get("message", "")
    film.act.as_told = "error-ratio" in why and bool(bad.failed()) and not late and not others
    film.act.facts = [
        f"one answer in ten of 1.6.0 is a 500; Prometheus had seen enough after {took:.1f} s: {why}",
        f"requests by version: {_counts(film.requests)}; failed: {len(bad.failed())}, all of them by 1.6.0",
        f"1.6.0 answered none of the last {len(after):,} requests: 1.5.0 serves everything again",
    ]


def _kill(film: Film) -> None:
    with film:
        film.deploy("1.6.1", "blue")
        # Half-way is where this run stays until somebody acts.
        film.run("kubectl", "patch", "rollout", shop.APP, "-n", shop.NAMESPACE, "--type", "json", "-p", _OPEN_END)
        film.release("1.6.1", "blue")
        film.until_weight("50%", _ENOUGH)
        patch = json.dumps({"spec": {"engaged": True, "reason": REASON}}, separators=(",", ":"))
        answer = film.run(
            *("kubectl", "patch", "killswitch", shop.SWITCH, "-n", shop.NAMESPACE, "--as", shop.ON_CALL),
            *("--type", "merge", "-p", patch, "-v", "6"),  # -v 6 tells when the API server answered
        )
        status = film.until_phase("Killed")
        film.until_weight("0%", _ENOUGH)
    answered_at = _answered_at(answer)
    last = film.requests.last("1.6.1")
    failed = film.requests.failed()
    why = status["revision"].get("message", "")
    known = answered_at is not None and last is not None
    after = max(0.0, last.ended_at - answered_at) * 1000 if answered_at is not None and last is not None else 0.0
    since = film.requests.since(last.ended_at)[1:] if last else ()
    film.act.as_told = known and len(since) >= _ENOUGH and not failed and shop.ON_CALL in why
    film.act.facts = [
        f"from the API server's answer to the patch to the last answer of 1.6.1: {after:.0f} ms",
        why,
        f"requests by version: {_counts(film.requests)}; failed: {len(failed)}; "
        f"it stays stopped until: sluice retry {shop.APP}",
    ]


_ACTS: dict[str, Callable[[Film], None]] = {
    "A canary that succeeds": _success,
    "A canary that its metric aborts": _abort,
    "A kill switch, tripped half-way": _kill,
}


def _answered_at(log: str) -> float | None:
    """When kubectl had the API server's answer, in Unix time, by its own log of today."""
    found = _ANSWERED.search(log)
    if found is None:
        return None
    now = datetime.now().astimezone()
    clock = datetime.strptime(found[1], "%H:%M:%S.%f").time()  # noqa: DTZ007 - of local time, like `now`
    return datetime.combine(now, clock, now.tzinfo).timestamp()


def _counts(requests: Requests) -> str:
    return ", ".join(f"{version} {count:,}" for version, count in sorted(requests.by_version().items()))


def _summary(console: Console, acts: list[Act], log: str, seconds: float) -> int:
    console.print()
    if screen.show_failure(console, acts):
        console.print("The end of the operator's log:")
        console.print(escape("\n".join(log.splitlines()[-_LOG_LINES:])), soft_wrap=True)
        return 1
    console.print(
        f"[bold]All three ended as they should[/bold], after {seconds:.0f} s. What you saw was a real API server, a "
        "real Envoy, a real Prometheus,\nand every request counted. To have the same running, and try it yourself:\n\n"
        "  [bold]make testbed[/bold]\n\nTo begin with an app of your own: README.md",
        soft_wrap=True,
    )
    return 0
