"""Are messages fit to be read by borrowers? Syntax, known variables, those that must be stated, and plural forms.

The messages of the package say by example which variables each message has; a lender's own wording of a message has to
state the same. What a variable is, its name says, in every message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from itertools import product
from typing import Any
from urllib.parse import urlsplit

from babel import Locale as CldrLocale
from fluent.syntax import ast as ftl
from fluent.syntax import visitor

from state.policy_packs.problems import PackError, PackProblem, nearest
from state.texts import (
    LOCALES,
    PACKAGED,
    Currency,
    Lender,
    Locale,
    Messages,
    Money,
    Rate,
    Value,
    fluent_message,
    parsed,
)

# Numbers that a text has to agree with. Among the samples is one of each plural form of the languages of Europe.
COUNTS = frozenset({"count", "options", "months", "deferred", "missed"})
SAMPLE_COUNTS = (0, 1, 2, 5, 21)
# How deep braces may be nested in a message: a form within a choice within a form takes four.
MAX_DEPTH = 20
# The longest text of a lender about itself, in characters, and what may stand in its links.
MAX_LENDER_TEXT = 200
_DISCLOSURE = re.compile("disclosure-[a-z0-9]+(-[a-z0-9]+)*")
_IN_LINKS = {"reply_link": "{offer_id}", "lessons_link": "{item_id}"}
_MONEY = ("amount", "owed", "principal", "interest", "fees", "penalty", "most", "charged", "least", "financed")
SAMPLES: dict[str, Callable[[], Value]] = {
    **{name: lambda: Money(123_456, "EUR") for name in _MONEY},
    **{name: lambda: Rate(525) for name in ("rate", "cut", "cost", "markup", "late", "cap")},
    **{name: lambda: date(2026, 6, 19) for name in ("until", "first", "last", "due_on")},
    "currency": lambda: Currency("EUR"),
    "lender": lambda: "Example Bank",
    "telephone": lambda: "+44 20 7946 0000",
    "link": lambda: "https://bank.example/offers/1",
    "titles": lambda: "“Your rights”",
    "title": lambda: "Your rights",
}


def message_ids() -> tuple[str, ...]:
    """Return the ids of all messages, in the order of the package's file."""
    return tuple(_packaged_messages("en"))


def patterns_of(source: str) -> dict[str, str]:
    """Return the wording of each message of a file, by id."""
    entries = [entry for entry in parsed(source).body if isinstance(entry, ftl.Message) and entry.value is not None]
    return {e.id.name: source[_at(e.value) : _end(e.value)] for e in entries if e.value is not None}


def variables_of(message_id: str) -> frozenset[str]:
    """Return the variables that a message has to state: all that it has, or none of a disclosure of a lender's own."""
    entry = _packaged_messages("en").get(message_id)
    return frozenset(_Variables(entry).names) if entry is not None else frozenset()


def is_own_disclosure(message_id: str) -> bool:
    """Say whether an id is of a disclosure, or its heading, that the package does not have and a lender may."""
    return bool(_DISCLOSURE.fullmatch(message_id)) and message_id not in _packaged_messages("en")


def _may_state(message_id: str) -> frozenset[str]:
    """Return the variables that a message may state."""
    if not is_own_disclosure(message_id) or message_id.endswith("-heading"):
        return variables_of(message_id)
    others = (variables_of(each) for each in message_ids() if _DISCLOSURE.fullmatch(each))
    return frozenset[str]().union(*others)


def check_pattern(message_id: str, pattern: str, locale: Locale, file: str, path: str, line: int) -> list[PackProblem]:
    """Return what is wrong with the wording of a message. line: of the file, on which the pattern begins."""
    source = fluent_message(message_id, pattern)
    last = line + source.count("\n") - 1
    return [
        PackProblem(file, min(last, line + max(0, source.count("\n", 0, at) - 1)), 1, path, reason, remedy)
        for at, reason, remedy in _found(message_id, source, locale)
    ]


def check_catalogue(source: str, locale: Locale, file: str, *, complete: bool = False) -> None:
    """Raise PackError where a file of messages cannot be read, or a message is not fit to be.

    complete: refuse also what this release does not know; in a file of another release it does no harm.
    """
    if (deep := _too_deep(source)) is not None:
        at, reason, remedy = deep
        raise PackError([PackProblem(file, source.count("\n", 0, at) + 1, 1, "", reason, remedy)])
    problems = []
    for entry in parsed(source).body:
        at, found = _at(entry), list[Found]()
        if isinstance(entry, ftl.Junk):
            at, found = 0, list(_unreadable(entry))
        elif isinstance(entry, ftl.Message) and (
            entry.id.name in _packaged_messages("en") or is_own_disclosure(entry.id.name)
        ):
            at = _at(entry.id)
            found = list(_found(entry.id.name, source[at : _end(entry)] + "\n", locale))
        elif isinstance(entry, ftl.Message | ftl.Term) and complete:
            found = [(0, f"There is no message {entry.id.name}.", nearest(entry.id.name, message_ids()))]
        problems += [
            PackProblem(file, source.count("\n", 0, at + inside) + 1, 1, "", reason, remedy)
            for inside, reason, remedy in found
        ]
    if problems:
        raise PackError(problems)


def check_lender(key: str, text: str) -> tuple[str, str] | None:
    """Return what is wrong with a text of the lender's about itself, and what to do; None where nothing is."""
    placeholder = _IN_LINKS.get(key, "")
    rest = text.replace(placeholder, "1") if placeholder else text
    if len(text) > MAX_LENDER_TEXT or not text.isprintable() or text != text.strip():
        return f"{text[:40]!r} is not one line.", f"Write at most {MAX_LENDER_TEXT} characters that can be seen."
    if set(rest) & set("{}"):
        known = f"Only {placeholder} may stand in it." if placeholder else "No placeholder may stand in it."
        return f"{text!r} has a placeholder that is not known.", known
    if text and key.endswith("_link"):
        try:
            address = urlsplit(rest)
            fits = address.scheme == "https" and bool(address.hostname) and " " not in rest
        except ValueError:
            fits = False
        if not fits:
            return f"{text!r} is not a link.", "Write a whole address such as https://bank.example/offers."
    if text and key == "telephone" and not any(c.isdigit() for c in text):
        return f"{text!r} is not a telephone number.", "Write it as borrowers dial it."
    return None


def samples_of(variables: Iterable[str]) -> Iterator[dict[str, Value]]:
    """Yield values of variables, every sample count with every other."""
    names = sorted(variables)
    counted = [name for name in names if name in COUNTS]
    plain = {name: SAMPLES[name]() for name in names if name not in COUNTS}
    for numbers in product(SAMPLE_COUNTS, repeat=len(counted)):
        yield {**plain, **dict(zip(counted, numbers, strict=True))}


@lru_cache(maxsize=8)
def _packaged_messages(locale: Locale) -> Mapping[str, ftl.Message]:
    body = parsed(PACKAGED.of(locale)).body
    return {entry.id.name: entry for entry in body if isinstance(entry, ftl.Message)}


Found = tuple[int, str, str]


def _found(message_id: str, source: str, locale: Locale) -> Iterator[Found]:
    if (deep := _too_deep(source)) is not None:
        yield deep
        return
    entries = parsed(source).body
    broken = [found for entry in entries if isinstance(entry, ftl.Junk) for found in _unreadable(entry)]
    if broken:
        yield from broken
        return
    entry = next(entry for entry in entries if isinstance(entry, ftl.Message))
    if entry.attributes:
        yield _at(entry.attributes[0]), "A message has no attributes.", "Remove the line that begins with a dot."
    seen, known = _Variables(entry), _may_state(message_id)
    yield from seen.refused
    for name, node in seen.names.items():
        if name not in known:
            remedy = nearest(name, known) if known else "Write it without variables."
            yield _at(node), f"{message_id} has no variable ${name}.", remedy
    for name in sorted(variables_of(message_id) - seen.names.keys()):
        yield 0, f"{message_id} does not state ${name}.", f"Write {{ ${name} }} where it is to be read."
    choices = list(_choices(entry, locale))
    yield from choices
    several = len(_categories(locale)) > 1
    for name in sorted(COUNTS & seen.names.keys() & known - seen.chosen):
        if several:
            remedy = f"Let it choose among forms, each on a line of its own: {{ ${name} -> … }}, as en.ftl does."
            yield _at(seen.names[name]), f"${name} is a number without its singular.", remedy
    if not seen.refused and not choices and seen.names.keys() <= known:
        yield from _misread(message_id, seen.names, source, locale)


def _misread(message_id: str, names: Iterable[str], source: str, locale: Locale) -> Iterator[Found]:
    """Yield what is wrong with a message once it is in words."""
    messages = Messages(source, Lender(), locale, "")
    for values in samples_of(names):
        try:
            text = messages.format_own(message_id, values)
        except ValueError as error:
            yield 0, f"It cannot be put into words: {error}.", "See projectfluent.org for the syntax."
            return
        if not text.strip() or set(text) & set("{}\u2068\u2069"):
            yield 0, f"It would be read as {text!r}.", "Write a text without braces."
            return


def _too_deep(source: str) -> Found | None:
    """Return where braces are nested deeper than any text needs; readers of Fluent go down into each."""
    depth = 0
    for brace in re.finditer("[{}]", source):
        depth = depth + 1 if brace.group() == "{" else max(0, depth - 1)
        if depth > MAX_DEPTH:
            return (
                brace.start(),
                f"The braces are nested deeper than {MAX_DEPTH}.",
                "Write fewer choices in one message.",
            )
    return None


def _unreadable(junk: ftl.Junk) -> Iterator[Found]:
    for note in junk.annotations:
        yield _at(note), f"This is not Fluent: {note.message}.", "See projectfluent.org for the syntax."


def _at(node: ftl.SyntaxNode) -> int:
    return node.span.start if node.span is not None else 0


def _end(node: ftl.SyntaxNode) -> int:
    return node.span.end if node.span is not None else 0


def _categories(locale: Locale) -> frozenset[str]:
    return frozenset(CldrLocale.parse(locale).plural_form.tags) | {"other"}


def _choices(entry: ftl.Message, locale: Locale) -> Iterator[Found]:
    """Yield what is wrong with the forms among which numbers choose."""
    known = _categories(locale)
    for choice in _Variables(entry).choices:
        selector = choice.selector
        if not isinstance(selector, ftl.VariableReference) or selector.id.name not in COUNTS:
            yield _at(choice), "Only a number chooses a form.", f"Choose by one of {', '.join(sorted(COUNTS))}."
            continue
        named = {variant.key.name for variant in choice.variants if isinstance(variant.key, ftl.Identifier)}
        for name in sorted(named - known):
            yield _at(choice), f"{locale} has no plural form {name}.", nearest(name, known)
        for name in sorted(known - named):
            remedy = f"Add the form [{name}]; of {locale} there are {', '.join(sorted(known))}."
            yield _at(choice), f"The choice by ${selector.id.name} lacks the plural form {name}.", remedy


class _Variables(visitor.Visitor):
    """What a message refers to: variables by name, those that choose a form, its choices, and what may not stand."""

    def __init__(self, entry: ftl.Message) -> None:
        self.names: dict[str, ftl.VariableReference] = {}
        self.chosen: set[str] = set()
        self.choices: list[ftl.SelectExpression] = []
        self.refused: list[Found] = []
        self.visit(entry)

    def visit_VariableReference(self, node: ftl.VariableReference) -> None:  # noqa: N802
        self.names.setdefault(node.id.name, node)

    def visit_SelectExpression(self, node: ftl.SelectExpression) -> None:  # noqa: N802
        self.choices.append(node)
        if isinstance(node.selector, ftl.VariableReference):
            self.chosen.add(node.selector.id.name)
        self.generic_visit(node)

    def visit_MessageReference(self, node: Any) -> None:  # noqa: N802
        self._refuse(node, "Another message")

    def visit_TermReference(self, node: Any) -> None:  # noqa: N802
        self._refuse(node, "A term")

    def visit_FunctionReference(self, node: Any) -> None:  # noqa: N802
        self._refuse(node, "A function")

    def _refuse(self, node: ftl.SyntaxNode, noun: str) -> None:
        reason = f"{noun} may not stand in a message."
        self.refused.append((_at(node), reason, "Write the words, or one of the message's variables."))


def unlike() -> Iterator[str]:
    """Yield the ids of messages that the locales of the package do not all have with the same variables."""
    for locale in LOCALES:
        others = _packaged_messages(locale)
        for message_id in {*others, *message_ids()}:
            same = message_id in others and message_id in _packaged_messages("en")
            if not same or frozenset(_Variables(others[message_id]).names) != variables_of(message_id):
                yield f"{locale}: {message_id}"
