"""What a quiet fleet costs: requests, CPU and memory of the operator over Healthy Rollouts at rest.

    PYTHONPATH=tests python -m testbed run -- python bench/idle.py [--quick]

The requests are counted twice: by the operator (/metrics; kopf's are not in it) and by the API server (its audit log,
by account). Expected are watches that are opened again, renewals of the Lease, and one paged LIST per kind in ten
minutes; anything else breaks the guard. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections import Counter
from typing import Any

import fleet
from costs import Reading, audit_size, audited, read
from figures import conclude, show
from installation import PROBERS, Operator, install
from running import play
from testbed import Cluster
from wire import GATEWAY, SLUICE, Api, Watch

HOME = "fleet"
# The first LIST that heals comes half a minute after the start, the next one ten minutes later.
AFTER_FIRST_HEAL_SECONDS = 40.0
HEAL_EVERY_SECONDS = 600.0
QUIET_SECONDS = 580.0  # from the measurement's beginning to the next one, at the least
_AT_REST_SECONDS = 180.0


def unexpected(requests: Counter[tuple[str, str]], seconds: float, rollouts: int) -> list[str]:
    """What a quiet fleet should not cost."""
    broken = []
    pages = 1 + math.ceil(2 * rollouts / 500)  # of Services and EndpointSlices there are two for each
    for (verb, resource), count in sorted(requests.items()):
        if verb == "watch":
            # A watch lives for some minutes, 270 s at the least; one more may end just within the measurement.
            limit: float = 1 + seconds / 250
        elif resource == "leases":
            limit = seconds / 4
        elif verb == "list":
            limit = pages * math.ceil(max(0.0, seconds - QUIET_SECONDS) / HEAL_EVERY_SECONDS)
        else:
            limit = 0
        if count > limit:
            broken.append(f"{count} times {verb} {resource} in {seconds:.0f} s; expected at most {limit:.0f}")
    return broken


async def run(options: argparse.Namespace) -> int:
    """Populate, wait for rest, count."""
    print("cluster starts", file=sys.stderr, flush=True)
    cluster = Cluster.start("idle", users={user: [] for user in PROBERS}, audit=True)
    await asyncio.to_thread(fleet.install_gateway_api, cluster)
    await asyncio.to_thread(install, cluster)
    names = [f"app-{number:04d}" for number in range(options.rollouts)]
    async with Api(cluster.server, str(cluster.ca_file), cluster.admin_token) as api:
        routes = await Watch(api, f"{GATEWAY}/httproutes").start()
        rollouts = await Watch(api, f"{SLUICE}/rollouts").start()
        fleet.StandIn(api, routes)
        await api.create_all([fleet.namespace(HOME)])
        await api.create_all(each for name in names for each in (*fleet.slots(HOME, name), fleet.route(HOME, name)))
        await api.create_all(fleet.rollout(HOME, name) for name in names)
        operator = await asyncio.to_thread(Operator(cluster).start)
        began_at = time.monotonic()
        healthy = fleet.phase_is("Healthy")
        whole = [f"{HOME}/{name}" for name in names]
        at_rest_at = await rollouts.until("Rollouts to be Healthy", healthy, whole, _AT_REST_SECONDS)
        print(f"all Healthy after {at_rest_at - began_at:.1f} s", file=sys.stderr, flush=True)
        # Anew, because the Events of the first meeting are written at leisure, ten a second.
        operator.stop()
        began_at = time.monotonic()
        await asyncio.to_thread(operator.start)
        start_seconds = time.monotonic() - began_at
        print(f"ready again after {start_seconds:.1f} s; settles", file=sys.stderr, flush=True)
        await asyncio.sleep(max(0.0, began_at + AFTER_FIRST_HEAL_SECONDS - time.monotonic()))
        routes.stop()
        rollouts.stop()
    before, offset = read(operator), audit_size(cluster)
    print(f"counts for {options.seconds} s", file=sys.stderr, flush=True)
    await asyncio.sleep(options.seconds)
    after = read(operator)
    requests = Counter((request.verb, request.resource) for request in audited(cluster, offset))
    operator.stop()
    cluster.stop()
    return report(options, before, after, requests, start_seconds)


def report(
    options: argparse.Namespace,
    before: Reading,
    after: Reading,
    requests: Counter[tuple[str, str]],
    start_seconds: float,
) -> int:
    """Show the figures. Returns the exit code."""
    seconds = after.at - before.at
    counted = after.counted - before.counted
    rows = [(f"{verb} {resource}", count) for (verb, resource), count in sorted(requests.items())]
    show(f"Requests in {seconds:.0f} s, by the API server's audit log", ("", "n"), rows)
    rows = [(f"{verb} {kind}", count) for (verb, kind), count in sorted(counted.items())]
    show("Of these by the operator's own count (without watches, and without kopf's)", ("", "n"), rows)
    cpu_percent = round(100 * (after.cpu_seconds - before.cpu_seconds) / seconds, 2)
    figures: dict[str, Any] = {
        "bench": "idle",
        "rollouts": options.rollouts,
        "seconds": round(seconds, 1),
        "requests": {f"{verb} {resource}": count for (verb, resource), count in sorted(requests.items())},
        "requests_per_minute": round(60 * sum(requests.values()) / seconds, 1),
        "counted": {f"{verb} {kind}": count for (verb, kind), count in sorted(counted.items())},
        "cpu_percent_of_a_core": cpu_percent,
        "resident_mib": round(after.resident_mib, 1),
        "ready_after_s": round(start_seconds, 2),
    }
    rows_of_process = [(name, figures[name]) for name in ("cpu_percent_of_a_core", "resident_mib", "ready_after_s")]
    show("The operator process", ("", ""), rows_of_process)
    return conclude(figures, unexpected(requests, seconds, options.rollouts))


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 Rollouts, 30 seconds")
    parser.add_argument("--rollouts", type=int, help="at rest (default 500)")
    parser.add_argument("--seconds", type=float, help="to count for (default 120)")
    options = parser.parse_args()
    options.rollouts = options.rollouts or (50 if options.quick else 500)
    options.seconds = options.seconds or (30.0 if options.quick else 120.0)
    return options


if __name__ == "__main__":
    sys.exit(play(run(parse())))
