"""What Reprieve says that a person can afford, against who paid and who did not: 4,454 real applicants."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace
from sklearn.metrics import roc_auc_score

from agents.planner.assessment import affordability_of
from schemas.errors import UsageError
from state.affordability import RepaymentCapacity
from state.borrower import BorrowerState
from state.policy_packs.loader import default_book
from state.profile import add_consent, add_readings, readings_of
from tests.real_data.applicants import (
    ASKED_ON,
    CURRENCY,
    Applicant,
    applicant_events,
    credit_data_table,
    read_applicants,
)

pytestmark = pytest.mark.real_data

# The packs' own rules; their floors are of other currencies.
RULES = default_book().policy_for("", "").affordability


def capacity(applicant: Applicant) -> RepaymentCapacity:
    """Return what the house's rules say of an applicant, by the way that a borrower's means take."""
    granted, reported = applicant_events(applicant)
    s = BorrowerState(granted.borrower_id, base_currency=(1, "A", CURRENCY))
    s.consents = add_consent(s.consents, granted)
    s.readings = add_readings(s.readings, readings_of(reported))
    return affordability_of(s, replace(RULES, floors=()), ASKED_ON.toordinal(), CURRENCY, ())[1]


@pytest.fixture(scope="module")
def judged() -> list[tuple[Applicant, RepaymentCapacity]]:
    """Return the applicants whose means are known, with what they can afford."""
    try:
        applicants = read_applicants(credit_data_table())
    except UsageError as error:
        pytest.skip(str(error))
    assert len(applicants) == 4_454
    return [(a, c) for a in applicants if (c := capacity(a)).known]


def bad_rate(rows: list[tuple[Applicant, RepaymentCapacity]]) -> float:
    return sum(a.bad for a, _ in rows) / len(rows)


def test_bad_debts_grow_with_the_instalments_share_of_surplus(
    judged: list[tuple[Applicant, RepaymentCapacity]],
) -> None:
    assert len(judged) == 4_073
    edges = ((0, 10), (10, 20), (20, 30), (30, 40), (40, 60), (60, 100), (100, 10**9))
    rates = []
    for low, high in edges:
        rows = [
            (a, c)
            for a, c in judged
            if (
                low * c.disposable_income < 100 * a.instalment <= high * c.disposable_income
                if c.disposable_income > 0
                else high == 10**9
            )
        ]
        rates.append(bad_rate(rows))
        print(f"{low:>4}-{high if high < 10**9 else '':<4} % of surplus: {len(rows):>4} loans, {rates[-1]:.1%} bad")
    assert rates == sorted(rates)
    # domain.md: 20.9 % at 30-40 % of the surplus, 29.0 % at 40-60 %, 48 % above 100 %.
    assert rates[3] == pytest.approx(0.209, abs=0.012)
    assert rates[4] == pytest.approx(0.290, abs=0.012)
    assert rates[6] == pytest.approx(0.48, abs=0.012)


def test_who_may_be_offered_an_instalment_pays_far_more_often(
    judged: list[tuple[Applicant, RepaymentCapacity]],
) -> None:
    within = [(a, c) for a, c in judged if a.instalment <= c.max_instalment]
    beyond = [(a, c) for a, c in judged if a.instalment > c.max_instalment]
    print(
        f"within the limit {len(within)}: {bad_rate(within):.1%} bad; beyond it {len(beyond)}: {bad_rate(beyond):.1%}"
    )
    assert bad_rate(beyond) > 1.8 * bad_rate(within)


def test_the_share_of_the_surplus_predicts_more_than_of_income(
    judged: list[tuple[Applicant, RepaymentCapacity]],
) -> None:
    bad = np.array([a.bad for a, _ in judged])
    of_surplus = np.array([a.instalment / c.disposable_income if c.disposable_income > 0 else 1e6 for a, c in judged])
    of_income = np.array([a.instalment / max(a.income or 0, 1) for a, _ in judged])
    mine, usual = roc_auc_score(bad, of_surplus), roc_auc_score(bad, of_income)
    print(f"AUC of instalment over surplus {mine:.3f}, over income {usual:.3f}")
    assert mine > usual
    assert mine > 0.64
