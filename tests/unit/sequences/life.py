"""An app whose pods Sluice runs, and a neighbour, in an embedded world: what happens to them, and what must follow."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from sluice.api.names import HOLD_ANNOTATION, Kind, Slot
from sluice.decide.model import Reading
from sluice.decide.revision import template_hash
from sluice.errors import Conflict, SluiceError, Unavailable
from sluice.ports import Obj
from sluice.sim import manifests
from sluice.sim.cluster import Call, Fault
from sluice.sim.metrics import Question
from sluice.sim.pods import Behaviour, is_ready
from sluice.sim.world import World
from unit.sequences.laws import Broken
from unit.sequences.pod_laws import PodLaws

APP, NEIGHBOUR, PLAIN = "checkout", "payments", "checkout-plain"
STABLE, LAST = "1.0", "9.0"
CAPACITY = 3
SCOPE = {"selector": {"matchLabels": {manifests.APP_LABEL: APP}}}
NEIGHBOURS_CANARY = manifests.canary(*manifests.step_weights(5, 50, pause="1m"))
MINUTE = 60.0
NOBODYS = {"app": "nobody"}


def image(tag: str) -> str:
    """The app's image with that tag."""
    return f"shop/{APP}:{tag}"


class Setting:
    """How the app is rolled out; prints as a sentence.

    Args:
        text: the sentence.
        strategy: of the Rollout.
        switched: a Service carries the traffic instead of a route.
        plain: there are callers of a stable Service too.
        source: the pod template is that of a Deployment which somebody else keeps.
        workload: further fields of spec.workload.
        fields: further fields of the Rollout's spec.
    """

    def __init__(
        self,
        text: str,
        strategy: Obj,
        *,
        switched: bool = False,
        plain: bool = False,
        source: bool = False,
        workload: Obj | None = None,
        **fields: Any,
    ) -> None:
        self._text = text
        self.strategy = strategy
        self.switched = switched
        self.plain = plain
        self.source = source
        self.workload = {"scaleDownDelay": "3m", **(workload or {})}
        self.fields = {"metrics": [manifests.metric()], "progressDeadline": "5m", **fields}

    def __repr__(self) -> str:
        return self._text


class Life:
    """The two apps, their operator, and everybody else.

    Args:
        setting: of the app.
        seed: decides which requests a flaky API server fails.

    Attributes:
        refused: what the API said to the last who was refused; "" for nobody.
    """

    def __init__(self, setting: Setting, seed: int) -> None:
        self.world = World()
        self.laws = PodLaws(self.world, APP, NEIGHBOUR, plain=PLAIN if setting.plain else "")
        self.refused = ""
        self._setting = setting
        self._chance = random.Random(seed)
        self._answer: float | Reading = 0.0
        self.world.metrics.script(self._measured)
        self.world.app(NEIGHBOUR)
        self.world.workload_app(
            APP,
            image=image(STABLE),
            replicas=CAPACITY,
            switched=setting.switched,
            stable_service=PLAIN if setting.plain else "",
            source=setting.source,
            **setting.workload,
        )

    async def begin(self) -> None:
        """Install both."""
        await self.world.start()
        await self.world.adopt(NEIGHBOUR, NEIGHBOURS_CANARY)
        await self.world.install(APP, self._setting.strategy, **self._setting.fields)
        await asyncio.sleep(MINUTE)
        self.laws.begin(self._setting.strategy)

    def _measured(self, question: Question) -> float | Reading:
        self.laws.heard(question, self._answer)
        return self._answer

    # ------------------------------------------------------------------------------------------ people

    async def release(self, tag: str, behaviour: Behaviour) -> None:
        """Ask for an image whose pods fare like that."""
        if behaviour != Behaviour():
            self.laws.bad_tags.add(tag)
        self.world.kubelet.behave(tag, behaviour)
        await self.world.release_image(APP, image(tag))

    async def revert(self) -> None:
        """Ask again for the image that is stable."""
        stable = self.world.status(APP).stable
        if stable is not None and stable.version is not None:
            await self.world.release_image(APP, image(stable.version))

    async def scale(self, replicas: int) -> None:
        """Set the capacity."""
        if not replicas:
            self.laws.harm()
        await self.world.scale(APP, replicas)

    async def act(self, verb: str) -> None:
        """Tell the run something by a RolloutAction."""
        await self.world.act(APP, verb, reason="drill")

    async def pause(self, paused: bool) -> None:
        """Set spec.paused."""
        await self.world.spec(APP, {"paused": paused})

    async def engage(self, effect: str, scope: str) -> None:
        """Engage a kill switch (`scope` "wide": of the whole cluster) that covers the app, and not its neighbour."""
        await self.world.engage(reason="drill", wide=scope == "wide", effect=effect, scope=SCOPE)

    async def drill(self, scope: str) -> None:
        """The same as a drill, which releases it by itself."""
        await self.world.engage(reason="rehearsal", wide=scope == "wide", effect="Divert", drill=True, scope=SCOPE)

    async def disengage(self, scope: str) -> None:
        """Release it."""
        await self.world.release(wide=scope == "wide", reason="fixed")

    async def delete(self) -> None:
        """Delete the Rollout."""
        await self.world.delete_rollout(APP)

    async def create(self) -> None:
        """Create the Rollout anew, as it was first."""
        await self.world.create_rollout(APP, self._setting.strategy, **self._setting.fields)

    async def budget(self, pods: int) -> None:
        """Let no more than so many pods be missing."""
        await self.world.pdb(APP, maxUnavailable=pods)

    async def no_budget(self) -> None:
        """Take the budget away."""
        await self.world.remove(Kind.POD_DISRUPTION_BUDGET, APP)

    # ------------------------------------------------------------------------------------------ foreign hands, fate

    def _pods(self, slot: Slot) -> list[str]:
        pods = self.world.pods_of(APP, slot)
        return [pod["metadata"]["name"] for pod in pods if is_ready(pod)]

    async def crash_pods(self, slot: Slot, count: int) -> None:
        """End the containers of so many ready pods, which start again."""
        self.laws.harm()
        for name in self._pods(slot)[:count]:
            self.world.kubelet.crash(self.world.namespace, name)

    async def lose_node(self, slot: Slot, count: int) -> None:
        """End so many ready pods for good, without grace."""
        self.laws.harm()
        for name in self._pods(slot)[:count]:
            self.world.kubelet.kill(self.world.namespace, name)

    async def evict(self, slot: Slot) -> None:
        """Ask for the eviction of all pods of a slot, as far as budgets let them go."""
        self.laws.harm()
        for name in self._pods(slot):
            self.world.budgets.evict(self.world.namespace, name)

    async def meddle(self, blue: int, green: int) -> None:
        """Write the weights, or point the switched Service, by hand."""
        if self._setting.switched:
            slot = Slot.GREEN if green > blue else Slot.BLUE
            await self.world.meddle_service(APP, manifests.managed_labels(APP, slot))
        else:
            await self.world.meddle(APP, blue, green)

    async def hold(self, blue: int, green: int) -> None:
        """Break the glass; a switched Service is not held."""
        if not self._setting.switched:
            await self.world.hold(APP, blue, green)

    async def end_hold(self) -> None:
        """Take the hold back."""
        if not self._setting.switched:
            await self.world.end_hold(APP)

    async def remove(self, kind: Kind, slot: Slot) -> None:
        """Delete a slot's Deployment or Service."""
        self.laws.harm()
        await self.world.remove(kind, manifests.slot_service(APP, slot))

    async def edit(self, slot: Slot, replicas: int | None, tag: str | None) -> None:
        """Write a slot's Deployment by hand."""
        self.laws.harm()
        await self.world.meddle_deployment(APP, slot, image=image(tag) if tag else None, replicas=replicas)

    async def forget(self) -> None:
        """Delete the newest RolloutRun."""
        runs = [run["metadata"]["name"] for run in self.world.cluster.store.all(Kind.ROLLOUT_RUN, self.world.namespace)]
        for name in sorted(runs, key=len)[-1:]:
            await self.world.remove(Kind.ROLLOUT_RUN, name)

    async def misdirect(self, slot: Slot) -> None:
        """Have a slot's Service select nothing."""
        self.laws.harm()
        await self.world.meddle_service(manifests.slot_service(APP, slot), NOBODYS)

    async def prometheus(self, answer: float | Reading) -> None:
        """Let Prometheus answer that from now on."""
        self._answer = answer

    async def gateway(self, state: str) -> None:
        """Stop the gateway's controller ("frozen"), or let it catch up."""
        self.laws.unrest()
        self.world.gateway.frozen = state == "frozen"
        if not self.world.gateway.frozen:
            self.world.gateway.thaw()

    async def api(self, mood: str) -> None:
        """Change how the API server treats the operator's writes."""
        self.laws.note_mood(mood)
        self.world.cluster.faults[:] = [] if mood == "well" else [self._fault(mood)]

    def _fault(self, mood: str) -> Fault:
        def fault(call: Call) -> float | None:
            if call.manager != "sluice" or not (call.writes or call.dry_run):
                return None
            if mood == "down":
                raise Unavailable("connection refused")
            unlucky = self._chance.random() < 0.4
            if mood == "slow":
                return 3.0 if unlucky and call.phase == "before" else None
            if unlucky and call.phase == ("after" if mood == "lost answers" else "before"):
                raise Unavailable("timed out") if self._chance.random() < 0.8 else Conflict("somebody was quicker")
            return None

        return fault

    async def crash(self, after_writes: int) -> None:
        """Kill the operator, now or right after so many writes more."""
        self.laws.note_death(after_writes)
        if after_writes:
            self.world.operator.crash_after_writes(after_writes)
        else:
            await self.world.operator.crash()

    async def restart(self, watch_delay_seconds: float, latency_seconds: float) -> None:
        """Start the operator anew."""
        self.world.operator.watch_delay_seconds = watch_delay_seconds
        self.world.cluster.latency_seconds = latency_seconds
        await self.world.restart()
        self.laws.note_start()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and look at the world every now and then."""
        end = self.world.clock.monotonic() + seconds
        while (left := end - self.world.clock.monotonic()) > 0:
            await asyncio.sleep(min(left, 2.0))
            self.laws.look()

    async def stale(self, kind: Kind, state: str) -> None:
        """Let the operator's watch of a kind stand still ("held"), or catch up."""
        watch = self.world.operator.watches[kind]
        if state == "held":
            watch.hold()
            self.laws.note_held(watch)
        else:
            watch.release()
            self.laws.note_held(None)

    # ------------------------------------------------------------------------------------------ the end

    async def heal(self) -> None:
        """Everything is well again, and nobody is in the way any more."""
        await self.api("well")
        self._answer = 0.0
        for tag in sorted(self.laws.bad_tags):
            self.world.kubelet.behave(tag, Behaviour())
        self.laws.bad_tags.clear()
        await self.gateway("")
        for undo in (self.no_budget(), self.end_hold(), self.disengage(""), self.disengage("wide")):
            await self.people(undo)
        await self.restart(0.0, 0.0)
        await asyncio.sleep(MINUTE)
        if self.world.cluster.store.peek(Kind.ROLLOUT, self.world.namespace, APP) is None:
            await self._tidy()
            await self.create()
            await asyncio.sleep(MINUTE)
        if not self._workload()["replicas"]:
            await self.scale(CAPACITY)
        if self.laws.template_lost():  # what its message says to do
            await self.revert()
            await asyncio.sleep(MINUTE)
        await self.pause(paused=False)
        await self.act("Resume")

    async def _tidy(self) -> None:
        """Nobody put back what mallory did while there was no Rollout."""
        for slot in Slot:
            name = manifests.slot_service(APP, slot)
            found = self.world.cluster.store.peek(Kind.SERVICE, self.world.namespace, name)
            if found is not None and found["spec"]["selector"] == NOBODYS:
                await self.world.remove(Kind.SERVICE, name)

    def _workload(self) -> Obj:
        found: Obj = self.world.cluster.store.get(Kind.ROLLOUT, self.world.namespace, APP)["spec"]["workload"]
        return found

    def _asked(self) -> Obj:
        """The pod template that is asked for."""
        workload = self._workload()
        if "workloadRef" in workload:
            workload = self.world.cluster.store.get(Kind.DEPLOYMENT, self.world.namespace, APP)["spec"]
        asked: Obj = workload["template"]
        return asked

    async def people(self, doing: Coroutine[Any, Any, None]) -> None:
        """Let somebody do something; what the API refuses was not done, and `refused` says why."""
        self.refused = ""
        try:
            await doing
        except SluiceError as refusal:
            self.refused = str(refusal)

    async def at_rest(self) -> None:
        """Heal, and look that what was under way ends by itself."""
        await self.heal()
        for _ in range(3):  # an analysis that could not tell waits for a person, at each step anew
            await self.act("Promote")
            await asyncio.sleep(15 * MINUTE)
        status = self.world.status(APP)
        if status.revision is not None and status.revision.outcome is None:
            raise Broken(f"I5: the run did not end although all is well: {status.phase}, {status.message}")
        if status.phase not in ("Healthy", "Aborted", "Killed"):
            raise Broken(f"I5: it is {status.phase} although all is well: {status.message}")
        self._check_shares()

    async def released_again(self) -> None:
        """Release a last version that is good, and look that it ends up serving, whole and alone."""
        await self.release(LAST, Behaviour())
        for _ in range(3):  # steps may wait for a person
            await asyncio.sleep(10 * MINUTE)
            if self.world.status(APP).phase == "Paused":
                await self.act("Promote")
        await asyncio.sleep(10 * MINUTE)
        status, replicas = self.world.status(APP), self._workload()["replicas"]
        wanted = template_hash(self._asked())
        if status.phase != "Healthy" or status.stable is None or status.stable.hash != wanted:
            raise Broken(f"I5: {LAST} is asked for and good, but the Rollout is {status.phase}: {status.message}")
        self._check_shares()
        slot = status.stable.slot
        pods = self.world.pods_of(APP, slot)
        images = [pod["spec"]["containers"][0]["image"] for pod in pods]
        if images != [image(LAST)] * replicas or self.world.ready_pods(APP, slot) != replicas:
            raise Broken(f"I5: {replicas} pods of {LAST} are asked for, and {slot} runs {images}")
        left = self.world.pods_of(APP, slot.other)
        if left:
            raise Broken(f"I5: {slot.other} serves nobody and still has {len(left)} pods")
        role = self._setting.workload.get("stableMetadata", {}).get("labels", {})
        if not all(role.items() <= pod["metadata"]["labels"].items() for pod in pods):
            raise Broken(f"I5: the pods of {slot}, which is stable, do not carry {role}")

    def _check_shares(self) -> None:
        status, green = self.world.status(APP), self.world.green_share(APP)
        if status.stable is None:
            raise Broken("I5: no revision is stable any more")
        share = green if status.stable.slot is Slot.GREEN else 10_000 - green
        if share != 10_000 or status.confirmation != "Accepted":
            raise Broken(f"I5: {status.stable.slot} is stable, has {share} basis points, {status.confirmation}")
        route = self.world.cluster.store.peek(Kind.HTTP_ROUTE, self.world.namespace, APP)
        if route is not None and HOLD_ANNOTATION in route["metadata"].get("annotations", {}):
            raise Broken("the hold was not ended by the test")
        self.laws.check_served()
