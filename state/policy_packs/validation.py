"""Rules that must fit together: what no single type can say.

A check runs wherever all the rules that it is about are present: in one pack as it is read, and over all
packs of a policy once they are merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


def check_rules(rules: Rules) -> Iterator[RuleFault]:
    """Yield what does not fit among rules (`section.key` -> value), each of which is valid on its own."""
    for check, keys, *more in _CHECKS:
        if all(key in rules for key in keys):
            yield from check(rules, *keys, *more)


def _waterfall(rules: Rules, key: str) -> Iterator[RuleFault]:
    yield from _unique(rules, key, "step")
    missing = [step for step in STEPS if step not in rules[key]]
    if missing:
        reason = f"The waterfall lacks {', '.join(missing)}."
        yield RuleFault(key, "", reason, f"Name each of the {len(STEPS)} steps once.")


def _mixed(rules: Rules, key: str, sweep: str) -> Iterator[RuleFault]:
    """Refuse a waterfall whose timings are mixed where they cannot be paid in the order in which they are written.

    Steps of `advance` always run instalment by instalment, and under the sweep `instalment` so do all: the steps of a
    timing are then one block, and what stands between them has no place.
    """
    ended, before = set[str](), ""
    for index, step in enumerate(rules[key]):
        timing = step.partition(".")[0]
        if timing != before:
            ended.add(before)
        if timing in ended and (rules[sweep] == "instalment" or timing == "advance"):
            why = "under the sweep instalment" if rules[sweep] == "instalment" else "under any sweep"
            reason = f"{step} stands behind steps of {before}: {why} the steps of {timing} are paid as one block."
            remedy = f"Write the steps of {timing} one behind the other"
            remedy += "." if timing == "advance" else ", or set allocation.sweep to component."
            yield RuleFault(key, f"[{index}]", reason, remedy)
            return
        before = timing


def _unique(rules: Rules, key: str, noun: str) -> Iterator[RuleFault]:
    yield from _repeated(key, rules[key], noun)


def _repeated(key: str, values: Sequence[Any], noun: str) -> Iterator[RuleFault]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield RuleFault(key, f"[{index}]", f"The {noun} {value} stands here twice.", "Keep one of the two.")


def _ascending(rules: Rules, key: str, noun: str) -> Iterator[RuleFault]:
    for index, (before, after) in enumerate(pairwise(rules[key]), 1):
        if after <= before:
            reason = f"The {noun} {after} is not above {before}, which stands before it."
            yield RuleFault(key, f"[{index}]", reason, "Write them in ascending order, each once.")


def _thresholds(rules: Rules, key: str) -> Iterator[RuleFault]:
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


def _distressed(rules: Rules, thresholds: str, key: str) -> Iterator[RuleFault]:
    worse = [threshold["name"] for threshold in rules[thresholds][1:]]
    if rules[key] and rules[key] not in worse:
        reason = f"{rules[key]!r} is no class below the best one."
        yield RuleFault(key, "", reason, nearest(rules[key], worse) if worse else "Leave it out.")


def _least(rules: Rules, key: str, least: int) -> Iterator[RuleFault]:
    if rules[key] < least:
        yield RuleFault(key, "", f"{rules[key]} is too small.", f"Give a whole number of at least {least}.")


def _most(rules: Rules, key: str, most: int, why: str) -> Iterator[RuleFault]:
    if rules[key] > most:
        yield RuleFault(key, "", f"{rules[key]} is too large: {why}.", f"Give a whole number of at most {most}.")


def _not_above(rules: Rules, low: str, high: str) -> Iterator[RuleFault]:
    if rules[low] > rules[high]:
        reason = f"{rules[low]} is above {high}, which is {rules[high]}."
        yield RuleFault(low, "", reason, f"Lower it, or raise {high}.")


def _below(rules: Rules, low: str, high: str) -> Iterator[RuleFault]:
    if rules[low] >= rules[high]:
        reason = f"{rules[low]} is not below {high}, which is {rules[high]}."
        yield RuleFault(low, "", reason, f"Lower it, or raise {high}.")


def _coverage(rules: Rules, key: str) -> Iterator[RuleFault]:
    for index, (before, after) in enumerate(pairwise(rules[key]), 1):
        if after < before:
            reason = f"Stage {index + 1} is covered by {after} bps, stage {index} by {before}."
            yield RuleFault(key, f"[{index}]", reason, "Cover a worse stage by no less.")


def _some_term(rules: Rules, key: str, longest: str) -> Iterator[RuleFault]:
    if not rules[key] or min(rules[key]) > rules[longest]:
        reason = f"No term is within {longest}, which is {rules[longest]}."
        yield RuleFault(key, "", reason, f"Add a term of at most {rules[longest]} months.")


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


def _one_form(rules: Rules, key: str, other: str) -> Iterator[RuleFault]:
    if rules[key] and rules[other]:
        reason = f"This and {other} ({rules[other]}) are two forms of one rule, and both are set."
        yield RuleFault(key, "", reason, f"Leave out {other}, or this.")


def _floors(rules: Rules, key: str) -> Iterator[RuleFault]:
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


def _known_zone(rules: Rules, key: str) -> Iterator[RuleFault]:
    if remedy := zone_remedy(rules[key]):
        yield RuleFault(key, "", f"{rules[key]!r} is not a time zone.", remedy)


def _known_calendar(rules: Rules, key: str) -> Iterator[RuleFault]:
    if rules[key] is not None and not is_known(rules[key]):
        remedy = "Use a country (CN), one with its subdivision (DE-BY), a market (ECB), or null for weekdays only."
        yield RuleFault(key, "", f"{rules[key]!r} is not a calendar.", remedy)


def _lender(rules: Rules, key: str) -> Iterator[RuleFault]:
    for text in dict.fromkeys(rules[key].values()):
        if found := check_lender(key.removeprefix("lender."), text):
            yield RuleFault(key, "", *found)


_MONTH = REMEMBERED_DAYS - 1, "contacts are remembered for a month"
_CONTACTS = MOST_REMEMBERED, f"at most {MOST_REMEMBERED} contacts of a borrower are remembered"
# Each check, the keys that it needs, and what else it is told.
_CHECKS: tuple[tuple[Any, ...], ...] = (
    (_waterfall, ("allocation.performing",)),
    (_waterfall, ("allocation.non_performing",)),
    (_mixed, ("allocation.performing", "allocation.sweep")),
    (_mixed, ("allocation.non_performing", "allocation.sweep")),
    (_thresholds, ("classification.thresholds",)),
    (_distressed, ("classification.thresholds", "classification.distressed")),
    *((_one_form, both) for both in FORMS.items()),
    (_below, ("contacts.from_hour", "contacts.to_hour")),
    (_least, ("contacts.cap_days",), 1),
    (_least, ("contacts.conversation_cap_days",), 1),
    (_most, ("contacts.cap_days",), *_MONTH),
    (_most, ("contacts.conversation_cap_days",), *_MONTH),
    (_most, ("contacts.quiet_days_after_conversation",), *_MONTH),
    (_most, ("contacts.cap",), *_CONTACTS),
    (_most, ("contacts.conversation_cap",), *_CONTACTS),
    (_unique, ("contacts.channels",), "channel"),
    (_known_zone, ("contacts.time_zone",)),
    (_known_zone, ("business.business_time_zone",)),
    (_known_calendar, ("business.holiday_calendar",)),
    (_below, ("impairment.stage2_over_days", "impairment.stage3_from_days")),
    (_coverage, ("impairment.coverage_bps",)),
    (_not_above, ("affordability.alpha_least_bps", "affordability.alpha_bps")),
    (_floors, ("affordability.floors",)),
    (_unique, ("affordability.sources",), "source"),
    (_ascending, ("options.terms",), "term"),
    (_some_term, ("options.terms", "plans.max_term_months")),
    (_ascending, ("options.rate_cuts_bps",), "rate cut"),
    (_ascending, ("options.deferred_months",), "deferral"),
    (_unique, ("options.waivers",), "waiver"),
    (_unique, ("options.shapes",), "shape"),
    (_unique, ("offers.disclosures",), "disclosure"),
    (_unique, ("offers.cost_disclosures",), "disclosure"),
    *((_lender, (f"lender.{key}",)) for key in Lender.__struct_fields__),
)
