"""An account that release 0.1.0 stored is read and goes on."""

from __future__ import annotations

from datetime import date

import msgspec

from state.account import AccountState, Paid, Receivable, Reversal
from state.ledger import ACCRUAL_UNIT
from state.storage import unpack

DUE = date(2026, 2, 1).toordinal()
# As layout 1 had them: number, due, principal, interest, fees, penalty, asked, reported, plan, billed, settled.
OPEN = [2, DUE, 4_000, 300, 0, 50, 10_300, True, False, False, False]
TO_COME = [3, DUE + 28, 10_000, 200, 0, 0, 10_200, False, False, False, False]


def layout_1(**changes: object) -> bytes:
    """Return the bytes of an account in layout 1."""
    fields: dict[str, object] = {
        "account_id": "A1",
        "borrower_id": "B1",
        "product": "personal_loan",
        "jurisdiction": "CN",
        "currency": "CNY",
        "annual_rate_bps": 1_800,
        "original_principal": 30_000,
        "opened": DUE - 60,
        "through": DUE + 1,
        "due": DUE + 29,
        "pending": [],
        "receivables": [OPEN, TO_COME],
        "received": 16_000,
        "credit": 0,
        "paid": [15_600, 400, 0, 0],
        "waived": [0, 0, 0, 0],
        "accrued": 1_825_000,
        "penalty_posted": 0,
        "charged": 50,
        "billed": 0,
        "accrued_to": DUE + 1,
        "last_payment": DUE,
        "days_past_due": 1,
        "counter_days": 1,
        "missed": 1,
        "overdue": 4_350,
        "bucket": "dpd_1_30",
        "overdue_since": DUE + 1,
        "clean_since": 0,
        "material_since": DUE + 1,
        "classes": {"cn_2023": 1},
        "stage": 1,
        "allowance": 0,
        "bad_debt": "none",
        "bad_debt_on": 0,
        "rejected": False,
        "attempts": 1,
        "evidence": ["c1"],
        "promises": [],
        "plan": None,
        "plans_broken": 0,
        "had_plan": False,
        "holds": [],
        "releases": {},
        "reversals": ["p9"],
        "collection_stopped": False,
        "standing": "arrears",
        "closed": 0,
        "early": [],
        "requested": "",
        "distressed": None,
    }
    return b"\x01" + msgspec.msgpack.encode(list((fields | changes).values()))


def test_what_the_old_ledger_left_unpaid_was_unpaid_as_asked() -> None:
    s = unpack(layout_1(), AccountState)
    assert [(r.unpaid(), r.paid_toward, r.owed()) for r in s.receivables] == [
        (4_300, 6_000, 4_350),
        (10_200, 0, 10_200),
    ]
    assert s.reversals == (Reversal("payment:p9"),)
    # Half a minor unit of penalty interest is half a one.
    assert 2 * s.accrued == ACCRUAL_UNIT
    assert (s.was_asked_for(2), s.was_asked_for(4), s.scheduled, s.ifrs9_stage_by_days) == (True, False, True, 1)


def test_charges_under_a_plan_are_owed_again_when_it_breaks() -> None:
    plan = ["plan1", "o1", DUE, [OPEN], [0, 0, 0, 0], [500, 0, 0, 0], 1, 0, 0, 1, DUE, 900, 0, 0, 0, 70]
    asked = [1, DUE + 30, 5_000, 0, 0, 70, 5_000, False, True, False, False]
    s = unpack(layout_1(plan=plan, receivables=[asked]), AccountState)
    assert s.plan is not None
    assert s.plan.paid == Paid(principal=500)
    assert s.plan.counted == 500
    (replaced,) = s.plan.replaced
    assert isinstance(replaced, Receivable)
    assert replaced.penalty == 120
