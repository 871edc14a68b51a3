"""Which fields of an event a partner gets: a closed set; without one, those that tell nothing of a person's trouble."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct

# A tree of the fields that are given: None where all of a value is.
Tree = dict[str, Any]

# What says why somebody is in trouble, speaks to them in person, names others, or is the lender's own: given only where
# a partner names it and states on what ground it needs it.
PRIVATE = frozenset(
    {
        "message", "reasons", "reason", "support", "education", "disclosures", "contact", "tone", "kind", "sequence",
        "clauses", "recording_ref", "comment", "npv", "distressed_obligation_bps", "policy", "recommended_option_id",
        "locale", "source", "caused_by", "evidence", "headings", "lessons", "lender", "token_amount",
        "joint_borrower_ids", "answered_by", "agreed_by", "parties", "role",
    }
)  # fmt: skip


def tree_of(record: type[Struct]) -> Tree:
    """Return all fields of a record."""
    return {field.encode_name: _inside(field.type) for field in msgspec.structs.fields(record)}


def _inside(kind: Any) -> Tree | None:
    """Return the fields of a part, of each part of a list, or None where it has no fields of its own."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _inside(get_args(kind)[0])
    if origin in (Union, types.UnionType, tuple):
        return next((found for part in get_args(kind) if (found := _inside(part)) is not None), None)
    return tree_of(kind) if isinstance(kind, type) and issubclass(kind, Struct) else None


def without_private(tree: Tree) -> Tree:
    """Return the fields that are given where none are named."""
    return {
        name: None if inside is None else without_private(inside)
        for name, inside in tree.items()
        if name not in PRIVATE
    }


def unknown(path: str, tree: Tree) -> tuple[str, list[str]] | None:
    """Return the part of a dotted path that no field has, and what may stand there; None where there is one."""
    at: Tree | None = tree
    for part in path.split("."):
        if at is None or part not in at:
            return part, sorted(at or ())
        at = at[part]
    return None


def chosen(paths: Iterable[str], tree: Tree) -> Tree:
    """Return the fields that known dotted paths name; a name of a part is all of it but what is private."""
    found: Tree = {"event_id": None}
    for path in paths:
        at, of = found, tree
        *above, last = path.split(".")
        for part in above:
            of = of[part]
            at = at.setdefault(part, {})
        inside = of[last]
        at[last] = None if inside is None else {**without_private(inside), **(at.get(last) or {})}
    return found


def project(value: Any, tree: Tree | None) -> Any:
    """Return what of a value (builtins) is in a tree of fields."""
    if tree is None or value is None:
        return value
    if isinstance(value, list | tuple):
        return [project(part, tree) for part in value]
    return {name: project(value[name], inside) for name, inside in tree.items() if name in value}
