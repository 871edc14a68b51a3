"""The curve of kept instalments on real payments: learned in the order of the stream, scored on what comes next.

The UCI card data has no plans, so minimum payments stand for instalments: month by month the counts of the months
before are all that is known. The burden is what is asked for over what was paid in the months before, and arrears are
the missed months in a row. The same four figures are given to models that see all earlier rows at once.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from schemas.errors import UsageError
from state.learning import RepaymentModel, cell_of
from tests.real_data.uci import minimum_payment, read_cards, uci_csv

pytestmark = pytest.mark.real_data

Row = tuple[float, int, float, int]


def months() -> list[list[tuple[Row, bool]]]:
    """Return by month, from the third on, what was known of each minimum payment that fell due, and if it was kept."""
    try:
        cards = read_cards(uci_csv())
    except UsageError as error:
        pytest.skip(str(error))
    found: list[list[tuple[Row, bool]]] = [[] for _ in range(4)]
    for card in cards:
        missed, paid = 0, [card.payments[0]]
        for month in range(1, 6):
            asked = minimum_payment(card.bills[month - 1])
            if asked <= 0:
                continue
            kept = card.payments[month] >= asked
            if month >= 2:
                usual = sum(paid) / len(paid)
                burden = min(5.0, asked / usual) if usual else 5.0
                found[month - 2].append(((burden, 12, 0.0, 30 * missed), kept))
            missed = 0 if kept else missed + 1
            paid.append(card.payments[month])
    return found


def calibration_error(foretold: np.ndarray, came: np.ndarray) -> float:
    """Return the mean distance of foretold and came, over ten bins of about the same size."""
    parts = np.array_split(np.argsort(foretold, kind="stable"), 10)
    return float(np.mean([abs(foretold[p].mean() - came[p].mean()) for p in parts]))


def test_the_streaming_curve_is_about_as_good_as_batch_models() -> None:
    by_month = months()
    cells: dict[str, tuple[int, int]] = {}
    scores: dict[str, list[np.ndarray]] = {"curve": [], "prior": [], "logistic": [], "boosted": []}
    came: list[np.ndarray] = []
    prior = RepaymentModel({})
    for number, rows in enumerate(by_month):
        if number:
            curve = RepaymentModel(cells)
            known = [pair for month in by_month[:number] for pair in month]
            x, y = np.array([r for r, _ in known]), np.array([k for _, k in known])
            logistic = LogisticRegression().fit(_shaped(x), y)
            boosted = HistGradientBoostingClassifier(random_state=0).fit(x, y)
            now = np.array([r for r, _ in rows])
            scores["curve"].append(np.array([curve.instalment(*r) for r, _ in rows]))
            scores["prior"].append(np.array([prior.instalment(*r) for r, _ in rows]))
            scores["logistic"].append(logistic.predict_proba(_shaped(now))[:, 1])
            scores["boosted"].append(boosted.predict_proba(now)[:, 1])
            came.append(np.array([k for _, k in rows]))
        for row, kept in rows:
            cell = cell_of(*row)
            before = cells.get(cell, (0, 0))
            cells[cell] = (before[0] + kept, before[1] + (not kept))
    truth = np.concatenate(came)
    found = {name: np.concatenate(parts) for name, parts in scores.items()}
    auc = {name: roc_auc_score(truth, score) for name, score in found.items()}
    brier = {name: brier_score_loss(truth, score) for name, score in found.items()}
    error = {name: calibration_error(score, truth) for name, score in found.items()}
    print({"rows": len(truth), "kept": truth.mean(), "auc": auc, "brier": brier, "calibration": error})
    assert len(truth) > 70_000
    assert auc["curve"] > auc["logistic"] - 0.01
    assert auc["curve"] > auc["boosted"] - 0.03
    # Payments change from month to month, so whatever was learned of earlier months is off by some points.
    assert error["curve"] < min(error["logistic"], error["boosted"]) + 0.01
    assert brier["curve"] < brier["logistic"]
    # More was kept from month to month, so what was learned lags behind; who pays better than others is known better.
    assert auc["curve"] > auc["prior"] + 0.01


def test_without_drift_the_curve_is_better_than_its_prior() -> None:
    """Within a month nothing drifts: of every other card it learns, and foretells those between."""
    prior = RepaymentModel({})
    for rows in months():
        cells: dict[str, tuple[int, int]] = {}
        for row, kept in rows[::2]:
            before = cells.get(cell_of(*row), (0, 0))
            cells[cell_of(*row)] = (before[0] + kept, before[1] + (not kept))
        came = np.array([kept for _, kept in rows[1::2]])
        scores = {
            name: np.array([curve.instalment(*row) for row, _ in rows[1::2]])
            for name, curve in (("curve", RepaymentModel(cells)), ("prior", prior))
        }
        auc = {name: roc_auc_score(came, score) for name, score in scores.items()}
        brier = {name: brier_score_loss(came, score) for name, score in scores.items()}
        error = {name: calibration_error(score, came) for name, score in scores.items()}
        print({"kept": came.mean(), "auc": auc, "brier": brier, "calibration": error})
        assert auc["curve"] > auc["prior"]
        assert brier["curve"] < brier["prior"]
        assert error["curve"] < error["prior"]


def _shaped(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.log(np.clip(x[:, 0], 0.05, 5.0)), x[:, 3] / 120])
