"""ClusterProfiles of one namespace, followed: a MemberCluster for each, as they come, change and go.

Every replica is told of them; each MemberCluster is made, changed and deleted by the one that holds its shard.
MemberClusters are looked at by `engine.members` as any others; it asks here for the kubeconfig of those that were made
here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.names import Kind
from sluice.decide.lending import SecretKey, kubeconfig_in, missing, profile_meant, reference_for, secrets_by_profile
from sluice.decide.metadata import annotations_of, labels_of, mapping, metadata_of
from sluice.decide.profiles import (
    Making,
    Orphan,
    Profile,
    member_body,
    member_name,
    parse_profile,
    plan_members,
    profile_of,
)
from sluice.engine.fence import Fence, WorkKey
from sluice.errors import Conflict, NotLeader, SluiceError
from sluice.ports import Clock, Cluster, Obj

_log = logging.getLogger(__name__)
# An inventory may be written anew, profile by profile: the members of rollouts under way are not to go with it.
GRACE_SECONDS = 300.0
_SETTLE_SECONDS = 0.2  # many events at one moment cost one pass
_RETRY_SECONDS = 2.0
_LONGEST_RETRY_SECONDS = 60.0
_NONE_HAS = "1"  # a resourceVersion, with which a name that is taken is left alone


@dataclass(frozen=True, slots=True)
class Source:
    """Which profiles are followed, and how.

    Attributes:
        namespace: where they are.
        home: the operator's own namespace, where the Secrets are.
        providers: the access providers whose addresses may be followed with a token, the preferred first.
        grace_seconds: for how long a MemberCluster stays when its profile is gone.
    """

    namespace: str
    home: str
    providers: tuple[str, ...] = ()
    grace_seconds: float = GRACE_SECONDS


class Profiles:
    """Keeps MemberClusters as the profiles have them, while `run` runs.

    Args:
        cluster: the hub.
        clock: the time.
        source: which profiles.
        fence: asked before each write.
        unknown: asked why profiles, Secrets or MemberClusters are not known yet; "" where they are.
        wake: told of each MemberCluster whose way there changed.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        source: Source,
        *,
        fence: Fence,
        unknown: Callable[[], str],
        wake: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._source = source
        self._fence = fence
        self._unknown = unknown
        self._wake = wake
        self._grace = timedelta(seconds=source.grace_seconds)
        self._profiles: dict[str, Profile] = {}
        self._gone: dict[str, Profile] = {}  # their MemberClusters are there for a while yet
        self._secrets: dict[str, Obj] = {}
        self._lent: dict[str, list[str]] = {}
        self._members: dict[str, Obj] = {}
        self._bodies: dict[str, tuple[Profile, SecretKey, Obj]] = {}
        self._orphaned_at: dict[str, datetime] = {}
        self._said: dict[str, str] = {}
        self._failures = 0
        self._changed = asyncio.Event()

    # ------------------------------------------------------------------ what the hub tells

    def take_profile(self, event: str, obj: Obj) -> None:
        """A ClusterProfile was added, changed or deleted."""
        profile = parse_profile(obj)
        if event == "DELETED":
            self._let_go(profile.name)
        elif self._profiles.get(profile.name) != profile:  # else it is a heartbeat
            self._profiles[profile.name] = profile
            self._gone.pop(profile.name, None)
            self._wake(profile.member)
        else:
            return
        self._changed.set()

    def replace_profiles(self, objects: list[Obj]) -> None:
        """All ClusterProfiles there are."""
        there = {obj["metadata"]["name"] for obj in objects}
        for name in [name for name in self._profiles if name not in there]:
            self._let_go(name)
        for obj in objects:
            self.take_profile("MODIFIED", obj)
        self._changed.set()

    def take_secret(self, event: str, obj: Obj) -> None:
        """A Secret with credentials for a profile was added, changed or deleted, or lost its label."""
        name = obj["metadata"]["name"]
        before = self._secrets.pop(name, None)
        if event != "DELETED":
            self._secrets[name] = obj
        self._lent = secrets_by_profile(self._source.namespace, self._secrets)
        for secret in (before, obj):
            if secret is not None:
                self._wake(member_name(profile_meant(self._source.namespace, secret)))
        self._changed.set()

    def replace_secrets(self, objects: list[Obj]) -> None:
        """All Secrets with credentials for profiles."""
        self._secrets = {obj["metadata"]["name"]: obj for obj in objects}
        self._lent = secrets_by_profile(self._source.namespace, self._secrets)
        for profile in self._profiles.values():
            self._wake(profile.member)
        self._changed.set()

    def take_member(self, event: str, obj: Obj) -> None:
        """A MemberCluster was added, changed or deleted, by whomever."""
        name = obj["metadata"]["name"]
        before = self._members.get(name)
        if event == "DELETED":
            self._members.pop(name, None)
        else:
            self._members[name] = obj
        if event == "DELETED" or before is None or _said_of(before) != _said_of(obj):
            self._changed.set()

    def replace_members(self, objects: list[Obj]) -> None:
        """All MemberClusters there are."""
        self._members = {obj["metadata"]["name"]: obj for obj in objects}
        self._changed.set()

    def _let_go(self, name: str) -> None:
        profile = self._profiles.pop(name, None)
        if profile is not None:
            self._gone[name] = profile

    # ------------------------------------------------------------------ what members ask

    def problem(self, member: Obj) -> str:
        """Why the kubeconfig of a member cannot be told yet; "" where it can, or is not told here."""
        return self._unknown() if self._is_ours(member) else ""

    def kubeconfig(self, member: Obj) -> str | None:
        """The kubeconfig of a member that was made here; None where it is no Secret of a profile's that is named.

        Only what the MemberCluster names is used: who wrote that was asked for the right to read the Secret.

        Raises:
            InvalidSpec: the Secret does not have it, or has a token and nobody tells where to go with it.
        """
        profile = self._profile_of(member)
        reference = mapping(mapping(member.get("spec")).get("kubeconfigSecretRef"))
        name = str(reference.get("name"))
        if profile is None or name not in self._found(profile.name):
            return None
        where, key = f"Secret {self._source.home}/{name}", str(reference.get("key"))
        return kubeconfig_in(self._secrets[name], key, profile.access, self._source.providers, where)

    def missing(self, member: Obj) -> str:
        """What to say where the Secret of a member that was made here is not there; "" for others."""
        if not self._is_ours(member):
            return ""
        name = profile_of(member).partition("/")[2]
        return missing(self._source.home, name, metadata_of(member)["name"], self._found(name))

    def _is_ours(self, member: Obj) -> bool:
        return profile_of(member).partition("/")[0] == self._source.namespace

    def _profile_of(self, member: Obj) -> Profile | None:
        name = profile_of(member).partition("/")[2] if self._is_ours(member) else ""
        return self._profiles.get(name) or self._gone.get(name)

    def _found(self, profile: str) -> list[str]:
        return self._lent.get(profile, [])

    # ------------------------------------------------------------------ work

    def take_up(self) -> None:
        """Look at all of them: some are this process's from now on."""
        self._changed.set()

    async def run(self) -> None:
        """Follow the profiles until cancelled."""
        self._orphaned_at.clear()
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            self._changed.clear()
            wait_seconds = await self._pass()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _pass(self) -> float | None:
        try:
            return await self._follow()
        except Exception:  # noqa: BLE001 - a defect that one profile meets must not end the looking after all members
            _log.exception("a pass over ClusterProfiles failed")
            return _LONGEST_RETRY_SECONDS

    async def _follow(self) -> float | None:
        """One pass. Returns after how long the next is due; None where only a change makes it so."""
        if self._unknown():
            return _RETRY_SECONDS
        self._bodies = {name: self._body(profile) for name, profile in self._profiles.items()}
        bodies = {name: body for name, (*_, body) in self._bodies.items()}
        plan = plan_members(self._source.namespace, self._profiles.values(), self._members, bodies)
        for name in filter(self._may_write, plan.taken):
            self._say(name, "a ClusterProfile's name is that of a MemberCluster which was not made of it")
        done = [await self._try(each.name, self._make(each)) for each in plan.makings if self._may_write(each.name)]
        now = self._clock.now()
        self._orphaned_at = {each.uid: self._orphaned_at.get(each.uid, now) for each in plan.orphans}
        due = [each for each in plan.orphans if now - self._orphaned_at[each.uid] >= self._grace]
        done += [await self._try(each.name, self._remove(each)) for each in due if self._may_write(each.name)]
        return self._next_seconds(all(done), now)

    def _body(self, profile: Profile) -> tuple[Profile, SecretKey, Obj]:
        """What its MemberCluster is to have; that of the last pass, where nothing it rests on is another."""
        reference = reference_for(profile.member, self._found(profile.name), self._secrets)
        known = self._bodies.get(profile.name)
        if known is not None and known[0] is profile and known[1] == reference:
            return known
        return profile, reference, member_body(profile, reference)

    def _next_seconds(self, all_done: bool, now: datetime) -> float | None:
        if not all_done:
            self._failures += 1
            return float(min(_LONGEST_RETRY_SECONDS, _RETRY_SECONDS * 2 ** min(self._failures - 1, 10)))
        self._failures = 0
        waits = [self._grace - (now - at) for at in self._orphaned_at.values() if now - at < self._grace]
        return min(waits).total_seconds() if waits else None

    async def _try(self, name: str, write: Awaitable[None]) -> bool:
        """Whether a write went well, or needs no other before something changes."""
        try:
            with self._fence.acting(_key_of(name)):
                await write
        except (Conflict, NotLeader):
            return False  # it was changed meanwhile, and the watch tells how; or this process may not lead any more
        except SluiceError as error:
            self._say(name, f"a MemberCluster is not as its ClusterProfile has it: {error}")
            return False
        self._said.pop(name, None)
        return True

    def _may_write(self, name: str) -> bool:
        return self._fence.holds(_key_of(name))

    async def _make(self, making: Making) -> None:
        rests_on = {"uid": making.uid, "resourceVersion": making.resource_version} if making.uid else {}
        metadata = {**making.body["metadata"], **(rests_on or {"resourceVersion": _NONE_HAS})}
        await self._cluster.apply(Kind.MEMBER_CLUSTER, "", making.name, {**making.body, "metadata": metadata})
        _log.info("member discovered", extra={"member": making.name, "is_new": not making.uid})

    async def _remove(self, orphan: Orphan) -> None:
        await self._cluster.delete(Kind.MEMBER_CLUSTER, "", orphan.name, uid=orphan.uid)
        self._gone = {name: profile for name, profile in self._gone.items() if profile.member != orphan.name}
        _log.info("member removed with its ClusterProfile", extra={"member": orphan.name})

    def _say(self, name: str, what: str) -> None:
        """Once, until it is otherwise."""
        if self._said.get(name) != what:
            _log.warning("a ClusterProfile is not followed", extra={"member": name, "error": what})
        self._said[name] = what


def _key_of(name: str) -> WorkKey:
    return Kind.MEMBER_CLUSTER, "", name


def _said_of(member: Obj) -> tuple[object, ...]:
    """What of a MemberCluster matters here: its status, which is written more often, does not."""
    metadata = metadata_of(member)
    owners, leaves = metadata.get("ownerReferences"), "deletionTimestamp" in metadata
    return metadata.get("uid"), labels_of(member), annotations_of(member), member.get("spec"), owners, leaves
