"""The rules of one kind of account on each day, with what is computed from them once."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from state.policy import Policy

# Sections of a policy from which nothing follows for an account: those of the planner and the learner.
OF_OTHERS = frozenset({"name", "version", "affordability", "offers", "contacts", "learning", "lender", "texts"})
_OF_ACCOUNTS = tuple(name for name in Policy.__struct_fields__ if name not in OF_OTHERS)


class Rules:
    """A policy with what can be computed from it once, and those that take its place.

    later: rules that apply from a business date (ordinal) on, in the order of these. changes: the days of those that
    differ for an account from the rules of the day before. zone: of business dates; a change of policy leaves it, since
    it would move facts to other days.
    """

    __slots__ = ("changes", "counter_thresholds", "later", "pausing", "policy", "thresholds", "zone")

    def __init__(self, policy: Policy, later: tuple[tuple[int, Rules], ...] = ()) -> None:
        self.policy = policy
        self.later = later
        before = (policy, *(other.policy for _, other in later))
        self.changes = tuple(
            first for (first, rules), old in zip(later, before, strict=False) if differs(old, rules.policy)
        )
        # The kinds of hold that pause, each from a day on.
        self.pausing = tuple(
            (first, rules.delinquency.pausing_holds)
            for first, rules in ((0, policy), *((first, other.policy) for first, other in later))
        )
        self.zone = ZoneInfo(policy.business_time_zone)
        grace, bad, stages = policy.delinquency.grace_days, policy.bad_debt, policy.impairment
        days = {
            grace + 1,
            31,
            61,
            91,
            stages.stage2_over_days + 1,
            stages.stage3_from_days,
            bad.days_past_due_over + 1,
            policy.plans.request_over_days + 1,
        }
        if bad.charge_off_after is not None:
            days.add(bad.charge_off_after)
        counter: set[int] = set()
        for rule in policy.classifications:
            (counter if rule.material_counter else days).update(t.from_days for t in rule.thresholds)
        self.thresholds = tuple(sorted(d for d in days if d > 0))
        self.counter_thresholds = tuple(sorted(d for d in counter if d > 0))

    def in_force_on(self, day: int) -> Rules:
        """Return the rules that apply on a business date."""
        rules = self
        for first, other in self.later:
            if day < first:
                break
            rules = other
        return rules

    def next_stop(self, after: int) -> int | None:
        """Return the next day that is folded whatever happens on it: rules end with it, or others begin."""
        return next((day for first in self.changes for day in (first - 1, first) if day > after), None)

    def changes_between(self, after: int, through: int) -> bool:
        """Return whether rules of an account change behind a business date (ordinals), through another."""
        return any(after < first <= through for first in self.changes)


def differs(one: Policy, other: Policy) -> bool:
    """Return whether two policies may judge an account otherwise."""
    return any(getattr(one, name) != getattr(other, name) for name in _OF_ACCOUNTS)
