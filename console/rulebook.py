"""The rules by business date: which texts are in force when, the rules in them, and what each change changed.

A deployment stores the texts of its first policy book and those of every change, and decides by these alone, not by the
packs of its release. So this module reads stored texts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

from msgspec import Struct, to_builtins

from agents.policies import in_order
from schemas import events as ev
from state.policy_packs.book import ANY, BOOK, CATALOGUES, Book, packs_in, parse_book
from state.policy_packs.loader import DEFAULT_BOOK, files_of
from state.policy_packs.merge import RuleMark, provenance
from state.policy_packs.pack import Pack, parse_pack
from state.policy_packs.problems import PackError
from state.policy_packs.text_validation import patterns_of

# Past and future changes nearest to today whose changed rules are listed, and rules listed of each.
CHANGES, MOVED = 20, 300
# The path of a source's duties of people, among a pack's rules.
BY_PEOPLE = "manual"

Files = Mapping[str, str]


class Period(Struct, frozen=True):
    """Texts and the first business date on which they are in force, None for those of the deployment's beginning.

    change: the change that introduced them, None for the first.
    """

    files: Files
    begins: date | None = None
    change: ev.PolicyChanged | None = None


def periods(first: Files, changes: Iterable[ev.PolicyChanged]) -> list[Period]:
    """Return the periods in order; of two changes for one date, the one that occurred last is in force."""
    by_day = {change.effective_on: change for change in in_order(changes)}
    return [Period(first), *(Period(change.files, day, change) for day, change in sorted(by_day.items()))]


def period_on(all_: Sequence[Period], day: date | None) -> int:
    """Return the index of a business date's period; without a date, that of the first."""
    return max(n for n, p in enumerate(all_) if p.begins is None or (day is not None and p.begins <= day))


class ParsedTexts(Struct, frozen=True):
    """The policy book of texts, and their packs by name."""

    book: Book
    packs: dict[str, Pack]

    def packs_for(self, jurisdiction: str, product: str) -> tuple[str, ...]:
        """Return the packs of a jurisdiction and product; either may be `ANY`."""
        return self.book.packs_for(jurisdiction, product)


def parse(files: Files) -> ParsedTexts:
    """Parse texts. Raises `PackError` where they are not of this release's form."""
    packs = {name: _pack(name, text) for name, text in packs_in(files).items()}
    return ParsedTexts(_book(files[BOOK], frozenset(packs)), packs)


# Most changes touch one pack, so the others are parsed once however many changes there are.
@lru_cache(maxsize=256)
def _pack(name: str, text: str) -> Pack:
    return parse_pack(text, name)


@lru_cache(maxsize=64)
def _book(text: str, packs: frozenset[str]) -> Book:
    return parse_book(text, BOOK, packs)


def changed_rules(before: Files, after: Files) -> list[dict[str, Any]]:
    """Return each rule that differs under later texts, with its values and the jurisdictions and products.

    Of several packs, the last one that has a rule decides. `before` and `after` have the pack, the value, whether it is
    verified, and its source, None where no pack has the rule; `where` has pairs of jurisdiction and product. A rule of
    which only the verification or the source differs is listed too.
    """
    old, new = parse(before), parse(after)
    # Pairs with the same packs before and after are compared once.
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[str, str]]] = {}
    rows = (*new.book.rows, *old.book.rows)
    products = dict.fromkeys([ANY, *(p for row in rows for p in row.products)])
    for jurisdiction in dict.fromkeys(j for row in rows for j in row.jurisdictions):
        others = old.packs_for(jurisdiction, ANY), new.packs_for(jurisdiction, ANY)
        for product in products:
            stacks = old.packs_for(jurisdiction, product), new.packs_for(jurisdiction, product)
            # A product with the packs of the jurisdiction's other products is listed with them.
            if product == ANY or stacks != others:
                alike.setdefault(stacks, []).append((jurisdiction, product))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for (stack, then), pairs in alike.items():
        was, is_ = _by_path(old, stack), _by_path(new, then)
        for path in dict.fromkeys([*is_, *was]):
            a, b = was.get(path), is_.get(path)
            if a is not None and b is not None and (a.value, a.verified, a.source) == (b.value, b.verified, b.source):
                continue
            # The same change of other pairs is one row.
            row = {"path": path, "before": _mark(a), "after": _mark(b)}
            found.setdefault((path, repr(row)), {**row, "where": []})["where"] += map(list, pairs)
    return [*found.values(), *_places(old.book, new.book), *_messages(before, after)]


def _by_path(texts: ParsedTexts, stack: Sequence[str]) -> dict[str, RuleMark]:
    return {mark.path: mark for mark in provenance([texts.packs[name] for name in stack])}


def _mark(mark: RuleMark | None) -> dict[str, Any] | None:
    if mark is None:
        return None
    return {"pack": mark.pack, "value": mark.value, "verified": mark.verified, "source": mark.source}


def _places(old: Book, new: Book) -> list[dict[str, Any]]:
    """Return the facts of places that differ."""
    rows = []
    for name in dict.fromkeys([*new.places, *old.places]):
        was = to_builtins(old.places.get(name)) or {}
        is_ = to_builtins(new.places.get(name)) or {}
        for key in dict.fromkeys([*is_, *was]):
            if was.get(key) != is_.get(key):
                sides = [
                    None
                    if side.get(key) is None
                    else {"pack": BOOK, "value": side[key], "verified": True, "source": ""}
                    for side in (was, is_)
                ]
                row = {"path": f"places.{key}", "before": sides[0], "after": sides[1], "where": [[name, ANY]]}
                rows.append(row)
    return rows


def _messages(before: Files, after: Files) -> list[dict[str, Any]]:
    """Return the messages to borrowers that differ, where both texts contain their messages."""
    rows = []
    for locale, file in CATALOGUES.items():
        if file not in before or file not in after or before[file] == after[file]:
            continue
        was, is_ = patterns_of(before[file]), patterns_of(after[file])
        for key in dict.fromkeys([*is_, *was]):
            if was.get(key) != is_.get(key):
                sides = [
                    {"pack": file, "value": side[key], "verified": True, "source": ""} if key in side else None
                    for side in (was, is_)
                ]
                row = {"path": f"texts_{locale}.{key}", "before": sides[0], "after": sides[1], "where": [[ANY, ANY]]}
                rows.append(row)
    return rows


def book_and_packs(all_: Sequence[Period], number: int) -> dict[str, Any]:
    """Return a period's book and packs, each rule with its source, verification and latest change.

    A source's duties of people follow the engine's rules, under the path `manual`.
    """
    texts = parse(all_[number].files)
    movers = _movers(all_[: number + 1])
    return {
        "book": [
            {"jurisdictions": list(row.jurisdictions), "products": list(row.products), "packs": list(row.packs)}
            for row in texts.book.rows
        ],
        "packs": [
            {
                "name": pack.name,
                "version": pack.version,
                "title": pack.title,
                "title_zh": pack.title_zh or pack.title,
                "rules": [
                    {
                        "path": m.path,
                        "value": m.value,
                        "verified": m.verified,
                        "source": m.source,
                        "moved": movers.get((pack.name, m.path)),
                    }
                    for m in provenance([pack])
                ]
                + [
                    {"path": BY_PEOPLE, "value": s.rule, "verified": s.verified, "source": s.source, "moved": None}
                    for s in pack.manual
                ],
            }
            for pack in texts.packs.values()
        ],
    }


def _movers(past: Sequence[Period]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return by pack and path the last change that gave a rule another value, and the value before.

    A rule that the pack did not have before is new with the change, and has no value before.
    """
    movers: dict[tuple[str, str], dict[str, Any]] = {}
    for earlier, later in pairwise(past):
        change = later.change
        assert change is not None
        was, is_ = parse(earlier.files).packs, parse(later.files).packs
        for name, pack in is_.items():
            if was.get(name) == pack:
                continue
            known = {m.path: m.value for m in provenance([was[name]])} if name in was else {}
            for mark in provenance([pack]):
                if mark.path not in known or known[mark.path] != mark.value:
                    by = {"change": change.change_id, "on": change.effective_on.isoformat()}
                    before = {"before": known[mark.path]} if mark.path in known else {}
                    movers[name, mark.path] = {**by, **before}
        for name in was.keys() - is_.keys():
            # Should the pack come back, all its rules are new again.
            movers = {key: value for key, value in movers.items() if key[0] != name}
    return movers


def change_history(
    all_: Sequence[Period], changes: Iterable[ev.PolicyChanged], today: int, shown: int
) -> list[dict[str, Any]]:
    """Return every change in the order of its effect: its status, and the rules that it changed.

    today: the period in force. `status` is past, in_force, later, or replaced by another change for its date. `moved`
    is None for changes far from `today` other than `shown`, and otherwise has up to `MOVED` of `moved_count` rules.
    """
    number = {p.change.change_id: n for n, p in enumerate(all_) if p.change is not None}
    rows = []
    for change in in_order(changes):
        at = number.get(change.change_id)
        status = "replaced" if at is None else "in_force" if at == today else "past" if at < today else "later"
        rules = None
        if at is not None and (at == shown or today - CHANGES < at <= today + CHANGES):
            rules = changed_rules(all_[at - 1].files, change.files)
        rows.append(
            {
                "id": change.change_id,
                "effective_on": change.effective_on.isoformat(),
                "occurred_at": change.occurred_at.isoformat(),
                "source": change.source,
                "packs": list(packs_in(change.files)),
                "status": status,
                "moved_count": None if rules is None else len(rules),
                "moved": None if rules is None else rules[:MOVED],
            }
        )
    return rows


def rules_page(
    in_force: str | None,
    changes: Sequence[ev.PolicyChanged],
    first: Mapping[str, str] | None = None,
    closed: date | None = None,
    on: date | None = None,
) -> dict[str, Any]:
    """Return the rules in force on a business date, each with its source and whether it is verified.

    in_force: the name of the deployment's first book. changes: all since then. first: the stored texts of that book;
    None where an earlier release stored none: this release's texts are shown then, and `texts_stored` is false.
    closed: the last closed business date; today is the day after it. on: the business date, today if None. Raises
    PackError where a stored text is not of this release's form.
    """
    texts_stored = first is not None
    if first is None:
        try:
            first = files_of(in_force or DEFAULT_BOOK)
        except PackError:
            # A pack of a file that is missing here: its content is unknown.
            first = {BOOK: "book: unknown\nversion: 1\nrows: [{jurisdictions: ['*'], products: ['*'], packs: []}]\n"}
    every = periods(first, changes)
    today = None if closed is None else closed + timedelta(days=1)
    now = period_on(every, today)
    shown = period_on(every, on or today)
    period, behind = every[shown], every[shown + 1 :]
    return {
        "in_force": in_force,
        "texts_stored": texts_stored,
        "today": None if today is None else today.isoformat(),
        "on": None if on is None else on.isoformat(),
        "since": None if period.begins is None else period.begins.isoformat(),
        "until": None if not behind or behind[0].begins is None else behind[0].begins.isoformat(),
        "change": None if period.change is None else period.change.change_id,
        "changes": change_history(every, changes, now, shown),
        **book_and_packs(every, shown),
    }
