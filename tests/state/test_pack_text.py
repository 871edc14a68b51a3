"""Reading packs: every fault is found, with its file, line, column, path and remedy."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.errors import UsageError
from state.policy_packs.loader import load_pack, pack_names
from state.policy_packs.located_yaml import MAX_CHARACTERS
from state.policy_packs.merge import BASE_PACK, resolve
from state.policy_packs.pack import Pack, parse_pack
from state.policy_packs.problems import PackError, PackProblem
from state.policy_packs.schema import SECTIONS, TEXTS
from state.policy_packs.validation import STEPS

HEAD = "pack: mine\nversion: 1\ntitle: My rules\nsections:\n"
house = load_pack(BASE_PACK)
fuzz = settings(derandomize=True, deadline=None, max_examples=200)


def rules(text: str) -> str:
    """Return a pack whose sections are `text`, from line 5 on."""
    return HEAD + "".join(f"  {line}\n" for line in dedent(text).strip().splitlines())


def problems_of(text: str) -> list[PackProblem]:
    with pytest.raises(PackError) as caught:
        parse_pack(text, "mine.yaml")
    return list(caught.value.problems)


def the_problem_of(text: str) -> PackProblem:
    problems = problems_of(text)
    assert len(problems) == 1, problems
    return problems[0]


def rule(value: str) -> str:
    return f"{{value: {value}, verified: true, source: test}}"


def as_text(pack: Pack, changes: dict[str, Any]) -> str:
    """Return a pack as YAML with some values changed."""
    sections: dict[str, dict[str, Any]] = {}
    for each in pack.rules:
        section, key = each.path.split(".")
        value = changes.get(each.path, each.value)
        sections.setdefault(section, {})[key] = {"value": value, "verified": each.verified, "source": each.source}
    return yaml.safe_dump({"pack": "mine", "version": 1, "title": "t", "sections": sections}, allow_unicode=True)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(STEPS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@fuzz
@given(st.sampled_from([each.path for each in house.rules]), values)
def test_any_value_of_any_rule_is_usable_or_refused_by_line(path: str, value: Any) -> None:
    text = as_text(replace(house, rules=tuple(each for each in house.rules if each.path == path)), {path: value})
    try:
        policy = resolve([house, parse_pack(text, "mine.yaml")], "mine")
    except PackError as error:
        problems = error.problems
    else:
        assert policy.version.startswith("house@3+mine@1#")
        return
    assert problems
    for problem in problems:
        assert 1 <= problem.line <= text.count("\n") + 1
        assert problem.reason
        assert problem.remedy


@fuzz
@given(st.text(max_size=200) | st.text("[]{}:,-?!&*|>\"'%@\\\n #abU0", max_size=60))
def test_any_text_is_refused_in_order_and_never_crashes(text: str) -> None:
    assert problems_of(text)


@fuzz
@given(st.sampled_from(pack_names()), st.data())
def test_a_pack_with_a_piece_cut_out_is_read_or_refused(name: str, data: st.DataObject) -> None:
    text = as_text(load_pack(name), {})
    start = data.draw(st.integers(0, len(text)))
    cut = text[:start] + text[data.draw(st.integers(start, min(start + 40, len(text)))) :]
    try:
        pack = parse_pack(cut, "cut.yaml")
    except PackError as error:
        problems = error.problems
    else:
        assert all(rule.source.strip() for rule in pack.rules)
        return
    assert problems
    assert all(problem.file == "cut.yaml" and problem.remedy for problem in problems)


def test_a_pack_is_read_with_value_mark_and_source_of_each_rule() -> None:
    pack = parse_pack(rules("plans:\n  max_term_months: {value: 36, verified: false, source: 'a law, Art 7'}"), "f")
    (only,) = pack.rules
    assert (only.path, only.value, only.verified, only.source) == ("plans.max_term_months", 36, False, "a law, Art 7")
    assert (only.line, only.column) == (6, 30)


def test_all_faults_of_a_file_are_named_in_order() -> None:
    problems = problems_of(
        rules(f"""
            plan:
              x: {rule("1")}
            plans:
              max_term: {rule("36")}
              kept_within_days: {rule("-1")}
              probation_days: {{value: 3}}
            contacts:
              from_hour: {rule("22")}
              to_hour: {rule("8")}
        """)
    )
    assert [(problem.line, problem.path) for problem in problems] == [
        (5, "sections.plan"),
        (8, "sections.plans.max_term"),
        (9, "sections.plans.kept_within_days.value"),
        (10, "sections.plans.probation_days"),
        (10, "sections.plans.probation_days"),
        (12, "sections.contacts.from_hour.value"),
    ]


def test_a_problem_is_one_line_with_place_reason_and_remedy() -> None:
    text = rules(f"plans:\n  kept_within_days: {rule('soon')}")
    with pytest.raises(UsageError) as caught:
        parse_pack(text, "mine.yaml")
    assert str(caught.value) == (
        "mine.yaml:6:31: sections.plans.kept_within_days.value: 'soon' is not valid. "
        "Give a whole number from 0 to 36500."
    )


@pytest.mark.parametrize(
    ("section", "path", "remedy"),
    [
        ("contact: {}", "sections.contact", "Did you mean contacts?"),
        (f"contacts:\n  from_hours: {rule('8')}", "sections.contacts.from_hours", "Did you mean from_hour?"),
        (
            f"delinquency:\n  pausing_holds: {rule('[disputes]')}",
            "sections.delinquency.pausing_holds.value[0]",
            "Did you mean dispute?",
        ),
        (
            f"bad_debt:\n  recognition: {rule('automatically')}",
            "sections.bad_debt.recognition.value",
            "Did you mean automatic?",
        ),
        (
            f"classification:\n  thresholds: {rule('[{name: ok, from_day: 0, from_days: 0}]')}",
            "sections.classification.thresholds.value[0].from_day",
            "Did you mean from_days?",
        ),
        (
            "plans:\n  max_term_months: {value: 3, verified: true, source: s, soruce: t}",
            "sections.plans.max_term_months.soruce",
            "Did you mean source?",
        ),
        (
            f"contacts:\n  time_zone: {rule('Asia/Shangai')}",
            "sections.contacts.time_zone.value",
            "Did you mean Asia/Shanghai?",
        ),
        (
            f"contacts:\n  time_zone: {rule('../passwd')}",
            "sections.contacts.time_zone.value",
            "Use an IANA name such as Asia/Shanghai.",
        ),
    ],
)
def test_an_unknown_name_meets_the_one_that_was_probably_meant(section: str, path: str, remedy: str) -> None:
    problem = the_problem_of(rules(section))
    assert (problem.path, problem.remedy) == (path, remedy)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("plans:\n  max_term_months: {value: 3, source: s}", "verified is missing."),
        ("plans:\n  max_term_months: {value: 3, verified: true}", "source is missing."),
        ("plans:\n  max_term_months: {verified: true, source: s}", "value is missing."),
        ("plans:\n  max_term_months: {value: 3, verified: true, source: ' '}", "' ' is not valid."),
        ("plans:\n  max_term_months: {value: 3, verified: maybe, source: s}", "'maybe' is not valid."),
        ("plans:\n  max_term_months: 3", "A rule says its value, whether that is verified, and its source."),
        (f"plans:\n  max_term_months: {rule('true')}", "true is not valid."),
        (f"plans:\n  max_term_months: {rule('1.5')}", "1.5 is not valid."),
        (f"plans:\n  max_term_months: {rule('601')}", "601 is not valid."),
        (f"plans:\n  max_term_months: {rule('[3]')}", "[3] is not valid."),
        (f"plans:\n  waiver_returns: {rule('yes')}", "'yes' is not valid."),
        (f"options:\n  terms: {rule('12')}", "12 is not a list."),
        (f"impairment:\n  coverage_bps: {rule('[1, 2]')}", "The list has 2 entries instead of 3."),
        (f"impairment:\n  coverage_bps: {rule('[1, 3, 2]')}", "Stage 3 is covered by 2 bps, stage 2 by 3."),
        (f"options:\n  minimum_instalment: {rule('{EUR: 5}')}", "The amounts by currency lack a default."),
        (f"options:\n  minimum_instalment: {rule('{default: 1, euro: 5}')}", "euro is not a currency."),
        (f"options:\n  minimum_instalment: {rule('{default: 1, EUR: -5}')}", "-5 is not valid."),
        (f"contacts:\n  cap_days: {rule('0')}", "0 is too small."),
        (f"contacts:\n  conversation_cap_days: {rule('0')}", "0 is too small."),
        (f"contacts:\n  cap_days: {rule('31')}", "31 is too large: contacts are remembered for a month."),
        (f"contacts:\n  cap: {rule('201')}", "201 is too large: at most 200 contacts of a borrower are remembered."),
        (f"bad_debt:\n  charge_off_after_hold: {rule('{bankrupt: 60}')}", "bankrupt is not known here."),
        (f"bad_debt:\n  charge_off_after_hold: {rule('{bankruptcy: -1}')}", "-1 is not valid."),
        (f"bad_debt:\n  charge_off_after_hold: {rule('60')}", "60 is not a mapping."),
        (f"plans:\n  due_date_convention: {rule('next')}", "'next' is not valid."),
        (
            f"charges:\n  penalty_rate_bps: {rule('500')}\n  penalty_markup_bps: {rule('5000')}",
            "This and charges.penalty_rate_bps (500) are two forms of one rule, and both are set.",
        ),
        (f"business:\n  holiday_calendar: {rule('ZZ')}", "'ZZ' is not a calendar."),
        (
            f"affordability:\n  floors: {rule('[{currency: euro, region: x, single: 1, each: 1}]')}",
            "'euro' is not a currency.",
        ),
        (f"options:\n  terms: {rule('[12, 6]')}", "The term 6 is not above 12, which stands before it."),
        (f"options:\n  terms: {rule('[6, 6]')}", "The term 6 is not above 6, which stands before it."),
        (
            f"options:\n  terms: {rule('[48, 60]')}\nplans:\n  max_term_months: {rule('36')}",
            "No term is within plans.max_term_months, which is 36.",
        ),
        (
            f"contacts:\n  from_hour: {rule('21')}\n  to_hour: {rule('21')}",
            "21 is not below contacts.to_hour, which is 21.",
        ),
        (
            f"impairment:\n  stage2_over_days: {rule('90')}\n  stage3_from_days: {rule('30')}",
            "90 is not below impairment.stage3_from_days, which is 30.",
        ),
        (
            f"affordability:\n  alpha_least_bps: {rule('5000')}\n  alpha_bps: {rule('4000')}",
            "5000 is above affordability.alpha_bps, which is 4000.",
        ),
        (f"classification:\n  thresholds: {rule('[]')}", "There is no class."),
        (
            f"classification:\n  thresholds: {rule('[{name: a, from_days: 1}]')}",
            "The best class, a, starts at 1 days.",
        ),
        (
            f"classification:\n  thresholds: {rule('[{name: a, from_days: 0}, {name: b, from_days: 0}]')}",
            "b starts at 0 days, a at 0.",
        ),
        (
            f"classification:\n  thresholds: {rule('[{name: a, from_days: 0}, {name: a, from_days: 9}]')}",
            "The class a stands here twice.",
        ),
        ("plans: [1]", "[1] is not a mapping."),
    ],
)
def test_a_faulty_rule_is_refused_with_its_reason(section: str, reason: str) -> None:
    assert the_problem_of(rules(section)).reason == reason


def test_a_waterfall_names_each_step_once() -> None:
    steps = [*STEPS[:-1], STEPS[0]]
    problems = problems_of(rules(f"allocation:\n  performing: {rule(str(steps))}"))
    assert [(problem.path, problem.reason) for problem in problems] == [
        ("sections.allocation.performing.value", "The waterfall lacks advance.principal."),
        ("sections.allocation.performing.value[11]", "The step past_due.penalty stands here twice."),
    ]


def test_a_duplicate_key_names_the_line_of_the_first() -> None:
    problem = the_problem_of(rules(f"plans:\n  max_broken: {rule('1')}\n  max_broken: {rule('2')}"))
    assert (problem.line, problem.path) == (7, "sections.plans.max_broken")
    assert problem.reason == "max_broken stands here twice, first on line 6."


def test_a_pack_says_who_it_is() -> None:
    problems = problems_of("pack: My Pack\ntitel: x\nversion: 0\n")
    assert [(problem.line, problem.path, problem.reason) for problem in problems] == [
        (1, "", "sections is missing."),
        (1, "", "title is missing."),
        (1, "pack", "'My Pack' is not valid."),
        (2, "titel", "titel is not known here."),
        (3, "version", "0 is not valid."),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The file is empty."),
        ("a: [1, 2", "This is not YAML"),
        ("a: 1\n---\nb: 2\n", "A second document starts here."),
        ("a: &x [1]\nb: [*x, *x]\n", "Anchors and aliases are not read."),
        ("a: !!python/object/apply:os.system ['true']\n", "The tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("[" * 5000, "The nesting is deeper than"),
        ("? [a]\n: 1\n", "A key must be a text."),
        ("a: \x07\n", "Character U+0007 may not stand in YAML."),
        ('a: "\\UFFFFFFFF"\n', "An escape after this line is no character."),
        ('a: "\\U00110000"\n', "An escape after this line is no character."),
        ('a: "\\uD800"\n', "Half a character stands here."),
        ("#" * (MAX_CHARACTERS + 1), f"The file has {MAX_CHARACTERS + 1} characters"),
    ],
)
def test_yaml_that_no_pack_needs_is_refused(text: str, reason: str) -> None:
    assert any(problem.reason.startswith(reason) for problem in problems_of(text))


def test_a_bomb_of_aliases_is_refused_before_it_is_expanded() -> None:
    lines = ["a: &a [x, x]"] + [
        f"{new}: &{new} [*{old}, *{old}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert the_problem_of("\n".join(lines)).line == 1


def test_no_is_the_country_norway_and_a_time_of_day_is_a_text() -> None:
    pack = parse_pack("pack: nordic\nversion: 1\ntitle: 22:00\njurisdiction: NO\nsections: {}\n", "f")
    assert (pack.jurisdiction, pack.title) == ("NO", "22:00")


def test_every_field_of_a_policy_is_a_rule_that_a_pack_may_set() -> None:
    assert {
        f"{section}.{key}"
        for section, keys in SECTIONS.items()
        for key in keys
        if section not in ("classification", *TEXTS)
    } == {each.path for each in house.rules}


def waterfall(sweep: str, *blocks: str) -> str:
    """Return a pack with a waterfall of these timings, the components of each mention shared out in order."""
    order: list[str] = []
    seen = dict.fromkeys(("past_due", "due", "advance"), 0)
    for block in blocks:
        timing, _, count = block.partition(":")
        components = ("penalty", "fees", "interest", "principal")[seen[timing] :][: int(count or 4)]
        seen[timing] += len(components)
        order += [f"{timing}.{component}" for component in components]
    assert sorted(order) == sorted(STEPS)
    return rules(f"allocation:\n  performing: {rule('[' + ', '.join(order) + ']')}\n  sweep: {rule(sweep)}")


@pytest.mark.parametrize(
    ("sweep", "blocks", "index"),
    [
        ("instalment", ("past_due:1", "due:1", "past_due:3", "due:3", "advance"), 2),
        ("instalment", ("past_due", "due:2", "advance", "due:2"), 10),
        ("instalment", ("advance:1", "past_due", "advance:3", "due"), 5),
        ("component", ("past_due", "advance:1", "due", "advance:3"), 9),
        ("component", ("advance:2", "past_due", "due", "advance:2"), 10),
    ],
)
def test_an_unpayable_waterfall_is_refused_at_its_step(sweep: str, blocks: tuple[str, ...], index: int) -> None:
    problem = the_problem_of(waterfall(sweep, *blocks))
    assert (problem.line, problem.path) == (6, f"sections.allocation.performing.value[{index}]")
    assert "paid as one block" in problem.reason
    assert "one behind the other" in problem.remedy


@pytest.mark.parametrize(
    ("sweep", "blocks"),
    [
        ("instalment", ("past_due", "due", "advance")),
        ("instalment", ("due", "past_due", "advance")),
        ("component", ("past_due:1", "due:1", "past_due:3", "due:3", "advance")),
        ("component", ("past_due:2", "due:3", "advance", "past_due:2", "due:1")),
    ],
)
def test_a_waterfall_whose_order_means_something_is_taken(sweep: str, blocks: tuple[str, ...]) -> None:
    assert parse_pack(waterfall(sweep, *blocks), "mine.yaml").rules


def test_a_sweep_of_another_pack_can_make_a_waterfall_invalid() -> None:
    mixed = parse_pack(waterfall("component", "past_due:1", "due:1", "past_due:3", "due:3", "advance"), "mine.yaml")
    only = tuple(r for r in mixed.rules if r.path == "allocation.performing")
    with pytest.raises(PackError, match="paid as one block") as caught:
        resolve([house, replace(mixed, rules=only)], "mine")
    assert (caught.value.problems[0].file, caught.value.problems[0].line) == ("mine.yaml", 6)


def test_a_rule_is_still_read_under_its_earlier_name() -> None:
    old = rules("learning:\n    trial: {value: 4, verified: true, source: a risk officer}")
    (rule_read,) = parse_pack(old, "mine.yaml").rules
    assert (rule_read.path, rule_read.value) == ("learning.guardrail_reset_id", 4)
    assert resolve([house, parse_pack(old, "mine.yaml")], "mine").learning.guardrail_reset_id == 4
