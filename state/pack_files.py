"""A book with its packs as texts: all that is needed to apply the same rules elsewhere, or years later."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from state.pack_book import Book, parse_book
from state.pack_merge import resolve
from state.pack_problem import PackError, PackProblem
from state.pack_text import Pack, parse_pack
from state.policy import Policy, PolicyBook

# The name of the book among the texts; no pack has it.
BOOK = "book"


def book_of(files: Mapping[str, str]) -> PolicyBook:
    """Return the policies that texts make: that named `book`, and each pack's under the name that the book uses.

    Raises `PackError` with what is wrong, before any account asks.
    """
    return _book_of(tuple(sorted(files.items())))


@lru_cache(maxsize=16)
def _book_of(files: tuple[tuple[str, str], ...]) -> PolicyBook:
    texts = dict(files)
    if BOOK not in texts:
        remedy = f"Say with the packs which accounts each applies to, as a text named {BOOK}."
        raise PackError([PackProblem(BOOK, 1, 1, "", "There is no book.", remedy)])
    packs = {name: parse_pack(text, name) for name, text in texts.items() if name != BOOK}
    for name, pack in packs.items():
        if pack.name != name:
            remedy = f"Name it {pack.name}, or write `pack: {name}`."
            raise PackError([PackProblem(name, 1, 1, "pack", f"The pack calls itself {pack.name}.", remedy)])
    book = parse_book(texts[BOOK], BOOK, frozenset(packs))
    for row in book.rows:
        # A pack that lacks what another one would bring is found here, not when the first account asks.
        for jurisdiction in row.jurisdictions:
            _policy(book, packs, jurisdiction, row.products[0])
    return PolicyBook(book.name, lambda jurisdiction, product: _policy(book, packs, jurisdiction, product), files=texts)


def _policy(book: Book, packs: Mapping[str, Pack], jurisdiction: str, product: str) -> Policy:
    names = book.packs_for(jurisdiction, product)
    return resolve([packs[name] for name in names], "+".join(names), book.place_of(jurisdiction))
