"""The packs that come with the package: the domain's numbers, where they apply, and where they come from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from state.calendars import is_known
from state.policy import Classification, Policy
from state.policy_packs.book import book_of, parse_book
from state.policy_packs.loader import book_for, default_book, files_of, load_book, load_pack, load_packs, pack_names
from state.policy_packs.merge import BASE_PACK, provenance, resolve
from state.policy_packs.pack import Pack, PlaceFacts, parse_pack
from state.policy_packs.problems import PackError
from state.policy_packs.report import pack_to_json, render_pack, render_policy

book = default_book()
PLACES = ["CN", "TW", "US", "US-CA", "GB", "DE", "PL", "EU", "JP", "AR", "", "*"]
PRODUCTS = ["credit_card", "personal_loan", "auto", "*", ""]


def classes(policy: Policy) -> dict[str, list[tuple[str, int]]]:
    return {each.policy: [(t.name, t.from_days) for t in each.thresholds] for each in policy.classifications}


def classification(policy: Policy, name: str) -> Classification:
    return next(each for each in policy.classifications if each.policy == name)


def made(name: str, sections: str, head: str = "") -> Pack:
    return parse_pack(f"pack: {name}\nversion: 1\ntitle: t\n{head}sections: {sections}\n", f"{name}.yaml")


@pytest.mark.parametrize("name", pack_names())
def test_each_pack_is_sound_on_top_of_the_house(name: str) -> None:
    policy = book_for(name).policy_for("DE", "personal_loan")
    assert f"{name}@" in policy.version


# Packs that a risk officer lays on top, by name.
ON_DEMAND = {"learning_on"}


@pytest.mark.parametrize("name", [name for name in pack_names() if name not in {BASE_PACK, *ON_DEMAND}])
def test_each_pack_is_used_by_the_default_book(name: str) -> None:
    assert any(name in row.packs for row in load_book().rows)


@pytest.mark.parametrize("jurisdiction", PLACES)
@pytest.mark.parametrize("product", PRODUCTS)
def test_every_account_has_a_policy(jurisdiction: str, product: str) -> None:
    policy = book.policy_for(jurisdiction, product)
    assert policy.contacts.from_hour < policy.contacts.to_hour
    assert policy.plans.max_term_months >= min(policy.options.terms)
    assert all(each.thresholds[0].from_days == 0 for each in policy.classifications)


def test_a_chinese_credit_card_has_the_numbers_of_its_rules() -> None:
    policy = book.policy_for("CN", "credit_card")
    assert policy.name == "house+cn_2023+cn_card+cn_writeoff+cn_collection+cn_repair+cn_cost+ifrs9"
    assert classes(policy) == {
        "cn_2023": [("normal", 0), ("special_mention", 1), ("substandard", 91), ("doubtful", 271), ("loss", 361)],
        "cn_card": [("normal", 0), ("special_mention", 1), ("substandard", 91), ("doubtful", 121), ("loss", 181)],
    }
    for name in ("cn_2023", "cn_card"):
        rules = classification(policy, name)
        assert (rules.probation_months, rules.after_plan_months, rules.probation_days) == (6, 12, 0)
    charges = policy.charges
    assert (charges.penalty_rate_bps, charges.penalty_markup_bps, charges.penalty_on_interest) == (0, 0, False)
    assert policy.plans.max_term_months == 60
    assert policy.offers.disclosures == (
        "balance_structure_currency",
        "cycle",
        "method_currency_dates_amounts",
        "fees_and_interest_going_on",
        "no_new_cards_until_settled",
        "rights_duties_default",
    )
    assert policy.offers.oral_needs_recording
    assert policy.offers.default_locale == "zh"
    bad = policy.bad_debt
    assert (bad.policy, bad.recognition, bad.charge_off_after) == ("cn_writeoff", "review", None)
    assert (bad.missed_at_least, bad.days_past_due_over, bad.attempts_at_least) == (3, 90, 3)
    contacts = policy.contacts
    assert (contacts.from_hour, contacts.to_hour, contacts.cap, contacts.cap_days) == (8, 22, 6, 1)
    assert (contacts.conversation_cap, contacts.conversation_cap_days) == (3, 1)
    assert (contacts.time_zone, policy.holiday_calendar) == ("Asia/Shanghai", "CN")


def test_another_chinese_loan_has_no_card_rules() -> None:
    policy = book.policy_for("CN", "personal_loan")
    assert list(classes(policy)) == ["cn_2023"]
    assert not policy.offers.oral_needs_recording
    charges = policy.charges
    assert (charges.penalty_rate_bps, charges.penalty_markup_bps, charges.penalty_on_interest) == (0, 5_000, True)


@pytest.mark.parametrize("jurisdiction", ["EU", "DE", "FR", "IE", "BG"])
def test_a_european_retail_default_needs_91_days_over_both(jurisdiction: str) -> None:
    policy = book.policy_for(jurisdiction, "personal_loan")
    assert (policy.delinquency.material_absolute, policy.delinquency.material_relative_bps) == (100_00, 100)
    default = classification(policy, "eu_dod")
    assert default.material_counter
    assert classes(policy) == {"eu_dod": [("performing", 0), ("default", 91)]}
    assert (default.probation_months, default.after_plan_months) == (3, 12)
    assert policy.bad_debt.cure_probation_months == 3
    assert (policy.options.distressed_over_bps, default.distressed) == (100, "default")


def test_outside_the_euro_area_thresholds_are_local() -> None:
    places = ("DE", "PL", "SE", "CZ")
    amounts = {place: book.policy_for(place, "x").delinquency.material_absolute for place in places}
    assert amounts == {"DE": 100_00, "PL": 400_00, "SE": 1_000_00, "CZ": 2_500_00}
    assert list(classes(book.policy_for("PL", "x"))) == ["eu_dod"]


@pytest.mark.parametrize(("product", "days"), [("credit_card", 180), ("personal_loan", 120), ("auto", 120)])
def test_us_credit_is_charged_off_at_180_or_120_days(product: str, days: int) -> None:
    policy = book.policy_for("US", product)
    assert policy.bad_debt.charge_off_after == days
    assert policy.bad_debt.charge_off_after_hold == {"bankruptcy": 60, "fraud": 90}
    assert classes(policy) == {"us_ffiec": [("pass", 0), ("substandard", 90), ("loss", days)]}
    contacts = policy.contacts
    assert (contacts.from_hour, contacts.to_hour, contacts.cap, contacts.cap_days) == (8, 21, 7, 7)
    assert contacts.quiet_days_after_conversation == 7


def test_the_stages_of_ifrs_9_start_over_30_and_at_90_days() -> None:
    policy = book.policy_for("TW", "credit_card")
    assert (policy.impairment.stage2_over_days, policy.impairment.stage3_from_days) == (30, 90)
    assert (policy.name, policy.offers.default_locale) == ("house+ifrs9", "zh")


def test_a_subdivision_is_looked_up_under_its_country() -> None:
    assert book.policy_for("US-CA", "auto") == book.policy_for("US", "auto")


def test_amounts_follow_the_currency_of_the_place() -> None:
    assert book.policy_for("CN", "x").options.minimum_instalment == 100_00
    assert book.policy_for("AR", "x").options.minimum_instalment == 10_00


def test_every_currency_in_use_has_a_floor() -> None:
    floors = {floor.currency for floor in book.policy_for("AR", "x").affordability.floors}
    assert {"CNY", "EUR", "USD", "GBP", "TWD"} <= floors


@pytest.mark.parametrize(
    ("name", "path", "verified"),
    [
        ("cn_card", "classification[cn_card].thresholds", True),
        ("cn_card", "plans.max_term_months", True),
        ("cn_card", "offers.disclosures", True),
        ("cn_2023", "classification[cn_2023].thresholds", False),
        ("cn_2023", "classification[cn_2023].after_plan_months", False),
        ("cn_2023", "charges.penalty_markup_bps", True),
        ("cn_2023", "charges.penalty_on_interest", True),
        ("cn_writeoff", "bad_debt.recognition", True),
        ("cn_collection", "contacts.cap", False),
        ("eu_dod", "delinquency.material_absolute", True),
        ("eu_dod", "delinquency.material_relative_bps", True),
        ("eu_dod", "classification[eu_dod].thresholds", True),
        ("eu_dod", "classification[eu_dod].probation_months", True),
        ("eu_dod", "classification[eu_dod].after_plan_months", False),
        ("eu_dod", "classification[eu_dod].distressed", True),
        ("eu_dod", "options.distressed_over_bps", True),
        ("eu_dod_local", "delinquency.material_absolute", False),
        ("eu_dod_pl", "delinquency.material_absolute", True),
        ("eu_ccd2", "options.shapes", True),
        ("us_ffiec", "bad_debt.charge_off_after_hold", True),
        ("us_reg_z", "plans.due_date_convention", False),
        ("cn_collection", "contacts.conversation_cap", False),
        ("ifrs9", "impairment.stage3_from_days", True),
        ("us_ffiec", "classification[us_ffiec].thresholds", True),
        ("us_ffiec", "classification[us_ffiec].probation_months", False),
        ("us_reg_f", "contacts.quiet_days_after_conversation", True),
    ],
)
def test_a_rule_is_marked_as_far_as_its_source_was_read(name: str, path: str, verified: bool) -> None:
    marks = {mark.path: mark for mark in provenance([load_pack(name)])}
    assert marks[path].verified is verified


@pytest.mark.parametrize("name", pack_names())
def test_a_rule_is_verified_only_with_its_source(name: str) -> None:
    pack = load_pack(name)
    marked = [(r.path, r.verified, r.source) for r in pack.rules] + [
        (s.rule, s.verified, s.source) for s in pack.manual
    ]
    for path, verified, source in marked:
        second_hand = "secondary source" in source or "from memory" in source or "not verified" in source
        if verified:
            assert not second_hand, path
            # An article, a paragraph, a document's number or its year; or it is a choice, and says so.
            assert re.search(r"\d", source) or source.startswith(("internal rule", "as ", "four-fifths rule")), path
        else:
            assert second_hand or "default policy's" in source or "orders of magnitude" in source, path


def test_provenance_names_the_pack_whose_rule_is_in_force() -> None:
    stack = [load_pack(name) for name in ("house", "us_ffiec", "us_ffiec_open_end")]
    by_path = {mark.path: mark for mark in provenance(stack)}
    assert by_path["bad_debt.charge_off_after"].pack == "us_ffiec_open_end"
    assert by_path["classification[us_ffiec].thresholds"].pack == "us_ffiec_open_end"
    assert by_path["classification[us_ffiec].probation_months"].pack == "us_ffiec"
    assert by_path["contacts.cap"].pack == "house"
    assert "us_ffiec_open_end" not in {path.partition("[")[2].partition("]")[0] for path in by_path}


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(pack_names()), max_size=6))
def test_the_last_pack_that_speaks_of_a_rule_is_the_one_obeyed(names: list[str]) -> None:
    stack = [load_pack(BASE_PACK), *map(load_pack, names)]
    expected = {rule.path: rule.value for each in stack for rule in each.rules}
    before = [set(names[:index]) for index in range(len(names))]
    if any(load_pack(name).extends not in {None, *seen} for name, seen in zip(names, before, strict=True)):
        with pytest.raises(PackError, match="which does not stand before it"):
            resolve(stack, "any")
        return
    policy = resolve(stack, "any")
    for section in ("contacts", "plans", "offers", "impairment"):
        for field in fields(getattr(policy, section)):
            said = expected[f"{section}.{field.name}"]
            got = getattr(getattr(policy, section), field.name)
            assert (list(got) if isinstance(got, tuple) else got) == said


def test_a_version_names_the_packs_and_changes_with_any_value() -> None:
    house = load_pack(BASE_PACK)
    mild = made("mine", "{plans: {max_broken: {value: 4, verified: true, source: s}}}")
    hard = made("mine", "{plans: {max_broken: {value: 5, verified: true, source: s}}}")
    one, other, again = (resolve([house, each], "p") for each in (mild, hard, mild))
    assert one.version.startswith("house@3+mine@1#")
    assert one.version != other.version
    assert one.version == again.version
    assert resolve([house, mild], "p", PlaceFacts(time_zone="Asia/Taipei")).version != one.version
    assert resolve([house, replace(mild, version=2)], "p").version.startswith("house@3+mine@2#")


@pytest.mark.parametrize(
    ("base", "sections", "found"),
    [
        ("cn_2023", "{charges: {penalty_rate_bps: {value: 700, verified: true, source: s}}}", (700, 0)),
        ("cn_2023", "{charges: {penalty_markup_bps: {value: 3000, verified: true, source: s}}}", (0, 3_000)),
        ("cn_card", "{charges: {penalty_markup_bps: {value: 3000, verified: true, source: s}}}", (0, 3_000)),
    ],
)
def test_a_later_pack_says_a_rule_in_the_form_that_it_likes(base: str, sections: str, found: tuple[int, int]) -> None:
    charges = resolve([load_pack(BASE_PACK), load_pack(base), made("mine", sections)], "p").charges
    assert (charges.penalty_rate_bps, charges.penalty_markup_bps) == found


def test_packs_that_do_not_fit_are_refused_at_the_later_line() -> None:
    late = made("late", "\n  contacts:\n    from_hour: {value: 21, verified: true, source: s}")
    with pytest.raises(PackError, match=r"21 is not below contacts\.to_hour") as caught:
        resolve([load_pack(BASE_PACK), late], "p")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("late.yaml", 6)


def test_a_policy_without_the_house_says_what_is_missing() -> None:
    with pytest.raises(PackError, match=r"incomplete.*Put the pack house first"):
        resolve([load_pack("ifrs9")], "p")
    with pytest.raises(PackError, match="Put the pack house first"):
        resolve([], "p")


def test_a_pack_of_ones_own_extends_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "pack: mine\nversion: 3\ntitle: t\nextends: us_ffiec_open_end\n"
        "sections:\n"
        "  bad_debt: {charge_off_after: {value: 150, verified: true, source: s}}\n"
        "  classification: {probation_days: {value: 30, verified: true, source: s}}\n",
        encoding="utf-8",
    )
    own = book_for(str(path))
    policy = own.policy_for("US", "anything")
    assert own.name == str(path)
    assert policy.bad_debt.charge_off_after == 150
    assert policy.version.startswith("house@3+us_ffiec@3+us_ffiec_open_end@1+mine@3#")
    assert classes(policy) == {"us_ffiec": [("pass", 0), ("substandard", 90), ("loss", 180)]}
    # Days stand in for the months of the pack that is extended.
    rules = classification(policy, "us_ffiec")
    assert (rules.probation_days, rules.probation_months) == (30, 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cn_crad", None, "There is no such pack. Did you mean cn_card?"),
        ("gone.yaml", None, "The file cannot be read: No such file or directory."),
        ("latin.yaml", b"pack: caf\xe9\n", "Byte 10 is not UTF-8."),
        ("orphan.yaml", b"pack: a\nversion: 1\ntitle: t\nextends: nobody\nsections: {}\n", "There is no such pack."),
        ("big.yaml", b"#" * 2_000_000, "a pack has at most"),
    ],
)
def test_a_pack_that_cannot_be_read_is_refused_with_a_remedy(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PackError) as caught:
        book_for(str(path) if name.endswith(".yaml") else name)
    assert message in str(caught.value)
    assert all(problem.remedy for problem in caught.value.problems)


def test_a_pack_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes("pack: a\nversion: 1\ntitle: t\nsections: {}\n".encode("utf-8-sig"))
    assert load_pack(str(path)).name == "a"


def test_every_place_of_the_book_has_a_calendar_that_exists() -> None:
    places = load_book().places
    assert [name for name, place in places.items() if not (place.calendar and is_known(place.calendar))] == []


def test_a_faulty_book_names_each_fault() -> None:
    text = """book: b
version: 1
rows:
  - {jurisdictions: [CN], products: ["*"], packs: [hause]}
places:
  CN: {time_zone: Asia/Shangai}
"""
    with pytest.raises(PackError) as caught:
        parse_book(text, "book.yaml", frozenset(pack_names()))
    assert [(problem.line, problem.path, problem.remedy) for problem in caught.value.problems] == [
        (4, "rows", "End with {jurisdictions: ['*'], products: ['*'], packs: [house]}."),
        (4, "rows[0].packs[0]", "Did you mean house?"),
        (6, "places.CN.time_zone", "Did you mean Asia/Shanghai?"),
    ]


def test_a_rendered_pack_marks_exactly_the_unverified_rules() -> None:
    for name in pack_names():
        pack = load_pack(name)
        lines = render_pack(pack).splitlines()
        marked = [line for line in lines if line.lstrip().startswith("UNVERIFIED")]
        unverified = [rule for rule in pack.rules if not rule.verified]
        assert len(marked) == len(unverified) + sum(not each.verified for each in pack.manual)
        for rule in unverified:
            key = rule.path.split(".")[1]
            assert any(key in line for line in marked)
        assert all(any(rule.source in line for line in lines) for rule in pack.rules)


def test_a_rendered_policy_says_which_pack_speaks() -> None:
    text = render_policy(load_packs("us_ffiec_open_end"))
    assert text.startswith("Packs, in order: house 3, us_ffiec 3, us_ffiec_open_end 1\n")
    assert "us_ffiec_open_end: 65 FR 36903: open-end retail credit" in text


@pytest.mark.parametrize("name", pack_names())
def test_each_pack_has_a_title_in_chinese(name: str) -> None:
    title = load_pack(name).title_zh
    assert title
    assert re.search("[\u4e00-\u9fff]", title)


def test_a_pack_as_json_is_the_pack_again() -> None:
    for name in pack_names():
        pack = load_pack(name)
        said = json.loads(pack_to_json(pack))
        again = parse_pack(json.dumps(said, ensure_ascii=False), pack.file)
        assert [(r.path, r.value, r.verified, r.source) for r in again.rules] == [
            (r.path, r.value, r.verified, r.source) for r in pack.rules
        ]
        assert (again.manual, again.title, again.title_zh) == (pack.manual, pack.title, pack.title_zh)


def test_amounts_are_in_the_accounts_currency() -> None:
    for policies in (book, book_of(files_of("default"))):
        threshold = {
            currency: policies.policy_for("PL", "mortgage", currency).delinquency.material_absolute
            for currency in ("PLN", "EUR", "")
        }
        # EUR 100, which is not PLN 400 in euro.
        assert threshold == {"PLN": 400_00, "EUR": 100_00, "": 400_00}
        # What EUR 100 are in francs is not guessed: the relative threshold stands alone.
        assert policies.policy_for("DE", "mortgage", "CHF").delinquency.material_absolute == 0
        assert policies.policy_for("CN", "loan", "JPY").delinquency.tolerance_absolute == 100
        assert policies.policy_for("CN", "loan", "USD").options.minimum_instalment == 10_00
        # Facts of the place stay its own.
        assert policies.policy_for("PL", "mortgage", "EUR").holiday_calendar == "PL"
    same, own = book.policy_for("PL", "mortgage", "PLN"), book.policy_for("PL", "mortgage")
    assert same.version == own.version != book.policy_for("PL", "mortgage", "EUR").version
    later = book.with_amendments([(5, default_book())])
    assert later.policy_for("PL", "x", "EUR").delinquency.material_absolute == 100_00
    assert later.in_force_on(5).policy_for("PL", "x", "EUR").delinquency.material_absolute == 100_00
