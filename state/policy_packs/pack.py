"""A policy pack: rules with their sources, read from the text of a YAML file.

    pack: cn_card                 # its name; a file in state/policy_packs/packs has the same
    version: 1                    # raise it with every change
    title: Credit cards in China
    title_zh: 中国信用卡          # optional: shown to readers of Chinese
    jurisdiction: CN
    extends: house                # optional: the pack whose classification this one changes
    sections:
      plans:
        max_term_months: {value: 60, verified: true, source: "…, Art 70"}
    manual:                       # optional: what the source also asks for, and people do
      - {rule: "…", verified: true, source: "…"}

A rule that is money may give amounts by currency: `value: {default: 10000, JPY: 100}`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from schemas.events import Currency
from state.policy_packs.located_yaml import Node, read_yaml
from state.policy_packs.problems import PackError, PackProblem, nearest
from state.policy_packs.schema import SECTIONS, TEXTS, conform, conform_money, is_mapping, is_money
from state.policy_packs.text_validation import check_pattern, is_own_disclosure
from state.policy_packs.validation import check_rules

# Rules of earlier releases by their present names: packs and stored changes have the old ones.
RENAMED = {"learning.trial": "guardrail_reset_id"}

Text = Annotated[str, Meta(min_length=1, pattern=r"\S")]
Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
Version = Annotated[int, Meta(ge=1, le=1_000_000)]


class Rule(Struct, frozen=True):
    """One rule of a pack. path: `section.key`; value: builtins; line and column: where its value stands."""

    path: str
    value: Any
    verified: bool
    source: str
    line: int
    column: int


class Statement(Struct, frozen=True):
    """What a source asks for and people do, since no rule of the engine decides it."""

    rule: Text
    verified: bool
    source: Text


class Pack(Struct, frozen=True):
    """A validated pack. Each of its rules fits its type; `resolve` checks them together with other packs'."""

    name: str
    version: int
    title: str
    jurisdiction: str | None
    extends: str | None
    rules: tuple[Rule, ...]
    manual: tuple[Statement, ...]
    file: str
    title_zh: str | None = None


class PlaceFacts(Struct, frozen=True):
    """Facts of a jurisdiction: its currency, time zone, language and bank holidays; None leaves the packs' own."""

    currency: Currency | None = None
    time_zone: str | None = None
    locale: Literal["zh", "en"] | None = None
    calendar: str | None = None


class _PackFile(Struct):
    pack: Name
    version: Version
    title: Text
    sections: Any
    jurisdiction: str | None = None
    extends: Name | None = None
    manual: tuple[Statement, ...] = ()
    title_zh: Text | None = None


class _Entry(Struct):
    value: Any
    verified: bool
    source: Text


def parse_pack(text: str, file: str) -> Pack:
    """Return the pack that a text says; `file` is what problems call it.

    Raises `PackError` with every problem that was found, each with its line, column and remedy.
    """
    problems: list[PackProblem] = []
    root = read_yaml(text, file, problems)
    if root is None:
        raise PackError(problems)
    head = conform(root, _PackFile, problems)
    rules: tuple[Rule, ...] = ()
    if isinstance(root.value, dict) and "sections" in root.value:
        rules = _rules(root.value["sections"], problems)
    if problems:
        raise PackError(problems)
    return Pack(
        name=head["pack"],
        version=head["version"],
        title=head["title"],
        jurisdiction=head.get("jurisdiction"),
        extends=head.get("extends"),
        rules=rules,
        manual=tuple(Statement(**statement) for statement in head.get("manual", ())),
        file=file,
        title_zh=head.get("title_zh"),
    )


def _rules(sections: Node, problems: list[PackProblem]) -> tuple[Rule, ...]:
    found: dict[str, Rule] = {}
    places: dict[str, Node] = {}
    for section, keys in _items(sections, problems):
        if section not in SECTIONS:
            problems.append(keys.name_fault(f"There is no section {section}.", nearest(section, SECTIONS)))
            continue
        for key, entry in _items(keys, problems):
            rule = _rule(section, key, entry, problems)
            if rule is not None:
                found[rule.path], places[rule.path] = rule, entry.value["value"]
    problems += [
        _inside(places[finding.rule], finding.inside).fault(finding.reason, finding.remedy)
        for finding in check_rules({path: rule.value for path, rule in found.items()})
    ]
    return tuple(found.values())


def _rule(section: str, key: str, entry: Node, problems: list[PackProblem]) -> Rule | None:
    """Return a rule, None where anything is wrong with it."""
    key = RENAMED.get(f"{section}.{key}", key)
    kinds, before = SECTIONS[section], len(problems)
    if key not in kinds and not (section in TEXTS and is_own_disclosure(key)):
        problems.append(entry.name_fault(f"There is no rule {key} in {section}.", nearest(key, kinds)))
        return None
    if not isinstance(entry.value, dict):
        reason = "A rule says its value, whether that is verified, and its source."
        remedy = f"Write `{key}: {{value: …, verified: false, source: …}}`."
        problems.append(entry.fault(reason, remedy))
        return None
    mark = conform(entry, _Entry, problems)
    if "value" not in entry.value:
        return None
    node = entry.value["value"]
    if is_money(f"{section}.{key}"):
        value = conform_money(node, problems)
    else:
        value = conform(node, kinds.get(key, str), problems)
    if section in TEXTS and isinstance(value, str):
        # What is written as a block begins on the line after its mark.
        first = node.line + 1 if node.block else node.line
        problems += check_pattern(key, value, TEXTS[section], node.file, node.path, first)
    if len(problems) > before:
        return None
    return Rule(f"{section}.{key}", value, mark["verified"], mark["source"], node.line, node.column)


def _items(node: Node, problems: list[PackProblem]) -> list[tuple[str, Node]]:
    return list(node.value.items()) if is_mapping(node, problems) else []


def _inside(node: Node, path: str) -> Node:
    for index, name in re.findall(r"\[(\d+)\]|\.(\w+)", path):
        node = node.value[int(index)] if index else node.value[name]
    return node
