"""Server-side apply in memory, beyond what the contract suite asks of every cluster: who owns what, item by item."""

from typing import Any

import pytest

from sluice.api.names import Kind
from sluice.errors import Rejected
from sluice.ports import Obj
from sluice.sim.clock import VirtualClock, run
from sluice.sim.cluster import FakeCluster

LABELS = {"app": "checkout"}
SIDECAR = {"name": "proxy", "image": "proxy:1"}


def body(*containers: Obj, labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    """A Deployment as Sluice would apply it."""
    template = {"metadata": {"labels": LABELS | (labels or {})}, "spec": {"containers": list(containers)}}
    return {"metadata": {}, "spec": {"selector": {"matchLabels": LABELS}, "template": template, **spec}}


def app(image: str = "checkout:1", **env: str) -> Obj:
    """Its container."""
    return {
        "name": "app",
        "image": image,
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "ports": [{"containerPort": 8080}],
    }


class Scene:
    """One Deployment, applied by Sluice and by others."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(VirtualClock(), namespaces=("shop",))

    async def apply(self, config: Obj, manager: str = "sluice") -> Obj:
        """Apply as somebody."""
        return await self.cluster.as_manager(manager).apply(Kind.DEPLOYMENT, "shop", "blue", config)

    async def edit(self, *operations: Obj) -> Obj:
        """Change by a JSON Patch, as a person does."""
        return await self.cluster.as_manager("kubectl-edit").patch_json(Kind.DEPLOYMENT, "shop", "blue", operations)


def containers(obj: Obj) -> dict[str, Obj]:
    """The containers, by name."""
    return {container["name"]: container for container in obj["spec"]["template"]["spec"]["containers"]}


def environment(obj: Obj, container: str = "app") -> dict[str, str]:
    """What a container's environment says."""
    return {item["name"]: item["value"] for item in containers(obj)[container].get("env", ())}


def owners(obj: Obj) -> set[tuple[str, str]]:
    """Who owns anything of the spec, and how."""
    return {(entry["manager"], entry["operation"]) for entry in obj["metadata"]["managedFields"]}


def test_what_others_add_to_a_list_stays() -> None:
    """A container or variable that Sluice never named survives its apply, as on a real server: force is no replace."""

    async def main() -> None:
        scene = Scene()
        await scene.apply(body(app(A="1", B="2")))
        path = "/spec/template/spec/containers"
        variable = {"name": "C", "value": "3"}
        await scene.edit(
            {"op": "add", "path": f"{path}/-", "value": SIDECAR},
            {"op": "add", "path": f"{path}/0/env/-", "value": variable},
        )
        found = await scene.apply(body(app("checkout:2", A="1")))
        assert list(containers(found)) == ["app", "proxy"]
        assert environment(found) == {"A": "1", "C": "3"}
        assert containers(found)["app"]["image"] == "checkout:2"

    run(main())


def test_what_somebody_else_owns_too_stays_until_both_let_go() -> None:
    """A field that two managers applied goes when the second leaves it out."""

    async def main() -> None:
        scene = Scene()
        await scene.apply(body(app(), SIDECAR))
        await scene.apply(body(app(), SIDECAR), "helm")
        assert list(containers(await scene.apply(body(app())))) == ["app", "proxy"]
        assert list(containers(await scene.apply(body(app()), "helm"))) == ["app"]

    run(main())


def test_an_item_goes_with_what_others_wrote_into_it() -> None:
    """A container that only Sluice owns is gone once it is left out, though somebody set a field of it."""

    async def main() -> None:
        scene = Scene()
        await scene.apply(body(app(), SIDECAR))
        await scene.edit({"op": "add", "path": "/spec/template/spec/containers/1/workingDir", "value": "/x"})
        found = await scene.apply(body(app()))
        assert list(containers(found)) == ["app"]
        assert owners(found) == {("sluice", "Apply")}

    run(main())


def test_a_field_that_was_taken_over_is_no_longer_ours_to_remove() -> None:
    """Who writes a field by an update owns it alone; leaving it out changes nothing, naming it takes it back."""

    async def main() -> None:
        scene = Scene()
        made = await scene.apply(body(app(), replicas=3))
        assert owners(made) == {("sluice", "Apply")}
        scaled = await scene.edit({"op": "replace", "path": "/spec/replicas", "value": 5})
        assert owners(scaled) == {("sluice", "Apply"), ("kubectl-edit", "Update")}
        assert (await scene.apply(body(app())))["spec"]["replicas"] == 5
        found = await scene.apply(body(app(), replicas=3))
        assert (found["spec"]["replicas"], owners(found)) == (3, {("sluice", "Apply")})
        assert (await scene.apply(body(app())))["spec"]["replicas"] == 1

    run(main())


def test_defaults_are_nobodys_and_no_difference() -> None:
    """The server's additions to a template are stored; applying the same again changes nothing all the same."""

    async def main() -> None:
        scene = Scene()
        made = await scene.apply(body(app()))
        assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
        assert containers(made)["app"]["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
        assert made["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
        (entry,) = made["metadata"]["managedFields"]
        assert entry["fieldsV1"]["f:spec"].keys() == {"f:selector", "f:template"}
        assert await scene.apply(body(app())) == made

    run(main())


def test_the_asked_order_of_items_counts() -> None:
    """Items come in the order of the apply, and those of others stay where they were."""

    async def main() -> None:
        scene = Scene()
        await scene.apply(body(app(), SIDECAR))
        await scene.edit(
            {"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "init", "image": "i:1"}}
        )
        assert list(containers(await scene.apply(body(SIDECAR, app())))) == ["init", "proxy", "app"]

    run(main())


@pytest.mark.parametrize(
    "config, message",
    [
        pytest.param(body(), "spec.template.spec.containers: Required value", id="no-containers"),
        pytest.param(body({"name": "app"}), "containers\\[0\\].image: Required value", id="no-image"),
        pytest.param(body(app(), replicas=-1), "spec.replicas", id="negative"),
        pytest.param(body(app(), labels={"tier": "x" * 64}), "spec.template.metadata.labels", id="long-label"),
        pytest.param({"spec": {"template": body(app())["spec"]["template"]}}, "spec.selector", id="no-selector"),
    ],
)
def test_a_deployment_that_means_nothing_is_rejected(config: Obj, message: str) -> None:
    """With the field that is wrong, in a dry run too; nothing is stored."""

    async def main() -> None:
        cluster = FakeCluster(VirtualClock(), namespaces=("shop",))
        for dry_run in (True, False):
            with pytest.raises(Rejected, match=message):
                await cluster.apply(Kind.DEPLOYMENT, "shop", "blue", config, dry_run=dry_run)
        assert await cluster.list(Kind.DEPLOYMENT) == []

    run(main())


def test_a_selector_is_for_ever() -> None:
    """A Deployment's selector cannot change, whoever applies it."""

    async def main() -> None:
        scene = Scene()
        await scene.apply(body(app(), labels={"tier": "web"}))
        other = body(app(), labels={"tier": "web"})
        other["spec"]["selector"] = {"matchLabels": {"tier": "web"}}
        with pytest.raises(Rejected, match="immutable"):
            await scene.apply(other)

    run(main())
