"""The rules by business date: which texts count when, what they say, and what each change of them moved.

A deployment keeps the texts of the book that it began with and those of every change, and decides by them alone; the
packs of this release are no part of it. So all that is shown here is read from the texts that are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Any

from msgspec import Struct, to_builtins

from agents.policies import in_order
from schemas import events as ev
from state.pack_book import ANY, Book, parse_book
from state.pack_files import BOOK
from state.pack_merge import RuleMark, provenance
from state.pack_text import Pack, parse_pack

# Changes of which it is said what they moved, the latest of those that are past and the next of those to come, and
# rules that are told of each.
CHANGES, MOVED = 20, 300

Files = Mapping[str, str]


class Period(Struct, frozen=True):
    """Texts and the first business date on which they count, None for those that a deployment began with.

    change: what brought them, None where nothing did.
    """

    files: Files
    begins: date | None = None
    change: ev.PolicyChanged | None = None


def periods(first: Files, changes: Iterable[ev.PolicyChanged]) -> list[Period]:
    """Return the texts that count, one behind the other; of two changes for one date the one that occurred last."""
    by_day = {change.effective_on: change for change in in_order(changes)}
    return [Period(first), *(Period(change.files, day, change) for day, change in sorted(by_day.items()))]


def on(all_: Sequence[Period], day: date | None) -> int:
    """Return which period a business date is in; without one, that with which it began."""
    return max(n for n, p in enumerate(all_) if p.begins is None or (day is not None and p.begins <= day))


class Read(Struct, frozen=True):
    """What texts say: the book, and the packs by name."""

    book: Book
    packs: dict[str, Pack]

    def packs_for(self, jurisdiction: str, product: str) -> tuple[str, ...]:
        """Return the packs of a jurisdiction and product, either of which may be any."""
        return self.book.packs_for(jurisdiction, product)


def read(files: Files) -> Read:
    """Return what texts say. Raises `PackError` where they are none of this release's form."""
    packs = {name: _pack(name, text) for name, text in files.items() if name != BOOK}
    return Read(_book(files[BOOK], frozenset(packs)), packs)


# Most changes touch one pack, so the others are read once however many changes there are.
@lru_cache(maxsize=256)
def _pack(name: str, text: str) -> Pack:
    return parse_pack(text, name)


@lru_cache(maxsize=64)
def _book(text: str, packs: frozenset[str]) -> Book:
    return parse_book(text, BOOK, packs)


def moved(before: Files, after: Files) -> list[dict[str, Any]]:
    """Return each rule that is another one under later texts, for whom, and what it was before.

    A rule is what an account goes by: of several packs the last one that says it. `before` and `after` have the pack,
    the value, the mark of verification and the source, None where no pack says it; `where` has pairs of jurisdiction
    and product. A rule of which only the mark or the source differs is there too: somebody has checked it, or says so.
    """
    old, new = read(before), read(after)
    # Pairs that go by the same packs before and after are looked at once.
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[str, str]]] = {}
    rows = (*new.book.rows, *old.book.rows)
    products = dict.fromkeys([ANY, *(p for row in rows for p in row.products)])
    for jurisdiction in dict.fromkeys(j for row in rows for j in row.jurisdictions):
        others = old.packs_for(jurisdiction, ANY), new.packs_for(jurisdiction, ANY)
        for product in products:
            stacks = old.packs_for(jurisdiction, product), new.packs_for(jurisdiction, product)
            # What goes as the jurisdiction's other products do is told with them.
            if product == ANY or stacks != others:
                alike.setdefault(stacks, []).append((jurisdiction, product))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for (stack, then), pairs in alike.items():
        was, is_ = _by_path(old, stack), _by_path(new, then)
        for path in dict.fromkeys([*is_, *was]):
            a, b = was.get(path), is_.get(path)
            if a is not None and b is not None and (a.value, a.verified, a.source) == (b.value, b.verified, b.source):
                continue
            # The same step for others is one line.
            row = {"path": path, "before": _mark(a), "after": _mark(b)}
            found.setdefault((path, repr(row)), {**row, "where": []})["where"] += map(list, pairs)
    return [*found.values(), *_places(old.book, new.book)]


def _by_path(said: Read, stack: Sequence[str]) -> dict[str, RuleMark]:
    return {mark.path: mark for mark in provenance([said.packs[name] for name in stack])}


def _mark(mark: RuleMark | None) -> dict[str, Any] | None:
    if mark is None:
        return None
    return {"pack": mark.pack, "value": mark.value, "verified": mark.verified, "source": mark.source}


def _places(old: Book, new: Book) -> list[dict[str, Any]]:
    """Return the facts of places that are others."""
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


def told(all_: Sequence[Period], number: int) -> dict[str, Any]:
    """Return a period's book and packs, each rule with its source and mark, and the change that last moved it."""
    said = read(all_[number].files)
    movers = _movers(all_[: number + 1])
    return {
        "book": [
            {"jurisdictions": list(row.jurisdictions), "products": list(row.products), "packs": list(row.packs)}
            for row in said.book.rows
        ],
        "packs": [
            {
                "name": pack.name,
                "version": pack.version,
                "title": pack.title,
                "rules": [
                    {
                        "path": m.path,
                        "value": m.value,
                        "verified": m.verified,
                        "source": m.source,
                        "moved": movers.get((pack.name, m.path)),
                    }
                    for m in provenance([pack])
                ],
            }
            for pack in said.packs.values()
        ],
    }


def _movers(past: Sequence[Period]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return by pack and path the last change that gave a rule another value, and the value before.

    A rule that no pack of that name said before was new with the change; it has no value before.
    """
    movers: dict[tuple[str, str], dict[str, Any]] = {}
    for earlier, later in pairwise(past):
        change = later.change
        assert change is not None
        was, is_ = read(earlier.files).packs, read(later.files).packs
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
            # Should the pack come back, all that it says is new again.
            movers = {key: value for key, value in movers.items() if key[0] != name}
    return movers


def history(
    all_: Sequence[Period], changes: Iterable[ev.PolicyChanged], today: int, asked: int
) -> list[dict[str, Any]]:
    """Return every change in the order of its effect: where it stands, and of those near today what it moved.

    today: the period that counts now. asked: another one of which it is told what it moved. `status` is past, in_force,
    later, or replaced where another one for its date counts. `moved` is None where it is not told, and otherwise has at
    most so many rules of `moved_count`.
    """
    number = {p.change.change_id: n for n, p in enumerate(all_) if p.change is not None}
    rows = []
    for change in in_order(changes):
        at = number.get(change.change_id)
        status = "replaced" if at is None else "in_force" if at == today else "past" if at < today else "later"
        rules = None
        if at is not None and (at == asked or today - CHANGES < at <= today + CHANGES):
            rules = moved(all_[at - 1].files, change.files)
        rows.append(
            {
                "id": change.change_id,
                "effective_on": change.effective_on.isoformat(),
                "occurred_at": change.occurred_at.isoformat(),
                "source": change.source,
                "packs": [name for name in change.files if name != BOOK],
                "status": status,
                "moved_count": None if rules is None else len(rules),
                "moved": None if rules is None else rules[:MOVED],
            }
        )
    return rows
