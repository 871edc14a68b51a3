"""What a refusal may say: of a person no value, of a ledger what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agents import input_limits
from schemas import events as ev
from schemas.errors import InvalidEventError
from schemas.jsonlines import from_line
from schemas.topics import PERSONAL_TOPICS, TOPIC_OF

EXAMPLES: dict[str, Any] = {
    type(event).__name__: event
    for line in (Path(__file__).parents[2] / "schemas" / "examples.jsonl").read_bytes().splitlines()
    if (event := from_line(line))
}
MUCH = 777_777_777_777_777_777
MARKS = (str(MUCH), f"{MUCH:,}", "1777", "3333", "hidden", "gambling")


@dataclass(frozen=True)
class Case:
    """A value that no event may have, in a field of an event."""

    record: str
    field: str
    value: Any


PERSONAL = [
    *(Case("ProfileReported", name, MUCH) for name in ("monthly_income", "monthly_expenses", "other_debt_payments")),
    Case("ProfileReported", "spending", {"gambling": MUCH}),
    Case("ProfileReported", "spending", {"gambling" * 100: 1}),
    Case("ProfileReported", "as_of", date(1777, 1, 1)),
    Case("ProfileReported", "as_of", date(3333, 1, 1)),
    Case("ProfileReported", "consent_id", "hidden\u200b"),
    Case("ProfileReported", "employment", "hidden" * 100),
    Case("OfferAnswered", "counter_amount", MUCH),
    *(
        Case(record, "occurred_at", datetime(1777, 1, 1, tzinfo=UTC))
        for record in sorted(kind.__name__ for kind, topic in TOPIC_OF.items() if topic.name in PERSONAL_TOPICS)
    ),
]


@pytest.mark.parametrize("case", PERSONAL, ids=lambda case: f"{case.record}.{case.field}")
def test_no_message_about_a_person_repeats_a_value(case: Case) -> None:
    event = replace(EXAMPLES[case.record], **{case.field: case.value})
    with pytest.raises(InvalidEventError) as refused:
        input_limits.check_event(event)
    told = f"{refused.value.message} {refused.value.field}"
    assert f"{case.record}.{case.field}" in told
    assert not [mark for mark in MARKS if mark in told]


def test_no_date_on_which_somebody_spoke_is_repeated_either() -> None:
    event = replace(EXAMPLES["ProfileReported"], occurred_at=datetime(2150, 3, 3, tzinfo=UTC))
    with pytest.raises(
        InvalidEventError, match="counts from a day more than 400 days behind the last close"
    ) as refused:
        input_limits.check_days_ahead(event, date(2150, 3, 3).toordinal(), date(2026, 1, 1).toordinal(), 400)
    assert "2150" not in refused.value.message


@pytest.mark.parametrize("part", ["principal", "interest", "fees", "penalty"])
def test_an_adjustment_downwards_is_bounded_as_one_upwards(part: str) -> None:
    adjusted = EXAMPLES["InstalmentAdjusted"]
    for amount in (-input_limits.MAX_AMOUNT, input_limits.MAX_AMOUNT):
        input_limits.check_event(replace(adjusted, **{part: amount}))
    with pytest.raises(
        InvalidEventError, match=f"InstalmentAdjusted.{part} is -{MUCH} minor units, less than -"
    ) as refused:
        input_limits.check_event(replace(adjusted, **{part: -MUCH}))
    assert (refused.value.code, refused.value.field) == ("out_of_range", part)


POSITION: Any = EXAMPLES["OpeningPosition"]
PLAN = ev.PositionPlan(
    plan_id="P1", activated_on=date(2025, 1, 1), annual_rate_bps=0, instalments=POSITION.instalments[:1]
)


@pytest.mark.parametrize(
    ("where", "changed"),
    [
        ("OpeningPosition.credit", {"credit": MUCH}),
        ("OpeningPosition.charged", {"charged": MUCH}),
        ("OpeningPosition.statement_principal", {"statement_principal": MUCH}),
        ("OpeningPosition.allowance", {"allowance": MUCH}),
        ("PositionPlan.paid", {"plan": replace(PLAN, paid=MUCH)}),
        ("Amounts.interest", {"plan": replace(PLAN, waived=ev.Amounts(interest=MUCH))}),
        ("PositionInstalment.paid", {"instalments": (replace(POSITION.instalments[0], paid=MUCH),)}),
        ("PositionInstalment.amount_due", {"instalments": (replace(POSITION.instalments[0], amount_due=MUCH),)}),
        ("PositionInstalment.due_on", {"instalments": (replace(POSITION.instalments[0], due_on=date(1777, 1, 1)),)}),
        ("OpeningPosition.as_of", {"as_of": date(1777, 1, 1)}),
        ("PositionPlan.plan_id", {"plan": replace(PLAN, plan_id="hidden\u200b")}),
        ("OpeningPosition.classes", {"classes": {"cn_2023": "x" * 501}}),
        ("OpeningPosition.classes", {"classes": {str(n): "x" for n in range(501)}}),
        ("OpeningPosition.instalments", {"instalments": POSITION.instalments[:1] * input_limits.MAX_ENTRIES}),
        ("PositionPlan.instalments", {"plan": replace(PLAN, instalments=PLAN.instalments * input_limits.MAX_ENTRIES)}),
    ],
)
def test_no_part_of_a_position_is_beyond_what_a_loan_has(where: str, changed: dict[str, Any]) -> None:
    input_limits.check_event(replace(POSITION, plan=PLAN, classes={"cn_2023": "x" * 500}))
    with pytest.raises(InvalidEventError) as refused:
        input_limits.check_event(replace(POSITION, **changed))
    assert where in refused.value.message
    assert refused.value.field == where.partition(".")[2]


def test_of_a_ledger_the_value_is_told() -> None:
    payment: ev.PaymentReceived = EXAMPLES["PaymentReceived"]
    with pytest.raises(InvalidEventError, match=f"PaymentReceived.amount is {MUCH} minor units, more than "):
        input_limits.check_event(replace(payment, amount=MUCH))
    with pytest.raises(InvalidEventError, match=r"PaymentReceived\.value_on is 1777-01-01, outside the years"):
        input_limits.check_event(replace(payment, value_on=date(1777, 1, 1)))
    with pytest.raises(InvalidEventError, match=r"payment_id is 'hidden\\u200b', in which a character cannot be seen"):
        input_limits.check_event(replace(payment, payment_id="hidden\u200b"))
