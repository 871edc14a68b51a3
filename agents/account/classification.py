"""Classes of an account under each classification of its policy, and the probation before a better one or a cure.

A class gets worse at once, better only through probation.
"""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents.account.day import DayFold
from schemas import events as ev
from state.account import AccountState, DistressedRestructuring
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


def classify(d: DayFold) -> None:
    """Emit the classes that changed at the close of a day."""
    s = d.s
    for rule in d.policy.classifications:
        measured = s.days_past_due_material if rule.material_counter else s.days_past_due
        now = s.classes.get(rule.policy, 0)
        to = max((i for i, t in enumerate(rule.thresholds) if measured >= t.from_days), default=0)
        reason = f"counter days {measured}" if rule.material_counter else f"days past due {measured}"
        if s.distressed_restructuring is not None and (least := _least_class(d, rule, s.distressed_restructuring)) > to:
            to, reason = (
                least,
                f"distressed restructuring with a loss of {s.distressed_restructuring.diminished_obligation_bps} bps",
            )
        since, better_on = probation_since(s, rule), earliest_upgrade(s, rule)
        # Without a probation a class is left at once, in arrears or not: days past due alone decide.
        was = d.renamed.get(rule.policy, rule.thresholds[now].name)
        if to < now and has_probation(s, rule) and not 0 < better_on <= d.day:
            to = now
        if rule.thresholds[to].name == was:
            continue
        reasons = [reason if to != now else "other rules"]
        if to < now:
            reasons.append(f"clean for {d.day - since} days" if since else "no probation")
        d.emit(
            ev.ClassificationChanged(
                **d.header,
                policy=rule.policy,
                from_=was,
                to=rule.thresholds[to].name,
                days_past_due=s.days_past_due,
                reasons=tuple(reasons),
            )
        )
        s.classes = {**s.classes, rule.policy: to}
        if to != now:
            s.class_since = {**s.class_since, rule.policy: d.day}
    # Arrears that come after the probation are judged by their days again.
    if s.distressed_restructuring is not None:
        now_served = (
            rule.policy
            for rule in d.policy.classifications
            if rule.policy in s.distressed_restructuring.served
            or not _in_probation(d, rule, s.distressed_restructuring)
        )
        s.distressed_restructuring = replace(s.distressed_restructuring, served=tuple(sorted(now_served)))


def _least_class(d: DayFold, rule: Classification, distressed: DistressedRestructuring) -> int:
    """Return the rank of the class that a distressed restructuring makes of the account, 0 for none."""
    if not rule.distressed or rule.policy in distressed.served or not _in_probation(d, rule, distressed):
        return 0
    return next((i for i, t in enumerate(rule.thresholds) if t.name == rule.distressed), 0)


def _in_probation(d: DayFold, rule: Classification, distressed: DistressedRestructuring) -> bool:
    """Return whether the probation after a distressed restructuring is still to be served under a classification."""
    if d.day <= distressed.since:
        return True
    if not has_probation(d.s, rule):
        return False
    since = probation_since(d.s, rule)
    return not since or d.day < max(earliest_upgrade(d.s, rule), since + 1)


def carry_over_classes(classes: dict[str, int], old: Policy, new: Policy) -> tuple[dict[str, int], dict[str, str]]:
    """Return the ranks of an account's classes where other rules take over, and names of classes that are no more.

    A class keeps its name; one that is no more becomes the last that begins no later. A classification that is no more
    is dropped.
    """
    before = {rule.policy: rule.thresholds for rule in old.classifications}
    found: dict[str, int] = {}
    renamed: dict[str, str] = {}
    for rule in new.classifications:
        if rule.policy in classes and rule.policy in before:
            was = before[rule.policy][classes[rule.policy]]
            same = [i for i, t in enumerate(rule.thresholds) if t.name == was.name]
            milder = [i for i, t in enumerate(rule.thresholds) if t.from_days <= was.from_days]
            found[rule.policy] = (same or milder)[-1]
            if not same:
                renamed[rule.policy] = was.name
    return found, renamed
