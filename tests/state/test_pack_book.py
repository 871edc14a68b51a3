"""Which accounts a book was written for, and what a pack that is laid over one changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from state.places import ISO_3166, UNION_MEMBERS, is_place, place_meant_by
from state.policy_packs.book import Book, book_of, parse_book
from state.policy_packs.loader import book_for, default_book, files_of, load_book, pack_names, packs_of, scoped_files
from state.policy_packs.problems import PackError

BOOK = load_book()
MINE = "pack: mine\nversion: 1\ntitle: t\nsections: {plans: {max_broken: {value: 9, verified: true, source: s}}}\n"
HEAD = "book: b\nversion: 1\n"
LAST = "  - {jurisdictions: ['*'], products: ['*'], packs: [house]}\n"


def book_named(rows: str, head: str = "") -> Book:
    return parse_book(f"{HEAD}{head}rows:\n{rows}{LAST}", "book.yaml", frozenset(pack_names()))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Germany", "DE"),
        ("germany ", "DE"),
        ("Deutschland", "DE"),
        ("德国", "DE"),
        ("DEU", "DE"),
        ("de", "DE"),
        ("Germnay", "DE"),
        ("UK", "GB"),
        ("USA", "US"),
        ("United States", "US"),
        ("中国", "CN"),
        ("China", "CN"),
        ("European Union", "EU"),
        ("Mordor", ""),
        ("", ""),
        ("XX", ""),
    ],
)
def test_a_name_of_a_place_is_taken_for_its_code(name: str, code: str) -> None:
    assert place_meant_by(name) == code


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("DE", True),
        ("EU", True),
        ("US-CA", True),
        ("DE-BY", True),
        ("EU-X", False),
        ("US-", False),
        ("US-CALI", False),
        ("XX", False),
        ("de", False),
        ("DEU", False),
        ("", False),
        ("*", False),
    ],
)
def test_a_place_is_a_country_its_subdivision_or_the_union(code: str, known: bool) -> None:
    assert is_place(code) is known


def test_the_codes_are_those_of_the_time_zone_database() -> None:
    from importlib.resources import files

    lines = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text("utf-8").splitlines()
    assert {line.partition("\t")[0] for line in lines if line and line[0] != "#"} == ISO_3166
    assert set(UNION_MEMBERS) < ISO_3166
    assert len(UNION_MEMBERS) == 27


def test_misspelt_places_and_products_are_refused_with_advice() -> None:
    found = BOOK.problems("Germany", "Ratenkredit")
    assert list(found) == ["jurisdiction", "product"]
    assert "Did you mean DE?" in found["jurisdiction"]
    assert "Did you mean instalment_loan?" in found["product"]
    for problem in found.values():
        assert "Known are" in problem
        assert "policy book" in problem


def test_an_unknown_word_is_refused_with_all_known_ones() -> None:
    problem = BOOK.problems("DE", "x")["product"]
    assert "Did you mean" not in problem
    assert all(product in problem for product in BOOK.products)


@pytest.mark.parametrize("product", [*BOOK.products])
@pytest.mark.parametrize("place", ["CN", "DE", "US-CA", "GB", "EU", "AR"])
def test_what_the_book_lists_is_taken_in_every_country(place: str, product: str) -> None:
    assert BOOK.problems(place, product) == {}


def test_a_country_without_a_row_uses_the_general_one() -> None:
    assert BOOK.is_by_default("AR", "loan")
    assert not any(BOOK.is_by_default(place, "loan") for place in ("DE", "US", "US-CA", "CN", "GB", "EU", "PL"))
    policies = default_book()
    for place in ("DE", "AR"):
        policies.policy_for(place, "loan")
    policies.policy_for("", "")
    assert policies.places_by_default() == [("AR", "loan")]


def test_a_book_of_one_row_is_what_was_asked_for() -> None:
    policies = book_for("cn_card")
    policies.policy_for("AR", "loan")
    assert policies.places_by_default() == []
    assert "jurisdiction" in policies.problems("Germany", "loan")


def test_a_book_that_lists_no_products_or_any_takes_any() -> None:
    for head in ("", "products: {'*': []}\n", "products: {card: [], '*': []}\n"):
        assert book_named("", head).problems("DE", "Ratenkredit") == {}
    assert "product" in book_named("", "products: {card: []}\n").problems("DE", "loan")


def test_a_row_makes_a_place_of_the_lenders_own_known() -> None:
    own = book_named("  - {jurisdictions: [XK], products: ['*'], packs: [house]}\n")
    assert own.problems("XK", "loan") == {}
    assert "EU, XK" in own.problems("XX", "loan")["jurisdiction"]


def test_a_row_for_a_product_everywhere_takes_it() -> None:
    own = book_named("  - {jurisdictions: ['*'], products: [card], packs: [house, ifrs9]}\n")
    assert own.packs_for("AR", "card") == ("house", "ifrs9")
    assert own.packs_for("AR", "loan") == ("house",)


def test_a_row_with_a_wrong_place_or_product_is_refused_by_line() -> None:
    with pytest.raises(PackError) as caught:
        book_named(
            "  - {jurisdictions: [DE, UK], products: [credit_crad], packs: [house]}\n", "products: {credit_card: []}\n"
        )
    assert [(p.line, p.path, p.remedy) for p in caught.value.problems] == [
        (5, "rows[0].jurisdictions[1]", "Did you mean GB?"),
        (5, "rows[0].products[0]", "Did you mean credit_card? Or add it to `products`."),
    ]


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, "utf-8")
    return str(path)


places_drawn = st.sampled_from(["CN", "DE", "EU", "PL", "US", "US-CA", "GB", "AR", "JP"])
products_drawn = st.sampled_from(["credit_card", "personal_loan", "overdraft"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(places_drawn, max_size=3), st.lists(products_drawn, max_size=2))
def test_a_pack_laid_over_a_book_counts_for_those_accounts_only(jurisdictions: list[str], products: list[str]) -> None:
    from state.policy_packs.book import laid_over
    from state.policy_packs.pack import parse_pack

    files = files_of("default")
    pack = parse_pack(MINE, "mine.yaml")
    made, _ = packs_of(laid_over(files, [pack], {"mine": MINE}, jurisdictions, products))
    named = {m for j in jurisdictions for m in (("EU", *UNION_MEMBERS) if j == "EU" else (j,))}
    for place in ["CN", "DE", "EU", "PL", "SE", "US", "US-CA", "US-NY", "GB", "AR", "JP", "AR-B"]:
        for product in ("credit_card", "personal_loan", "overdraft", "auto"):
            before, after = BOOK.packs_for(place, product), made.packs_for(place, product)
            concerned = not named or place in named or place.partition("-")[0] in named
            concerned = concerned and (not products or product in products)
            assert after == ((*before, "mine") if concerned else before), (place, product)


def test_a_pack_laid_over_a_book_makes_policies_with_its_rules(mine: str) -> None:
    files = scoped_files(mine, files_of("default"), ["EU"], ["credit_card"])
    made = book_of(files)
    broken = {
        (place, product): made.policy_for(place, product).plans.max_broken
        for place in ("DE", "PL", "CN")
        for product in ("credit_card", "loan")
    }
    assert {key for key, value in broken.items() if value == 9} == {("DE", "credit_card"), ("PL", "credit_card")}
    # A second one is laid over the first.
    again = scoped_files("learning_on", files, ["DE"], [])
    assert book_of(again).policy_for("DE", "credit_card").plans.max_broken == 9
    assert book_of(again).policy_for("DE", "credit_card").learning.mode == "on"
    assert book_of(again).policy_for("FR", "credit_card").learning.mode == "shadow"


def test_a_pack_with_a_name_of_the_book_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "us_reg_f.yaml"
    path.write_text(MINE.replace("mine", "us_reg_f"), "utf-8")
    with pytest.raises(UsageError, match="Name this one differently"):
        scoped_files(str(path), files_of("default"), ["US"], [])


def test_a_book_is_read_from_its_file_with_the_packs_beside_it(tmp_path: Path, mine: str) -> None:
    path = tmp_path / "book.yaml"
    rows = "  - {jurisdictions: [DE], products: [loan], packs: [house, mine]}\n"
    path.write_text(f"{HEAD}products: {{loan: []}}\nrows:\n{rows}{LAST}", "utf-8")
    own = book_for(str(path))
    assert own.policy_for("DE", "loan").plans.max_broken == 9
    assert own.policy_for("FR", "loan").plans.max_broken == 3
    assert "product" in own.problems("DE", "auto")
    path.write_text(
        f"{HEAD}rows:\n  - {{jurisdictions: [DE], products: [loan], packs: [house, mien]}}\n{LAST}", "utf-8"
    )
    with pytest.raises(PackError, match="Did you mean mine"):
        book_for(str(path))
