"""What a borrower reads with an offer: message, reasons, support, words of each option, disclosures, education items.

The words are those of the policy (`state.texts`); here is which of them an offer needs. They state no personal data.
What an offer has to disclose a policy names by keys (for cards in China: 信用卡办法 Art 70).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date

from msgspec import Struct

from agents.amounts import whole
from schemas import events as ev
from state.calendars import add_months
from state.policy import Charges, Options
from state.schedules import annual_cost_bps
from state.texts import Currency, Messages, Money, Rate, Value, disclosure_id
from state.texts import Locale as Locale

# Countries whose debt advice is named; elsewhere, what holds anywhere.
ADVISED = ("CN", "GB", "US")


class Occasion(Struct, frozen=True):
    """What an offer's message is about.

    kind: plan, pay_in_full, token, moratorium or referral. tone: neutral or supportive. count: options. until: the last
    day on which they can be accepted. codes: reasons. items: lessons by id. rules: how long a moratorium lasts, and the
    smallest instalment of a plan. owed: all that is owed. instalment: what a token offer asks for a month, minor units.
    """

    kind: str
    tone: str
    count: int
    until: date
    codes: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    offer_id: str = ""
    currency: str = ""
    rules: Options = Options()
    owed: int = 0
    instalment: int = 0


def message_of(about: Occasion, messages: Messages) -> str:
    """Return the message of an offer: what it is, which lessons go with it, and how to answer.

    A dispute is answered in its own words; that offers pause is said only where they do.
    """
    lender, said = messages.lender, []
    if name := lender.name.of(messages.locale):
        said.append(messages.format("offer-sender", lender=name))
    said.append(_body(about, messages))
    if about.items:
        said.append(messages.format("offer-lessons", titles=messages.listed(_quoted(about.items, messages))))
    if telephone := lender.telephone.of(messages.locale):
        said.append(messages.format("offer-telephone", telephone=telephone))
    if link := link_of(lender.reply_link.of(messages.locale), offer_id=about.offer_id):
        said.append(messages.format("offer-reply", link=link))
    return messages.joined(said)


def _body(about: Occasion, messages: Messages) -> str:
    supportive = about.tone == "supportive"
    if about.kind == "plan" and "income_assumed" in about.codes:
        return messages.format("offer-plan-income-assumed", count=about.count, until=about.until)
    if about.kind == "plan":
        return messages.format(
            "offer-plan-supportive" if supportive else "offer-plan", count=about.count, until=about.until
        )
    if about.kind == "pay_in_full":
        return messages.format("offer-pay-in-full", amount=Money(about.owed, about.currency))
    if about.kind == "token":
        return messages.format("offer-token", amount=Money(about.instalment, about.currency), until=about.until)
    if about.kind == "moratorium":
        return messages.format("offer-moratorium", months=about.rules.moratorium_months, until=about.until)
    if supportive and {"distress", "vulnerability"} & set(about.codes):
        return messages.format("offer-referral-supportive")
    return messages.format("offer-dispute" if "dispute" in about.codes else "offer-referral")


def _quoted(items: Iterable[str], messages: Messages) -> Iterator[str]:
    for title in titles_of(items, messages):
        yield messages.format("offer-lesson", title=title)


def titles_of(items: Iterable[str], messages: Messages) -> tuple[str, ...]:
    """Return the titles of lessons."""
    return tuple(messages.format(f"lesson-{_id(item)}") for item in items)


def lessons_of(items: Sequence[str], messages: Messages) -> tuple[ev.Lesson, ...]:
    """Return lessons with their titles, and where they can be read if the policy says so."""
    link = messages.lender.lessons_link.of(messages.locale)
    return tuple(
        ev.Lesson(item_id=item, title=title, link=link_of(link, item_id=item))
        for item, title in zip(items, titles_of(items, messages), strict=True)
    )


def lender_of(offer_id: str, messages: Messages) -> ev.LenderContact:
    """Return how the lender can be reached, as far as the policy says so."""
    lender, locale = messages.lender, messages.locale
    return ev.LenderContact(
        name=lender.name.of(locale),
        telephone=lender.telephone.of(locale),
        reply_link=link_of(lender.reply_link.of(locale), offer_id=offer_id),
        portal_link=lender.portal_link.of(locale),
        advice_link=lender.advice_link.of(locale),
    )


def reasons_of(codes: Iterable[str], about: Occasion, messages: Messages) -> tuple[str, ...]:
    """Return reasons in words, of what an offer is about."""
    amount, least = Money(about.owed, about.currency), Money(about.rules.minimum_instalment, about.currency)
    return tuple(
        messages.format(f"reason-{_id(code)}", count=about.count, amount=amount, least=least) for code in codes
    )


def support_of(
    codes: Sequence[str], kind: str, tone: str, jurisdictions: Iterable[str], messages: Messages
) -> tuple[str, ...]:
    """Return where there is support: the hotline always, a person and debt advice where a plan is not enough."""
    lender, locale = messages.lender, messages.locale
    telephone = lender.telephone.of(locale)
    said = [
        messages.format("support-hotline-telephone", telephone=telephone)
        if telephone
        else messages.format("support-hotline")
    ]
    if kind in ("referral", "token", "moratorium") or tone == "supportive":
        said.append(messages.format("support-person"))
    if "dispute" in codes:
        said.append(messages.format("support-dispute"))
    if {"income_change", "income_unknown", "expenses_unknown", "income_assumed"} & set(codes):
        said.append(messages.format("support-interview"))
    if link := lender.portal_link.of(locale):
        said.append(messages.format("support-portal", link=link))
    countries = sorted({j.partition("-")[0] for j in jurisdictions})
    said += [messages.format(f"advice-{c.lower() if c in ADVISED else 'anywhere'}") for c in countries]
    if link := lender.advice_link.of(locale):
        said.append(messages.format("advice-link", link=link))
    return tuple(dict.fromkeys(said))


def link_of(link: str, **values: str) -> str:
    """Return a link of the lender's with what its placeholders stand for."""
    for name, value in values.items():
        link = link.replace(f"{{{name}}}", value)
    return link


def _id(code: str) -> str:
    return code.replace("_", "-")


def label_of(option: ev.Option, deferred: int, currency: str, messages: Messages) -> str:
    """Return a short name for an option. deferred: how many months begin it without principal, 0 for none."""
    amount = Money(option.instalment_amount, currency)
    if option.shape != "deferred":
        return messages.format(f"option-label-{_id(option.shape)}", months=option.term_months, amount=amount)
    return messages.format(
        f"option-label-{_deferred(option)}", months=option.term_months, deferred=deferred, amount=amount
    )


def arrangement_label(
    kind: ev.Arrangement, months: int, amount: int, ends_on: date, currency: str, messages: Messages
) -> str:
    """Return a short name for an arrangement for a time."""
    if kind == "token":
        return messages.format("option-label-token", months=months, amount=Money(amount, currency))
    return messages.format("option-label-payment-holiday", until=ends_on)


def arrangement_reasons(kind: ev.Arrangement, ends_on: date, review_on: date, messages: Messages) -> tuple[str, ...]:
    """Return what an arrangement for a time is, for the borrower to read."""
    return (
        messages.format(f"option-reason-{_id(kind)}", until=ends_on),
        messages.format("option-reason-review", due_on=review_on),
    )


def reasons_for(
    option: ev.Option,
    rate_cut_bps: int,
    deferred: int,
    currency: str,
    messages: Messages,
    *,
    affordable: bool = True,
) -> tuple[str, ...]:
    """Return why an option is offered, for the borrower to read. affordable: their means are known, and allow it."""
    kind = "affordable" if affordable else "highest"
    said = [messages.format(f"option-reason-{kind}", amount=Money(option.instalment_amount, currency))]
    if rate_cut_bps == 10_000:
        said.append(messages.format("option-reason-interest-free"))
    elif rate_cut_bps:
        said.append(messages.format("option-reason-rate-cut", cut=Rate(rate_cut_bps)))
    forgiven = option.waived.penalty + option.waived.interest
    if forgiven:
        said.append(messages.format("option-reason-waived", amount=Money(forgiven, currency)))
    if option.shape == "deferred":
        said.append(messages.format(f"option-reason-{_deferred(option)}", deferred=deferred))
    if option.shape == "step_up":
        said.append(messages.format("option-reason-step-up"))
    if option.saves > 0:
        said.append(messages.format("option-reason-saves", amount=Money(option.saves, currency)))
    return tuple(said)


def _deferred(option: ev.Option) -> str:
    """Return whether the months that begin a deferred option ask for interest, or for nothing at all."""
    return "deferred" if option.instalments[0].amount else "deferred-free"


# What is said otherwise once one option is agreed.
AGREED = frozenset({"method_currency_dates_amounts", "fees_and_interest_going_on"})


class DisclosedTerms(Struct, frozen=True):
    """What is to be disclosed of a debt and of a way to repay it, the first of so many options.

    begins: the day from which it counts, a month before the first payment where that is not known. charges: what it
    costs not to pay, by the policy of the contract. review_on, ends_on: of an arrangement for a time.
    """

    balance: ev.Amounts
    currency: str
    instalments: tuple[ev.PlanInstalment, ...]
    annual_rate_bps: int
    broken_after_missed: int
    options: int = 1
    begins: date | None = None
    charges: Charges | None = None
    review_on: date | None = None
    ends_on: date | None = None


def disclosures_of(
    keys: Iterable[str], terms: DisclosedTerms, messages: Messages, *, agreed: bool = False
) -> dict[str, str]:
    """Return what the policy's keys want stated, of the recommended option of an offer or of what was agreed.

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
        "first": schedule[0].due_on if schedule else terms.ends_on or date.min,
        "last": schedule[-1].due_on if schedule else terms.ends_on or date.min,
        "most": Money(max((i.amount for i in schedule), default=0), currency),
        "rate": Rate(terms.annual_rate_bps),
        "charged": Money(charged, currency),
        "missed": terms.broken_after_missed,
        "options": terms.options,
        "financed": Money(sum(i.principal for i in schedule), currency),
        "cost": Rate(0 if terms.ends_on else cost_of(terms)),
    }
    if terms.ends_on is not None:
        figures |= {"until": terms.ends_on, "due_on": terms.review_on or terms.ends_on}
    said = {}
    for key in keys:
        name = f"agreed-{key.replace('_', '-')}" if agreed and key in AGREED else disclosure_id(key)
        if terms.ends_on is not None and messages.has(temporary := f"{disclosure_id(key)}-for-a-time"):
            name = temporary
        elif key == "fees_and_interest_going_on" and not charged:
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


# What may be read. Titles are messages of the policy; the lessons themselves belong to the notification service.
ITEMS = (
    "how_plans_work",
    "how_we_calculate",
    "is_it_genuine",
    "interest_and_fees",
    "budget_basics",
    "income_shock",
    "your_rights",
    "looking_after_yourself",
    "credit_record",
)

# Why an item is of use, in the order in which reasons are served.
FOR_REASON: dict[str, tuple[str, ...]] = {
    "distress": ("looking_after_yourself", "your_rights"),
    "vulnerability": ("looking_after_yourself", "your_rights"),
    "dispute": ("your_rights",),
    "distrust": ("is_it_genuine", "how_we_calculate", "your_rights"),
    "income_unknown": ("budget_basics", "how_we_calculate"),
    "expenses_unknown": ("budget_basics", "how_we_calculate"),
    "income_assumed": ("budget_basics", "how_we_calculate"),
    "income_change": ("income_shock",),
    "rate": ("interest_and_fees",),
    "too_high": ("budget_basics",),
    "too_long": ("interest_and_fees",),
    "no_surplus": ("income_shock", "budget_basics"),
    "below_minimum_instalment": ("budget_basics",),
    "nothing_affordable": ("budget_basics", "income_shock"),
}
MOST_ITEMS = 3


def items_for(reasons: Iterable[str], kind: str, completed: Collection[str]) -> tuple[str, ...]:
    """Return the ids of at most three items, by reason first, none that the borrower has completed."""
    wanted: list[str] = []
    for reason in reasons:
        wanted += FOR_REASON.get(reason, ())
    if kind == "plan":
        wanted += ("how_plans_work", "credit_record")
    return tuple([item for item in dict.fromkeys(wanted) if item not in completed][:MOST_ITEMS])
