"""Rules that must fit together: what no single type can say.

A check runs wherever all the rules that it is about are present: in one pack as it is read, and over all
packs of a policy once they are merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct

from state.calendars import is_known
from state.contact_rules import MOST_REMEMBERED, REMEMBERED_DAYS
from state.policy_packs.problems import nearest
from state.policy_packs.text_validation import check_lender
from state.texts import Lender

STEPS = tuple(
    f"{timing}.{component}"
    for timing in ("past_due", "due", "advance")
    for component in ("penalty", "fees", "interest", "principal")
)

Rules = Mapping[str, Any]


class RuleFault(Struct, frozen=True):
    """A rule at fault. inside: the place within its value, such as `[2].from_days`."""

    rule: str
    inside: str
    reason: str
    remedy: str


Check = Callable[[Rules], Iterator[RuleFault]]


def check_rules(rules: Rules) -> Iterator[RuleFault]:
    """Yield what does not fit among rules (`section.key` -> value), each of which is valid on its own."""
    for needed, check in _CHECKS:
        if all(key in rules for key in needed):
            yield from check(rules)


def _waterfall(key: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        yield from _repeated(key, rules[key], "step")
        missing = [step for step in STEPS if step not in rules[key]]
        if missing:
            reason = f"The waterfall lacks {', '.join(missing)}."
            yield RuleFault(key, "", reason, f"Name each of the {len(STEPS)} steps once.")

    return check


def _mixed(key: str) -> Check:
    """Refuse a waterfall whose timings are mixed where they cannot be paid in the order in which they are written.

    Steps of `advance` always run instalment by instalment, and under the sweep `instalment` so do all: the steps of a
    timing are then one block, and what stands between them has no place.
    """

    def check(rules: Rules) -> Iterator[RuleFault]:
        sweep, ended, before = rules["allocation.sweep"], set[str](), ""
        for index, step in enumerate(rules[key]):
            timing = step.partition(".")[0]
            if timing != before:
                ended.add(before)
            if timing in ended and (sweep == "instalment" or timing == "advance"):
                why = "under the sweep instalment" if sweep == "instalment" else "under any sweep"
                reason = f"{step} stands behind steps of {before}: {why} the steps of {timing} are paid as one block."
                remedy = f"Write the steps of {timing} one behind the other"
                remedy += "." if timing == "advance" else ", or set allocation.sweep to component."
                yield RuleFault(key, f"[{index}]", reason, remedy)
                return
            before = timing

    return check


def _unique(key: str, noun: str) -> Check:
    return lambda rules: _repeated(key, rules[key], noun)


def _repeated(key: str, values: Sequence[Any], noun: str) -> Iterator[RuleFault]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield RuleFault(key, f"[{index}]", f"The {noun} {value} stands here twice.", "Keep one of the two.")


def _ascending(key: str, noun: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        for index, (before, after) in enumerate(pairwise(rules[key]), 1):
            if after <= before:
                reason = f"The {noun} {after} is not above {before}, which stands before it."
                yield RuleFault(key, f"[{index}]", reason, "Write them in ascending order, each once.")

    return check


def _thresholds(rules: Rules) -> Iterator[RuleFault]:
    key = "classification.thresholds"
    thresholds = rules[key]
    if not thresholds:
        yield RuleFault(key, "", "There is no class.", "Name the best class with `from_days: 0`.")
        return
    if thresholds[0]["from_days"] != 0:
        reason = f"The best class, {thresholds[0]['name']}, starts at {thresholds[0]['from_days']} days."
        yield RuleFault(key, "[0].from_days", reason, "Start the best class at 0 days.")
    for index, (before, after) in enumerate(pairwise(thresholds), 1):
        if after["from_days"] <= before["from_days"]:
            reason = f"{after['name']} starts at {after['from_days']} days, {before['name']} at {before['from_days']}."
            yield RuleFault(key, f"[{index}].from_days", reason, "Write the classes best first, with ascending days.")
    names = [threshold["name"] for threshold in thresholds]
    for finding in _repeated(key, names, "class"):
        yield RuleFault(key, f"{finding.inside}.name", finding.reason, finding.remedy)


def _distressed(rules: Rules) -> Iterator[RuleFault]:
    key = "classification.distressed"
    worse = [threshold["name"] for threshold in rules["classification.thresholds"][1:]]
    if rules[key] and rules[key] not in worse:
        reason = f"{rules[key]!r} is no class below the best one."
        yield RuleFault(key, "", reason, nearest(rules[key], worse) if worse else "Leave it out.")


def _least(key: str, least: int) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        if rules[key] < least:
            yield RuleFault(key, "", f"{rules[key]} is too small.", f"Give a whole number of at least {least}.")

    return check


def _most(key: str, most: int, why: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        if rules[key] > most:
            yield RuleFault(key, "", f"{rules[key]} is too large: {why}.", f"Give a whole number of at most {most}.")

    return check


def _not_above(low: str, high: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        if rules[low] > rules[high]:
            reason = f"{rules[low]} is above {high}, which is {rules[high]}."
            yield RuleFault(low, "", reason, f"Lower it, or raise {high}.")

    return check


def _below(low: str, high: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        if rules[low] >= rules[high]:
            reason = f"{rules[low]} is not below {high}, which is {rules[high]}."
            yield RuleFault(low, "", reason, f"Lower it, or raise {high}.")

    return check


def _coverage(rules: Rules) -> Iterator[RuleFault]:
    key = "impairment.coverage_bps"
    for index, (before, after) in enumerate(pairwise(rules[key]), 1):
        if after < before:
            reason = f"Stage {index + 1} is covered by {after} bps, stage {index} by {before}."
            yield RuleFault(key, f"[{index}]", reason, "Cover a worse stage by no less.")


def _some_term(rules: Rules) -> Iterator[RuleFault]:
    terms, longest = rules["options.terms"], rules["plans.max_term_months"]
    if not terms or min(terms) > longest:
        reason = f"No term is within plans.max_term_months, which is {longest}."
        yield RuleFault("options.terms", "", reason, f"Add a term of at most {longest} months.")


# Two forms of one rule: a pack sets one of them, and it stands in for both of an earlier pack.
FORMS = {
    "charges.penalty_markup_bps": "charges.penalty_rate_bps",
    "classification.probation_months": "classification.probation_days",
    "classification.after_plan_months": "classification.after_plan_days",
    "bad_debt.cure_probation_months": "bad_debt.cure_probation_days",
    "impairment.probation_months": "impairment.probation_days",
}


def other_form(rule: str) -> str | None:
    """Return the other form of a rule (`section.key`) that has two, None for one that has not."""
    return FORMS.get(rule) or next((key for key, other in FORMS.items() if other == rule), None)


def _one_form(key: str, other: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        if rules[key] and rules[other]:
            reason = f"This and {other} ({rules[other]}) are two forms of one rule, and both are set."
            yield RuleFault(key, "", reason, f"Leave out {other}, or this.")

    return check


def _floors(rules: Rules) -> Iterator[RuleFault]:
    key = "affordability.floors"
    places = [(floor["currency"], floor["region"]) for floor in rules[key]]
    for index, place in enumerate(places):
        if not (len(place[0]) == 3 and place[0].isascii() and place[0].isupper()):
            yield RuleFault(key, f"[{index}].currency", f"{place[0]!r} is not a currency.", "Use an ISO 4217 code.")
        if place in places[:index]:
            reason = f"The floor of {place[0]} in region {place[1]} stands here twice."
            yield RuleFault(key, f"[{index}]", reason, "Keep one of the two.")


def zone_remedy(name: str) -> str:
    """Return what to do about a time zone that does not exist, nothing for one that does."""
    with suppress(KeyError, ValueError, OSError):
        ZoneInfo(name)
        return ""
    remedy = nearest(name, available_timezones())
    return remedy if remedy.startswith("Did you mean") else "Use an IANA name such as Asia/Shanghai."


def _known_zone(key: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        if remedy := zone_remedy(rules[key]):
            yield RuleFault(key, "", f"{rules[key]!r} is not a time zone.", remedy)

    return check


def _known_calendar(rules: Rules) -> Iterator[RuleFault]:
    key = "business.holiday_calendar"
    if rules[key] is not None and not is_known(rules[key]):
        remedy = "Use a country (CN), one with its subdivision (DE-BY), a market (ECB), or null for weekdays only."
        yield RuleFault(key, "", f"{rules[key]!r} is not a calendar.", remedy)


def _lender(key: str) -> Check:
    def check(rules: Rules) -> Iterator[RuleFault]:
        for text in dict.fromkeys(rules[f"lender.{key}"].values()):
            if found := check_lender(key, text):
                yield RuleFault(f"lender.{key}", "", *found)

    return check


_CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("allocation.performing",), _waterfall("allocation.performing")),
    (("allocation.non_performing",), _waterfall("allocation.non_performing")),
    (("allocation.performing", "allocation.sweep"), _mixed("allocation.performing")),
    (("allocation.non_performing", "allocation.sweep"), _mixed("allocation.non_performing")),
    (("classification.thresholds",), _thresholds),
    (("classification.thresholds", "classification.distressed"), _distressed),
    *(((key, other), _one_form(key, other)) for key, other in FORMS.items()),
    (("contacts.from_hour", "contacts.to_hour"), _below("contacts.from_hour", "contacts.to_hour")),
    (("contacts.cap_days",), _least("contacts.cap_days", 1)),
    (("contacts.conversation_cap_days",), _least("contacts.conversation_cap_days", 1)),
    *(
        ((f"contacts.{key}",), _most(f"contacts.{key}", most, why))
        for key, most, why in (
            ("cap_days", REMEMBERED_DAYS - 1, "contacts are remembered for a month"),
            ("conversation_cap_days", REMEMBERED_DAYS - 1, "contacts are remembered for a month"),
            ("quiet_days_after_conversation", REMEMBERED_DAYS - 1, "contacts are remembered for a month"),
            ("cap", MOST_REMEMBERED, f"at most {MOST_REMEMBERED} contacts of a borrower are remembered"),
            ("conversation_cap", MOST_REMEMBERED, f"at most {MOST_REMEMBERED} contacts of a borrower are remembered"),
        )
    ),
    (("contacts.channels",), _unique("contacts.channels", "channel")),
    (("contacts.time_zone",), _known_zone("contacts.time_zone")),
    (("business.business_time_zone",), _known_zone("business.business_time_zone")),
    (("business.holiday_calendar",), _known_calendar),
    (
        ("impairment.stage2_over_days", "impairment.stage3_from_days"),
        _below("impairment.stage2_over_days", "impairment.stage3_from_days"),
    ),
    (("impairment.coverage_bps",), _coverage),
    (
        ("affordability.alpha_least_bps", "affordability.alpha_bps"),
        _not_above("affordability.alpha_least_bps", "affordability.alpha_bps"),
    ),
    (("affordability.floors",), _floors),
    (("affordability.sources",), _unique("affordability.sources", "source")),
    (("options.terms",), _ascending("options.terms", "term")),
    (("options.terms", "plans.max_term_months"), _some_term),
    (("options.rate_cuts_bps",), _ascending("options.rate_cuts_bps", "rate cut")),
    (("options.deferred_months",), _ascending("options.deferred_months", "deferral")),
    (("options.waivers",), _unique("options.waivers", "waiver")),
    (("options.shapes",), _unique("options.shapes", "shape")),
    (("offers.disclosures",), _unique("offers.disclosures", "disclosure")),
    (("offers.cost_disclosures",), _unique("offers.cost_disclosures", "disclosure")),
    *(((f"lender.{key}",), _lender(key)) for key in Lender.__struct_fields__),
)
