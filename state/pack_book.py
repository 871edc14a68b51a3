"""A book: which packs apply to which accounts, and what is a fact of each place.

The first row that names an account's jurisdiction and product wins; `*` is any. A jurisdiction with a
subdivision (`US-CA`) that no row or place names is looked up without it.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from schemas.events import Currency
from state.pack_checks import zone_remedy
from state.pack_problem import PackError, PackProblem, nearest
from state.pack_shape import conform
from state.pack_text import Name, Text, Version
from state.pack_yaml import Node, read_yaml

ANY = "*"


class Place(Struct, frozen=True):
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
    places: dict[str, Place]

    def packs_for(self, jurisdiction: str, product: str) -> tuple[str, ...]:
        """Return the names of the packs of an account, in the order in which they apply."""
        names = _and_country(jurisdiction)
        for name in names:
            for row in self.rows:
                if name in row.jurisdictions and (product in row.products or ANY in row.products):
                    return row.packs
        return next(row.packs for row in self.rows if _is_last_resort(row))

    def place_of(self, jurisdiction: str) -> Place:
        """Return the facts of a jurisdiction, an empty place where the book has none."""
        for name in _and_country(jurisdiction):
            if name in self.places:
                return self.places[name]
        return Place()


class _File(Struct):
    book: Name
    version: Version
    rows: tuple[Row, ...]
    places: dict[str, Place] = {}


def parse_book(text: str, file: str, packs: frozenset[str]) -> Book:
    """Return the book that a text says. `packs`: the names that its rows may use.

    Raises `PackError` with every problem that was found, each with its line, column and remedy.
    """
    problems: list[PackProblem] = []
    root = read_yaml(text, file, problems)
    if root is None:
        raise PackError(problems)
    said = conform(root, _File, "", file, problems)
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
    places = {name: Place(**place) for name, place in said.get("places", {}).items()}
    return Book(said["book"], said["version"], rows, places)


def _unknown(root: Node, file: str, packs: frozenset[str]) -> list[PackProblem]:
    problems = []

    def add(node: Node, path: str, noun: str, remedy: str) -> None:
        reason = f"{node.value!r} is not a {noun}."
        problems.append(node.fault(file, path, reason, remedy))

    for index, row in enumerate(root.value["rows"].value):
        for at, pack in enumerate(row.value["packs"].value):
            if pack.value not in packs:
                add(pack, f"rows[{index}].packs[{at}]", "pack", nearest(pack.value, packs))
    nothing: dict[str, Any] = {}
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
