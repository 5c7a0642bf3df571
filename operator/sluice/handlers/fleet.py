"""Member clusters and their Secrets, watched apart from everything else: what goes on there is in nobody's way."""

from __future__ import annotations

from sluice.adapters.kube.member import connect_member
from sluice.adapters.kube.transport import Transport
from sluice.adapters.kube.watch import Informer
from sluice.api.names import MEMBER_LABEL, Kind
from sluice.engine.members import Members
from sluice.ports import Clock, Cluster


class Fleet:
    """The members, and what keeps them told.

    A hub without the MemberCluster CRD, or an operator without the right to these Secrets, is as good as before without
    members: the watches try again, and say why in `problem`.

    Attributes:
        members: runs while this process leads.
        informers: run all the time, so that a new leader knows every member.
    """

    def __init__(
        self, transport: Transport, cluster: Cluster, clock: Clock, namespace: str, probe_seconds: float
    ) -> None:
        self.members = Members(
            cluster,
            connect_member,
            clock,
            namespace=namespace,
            secrets_problem=self._secrets_problem,
            interval_seconds=probe_seconds,
        )
        self._clusters = Informer(
            transport, Kind.MEMBER_CLUSTER, self.members.take_member, self.members.replace_members
        )
        self._secrets = Informer(
            transport,
            Kind.SECRET,
            self.members.take_secret,
            self.members.replace_secrets,
            namespace=namespace,
            selectors={"labelSelector": MEMBER_LABEL},
        )
        self.informers = (self._clusters, self._secrets)

    def _secrets_problem(self) -> str:
        if self._secrets.synced:
            return ""
        return self._secrets.problem or "they were not listed yet"
