"""Lives: an account and a borrower through whatever events bytes can spell, extremes first.

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

from agents.account import AccountAgent
from agents.base import Agent, Environment
from agents.learner import LearnerAgent
from agents.planner import PlannerAgent
from agents.plausible import check_close
from agents.policies import changed, check_change
from fuzz import seeds
from fuzz.oracles import Broken, Target, hold
from schemas import events as ev
from schemas.codec import Codec
from schemas.errors import BadInput
from schemas.validation import check
from state.account import AccountState
from state.borrower import BorrowerState
from state.learner import LearnerState
from state.learning import FEATURES
from state.pack import default_book, files_of
from state.policy import PolicyBook
from state.storage import pack, unpack

START = date(2026, 1, 1)
MOST_EVENTS = 40
DAYS = (0, 1, 2, 5, 14, 30, 31, 45, 60, 92, 120, 181, 365, 400, -1, -400)
AMOUNTS = (1, 2, 99, 100, 10_000, 33_333, 300_000, 10**9, 0, 7, 50_000, 999_999)
HUGE = (2**31, 10**11, 10**14, 10**14 + 1, 2**53, 2**62, 2**63 - 1)
CURRENCIES = ("USD", "CNY", "JPY", "KWD", "XXX", "USD", "USD", "USD")
PLACES = (("US", "personal_loan"), ("CN", "credit_card"), ("EU", "personal_loan"), ("ZZ", "x"), ("GB", "mortgage"))
DATES = (date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29), date(1900, 1, 1), date(2199, 12, 31))
PACKS = ("default", "us_ffiec", "eu_dod", "cn_card", "house")
CLOCK = (ev.DayClosed, ev.PolicyChanged)
TEXTS = ("x", "\u202e1A", "\u200b", "é", "e\u0301", "不", "𝔘", "a" * 64, "0")
REASONS: tuple[ev.AnswerReason, ...] = (
    "too_high", "too_long", "rate", "income_change", "dispute", "distress", "distrust", "other",
)  # fmt: skip


class Spelling:
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


class Life:
    """One key of one agent, kept as a runtime keeps it, with every promise looked at after every step."""

    def __init__(self, agent: Agent[Any], kind: type[Struct], book: PolicyBook) -> None:
        self.agent = agent
        self.kind = kind
        self.book = book
        self.state: Struct | None = None
        self.facts: dict[str, ev.Event] = {}
        self.closed: date | None = None
        self._first, self._changes = book, list[ev.PolicyChanged]()
        self._codec = Codec()

    def take(self, event: ev.Event) -> list[ev.Event]:
        """Hand over an event, close a day, or change policies; returns what is said."""
        known = None if isinstance(event, CLOCK) else self.facts.get(self.agent.fact_key(event))
        env = Environment(self.book, self.closed, known, lambda: sorted(self.facts.items()))
        try:
            if isinstance(event, ev.DayClosed):
                check_close(event, self.closed, self.book.policy_for("", "").most_days_skipped)
                return self._closed(event, env)
            if isinstance(event, ev.PolicyChanged):
                if check_change(event, self._changes, self.closed, 366):
                    self._changes.append(event)
                    self.book = changed(self._first, self._changes)
                return []
            step = self.agent.handle(self.state, event, env)
        except BadInput as bad:
            hold(bool(bad.code) and bad.message.endswith("."), "a refusal without a code or a sentence")
            return []
        return self._stepped(step)

    def _closed(self, event: ev.DayClosed, env: Environment) -> list[ev.Event]:
        said: list[ev.Event] = []
        if self.closed is not None and event.business_date <= self.closed:
            return said
        if self.state is not None:
            due, through = self.agent.due(self.state), event.business_date.toordinal()
            if (due is not None and due <= through) or self.agent.outdated(self.state, self.book, through):
                said = self._stepped(self.agent.close(self.state, event, env))
        self.closed = event.business_date
        return said

    def _stepped(self, step: Any) -> list[ev.Event]:
        _said(step.outputs)
        stored = pack(step.state)
        self.state = unpack(stored, self.kind)
        hold(pack(self.state) == stored, "a state has two forms of bytes")
        self.facts.update(step.facts)
        for event in step.outputs:
            hold(self._codec.decode(self._codec.encode(event)) == event, f"a {type(event).__name__} is not read back")
        return list(step.outputs)


def _said(outputs: Sequence[ev.Event]) -> None:
    for event in outputs:
        try:
            check(event)
        except BadInput as bad:
            raise Broken(f"what an agent says breaks its contract: {bad.message}") from bad


@cache
def _book() -> PolicyBook:
    return default_book()


@cache
def _files(name: str) -> dict[str, str]:
    return files_of(name)


# -- an account


def account_life(data: bytes) -> None:
    """Let an account live."""
    _account_life(data)


def _account_life(data: bytes) -> Life:
    spell = Spelling(data)
    life = Life(AccountAgent(), AccountState, _book())
    today = START
    life.take(_opening(spell))
    for number in range(MOST_EVENTS):
        if not spell.left:
            break
        event = _account_event(spell, number, today)
        life.take(event)
        if isinstance(event, ev.DayClosed):
            today = life.closed or today
        _conserved(life.state)
    return life


def _conserved(state: Any) -> None:
    if state is None:
        return
    s = cast(AccountState, state)
    hold(s.credit >= 0, "credit below zero")
    for r in s.receivables:
        hold(min(r.principal, r.interest, r.fees, r.penalty) >= 0, "a balance below zero")
    if s.plan is None and not s.had_plan:
        hold(s.received == s.paid.total() + s.credit, "what was received is not what was allocated and left")


def _base(spell: Spelling, number: int, today: date, kind: str) -> dict[str, Any]:
    return {"event_id": f"{kind}-{number}", "occurred_at": spell.instant(today), "source": "fuzz", "account_id": "A1"}


def _opening(spell: Spelling) -> ev.AccountOpened:
    jurisdiction, product = spell.one(PLACES)
    count = spell.byte() % 13
    instalments = tuple(
        ev.Instalment(
            number=n + 1,
            due_on=spell.day(START + timedelta(days=30 * n)),
            principal=spell.amount(),
            interest=spell.amount() if spell.byte() % 4 == 0 else 0,
            fees=0,
        )
        for n in range(count)
    )
    return ev.AccountOpened(
        **_base(spell, 0, START, "open"),
        borrower_id="B1",
        product=product,
        jurisdiction=jurisdiction,
        currency=spell.one(CURRENCIES),
        opened_on=spell.day(START),
        annual_rate_bps=spell.one((0, 1_000, 1_825, 36_000, 1_000_000)),
        principal=spell.amount(),
        instalments=instalments,
    )


def _account_event(spell: Spelling, number: int, today: date) -> ev.Event:
    kind = spell.byte() % 19
    if kind < 5:
        day = today + timedelta(days=1 + spell.byte() % 40)
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return ev.DayClosed(event_id=f"d{day}", occurred_at=at, source="fuzz", business_date=day, calendar="none")
    if kind == 18:
        at, files = datetime(today.year, today.month, today.day, tzinfo=UTC), _files(spell.one(PACKS))
        name, day = f"c{spell.byte() % 8}", spell.day(today)
        return ev.PolicyChanged(
            event_id=name, occurred_at=at, source="fuzz", change_id=name, effective_on=day, files=files
        )
    base = _base(spell, number, today, str(kind))
    name = f"{spell.one(TEXTS)}{spell.byte() % 4}"[-64:]
    if kind < 8:
        value, currency = spell.day(today), spell.one(CURRENCIES)
        return ev.PaymentReceived(
            **base, payment_id=name, amount=max(1, spell.amount()), currency=currency, value_on=value, channel="x"
        )
    if kind == 8:
        return ev.PaymentReversed(**base, payment_id=name, reversed_on=spell.day(today), reason="x")
    if kind == 9:
        outcome = spell.one(("no_answer", "refused", "reached", "complaint"))
        return ev.ContactAttempted(
            **base, attempt_id=name, channel="call", direction="outbound", outcome=outcome, agent="x"
        )
    if kind == 10:
        return ev.PromiseMade(**base, promise_id=name, amount=max(1, spell.amount()), due_on=spell.day(today))
    if kind == 11:
        until = spell.day(today) if spell.byte() % 2 else None
        held = spell.one(("dispute", "breathing_space", "bankruptcy", "deceased"))
        return ev.HoldPlaced(**base, hold_id=name, kind=held, from_on=spell.day(today), until_on=until)
    if kind == 12:
        return ev.HoldReleased(**base, hold_id=name, released_on=spell.day(today))
    if kind == 13:
        decision = spell.one(("recognise", "reject", "charge_off", "terminate"))
        return ev.BadDebtReviewed(**base, review_id=name, decision=decision, reviewer="x", ground="x")
    if kind == 14:
        return ev.InstalmentBilled(
            **base,
            number=1 + spell.byte() % 9,
            due_on=spell.day(today),
            principal=spell.amount(),
            interest=spell.amount(),
            fees=0,
        )
    if kind == 15:
        return _plan(spell, base, today, name)
    if kind == 16:
        return ev.PlanReviewRequested(
            **base, borrower_id="B1", plan_id=name, requested_on=spell.day(today), caused_by="x"
        )
    return ev.AccountClosed(**base, reason="x", closed_on=spell.day(today) if spell.byte() % 2 else None)


def _plan(spell: Spelling, base: dict[str, Any], today: date, name: str) -> ev.PlanActivated:
    instalments = []
    for number in range(1 + spell.byte() % 12):
        principal, interest = spell.amount(), spell.amount() // 10
        due = spell.day(today + timedelta(days=30 * (number + 1)))
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
        currency=spell.one(CURRENCIES),
        activated_on=spell.day(today),
        annual_rate_bps=spell.one((0, 1_000, 36_000)),
        waived=ev.Amounts(interest=spell.amount(), penalty=spell.amount()),
        instalments=tuple(instalments),
        caused_by="x",
    )


# -- a borrower


def borrower_life(data: bytes) -> None:
    """Let a borrower live."""
    _borrower_life(data)


def _borrower_life(data: bytes) -> Life:
    spell = Spelling(data)
    life = Life(PlannerAgent(), BorrowerState, _book())
    today = START
    offers: list[ev.OfferPublished] = []
    for number in range(MOST_EVENTS):
        if not spell.left:
            break
        event = _borrower_event(spell, number, today, offers)
        said = life.take(event)
        if isinstance(event, ev.DayClosed):
            today = life.closed or today
        offers += [e for e in said if isinstance(e, ev.OfferPublished)]
        for offer in (e for e in said if isinstance(e, ev.OfferPublished)):
            hold(b"secret" not in msgspec.json.encode(offer), "a comment got into an offer")
            for option in offer.options:
                asked = sum(i.amount for i in option.instalments)
                parts = sum(i.principal + i.interest for i in option.instalments)
                hold(asked == parts, "instalments do not add up to their parts")
    return life


def _borrower_event(spell: Spelling, number: int, today: date, offers: list[ev.OfferPublished]) -> ev.Event:
    kind = spell.byte() % 12
    if kind < 4:
        day = today + timedelta(days=1 + spell.byte() % 20)
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return ev.DayClosed(event_id=f"d{day}", occurred_at=at, source="fuzz", business_date=day, calendar="none")
    base: dict[str, Any] = _base(spell, number, today, str(kind))
    del base["account_id"]
    base["borrower_id"] = "B1"
    consent = f"c{spell.byte() % 2}"
    if kind == 4:
        return ev.ConsentGranted(**base, consent_id=consent, purpose="repayment_planning")
    if kind == 5:
        return ev.ConsentWithdrawn(**base, consent_id=consent, purpose=spell.one(("repayment_planning", "x")))
    if kind == 6:
        return ev.ErasureRequested(**base) if spell.byte() % 4 == 0 else ev.EducationCompleted(**base, item_id="x")
    if kind == 7:
        return _profile(spell, base, today, consent)
    if kind in (8, 9):
        return _request(spell, base, today)
    offer = offers[-1 - spell.byte() % len(offers)] if offers else None
    options = [option.option_id for option in offer.options] if offer else ["none"]
    answer = spell.one(("accepted", "declined", "countered", "no_answer"))
    return ev.OfferAnswered(
        **base,
        feedback_id=f"f{spell.byte() % 8}",
        offer_id=offer.offer_id if offer else "none",
        answer=answer,
        option_id=spell.one([*options, None, "unknown"]) if options else None,
        reasons=tuple(spell.one(REASONS) for _ in range(spell.byte() % 4)),
        counter_amount=max(1, spell.amount()) if spell.byte() % 2 else None,
        rating=1 + spell.byte() % 5,
        channel=spell.one(("online", "hotline")),
        recording_ref=None,
        comment="secret" + "\u202e\u200b\x00" * (spell.byte() % 3),
    )


def _profile(spell: Spelling, base: dict[str, Any], today: date, consent: str) -> ev.ProfileReported:
    return ev.ProfileReported(
        **base,
        kind=spell.one(("bureau", "interview", "third_party", "declared")),
        as_of=spell.day(today),
        consent_id=consent,
        monthly_income=spell.amount() if spell.byte() % 4 else None,
        monthly_expenses=spell.amount() if spell.byte() % 4 else None,
        other_debt_payments=spell.amount() if spell.byte() % 2 else None,
        household_size=1 + spell.byte() % 50,
        region=spell.one((None, "CN", "x")),
        spending={spell.one(TEXTS): spell.amount()} if spell.byte() % 4 == 0 else {},
    )


def _request(spell: Spelling, base: dict[str, Any], today: date) -> ev.Event:
    account = f"A{spell.byte() % 3}"
    if spell.byte() % 5 == 0:
        return ev.WorkoutEnded(**base, account_id=account, business_date=today, caused_by="x", reason="cured")
    jurisdiction, product = spell.one(PLACES)
    debt = ev.Debt(
        account_id=account,
        product=product,
        jurisdiction=jurisdiction,
        currency=spell.one(CURRENCIES),
        outstanding=ev.Amounts(principal=spell.amount(), interest=spell.amount() // 4, penalty=spell.amount() // 8),
        overdue_amount=spell.amount(),
        annual_rate_bps=spell.one((0, 1_825, 36_000, 1_000_000)),
        days_past_due=spell.byte() * 3,
        missed=spell.byte() % 9,
        bucket="dpd_31_60",
        bad_debt=spell.one(("none", "candidate", "recognised")),
        stage=1 + spell.byte() % 3,
        remaining_months=spell.byte() % 61,
        contract_instalment=spell.amount(),
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


def _story_seeds() -> list[bytes]:
    return list(_walks(400, 24))


@cache
def lived_states() -> tuple[Struct, ...]:
    """Return states of every kind that lives have left, to be stored and damaged."""
    states: list[Struct] = []
    for data in _story_seeds():
        states += [s for s in (_account_life(data).state, _borrower_life(data).state) if s is not None]
    learner, state = LearnerAgent(), None
    for event in seeds.examples():
        if isinstance(event, ev.EvidenceGathered):
            state = learner.handle(state, event, Environment(_book())).state
    return (*states, *([] if state is None else [state]))


# -- a model


def model_life(data: bytes) -> None:
    """Let a model learn from evidence of any size."""
    spell = Spelling(data)
    life = Life(LearnerAgent(), LearnerState, _book())
    today = START
    numbers = (0, 1, -1, 1_000, -1_000, 10**6, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63))
    for number in range(MOST_EVENTS):
        if not spell.left:
            break
        if spell.byte() % 3 == 0:
            today += timedelta(days=1 + spell.byte() % 90)
            at = datetime(today.year, today.month, today.day, tzinfo=UTC)
            life.take(ev.DayClosed(event_id=f"d{today}", occurred_at=at, source="f", business_date=today, calendar="x"))
            continue
        width = spell.one((len(FEATURES), len(FEATURES), 0, 1, len(FEATURES) + 1))
        row = ev.EvidenceRow(
            x=tuple(spell.one(numbers) for _ in range(width)),
            shown=spell.byte() % 3 - 1,
            accepted=spell.one(numbers[:8]),
            reward=spell.one(numbers[:8]),
        )
        counts = {spell.one(("learned.offers", "fixed.offers", "learned.accepted", "x")): spell.one(numbers)}
        life.take(
            ev.EvidenceGathered(
                event_id=f"e{number}",
                occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
                source="fuzz",
                model="lead",
                offer_id="O1",
                business_date=spell.day(today),
                caused_by="x",
                rows=(row,),
                cells=(ev.CapacityCell(cell="x", kept=spell.one(numbers), missed=spell.one(numbers)),),
                counts=counts,
            )
        )


LIVES = (
    Target("accounts", _story_seeds, account_life),
    Target("borrowers", _story_seeds, borrower_life),
    Target("models", _story_seeds, model_life),
)


def stories() -> list[ev.Event]:
    """Return the events of a few accounts, as they would come in."""
    events: list[ev.Event] = []
    for number, data in enumerate(_walks(200, 6)):
        spell = Spelling(data)
        opening = msgspec.structs.replace(_opening(spell), account_id=f"A{number}", event_id=f"open-{number}")
        events.append(opening)
    return events
