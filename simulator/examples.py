"""`python -m simulator.examples > schemas/examples.jsonl`: one event of each public record, simulated."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas import events as ev
from schemas.asyncapi import public_records, public_topics
from schemas.jsonlines import to_line
from simulator.world import START, World
from state.policy_packs.loader import default_book
from streams.local.runtime import LocalRuntime

ACCOUNTS, DAYS, SEED = 400, 330, 7
# A change of policy in short; a real one carries whole packs.
BOOK = """book: spring
version: 2
rows:
  - {jurisdictions: ['*'], products: ['*'], packs: [grace]}
"""
GRACE = """pack: grace
version: 1
title: What changes, in short (a change carries whole packs)
sections:
  delinquency:
    grace_days: {value: 5, verified: false, source: risk committee}
"""
AT = datetime(2025, 6, 2, 9, 30, tzinfo=UTC)


def _id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"reprieve/{name}"))


def _base(name: str, source: str) -> dict[str, Any]:
    return {"event_id": _id(name), "occurred_at": AT, "source": source}


def seldom() -> Iterator[ev.Event]:
    """Yield what a simulated portfolio has no occasion for."""
    about: dict[str, Any] = {"account_id": "A0000042-1", "business_date": date(2025, 6, 2), "caused_by": _id("cause")}
    plan: dict[str, Any] = {"plan_id": _id("plan"), "offer_id": _id("offer")}
    yield ev.AccountClosed(
        **_base("closed", "loans"), account_id="A0000042-1", reason="repaid", closed_on=date(2025, 6, 2)
    )
    yield from _of_the_loan_system()
    yield from _answers(about)
    yield ev.ErasureRequested(**_base("erasure", "privacy-desk"), borrower_id="B0000042")
    yield ev.PlanReplaced(
        **_base("replaced", "reprieve.account"), **about, **plan, by_plan_id=_id("other plan"), kept=4, missed=1
    )
    yield ev.PlanPostponed(
        **_base("postponed", "reprieve.account"),
        **about,
        **plan,
        months=2,
        next_due_on=date(2025, 8, 15),
        last_due_on=date(2027, 2, 15),
    )
    yield ev.GuardrailTripped(
        **_base("tripped", "reprieve.learner"),
        model="lead",
        business_date=date(2025, 6, 2),
        caused_by=_id("cause"),
        guardrail="acceptance",
        measured_bps=7_000,
        limit_bps=8_000,
        offers=412,
    )
    yield ev.ContactRevised(
        **_base("revised", "reprieve.planner"),
        offer_id=_id("offer"),
        borrower_id="B0000042",
        contact=ev.Contact(
            not_before=datetime(2025, 6, 10, 0, tzinfo=UTC),
            not_after=datetime(2025, 6, 10, 14, tzinfo=UTC),
            channels=("app", "sms", "email", "call"),
            time_zone="Asia/Shanghai",
            held_back="cap_reached",
            windows=tuple(
                ev.ContactWindow(
                    not_before=datetime(2025, 6, day, 0, tzinfo=UTC), not_after=datetime(2025, 6, day, 14, tzinfo=UTC)
                )
                for day in (10, 11, 12)
            ),
        ),
        business_date=date(2025, 6, 9),
        caused_by=_id("contact"),
        reason="cap_reached",
        number=1,
    )
    yield ev.PartyContactChanged(
        **_base("party contact", "reprieve.planner"),
        borrower_id="B0000043",
        account_id="A0000042-1",
        role="joint",
        contact=ev.Contact(
            not_before=datetime(2025, 6, 10, 0, tzinfo=UTC),
            not_after=datetime(2025, 6, 10, 14, tzinfo=UTC),
            channels=("app", "sms", "email", "call"),
            time_zone="Asia/Shanghai",
            windows=(
                ev.ContactWindow(
                    not_before=datetime(2025, 6, 10, 0, tzinfo=UTC), not_after=datetime(2025, 6, 10, 14, tzinfo=UTC)
                ),
            ),
        ),
        reason="",
        number=1,
        business_date=date(2025, 6, 9),
        caused_by=_id("close"),
    )
    yield ev.AnswerNotApplied(
        **_base("unapplied", "reprieve.planner"),
        borrower_id="B0000042",
        business_date=date(2025, 6, 20),
        caused_by=_id("answer"),
        offer_id=_id("offer"),
        feedback_id=_id("feedback"),
        answer="accepted",
        code="accepted_before",
        reason="The offer was accepted before, and the plans of that acceptance stand.",
    )
    yield ev.ContactBreached(
        **_base("breached", "reprieve.planner"),
        borrower_id="B0000042",
        account_id="A0000042-1",
        attempt_id=_id("attempt"),
        attempted_at=datetime(2025, 6, 2, 14, 30, tzinfo=UTC),
        rules=("outside_hours", "cap_reached"),
        time_zone="Asia/Shanghai",
        policy="house@1+cn_2023@1+cn_writeoff@1+cn_collection@1+ifrs9@1#0123456789ab",
        business_date=date(2025, 6, 2),
        caused_by=_id("close"),
    )
    yield ev.PersonalDataErased(
        **_base("erased", "reprieve.planner"),
        borrower_id="B0000042",
        caused_by=_id("erasure"),
        through=AT,
        readings=6,
        reports=2,
        answers=3,
        consents=1,
        education=0,
        recordings_kept=1,
        kept=(
            "debts: the ledger, and which of them are disputed",
            "recordings: oral agreements whose debt is not settled",
        ),
    )
    yield ev.PersonalDataRead(
        **_base("read", "reprieve.cli"),
        borrower_id="B0000042",
        chain="data-1",
        number=17,
        previous=sha256(b"16").hexdigest(),
        digest=sha256(b"17").hexdigest(),
        actor="operator",
        purpose="hotline",
        fields=("readings", "consents"),
    )
    yield ev.DeadLetter(
        **_base("letter", "reprieve"),
        topic="payments",
        partition=3,
        offset=1_204,
        key=b"A0000042-1",
        value=b"\xffnot Avro",
        headers={},
        code="unreadable",
        message="The record begins with 0xFF, which is neither of the framings that are read.",
    )

    yield ev.PolicyChanged(
        **_base("policy", "risk"),
        change_id="policy-2025-07",
        effective_on=date(2025, 7, 1),
        files={"book": BOOK, "grace": GRACE},
    )
    yield ev.QuarantineReleased(
        **_base("release", "operations"),
        agent="account",
        key="A0000042-1",
        actor="op-7",
        reason="mended in 0.2.1",
    )


def _of_the_loan_system() -> Iterator[ev.Event]:
    """Yield corrections, changes of a contract, and an account that is taken over."""
    account: dict[str, Any] = {"account_id": "A0000042-1"}
    yield ev.OpeningPosition(
        **_base("position", "migration"),
        **account,
        borrower_id="B0000042",
        product="personal_loan",
        jurisdiction="CN",
        currency="CNY",
        opened_on=date(2024, 7, 15),
        as_of=date(2025, 5, 31),
        annual_rate_bps=1_500,
        principal=1_200_000,
        instalments=(
            ev.PositionInstalment(
                number=10,
                due_on=date(2025, 5, 15),
                principal=60_000,
                interest=3_750,
                fees=0,
                penalty=230,
                amount_due=103_750,
                paid=40_000,
            ),
            ev.PositionInstalment(number=11, due_on=date(2025, 6, 15), principal=100_000, interest=2_500, fees=0),
            ev.PositionInstalment(number=12, due_on=date(2025, 7, 15), principal=100_000, interest=1_250, fees=0),
        ),
        charged=230,
        last_payment_on=date(2025, 5, 20),
        classes={"cn_2023": "special_mention"},
        stage=1,
        allowance=2_600,
        failed_attempts=2,
        standing="arrears",
    )
    yield ev.PartyChanged(
        **_base("party", "loans"),
        **account,
        borrower_id="B0000043",
        from_on=date(2025, 6, 2),
        role="guarantor",
        suretyship="joint_and_several",
    )
    yield ev.InstalmentAdjusted(
        **_base("adjusted", "loans"),
        **account,
        adjustment_id=_id("adjustment"),
        number=11,
        effective_on=date(2025, 6, 2),
        interest=-500,
        reason="goodwill",
    )
    yield ev.AdjustmentReversed(
        **_base("adjustment reversed", "loans"),
        **account,
        adjustment_id=_id("adjustment"),
        reversed_on=date(2025, 6, 5),
        reason="made_in_error",
    )
    yield ev.ScheduleRevised(
        **_base("schedule", "loans"),
        **account,
        revision=1,
        effective_on=date(2025, 6, 20),
        instalments=(ev.Instalment(number=12, due_on=date(2025, 7, 15), principal=50_000, interest=625, fees=0),),
        reason="prepayment",
    )
    yield ev.PaymentFailed(
        **_base("failed", "payments"),
        **account,
        payment_id=_id("debit"),
        amount=102_500,
        reason="insufficient_funds",
        failed_on=date(2025, 6, 2),
    )
    yield ev.AccountReopened(
        **_base("reopened", "loans"), **account, reopened_on=date(2025, 6, 10), reason="payment_returned"
    )


def _answers(about: dict[str, Any]) -> Iterator[ev.Event]:
    """Yield what Reprieve answers to them. about: the account, the day and the cause."""
    cny: dict[str, Any] = {"currency": "CNY"}
    yield ev.PromiseKept(
        **_base("kept", "reprieve.account"),
        **about,
        **cny,
        promise_id=_id("promise"),
        due_on=date(2025, 6, 2),
        amount=60_000,
    )
    yield ev.PromiseBroken(
        **_base("not kept", "reprieve.account"),
        **about,
        **cny,
        promise_id=_id("promise"),
        due_on=date(2025, 6, 2),
        amount=60_000,
        paid=20_000,
    )
    yield ev.AccountEnded(
        **_base("ended", "reprieve.account"), **about, **cny, reason="repaid", outstanding=ev.Amounts(interest=1_250)
    )
    yield ev.AccountRestored(
        **_base("restored", "reprieve.account"),
        **about,
        **cny,
        reason="payment_returned",
        outstanding=ev.Amounts(principal=100_000, interest=1_250),
    )
    yield ev.InputNotApplied(
        **_base("not applied", "reprieve.account"),
        **about,
        fact_type="HoldReleased",
        fact_id=_id("hold"),
        code="unknown_hold",
        reason="No hold of this id was placed on the account. Send the HoldPlaced, or release another hold.",
    )
    yield ev.PaymentFailureReported(
        **_base("failure", "reprieve.account"),
        **about,
        **cny,
        borrower_id="B0000042",
        payment_id=_id("debit"),
        amount=102_500,
        reason="insufficient_funds",
        failures=1,
        retry_on=date(2025, 6, 15),
    )


def _says_little(event: ev.Event) -> bool:
    return (isinstance(event, ev.DecisionLogged) and not event.feasible) or (
        isinstance(event, ev.ProfileReported) and event.monthly_income is None
    )


def collected() -> dict[str, ev.Event]:
    """Return the shortest event of each public record, in the order of topics."""
    seen = {type(e).__name__: e for e in seldom()}
    length = {name: len(to_line(e)) for name, e in seen.items()}
    world, arrived = World(ACCOUNTS, SEED, START), list[ev.Event]()
    with LocalRuntime.open(None, default_book()) as runtime:
        arrived = list(world.opening())
        for n in range(DAYS):
            said = runtime.feed(arrived)
            for event in (*arrived, *said):
                name, size = type(event).__name__, len(to_line(event))
                # An offer without options, a report without means: short, but no example.
                bare = isinstance(event, ev.OfferPublished) and not event.options
                if size < length.get(name, 10**9) and not bare and not _says_little(event):
                    seen[name], length[name] = event, size
            arrived = list(world.day(START + timedelta(days=n), said))
    return {name: seen[name] for topic in public_topics() for name in public_records(topic)}


if __name__ == "__main__":
    for example in collected().values():
        sys.stdout.buffer.write(to_line(example))
