"""The simulated world, day by day: what arrives, given what the engine said the day before.

What an untroubled account does is a function of the seed and the date alone; only of accounts in trouble, of
open offers and of plans is anything remembered, and only what was said of them. So the world of a million
accounts takes no more memory than its troubles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial

from schemas import events as ev
from simulator import answering, billing, collecting
from simulator.chance import keyed, text_key, unit
from simulator.envelope import envelope
from simulator.memory import ActivePlan, Memory, Trouble
from simulator.paying import (
    FIRST,
    LAST,
    PAID_ON,
    SECOND,
    THIRD,
    PaymentPattern,
    deal_of,
    month_payments,
    months_unpaid,
    pattern_of,
    payment,
    pays,
)
from simulator.population import PAYDAYS, STATEMENT_DAYS, Account, Borrower, Population, index_of
from simulator.truth import shock_of

VISITS = (0, FIRST, SECOND, THIRD, LAST)
QUIET_AT_DUE = (PaymentPattern.POSTED_LATE, PaymentPattern.SLOW, PaymentPattern.PARTIAL, PaymentPattern.MISSED)
REVIEW, REPORT, WITHDRAW = range(192, 195)
START = date(2026, 1, 1)
# How long a hold lasts that is placed without an end.
HELD_DAYS = 90

Errand = Callable[[date], Iterator[ev.Event]]


class World:
    """A population and what has been said of it.

    accounts: at least 1. listens: False for a world that is never told what the engine says; it then judges arrears
    by what it knows of its borrowers.
    """

    def __init__(self, accounts: int, seed: int, start: date = START, *, listens: bool = True) -> None:
        self.people = Population(accounts, seed, start)
        self.memory = Memory()
        self._listens = listens
        self._agenda: dict[int, list[Errand]] = defaultdict(list)

    def opening(self) -> Iterator[ev.Event]:
        """Yield all accounts as they open, and what is known of their borrowers, payday by payday."""
        people = self.people
        for payday in range(PAYDAYS):
            for index in range(payday, people.size, PAYDAYS):
                borrower = people.borrower(index)
                for account in borrower.accounts:
                    yield billing.opened(people, borrower, account)
                yield from billing.first_profiles(borrower, people.start)

    def day(self, today: date, outputs: Sequence[ev.Event] = ()) -> Iterator[ev.Event]:
        """Yield what arrives on a day, in the order of arrival, its DayClosed last.

        outputs: what the engine said since the day before. Call it for one day after the other.
        """
        for said in self.memory.take(outputs):
            self._act(said, today)
        yield from self._statements(today)
        for lag in VISITS:
            yield from self._visit(today, lag)
        for errand in self._agenda.pop(today.toordinal(), ()):
            yield from errand(today)
        if today.day == 1:
            self.memory.forget_calm()
        yield ev.DayClosed(
            **envelope(f"day-{today.isoformat()}", today, 23),
            business_date=today,
            calendar="simulator",
        )

    # -- the month of a borrower

    def _statements(self, today: date) -> Iterator[ev.Event]:
        people, due = self.people, today + timedelta(days=STATEMENT_DAYS)
        month = people.month_of(due)
        if month < 1:
            return
        for index in people.due_on(due):
            borrower = people.borrower(index)
            for account in borrower.accounts:
                if account.months or not self._runs(account):
                    continue
                asked = self._asked(borrower, account, month)
                if asked is not None:
                    yield billing.statement(borrower, account, asked, today)
            yield from self._news(borrower, month, today)

    def _news(self, borrower: Borrower, month: int, today: date) -> Iterator[ev.Event]:
        """Yield what borrowers report of their means when these change, and the consents that they take back."""
        now = shock_of(borrower.key, month)
        if (now is None) != (shock_of(borrower.key, month - 1) is None) and keyed(borrower.key, REPORT, month) % 10 < 6:
            yield from billing.profile(borrower, today, "declared", f"month-{month}", now)
        if borrower.shares and keyed(borrower.key, WITHDRAW, month) % 2_000 == 0:
            yield ev.ConsentWithdrawn(
                **envelope(f"withdraw-{borrower.borrower_id}-{month}", today, borrower.place.hour),
                borrower_id=borrower.borrower_id,
                consent_id=f"consent-{borrower.borrower_id}-declared",
                purpose=billing.PURPOSE,
            )

    def _visit(self, today: date, lag: int) -> Iterator[ev.Event]:
        """Yield what happens with the instalments that were due `lag` days ago."""
        people, troubled = self.people, self.memory.indices
        due = today - timedelta(days=lag)
        month = people.month_of(due)
        if month < 1:
            return
        for index in people.due_on(due):
            key = people.key(index)
            pattern, catches = pattern_of(people, index, key, month)
            if not lag:
                if pattern in QUIET_AT_DUE:
                    continue
            elif pattern is PaymentPattern.ON_TIME and index not in troubled and (self._listens or catches):
                continue
            unpaid = 0.0 if self._listens else months_unpaid(people, index, key, month)
            borrower = people.borrower(index)
            for account in borrower.accounts:
                if self._runs(account):
                    yield from self._account_visit(borrower, account, month, pattern, catches, unpaid, lag, today)

    def _account_visit(
        self,
        borrower: Borrower,
        account: Account,
        month: int,
        pattern: PaymentPattern,
        catches: bool,
        unpaid: float,
        lag: int,
        today: date,
    ) -> Iterator[ev.Event]:
        asked = self._asked(borrower, account, month)
        amount = asked.principal + asked.interest if asked else 0
        trouble = self.memory.troubles.get(account.account_id)
        if self._listens:
            arrears = trouble.arrears if trouble else 0
            # From the day after the due date on, what is said to be overdue has this month's instalment in it.
            total = arrears + (0 if lag and arrears else amount) if catches else amount
        else:
            arrears = int(unpaid * (amount or account.instalment))
            total = amount + arrears if catches else amount
        paid = 0
        if total:
            due = today - timedelta(days=lag)
            for event in month_payments(borrower, account, month, pattern, lag, due, today, total):
                if isinstance(event, ev.PaymentReceived):
                    paid = event.amount
                yield event
        if paid and trouble:
            trouble.arrears = max(0, trouble.arrears - paid)
        if lag and not paid and self._collects(trouble, pattern, arrears, lag):
            shocked = shock_of(borrower.key, month) is not None
            owing = arrears or amount
            for event in collecting.contact(borrower, account, month, lag, owing, shocked, today):
                if isinstance(event, ev.HoldPlaced) and event.until_on is None:
                    self._later(today, HELD_DAYS, partial(collecting.released, borrower, event))
                yield event
        elif (
            lag == LAST
            and account.months == month
            and not arrears
            and pattern not in (PaymentPattern.PARTIAL, PaymentPattern.MISSED)
        ):
            yield billing.closed(borrower, account, "repaid", today)

    def _asked(self, borrower: Borrower, account: Account, month: int) -> ev.Instalment | None:
        return self.people.asked(borrower, account, month)

    def _runs(self, account: Account) -> bool:
        """Say whether an account lives by its contract: no plan stands in its place, and it is not settled."""
        trouble = self.memory.troubles.get(account.account_id)
        return trouble is None or (trouble.plan is None and not (trouble.settled and account.months))

    def _collects(self, trouble: Trouble | None, pattern: PaymentPattern, arrears: int, lag: int) -> bool:
        if trouble is not None and (trouble.stopped or trouble.bad_debt == "terminated"):
            return False
        if self._listens:
            return arrears > 0
        paid_on = PAID_ON[pattern]
        return arrears > 0 or paid_on is None or paid_on > lag or pattern is PaymentPattern.PARTIAL

    # -- what the engine said

    def _later(self, today: date, days: int, errand: Errand) -> None:
        self._agenda[today.toordinal() + days].append(errand)

    def _act(self, said: ev.Event, today: date) -> None:
        match said:
            case ev.OfferPublished():
                self._consider(said, today)
            case ev.PlanActivated():
                self._begin(said.account_id, said.plan_id, said.instalments, today)
            case ev.PlanScheduleAdjusted():
                self._begin(said.account_id, said.plan_id, said.instalments[said.agreed :], today)
                for bill in said.beside:
                    wait = max(0, bill.due_on.toordinal() - today.toordinal())
                    self._later(today, wait, partial(self._pay_beside, said.account_id, said.plan_id, bill))
            case ev.PlanInstalmentMissed():
                plan = self._plan(said.account_id, said.plan_id)
                of_arrangement = plan is not None and plan.terms.arrangement != "repayment"
                if plan is not None and not of_arrangement and said.number == plan.schedule[-1].number:
                    # No instalment follows with which what is behind would be paid.
                    self._later(today, 2, partial(self._pay_plan, said.account_id, said.plan_id, said.number + 1))
            case ev.PlanCompleted():
                borrower, account = self._account(said.account_id)
                if account.months:
                    self._later(today, 1, lambda day: iter([billing.closed(borrower, account, "settled", day)]))
            case ev.BadDebtChanged():
                self._review(said, today)

    def _account(self, account_id: str) -> tuple[Borrower, Account]:
        borrower = self.people.borrower(index_of(account_id))
        return borrower, next(a for a in borrower.accounts if a.account_id == account_id)

    def _month(self, today: date) -> int:
        return max(1, self.people.month_of(today))

    # -- offers

    def _consider(self, offer: ev.OfferPublished, today: date) -> None:
        borrower = self.people.borrower(index_of(offer.borrower_id))
        key = text_key(borrower.key, offer.offer_id)
        if not offer.options and not borrower.shares and unit(key, REPORT) < 0.7:
            self._later(today, 2, partial(self._interview, borrower))
        day = answering.answer_day(borrower, offer, offer.business_date)
        if day is not None:
            wait = max(0, day - today.toordinal())
            self._later(today, wait, partial(self._answer, borrower, offer.offer_id))

    def _interview(self, borrower: Borrower, today: date) -> Iterator[ev.Event]:
        shock = shock_of(borrower.key, self._month(today))
        yield from billing.profile(borrower, today, "interview", today.isoformat(), shock)

    def _answer(self, borrower: Borrower, offer_id: str, today: date) -> Iterator[ev.Event]:
        """Answer an offer if it still stands; one without an option only in distress."""
        held = self.memory.offers.get(borrower.borrower_id)
        if held is None or held.offer.offer_id != offer_id:
            return
        del self.memory.offers[borrower.borrower_id]
        given = answering.answer(borrower, held, self._month(today), today)
        if given is None:
            return
        yield given
        study = answering.studied(borrower, held.offer, today) if given.answer == "accepted" else None
        if study is not None:
            yield study

    # -- plans

    def _begin(self, account_id: str, plan_id: str, due: Iterable[ev.PlanInstalment], today: date) -> None:
        for item in due:
            wait = max(0, item.due_on.toordinal() - today.toordinal())
            self._later(today, wait, partial(self._pay_plan, account_id, plan_id, item.number))

    def _pay_plan(self, account_id: str, plan_id: str, number: int, today: date) -> Iterator[ev.Event]:
        """Pay a plan's instalment, with what is behind on it, if it is one that the borrower pays."""
        plan = self._plan(account_id, plan_id)
        if plan is None:
            return
        borrower, account = self._account(account_id)
        others = [t.plan for a in borrower.accounts if (t := self.memory.troubles.get(a.account_id)) and t.plan]
        deal = deal_of(plan, account, others)
        wait = pays(borrower, plan, deal, number, self._month(today))
        amount = next((i.amount for i in plan.schedule if i.number == number), 0)
        if wait is None:
            return
        if wait:
            self._later(today, wait, lambda day: self._settle(account_id, plan_id, number, amount, day))
        else:
            yield from self._settle(account_id, plan_id, number, amount, today)

    def _pay_beside(self, account_id: str, plan_id: str, bill: ev.Instalment, today: date) -> Iterator[ev.Event]:
        """Pay a statement that stayed beside a plan, while that runs."""
        if self._plan(account_id, plan_id) is not None:
            borrower, account = self._account(account_id)
            name = f"{account_id}-beside-{bill.number}"
            yield from payment(borrower, account, name, bill.principal + bill.interest + bill.fees, today, today)

    def _settle(self, account_id: str, plan_id: str, number: int, amount: int, today: date) -> Iterator[ev.Event]:
        plan = self._plan(account_id, plan_id)
        if plan is None or amount + plan.behind < 1:
            return
        borrower, account = self._account(account_id)
        name = f"{account_id}-plan-{plan.terms.activated_on.isoformat()}-{number}"
        total, plan.behind = amount + plan.behind, 0
        yield from payment(borrower, account, name, total, today, today)

    def _plan(self, account_id: str, plan_id: str) -> ActivePlan | None:
        trouble = self.memory.troubles.get(account_id)
        plan = trouble.plan if trouble else None
        return plan if plan is not None and plan.terms.plan_id == plan_id else None

    # -- bad debts

    def _review(self, change: ev.BadDebtChanged, today: date) -> None:
        """Let the committee look at a bad debt when its time has come, if it still stands as it does now."""
        borrower, account = self._account(change.account_id)
        chance = keyed(account.key, REVIEW, change.business_date.toordinal())
        plans: dict[str, tuple[ev.ReviewDecision, str, int]] = {
            "candidate": ("recognise" if chance % 100 >= 6 else "reject", "arrears_confirmed", 10),
            "recognised": ("charge_off", "uncollectable", 90 + chance % 60),
            "charged_off": ("terminate", "enforcement_ended", 240 + chance % 120),
        }
        if change.to not in plans:
            return
        decision, ground, wait = plans[change.to]
        self._later(
            today, wait, lambda day: self._decide(borrower, account.account_id, change.to, decision, ground, day)
        )

    def _decide(
        self,
        borrower: Borrower,
        account_id: str,
        status: ev.BadDebtStatus,
        decision: ev.ReviewDecision,
        ground: str,
        today: date,
    ) -> Iterator[ev.Event]:
        trouble = self.memory.of(account_id)
        if trouble.bad_debt != status or (trouble.plan is not None and decision != "recognise"):
            return
        name = f"{account_id}-{decision}-{today.isoformat()}"
        yield ev.BadDebtReviewed(
            **envelope(f"review-{name}", today, borrower.place.hour),
            review_id=f"V-{name}",
            account_id=account_id,
            decision=decision,
            reviewer="committee-1",
            ground=ground,
        )
