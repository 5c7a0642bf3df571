"""Analysis templates, as the caches have them."""

from __future__ import annotations

from sluice.api.analysis import AnalysisTemplateSpec, TemplateRef
from sluice.api.names import Kind
from sluice.decide.templates import Lookup
from sluice.engine.store import Store


def template_lookup(store: Store, namespace: str) -> Lookup:
    """What finds the templates that an object of a namespace names; "" for one that is in none."""

    def lookup(of: TemplateRef) -> AnalysisTemplateSpec | None:
        kind = Kind.CLUSTER_ANALYSIS_TEMPLATE if of.cluster_scope else Kind.ANALYSIS_TEMPLATE
        found = store.get(kind, "" if of.cluster_scope else namespace, of.name)
        return AnalysisTemplateSpec.parse(found.get("spec") or {}, f"{kind} {of.name}: spec") if found else None

    return lookup
