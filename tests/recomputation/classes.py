"""The classes of an account at a close (docs/rules.md, 9)."""

from __future__ import annotations

from state.policy import Classification
from tests.recomputation.account import Account, Class


def classes(a: Account) -> None:
    """Report another class."""
    named = {c.policy for c in a.policy.classifications}
    a.classes = {name: known for name, known in a.classes.items() if name in named}
    for c in a.policy.classifications:
        first = c.thresholds[0]
        new = Class(first.name, first.from_days, a.today, distressed=bool(a.distressed_from))
        known = a.classes.setdefault(c.policy, new)
        said = known.name
        names = [t.name for t in c.thresholds]
        if known.name not in names:
            known.name = [t.name for t in c.thresholds if t.from_days <= known.from_days][-1]
            said = said if known.reported else known.name
        index = names.index(known.name)
        now = _index(a, c, known)
        if now > index or (now < index and _better(a, c, known)):
            known.begun = a.today
            index = now
        known.name, known.from_days = names[index], c.thresholds[index].from_days
        if known.name != said:
            known.reported = True
            a.say("ClassificationChanged", policy=c.policy, from_=said, to=known.name, days_past_due=a.dpd)


def _index(a: Account, c: Classification, known: Class) -> int:
    """Return the class of the day's measures: by days, and at least the one of a distressed restructuring."""
    days = a.counter_days if c.material_counter else a.dpd
    index = max(n for n, t in enumerate(c.thresholds) if t.from_days <= days or n == 0)
    if known.distressed and a.today > a.distressed_from and _better(a, c, known):
        known.distressed = False
    if known.distressed and c.distressed:
        index = max(index, [t.name for t in c.thresholds].index(c.distressed))
    return index


def _better(a: Account, c: Classification, known: Class) -> bool:
    """Say whether the probation before a better class is served."""
    probation = c.probation_days or c.probation_months
    if (a.arrears or a.deferring) and (probation or (a.had_plan and (c.after_plan_days or c.after_plan_months))):
        return False
    since = max(a.clean_since, a.distressed_from) if c.distressed else a.clean_since
    if not a.served(since, c.probation_days, c.probation_months):
        return False
    if not a.had_plan or not (c.after_plan_days or c.after_plan_months):
        return True
    measure = a.distressed_from if c.distressed else a.plan_from
    begun = known.begun if known.name != c.thresholds[0].name else 0
    after = max(a.clean_since, measure, begun)
    return a.served(after, c.after_plan_days, c.after_plan_months)


def best(a: Account) -> bool:
    """Say whether the account has the best class everywhere."""
    return all(a.classes[c.policy].name == c.thresholds[0].name for c in a.policy.classifications)
