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
from state.pack_problem import nearest

STEPS = tuple(
    f"{timing}.{component}"
    for timing in ("past_due", "due", "advance")
    for component in ("penalty", "fees", "interest", "principal")
)

Rules = Mapping[str, Any]


class Finding(Struct, frozen=True):
    """A rule at fault. inside: the place within its value, such as `[2].from_days`."""

    rule: str
    inside: str
    reason: str
    remedy: str


Check = Callable[[Rules], Iterator[Finding]]


def check_rules(rules: Rules) -> Iterator[Finding]:
    """Yield what does not fit among rules (`section.key` -> value), each of which is valid on its own."""
    for needed, check in _CHECKS:
        if all(key in rules for key in needed):
            yield from check(rules)


def _waterfall(key: str) -> Check:
    def check(rules: Rules) -> Iterator[Finding]:
        yield from _repeated(key, rules[key], "step")
        missing = [step for step in STEPS if step not in rules[key]]
        if missing:
            reason = f"The waterfall lacks {', '.join(missing)}."
            yield Finding(key, "", reason, f"Name each of the {len(STEPS)} steps once.")

    return check


def _unique(key: str, noun: str) -> Check:
    return lambda rules: _repeated(key, rules[key], noun)


def _repeated(key: str, values: Sequence[Any], noun: str) -> Iterator[Finding]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Finding(key, f"[{index}]", f"The {noun} {value} stands here twice.", "Keep one of the two.")


def _ascending(key: str, noun: str) -> Check:
    def check(rules: Rules) -> Iterator[Finding]:
        for index, (before, after) in enumerate(pairwise(rules[key]), 1):
            if after <= before:
                reason = f"The {noun} {after} is not above {before}, which stands before it."
                yield Finding(key, f"[{index}]", reason, "Write them in ascending order, each once.")

    return check


def _thresholds(rules: Rules) -> Iterator[Finding]:
    key = "classification.thresholds"
    thresholds = rules[key]
    if not thresholds:
        yield Finding(key, "", "There is no class.", "Name the best class with `from_days: 0`.")
        return
    if thresholds[0]["from_days"] != 0:
        reason = f"The best class, {thresholds[0]['name']}, starts at {thresholds[0]['from_days']} days."
        yield Finding(key, "[0].from_days", reason, "Start the best class at 0 days.")
    for index, (before, after) in enumerate(pairwise(thresholds), 1):
        if after["from_days"] <= before["from_days"]:
            reason = f"{after['name']} starts at {after['from_days']} days, {before['name']} at {before['from_days']}."
            yield Finding(key, f"[{index}].from_days", reason, "Write the classes best first, with ascending days.")
    names = [threshold["name"] for threshold in thresholds]
    for finding in _repeated(key, names, "class"):
        yield Finding(key, f"{finding.inside}.name", finding.reason, finding.remedy)


def _distressed(rules: Rules) -> Iterator[Finding]:
    key = "classification.distressed"
    worse = [threshold["name"] for threshold in rules["classification.thresholds"][1:]]
    if rules[key] and rules[key] not in worse:
        reason = f"{rules[key]!r} is no class below the best one."
        yield Finding(key, "", reason, nearest(rules[key], worse) if worse else "Leave it out.")


def _least(key: str, least: int) -> Check:
    def check(rules: Rules) -> Iterator[Finding]:
        if rules[key] < least:
            yield Finding(key, "", f"{rules[key]} is too small.", f"Give a whole number of at least {least}.")

    return check


def _not_above(low: str, high: str) -> Check:
    def check(rules: Rules) -> Iterator[Finding]:
        if rules[low] > rules[high]:
            reason = f"{rules[low]} is above {high}, which is {rules[high]}."
            yield Finding(low, "", reason, f"Lower it, or raise {high}.")

    return check


def _below(low: str, high: str) -> Check:
    def check(rules: Rules) -> Iterator[Finding]:
        if rules[low] >= rules[high]:
            reason = f"{rules[low]} is not below {high}, which is {rules[high]}."
            yield Finding(low, "", reason, f"Lower it, or raise {high}.")

    return check


def _coverage(rules: Rules) -> Iterator[Finding]:
    key = "impairment.coverage_bps"
    for index, (before, after) in enumerate(pairwise(rules[key]), 1):
        if after < before:
            reason = f"Stage {index + 1} is covered by {after} bps, stage {index} by {before}."
            yield Finding(key, f"[{index}]", reason, "Cover a worse stage by no less.")


def _some_term(rules: Rules) -> Iterator[Finding]:
    terms, longest = rules["options.terms"], rules["plans.max_term_months"]
    if not terms or min(terms) > longest:
        reason = f"No term is within plans.max_term_months, which is {longest}."
        yield Finding("options.terms", "", reason, f"Add a term of at most {longest} months.")


def _floors(rules: Rules) -> Iterator[Finding]:
    key = "affordability.floors"
    places = [(floor["currency"], floor["region"]) for floor in rules[key]]
    for index, place in enumerate(places):
        if not (len(place[0]) == 3 and place[0].isascii() and place[0].isupper()):
            yield Finding(key, f"[{index}].currency", f"{place[0]!r} is not a currency.", "Use an ISO 4217 code.")
        if place in places[:index]:
            reason = f"The floor of {place[0]} in region {place[1]} stands here twice."
            yield Finding(key, f"[{index}]", reason, "Keep one of the two.")


def zone_remedy(name: str) -> str:
    """Return what to do about a time zone that does not exist, nothing for one that does."""
    with suppress(KeyError, ValueError, OSError):
        ZoneInfo(name)
        return ""
    remedy = nearest(name, available_timezones())
    return remedy if remedy.startswith("Did you mean") else "Use an IANA name such as Asia/Shanghai."


def _zone(key: str) -> Check:
    def check(rules: Rules) -> Iterator[Finding]:
        if remedy := zone_remedy(rules[key]):
            yield Finding(key, "", f"{rules[key]!r} is not a time zone.", remedy)

    return check


def _calendar(rules: Rules) -> Iterator[Finding]:
    key = "business.holiday_calendar"
    if rules[key] is not None and not is_known(rules[key]):
        remedy = "Use a country (CN), one with its subdivision (DE-BY), a market (ECB), or null for weekdays only."
        yield Finding(key, "", f"{rules[key]!r} is not a calendar.", remedy)


_CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("allocation.performing",), _waterfall("allocation.performing")),
    (("allocation.non_performing",), _waterfall("allocation.non_performing")),
    (("classification.thresholds",), _thresholds),
    (("classification.thresholds", "classification.distressed"), _distressed),
    (("contacts.from_hour", "contacts.to_hour"), _below("contacts.from_hour", "contacts.to_hour")),
    (("contacts.cap_days",), _least("contacts.cap_days", 1)),
    (("contacts.channels",), _unique("contacts.channels", "channel")),
    (("contacts.time_zone",), _zone("contacts.time_zone")),
    (("business.business_time_zone",), _zone("business.business_time_zone")),
    (("business.holiday_calendar",), _calendar),
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
)
