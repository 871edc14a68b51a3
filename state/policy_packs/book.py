"""A book: which packs apply to which accounts, what is a fact of each place, and the texts that make it.

The first row that names an account's jurisdiction and product wins; `*` is any. A jurisdiction with a
subdivision (`US-CA`) that no row or place names is looked up without it.

A book takes accounts of every country and of the products that it lists, and of what its rows name. Where no row names
a country, the row for `*` stands in, and says so. A book without `products`, or with `"*"` among them, takes any.

Its texts, with those of its packs, are all that is needed to apply the same rules elsewhere, or years later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import yaml
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from state.places import UNION, UNION_MEMBERS, is_place, place_meant_by
from state.policy import Policy, PolicyBook
from state.policy_packs.located_yaml import Node, read_yaml
from state.policy_packs.merge import BASE_PACK, resolve
from state.policy_packs.pack import Name, Pack, PlaceFacts, Text, Version, parse_pack
from state.policy_packs.problems import PackError, PackProblem, nearest
from state.policy_packs.schema import conform
from state.policy_packs.text_validation import check_catalogue
from state.policy_packs.validation import zone_remedy
from state.texts import LOCALES, PACKAGED, Localised

ANY = "*"


class Row(Struct, frozen=True):
    """The packs, in order, of the accounts of some jurisdictions and products."""

    jurisdictions: tuple[Text, ...]
    products: tuple[Text, ...]
    packs: tuple[Name, ...]


class Book(Struct, frozen=True):
    """A validated book."""

    name: str
    version: int
    rows: tuple[Row, ...]
    places: dict[str, PlaceFacts]
    products: dict[str, tuple[str, ...]] = {}

    def packs_for(self, jurisdiction: str, product: str) -> tuple[str, ...]:
        """Return the names of the packs of an account, in the order in which they apply."""
        return self.row_for(jurisdiction, product).packs

    def row_for(self, jurisdiction: str, product: str) -> Row:
        """Return the row that takes an account: one that names its jurisdiction, else one for everywhere."""
        return next(
            row
            for name in (*_and_country(jurisdiction), ANY)
            for row in self.rows
            if name in row.jurisdictions and (product in row.products or ANY in row.products)
        )

    def is_by_default(self, jurisdiction: str, product: str) -> bool:
        """Say whether no row names the jurisdiction, so that the row for everywhere stands in for one."""
        return len(self.rows) > 1 and ANY in self.row_for(jurisdiction, product).jurisdictions

    def problems(self, jurisdiction: str, product: str) -> dict[str, str]:
        """Return why no account of a jurisdiction and product may be opened, with the remedy, by the field at fault."""
        found = {"jurisdiction": self._place_problem(jurisdiction), "product": self._product_problem(product)}
        return {field: problem for field, problem in found.items() if problem}

    def _place_problem(self, jurisdiction: str) -> str:
        named = {name for row in self.rows for name in row.jurisdictions} - {ANY} | self.places.keys()
        if is_place(jurisdiction) or any(name in named for name in _and_country(jurisdiction)):
            return ""
        meant = place_meant_by(jurisdiction)
        guess = f"Did you mean {meant}? " if meant else ""
        own = sorted(name for name in named if not is_place(name))
        return (
            f"Jurisdiction {jurisdiction!r} is not known. {guess}Known are ISO 3166 codes such as DE or US-CA, and "
            f"{', '.join(['EU', *own])}. Send the opening with one of these, or add a row for it to the policy book."
        )

    def _product_problem(self, product: str) -> str:
        named = {name for row in self.rows for name in row.products} - {ANY}
        if not self.products or ANY in self.products or product in self.products or product in named:
            return ""
        meant = {other.casefold(): name for name, others in self.products.items() for other in (name, *others)}
        near = get_close_matches(product.casefold(), meant, n=1, cutoff=0.8)
        guess = f"Did you mean {meant[near[0]]}? " if near else ""
        return (
            f"Product {product!r} is not known. {guess}Known are {', '.join(sorted({*self.products, *named}))}. Send "
            "the opening with one of these, or add the product to `products` of the policy book."
        )

    def place_of(self, jurisdiction: str) -> PlaceFacts:
        """Return the facts of a jurisdiction, an empty place where the book has none."""
        for name in _and_country(jurisdiction):
            if name in self.places:
                return self.places[name]
        return PlaceFacts()


class _BookFile(Struct):
    book: Name
    version: Version
    rows: tuple[Row, ...]
    places: dict[str, PlaceFacts] = {}
    products: dict[str, tuple[Text, ...]] = {}


def parse_book(text: str, file: str, packs: frozenset[str]) -> Book:
    """Return the book that a text says. `packs`: the names that its rows may use.

    Raises `PackError` with every problem that was found, each with its line, column and remedy.
    """
    problems: list[PackProblem] = []
    root = read_yaml(text, file, problems)
    if root is None:
        raise PackError(problems)
    said = conform(root, _BookFile, problems)
    if problems:
        raise PackError(problems)
    problems += _unknown(root, packs)
    rows = tuple(Row(**{key: tuple(values) for key, values in row.items()}) for row in said["rows"])
    if not any(_is_last_resort(row) for row in rows):
        remedy = "End with {jurisdictions: ['*'], products: ['*'], packs: [house]}."
        problems.append(root.value["rows"].fault("No row takes any account.", remedy))
    if problems:
        raise PackError(problems)
    places = {name: PlaceFacts(**place) for name, place in said.get("places", {}).items()}
    products = {name: tuple(others) for name, others in said.get("products", {}).items()}
    return Book(said["book"], said["version"], rows, places, products)


def _unknown(root: Node, packs: frozenset[str]) -> list[PackProblem]:
    problems = []

    def add(node: Node, noun: str, remedy: str) -> None:
        problems.append(node.fault(f"{node.value!r} is not a {noun}.", remedy))

    nothing: dict[str, Any] = {}
    products = root.value["products"].value if "products" in root.value else nothing
    for row in root.value["rows"].value:
        for pack in row.value["packs"].value:
            if pack.value not in packs:
                add(pack, "pack", nearest(pack.value, packs))
        for place in row.value["jurisdictions"].value:
            if place.value != ANY and not is_place(place.value) and (meant := place_meant_by(place.value)):
                add(place, "jurisdiction", f"Did you mean {meant}?")
        for product in row.value["products"].value:
            if products and product.value != ANY and product.value not in products:
                add(product, "product of this book", f"{nearest(product.value, products)} Or add it to `products`.")
    for place in (root.value["places"].value if "places" in root.value else nothing).values():
        # Calendars are not looked up: loading dozens takes half a second, and an unknown one falls back and says so.
        zone = place.value.get("time_zone")
        if zone is not None and zone.value is not None and (remedy := zone_remedy(zone.value)):
            add(zone, "time zone", remedy)
    return problems


def _and_country(jurisdiction: str) -> tuple[str, ...]:
    country, dash, _ = jurisdiction.partition("-")
    return (jurisdiction, country) if dash else (jurisdiction,)


def _is_last_resort(row: Row) -> bool:
    return ANY in row.jurisdictions and ANY in row.products


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
