"""Lives: an account and a borrower through whatever events bytes can pick, extremes first.

Each byte string is a story: which event comes next, and which of the hostile values its fields take. Whatever is
told, an agent decides or refuses with a reason, what it says can be written, and no money appears or goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import Struct

from agents.account.agent import AccountAgent
from agents.base import Agent, DecisionContext, Step
from agents.input_limits import check_close_date
from agents.learner.agent import LearnerAgent
from agents.planner.agent import PlannerAgent
from agents.policies import changed, check_change
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import InvalidEventError
from schemas.validation import check
from state.account import AccountState
from state.borrower import BorrowerState
from state.learning import FEATURES, LearnerState
from state.policy import PolicyBook
from state.policy_packs.loader import default_book, files_of
from state.storage import pack
from tests.fuzz import seeds
from tests.fuzz.invariants import BrokenInvariantError, Target, ensure
from tests.support.agent_driver import SingleKeyDriver

START = date(2026, 1, 1)
MOST_EVENTS = 40
DAYS = (0, 1, 2, 5, 14, 30, 31, 45, 60, 92, 120, 181, 365, 400, -1, -400)
AMOUNTS = (1, 2, 99, 100, 10_000, 33_333, 300_000, 10**9, 0, 7, 50_000, 999_999)
HUGE = (2**31, 10**11, 10**14, 10**14 + 1, 2**53, 2**62, 2**63 - 1)
CURRENCIES = ("USD", "CNY", "JPY", "KWD", "XXX", "USD", "USD", "USD")
PLACES = (("US", "personal_loan"), ("CN", "credit_card"), ("EU", "personal_loan"), ("AR", "loan"), ("GB", "mortgage"))
DATES = (date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29), date(1900, 1, 1), date(2199, 12, 31))
PACKS = ("default", "us_ffiec", "eu_dod", "cn_card", "house")
CLOCK = (ev.DayClosed, ev.PolicyChanged)
TEXTS = ("x", "\u202e1A", "\u200b", "é", "e\u0301", "不", "𝔘", "a" * 64, "0")
REASONS: tuple[ev.AnswerReason, ...] = (
    "too_high", "too_long", "rate", "income_change", "dispute", "distress", "distrust", "other",
)  # fmt: skip


class ByteChoices:
    """Reads choices from bytes; where they end, the first choice is taken."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there are bytes left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """Return the next byte, 0 at the end."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def one(self, choices: Any) -> Any:
        """Return one of some choices."""
        return choices[self.byte() % len(choices)]

    def amount(self) -> int:
        """Return an amount, extreme or not."""
        n = self.byte()
        return HUGE[n % len(HUGE)] if n >= 230 else AMOUNTS[n % len(AMOUNTS)]

    def day(self, today: date) -> date:
        """Return a day near today, or one at the end of time."""
        n = self.byte()
        if n >= 250:
            return DATES[n % len(DATES)]
        return today + timedelta(days=DAYS[n % len(DAYS)])

    def instant(self, today: date) -> datetime:
        """Return an instant of a day."""
        day = self.day(today)
        return datetime(day.year, day.month, day.day, self.byte() % 24, tzinfo=UTC)


class CheckedDriver(SingleKeyDriver[Any]):
    """A driver of one key that checks the invariants after every step, and changes policies as a runtime does."""

    def __init__(self, agent: Agent[Any], kind: type[Struct], book: PolicyBook) -> None:
        super().__init__(agent, kind, book)
        self._first, self._changes = book, list[ev.PolicyChanged]()
        self._codec = Codec()

    def take(self, event: ev.Event) -> list[ev.Event]:
        """Handle an event, close a day, or change policies; returns the outputs."""
        if not isinstance(event, (*CLOCK, *self.agent.accepts)):
            return []
        try:
            if isinstance(event, ev.DayClosed):
                check_close_date(event, self.closed, self.book.policy_for("", "").most_days_skipped)
            if isinstance(event, ev.PolicyChanged):
                if check_change(event, self._changes, self.closed, 366):
                    self._changes.append(event)
                    self.book = changed(self._first, self._changes)
                return []
            return self.feed(event)
        except InvalidEventError as bad:
            self.reject(event, bad)
            return []

    def reject(self, event: ev.Event, error: InvalidEventError) -> None:
        """Check that a rejection has a code and a sentence."""
        ensure(bool(error.code) and error.message.endswith("."), "a rejection without a code or a sentence")

    def apply(self, key: str, step: Step[Any]) -> None:
        """Check the outputs and the stored state."""
        _check_outputs(step.outputs)
        super().apply(key, step)
        ensure(pack(self.state) == pack(step.state), "a state has two forms of bytes")
        for event in step.outputs:
            ensure(self._codec.decode(self._codec.encode(event)) == event, f"a {type(event).__name__} is not read back")


def _check_outputs(outputs: Sequence[ev.Event]) -> None:
    for event in outputs:
        try:
            check(event)
        except InvalidEventError as bad:
            raise BrokenInvariantError(f"what an agent says breaks its contract: {bad.message}") from bad


@cache
def _book() -> PolicyBook:
    return default_book()


@cache
def _files(name: str) -> dict[str, str]:
    return files_of(name)


# -- an account


def account_history(data: bytes) -> None:
    """Let an account live."""
    _account_history(data)


def _account_history(data: bytes) -> CheckedDriver:
    pick = ByteChoices(data)
    driver = CheckedDriver(AccountAgent(), AccountState, _book())
    today = START
    driver.take(_position(pick, _base(pick, 0, START, "position"), START) if pick.byte() % 4 == 3 else _opening(pick))
    for number in range(MOST_EVENTS):
        if not pick.left:
            break
        event = _account_event(pick, number, today)
        driver.take(event)
        if isinstance(event, ev.DayClosed):
            today = driver.closed or today
        _conserved(driver.state)
    return driver


def _conserved(state: Any) -> None:
    if state is None:
        return
    s = cast(AccountState, state)
    ensure(s.credit >= 0, "credit below zero")
    for r in s.receivables:
        ensure(min(r.principal, r.interest, r.fees, r.penalty) >= 0, "a balance below zero")
    if s.plan is None and not s.had_plan:
        ensure(s.received == s.paid.total() + s.credit, "what was received is not what was allocated and left")


def _base(pick: ByteChoices, number: int, today: date, kind: str) -> dict[str, Any]:
    return {"event_id": f"{kind}-{number}", "occurred_at": pick.instant(today), "source": "fuzz", "account_id": "A1"}


def _opening(pick: ByteChoices) -> ev.AccountOpened:
    jurisdiction, product = pick.one(PLACES)
    instalments = tuple(_instalments(pick, START, pick.byte() % 13, 1))
    return ev.AccountOpened(
        **_base(pick, 0, START, "open"),
        borrower_id="B1",
        product=product,
        jurisdiction=jurisdiction,
        currency=pick.one(CURRENCIES),
        opened_on=pick.day(START),
        annual_rate_bps=pick.one((0, 1_000, 1_825, 36_000, 1_000_000)),
        principal=pick.amount(),
        instalments=instalments,
        reported_from=pick.day(START) if pick.byte() % 4 == 0 else None,
    )


def _instalments(pick: ByteChoices, first: date, count: int, number: int) -> Iterator[ev.Instalment]:
    for n in range(count):
        yield ev.Instalment(
            number=number + n,
            due_on=pick.day(first + timedelta(days=30 * n)),
            principal=pick.amount(),
            interest=pick.amount() if pick.byte() % 4 == 0 else 0,
            fees=0,
        )


def _account_event(pick: ByteChoices, number: int, today: date) -> ev.Event:
    kind = pick.byte() % 25
    if kind < 5:
        day = today + timedelta(days=1 + pick.byte() % 40)
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return ev.DayClosed(event_id=f"d{day}", occurred_at=at, source="fuzz", business_date=day, calendar="none")
    if kind == 18:
        at, files = datetime(today.year, today.month, today.day, tzinfo=UTC), _files(pick.one(PACKS))
        name, day = f"c{pick.byte() % 8}", pick.day(today)
        return ev.PolicyChanged(
            event_id=name, occurred_at=at, source="fuzz", change_id=name, effective_on=day, files=files
        )
    base = _base(pick, number, today, str(kind))
    name = f"{pick.one(TEXTS)}{pick.byte() % 4}"[-64:]
    if kind < 8:
        value, currency = pick.day(today), pick.one(CURRENCIES)
        return ev.PaymentReceived(
            **base, payment_id=name, amount=max(1, pick.amount()), currency=currency, value_on=value, channel="x"
        )
    if kind == 8:
        part = max(1, pick.amount()) if pick.byte() % 2 else None
        known_as = pick.one((None, "part-1", "part-2"))
        return ev.PaymentReversed(
            **base, payment_id=name, reversed_on=pick.day(today), reason="x", amount=part, reversal_id=known_as
        )
    if kind == 9:
        outcome = pick.one(("no_answer", "refused", "reached", "complaint"))
        return ev.ContactAttempted(
            **base, attempt_id=name, channel="call", direction="outbound", outcome=outcome, agent="x"
        )
    if kind == 10:
        earlier = f"{pick.one(TEXTS)}{pick.byte() % 4}"[-64:] if pick.byte() % 4 == 0 else None
        due = pick.day(today)
        return ev.PromiseMade(**base, promise_id=name, amount=max(1, pick.amount()), due_on=due, replaces=earlier)
    if kind == 11:
        until = pick.day(today) if pick.byte() % 2 else None
        held = pick.one(("dispute", "breathing_space", "bankruptcy", "deceased"))
        return ev.HoldPlaced(**base, hold_id=name, kind=held, from_on=pick.day(today), until_on=until)
    if kind == 12:
        return ev.HoldReleased(**base, hold_id=name, released_on=pick.day(today))
    if kind == 13:
        decision = pick.one(("recognise", "reject", "charge_off", "terminate"))
        return ev.BadDebtReviewed(**base, review_id=name, decision=decision, reviewer="x", ground="x")
    if kind == 14:
        return ev.InstalmentBilled(
            **base,
            number=1 + pick.byte() % 9,
            due_on=pick.day(today),
            principal=pick.amount(),
            interest=pick.amount(),
            fees=0,
            revision=pick.byte() % 3,
            billed_on=pick.day(today) if pick.byte() % 2 else None,
        )
    if kind == 15:
        return _plan(pick, base, today, name)
    if kind == 16:
        return ev.PlanReviewRequested(
            **base, borrower_id="B1", plan_id=name, requested_on=pick.day(today), caused_by="x"
        )
    if kind > 18:
        return _change(pick, base, today, name, kind)
    why = pick.one(("x", "repaid", "settled", "sold", "opened_in_error"))
    return ev.AccountClosed(**base, reason=why, closed_on=pick.day(today) if pick.byte() % 2 else None)


def _change(pick: ByteChoices, base: dict[str, Any], today: date, name: str, kind: int) -> ev.Event:
    """Return a change of the contract, of what an instalment asks for, or of whether the account is open."""
    if kind == 19:
        return ev.PaymentFailed(
            **base, payment_id=name, amount=max(1, pick.amount()), reason="x", failed_on=pick.day(today)
        )
    if kind == 20:
        signed = [pick.amount() * pick.one((-1, 1, 0)) for _ in range(4)]
        return ev.InstalmentAdjusted(
            **base,
            adjustment_id=name,
            number=1 + pick.byte() % 9,
            effective_on=pick.day(today),
            principal=signed[0],
            interest=signed[1],
            fees=signed[2],
            penalty=signed[3],
            reason="x",
        )
    if kind == 21:
        return ev.AdjustmentReversed(**base, adjustment_id=name, reversed_on=pick.day(today), reason="x")
    if kind == 22:
        return ev.ScheduleRevised(
            **base,
            revision=1 + pick.byte() % 3,
            effective_on=pick.day(today),
            instalments=tuple(_instalments(pick, today, pick.byte() % 7, 1 + pick.byte() % 14)),
            annual_rate_bps=pick.one((None, 0, 1_000, 1_000_000)),
            reason="x",
        )
    if kind == 23:
        return ev.AccountReopened(**base, reopened_on=pick.day(today), reason="x")
    return _position(pick, base, today)


def _position(pick: ByteChoices, base: dict[str, Any], today: date) -> ev.OpeningPosition:
    jurisdiction, product = pick.one(PLACES)
    plan = None
    if pick.byte() % 3 == 0:
        plan = ev.PositionPlan(
            plan_id="taken-over",
            activated_on=pick.day(today),
            annual_rate_bps=pick.one((0, 1_000)),
            instalments=tuple(_unpaid(pick, today)),
            kept=pick.byte() % 4,
            missed=pick.byte() % 4,
            missed_in_a_row=pick.byte() % 4,
            paid=pick.amount(),
            waived=ev.Amounts(interest=pick.amount(), penalty=pick.amount()),
        )
    return ev.OpeningPosition(
        **base,
        borrower_id="B1",
        product=product,
        jurisdiction=jurisdiction,
        currency=pick.one(CURRENCIES),
        opened_on=pick.day(START),
        as_of=pick.day(today),
        annual_rate_bps=pick.one((0, 1_825, 36_000)),
        principal=pick.amount(),
        instalments=tuple(_unpaid(pick, today)),
        revision=pick.byte() % 3,
        credit=pick.amount() if pick.byte() % 4 == 0 else 0,
        charged=pick.amount() if pick.byte() % 2 else 0,
        statement_principal=pick.amount() if pick.byte() % 4 == 0 else 0,
        last_payment_on=pick.day(today) if pick.byte() % 2 else None,
        clean_since=pick.day(today) if pick.byte() % 4 == 0 else None,
        material_since=pick.day(today) if pick.byte() % 2 else None,
        classes={pick.one(("cn_2023", "x", "us_ffiec")): pick.one(("pass", "loss", "x"))} if pick.byte() % 2 else {},
        stage=pick.one((None, 1, 2, 3)),
        allowance=pick.amount() if pick.byte() % 2 else 0,
        bad_debt=pick.one(("none", "candidate", "recognised", "charged_off", "recovering", "terminated", "cured")),
        bad_debt_on=pick.day(today) if pick.byte() % 2 else None,
        rejected=pick.byte() % 4 == 3,
        failed_attempts=pick.byte() % 5,
        standing=pick.one(("good", "arrears", "repairing", "restructured", "defaulted")),
        plans_broken=pick.byte() % 3,
        had_plan=pick.byte() % 3 == 0,
        collection_stopped=pick.byte() % 4 == 0,
        plan=plan,
    )


def _unpaid(pick: ByteChoices, today: date) -> Iterator[ev.PositionInstalment]:
    for number in range(pick.byte() % 6):
        yield ev.PositionInstalment(
            number=1 + number,
            due_on=pick.day(today + timedelta(days=30 * (number - 3))),
            principal=pick.amount(),
            interest=pick.amount() if pick.byte() % 2 else 0,
            fees=0,
            penalty=pick.amount() if pick.byte() % 4 == 0 else 0,
            amount_due=pick.amount() if pick.byte() % 2 else None,
            paid=pick.amount() if pick.byte() % 2 else None,
            billed=pick.byte() % 2 == 0,
        )


def _plan(pick: ByteChoices, base: dict[str, Any], today: date, name: str) -> ev.PlanActivated:
    instalments = []
    for number in range(1 + pick.byte() % 12):
        principal, interest = pick.amount(), pick.amount() // 10
        due = pick.day(today + timedelta(days=30 * (number + 1)))
        instalments.append(
            ev.PlanInstalment(
                number=number + 1, due_on=due, amount=principal + interest, principal=principal, interest=interest
            )
        )
    return ev.PlanActivated(
        **base,
        borrower_id="B1",
        plan_id=name,
        offer_id="O1",
        option_id="x",
        currency=pick.one(CURRENCIES),
        activated_on=pick.day(today),
        annual_rate_bps=pick.one((0, 1_000, 36_000)),
        waived=ev.Amounts(interest=pick.amount(), penalty=pick.amount()),
        instalments=tuple(instalments),
        caused_by="x",
    )


# -- a borrower


def borrower_history(data: bytes) -> None:
    """Let a borrower live."""
    _borrower_history(data)


def _borrower_history(data: bytes) -> CheckedDriver:
    pick = ByteChoices(data)
    driver = CheckedDriver(PlannerAgent(), BorrowerState, _book())
    today = START
    offers: list[ev.OfferPublished] = []
    for number in range(MOST_EVENTS):
        if not pick.left:
            break
        event = _borrower_event(pick, number, today, offers)
        said = driver.take(event)
        if isinstance(event, ev.DayClosed):
            today = driver.closed or today
        offers += [e for e in said if isinstance(e, ev.OfferPublished)]
        for offer in (e for e in said if isinstance(e, ev.OfferPublished)):
            ensure(b"secret" not in msgspec.json.encode(offer), "a comment got into an offer")
            for option in offer.options:
                request = sum(i.amount for i in option.instalments)
                parts = sum(i.principal + i.interest for i in option.instalments)
                ensure(request == parts, "instalments do not add up to their parts")
    return driver


def _borrower_event(pick: ByteChoices, number: int, today: date, offers: list[ev.OfferPublished]) -> ev.Event:
    kind = pick.byte() % 12
    if kind < 4:
        day = today + timedelta(days=1 + pick.byte() % 20)
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return ev.DayClosed(event_id=f"d{day}", occurred_at=at, source="fuzz", business_date=day, calendar="none")
    base: dict[str, Any] = _base(pick, number, today, str(kind))
    del base["account_id"]
    base["borrower_id"] = "B1"
    consent = f"c{pick.byte() % 2}"
    if kind == 4:
        return ev.ConsentGranted(**base, consent_id=consent, purpose="repayment_planning")
    if kind == 5:
        return ev.ConsentWithdrawn(**base, consent_id=consent, purpose=pick.one(("repayment_planning", "x")))
    if kind == 6:
        return ev.ErasureRequested(**base) if pick.byte() % 4 == 0 else ev.EducationCompleted(**base, item_id="x")
    if kind == 7:
        return _profile(pick, base, today, consent)
    if kind in (8, 9):
        return _request(pick, base, today)
    offer = offers[-1 - pick.byte() % len(offers)] if offers else None
    options = [option.option_id for option in offer.options] if offer else ["none"]
    answer = pick.one(("accepted", "declined", "countered", "no_answer"))
    return ev.OfferAnswered(
        **base,
        feedback_id=f"f{pick.byte() % 8}",
        offer_id=offer.offer_id if offer else "none",
        answer=answer,
        option_id=pick.one([*options, None, "unknown"]) if options else None,
        reasons=tuple(pick.one(REASONS) for _ in range(pick.byte() % 4)),
        counter_amount=max(1, pick.amount()) if pick.byte() % 2 else None,
        rating=1 + pick.byte() % 5,
        channel=pick.one(("online", "hotline")),
        recording_ref=None,
        comment="secret" + "\u202e\u200b\x00" * (pick.byte() % 3),
    )


def _profile(pick: ByteChoices, base: dict[str, Any], today: date, consent: str) -> ev.ProfileReported:
    return ev.ProfileReported(
        **base,
        kind=pick.one(("bureau", "interview", "third_party", "declared")),
        as_of=pick.day(today),
        consent_id=consent,
        monthly_income=pick.amount() if pick.byte() % 4 else None,
        monthly_expenses=pick.amount() if pick.byte() % 4 else None,
        other_debt_payments=pick.amount() if pick.byte() % 2 else None,
        household_size=1 + pick.byte() % 50,
        region=pick.one((None, "CN", "x")),
        spending={pick.one(TEXTS): pick.amount()} if pick.byte() % 4 == 0 else {},
    )


def _request(pick: ByteChoices, base: dict[str, Any], today: date) -> ev.Event:
    account = f"A{pick.byte() % 3}"
    if pick.byte() % 5 == 0:
        return ev.WorkoutEnded(**base, account_id=account, business_date=today, caused_by="x", reason="cured")
    jurisdiction, product = pick.one(PLACES)
    debt = ev.Debt(
        account_id=account,
        product=product,
        jurisdiction=jurisdiction,
        currency=pick.one(CURRENCIES),
        outstanding=ev.Amounts(principal=pick.amount(), interest=pick.amount() // 4, penalty=pick.amount() // 8),
        overdue_amount=pick.amount(),
        annual_rate_bps=pick.one((0, 1_825, 36_000, 1_000_000)),
        days_past_due=pick.byte() * 3,
        missed=pick.byte() % 9,
        bucket="dpd_31_60",
        bad_debt=pick.one(("none", "candidate", "recognised")),
        stage=1 + pick.byte() % 3,
        remaining_months=pick.byte() % 61,
        contract_instalment=pick.amount(),
    )
    return ev.WorkoutRequested(
        **base, account_id=account, business_date=today, caused_by="x", trigger="fell_behind", debt=debt
    )


# -- seeds


def _walks(length: int, count: int) -> Iterator[bytes]:
    """Yield bytes without a plan, always the same."""
    value = 12_345
    for _ in range(count):
        out = bytearray()
        for _ in range(length):
            value = (value * 1_103_515_245 + 12_345) % 2**31
            out.append(value >> 16 & 0xFF)
        yield bytes(out)


def _history_seeds() -> list[bytes]:
    return list(_walks(400, 24))


@cache
def states_of_histories() -> tuple[Struct, ...]:
    """Return states of every kind that lives have left, to be stored and damaged."""
    states: list[Struct] = []
    for data in _history_seeds():
        states += [s for s in (_account_history(data).state, _borrower_history(data).state) if s is not None]
    learner, state = LearnerAgent(), None
    for event in seeds.examples():
        if isinstance(event, ev.OfferOutcomeReported):
            state = learner.handle(state, event, DecisionContext(_book())).state
    return (*states, *([] if state is None else [state]))


# -- a model


def model_history(data: bytes) -> None:
    """Let a model learn from evidence of any size."""
    pick = ByteChoices(data)
    driver = CheckedDriver(LearnerAgent(), LearnerState, _book())
    today = START
    numbers = (0, 1, -1, 1_000, -1_000, 10**6, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63))
    for number in range(MOST_EVENTS):
        if not pick.left:
            break
        if pick.byte() % 3 == 0:
            today += timedelta(days=1 + pick.byte() % 90)
            at = datetime(today.year, today.month, today.day, tzinfo=UTC)
            driver.take(
                ev.DayClosed(event_id=f"d{today}", occurred_at=at, source="f", business_date=today, calendar="x")
            )
            continue
        width = pick.one((len(FEATURES), len(FEATURES), 0, 1, len(FEATURES) + 1))
        row = ev.EvidenceRow(
            x=tuple(pick.one(numbers) for _ in range(width)),
            shown=pick.byte() % 3 - 1,
            accepted=pick.one(numbers[:8]),
            reward=pick.one(numbers[:8]),
        )
        counts = {pick.one(("learned.offers", "fixed.offers", "learned.accepted", "x")): pick.one(numbers)}
        driver.take(
            ev.OfferOutcomeReported(
                event_id=f"e{number}",
                occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
                source="fuzz",
                model="lead",
                offer_id="O1",
                business_date=pick.day(today),
                caused_by="x",
                rows=(row,),
                cells=(ev.CapacityCell(cell="x", kept=pick.one(numbers), missed=pick.one(numbers)),),
                counts=counts,
            )
        )


HISTORIES = (
    Target("accounts", _history_seeds, account_history),
    Target("borrowers", _history_seeds, borrower_history),
    Target("models", _history_seeds, model_history),
)


def example_history() -> list[ev.Event]:
    """Return the events of a few accounts, as they would come in."""
    events: list[ev.Event] = []
    for number, data in enumerate(_walks(200, 6)):
        pick = ByteChoices(data)
        opening = msgspec.structs.replace(_opening(pick), account_id=f"A{number}", event_id=f"open-{number}")
        events.append(opening)
    return events
