"""A world in which lenders service loans: they correct, adjust and revise, sell and reopen, and take loans over.

What the usual world sends arrives here too, and now and then something else arrives with it or in its place, with the
frequencies of `ServicedWorld`. The chance of each is a function of the seed, the account and the occasion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial

from msgspec.structs import replace

from schemas import events as ev
from simulator import billing, servicing_events
from simulator.chance import keyed, text_key
from simulator.paying import payment
from simulator.population import Account, Borrower
from simulator.positions import EARLIER, Position, taken_over
from simulator.world import START, World
from state.schedules import amortise

OPENING, STATEMENT, PAYMENT, CONTRACT, CLOSING, PROMISE, GOODWILL, FEE, SALE, PARTY = range(208, 218)
# Days from a quote for a prepayment to its payment.
QUOTE_DAYS = 5
# The first days of an account whose history is not reported.
SILENT_DAYS = 30
# Days from an opening to the day on which somebody else answers for the account too.
JOINS_DAYS = 40
# Days from a closing that did not last to the next one.
CLOSE_AGAIN_DAYS = 20


class ServicedWorld(World):
    """The usual world with all the events of `accounts`, `payments` and `collections`.

    Of a thousand accounts, 60 are taken over with an OpeningPosition, 20 report from their second month on, 5 were
    opened in error, and for 40 somebody else answers too. Of a hundred: 4 statements are corrected, 5 loans are paid
    off early and 10 prepaid in part, 1 payment is refunded in part, 15 promises are moved, 30 loans that were repaid
    have their last payment returned, and 50 charged-off debts are sold.
    """

    def __init__(self, accounts: int, seed: int, start: date = START, *, listens: bool = True) -> None:
        super().__init__(accounts, seed, start, listens=listens)
        # What is asked for in the place of what the population says: by account, then month; None for nothing.
        self._changed: dict[str, dict[int, ev.Instalment | None]] = {}
        # Accounts with instalments of before the start, which take the first numbers.
        self._taken_over: set[str] = set()
        self._ended: set[str] = set()
        # The payment that repaid a loan, until the loan is closed.
        self._final: dict[str, ev.PaymentReceived] = {}
        self._repeated = ""

    def opening(self) -> Iterator[ev.Event]:
        """Yield all accounts as they open or are taken over, and what is known of their borrowers."""
        for event in super().opening():
            yield from self._serviced(event, self.people.start)

    def day(self, today: date, outputs: Sequence[ev.Event] = ()) -> Iterator[ev.Event]:
        """Yield what arrives on a day, in the order of arrival, its DayClosed last."""
        for said in outputs:
            match said:
                case ev.AccountRestored() | ev.InputNotApplied(code="closed_with_balance"):
                    self._ended.discard(said.account_id)
                    self._later(today, CLOSE_AGAIN_DAYS, partial(self._close_again, *self._account(said.account_id)))
        for event in super().day(today, outputs):
            yield from self._serviced(event, today)

    def _asked(self, borrower: Borrower, account: Account, month: int) -> ev.Instalment | None:
        changed = self._changed.get(account.account_id, {})
        if month in changed:
            return changed[month]
        asked = super()._asked(borrower, account, month)
        earlier = self._earlier(account.account_id)
        return asked if asked is None or not earlier else replace(asked, number=asked.number + earlier)

    def _earlier(self, account_id: str) -> int:
        return EARLIER if account_id in self._taken_over else 0

    def _runs(self, account: Account) -> bool:
        return account.account_id not in self._ended and super()._runs(account)

    def _once(self, today: date, days: int, made: Callable[[date], ev.Event]) -> None:
        self._later(today, days, lambda day: iter([made(day)]))

    def _serviced(self, event: ev.Event, today: date) -> Iterator[ev.Event]:
        """Yield an event, or what arrives in its place, and see to what follows from it."""
        match event:
            case ev.AccountOpened():
                yield self._opened(event)
                return
            case ev.BadDebtReviewed(decision="terminate"):
                yield self._sold(event, today)
                return
            case ev.PaymentFailed():
                yield replace(event, failed_on=today)
                return
            case ev.AccountClosed():
                if event.account_id in self._ended:
                    return
                self._ended.add(event.account_id)
                yield event
            case _:
                yield event
        match event:
            case ev.InstalmentBilled(revision=0):
                self._correct(event, today)
            case ev.PaymentReceived() if event.event_id != self._repeated:
                # One that is delivered twice is one occasion.
                self._repeated = event.event_id
                yield from self._paid(event, today)
            case ev.PaymentReversed(amount=None):
                yield from self._charge_for(event, today)
            case ev.PromiseMade(replaces=None):
                self._move(event, today)
            case ev.ContactAttempted(outcome="hardship" | "complaint"):
                yield from self._waive_interest(event, today)
            case ev.AccountClosed(reason="repaid"):
                self._return_last_payment(event, today)

    # -- how accounts begin

    def _opened(self, opening: ev.AccountOpened) -> ev.Event:
        borrower, account = self._account(opening.account_id)
        draw = keyed(account.key, OPENING) % 1_000
        if (party := keyed(account.key, PARTY) % 1_000) < 40:
            role: ev.PartyRole = "joint" if party % 2 else "guarantor"
            self._once(self.people.start, JOINS_DAYS, partial(servicing_events.joined, borrower, account, role))
        if draw >= 995:
            self._later(self.people.start, 5, partial(self._close, borrower, account, "opened_in_error"))
        if draw >= 80:
            return opening
        if draw >= 60:
            return replace(opening, reported_from=opening.opened_on + timedelta(days=SILENT_DAYS))
        return self._take_over(taken_over(self.people, borrower, account, keyed(account.key, OPENING, 1)))

    def _take_over(self, of: Position) -> ev.OpeningPosition:
        account_id = of.event.account_id
        self._taken_over.add(account_id)
        if of.arrears:
            self.memory.of(account_id).arrears = of.arrears
        if of.event.bad_debt != "none":
            self.memory.of(account_id).bad_debt = of.event.bad_debt
        if of.plan is not None:
            for acted in self.memory.take([of.plan]):
                self._act(acted, self.people.start)
        return of.event

    # -- what was asked for

    def _correct(self, bill: ev.InstalmentBilled, today: date) -> None:
        """Correct a statement some days later, or withdraw it; its first form may come again behind that."""
        borrower, account = self._account(bill.account_id)
        bits, month = keyed(account.key, STATEMENT, bill.number), bill.number - self._earlier(bill.account_id)
        if bits % 100 >= 4 or month in self._changed.get(bill.account_id, {}):
            return
        percent = 0 if bits >> 10 & 7 == 0 else 60 + (bits >> 16) % 60
        principal, interest = bill.principal * percent // 100, bill.interest * percent // 100
        wait = 2 + (bits >> 13 & 7)
        at_ = today + timedelta(days=wait)
        corrected = servicing_events.corrected(borrower, bill, principal, interest, at_)
        asked = ev.Instalment(
            number=bill.number, due_on=bill.due_on, principal=principal, interest=interest, fees=bill.fees
        )
        self._changed.setdefault(bill.account_id, {})[month] = asked
        arriving: list[ev.Event] = [corrected, bill] if bits >> 24 & 3 == 0 else [corrected]
        self._later(today, wait, lambda day: iter(arriving))

    def _charge_for(self, returned: ev.PaymentReversed, today: date) -> Iterator[ev.Event]:
        """Put a fee on the instalment whose debit was returned, and waive some of them later."""
        borrower, account = self._account(returned.account_id)
        month = _month_of(returned.payment_id.removesuffix("-returned"), account)
        asked = None if month is None else self._asked(borrower, account, month)
        if asked is None or not self._runs(account):
            return
        fee = servicing_events.debit_fee(borrower, account, asked, today)
        yield fee
        if keyed(account.key, FEE, asked.number) % 4 == 0:
            self._once(today, 6, partial(servicing_events.adjustment_reversed, borrower, fee))

    def _waive_interest(self, contact: ev.ContactAttempted, today: date) -> Iterator[ev.Event]:
        borrower, account = self._account(contact.account_id)
        name, _, lag = contact.attempt_id.rpartition("-")
        month = _month_of(name, account)
        asked = None if month is None else self._asked(borrower, account, month)
        if asked is None or asked.interest < 4 or keyed(account.key, GOODWILL, asked.number * 64 + int(lag)) % 4:
            return
        yield servicing_events.goodwill(borrower, account, asked, int(lag), today)

    # -- what was paid

    def _paid(self, paid: ev.PaymentReceived, today: date) -> Iterator[ev.Event]:
        borrower, account = self._account(paid.account_id)
        if paid.payment_id.endswith("-returned"):
            return
        bits = keyed(text_key(account.key, paid.payment_id), PAYMENT)
        if bits % 100 == 0 and paid.amount > 100:
            for number, percent in enumerate((10 + (bits >> 10) % 60, 20)[: 1 + (bits >> 20) % 2], 1):
                part = paid.amount * percent // 100
                self._once(today, 1 + 3 * number, partial(servicing_events.refunded, borrower, paid, part, number))
        month = _month_of(paid.payment_id, account)
        if not account.months or month is None:
            return
        if month == account.months:
            self._final[account.account_id] = paid
        elif month == 2 + keyed(account.key, CONTRACT, 1) % 6 and self._calm(account):
            yield from self._revise(borrower, account, month, today)

    def _calm(self, account: Account) -> bool:
        trouble = self.memory.troubles.get(account.account_id)
        return self._runs(account) and (trouble is None or not trouble.arrears)

    def _revise(self, borrower: Borrower, account: Account, month: int, today: date) -> Iterator[ev.Event]:
        """Revise the schedule of a loan whose borrower wants to pay it off, or a part of it, or close it by mistake."""
        chance = keyed(account.key, CONTRACT) % 100
        asked = (self._asked(borrower, account, m) for m in range(month + 1, account.months + 1))
        left = [i for i in asked if i is not None]
        if chance >= 16 or len(left) < 2 or account.account_id in self._changed:
            return
        if chance == 15:
            self._later(today, 1, partial(self._close, borrower, account, "closed_by_mistake"))
            self._later(today, 4, partial(self._reopen, borrower, account, "closed_by_mistake"))
            return
        owed = sum(i.principal for i in left)
        on = today + timedelta(days=QUOTE_DAYS)
        whole = chance < 5
        principal = owed if whole else owed * (20 + chance) // 100
        interest = owed * account.annual_rate_bps * QUOTE_DAYS // 3_650_000 if whole else 0
        first = left[0].number
        rest: list[ev.Instalment] = []
        if not whole:
            again = amortise(owed - principal, account.annual_rate_bps, len(left), left[0].due_on)
            rest = [
                ev.Instalment(number=first + n, due_on=old.due_on, principal=i.principal, interest=i.interest, fees=0)
                for n, (old, i) in enumerate(zip(left, again, strict=False), 1)
            ]
        extra = ev.Instalment(number=first, due_on=on, principal=principal, interest=interest, fees=0)
        reason = "early_settlement" if whole else "prepayment"
        yield servicing_events.revised(borrower, account, (extra, *rest), reason, today)
        months = range(month + 1, account.months + 1)
        self._changed[account.account_id] = {m: rest[n] if n < len(rest) else None for n, m in enumerate(months)}
        self._later(today, QUOTE_DAYS, partial(self._pay_extra, borrower, account, extra, whole))

    def _pay_extra(
        self, borrower: Borrower, account: Account, extra: ev.Instalment, whole: bool, today: date
    ) -> Iterator[ev.Event]:
        amount = extra.principal + extra.interest
        yield from payment(borrower, account, f"{account.account_id}-extra", amount, today, today)
        if whole:
            yield from self._close(borrower, account, "repaid", today)

    # -- promises

    def _move(self, promise: ev.PromiseMade, today: date) -> None:
        borrower, account = self._account(promise.account_id)
        if keyed(text_key(account.key, promise.promise_id), PROMISE) % 100 < 15:
            self._once(today, 2, partial(servicing_events.moved, borrower, promise))

    # -- how accounts end, and begin again

    def _close(self, borrower: Borrower, account: Account, reason: str, today: date) -> Iterator[ev.Event]:
        closed = billing.closed(borrower, account, reason, today)
        yield replace(closed, event_id=f"{closed.event_id}-{reason}-{today.isoformat()}")

    def _close_again(self, borrower: Borrower, account: Account, today: date) -> Iterator[ev.Event]:
        """Close an account that could not be closed, or was reopened, once what is overdue is paid."""
        trouble = self.memory.of(account.account_id)
        if trouble.plan is not None or not account.months or self._asked(borrower, account, self._month(today)):
            return
        if trouble.arrears:
            name = f"{account.account_id}-again-{today.isoformat()}"
            yield from payment(borrower, account, name, trouble.arrears, today, today)
        yield from self._close(borrower, account, "repaid" if trouble.arrears else "settled", today)

    def _reopen(self, borrower: Borrower, account: Account, reason: str, today: date) -> Iterator[ev.Event]:
        self._ended.discard(account.account_id)
        yield servicing_events.reopened(borrower, account, reason, today)

    def _sold(self, review: ev.BadDebtReviewed, today: date) -> ev.Event:
        """Return the sale of a charged-off debt in the place of its termination; some are bought back."""
        borrower, account = self._account(review.account_id)
        bits = keyed(account.key, SALE, today.toordinal())
        if bits & 1:
            return review
        if bits >> 1 & 3 == 0:
            self._later(today, 45, partial(self._reopen, borrower, account, "bought_back"))
        self._ended.add(account.account_id)
        return next(self._close(borrower, account, "sold", today))

    def _return_last_payment(self, closed: ev.AccountClosed, today: date) -> None:
        """Let the payment that repaid a loan be returned after the loan was closed."""
        borrower, account = self._account(closed.account_id)
        paid = self._final.pop(account.account_id, None)
        if paid is not None and keyed(account.key, CLOSING) % 100 < 30:
            self._once(today, 4, partial(servicing_events.returned, borrower, paid))


def _month_of(name: str, account: Account) -> int | None:
    """Return the month that a payment's or contact's id names, None where it names none."""
    tail = name[2:].removeprefix(f"{account.account_id}-")
    return int(tail) if tail.isdigit() else None
