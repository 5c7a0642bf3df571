"""Telling a run to do something: one RolloutAction, and its answer."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from functools import partial

from sluice.api.action import ActionPhase, RolloutActionSpec, Verb
from sluice.api.names import API_VERSION, Kind
from sluice.errors import Conflict, Forbidden, NotFound
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import Ending, Outcome, Target
from sluice.ops.patience import insist, until
from sluice.ports import Cluster
from sluice.views.fields import Fields
from sluice.views.rows import revision_of

_NAME_MAX = 63
_BORN_ANEW = 3
_SAID = {Verb.PROMOTE_FULLY: "promote fully", Verb.ROLLBACK: "roll back"}
_ALL_OF_IT: Mapping[str, object] = {}


async def act(
    cluster: Cluster,
    target: Target,
    verb: Verb,
    *,
    revision: int | None,
    reason: str,
    patience_seconds: float,
    aim: Mapping[str, object] = _ALL_OF_IT,
) -> Outcome:
    """Create a RolloutAction and wait for its answer. Writes: the RolloutAction.

    Args:
        cluster: where the Rollout is.
        target: the Rollout.
        verb: what to do.
        revision: of the run that is meant; the action is rejected if another one is under way by then.
        reason: for the audit trail.
        patience_seconds: how long to wait for the answer; 0: not at all.
        aim: fields of the action's spec that say what of the Rollout is meant.

    Raises:
        NotFound, Forbidden, Rejected, Unavailable: with a sentence for the person.
    """
    doing, right = words(verb)
    needs = (f"the verb {right} on {resource(Kind.ROLLOUT)}", f"create on {resource(Kind.ROLLOUT_ACTION)}")
    spec = RolloutActionSpec(rollout=target.name, action=verb, revision=revision, reason=reason).dump()
    del spec["actor"], spec["actorGroups"]  # the API server's to say
    spec |= aim
    with explaining(doing, target, *needs):
        name = await _create(cluster, target, verb, spec, patience_seconds)
    carrier = Target(Kind.ROLLOUT_ACTION, target.namespace, name)
    if not patience_seconds:
        return Outcome(Ending.SENT, f"{target}: {carrier} is created; its status will tell", carrier)
    with explaining("read", carrier, f"get on {resource(Kind.ROLLOUT_ACTION)}"):
        return await _answer(cluster, target, carrier, patience_seconds)


async def current_revision(cluster: Cluster, target: Target, verb: Verb) -> int | None:
    """The number of the Rollout's current or last run; None before the first.

    Raises:
        NotFound, Forbidden, Unavailable: with a sentence for the person.
    """
    with explaining(words(verb)[0], target, f"get on {resource(Kind.ROLLOUT)}"):
        status = Fields(await cluster.get(Kind.ROLLOUT, target.namespace, target.name)).at("status")
    return revision_of(status).whole("number")


async def act_on_rollout(
    cluster: Cluster,
    target: Target,
    verb: Verb,
    *,
    revision: int | None,
    reason: str,
    patience_seconds: float,
    aim: Mapping[str, object] = _ALL_OF_IT,
) -> Outcome:
    """`act` for a verb that needs no revision; a mistyped name is found early. Who may not read goes on without."""
    with contextlib.suppress(Forbidden):
        await current_revision(cluster, target, verb)
    return await act(
        cluster, target, verb, revision=revision, reason=reason, patience_seconds=patience_seconds, aim=aim
    )


async def act_on_revision(
    cluster: Cluster,
    target: Target,
    verb: Verb,
    *,
    revision: int | None,
    reason: str,
    patience_seconds: float,
    aim: Mapping[str, object] = _ALL_OF_IT,
) -> Outcome:
    """`act` for a verb that lets more through: it names the revision, by default the current or last one."""
    meant = revision if revision is not None else await current_revision(cluster, target, verb)
    if meant is None:
        return Outcome(Ending.REJECTED, f"{target} has had no run yet: there is nothing to {words(verb)[0]}", target)
    return await act(cluster, target, verb, revision=meant, reason=reason, patience_seconds=patience_seconds, aim=aim)


def words(verb: Verb) -> tuple[str, str]:
    """How a sentence says it, and the RBAC verb."""
    return _SAID.get(verb, verb.lower()), verb.lower()


async def _create(
    cluster: Cluster, target: Target, verb: Verb, spec: dict[str, object], patience_seconds: float
) -> str:
    """Create it under a name of our own, so that a second try after a lost answer meets the first and makes no twin."""
    for _ in range(_BORN_ANEW):
        tail = f"-{verb.lower()}-{secrets.token_hex(4)}"
        name = target.name[: _NAME_MAX - len(tail)].rstrip("-.") + tail
        body = {
            "apiVersion": API_VERSION,
            "kind": Kind.ROLLOUT_ACTION.value,
            "metadata": {"name": name, "namespace": target.namespace},
            "spec": spec,
        }
        try:
            await insist(partial(cluster.create, Kind.ROLLOUT_ACTION, target.namespace, body), patience_seconds)
        except Conflict:
            stored = Fields(await cluster.get(Kind.ROLLOUT_ACTION, target.namespace, name))
            if stored.text("spec", "rollout") != target.name or stored.text("spec", "action") != verb:
                continue
        return name
    raise Conflict(f"{_BORN_ANEW} random names in a row were taken")


async def _answer(cluster: Cluster, target: Target, carrier: Target, patience_seconds: float) -> Outcome:
    async def probe() -> Outcome | None:
        try:
            status = Fields(await cluster.get(carrier.kind, carrier.namespace, carrier.name)).at("status")
        except NotFound:
            return Outcome(Ending.PENDING, f"{carrier} was deleted before it had an answer", carrier)
        message = status.text("message")
        match status.text("phase"):
            case ActionPhase.DONE:
                return Outcome(Ending.DONE, f"{target}: {message or 'done'}", carrier)
            case ActionPhase.REJECTED:
                return Outcome(Ending.REJECTED, f"{target}: {message or 'rejected'}", carrier)
        return None

    silence = (
        f"{target}: no answer within {patience_seconds:g} s. {carrier} stays, and is carried out if the operator sees "
        f"it within 10 minutes of its creation. Is the operator running? To withdraw it: "
        f"kubectl delete rolloutaction {carrier.name} -n {carrier.namespace}"
    )
    return await until(probe, patience_seconds) or Outcome(Ending.PENDING, silence, carrier)
