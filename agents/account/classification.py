"""The class of an account under each classification of its policy: worse at once, better only through probation."""

from __future__ import annotations

from msgspec.structs import replace

from agents.account.day import DayFold
from agents.account.probation import earliest_upgrade, has_probation, probation_since
from schemas import events as ev
from state.account import DistressedRestructuring
from state.policy import Classification, Policy


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
