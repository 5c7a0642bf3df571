"""What of the files is looked at, where it goes, and what cannot be applied."""

from __future__ import annotations

import pytest

from sluice.api.names import Kind
from sluice.ops.plan.asked import collect

ROLLOUT = "{apiVersion: sluice.dev/v1alpha1, kind: Rollout, metadata: {name: checkout}}"


def test_objects_that_name_no_namespace_go_to_the_one_of_the_command() -> None:
    """Cluster-scoped ones go to none."""
    policy = "{apiVersion: sluice.dev/v1alpha1, kind: RolloutPolicy, metadata: {name: night}}"
    found = collect([("a.yaml", f"{ROLLOUT}\n---\n{policy}\n")], "shop")
    assert [(each.where, str(each)) for each in found.asked] == [
        ("a.yaml:1", "Rollout shop/checkout"),
        ("a.yaml:3", "RolloutPolicy night"),
    ]
    assert found.asked[0].body["metadata"]["namespace"] == "shop"


def test_the_last_of_a_name_counts() -> None:
    """As applying one after the other leaves it."""
    found = collect([("a.yaml", ROLLOUT), ("b.yaml", ROLLOUT)], "shop")
    assert [each.where for each in found.asked] == ["b.yaml:1"]


@pytest.mark.parametrize(
    "text, skipped",
    [
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", ["ConfigMap"]),
        ("{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: a}}", ["Rollout"]),
        ("{apiVersion: v1, kind: Deployment, metadata: {name: a}}", ["Deployment"]),
        ("[1, 2]", ["no kind"]),
    ],
)
def test_other_kinds_are_named(text: str, skipped: list[str]) -> None:
    """Also those of a name that another group has."""
    found = collect([("a.yaml", f"{text}\n---\n{text}")], "shop")
    assert (found.asked, found.skipped) == ([], skipped)


def test_what_a_rollout_names_is_looked_at() -> None:
    """Its Deployment, routes and Services, of their own groups."""
    texts = [
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}",
        "{apiVersion: v1, kind: Service, metadata: {name: a}}",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}}",
    ]
    listed = f"{{apiVersion: v1, kind: List, items: [{', '.join(texts)}]}}"
    kinds = [each.kind for each in collect([("-", listed)], "shop").asked]
    assert kinds == [Kind.DEPLOYMENT, Kind.SERVICE, Kind.HTTP_ROUTE]


def test_what_cannot_be_applied_is_told() -> None:
    """A name that is to be made up, a file that is no YAML, a template."""
    nameless = "{apiVersion: sluice.dev/v1alpha1, kind: RolloutAction, metadata: {generateName: promote-}}"
    found = collect([("a.yaml", nameless), ("b.yaml", "a: [1"), ("c.yaml", "{{ .Values.a }}: b\nc: {")], "shop")
    assert found.asked == []
    assert ["metadata.name is missing" in found.unfit[0].message, found.unfit[1].where] == [True, "b.yaml:1"]
    assert "is it a template? Render it first" in found.unfit[2].message
