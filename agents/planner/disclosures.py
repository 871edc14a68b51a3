"""Disclosures: what an offer has to state, by the keys that a policy names (for cards in China: 信用卡办法 Art 70)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from msgspec import Struct

from agents.amounts import whole
from schemas import events as ev
from state.calendars import add_months
from state.policy import Charges
from state.present_value import annual_cost_bps
from state.texts import Currency, Messages, Money, Rate, Value, disclosure_id

# What is said otherwise once one option is agreed.
AGREED = frozenset({"method_currency_dates_amounts", "fees_and_interest_going_on"})


class DisclosedTerms(Struct, frozen=True):
    """What is to be disclosed of a debt and of a way to repay it, the first of so many options.

    begins: the day from which it counts, a month before the first payment where that is not known. charges: what it
    costs not to pay, by the policy of the contract.
    """

    balance: ev.Amounts
    currency: str
    instalments: tuple[ev.PlanInstalment, ...]
    annual_rate_bps: int
    broken_after_missed: int
    options: int = 1
    begins: date | None = None
    charges: Charges | None = None


def disclosures_of(
    keys: Iterable[str], terms: DisclosedTerms, messages: Messages, *, agreed: bool = False
) -> dict[str, str]:
    """Return what the policy's keys want stated, of the leading option of an offer or of what was agreed.

    A key that has no text is stated by name, so that it is seen to be missing and not left out.
    """
    owed, currency = terms.balance, terms.currency
    # One that asks for nothing, as the first of a deferred plan without interest do, is not due.
    schedule = [i for i in terms.instalments if i.amount]
    charged = sum(i.interest for i in schedule)
    figures: dict[str, Value] = {
        "principal": Money(owed.principal, currency),
        "interest": Money(owed.interest, currency),
        "fees": Money(owed.fees, currency),
        "penalty": Money(owed.penalty, currency),
        "owed": Money(whole(owed), currency),
        "currency": Currency(currency),
        "count": len(schedule),
        "first": schedule[0].due_on,
        "last": schedule[-1].due_on,
        "most": Money(max(i.amount for i in schedule), currency),
        "rate": Rate(terms.annual_rate_bps),
        "charged": Money(charged, currency),
        "missed": terms.broken_after_missed,
        "options": terms.options,
        "financed": Money(sum(i.principal for i in schedule), currency),
        "cost": Rate(cost_of(terms)),
    }
    said = {}
    for key in keys:
        name = f"agreed-{key.replace('_', '-')}" if agreed and key in AGREED else disclosure_id(key)
        if key == "fees_and_interest_going_on" and not charged:
            name += "-free"
        said[key] = messages.format(name, **figures) if messages.has(name) else key
        if key == "contingent_cost" and messages.has(name):
            between = "" if messages.locale == "zh" else " "
            said[key] = between.join([said[key], *_contingent(terms, messages)])
    return said


def cost_of(terms: DisclosedTerms) -> int:
    """Return the annual cost of a way to repay, in basis points: of all that is paid when all is paid in time.

    Months are counted whole, so that a payment that is due a few days later than in a month costs no less.
    """
    schedule = sorted((i for i in terms.instalments if i.amount), key=lambda i: i.due_on)
    begins = terms.begins or add_months(schedule[0].due_on, -1)
    payments = [(max(1, _months(begins, i.due_on)), i.amount) for i in schedule]
    return annual_cost_bps(sum(i.principal for i in schedule), payments)


def _months(begins: date, due: date) -> int:
    months = (due.year - begins.year) * 12 + due.month - begins.month
    return months if add_months(begins, months) <= due else months - 1


def _contingent(terms: DisclosedTerms, messages: Messages) -> list[str]:
    """Return what is charged, by the contract, where a payment is missed and no plan stands any more."""
    charges, said = terms.charges or Charges(), list[str]()
    if not charges.cap_bps:
        return [messages.format("contingent-none")]
    if charges.penalty_markup_bps:
        said.append(messages.format("contingent-penalty-markup", markup=Rate(charges.penalty_markup_bps)))
    elif charges.penalty_rate_bps:
        said.append(messages.format("contingent-penalty-rate", rate=Rate(charges.penalty_rate_bps)))
    if said and charges.penalty_on_interest:
        said.append(messages.format("contingent-penalty-on-interest"))
    flat, share = Money(charges.late_fee_flat, terms.currency), Rate(charges.late_fee_bps)
    if charges.late_fee_flat and charges.late_fee_bps:
        said.append(messages.format("contingent-late-fee-both", fees=flat, late=share))
    elif charges.late_fee_flat:
        said.append(messages.format("contingent-late-fee-flat", fees=flat))
    elif charges.late_fee_bps:
        said.append(messages.format("contingent-late-fee-share", late=share))
    if charges.late_fee_cap and charges.late_fee_flat + charges.late_fee_bps:
        said.append(messages.format("contingent-late-fee-most", most=Money(charges.late_fee_cap, terms.currency)))
    if said:
        said.append(messages.format("contingent-cap", cap=Rate(charges.cap_bps)))
    return said or [messages.format("contingent-none")]


def headings_of(keys: Iterable[str], messages: Messages) -> dict[str, str]:
    """Return the heading of each disclosure that has one."""
    names = {key: f"{disclosure_id(key)}-heading" for key in keys}
    return {key: messages.format(name) for key, name in names.items() if messages.has(name)}
