"""Merging packs into a policy, and telling which pack each of its rules comes from.

A later pack's rule stands in for an earlier one's, also where that one said it in another form (days and months). Each
pack with a classification adds its own, so that an account has a class under each; a pack that extends another changes
that one's classification instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from state.policy import Policy
from state.policy_packs.pack import Pack, PlaceFacts, Rule
from state.policy_packs.problems import PackError, PackProblem
from state.policy_packs.schema import BUSINESS, CLASSIFICATION, DEFAULT, TEXTS, is_money
from state.policy_packs.validation import check_rules, other_form
from state.texts import PACKAGED, Lender, Localised, disclosure_id, fluent_message, messages_of

# The default policy, which has a value for every rule. Published policy versions and stored changes contain its name.
BASE_PACK = "house"


class RuleMark(Struct, frozen=True):
    """A rule that is in force, the pack that says it, and on what ground. path: `section.key`.

    The rules of a classification are `classification[<pack>].key`: there is one for each such pack.
    """

    pack: str
    path: str
    value: Any
    verified: bool
    source: str


def resolve(packs: Sequence[Pack], name: str, place: PlaceFacts | None = None, texts: Localised = PACKAGED) -> Policy:
    """Return the policy that packs make, the later ones changing the earlier ones.

    place: gives the currency for rules that have amounts by currency, and its own time zone (of
    contacts), language and calendar. texts: the messages in whose place a pack may put its own. The version
    names each pack with its version and ends in a digest of all values and texts, so that two policies with one
    version decide alike, in the same words.
    Raises `PackError` where a section stays incomplete, a pack lacks the one that it extends, or rules of
    several packs do not fit together.
    """
    place = place or PlaceFacts()
    _refuse_orphans(packs)
    merged = _merge(packs)
    _refuse_misfits(merged)
    sections: dict[str, Any] = {}
    classes: dict[str, dict[str, Any]] = {}
    for path, (_, rule) in merged.items():
        section, key = path.rsplit(".", 1)
        value = _in_currency(rule.value, place.currency) if is_money(rule.path) else rule.value
        if section.startswith(CLASSIFICATION):
            owner = section.removeprefix(f"{CLASSIFICATION}[").removesuffix("]")
            classes.setdefault(owner, {"policy": owner})[key] = value
            continue
        sections.setdefault(section, {})[key] = value
        if section == "bad_debt":
            sections[section]["policy"] = next(p.name for p in reversed(packs) if _speaks_of(p, section))
    sections.update(sections.pop(BUSINESS, {}))
    _set_place_facts(sections, place)
    sections["texts"] = _worded(sections, texts)
    _refuse_undisclosed(merged, sections["texts"])
    content = {"name": name, "version": "", "classifications": list(classes.values()), **sections}
    try:
        policy = msgspec.convert(content, Policy)
    except msgspec.ValidationError as error:
        raise PackError([_incomplete(packs, str(error))]) from None
    digest = sha256(msgspec.json.encode(policy, order="sorted")).hexdigest()[:12]
    stack = "+".join(f"{pack.name}@{pack.version}" for pack in packs)
    return msgspec.structs.replace(policy, version=f"{stack}#{digest}")


def provenance(packs: Sequence[Pack]) -> list[RuleMark]:
    """Return every rule that is in force under these packs, with the pack that says it and its source."""
    return [
        RuleMark(pack.name, path, rule.value, rule.verified, rule.source)
        for path, (pack, rule) in _merge(packs).items()
    ]


def _merge(packs: Sequence[Pack]) -> dict[str, tuple[Pack, Rule]]:
    """Return the rule in force under each path; a classification's paths carry the pack that began it."""
    merged: dict[str, tuple[Pack, Rule]] = {}
    owners: dict[str, str] = {}
    for pack in packs:
        base = owners.get(pack.extends or "")
        if base is not None or _speaks_of(pack, CLASSIFICATION):
            owners[pack.name] = base or pack.name
        own = {rule.path for rule in pack.rules}
        for rule in pack.rules:
            section, key = rule.path.split(".")
            if section == CLASSIFICATION:
                section = f"{CLASSIFICATION}[{owners[pack.name]}]"
            merged[f"{section}.{key}"] = (pack, rule)
            other = other_form(rule.path)
            if other is not None and other not in own:
                merged.pop(f"{section}.{other.split('.')[1]}", None)
    return merged


def _speaks_of(pack: Pack, section: str) -> bool:
    return any(rule.path.startswith(f"{section}.") for rule in pack.rules)


def _refuse_orphans(packs: Sequence[Pack]) -> None:
    problems = []
    for index, pack in enumerate(packs):
        if pack.extends is not None and pack.extends not in [before.name for before in packs[:index]]:
            reason = f"It extends {pack.extends}, which does not stand before it."
            remedy = f"Put {pack.extends} before {pack.name}."
            problems.append(PackProblem(pack.file, 1, 1, "extends", reason, remedy))
    if problems:
        raise PackError(problems)


def _refuse_misfits(merged: dict[str, tuple[Pack, Rule]]) -> None:
    problems = []
    values = {path: rule.value for path, (_, rule) in merged.items()}
    found = [(finding.rule, finding) for finding in check_rules(values)]
    # A pack that extends another may change one rule of a classification without the others.
    for owner in dict.fromkeys(p.partition("].")[0] for p in values if p.startswith(f"{CLASSIFICATION}[")):
        own = {f"{CLASSIFICATION}.{p.partition('].')[2]}": v for p, v in values.items() if p.startswith(f"{owner}].")}
        found += [(f"{owner}].{finding.rule.partition('.')[2]}", finding) for finding in check_rules(own)]
    for where, finding in found:
        pack, rule = merged[where]
        path = f"sections.{finding.rule}.value{finding.inside}"
        problems.append(PackProblem(pack.file, rule.line, rule.column, path, finding.reason, finding.remedy))
    if problems:
        raise PackError(problems)


def _in_currency(value: Any, currency: str | None) -> Any:
    """Return an amount in minor units of a currency where a rule has amounts by currency."""
    if isinstance(value, dict):
        return value.get(currency or DEFAULT, value[DEFAULT])
    return value


def _worded(sections: dict[str, Any], texts: Localised) -> dict[str, str]:
    """Return all messages by locale, the packs' own behind those whose place they take."""
    own = {locale: sections.pop(section, {}) for section, locale in TEXTS.items()}
    return {
        locale: "\n".join([texts.of(locale), *(fluent_message(message, said) for message, said in own[locale].items())])
        for locale in TEXTS.values()
    }


def _refuse_undisclosed(merged: dict[str, tuple[Pack, Rule]], texts: dict[str, str]) -> None:
    """Refuse what a policy wants disclosed and has no words for."""
    if (disclosed := merged.get("offers.disclosures")) is None:
        return
    pack, rule = disclosed
    path, problems = f"sections.{rule.path}.value", []
    for section, locale in TEXTS.items():
        messages = messages_of(Localised(**texts), Lender(), locale)
        for index, key in enumerate(rule.value):
            if not messages.has(message := disclosure_id(key)):
                reason = f"The disclosure {key} has no words in {locale}."
                remedy = f"Write the message {message} in {section}, or leave the disclosure out."
                problems.append(PackProblem(pack.file, rule.line, rule.column, f"{path}[{index}]", reason, remedy))
    if problems:
        raise PackError(problems)


def _set_place_facts(sections: dict[str, Any], place: PlaceFacts) -> None:
    """Write the facts of a place over the packs' defaults."""
    if place.time_zone is not None and "contacts" in sections:
        sections["contacts"]["time_zone"] = place.time_zone
    if place.locale is not None and "offers" in sections:
        sections["offers"]["default_locale"] = place.locale
    if place.calendar is not None:
        sections["holiday_calendar"] = place.calendar


def _incomplete(packs: Sequence[Pack], reason: str) -> PackProblem:
    file = packs[-1].file if packs else "no pack"
    return PackProblem(
        file, 1, 1, "sections", f"The policy is incomplete: {reason}.", f"Put the pack {BASE_PACK} first."
    )
