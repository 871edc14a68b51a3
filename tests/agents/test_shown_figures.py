"""Every figure that a borrower is shown equals its recomputation, in exact fractions and by other code.

Drawn debts, means and rules make an offer and, once it is accepted, plans. Here is worked out what each amount, rate,
date and count has to be; each text may hold these numbers, and no others.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from agents.amounts import whole
from schemas import events as ev
from state.policy import Floor, Policy, PolicyBook
from state.policy_packs.loader import default_book
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents, closes, day_of

DECIMALS = {"CNY": 2, "USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
PLACES = {"CNY": "CN", "USD": "US", "EUR": "EU", "JPY": "JP", "KWD": "KW"}
PRODUCTS = ("credit_card", "personal_loan")
BOOK = default_book()
FLOORS = (Floor("JPY", "*", 9_000, 4_000), Floor("KWD", "*", 90_000, 1_000))


def numbers(*texts: str) -> Counter[str]:
    """Return the numbers that texts hold."""
    return Counter(n for text in texts for n in re.findall(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?", text))


def written(amount: int, currency: str) -> str:
    """Return an amount as it has to be written."""
    places = DECIMALS[currency]
    return f"{Decimal(amount).scaleb(-places):,.{places}f}"


def percent(bps: int) -> str:
    """Return basis points in percent, as they have to be written."""
    return f"{Decimal(bps) / 100:,.2f}".rstrip("0").rstrip(".")


def dated(day: date, locale: str) -> list[str]:
    """Return the numbers of a date, as it has to be written."""
    return [str(day.year), str(day.day), *([str(day.month)] if locale == "zh" else [])]


def counted(count: int) -> list[str]:
    """Return the numbers of a count that a text agrees with: one is not written as a number."""
    return [str(count)] if count != 1 else []


def expect(text: str, *parts: str | Iterable[str]) -> None:
    """Hold the numbers of a text against those that it has to hold."""
    wanted = Counter(n for part in parts for n in ([part] if isinstance(part, str) else part))
    assert numbers(text) == wanted, text


class Owing(Struct, frozen=True):
    """What was drawn: debts, reported means, rules and a language."""

    debts: tuple[ev.Debt, ...]
    income: int
    expenses: int | None
    others: int | None
    heads: int | None
    score: int | None
    bent: dict[str, object]
    convention: str
    locale: str

    def policy(self, product: str) -> Policy:
        """Return the rules of a product."""
        found = BOOK.policy_for(self.debts[0].jurisdiction, product)
        return replace(
            found,
            options=replace(found.options, **self.bent),
            plans=replace(found.plans, due_date_convention=self.convention),
            affordability=replace(found.affordability, floors=(*found.affordability.floors, *FLOORS)),
        )


@st.composite
def owings(draw: st.DrawFn) -> Owing:
    """Return one to three debts in a currency, the means of whoever owes them, and real rules, somewhat bent."""
    currency = draw(st.sampled_from(sorted(PLACES)))
    unit = 10 ** DECIMALS[currency]
    bent = {
        "rounding": draw(st.sampled_from(["half_up", "up", "half_even"])),
        "step_up_bps": draw(st.sampled_from([3_000, 5_000, 7_500])),
        "rate_cuts_bps": draw(st.sampled_from([(0, 2_500, 5_000, 10_000), (0, 1_250), (3_333,), (0,)])),
        "authority_rate_cut_bps": draw(st.sampled_from([0, 5_000, 10_000])),
    }
    convention = draw(st.sampled_from(["none", "none", "following", "modified_following"]))
    debts = []
    for number in range(draw(st.integers(1, 3))):
        principal = draw(st.integers(1, 200_000 * unit) | st.integers(1, 300 * unit))
        interest, penalty = draw(st.integers(0, principal // 4)), draw(st.integers(0, principal // 8))
        to_come = draw(st.none() | st.integers(0, principal // 2))
        fees = draw(st.integers(0, 50 * unit))
        debts.append(
            ev.Debt(
                account_id=f"A{number}",
                product=draw(st.sampled_from(PRODUCTS)),
                jurisdiction=PLACES[currency],
                currency=currency,
                annual_rate_bps=draw(st.sampled_from([0, 1, 999, 1_825, 2_400]) | st.integers(0, 3_600)),
                outstanding=ev.Amounts(principal=principal, interest=interest, fees=fees, penalty=penalty),
                overdue_amount=principal // 4,
                days_past_due=draw(st.integers(31, 120)),
                missed=3,
                bucket="dpd_61_90",
                bad_debt="none",
                stage=2,
                remaining_months=draw(st.integers(0, 48)),
                contract_instalment=principal // 12,
                contract_total=None if to_come is None else principal + interest + fees + penalty + to_come,
            )
        )
    expenses, others = draw(st.none() | st.integers(0, 8_000 * unit)), draw(st.none() | st.integers(0, 500 * unit))
    # What is left a month is a share of what is owed, so that plans of all lengths come of it, and none.
    left = (
        sum(whole(d.outstanding) for d in debts) * draw(st.sampled_from([0, 1, 20, 60, 100, 200, 400, 1_500])) // 1_000
    )
    return Owing(
        tuple(debts),
        max(expenses or 0, 2_500 * unit) + (others or 0) + left,
        expenses,
        others,
        draw(st.none() | st.integers(1, 5)),
        draw(st.none() | st.integers(300, 850)),
        bent,
        convention,
        draw(st.sampled_from(["en", "zh"])),
    )


def offered(owing: Owing) -> tuple[PlannerDriver, BorrowerEvents, ev.OfferPublished]:
    """Return what is offered at the close of the day on which all of it was reported."""
    policies = {product: owing.policy(product) for product in PRODUCTS}
    book = PolicyBook("drawn", lambda _, product: policies.get(product, policies[PRODUCTS[0]]))
    driver, teller = PlannerDriver(book), BorrowerEvents()
    report = teller.report(
        0,
        owing.income,
        monthly_expenses=owing.expenses,
        other_debt_payments=owing.others,
        household_size=owing.heads,
        credit_score=owing.score,
        currency=owing.debts[0].currency,
        locale=owing.locale,
    )
    asked = [replace(teller.request(0, d.account_id), debt=d) for d in owing.debts]
    driver.feed(teller.granted(0), report, *asked, *closes([0]))
    return driver, teller, driver.offer()


def rounded(value: Fraction, how: str) -> int:
    """Return a fraction as whole minor units."""
    if how == "up":
        return -floor(-value)
    down = floor(value)
    if value - down == Fraction(1, 2):
        return down + (down % 2 if how == "half_even" else 1)
    return floor(value + Fraction(1, 2))


def level(principal: int, rate: Fraction, months: int, how: str) -> int:
    """Return the payment that repays a principal in equal ones."""
    return rounded(Fraction(principal, months) if not rate else principal * rate / (1 - (1 + rate) ** -months), how)


def schedule(share: ev.Share, name: str, rules: Policy) -> list[tuple[int, int]]:
    """Return principal and interest of each month of a share, worked out from its option's name."""
    months, shape = int(name.partition("m-")[0]), name.partition("m-")[2].partition("-")[0]
    options, rate, balance = rules.options, Fraction(share.annual_rate_bps, 120_000), share.financed
    light = months // 2 if shape == "step_up" else int(shape.partition("_")[2]) if shape.startswith("deferred") else 0
    first = floor(Fraction(level(balance, rate, months, options.rounding) * options.step_up_bps, 10_000))
    rows: list[tuple[int, int]] = []
    payment = 0
    while balance:
        number = len(rows) + 1
        interest = rounded(balance * rate, options.rounding)
        if number == light + 1:
            payment = level(balance, rate, months - light, options.rounding)
        wanted = payment if number > light else first if shape == "step_up" else 0
        part = balance if number == months else min(balance, max(0, wanted - interest))
        rows.append((part, interest))
        balance -= part
    return rows


def limit_of(owing: Owing, policies: Sequence[Policy]) -> int:
    """Return the most that a month may ask for."""
    first, currency = policies[0].affordability, owing.debts[0].currency
    floors = [f for f in first.floors if f.currency == currency]
    least = floors[0].single + floors[0].each * ((owing.heads or 1) - 1)
    surplus = owing.income - max(owing.expenses or 0, least) - (owing.others or 0)
    return floor(max(0, surplus) * Fraction(min(p.affordability.alpha_bps for p in policies), 10_000))


def deferred_of(option: ev.Option) -> int:
    """Return how many months begin a deferred option without principal."""
    return int(option.option_id.partition("deferred_")[2].partition("-")[0])


def hold_option(option: ev.Option, owing: Owing, policies: Sequence[Policy]) -> None:
    """Hold all figures of an option, and of its words, against what they have to be."""
    rules, currency = policies[0], owing.debts[0].currency
    rows: dict[date, list[int]] = {}
    for debt, share in zip(owing.debts, option.shares, strict=True):
        o, w = debt.outstanding, share.waived
        assert (w.principal, w.fees) == (0, 0)
        assert w.interest in (0, o.interest)
        assert w.penalty in (0, o.penalty)
        assert share.financed == o.principal + o.fees + (o.interest - w.interest) + (o.penalty - w.penalty)
        assert [(i.principal, i.interest) for i in share.instalments] == schedule(share, option.option_id, rules)
        first = share.instalments[0].due_on
        for n, i in enumerate(share.instalments):
            year, month = divmod(first.month - 1 + n, 12)
            anchored = date(first.year + year, month + 1, 1)
            if rules.plans.due_date_convention == "none":
                last = monthrange(anchored.year, anchored.month)[1]
                assert i.due_on == anchored.replace(day=min(first.day, last))
            else:
                assert abs(i.due_on - anchored.replace(day=min(first.day, 28))) < timedelta(15)
            assert (i.number, i.amount) == (n + 1, i.principal + i.interest)
            row = rows.setdefault(i.due_on, [0, 0])
            row[0], row[1] = row[0] + i.principal, row[1] + i.interest
    shown = [(i.number, i.due_on, i.principal, i.interest, i.amount) for i in option.instalments]
    assert shown == [(n, d, p, i, p + i) for n, (d, (p, i)) in enumerate(sorted(rows.items()), 1)]
    total, most = sum(p + i for p, i in rows.values()), max(p + i for p, i in rows.values())
    asked = [d.contract_total for d in owing.debts if d.contract_total is not None]
    saves = sum(asked) - total if len(asked) == len(owing.debts) else 0
    figures = (option.term_months, option.instalment_amount, option.total_cost, option.saves)
    assert figures == (len(rows), most, total, saves)
    assert most <= limit_of(owing, policies)
    assert option.annual_rate_bps == max(s.annual_rate_bps for s in option.shares)
    assert all(s.annual_rate_bps <= d.annual_rate_bps for d, s in zip(owing.debts, option.shares, strict=True))
    forgiven = ev.Amounts(
        interest=sum(s.waived.interest for s in option.shares), penalty=sum(s.waived.penalty for s in option.shares)
    )
    assert option.waived == forgiven
    hold_words(option, owing, currency)


def hold_words(option: ev.Option, owing: Owing, currency: str) -> None:
    """Hold the numbers in an option's name and reasons against its figures."""
    light = deferred_of(option) if option.shape == "deferred" else 0
    # The first month is a word.
    opening = [str(light)] if light > 1 else []
    single = option.term_months == 1
    named = [] if single else [str(option.term_months), *opening]
    expect(option.label, written(option.instalment_amount, currency), named)
    cut = int(option.option_id.partition("cut_")[2].partition("-")[0])
    for debt, share in zip(owing.debts, option.shares, strict=True):
        assert share.annual_rate_bps == floor(Fraction(debt.annual_rate_bps * (10_000 - cut), 10_000))
    said = [written(option.instalment_amount, currency), *opening]
    said += [percent(cut)] if cut not in (0, 10_000) else []
    forgiven = option.waived.interest + option.waived.penalty
    said += [written(forgiven, currency)] if forgiven else []
    said += [written(option.saves, currency)] if option.saves > 0 else []
    expect(" ".join(option.reasons), said)


def annual_cost(begins: date, schedule: Sequence[ev.PlanInstalment]) -> int:
    """Return the internal rate of return, compounded, in basis points rounded up, by bisection in floats."""
    financed = sum(i.principal for i in schedule)
    months = [12 * (i.due_on.year - begins.year) + i.due_on.month - begins.month for i in schedule]
    months = [
        max(1, m - (i.due_on.day < min(begins.day, monthrange(i.due_on.year, i.due_on.month)[1])))
        for m, i in zip(months, schedule, strict=True)
    ]
    if sum(i.amount for i in schedule) <= financed:
        return 0
    low, high = 0.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        worth = sum(i.amount / (1 + middle) ** m for m, i in zip(months, schedule, strict=True))
        low, high = (middle, high) if worth > financed else (low, middle)
    # The rate is found in steps of a hundredth of a basis point a year.
    return -floor(-((1 + ceil(high * 12_000_000) / 12_000_000) ** 12 - 1) * 10_000)


def contingent(policy: Policy, currency: str) -> list[str]:
    """Return the numbers of what it costs not to pay."""
    c = policy.charges
    if not c.cap_bps:
        return []
    said = [percent(c.penalty_markup_bps)] if c.penalty_markup_bps else []
    said += [percent(c.penalty_rate_bps)] if c.penalty_rate_bps and not c.penalty_markup_bps else []
    said += [written(c.late_fee_flat, currency)] if c.late_fee_flat else []
    said += [percent(c.late_fee_bps)] if c.late_fee_bps else []
    said += [written(c.late_fee_cap, currency)] if c.late_fee_cap and c.late_fee_bps + c.late_fee_flat else []
    return [*said, percent(c.cap_bps)] if said else []


def hold_disclosures(
    said: dict[str, str],
    balance: ev.Amounts,
    schedule: Sequence[ev.PlanInstalment],
    rate: int,
    missed: int,
    currency: str,
    locale: str,
    begins: date,
    policy: Policy,
) -> None:
    """Hold the numbers of disclosures against the figures of which they are to tell."""
    parts = [balance.principal, balance.interest, balance.fees, balance.penalty]
    asking = [i for i in schedule if i.principal + i.interest]
    financed = written(sum(i.principal for i in asking), currency)
    count, charged = len(asking), sum(i.interest for i in schedule)
    most = written(max(i.amount for i in asking), currency)
    dates = [dated(asking[0].due_on, locale), dated(asking[-1].due_on, locale)]
    single = ["1"] if locale == "zh" else []
    wanted: dict[str, list[str]] = {
        "balance_structure_currency": [written(a, currency) for a in (sum(parts), *parts)],
        "cycle": [str(count)] if count > 1 else single,
        "method_currency_dates_amounts": [most, *dates[0], *(dates[1] if count > 1 else [])],
        "fees_and_interest_going_on": [written(charged, currency), percent(rate)] if charged else [],
        "rights_duties_default": counted(missed),
        "all_in_cost": [percent(annual_cost(begins, asking)), written(charged, currency), financed],
        "contingent_cost": contingent(policy, currency),
    }
    for key, text in said.items():
        expect(text, wanted.get(key, []))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(owings(), st.integers(0, 3))
def test_every_figure_that_is_shown_equals_its_recomputation(owing: Owing, chosen: int) -> None:
    driver, teller, offer = offered(owing)
    currency, debts = owing.debts[0].currency, owing.debts
    ordered = sorted(debts, key=lambda d: (-d.days_past_due, d.account_id))
    policies = [owing.policy(d.product) for d in ordered]
    missed = min(p.plans.broken_after_missed for p in policies)
    exposure = sum(sum((o.principal, o.interest, o.fees, o.penalty)) for o in (d.outstanding for d in debts))
    assert offer.balances == tuple(d.outstanding for d in debts)
    assert offer.expires_on == day_of(policies[0].offers.open_days)
    for option in offer.options if offer.kind == "plan" else ():
        hold_option(option, owing, policies)
    rules, until = policies[0].options, dated(offer.expires_on, owing.locale)
    limit = limit_of(owing, policies)
    message: dict[str, list[str]] = {
        "plan": [*counted(len(offer.options)), *until],
        "pay_in_full": [written(exposure, currency)],
        "token": [written(sum(min(rules.token_payment, whole(d.outstanding)) for d in debts), currency), *until],
        "moratorium": [*([str(rules.moratorium_months)] if rules.moratorium_months != 1 else []), *until],
        "referral": [],
    }
    expect(offer.message, message[offer.kind])
    codes = only(driver.outputs, ev.DecisionLogged)[-1].reasons
    assert (offer.kind == "pay_in_full") == ("payable_at_once" in codes)
    assert offer.kind != "pay_in_full" or exposure <= limit
    said = {"payable_at_once": written(exposure, currency)}
    said["below_minimum_instalment"] = written(rules.minimum_instalment, currency)
    expect(" ".join(offer.reasons), [said[c] for c in codes if c in said])
    if not offer.options:
        assert offer.disclosures == {}
    if offer.kind != "plan":
        return
    lead = offer.options[0]
    assert lead.option_id == offer.recommended_option_id
    together = ev.Amounts(**{p: sum(getattr(d.outstanding, p) for d in debts) for p in ev.Amounts.__struct_fields__})
    highest = max(s.annual_rate_bps for s in lead.shares)
    hold_disclosures(
        offer.disclosures, together, lead.instalments, highest, missed, currency, owing.locale, day_of(0), policies[0]
    )

    option = offer.options[chosen % len(offer.options)]
    plans = only(
        driver.feed(teller.answer(1, offer.offer_id, "accepted", option_id=option.option_id)), ev.PlanActivated
    )
    assert [p.account_id for p in plans] == [d.account_id for d in debts]
    for debt, plan, share in zip(debts, plans, option.shares, strict=True):
        assert (plan.balance, plan.waived) == (debt.outstanding, share.waived)
        assert (plan.instalments, plan.annual_rate_bps) == (share.instalments, share.annual_rate_bps)
        assert (plan.agreed_on, plan.activated_on) == (day_of(1), day_of(1))
        assert plan.instalments[0].due_on > offer.expires_on >= day_of(0) + timedelta(1)
        ends = owing.policy(debt.product).plans.broken_after_missed
        hold_disclosures(
            plan.clauses, debt.outstanding, plan.instalments, plan.annual_rate_bps, ends, currency, owing.locale,
            day_of(1), owing.policy(debt.product),
        )  # fmt: skip
