"""Which Services and budgets select which pods, found without looking at all of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.common import LabelSelector
from sluice.api.names import Kind
from sluice.engine.selecting import PodLabels, Selectors, selector_of

KEYS, VALUES = st.sampled_from(["app", "tier", "slot"]), st.sampled_from(["a", "b"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)


def selector(**labels: str) -> LabelSelector:
    """A selector of equal labels."""
    return LabelSelector(match_labels=labels)


@given(st.lists(st.tuples(st.sampled_from(["web", "api", "db"]), st.none() | LABELS)), LABELS)
def test_what_matches_is_found_whatever_came_before(
    changes: list[tuple[str, dict[str, str] | None]], labels: dict[str, str]
) -> None:
    """After any changes, exactly the objects whose present selectors match, each once; an empty one matches all."""
    index, present = Selectors(), dict[str, dict[str, str]]()
    for name, wanted in changes:
        index.put(("shop", name), None if wanted is None else LabelSelector(match_labels=wanted))
        present.pop(name, None)
        if wanted is not None:
            present[name] = wanted
    found = sorted(index.matching("shop", labels))
    assert found == sorted(name for name, wanted in present.items() if wanted.items() <= labels.items())
    assert list(index.matching("other", labels)) == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), LABELS)), LABELS.filter(bool))
def test_rollouts_are_found_by_what_their_pods_carry(
    changes: list[tuple[str, dict[str, str]]], asked: dict[str, str]
) -> None:
    """After any changes, exactly those that have all the labels that are asked for."""
    index, present = PodLabels(), dict[str, dict[str, str]]()
    for name, labels in changes:
        index.put(("shop", name), labels.items())
        present[name] = labels
    expected = {("shop", name) for name, labels in present.items() if asked.items() <= labels.items()}
    assert index.having("shop", asked.items()) == expected
    assert index.having("other", asked.items()) == set()


def test_nothing_is_kept_of_what_is_gone() -> None:
    """An index does not grow with what comes and goes."""
    selectors, labels = Selectors(), PodLabels()
    for key in (("shop", "a"), ("shop", "b")):
        selectors.put(key, selector(app="x"))
        labels.put(key, [("app", "x")])
    for key in (("shop", "a"), ("shop", "b")):
        selectors.put(key, None)
        labels.put(key, [])
    assert (selectors._under, selectors._spots, labels._having, labels._pairs) == ({}, {}, {}, {})


def test_expressions_count() -> None:
    """A budget may ask for more than equal labels."""
    index = Selectors()
    wanted = {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}
    index.put(("shop", "a"), LabelSelector.parse(wanted, "selector"))
    only = {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}
    index.put(("shop", "b"), LabelSelector.parse(only, "selector"))
    assert list(index.matching("shop", {"app": "x"})) == ["b"]
    assert list(index.matching("shop", {"app": "x", "tier": "web"})) == ["a"]


@pytest.mark.parametrize(
    "kind, spec, selects",
    [
        (Kind.SERVICE, {"selector": {"app": "x"}}, True),
        (Kind.SERVICE, {"selector": {}}, False),
        (Kind.SERVICE, {}, False),
        (Kind.SERVICE, {"selector": {"app": "x"}, "type": "ExternalName"}, False),
        (Kind.SERVICE, {"selector": {"app": "x"}, "clusterIP": "None"}, True),
        (Kind.SERVICE, {"selector": "nonsense"}, False),
        (Kind.POD_DISRUPTION_BUDGET, {"selector": {"matchLabels": {"app": "x"}}}, True),
        (Kind.POD_DISRUPTION_BUDGET, {"selector": {}}, True),
        (Kind.POD_DISRUPTION_BUDGET, {}, False),
    ],
)
def test_what_selects_at_all(kind: Kind, spec: dict[str, Any], selects: bool) -> None:
    """A Service without a selector, or one that is a name for another host, selects nothing; an empty budget all."""
    found = selector_of(kind, {"spec": spec})
    assert (found is not None and found.matches({"app": "x"})) is selects
    assert selector_of(kind, None) is None
