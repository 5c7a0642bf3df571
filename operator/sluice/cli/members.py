"""What `sluice clusters` prints: lists, one member, and the objects that `add` would make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sluice.api.names import Kind
from sluice.cli.output import emit, encode, list_of, name_of, presentable
from sluice.cli.session import Session
from sluice.cli.table import Column, bold, render
from sluice.ops.explain import explaining, resource
from sluice.ops.outcome import Target
from sluice.views.fields import Fields
from sluice.views.members import MemberDetail, member_detail, member_row

if TYPE_CHECKING:
    from sluice.ops.register import Registration
    from sluice.ports import Obj

_STYLES = {"True": "green", "yes": "green", "False": "red", "no": "red", "Unknown": "yellow", "?": "yellow"}


def _coloured(word: str) -> str:
    colour = _STYLES.get(word.strip())
    return click.style(word, fg=colour) if colour else word


async def show_list(session: Session, selector: str | None, output: str | None) -> None:
    """Print the members that have these labels."""
    with explaining("list", Target(Kind.MEMBER_CLUSTER, "", ""), f"list on {resource(Kind.MEMBER_CLUSTER)}"):
        found = await session.cluster.list(Kind.MEMBER_CLUSTER)
    if selector:
        from sluice.cli.selector import parse_selector

        chosen = parse_selector(selector)
        found = [obj for obj in found if chosen.matches(Fields(obj).labels())]
    objects = sorted(found, key=lambda obj: str(obj["metadata"]["name"]))
    if output in {"json", "yaml"}:
        emit(list_of(objects), output)
    elif output == "name":
        for obj in objects:
            click.echo(name_of(Kind.MEMBER_CLUSTER, obj["metadata"]["name"]))
    elif not objects:
        click.echo(f"No member clusters{' with these labels' if selector else ''}.", err=True)
    else:
        rows = [member_row(obj, session.clock.now()) for obj in objects]
        columns = [Column("NAME"), Column("READY", _coloured)]
        columns += [Column(title) for title in ("REASON", "VERSION", "WEIGHT", "SERVER", "SINCE", "AGE")]
        cells = [
            [row.name, row.ready, row.reason, row.version, row.weight, row.server, row.since, row.age] for row in rows
        ]
        if output == "wide":
            columns += [Column("LABELS"), Column("MESSAGE")]
            cells = [[*line, row.labels, row.message] for line, row in zip(cells, rows, strict=True)]
        click.echo(render(columns, cells))


async def show_one(session: Session, name: str, output: str | None) -> str:
    """Print a member. Returns why it is not ready; "" where it is."""
    target = Target(Kind.MEMBER_CLUSTER, "", name)
    with explaining("read", target, f"get on {resource(Kind.MEMBER_CLUSTER)}"):
        obj = await session.cluster.get(Kind.MEMBER_CLUSTER, "", name)
    detail = member_detail(obj, session.clock.now())
    if output in {"json", "yaml"}:
        emit(presentable(obj), output)
    else:
        click.echo(_page(detail))
    if detail.row.ready == "True":
        return ""
    return f"{target} is not ready: {detail.row.message or 'the operator has not answered yet; is it running?'}"


def _page(detail: MemberDetail) -> str:
    row = detail.row
    head = (
        ("Server", row.server),
        ("Version", row.version),
        ("Secret", detail.secret),
        ("Labels", row.labels),
        ("Weight", row.weight),
        ("Prometheus", detail.prometheus),
        ("Namespaces", detail.namespaces),
        ("Last seen", f"{detail.last_seen} ago" if detail.last_seen else ""),
    )
    conditions = render(
        [Column("CONDITION"), Column("STATUS", _coloured), Column("REASON"), Column("SINCE"), Column("MESSAGE")],
        [[each.type, each.status, each.reason, each.since, each.message] for each in detail.conditions],
    )
    lines = [(right.resource, verb, told) for right in detail.rights for verb, told in right.verbs]
    rights = render([Column("RESOURCE"), Column("VERB"), Column("ALLOWED", _coloured)], [list(line) for line in lines])
    told = "\n".join(f"{title + ':':<12}{text}" for title, text in head if text)
    return "\n\n".join(part for part in (f"{bold(row.name)}\n{told}".rstrip(), conditions, rights) if part)


def print_plan(order: Registration, definitions: Sequence[tuple[Target, Obj]]) -> None:
    """Print every object that would be made, as manifests."""
    from sluice.adapters.kube.resources import RESOURCES
    from sluice.ops.register import planned

    for where, target, body in planned(order, definitions):
        own = body.get("metadata") or {}
        place = {"namespace": target.namespace} if target.namespace else {}
        named = {} if "generateName" in own else {"name": target.name}
        whole = {
            "apiVersion": RESOURCES[target.kind].api_version,
            "kind": target.kind.value,
            "metadata": {**named, **place, **own},
        }
        whole |= {key: value for key, value in body.items() if key != "metadata"}
        click.echo(f"--- # in the {where}\n{encode(whole, 'yaml')}", nl=False)
