"""Requests without end, and each second how many each version answered."""

from __future__ import annotations

import threading
import time

from testbed.load import Load, Requests


def count_by_version(load: Load) -> None:
    """Send a load's requests and print a line each second, until interrupted."""
    never = threading.Event()
    with load:
        told = 0
        while not never.wait(1):
            requests = load.snapshot()
            fresh = Requests(requests[told:])
            told = len(requests)
            counts = ", ".join(f"{version} {count}" for version, count in sorted(fresh.by_version().items()))
            print(f"{time.strftime('%H:%M:%S')}  {counts or 'no answers'}  ({len(fresh.failed())} failed)", flush=True)
