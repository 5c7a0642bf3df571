"""The objects of files that a plan is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sluice.api.names import GROUP, Kind
from sluice.decide.metadata import mapping
from sluice.ops.lint.documents import Document, Unreadable, items, read
from sluice.ports import Obj

OURS = frozenset(
    {
        Kind.ROLLOUT,
        Kind.ROLLOUT_ACTION,
        Kind.KILL_SWITCH,
        Kind.CLUSTER_KILL_SWITCH,
        Kind.ROLLOUT_POLICY,
        Kind.ANALYSIS_TEMPLATE,
        Kind.CLUSTER_ANALYSIS_TEMPLATE,
        Kind.MEMBER_CLUSTER,
    }
)
# What Rollouts read and move: a new image in the Deployment of a `workloadRef` begins a run.
AROUND = {
    Kind.DEPLOYMENT: "apps",
    Kind.SERVICE: "",
    Kind.HTTP_ROUTE: "gateway.networking.k8s.io",
    Kind.GRPC_ROUTE: "gateway.networking.k8s.io",
}
CLUSTER_SCOPED = frozenset(
    {Kind.CLUSTER_KILL_SWITCH, Kind.ROLLOUT_POLICY, Kind.CLUSTER_ANALYSIS_TEMPLATE, Kind.MEMBER_CLUSTER}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """An object of a file. `body` is as it is written there, with the namespace that it goes to."""

    where: str  # file:line
    kind: Kind
    namespace: str
    name: str
    body: Obj

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Unfit:
    """What is in a file and cannot be applied: an object, as far as it tells, or (without a kind) no object at all."""

    where: str
    message: str
    kind: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(slots=True)
class Files:
    """What files hold.

    Attributes:
        asked: the objects to look at, in order; of several with one name the last, as applying them would leave it.
        unfit: what cannot be read or applied.
        skipped: kinds that are not looked at, each once, in order.
    """

    asked: list[Asked] = field(default_factory=list)
    unfit: list[Unfit] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def collect(files: Iterable[tuple[str, str]], namespace: str) -> Files:
    """Sort what files hold.

    Args:
        files: names and texts.
        namespace: of objects that name none.
    """
    found = Files()
    kept: dict[tuple[Kind, str, str], Asked] = {}
    for file, text in files:
        try:
            for document in (each for whole in read(text) for each in items(whole)):
                _sort(found, kept, f"{file}:{document.line(())}", document, namespace)
        except Unreadable as error:
            hint = "; is it a template? Render it first" if "{{" in text else ""
            found.unfit.append(Unfit(f"{file}:{error.line}", f"{error}{hint}"))
    found.asked = list(kept.values())
    return found


def _sort(
    found: Files, kept: dict[tuple[Kind, str, str], Asked], where: str, document: Document, namespace: str
) -> None:
    body = mapping(document.value)
    word = str(body.get("kind", ""))
    kind = _kind_of(word, str(body.get("apiVersion", "")).rpartition("/")[0])
    if kind is None:
        told = word or "no kind"
        if told not in found.skipped:
            found.skipped.append(told)
        return
    meta = mapping(body.get("metadata"))
    home = "" if kind in CLUSTER_SCOPED else str(meta.get("namespace") or namespace)
    name = str(meta.get("name") or "")
    if not name:
        told = "metadata.name is missing: kubectl apply needs one (a generateName is for kubectl create)"
        found.unfit.append(Unfit(where, told, str(kind), home))
        return
    body = {**body, "metadata": {**meta, **({"namespace": home} if home else {})}}
    kept.pop((kind, home, name), None)
    kept[kind, home, name] = Asked(where, kind, home, name, body)


def _kind_of(word: str, group: str) -> Kind | None:
    try:
        kind = Kind(word)
    except ValueError:
        return None
    return kind if (kind in OURS and group == GROUP) or AROUND.get(kind) == group else None
