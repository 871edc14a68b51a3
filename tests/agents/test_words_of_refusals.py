"""What a refusal may say: of a person no value, of a ledger what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agents import plausible
from schemas import events as ev
from schemas.errors import BadInput
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
    with pytest.raises(BadInput) as refused:
        plausible.check(event)
    told = f"{refused.value.message} {refused.value.field}"
    assert f"{case.record}.{case.field}" in told
    assert not [mark for mark in MARKS if mark in told]


def test_no_date_on_which_somebody_spoke_is_repeated_either() -> None:
    event = replace(EXAMPLES["ProfileReported"], occurred_at=datetime(2150, 3, 3, tzinfo=UTC))
    with pytest.raises(BadInput, match="counts from a day more than 400 days behind the last close") as refused:
        plausible.check_ahead(event, date(2150, 3, 3).toordinal(), date(2026, 1, 1).toordinal(), 400)
    assert "2150" not in refused.value.message


def test_of_a_ledger_the_value_is_told() -> None:
    payment: ev.PaymentReceived = EXAMPLES["PaymentReceived"]
    with pytest.raises(BadInput, match=f"PaymentReceived.amount is {MUCH} minor units, more than "):
        plausible.check(replace(payment, amount=MUCH))
    with pytest.raises(BadInput, match=r"PaymentReceived\.value_on is 1777-01-01, outside the years"):
        plausible.check(replace(payment, value_on=date(1777, 1, 1)))
    with pytest.raises(BadInput, match=r"payment_id is 'hidden\\u200b', in which a character cannot be seen"):
        plausible.check(replace(payment, payment_id="hidden\u200b"))
