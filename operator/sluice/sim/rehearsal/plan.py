"""From copies and answers to dry runs to a page: two rehearsals, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sluice.api.names import Kind
from sluice.decide.metadata import mapping
from sluice.engine.index import is_fleet
from sluice.engine.policyboard import PolicyBoard
from sluice.engine.store import Store, key_of
from sluice.engine.switchboard import SWITCH_KINDS, SwitchBoard, parse_switch
from sluice.ops.plan.asked import AROUND, Asked, Files
from sluice.ops.plan.dryrun import Tried
from sluice.ops.plan.surroundings import VITAL, VITAL_FOR_PODS, VITAL_FOR_TEMPLATES, Copies
from sluice.ports import Obj
from sluice.sim.clock import TURNS_PER_SECOND, run
from sluice.sim.rehearsal.course import rehearse_course
from sluice.sim.rehearsal.fleets import batches_of
from sluice.sim.rehearsal.now import First, Key, Seen, rehearse
from sluice.sim.rehearsal.verdicts import candidate_line, judge, next_run_only, stable_line, status_of
from sluice.sim.rehearsal.world import Copy
from sluice.sim.rehearsal.writes import tell_writes
from sluice.views.plans import Course, GuardPlan, ObjectLine, PlanPage, RolloutPlan, Verdict

Guard = tuple[Kind, str, str]
ASSUMED = (
    "pods come up, and those of slots that Sluice does not run are ready",
    "every analysis passes, and error budgets are left",
    "routes are accepted, and whoever is asked answers at once",
    "other Rollouts stay as they are",
)
_COURSED = (Verdict.ADOPT, Verdict.START, Verdict.WAIT, Verdict.SUPERSEDE, Verdict.GO_ON)
_TURNS_EACH = 500  # of the loop in a second, for each object: a switch may have work for very many at once
_NAMED = frozenset({Kind.ROLLOUT_ACTION, Kind.ANALYSIS_TEMPLATE, Kind.CLUSTER_ANALYSIS_TEMPLATE, *AROUND})
_OVER_A_FLEET = "what is in its member clusters is not read, so its course is not rehearsed"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan is made of.

    Attributes:
        files: what was asked.
        tried: what the API server says to each.
        copies: what is there.
        now: the time.
    """

    files: Files
    tried: Sequence[Tried]
    copies: Copies
    now: datetime

    def applied(self) -> list[Copy]:
        """What would be there, were it applied."""
        after = {place_of(each.asked): each.after for each in self.tried if each.after is not None}
        kept = [(kind, obj) for kind, obj in self.copies.objects if (kind, *key_of(obj)) not in after]
        return [*kept, *((place[0], obj) for place, obj in after.items())]


def place_of(asked: Asked) -> Guard:
    """Where an object is."""
    return asked.kind, asked.namespace, asked.name


def reach(ground: Ground) -> tuple[dict[Guard, list[Key]], list[Key]]:
    """The Rollouts that each switch and policy of the files covers; and of all there is to tell of."""
    store = Store()
    board, policies = SwitchBoard(store, lambda: ground.now), PolicyBoard(store)
    for kind, obj in ground.applied():
        store.apply(kind, None, {**obj, "metadata": {**obj["metadata"], "resourceVersion": "1"}})
    guards: dict[Guard, list[Key]] = {}
    for each in ground.tried:
        if each.after is None:
            continue
        if each.asked.kind in SWITCH_KINDS:
            parsed = parse_switch(each.asked.kind, each.after)
            guards[place_of(each.asked)] = sorted(map(key_of, board.rollouts_of(*parsed))) if parsed else []
        elif each.asked.kind is Kind.ROLLOUT_POLICY:
            policy = policies.get(each.asked.name)
            guards[place_of(each.asked)] = sorted(policies.covered_by(policy)) if policy else []
    asked = [place_of(each.asked)[1:] for each in ground.tried if each.asked.kind is Kind.ROLLOUT and each.after]
    asked += [key_of(rollout) for rollout in store.all(Kind.ROLLOUT) if _stirred(ground, rollout)]
    covered = [key for keys in guards.values() for key in keys]
    return guards, list(dict.fromkeys([*asked, *covered]))


def _stirred(ground: Ground, rollout: Obj) -> bool:
    """Whether the files hold something that a Rollout names: its Deployment, its routes, its templates."""
    text, home = str(rollout.get("spec")), key_of(rollout)[0]
    return any(
        each.after is not None
        and each.asked.kind in _NAMED
        and each.asked.namespace in {home, ""}
        and (repr(each.asked.name) in text or mapping(each.asked.body.get("spec")).get("rollout") == key_of(rollout)[1])
        for each in ground.tried
    )


def make_page(ground: Ground) -> PlanPage:
    """Rehearse, and tell what came of it. Runs loops of its own: not to be called within one."""
    guards, keys = reach(ground)
    applied = ground.applied()
    there = {key_of(obj): obj for kind, obj in applied if kind is Kind.ROLLOUT}
    blind = {key: why for key in keys if (why := _blind(ground, there[key]))}
    fleets = [key for key in keys if is_fleet(there[key])]
    own = [key for key in keys if key not in blind and key not in fleets]
    turns = TURNS_PER_SECOND + _TURNS_EACH * len(applied)
    seen = run(rehearse(applied, own, fleets, guards, ground.now), turns_per_second=turns)
    plans = [_told(ground, key, seen, there[key], blind.get(key, "")) for key in keys]
    asked = {place_of(each.asked)[1:] for each in ground.tried if each.asked.kind is Kind.ROLLOUT}
    follow = [(each.namespace, each.name) for each in plans if each.verdict in _COURSED]
    follow = [key for key in follow if key in asked or len(keys) == 1 or _stirred(ground, there[key])]
    courses = (
        run(rehearse_course(applied, own, follow, ground.now), turns_per_second=turns)
        if follow
        else dict[Key, Course]()
    )
    return PlanPage(
        objects=tuple(_objects(ground)),
        rollouts=tuple(_with_course(each, courses.get((each.namespace, each.name))) for each in plans),
        guards=tuple(_guards(seen, guards)),
        skipped=tuple(ground.files.skipped),
        assumed=ASSUMED if courses else (),
        unknown=tuple(ground.copies.notes),
    )


def _blind(ground: Ground, rollout: Obj) -> str:
    """Why nobody can tell what becomes of a Rollout; "" where it can be told."""
    if "deletionTimestamp" in rollout["metadata"]:
        return "it is being deleted"
    if is_fleet(rollout):
        return ""
    home, spec = key_of(rollout)[0], mapping(rollout.get("spec"))
    managed = "services" not in mapping(spec.get("workload"))
    wanted = VITAL | (VITAL_FOR_PODS if managed else frozenset())
    if "'templates'" in str(spec):
        wanted |= VITAL_FOR_TEMPLATES
    lacking = sorted(str(kind) for kind, where in ground.copies.unread if kind in wanted and where in {home, ""})
    return f"no right to list {', '.join(lacking)} in namespace {home}: nobody can tell without" if lacking else ""


def _told(ground: Ground, key: Key, seen: First, rollout: Obj, blind: str) -> RolloutPlan:
    if blind:
        return RolloutPlan(*key, Verdict.UNKNOWN, blind)
    if not is_fleet(rollout):
        return _plan(ground, key, seen.rollouts[key])
    members = [obj for kind, obj in ground.applied() if kind is Kind.MEMBER_CLUSTER]
    batches, lacking = batches_of(rollout, members)
    message = f"{_OVER_A_FLEET}; {lacking}" if lacking else _OVER_A_FLEET
    changed = _changed(ground, key)
    return RolloutPlan(*key, Verdict.FLEET, message, changed=changed, holds=tuple(seen.fleets[key]), batches=batches)


def _changed(ground: Ground, key: Key) -> tuple[str, ...]:
    tried = _tried(ground, key)
    return tried.changed if tried is not None else ()


def _tried(ground: Ground, key: Key) -> Tried | None:
    return next((each for each in ground.tried if place_of(each.asked) == (Kind.ROLLOUT, *key)), None)


def _plan(ground: Ground, key: Key, seen: Seen) -> RolloutPlan:
    tried = _tried(ground, key)
    known = (obj for obj in ground.copies.of(Kind.ROLLOUT) if key_of(obj) == key)
    before = tried.before if tried is not None else next(known, None)
    old, new = status_of(before), status_of(seen.after)
    verdict, message = judge(old, new, seen.desired)
    changed = _changed(ground, key)
    return RolloutPlan(
        namespace=key[0],
        name=key[1],
        verdict=verdict,
        message=message,
        stable=stable_line(new),
        candidate=candidate_line(new, seen.desired),
        changed=changed,
        next_run_only=next_run_only(changed, old, new),
        holds=tuple(seen.holds) if candidate_line(new, seen.desired) is not None else (),
        writes=tuple(tell_writes(seen.writes)),
    )


def _with_course(plan: RolloutPlan, course: Course | None) -> RolloutPlan:
    if course is None or not course.lines:
        return plan
    return replace(plan, course=course)


def _objects(ground: Ground) -> Iterator[ObjectLine]:
    for unfit in ground.files.unfit:
        result = "refused" if unfit.kind else "unreadable"
        yield ObjectLine(unfit.where, unfit.kind, unfit.namespace, unfit.name, result, message=unfit.message)
    for each in ground.tried:
        asked, changed = each.asked, each.changed
        result = "created" if each.before is None else "changed" if changed else "unchanged"
        if each.after is None:
            result = "refused"
        yield ObjectLine(asked.where, str(asked.kind), asked.namespace, asked.name, result, changed, each.refusal)


def _guards(seen: First, covered: dict[Guard, list[Key]]) -> Iterator[GuardPlan]:
    for place, obj in seen.guards.items():
        status = mapping(obj.get("status"))
        names = tuple("/".join(key) for key in covered[place])
        state, message = str(status.get("state") or ""), str(status.get("message") or "")
        yield GuardPlan(str(place[0]), place[1], place[2], state, message, names)
