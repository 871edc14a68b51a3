"""Does a value have the shape of a rule? Checks a located tree against the types of `state.policy`.

The types are the one definition of what a rule may be: a new field of a policy's section is at once
a rule that packs may set.
"""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from state import policy
from state.policy_packs.located_yaml import Node
from state.policy_packs.problems import PackProblem, nearest
from state.policy_packs.text_validation import message_ids
from state.texts import LOCALES, Lender, Locale, Localised

CLASSIFICATION = "classification"
BUSINESS = "business"
DEFAULT = "default"

_STRUCTS: dict[str, type[Struct]] = {
    "allocation": policy.Allocation,
    "delinquency": policy.Delinquency,
    "charges": policy.Charges,
    CLASSIFICATION: policy.Classification,
    "bad_debt": policy.BadDebt,
    "impairment": policy.Impairment,
    "plans": policy.Plans,
    "arrangements": policy.Arrangements,
    "affordability": policy.Affordability,
    "options": policy.Options,
    "offers": policy.Offers,
    "contacts": policy.Contacts,
    "parties": policy.Parties,
    "learning": policy.Learning,
    "lender": Lender,
}
# A lender's own wording: a section for each locale, in which a message's id is the key.
TEXTS: dict[str, Locale] = {f"texts_{locale}": locale for locale in LOCALES}
# Named by the pack that speaks, so no pack says it.
_NAMED_BY_PACK = {CLASSIFICATION: "policy", "bad_debt": "policy"}


def _keys(section: str, struct: type[Struct]) -> dict[str, Any]:
    named = _NAMED_BY_PACK.get(section)
    return {key: kind for key, kind in get_type_hints(struct, include_extras=True).items() if key != named}


SECTIONS: dict[str, dict[str, Any]] = {section: _keys(section, struct) for section, struct in _STRUCTS.items()}
SECTIONS[BUSINESS] = {
    key: get_type_hints(policy.Policy, include_extras=True)[key]
    for key in (
        "business_time_zone",
        "unknown_account_wait_days",
        "retry_failed_payment_days",
        "most_days_skipped",
        "most_days_ahead",
        "holiday_calendar",
    )
}
SECTIONS |= {section: dict.fromkeys(message_ids(), str) for section in TEXTS}


def is_money(path: str) -> bool:
    """Say whether a rule (`section.key`) is money, which may be given by currency."""
    section, key = path.split(".")
    return bool(SECTIONS[section].get(key) == policy.Money)


def conform(node: Node, kind: Any, problems: list[PackProblem]) -> Any:
    """Return a node's value as builtins if it has the shape of `kind`; add to `problems` where it has not."""
    base = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(base) is tuple:
        return _sequence(node, get_args(base), problems)
    if get_origin(base) is dict:
        key, value_kind = get_args(base)
        return _table(node, key, value_kind, problems)
    if base is Localised:
        return _localised(node, problems)
    if isinstance(base, type) and issubclass(base, Struct):
        return _record(node, base, problems)
    value = node.plain()
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        remedy = f"Give {describe(kind)}."
        choices = get_args(base) if get_origin(base) is Literal else ()
        if isinstance(value, str) and choices:
            remedy = nearest(value, choices)
        problems.append(node.fault(f"{_value_text(value)} is not valid.", remedy))
    return value


def conform_money(node: Node, problems: list[PackProblem]) -> Any:
    """Return an amount, or amounts by currency with a `default`, for a rule that is money."""
    if not isinstance(node.value, dict):
        return conform(node, policy.Money, problems)
    if DEFAULT not in node.value:
        problems.append(node.fault("The amounts by currency lack a default.", "Add `default: <minor units>`."))
    for key, amount in node.value.items():
        if key != DEFAULT and not re.fullmatch("[A-Z]{3}", key):
            remedy = "Use an ISO 4217 code such as EUR, or `default`."
            problems.append(amount.name_fault(f"{key} is not a currency.", remedy))
        conform(amount, policy.Money, problems)
    return node.plain()


def _localised(node: Node, problems: list[PackProblem]) -> Any:
    """Return a text for every locale: one for all, or by locale with a `default` for the others."""
    if not isinstance(node.value, dict):
        return dict.fromkeys(LOCALES, conform(node, str, problems))
    if missing := [locale for locale in LOCALES if locale not in node.value and DEFAULT not in node.value]:
        reason = f"There is no text for {', '.join(missing)}."
        problems.append(node.fault(reason, f"Add `{DEFAULT}: …` for all other locales."))
    for key, text in node.value.items():
        if key not in (DEFAULT, *LOCALES):
            problems.append(text.name_fault(f"{key} is not a locale.", nearest(key, (DEFAULT, *LOCALES))))
        conform(text, str, problems)
    said = node.plain()
    return {locale: said.get(locale, said.get(DEFAULT, "")) for locale in LOCALES}


def describe(kind: Any) -> str:
    """Return in words what a rule of this type may be."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        meta = next((m for m in args[1:] if isinstance(m, Meta)), Meta())
        if meta.pattern:
            return f"a text that matches {meta.pattern}"
        if meta.ge is not None and meta.le is not None:
            return f"a whole number from {meta.ge} to {meta.le}"
        return describe(args[0])
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (Union, UnionType):
        return " or ".join(map(describe, args))
    words = {bool: "true or false", int: "a whole number", str: "a text", type(None): "null"}
    return words.get(kind, "another value")


def _sequence(node: Node, kinds: tuple[Any, ...], problems: list[PackProblem]) -> Any:
    if not isinstance(node.value, list):
        problems.append(node.fault(f"{_value_text(node.plain())} is not a list.", "Write it as [a, b, …]."))
        return node.plain()
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(node.value)
    elif len(kinds) != len(node.value):
        reason = f"The list has {len(node.value)} entries instead of {len(kinds)}."
        problems.append(node.fault(reason, f"Give {len(kinds)} entries."))
        return node.plain()
    return [conform(child, kind, problems) for child, kind in zip(node.value, kinds, strict=True)]


def _table(node: Node, key: Any, kind: Any, problems: list[PackProblem]) -> Any:
    if not is_mapping(node, problems):
        return node.plain()
    keys = get_args(key) if get_origin(key) is Literal else ()
    for name, child in node.value.items():
        if keys and name not in keys:
            problems.append(child.name_fault(f"{name} is not known here.", nearest(name, keys)))
    return {name: conform(child, kind, problems) for name, child in node.value.items()}


def _record(node: Node, struct: type[Struct], problems: list[PackProblem]) -> Any:
    if not is_mapping(node, problems):
        return node.plain()
    kinds = get_type_hints(struct, include_extras=True)
    for key, child in node.value.items():
        if key not in kinds:
            problems.append(child.name_fault(f"{key} is not known here.", nearest(key, kinds)))
    problems += [
        node.fault(f"{field.name} is missing.", f"Add `{field.name}: …`.")
        for field in msgspec.structs.fields(struct)
        if field.name not in node.value and field.default is NODEFAULT and field.default_factory is NODEFAULT
    ]
    return {key: conform(child, kinds[key], problems) for key, child in node.value.items() if key in kinds}


def is_mapping(node: Node, problems: list[PackProblem]) -> bool:
    """Say whether a node is a mapping; add to `problems` where it is none."""
    if isinstance(node.value, dict):
        return True
    problems.append(node.fault(f"{_value_text(node.plain())} is not a mapping.", "Write it as `name: value` lines."))
    return False


def _value_text(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
