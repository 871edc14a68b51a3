"""Probation: from when it runs, and when it is served."""

from __future__ import annotations

from datetime import date

from agents.account.day import DayFold
from state.account import AccountState
from state.calendars import add_months
from state.policy import Classification, Policy


def probation_end(since: int, days: int, months: int = 0) -> int:
    """Return the day (ordinal) on which a probation from a day on is served, by days or by calendar months."""
    return add_months(date.fromordinal(since), months).toordinal() if months else since + days


def arrears_free_for(d: DayFold, days: int, months: int = 0) -> bool:
    """Return whether the account has been without arrears for so long since its last ones."""
    return bool(d.s.arrears_free_since) and d.day >= probation_end(d.s.arrears_free_since, days, months)


def probation_since(s: AccountState, rule: Classification) -> int:
    """Return the day (ordinal) from which probation runs for a class, 0 while there are arrears.

    Where a distressed restructuring counts, it runs from that one at the earliest (EBA/GL/2016/07, para 72).
    """
    if s.arrears_free_since and rule.distressed and s.distressed_restructuring is not None:
        return max(s.arrears_free_since, s.distressed_restructuring.since)
    return s.arrears_free_since


def earliest_cure(s: AccountState, policy: Policy) -> int:
    """Return the first day (ordinal) on which a recognised debt may be cured, 0 while there are arrears.

    Its probation runs from the later of the end of arrears and the recognition. After a plan it also waits for what the
    classes wait for then.
    """
    if s.overdue_since:
        return 0
    rules, since = policy.bad_debt, max(s.arrears_free_since, s.bad_debt_on)
    after = max(since, s.forborne_on)
    days = [probation_end(since, rules.cure_probation_days, rules.cure_probation_months)]
    if s.had_plan:
        days += [probation_end(after, c.after_plan_days, c.after_plan_months) for c in policy.classifications]
    return max(days)


def has_probation(s: AccountState, rule: Classification) -> bool:
    """Return whether a class becomes better only after a time without arrears."""
    after_plan = s.had_plan and (rule.after_plan_days or rule.after_plan_months)
    return bool(rule.probation_days or rule.probation_months or after_plan)


def earliest_upgrade(s: AccountState, rule: Classification) -> int:
    """Return the first day (ordinal) on which a class may become better, 0 while there are arrears.

    After a plan its longer probation runs from the latest of the end of arrears, the plan with its grace period, and
    the day on which the present class began (EBA/GL/2016/07 para 73, kept by EBA/GL/2026/05).
    """
    since = probation_since(s, rule)
    if not since:
        return 0
    day = probation_end(since, rule.probation_days, rule.probation_months)
    if s.had_plan and (rule.after_plan_days or rule.after_plan_months):
        # Where a class counts distressed restructurings, other plans are no forbearance.
        measure = since if rule.distressed else max(since, s.forborne_on)
        classified = s.class_since.get(rule.policy, 0) if s.classes.get(rule.policy) else 0
        after = max(measure, classified)
        day = max(day, probation_end(after, rule.after_plan_days, rule.after_plan_months))
    return day
