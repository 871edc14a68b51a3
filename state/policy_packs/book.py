"""A book: which packs apply to which accounts, and what is a fact of each place.

The first row that names an account's jurisdiction and product wins; `*` is any. A jurisdiction with a
subdivision (`US-CA`) that no row or place names is looked up without it.

A book takes accounts of every country and of the products that it lists, and of what its rows name. Where no row names
a country, the row for `*` stands in, and says so. A book without `products`, or with `"*"` among them, takes any.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Literal

from msgspec import Struct

from schemas.events import Currency
from state.places import is_place, place_meant_by
from state.policy_packs.located_yaml import Node, read_yaml
from state.policy_packs.pack import Name, Text, Version
from state.policy_packs.problems import PackError, PackProblem, nearest
from state.policy_packs.schema import conform
from state.policy_packs.validation import zone_remedy

ANY = "*"


class PlaceFacts(Struct, frozen=True):
    """Facts of a jurisdiction: its currency, time zone, language and bank holidays; None leaves the packs' own."""

    currency: Currency | None = None
    time_zone: str | None = None
    locale: Literal["zh", "en"] | None = None
    calendar: str | None = None


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
    said = conform(root, _BookFile, "", file, problems)
    if problems:
        raise PackError(problems)
    problems += _unknown(root, file, packs)
    rows = tuple(Row(**{key: tuple(values) for key, values in row.items()}) for row in said["rows"])
    if not any(_is_last_resort(row) for row in rows):
        at = root.value["rows"]
        remedy = "End with {jurisdictions: ['*'], products: ['*'], packs: [house]}."
        problems.append(at.fault(file, "rows", "No row takes any account.", remedy))
    if problems:
        raise PackError(problems)
    places = {name: PlaceFacts(**place) for name, place in said.get("places", {}).items()}
    products = {name: tuple(others) for name, others in said.get("products", {}).items()}
    return Book(said["book"], said["version"], rows, places, products)


def _unknown(root: Node, file: str, packs: frozenset[str]) -> list[PackProblem]:
    problems = []

    def add(node: Node, path: str, noun: str, remedy: str) -> None:
        reason = f"{node.value!r} is not a {noun}."
        problems.append(node.fault(file, path, reason, remedy))

    nothing: dict[str, Any] = {}
    products = root.value["products"].value if "products" in root.value else nothing
    for index, row in enumerate(root.value["rows"].value):
        for at, pack in enumerate(row.value["packs"].value):
            if pack.value not in packs:
                add(pack, f"rows[{index}].packs[{at}]", "pack", nearest(pack.value, packs))
        for at, place in enumerate(row.value["jurisdictions"].value):
            if place.value != ANY and not is_place(place.value) and (meant := place_meant_by(place.value)):
                add(place, f"rows[{index}].jurisdictions[{at}]", "jurisdiction", f"Did you mean {meant}?")
        for at, product in enumerate(row.value["products"].value):
            if products and product.value != ANY and product.value not in products:
                remedy = f"{nearest(product.value, products)} Or add it to `products`."
                add(product, f"rows[{index}].products[{at}]", "product of this book", remedy)
    places = root.value["places"].value if "places" in root.value else nothing
    for name, place in places.items():
        # Calendars are not looked up: loading dozens takes half a second, and an unknown one falls back and says so.
        zone = place.value.get("time_zone")
        if zone is not None and zone.value is not None and (remedy := zone_remedy(zone.value)):
            add(zone, f"places.{name}.time_zone", "time zone", remedy)
    return problems


def _and_country(jurisdiction: str) -> tuple[str, ...]:
    country, dash, _ = jurisdiction.partition("-")
    return (jurisdiction, country) if dash else (jurisdiction,)


def _is_last_resort(row: Row) -> bool:
    return ANY in row.jurisdictions and ANY in row.products
