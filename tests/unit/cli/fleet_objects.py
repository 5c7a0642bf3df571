"""A Rollout over a fleet of six, in the second of three batches, and its FleetRun."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sluice.sim.clock import START

Obj = dict[str, Any]
BATCHES = {"pilot": ("c1",), "wave-1": ("c2", "c3", "c4"), "rest": ("c5", "c6")}
LOST = "c3, which does not answer since 08:58:00 UTC"


def stamp(seconds: float) -> str:
    """A time so many seconds from the start."""
    return (START + timedelta(seconds=seconds)).isoformat()


def fleet_object(**status: Any) -> Obj:
    """The Rollout: c2 and c4 wait for c3, which does not answer."""
    message = f"batch wave-1 (2 of 3), 0 of 3 clusters done; step 2 of 4 at 25% on 3: waits for {LOST}"
    return {
        "metadata": {"name": "checkout", "namespace": "shop", "labels": {"app": "checkout"}},
        "spec": {
            "workload": {"template": {"spec": {"containers": [{"name": "app", "image": "app:1.9.0"}]}}, "replicas": 6},
            "traffic": {"routes": [{"name": "checkout"}]},
            "strategy": {"canary": {"steps": [{"setWeight": 25}, {"pause": {"duration": "1h"}}]}},
            "progressDeadline": "10m",
            "fleet": {"batches": [{"name": "pilot", "clusters": ["c1"]}, {"name": "wave-1"}, {"name": "rest"}]},
        },
        "status": {
            "observedGeneration": 1,
            "phase": "Progressing",
            "message": message,
            "step": {"index": 2, "of": 4, "kind": "pause", "startedAt": stamp(-300)},
            "weight": "25%",
            "waiting": {"reason": "ClusterLost", "since": stamp(-120)},
            "fleet": {
                "total": 6,
                "ready": 5,
                "stable": {"number": 3, "hash": "0a1b2c3d4e5f", "version": "1.8.0"},
                "revision": {"number": 4, "hash": "f0e1d2c3b4a5", "version": "1.9.0", "startedAt": stamp(-4000)},
                "run": "checkout-4",
                "batch": {
                    "name": "wave-1",
                    "index": 2,
                    "of": 3,
                    "stage": "Moving",
                    "startedAt": stamp(-330),
                    "clusters": {"total": 3, "waiting": 0, "moving": 3, "done": 0, "failed": 0},
                },
                "clusters": [
                    {"name": "c2", "phase": "Moving", "weight": "25%", "message": "waits for its fleet at step 2"},
                    {
                        "name": "c3",
                        "phase": "Moving",
                        "weight": "25%",
                        "message": "does not answer",
                        "since": stamp(-120),
                    },
                    {"name": "c4", "phase": "Moving", "weight": "25%", "message": "waits for its fleet at step 2"},
                ],
                "notShown": 0,
            },
            "conditions": [
                {
                    "type": "Progressing",
                    "status": "True",
                    "reason": "ClusterLost",
                    "message": f"waits for {LOST}",
                    "lastTransitionTime": stamp(-4000),
                }
            ],
            **status,
        },
    }


def fleet_run(**letters: str) -> Obj:
    """Its FleetRun; `letters` of batches as the record has them, which is nothing of a batch that has not begun."""
    known = {"pilot": "c", "wave_1": "mmm", **letters}
    batches = [{"name": name.replace("_", "-"), "clusters": text} for name, text in known.items()]
    return {
        "metadata": {"name": "checkout-4", "namespace": "shop"},
        "spec": {
            "rollout": "checkout",
            "rolloutUid": "u-1",
            "revision": 4,
            "hash": "f0e1d2c3b4a5",
            "batches": [
                {"name": name, "clusters": list(clusters), "maxConcurrency": len(clusters), "maxFailures": 0}
                for name, clusters in BATCHES.items()
            ],
            "spec": {},
        },
        "status": {"batches": batches, "failures": []},
    }
