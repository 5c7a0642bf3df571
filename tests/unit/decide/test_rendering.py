"""The objects of a slot as they are applied, and what tells pod templates apart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sluice.api.names import Kind, Slot
from sluice.api.workload import ServicePort, Workload
from sluice.decide.rendering import Content, Place, applied_of, keeping_targets, service_ports, users_template
from sluice.decide.revision import image_version, template_hash
from unit.decide.observed import NOW, OWNER
from unit.decide.workloads import template

PLACE = Place("checkout", Slot.GREEN, "checkout-green", OWNER)
DEFAULTED: dict[str, Any] = {
    "metadata": {"creationTimestamp": None, "labels": {"app": "checkout"}, "annotations": {}, "name": "x"},
    "spec": template()["spec"],
    "status": {},
}


# ---------------------------------------------------------------------------------------------- revisions


def test_the_hash_of_a_template_ignores_order_and_bookkeeping() -> None:
    """Keys in another order, empty maps and what the API server adds to metadata make no other revision."""
    turned = {"spec": dict(reversed(template()["spec"].items())), "metadata": template()["metadata"]}
    assert template_hash(DEFAULTED) == template_hash(turned) == template_hash(template())


@pytest.mark.parametrize(
    "other",
    [
        template("1.1"),
        template(port=9090),
        template(labels={"app": "other"}),
        {**template(), "metadata": {"labels": {"app": "checkout"}, "annotations": {"restart": "1"}}},
        {**template(), "spec": {**template()["spec"], "nodeSelector": {"disk": "ssd"}}},
    ],
)
def test_whatever_would_make_other_pods_is_another_revision(other: dict[str, Any]) -> None:
    """Image, ports, labels, annotations, and everything else of the pods' spec."""
    assert template_hash(other) != template_hash(template())


def test_hashes_of_templates_stay_the_same_across_versions_of_sluice() -> None:
    """They stand in statuses, RolloutRuns and on pods: another algorithm would start a run in every Rollout."""
    assert template_hash(template()) == "a6bbed46d9"


@pytest.mark.parametrize(
    "image, version",
    [("shop/checkout:1.4", "1.4"), ("shop/checkout", None), ("r:5000/checkout", None), ("a/b:2@sha256:ab", "2")],
)
def test_the_version_is_the_tag_of_the_first_image(image: str, version: str | None) -> None:
    """A registry's port and a digest are none."""
    assert image_version({"spec": {"containers": [{"image": image}, {"image": "x:9"}]}}) == version


# ---------------------------------------------------------------------------------------------- Deployments


def rendered(users: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Deployment with the template in it."""
    body: dict[str, Any] = PLACE.deployment(Content("abc", users, **{"replicas": 3, **fields}), uid="u").body
    return body


def test_pods_carry_what_the_user_says_and_what_sluice_needs() -> None:
    """The slot's labels and the revision; the user's own `sluice.dev/` labels and annotations are overwritten."""
    users = {
        "metadata": {
            "labels": {"app": "checkout", "sluice.dev/slot": "blue", "sluice.dev/other": "x"},
            "annotations": {"team": "shop", "sluice.dev/restarted-at": "never"},
        },
        "spec": {"containers": []},
    }
    pods = rendered(users)["spec"]["template"]
    assert pods["metadata"] == {
        "labels": {
            "app": "checkout",
            "sluice.dev/rollout": "checkout",
            "sluice.dev/slot": "green",
            "sluice.dev/revision": "abc",
        },
        "annotations": {"team": "shop"},
    }


def test_a_deployment_never_has_fewer_pods_than_it_needs_while_it_rolls() -> None:
    """New pods come before old ones go, also in a restart; what it selects are the slot's pods."""
    body = rendered(template(), min_ready_seconds=7)
    assert body["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    assert body["spec"]["selector"] == {
        "matchLabels": {"sluice.dev/rollout": "checkout", "sluice.dev/slot": "green"},
    }
    assert (body["spec"]["minReadySeconds"], body["spec"]["replicas"]) == (7, 3)
    assert body["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "sluice"
    assert body["metadata"]["annotations"]["sluice.dev/rollout"] == OWNER
    assert "ownerReferences" not in body["metadata"]


def test_each_write_differs_from_every_other() -> None:
    """By revision, replicas, restart and repair; not by how the same template is written."""
    contents = [
        Content("abc", template(), 3),
        Content("abd", template("2.0"), 3),
        Content("abc", template(), 4),
        Content("abc", template(), 3, min_ready_seconds=1),
        Content("abc", template(), 3, restarted_at=NOW),
        Content("abc", template(), 3, restarted_at=NOW + timedelta(seconds=1)),
        Content("abc", template(), 3, repairs=1),
    ]
    marks = [applied_of(PLACE.deployment(content, uid="")) for content in contents]
    assert len(set(marks)) == len(contents)
    assert applied_of(PLACE.deployment(Content("abc", DEFAULTED, 3), uid="other")) == marks[0]


def test_a_restart_is_an_annotation_of_the_pods() -> None:
    """It makes other pods of the same revision, and is no part of what the user asked for."""
    pods = rendered(template(), restarted_at=NOW)["spec"]["template"]
    assert pods["metadata"]["annotations"] == {"sluice.dev/restarted-at": "2026-03-02T09:00:00.000000Z"}
    assert template_hash(users_template(pods)) == template_hash(template())


# ---------------------------------------------------------------------------------------------- Services


def ports_of(containers: list[dict[str, Any]], **workload: Any) -> list[tuple[str | None, int, int | str | None, str]]:
    """The ports that the slots' Services would have."""
    found = service_ports(Workload.model_validate(workload), {"spec": {"containers": containers}})
    return [(port.name, port.port, port.target_port, port.protocol) for port in found]


def test_a_service_has_every_port_of_the_containers() -> None:
    """Each once; a single one needs no name."""
    one = [{"ports": [{"containerPort": 8080}]}, {"ports": [{"containerPort": 8080}]}, {}]
    assert ports_of(one) == [(None, 8080, 8080, "TCP")]
    named = [{"ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 9090}]}]
    assert ports_of(named) == [("http", 8080, 8080, "TCP"), ("port-9090", 9090, 9090, "TCP")]


def test_several_ports_have_names_that_differ() -> None:
    """Two containers may call theirs the same, and one number may be TCP and UDP: a Service needs them told apart."""
    twice = [{"ports": [{"containerPort": 8080, "name": "http"}]}, {"ports": [{"containerPort": 9090, "name": "http"}]}]
    assert [port[0] for port in ports_of(twice)] == ["http", "port-9090"]
    dns = [{"ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]}]
    assert ports_of(dns) == [("port-53", 53, 53, "TCP"), ("udp-53", 53, 53, "UDP")]


def test_the_ports_of_the_spec_count_instead() -> None:
    """`targetPort` may be a name, and is the port itself where it is left out."""
    containers = [{"ports": [{"containerPort": 8080}]}]
    spec = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "admin", "port": 9000}]
    assert ports_of(containers, ports=spec) == [("http", 80, "web", "TCP"), ("admin", 9000, 9000, "TCP")]


@pytest.mark.parametrize("containers", [[], [{}], [{"ports": None}], [{"ports": [{"containerPort": "x"}]}], ["x"]])
def test_what_declares_no_port_has_none(containers: list[Any]) -> None:
    """Nor does what cannot be read crash anything."""
    assert ports_of(containers) == []


def test_targets_that_are_kept() -> None:
    """A Service of another revision's pods keeps its targets; a port that it did not have is taken as it is."""
    kept = (ServicePort(port=80, target_port=8080),)
    asked = (ServicePort(name="http", port=80, target_port=9090), ServicePort(name="new", port=81, target_port=81))
    found = keeping_targets(asked, kept)
    assert [(port.name, port.port, port.target_port) for port in found] == [("http", 80, 8080), ("new", 81, 81)]


def test_a_service_selects_a_slots_pods() -> None:
    """With whose it is, so that others may not change it."""
    apply = PLACE.service((ServicePort(port=80, target_port=8080),), uid="")
    assert (apply.kind, apply.name) == (Kind.SERVICE, "checkout-green")
    assert apply.body["spec"] == {
        "selector": {"sluice.dev/rollout": "checkout", "sluice.dev/slot": "green"},
        "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}],
    }
    assert apply.body["metadata"]["annotations"] == {
        "sluice.dev/rollout": OWNER,
        "sluice.dev/applied": applied_of(apply),
    }
