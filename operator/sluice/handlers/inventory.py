"""The ClusterProfiles of one namespace and the Secrets for them, watched where the operator is told to."""

from __future__ import annotations

from sluice.adapters.kube.transport import Transport
from sluice.adapters.kube.watch import Informer
from sluice.api.names import PROFILE_SECRET_LABEL, Kind
from sluice.engine.fence import Fence
from sluice.engine.member import Inventory
from sluice.engine.members import Members
from sluice.engine.profiles import Profiles, Source
from sluice.ports import Clock, Cluster
from sluice.settings import Settings


class Discovery:
    """Profiles, and what keeps them told.

    A hub that does not serve ClusterProfiles, or an operator without the right to them, discovers none: the watches try
    again, and other members are as before.

    Args:
        transport: to the hub.
        cluster: the hub.
        clock: the time.
        settings: the operator's.
        fence: asked before each write.
        namespace: where the profiles are.
        members: looks at the MemberClusters.
    """

    def __init__(
        self,
        transport: Transport,
        cluster: Cluster,
        clock: Clock,
        settings: Settings,
        *,
        fence: Fence,
        namespace: str,
        members: Members,
    ) -> None:
        self._members = members
        self.profiles = Profiles(
            cluster,
            clock,
            Source(namespace, settings.namespace, settings.access_providers, settings.profile_grace_seconds),
            fence=fence,
            unknown=self._unknown,
            wake=members.wake,
        )
        self._clusters = Informer(
            transport,
            Kind.CLUSTER_PROFILE,
            self.profiles.take_profile,
            self.profiles.replace_profiles,
            namespace=namespace,
        )
        self._secrets = Informer(
            transport,
            Kind.SECRET,
            self.profiles.take_secret,
            self.profiles.replace_secrets,
            namespace=settings.namespace,
            selectors={"labelSelector": PROFILE_SECRET_LABEL},
        )
        self.informers = (self._clusters, self._secrets)
        members.discover(Inventory(self.profiles.problem, self.profiles.kubeconfig, self.profiles.missing))

    def _unknown(self) -> str:
        for informer in self.informers:
            if not informer.synced:
                return informer.problem or f"the first list of {informer.kind}s has not come yet"
        return "" if self._members.listed else "the MemberClusters were not listed yet"
