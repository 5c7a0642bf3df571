"""What Sluice needs to be let do in a member cluster. Pure.

Where it runs workloads it needs in a member what it needs in the hub, and nothing beyond: no Secrets, no roles. What it
is to do there the hub writes there itself, in kinds that `sluice clusters add` installs.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice.api.names import API_VERSION, GROUP


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource, or on one subresource such as `deployments/status`, in all namespaces.

    >>> str(Right("apps", "deployments", "patch"))
    'patch deployments.apps'
    >>> str(Right("apps", "deployments/status", "patch"))
    'patch deployments.apps/status'
    """

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        plural, slash, part = self.resource.partition("/")
        return f"{self.verb} {plural}{'.' + self.group if self.group else ''}{slash}{part}"


_NEEDED = (
    ("gateway.networking.k8s.io", "httproutes", "get list watch patch"),
    ("gateway.networking.k8s.io", "grpcroutes", "get list watch patch"),
    ("", "services", "get list watch create patch delete"),
    ("apps", "deployments", "get list watch create patch delete"),
    ("", "pods", "get list watch patch"),
    ("policy", "poddisruptionbudgets", "list watch"),
    ("discovery.k8s.io", "endpointslices", "get list watch"),
    ("", "namespaces", "get list watch"),
    (GROUP, "memberrollouts", "get list watch create patch delete"),
    (GROUP, "memberrollouts/status", "patch"),
    (GROUP, "memberrolloutruns", "get list watch create delete"),
    (GROUP, "memberrolloutruns/status", "patch"),
)
RIGHTS: tuple[Right, ...] = tuple(
    Right(group, resource, verb) for group, resource, verbs in _NEEDED for verb in verbs.split()
)


def role_rules() -> list[dict[str, list[str]]]:
    """RBAC rules that give these rights, and the reading of the version and of which kinds are served."""
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": verbs.split()} for group, resource, verbs in _NEEDED
    ]
    return [*rules, {"nonResourceURLs": ["/version", f"/apis/{API_VERSION}"], "verbs": ["get"]}]
