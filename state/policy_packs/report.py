"""A pack as a person or a program reads it, with every unverified rule marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from state.policy_packs.book import ANY, Book
from state.policy_packs.merge import RuleMark, provenance
from state.policy_packs.pack import Pack, Statement

UNVERIFIED = "UNVERIFIED"


def render_pack(pack: Pack) -> str:
    """Return a pack as text: each rule with its value and source, `UNVERIFIED` before those not verified."""
    facts = [f"{pack.name}, version {pack.version}: {pack.title}"]
    facts += [f"Jurisdiction: {pack.jurisdiction}"] if pack.jurisdiction else []
    facts += [f"Extends: {pack.extends}"] if pack.extends else []
    unverified = sum(not rule.verified for rule in pack.rules) + sum(not each.verified for each in pack.manual)
    facts.append(f"Rules: {len(pack.rules) + len(pack.manual)}, of which {unverified} {UNVERIFIED}")
    lines = [*facts, *_rule_lines(provenance([pack]))]
    return "\n".join([*lines, *_by_people([(pack.name, statement) for statement in pack.manual])]) + "\n"


def render_policy(packs: Sequence[Pack]) -> str:
    """Return the rules in force under several packs as text, each with the pack that says it, its source and mark."""
    stack = ", ".join(f"{pack.name} {pack.version}" for pack in packs)
    lines = [f"Packs, in order: {stack}", *_rule_lines(provenance(packs), with_pack=True)]
    return "\n".join([*lines, *_by_people([(p.name, s) for p in packs for s in p.manual], with_pack=True)]) + "\n"


def render_book(book: Book, packs: Mapping[str, Pack]) -> str:
    """Return a book as text: which packs each kind of account has, and how many of their rules nobody verified."""
    taken = ", ".join(book.products) if book.products and ANY not in book.products else "any"
    lines = [f"{book.name}, version {book.version}", f"Products: {taken}", ""]
    for row in book.rows:
        where = "every other place" if ANY in row.jurisdictions else ", ".join(row.jurisdictions)
        what = "any product" if ANY in row.products else ", ".join(row.products)
        lines += [f"{where}: {what}", f"  {', '.join(row.packs)}"]
    lines.append("")
    for name, pack in packs.items():
        unverified = sum(not rule.verified for rule in pack.rules) + sum(not each.verified for each in pack.manual)
        count = f"{len(pack.rules) + len(pack.manual):>3} rules, {unverified:>2} {UNVERIFIED}"
        lines.append(f"{name:<20} {count}  {pack.title}")
    return "\n".join(lines) + "\n"


def pack_to_json(pack: Pack) -> str:
    """Return a pack as JSON text, its rules by section and key with value, verified and source."""
    sections: dict[str, dict[str, Any]] = {}
    for rule in pack.rules:
        section, key = rule.path.split(".")
        entry = {"value": rule.value, "verified": rule.verified, "source": rule.source}
        sections.setdefault(section, {})[key] = entry
    content = {
        "pack": pack.name,
        "version": pack.version,
        "title": pack.title,
        **({"title_zh": pack.title_zh} if pack.title_zh else {}),
        "jurisdiction": pack.jurisdiction,
        "extends": pack.extends,
        "sections": sections,
        "manual": pack.manual,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _rule_lines(marks: Sequence[RuleMark], with_pack: bool = False) -> list[str]:
    lines: list[str] = []
    widest = max((len(mark.path.rsplit(".", 1)[1]) for mark in marks), default=0)
    last = ""
    for mark in marks:
        section, key = mark.path.rsplit(".", 1)
        if section != last:
            lines += ["", section]
            last = section
        said_by = f"{mark.pack}: " if with_pack else ""
        value = _value(mark.value).rstrip().replace("\n", "\n" + " " * (16 + widest))
        lines.append(f"  {_mark(mark.verified)}  {key}{' ' * (widest - len(key))}  {value}")
        lines.append(f"  {'':10}    {said_by}{mark.source}")
    return lines


def _by_people(statements: Sequence[tuple[str, Statement]], with_pack: bool = False) -> list[str]:
    lines = ["", "by people, not by the engine"] if statements else []
    for pack, statement in statements:
        said_by = f"{pack}: " if with_pack else ""
        lines += [f"  {_mark(statement.verified)}  {statement.rule}", f"  {'':10}    {said_by}{statement.source}"]
    return lines


def _mark(verified: bool) -> str:
    return " " * len(UNVERIFIED) if verified else UNVERIFIED


def _value(value: Any) -> str:
    if isinstance(value, dict):
        if set(value) == {"name", "from_days"}:
            return f"{value['name']} from {value['from_days']}"
        return ", ".join(f"{key} {_value(each)}" for key, each in value.items())
    if isinstance(value, list):
        mixed = any(isinstance(each, list | dict) for each in value)
        return (" | " if mixed else ", ").join(_value(each) for each in value) or "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
