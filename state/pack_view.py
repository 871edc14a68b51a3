"""A pack as a person or a program reads it, with every unverified rule marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from state.pack_merge import RuleMark, provenance
from state.pack_text import Pack

UNVERIFIED = "UNVERIFIED"


def render_pack(pack: Pack) -> str:
    """Return a pack as text: each rule with its value and source, `UNVERIFIED` before those not verified."""
    facts = [f"{pack.name}, version {pack.version}: {pack.title}"]
    facts += [f"Jurisdiction: {pack.jurisdiction}"] if pack.jurisdiction else []
    facts += [f"Extends: {pack.extends}"] if pack.extends else []
    unverified = sum(not rule.verified for rule in pack.rules) + sum(not each.verified for each in pack.manual)
    facts.append(f"Rules: {len(pack.rules) + len(pack.manual)}, of which {unverified} {UNVERIFIED}")
    lines = [*facts, *_rules(provenance([pack]))]
    if pack.manual:
        lines += ["", "by people, not by the engine"]
        for statement in pack.manual:
            lines += [f"  {_mark(statement.verified)}  {statement.rule}", f"  {'':10}    {statement.source}"]
    return "\n".join(lines) + "\n"


def render_policy(packs: Sequence[Pack]) -> str:
    """Return the rules in force under several packs as text, each with the pack that says it."""
    stack = ", ".join(f"{pack.name} {pack.version}" for pack in packs)
    return "\n".join([f"Packs, in order: {stack}", *_rules(provenance(packs), with_pack=True)]) + "\n"


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
        "jurisdiction": pack.jurisdiction,
        "extends": pack.extends,
        "sections": sections,
        "manual": pack.manual,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def _rules(marks: Sequence[RuleMark], with_pack: bool = False) -> list[str]:
    lines: list[str] = []
    widest = max((len(mark.path.rsplit(".", 1)[1]) for mark in marks), default=0)
    last = ""
    for mark in marks:
        section, key = mark.path.rsplit(".", 1)
        if section != last:
            lines += ["", section]
            last = section
        said_by = f"{mark.pack}: " if with_pack else ""
        lines.append(f"  {_mark(mark.verified)}  {key}{' ' * (widest - len(key))}  {_value(mark.value)}")
        lines.append(f"  {'':10}    {said_by}{mark.source}")
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
