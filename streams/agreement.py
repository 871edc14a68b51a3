"""A repayment agreement as a page that a borrower can keep: all that was agreed, from the event that made it.

The clauses are those that were recorded when the plan was accepted, word for word. In another language they are a
translation, and say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from msgspec.structs import replace

from agents.amounts import PARTS
from agents.planner.offer_texts import DisclosedTerms, disclosures_of, headings_of
from schemas import events as ev
from state.account import AccountState
from state.policy import Policy, PolicyBook
from state.texts import Currency, Lender, Locale, Localised, Messages, Money, messages_of

_PAGES = Environment(
    loader=PackageLoader("streams", "pages"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def agreement(
    plan: ev.PlanActivated,
    locale: Locale | None = None,
    lender: str = "",
    adjusted: ev.PlanScheduleAdjusted | None = None,
    recording: str | None = None,
    policy: Policy | None = None,
    jurisdiction: str = "",
    account: AccountState | None = None,
) -> str:
    """Return the agreement as HTML, without script and without any other host.

    locale: None for the language in which it was made. lender: the lender's name, if it is to be another than the
    policy's. adjusted: what the account said of its schedule when the plan began, if it said anything. account: knows
    to which dates a pause moved what is still to be paid. recording: where that of an oral agreement is kept. policy,
    jurisdiction: whose words these are, and where the account is; the package's words, and those of no place, unless
    said.
    """
    said: Locale = "zh" if plan.locale == "zh" else "en"
    shown = locale or said
    messages = policy.messages(shown, jurisdiction) if policy else messages_of(Localised(), Lender(), shown)
    balance = plan.balance or _financed(plan)
    clauses = plan.clauses
    if shown != said:
        terms = DisclosedTerms(
            balance,
            plan.currency,
            plan.instalments,
            plan.annual_rate_bps,
            plan.broken_after_missed,
            begins=plan.activated_on,
            charges=policy.charges if policy else None,
            review_on=plan.review_on,
            ends_on=plan.ends_on,
        )
        clauses = disclosures_of(plan.clauses, terms, messages, agreed=True)
    structure = {p: (getattr(balance, p), getattr(plan.waived, p)) for p in PARTS}
    return _PAGES.get_template("agreement.html").render(
        say=messages.format,
        currency=Currency(plan.currency),
        language="zh-CN" if shown == "zh" else "en",
        translated=shown != said,
        plan=plan,
        lender=lender or messages.lender.name.of(shown),
        telephone=messages.lender.telephone.of(shown),
        recording=recording or plan.recording_ref,
        clauses=clauses,
        headings=headings_of(clauses, messages),
        structure=structure,
        sums=[sum(column) for column in zip(*structure.values(), strict=True)],
        schedules=[
            (title, note, _rows(instalments), sum(i.amount for i in instalments))
            for title, note, instalments in _schedules(plan, adjusted, account, messages)
        ],
        number=lambda amount: messages.number(amount, plan.currency),
        day=messages.day,
        rate=messages.rate,
    )


def policy_of(plan: ev.PlanActivated, account: AccountState, policies: PolicyBook) -> Policy:
    """Return the policy in whose words an agreement was made: the account's on the day."""
    day = (plan.agreed_on or plan.activated_on).toordinal()
    return policies.in_force_on(day).policy_for(account.jurisdiction, account.product, account.currency)


def recording_of(plan: ev.PlanActivated, history: Iterable[ev.Event]) -> str | None:
    """Return where the recording of a plan's oral agreement is kept, by what its borrower answered."""
    answers = (e for e in history if isinstance(e, ev.OfferAnswered) and e.answer == "accepted")
    return next((e.recording_ref for e in answers if e.offer_id == plan.offer_id and e.recording_ref), None)


def standing(
    events: Iterable[ev.Event],
) -> tuple[list[ev.PlanActivated], dict[str, ev.PlanScheduleAdjusted]]:
    """Return the plans of an account's history, and what was said of the schedules of those that were adjusted."""
    known = list(events)
    plans = [e for e in known if isinstance(e, ev.PlanActivated)]
    return plans, {e.plan_id: e for e in known if isinstance(e, ev.PlanScheduleAdjusted)}


def current(
    plan: ev.PlanActivated, adjusted: ev.PlanScheduleAdjusted | None, account: AccountState | None
) -> tuple[ev.PlanInstalment, ...]:
    """Return the schedule of a plan as it stands: a pause moves what is not paid yet."""
    instalments = plan.instalments if adjusted is None else adjusted.instalments
    if account is None or account.plan is None or account.plan.plan_id != plan.plan_id:
        return instalments
    dues = {r.number: date.fromordinal(r.due) for r in account.receivables if r.plan}
    return tuple(replace(i, due_on=dues.get(i.number, i.due_on)) for i in instalments)


def _schedules(
    plan: ev.PlanActivated, adjusted: ev.PlanScheduleAdjusted | None, account: AccountState | None, messages: Messages
) -> Iterator[tuple[str, str, tuple[ev.PlanInstalment, ...]]]:
    currency = Currency(plan.currency)
    if plan.instalments:
        yield messages.format("agreement-schedule", currency=currency), "", plan.instalments
    now = current(plan, adjusted, account)
    notes = [] if adjusted is None else [*_notes(plan, adjusted, messages)]
    if now != current(plan, adjusted, None):
        notes.append(messages.format("agreement-postponed"))
    if adjusted is not None or notes:
        yield messages.format("agreement-schedule-now", currency=currency), messages.joined(notes), now


def _notes(plan: ev.PlanActivated, adjusted: ev.PlanScheduleAdjusted, messages: Messages) -> Iterator[str]:
    """Yield what the borrower has to know of a schedule that differs from the one that was agreed."""
    most = max((i.amount for i in plan.instalments), default=0)
    how = "less" if adjusted.difference < 0 else ""
    if adjusted.difference > adjusted.forgiven:
        how = "more" if len(adjusted.instalments) > adjusted.agreed else "onto-last"
        if any(i.amount > most for i in adjusted.instalments):
            how = "spread"
    if how:
        yield messages.format(f"agreement-{how}", amount=Money(abs(adjusted.difference), plan.currency))
    if adjusted.forgiven:
        yield messages.format("agreement-forgiven", amount=Money(adjusted.forgiven, plan.currency))
    for bill in adjusted.beside:
        amount = Money(bill.principal + bill.interest + bill.fees, plan.currency)
        yield messages.format("agreement-beside", amount=amount, due_on=bill.due_on)


def _rows(instalments: Sequence[ev.PlanInstalment]) -> list[tuple[ev.PlanInstalment, int]]:
    """Return the instalments, each with the principal that is left after it."""
    left = sum(i.principal for i in instalments)
    rows = []
    for i in instalments:
        left -= i.principal
        rows.append((i, left))
    return rows


def _financed(plan: ev.PlanActivated) -> ev.Amounts:
    """Return what a plan of an earlier release must have been made for; it did not say its balance."""
    w = plan.waived
    financed = sum(i.principal for i in plan.instalments)
    return ev.Amounts(principal=financed + w.principal, interest=w.interest, fees=w.fees, penalty=w.penalty)
