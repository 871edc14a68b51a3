"""What a borrower reads with an offer: the message, its reasons, where there is support, and the words of each option.

The words are those of the policy (`state.texts`); here is which of them an offer needs. They state no personal data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from msgspec import Struct

from schemas import events as ev
from state.policy import Options
from state.texts import Locale as Locale
from state.texts import Messages, Money, Rate

# Countries whose debt advice is named; elsewhere, what holds anywhere.
ADVISED = ("CN", "GB", "US")


class Occasion(Struct, frozen=True):
    """What an offer's message is about.

    kind: plan, pay_in_full, token, moratorium or referral. tone: neutral or supportive. count: options. until: the last
    day on which they can be accepted. codes: reasons. items: lessons by id. rules: how much a token offer asks for a
    month, how long a moratorium lasts, and the smallest instalment of a plan. owed: all that is owed, minor units.
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
        return messages.format(
            "offer-token", amount=Money(about.rules.token_payment, about.currency), until=about.until
        )
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
    if kind == "referral" or tone == "supportive":
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
