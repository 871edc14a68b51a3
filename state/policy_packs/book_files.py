"""A book with its packs as texts: all that is needed to apply the same rules elsewhere, or years later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import yaml
from msgspec import to_builtins
from msgspec.structs import replace

from state.places import UNION, UNION_MEMBERS
from state.policy import Policy, PolicyBook
from state.policy_packs.book import ANY, Book, Row, parse_book
from state.policy_packs.merge import BASE_PACK, resolve
from state.policy_packs.pack import Pack, parse_pack
from state.policy_packs.problems import PackError, PackProblem
from state.policy_packs.text_validation import check_catalogue
from state.texts import LOCALES, PACKAGED, Localised

# The name of the book among the texts; no pack has it.
BOOK = "book"
# The files of messages among the texts, by locale; the package's stand in for one that is missing.
CATALOGUES = {locale: f"{locale}.ftl" for locale in LOCALES}


def packs_in(files: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of packs among those of a book."""
    return {name: text for name, text in files.items() if name not in (BOOK, *CATALOGUES.values())}


def book_of(files: Mapping[str, str]) -> PolicyBook:
    """Return the policies that texts make: that named `book`, and each pack's under the name that the book uses.

    Raises `PackError` with what is wrong, before any account asks.
    """
    return _book_of(tuple(sorted(files.items())))


def read_book(files: Mapping[str, str]) -> Book:
    """Return the book among texts, which names no pack that is not there.

    Raises `PackError` with what is wrong.
    """
    if BOOK not in files:
        remedy = f"Say with the packs which accounts each applies to, as a text named {BOOK}."
        raise PackError([PackProblem(BOOK, 1, 1, "", "There is no book.", remedy)])
    return parse_book(files[BOOK], BOOK, frozenset(packs_in(files)))


@lru_cache(maxsize=16)
def _book_of(files: tuple[tuple[str, str], ...]) -> PolicyBook:
    texts = dict(files)
    book = read_book(texts)
    packs = {name: parse_pack(text, name) for name, text in packs_in(texts).items()}
    for name, pack in packs.items():
        if pack.name != name:
            remedy = f"Name it {pack.name}, or write `pack: {name}`."
            raise PackError([PackProblem(name, 1, 1, "pack", f"The pack calls itself {pack.name}.", remedy)])
    said = _checked_catalogues(texts)
    for row in book.rows:
        # A pack that lacks what another one would bring is found here, not when the first account asks.
        for jurisdiction in row.jurisdictions:
            _policy(book, packs, said, jurisdiction, row.products[0])
    return PolicyBook(
        book.name,
        lambda jurisdiction, product: _policy(book, packs, said, jurisdiction, product),
        files=texts,
        scope=book,
        resolve_in=lambda jurisdiction, product, currency: _policy(book, packs, said, jurisdiction, product, currency),
    )


def _checked_catalogues(texts: Mapping[str, str]) -> Localised:
    for locale, file in CATALOGUES.items():
        # Those of this release are checked by its tests.
        if texts.get(file, PACKAGED.of(locale)) != PACKAGED.of(locale):
            check_catalogue(texts[file], locale, file)
    return Localised(**{locale: texts.get(file, PACKAGED.of(locale)) for locale, file in CATALOGUES.items()})


def _policy(
    book: Book, packs: Mapping[str, Pack], said: Localised, jurisdiction: str, product: str, currency: str = ""
) -> Policy:
    names, place = book.packs_for(jurisdiction, product), book.place_of(jurisdiction)
    if currency:
        place = replace(place, currency=currency)
    return resolve([packs[name] for name in names], "+".join(names), place, said)


def laid_over(
    files: Mapping[str, str],
    stack: Sequence[Pack],
    texts: Mapping[str, str],
    jurisdictions: Sequence[str] = (),
    products: Sequence[str] = (),
) -> dict[str, str]:
    """Return the texts of a book in which a pack counts for some accounts, on top of the packs that do already.

    files: the texts of the book. stack: the pack behind those that it extends; texts: theirs by name. jurisdictions,
    products: for which it counts, none for all; `EU` is the union and its members.
    Raises `PackError` where the book has another pack of one of these names already: it would change for all.
    """
    book = read_book(files)
    for pack in stack:
        if pack.name in files and files[pack.name] != texts[pack.name]:
            reason = f"The book has another pack named {pack.name}, which would change for all accounts that have it."
            remedy = f"Name this one differently, with `extends: {pack.name}` where it changes a classification of it."
            raise PackError([PackProblem(pack.file, 1, 1, "pack", reason, remedy)])
    places = list(dict.fromkeys(m for j in jurisdictions for m in ((UNION, *UNION_MEMBERS) if j == UNION else (j,))))
    added = tuple(pack.name for pack in stack if pack.name != BASE_PACK)
    rows: list[Row] = []
    for row in book.rows:
        narrower = _narrowed(book, row, places, tuple(products))
        if narrower is not None:
            rows.append(replace(narrower, packs=tuple(dict.fromkeys((*row.packs, *added)))))
        if narrower is None or (narrower.jurisdictions, narrower.products) != (row.jurisdictions, row.products):
            rows.append(row)
    text = book_text(replace(book, rows=tuple(rows)))
    return {**files, **{name: texts[name] for name in (BASE_PACK, *added) if name in texts}, BOOK: text}


def book_text(book: Book) -> str:
    """Return a book as the text of its file."""
    said = to_builtins(book)
    places = {n: {k: v for k, v in place.items() if v is not None} for n, place in said["places"].items()}
    head = {"book": said["name"], "version": said["version"], "products": said["products"]}
    return yaml.safe_dump({**head, "rows": said["rows"], "places": places}, sort_keys=False, allow_unicode=True)


def _narrowed(book: Book, row: Row, places: Sequence[str], products: tuple[str, ...]) -> Row | None:
    """Return the part of a row for which a pack counts, None where it has none."""
    if not places:
        named = row.jurisdictions
    elif ANY in row.jurisdictions:
        # What has a row of its own for any product never comes this far.
        own = {j for r in book.rows if ANY in r.products for j in r.jurisdictions}
        named = tuple(p for p in places if p not in own and p.partition("-")[0] not in own)
    else:
        named = tuple(p for p in places if p in row.jurisdictions or p.partition("-")[0] in row.jurisdictions)
    those = row.products
    if products:
        those = products if ANY in row.products else tuple(p for p in products if p in row.products)
    return Row(named, those, row.packs) if named and those else None
