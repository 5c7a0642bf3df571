"""What is observed of the pods that Sluice runs, and of what makes them: part of `model.Observed`. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sluice.api.names import Slot
from sluice.api.workload import ServicePort


@dataclass(frozen=True, slots=True)
class PodFault:
    """What keeps a container or pod from being ready, in the cluster's words.

    `container` is empty where the whole pod is meant, `pod` too where none could be made.
    """

    pod: str
    container: str
    reason: str  # such as ImagePullBackOff, CrashLoopBackOff, Unschedulable, FailedCreate, NotReady
    message: str


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a slot, as far as its role's metadata goes."""

    name: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A Deployment: a slot's, or the one that `workloadRef` names.

    `hash`, `applied` and `owner` are what its annotations say; empty where they are missing. `rolled`: the controller
    has seen the present spec, and no pod of an older template is left. `available`: ready for `minReadySeconds`, of
    whatever template; `former` of them are ready pods of another revision.
    """

    name: str
    uid: str
    resource_version: str
    generation: int
    replicas: int  # asked for
    pods: int  # there
    available: int
    rolled: bool
    deleting: bool
    template: dict[str, Any]  # as stored: with the API server's defaults
    hash: str = ""
    applied: str = ""
    owner: str = ""
    writer: str = ""  # field manager of the newest write to the spec, for messages
    faults: tuple[PodFault, ...] = ()  # of pods of the present template, and what keeps such from being made
    waits: tuple[PodFault, ...] = ()  # of those as well, where all may still come right by itself
    members: tuple[PodView, ...] = ()  # its pods that are not being deleted
    former: int = 0


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A slot's Service, as far as Sluice keeps it.

    `applied` is what its annotation says. `labelled`: it carries the labels that tell a slot's Service. `external`: it
    leads out of the cluster, not to pods.
    """

    uid: str
    owner: str
    selector: dict[str, str]
    ports: tuple[ServicePort, ...]  # targetPort always set
    applied: str = ""
    labelled: bool = True
    external: bool = False


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A PodDisruptionBudget that covers pods of a slot."""

    name: str
    allowed: int  # status.disruptionsAllowed
    slots: frozenset[Slot]


@dataclass(frozen=True, slots=True)
class AskedTemplate:
    """The pod template that the spec asks for: inline, or the named Deployment's.

    `hash` tells revisions apart (see `revision.template_hash`); `problem` (and its Reason) is set where there is none.
    """

    template: dict[str, Any] = field(default_factory=dict)
    hash: str = ""
    version: str | None = None  # the spec's, else the tag of the first container's image
    problem_reason: str = ""
    problem: str = ""
