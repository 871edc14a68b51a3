"""The report of an evaluation, figure by figure, from logs so small that all of them can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from evaluation.calibration import Predicted, acceptance, calibration, keeping
from evaluation.drift import reading_of, shift
from evaluation.estimators import ratio, share
from evaluation.joined import Ages, first_kept, joined
from evaluation.logged import by_fixed_order, report
from evaluation.page import page
from schemas import events as ev
from schemas.jsonlines import to_line
from state.learning import FEATURES, WIDTH
from streams.cli import cli

AGES = Ages(maturity=150, answer=14)
END = date(2026, 7, 31)
# The last day whose offers are mature at the end of the log.
LAST_MATURE = date(2026, 3, 3)
A, B = "a", "b"
Z = 1.959964


def base(name: str, day: date) -> dict[str, Any]:
    return {"event_id": name, "occurred_at": datetime(day.year, day.month, day.day, 9, tzinfo=UTC), "source": "test"}


def features(**milli: int) -> tuple[int, ...]:
    """Return a row of features, all zero but these."""
    return tuple(1000 if name == "one" else milli.get(name, 0) for name in FEATURES)


ROWS = {A: features(burden=200, cost=300), B: features(burden=400, cost=100)}


def offered(
    name: str,
    day: date,
    group: str,
    lead: str,
    shown: dict[str, float],
    foretold: dict[str, tuple[int, int]],
    rows: dict[str, tuple[int, ...]] = ROWS,
    model: str = "linear-thompson-1@12",
    jurisdiction: str = "CN",
    product: str = "credit_card",
    accounts: int = 1,
) -> Iterator[ev.Event]:
    """Yield what is said with an offer: the debts, the offer and its decision. foretold: P(accept), P(keep), in bps."""
    ids = tuple(f"{name}-{n}" for n in range(accounts))
    for account in ids:
        debt = ev.Debt(
            account_id=account,
            product=product,
            jurisdiction=jurisdiction,
            currency="CNY",
            annual_rate_bps=0,
            outstanding=ev.Amounts(),
            overdue_amount=0,
            days_past_due=0,
            missed=0,
            bucket="current",
            bad_debt="none",
            stage=1,
            remaining_months=0,
            contract_instalment=0,
        )
        yield ev.WorkoutRequested(
            **base(f"{account}-wanted", day),
            borrower_id=name,
            account_id=account,
            business_date=day,
            caused_by="test",
            trigger="test",
            debt=debt,
        )
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    yield ev.OfferPublished(
        **base(f"{name}-offer", day),
        offer_id=name,
        borrower_id=name,
        account_ids=ids,
        options=(),
        recommended_option_id=lead,
        expires_on=day + timedelta(days=14),
        locale="zh" if jurisdiction == "CN" else "en",
        message="",
        reasons=(),
        support=(),
        education=(),
        disclosures={},
        contact=ev.Contact(not_before=moment, not_after=moment, channels=()),
        business_date=day,
        caused_by="test",
        currency="CNY",
    )
    yield ev.DecisionLogged(
        **base(f"{name}-decision", day),
        offer_id=name,
        borrower_id=name,
        policy_version="house@1",
        model_version=model,
        candidates=(
            # What was dropped has no probabilities; it comes first, where a careless reader would find it.
            ev.Candidate(option_id=lead, value=0.0, accept_bps=0, keep_bps=0, verdict="not_affordable"),
            *(
                ev.Candidate(option_id=o, value=0.0, accept_bps=accept, keep_bps=keep, verdict="kept")
                for o, (accept, keep) in foretold.items()
            ),
        ),
        feasible=tuple(shown),
        chosen=lead,
        propensity=shown[lead],
        features_hash="",
        seed=0,
        reasons=(),
        business_date=day,
        caused_by="test",
        shown=tuple(
            ev.OptionRow(option_id=o, propensity=p, x=(*rows[o][:-1], 1000 if o == lead else 0))
            for o, p in shown.items()
        ),
        arm=group,
    )


def became(
    decision: ev.DecisionLogged, day: date, accepted: str = "", reward: int = 0, kept: int = 0, missed: int = 0
) -> ev.OfferOutcomeReported:
    """Return the first evidence of an offer: all options, and what came of the one that was accepted."""
    return ev.OfferOutcomeReported(
        **base(f"{decision.offer_id}-{day}", day),
        model="lead",
        offer_id=decision.offer_id,
        business_date=day,
        caused_by="test",
        rows=tuple(
            ev.EvidenceRow(
                x=o.x,
                shown=1,
                accepted=1000 if o.option_id == accepted else 0,
                reward=reward if o.option_id == accepted else 0,
            )
            for o in decision.shown
        ),
        cells=(ev.CapacityCell(cell="b0t0r0a0", kept=kept, missed=missed),) if kept or missed else (),
    )


def moved(
    decision: ev.DecisionLogged,
    day: date,
    option: str,
    accepted: int = 0,
    reward: int = 0,
    kept: int = 0,
    missed: int = 0,
) -> ev.OfferOutcomeReported:
    """Return later evidence of an offer, of the accepted option alone."""
    row = next(o for o in decision.shown if o.option_id == option)
    return ev.OfferOutcomeReported(
        **base(f"{decision.offer_id}-{day}", day),
        model="lead",
        offer_id=decision.offer_id,
        business_date=day,
        caused_by="test",
        rows=(ev.EvidenceRow(x=row.x, shown=0, accepted=accepted, reward=reward),),
        cells=(ev.CapacityCell(cell="b0t0r0a0", kept=kept, missed=missed),) if kept or missed else (),
    )


def closed(day: date) -> ev.DayClosed:
    return ev.DayClosed(**base(f"close-{day}", day), business_date=day, calendar="CN")


def small() -> list[ev.Event]:
    """Return a log of ten offers, each of which shows one thing."""
    both, said = {A: 0.5, B: 0.5}, []

    def made(*args: Any, **more: Any) -> ev.DecisionLogged:
        said.extend(offered(*args, **more))
        decision = said[-1]
        assert isinstance(decision, ev.DecisionLogged)
        return decision

    # The lead accepted, three instalments kept and the fourth missed: kept, as P(keep) means it.
    o = made("o1", date(2026, 1, 10), "learned", A, {A: 0.8, B: 0.2}, {A: (6000, 9000), B: (1000, 1000)})
    first = became(o, date(2026, 1, 12), A, 300)
    # A log may hold an event twice.
    said += [first, first, moved(o, date(2026, 4, 12), A, reward=700, kept=3), moved(o, date(2026, 5, 12), A, missed=1)]
    # Another option than the lead accepted, and its second instalment missed.
    o = made(
        "o2", date(2026, 1, 20), "learned", B, both, {A: (1000, 6000), B: (3000, 1000)}, model="linear-thompson-1@13"
    )
    said += [became(o, date(2026, 1, 22), A, 600, kept=1), moved(o, date(2026, 3, 22), A, missed=1)]
    # Declined.
    o = made("o3", date(2026, 2, 3), "learned", A, both, {A: (5000, 5000), B: (1000, 1000)})
    said += [became(o, date(2026, 2, 5))]
    # The hold-out; it was said to have expired, and was accepted in time after all.
    certain = {A: 1.0, B: 0.0}
    o = made("o4", date(2026, 2, 10), "holdout", A, certain, {A: (8000, 7000)}, model="fixed-order-1")
    said += [
        became(o, date(2026, 2, 24)),
        moved(o, date(2026, 2, 26), A, 1000, 300),
        moved(o, date(2026, 6, 1), A, 0, 700, 4),
    ]
    # One option alone, declined.
    o = made("o5", date(2026, 2, 20), "fixed", A, {A: 1.0}, {A: (2000, 9900)}, model="fixed-order-1")
    said += [became(o, date(2026, 2, 21))]
    # The borrower's own proposal, which was not weighed; made on the last day that is mature.
    o = made("o6", LAST_MATURE, "borrower", B, {A: 0.0, B: 1.0}, {A: (1000, 1000)}, model="fixed-order-1")
    said += [became(o, date(2026, 3, 4), B, 1000, kept=3)]
    # A day younger: its answer counts, its reward does not yet.
    o = made(
        "o7", LAST_MATURE + timedelta(days=1), "learned", B, {A: 0.25, B: 0.75}, {A: (1000, 1000), B: (9000, 1000)}
    )
    said += [became(o, date(2026, 3, 5), B, 600, kept=2, missed=1)]
    # Still open: whoever has answered already is not like those who have not.
    o = made("o8", date(2026, 7, 25), "learned", A, both, {A: (9900, 9900)})
    said += [became(o, date(2026, 7, 26), A, 300)]
    # Withdrawn: nothing is told of it.
    made("o9", date(2026, 7, 1), "learned", A, both, {A: (9900, 9900)})
    # Mature, but paused before an instalment fell due.
    o = made("o10", date(2026, 2, 25), "holdout", A, certain, {A: (7000, 9900)}, model="fixed-order-1")
    said += [became(o, date(2026, 2, 27), A, 300), closed(END)]
    return said


@pytest.fixture(scope="module")
def told() -> Any:
    """Return the small log's report as it is printed for programs."""
    return msgspec.json.decode(msgspec.json.encode(report(small(), AGES)))


def near(value: Any) -> Any:
    return pytest.approx(value, abs=5e-7)


def test_the_report_says_what_it_rests_on(told: Any) -> None:
    assert {name: told[name] for name in list(told)[:8]} == {
        "decisions": 10,
        "answered": 8,
        "mature": 7,
        "unresolved": 1,
        "first": "2026-01-10",
        "last": "2026-07-25",
        "through": "2026-07-31",
        "maturity_days": 150,
    }
    assert told["models"] == [
        {"name": "fixed-order-1", "versions": 1, "decisions": 4},
        {"name": "linear-thompson-1", "versions": 2, "decisions": 6},
    ]
    assert told["acceptance_ratio"] is None
    assert told["notes"] == [
        "Learned and fixed recommendations do not both have 30 answered offers, or nothing that the fixed order "
        "recommended was accepted: acceptance is not compared."
    ]


SHARE = ("name", "offers", "accepted", "mature", "reward", "plans", "plans_kept", "kept", "missed")


def test_acceptance_counts_answered_and_rewards_mature_offers(told: Any) -> None:
    assert [tuple(share[name] for name in SHARE) for share in told["groups"]] == [
        ("borrower", 1, 1.0, 1, 1.0, 1, 1.0, 3, 0),
        ("fixed", 1, 0.0, 1, 0.0, 0, None, 0, 0),
        ("holdout", 2, 1.0, 2, near(0.65), 1, 1.0, 4, 0),
        ("learned", 4, 0.75, 3, near(1.6 / 3), 2, 0.5, 4, 2),
    ]
    assert [tuple(share[name] for name in SHARE) for share in told["months"]] == [
        ("2026-01", 2, 1.0, 2, near(0.8), 2, 0.5, 4, 2),
        ("2026-02", 4, 0.5, 4, near(0.325), 1, 1.0, 4, 0),
        ("2026-03", 2, 1.0, 1, 1.0, 1, 1.0, 3, 0),
        ("2026-07", 0, None, 0, None, 0, None, 0, 0),
    ]


def test_options_count_as_shown_recommended_accepted_kept(told: Any) -> None:
    names = (
        "name",
        "shown",
        "recommended",
        "chosen",
        "chosen_recommended",
        "mature_recommended",
        "reward_recommended",
        "plans",
        "plans_kept",
    )
    assert [tuple(option[name] for name in names) for option in told["options"]] == [
        (A, 8, 5, 4, near(0.6), 5, near(0.46), 3, near(2 / 3)),
        (B, 7, 3, 2, near(2 / 3), 2, near(0.8), 1, 1.0),
    ]


BIN = ("offers", "predicted", "observed", "low", "high")


def tuples(bins: Any) -> list[tuple[Any, ...]]:
    return [tuple(b[name] for name in BIN) for b in bins]


# Wilson's interval of all or none of one, and of two.
ONE, TWO = 0.206549, 0.342380


def test_predicted_acceptance_is_set_against_what_happened(told: Any) -> None:
    found = told["acceptance"]
    assert tuples([found["overall"]]) == [(7, near(4 / 7), near(4 / 7), near(0.250458), near(0.841780))]
    assert tuples(found["bins"]) == [
        (2, near(0.25), 0.0, 0.0, near(1 - TWO)),
        (1, near(0.5), 0.0, 0.0, near(1 - ONE)),
        (2, near(0.65), 1.0, near(TWO), 1.0),
        (1, near(0.8), 1.0, near(ONE), 1.0),
        (1, near(0.9), 1.0, near(ONE), 1.0),
    ]
    assert found["expected_error"] == near(2 / 7)
    assert found["brier"] == near(0.68 / 7)
    assert {m: (b["offers"], b["predicted"], b["observed"]) for m, b in found["months"].items()} == {
        "2026-01": (2, near(0.45), 0.5),
        "2026-02": (4, near(0.55), 0.5),
        "2026-03": (1, near(0.9), 1.0),
    }
    alone = told["acceptance_alone"]
    assert tuples([alone["overall"]]) == [(1, near(0.2), 0.0, 0.0, near(1 - ONE))]


def test_predicted_keeping_is_set_against_three_instalments(told: Any) -> None:
    found = told["keeping"]
    assert (found["overall"]["offers"], found["overall"]["predicted"], found["overall"]["observed"]) == (
        3,
        near(2.2 / 3),
        near(2 / 3),
    )
    assert tuples(found["bins"]) == [
        (1, near(0.6), 0.0, 0.0, near(1 - ONE)),
        (1, near(0.7), 1.0, near(ONE), 1.0),
        (1, near(0.9), 1.0, near(ONE), 1.0),
    ]
    assert found["expected_error"] == near(1 / 3)
    assert found["brier"] == near(0.46 / 3)
    assert {m: (b["offers"], b["predicted"], b["observed"]) for m, b in found["months"].items()} == {
        "2026-01": (2, near(0.75), 0.5),
        "2026-02": (1, near(0.7), 1.0),
    }


def test_a_model_right_of_three_instalments_is_calibrated() -> None:
    said: list[ev.Event] = []
    for n in range(125):
        said += offered(f"k{n}", date(2026, 1, 5), "learned", A, {A: 1.0}, {A: (10_000, 5120)})
        decision = said[-1]
        assert isinstance(decision, ev.DecisionLogged)
        # Each of three instalments is kept in four of five cases, whatever became of the others: 64 of 125 keep all.
        outcomes = (n % 5 < 4, n // 5 % 5 < 4, n // 25 < 4)
        said.append(became(decision, date(2026, 1, 6), A, 300))
        for month, kept in enumerate(outcomes, 2):
            said.append(moved(decision, date(2026, month, 6), A, kept=int(kept), missed=int(not kept)))
    found = report([*said, closed(END)], AGES).keeping
    assert found is not None
    assert found.overall.predicted == near(0.512)
    assert found.overall.observed == near(64 / 125)
    assert found.expected_error == near(0.0)


def weighted(weights: list[float], rewards: list[float]) -> tuple[Any, Any, float]:
    """Return IPS and SNIPS with their intervals, and the effective sample, by the textbook."""
    w, r = np.array(weights), np.array(rewards)
    count = len(w)
    ips, snips = (w * r).mean(), (w * r).sum() / w.sum()
    one = Z * np.std(w * r, ddof=1) / sqrt(count)
    two = Z * np.std(w * (r - snips) / w.mean(), ddof=1) / sqrt(count)
    # The deviations of SNIPS have a mean of zero as they are.
    return (ips, ips - one, ips + one), (snips, snips - two, snips + two), w.sum() ** 2 / (w * w).sum()


@pytest.mark.parametrize(
    ("way", "weights", "ips", "snips", "effective"),
    [
        ("as it was", [1.0, 1.0, 1.0], 1.6 / 3, 1.6 / 3, 3.0),
        ("fixed order", [1.25, 0.0, 2.0], 1.25 / 3, 1.25 / 3.25, 10.5625 / 5.5625),
        ("uniform", [0.625, 1.0, 1.0], 1.225 / 3, 1.225 / 2.625, 6.890625 / 2.390625),
    ],
)
def test_other_policies_are_estimated_from_randomised_offers(
    told: Any, way: str, weights: list[float], ips: float, snips: float, effective: float
) -> None:
    found = told["estimates"][way]
    rewards = [1.0, 0.6, 0.0]
    by_ips, by_snips, _ = weighted(weights, rewards)
    assert found["decisions"] == 3
    assert found["effective_sample_size"] == near(effective)
    assert tuple(found["ips"].values()) == tuple(map(near, by_ips))
    assert tuple(found["snips"].values()) == tuple(map(near, by_snips))
    assert (found["ips"]["value"], found["snips"]["value"]) == (near(ips), near(snips))
    # The doubly robust estimate: a ridge regression on the decisions of the other half, and what it errs by, weighted.
    rows = {A: np.array([0.2, 0.3]), B: np.array([0.4, 0.1])}
    leads, average = [A, B, A], (rows[A] + rows[B]) / 2
    x = np.array([[1.0, *rows[lead], *average] for lead in leads])
    target = {"as it was": [0.8, 0.5, 0.5], "fixed order": [1.0, 1.0, 1.0], "uniform": [0.5, 0.5, 0.5]}[way]
    scores = []
    for n in range(3):
        others = [m for m in range(3) if m % 2 != n % 2]
        fitted = np.linalg.solve(x[others].T @ x[others] + np.eye(5), x[others].T @ np.array(rewards)[others])
        model = {o: float(np.array([1.0, *rows[o], *average]) @ fitted) for o in (A, B)}
        scores.append(target[n] * model[A] + (1 - target[n]) * model[B] + weights[n] * (rewards[n] - model[leads[n]]))
    half = Z * np.std(scores, ddof=1) / sqrt(3)
    mean = float(np.mean(scores))
    assert tuple(found["doubly_robust"].values()) == (near(mean), near(mean - half), near(mean + half))


def test_learned_recommendations_are_compared_with_fixed_order(told: Any) -> None:
    # 1, 0.6 and 0 against 1, 0 and 0.3.
    half = Z * sqrt(np.var([1, 0.6, 0], ddof=1) / 3 + np.var([1, 0, 0.3], ddof=1) / 3)
    assert tuple(told["against_fixed"].values()) == (near(0.1), near(0.1 - half), near(0.1 + half))


def test_the_fixed_order_is_lowest_instalment_cost_then_name() -> None:
    def leads(one: tuple[int, ...], other: tuple[int, ...]) -> list[float]:
        *_, decision = offered("o", END, "learned", "y", {"y": 0.5, "x": 0.5}, {}, rows={"y": one, "x": other})
        assert isinstance(decision, ev.DecisionLogged)
        return by_fixed_order(decision)

    assert leads(features(burden=100, cost=900), features(burden=200, cost=100)) == [1.0, 0.0]
    assert leads(features(burden=100, cost=100), features(burden=100, cost=900)) == [1.0, 0.0]
    assert leads(features(burden=100, cost=100), features(burden=100, cost=100)) == [0.0, 1.0]


class Cells(HTMLParser):
    """The tables of a page, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self._into = self._caption = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._into = tag if tag != "strong" else self._into
        if tag == "caption":
            self._caption = ""
        elif tag == "tr":
            self.tables.setdefault(self._caption, []).append([])
        elif tag in ("td", "th"):
            self.tables[self._caption][-1].append("")

    def handle_data(self, data: str) -> None:
        if self._into == "caption":
            self._caption += data
        elif self._into in ("td", "th") and self._caption in self.tables:
            self.tables[self._caption][-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("caption", "table"):
            self._into = ""


def tables(html: str) -> dict[str, list[list[str]]]:
    cells = Cells()
    cells.feed(html)
    # Without the head.
    return {caption: rows[1:] for caption, rows in cells.tables.items()}


def test_the_page_shows_the_figures() -> None:
    found = report(small(), AGES)
    html = page(found)
    shown = tables(html)
    # Worked out above.
    by_model = [e.doubly_robust for e in found.estimates.values()]
    assert [row[3] for row in shown["Mean reward by way to recommend"]] == [
        f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in by_model
    ]
    assert shown["By how the recommended option was chosen"] == [
        ["borrower", "1", "100.0%", "1", "1.000", "1", "100.0%", "3", "0"],
        ["fixed", "1", "0.0%", "1", "0.000", "0", "–", "0", "0"],
        ["holdout", "2", "100.0%", "2", "0.650", "1", "100.0%", "4", "0"],
        ["learned", "4", "75.0%", "3", "0.533", "2", "50.0%", "4", "2"],
    ]
    assert shown["By month of the offer"][0] == ["2026-01", "2", "100.0%", "2", "0.800", "2", "50.0%", "4", "2"]
    assert shown["By month of the offer"][3] == ["2026-07", "0", "–", "0", "–", "0", "–", "0", "0"]
    assert shown["By option"] == [
        ["a", "8", "5", "4", "60.0%", "5", "0.460", "3", "66.7%"],
        ["b", "7", "3", "2", "66.7%", "2", "0.800", "1", "100.0%"],
    ]
    assert [[row[0], row[1], row[2], row[4]] for row in shown["Mean reward by way to recommend"]] == [
        ["as it was", "0.533 [-0.036, 1.103]", "0.533 [-0.036, 1.103]", "3.0 of 3"],
        ["fixed order", "0.417 [-0.400, 1.233]", "0.385 [-0.419, 1.188]", "1.9 of 3"],
        ["uniform", "0.408 [0.008, 0.809]", "0.467 [-0.072, 1.005]", "2.9 of 3"],
    ]
    assert shown["Acceptance: by size of the prediction, and by month of the offer"] == [
        ["bin 1", "2", "25.0%", "0.0%", "0.0% to 65.8%"],
        ["bin 2", "1", "50.0%", "0.0%", "0.0% to 79.3%"],
        ["bin 3", "2", "65.0%", "100.0%", "34.2% to 100.0%"],
        ["bin 4", "1", "80.0%", "100.0%", "20.7% to 100.0%"],
        ["bin 5", "1", "90.0%", "100.0%", "20.7% to 100.0%"],
        ["2026-01", "2", "45.0%", "50.0%", "9.5% to 90.5%"],
        ["2026-02", "4", "55.0%", "50.0%", "15.0% to 85.0%"],
        ["2026-03", "1", "90.0%", "100.0%", "20.7% to 100.0%"],
    ]
    assert len(shown["Keeping: by size of the prediction, and by month of the offer"]) == 5
    assert (
        "Of 7 offers 57.1% were predicted and 57.1% observed; expected calibration error 0.286, Brier score 0.097."
        in html
    )
    assert (
        "Of 3 offers 73.3% were predicted and 66.7% observed; expected calibration error 0.333, Brier score 0.153."
        in html
    )
    assert "<title>2 offers: 0.650 predicted, 1.000 observed</title>" in html
    assert "fixed order: mean reward +0.100 [" in html
    assert "10 decisions with options from 2026-01-10 to 2026-07-25, in a log that goes through 2026-07-31" in html
    assert "Of 8 offers the time to be answered is over" in html
    assert "of 7 offers, 150 days old or more" in html
    assert "1 plans left out" in html
    assert shown["Decisions by model"] == [["fixed-order-1", "1", "4"], ["linear-thompson-1", "2", "6"]]
    assert "No protected attribute" in html
    assert "acceptance is not compared" in html
    # Three calibrations, each as a reliability diagram and by month.
    assert html.count("<svg") == 6
    assert "There is no month behind the first period yet" in html


def test_what_a_log_names_is_text_on_the_page() -> None:
    name = "<b>x</b>"
    said = list(
        offered("o", END - timedelta(days=20), "fixed", name, {name: 1.0}, {}, rows={name: ROWS[A]}, model=name)
    )
    decision = said[-1]
    assert isinstance(decision, ev.DecisionLogged)
    html = page(report([*said, became(decision, END)], AGES))
    assert name not in html
    assert html.count("&lt;b&gt;x&lt;/b&gt;") == 2


def many() -> list[ev.Event]:
    """Return a log in which groups differ: of 80 offers each 60, 40 and 52 are accepted, and 54, 24 and 45 kept."""
    said: list[ev.Event] = []
    told = (("CN", "fixed", 80, 60, 54), ("US", "learned", 80, 40, 24), ("EU", "challenger", 80, 52, 45))
    for jurisdiction, group, offers, accepted, kept in (*told, ("UK", "challenger", 29, 0, 0)):
        for n in range(offers):
            shown, foretold = {A: 1.0}, {A: (5000, 5000)}
            where = {"jurisdiction": jurisdiction, "accounts": 2 if jurisdiction == "UK" else 1}
            said += offered(f"{jurisdiction}{n}", date(2026, 1, 5), group, A, shown, foretold, **where)  # type: ignore[arg-type]
            decision = said[-1]
            assert isinstance(decision, ev.DecisionLogged)
            if n >= accepted:
                said.append(became(decision, date(2026, 1, 20)))
            else:
                three = {"kept": 3} if n < kept else {"kept": 2, "missed": 1}
                said.append(became(decision, date(2026, 1, 20), A, 300, **three))
    return [*said, closed(END)]


GROUP = ("name", "offers", "reading")


def of(groups: Any, attribute: str) -> dict[str, Any]:
    return {g["name"]: g for g in groups if g["attribute"] == attribute}


def test_groups_below_four_fifths_of_the_highest_are_flagged() -> None:
    found = report(many(), AGES)
    told = msgspec.json.decode(msgspec.json.encode(found))
    accepted = of(told["acceptance_parity"], "jurisdiction")
    assert [tuple(g[name] for name in GROUP) for g in accepted.values()] == [
        ("CN", 80, "highest"),
        ("EU", 80, "within four fifths"),
        ("UK", 29, "too small"),
        ("US", 80, "look here"),
    ]
    assert [g["rate"] and g["rate"]["value"] for g in accepted.values()] == [0.75, 0.65, None, 0.5]
    half = Z * sqrt(1 / 40 - 1 / 80 + 1 / 60 - 1 / 80)
    assert tuple(accepted["US"]["ratio"].values()) == (near(2 / 3), near(2 / 3 * exp(-half)), near(2 / 3 * exp(half)))
    assert accepted["EU"]["ratio"]["value"] == near(0.65 / 0.75)
    assert accepted["CN"]["ratio"] is accepted["UK"]["ratio"] is None
    kept = of(told["keeping_parity"], "jurisdiction")
    assert [tuple(g[name] for name in GROUP) for g in kept.values()] == [
        ("CN", 60, "highest"),
        ("EU", 52, "within four fifths"),
        ("US", 40, "look here"),
    ]
    assert [g["rate"]["value"] for g in kept.values()] == [0.9, near(45 / 52), 0.6]
    assert (kept["EU"]["ratio"]["value"], kept["US"]["ratio"]["value"]) == (near(45 / 52 / 0.9), near(2 / 3))
    # What else the log tells: zh is CN; UK's offers are over two accounts; products and tones are all the same.
    assert {
        (g["attribute"], g["name"]): g["offers"] for g in told["acceptance_parity"] if g["name"] not in accepted
    } == {
        ("product", "credit_card"): 269,
        ("language", "zh"): 80,
        ("language", "en"): 189,
        ("tone", "neutral"): 269,
        ("accounts", "one"): 240,
        ("accounts", "several"): 29,
    }
    assert tuple(told["acceptance_ratio"].values()) == tuple(accepted["US"]["ratio"].values())
    shown = tables(page(found))["Acceptance, of offers whose time to be answered is over"]
    assert shown[:4] == [
        ["jurisdiction", "CN", "80", "0.750 [0.645, 0.832]", "–", "highest"],
        ["jurisdiction", "EU", "80", "0.650 [0.541, 0.745]", "0.867 [0.706, 1.063]", "within four fifths"],
        ["jurisdiction", "UK", "29", "–", "–", "too small"],
        ["jurisdiction", "US", "80", "0.500 [0.393, 0.607]", "0.667 [0.518, 0.859]", "look here"],
    ]
    shown = tables(page(found))["First three instalments all kept, of mature plans"]
    assert [row[4] for row in shown[:3]] == ["–", "0.962 [0.839, 1.102]", "0.667 [0.511, 0.870]"]
    assert "accepted 0.667 [0.518, 0.859] times as often" in page(found)


def test_mixed_kinds_and_silent_logs_are_kept_apart() -> None:
    first, second, *rest = offered("o", END, "fixed", A, {A: 1.0}, {A: (5000, 5000)}, accounts=2)
    assert isinstance(second, ev.WorkoutRequested)
    decision = rest[-1]
    assert isinstance(decision, ev.DecisionLogged)
    loan = msgspec.structs.replace(second, debt=msgspec.structs.replace(second.debt, product="personal_loan"))
    evidence = became(decision, END)
    (found,) = joined([first, loan, *rest, evidence], AGES).judged
    assert found.traits == {
        "language": "zh",
        "tone": "neutral",
        "accounts": "several",
        "jurisdiction": "CN",
        "product": "several",
    }
    (found,) = joined([first, *rest, evidence], AGES).judged
    assert set(found.traits) == {"language", "tone", "accounts"}
    (found,) = joined([decision, evidence], AGES).judged
    assert found.traits == {}
    assert any("does not say the jurisdiction" in note for note in report([decision, evidence], AGES).notes)


def decided(*args: Any, **more: Any) -> tuple[list[ev.Event], ev.DecisionLogged]:
    """Return what is said with an offer, and of that the decision."""
    said = list(offered(*args, **more))
    decision = said[-1]
    assert isinstance(decision, ev.DecisionLogged)
    return said, decision


def test_a_borrowers_proposal_counts_for_keeping_only() -> None:
    said, decision = decided("o", date(2026, 1, 5), "borrower", A, {A: 1.0}, {A: (5000, 7000)})
    judged = joined([*said, became(decision, date(2026, 1, 6), A, 1000, kept=3), closed(END)], AGES).judged
    assert acceptance(judged) == []
    assert keeping(judged) == [Predicted("2026-01", 0.7, True)]


def test_of_a_plan_over_two_accounts_six_instalments_are_first() -> None:
    said, decision = decided("o", date(2026, 1, 5), "fixed", A, {A: 1.0}, {A: (5000, 7000)}, accounts=2)
    told = [*said, became(decision, date(2026, 1, 6), A, 300, kept=5)]
    assert joined(told, AGES).judged[0].first_kept is None
    told.append(moved(decision, date(2026, 1, 7), A, kept=1))
    assert joined(told, AGES).judged[0].first_kept is True


def test_an_option_accepted_late_is_known_by_its_terms() -> None:
    said, decision = decided("o", END, "fixed", A, {A: 1.0, B: 0.0}, {A: (5000, 7000)})
    told = [*said, became(decision, END), moved(decision, END + timedelta(days=1), B, 1000, 300)]
    (found,) = joined(told, AGES).judged
    assert (found.accepted, found.option) == (True, B)


@pytest.mark.parametrize(("days", "accepted", "kept"), [(5, 0, 0), (30, 40, 0), (150, 40, 40)])
def test_groups_are_compared_by_offers_that_are_old_enough(days: int, accepted: int, kept: int) -> None:
    told: list[ev.Event] = [closed(END)]
    for n in range(40):
        said, decision = decided(f"o{n}", END - timedelta(days=days), "fixed", A, {A: 1.0}, {A: (5000, 7000)})
        told += [*said, became(decision, END, A, 1000, kept=3)]
    found = report(told, AGES)
    assert sum(g.offers for g in found.acceptance_parity if g.attribute == "product") == accepted
    assert sum(g.offers for g in found.keeping_parity if g.attribute == "product") == kept


@pytest.mark.parametrize(("days", "answered"), [(14, False), (15, True)])
@pytest.mark.parametrize("published", [True, False])
def test_an_offer_is_answered_once_its_last_day_is_over(days: int, answered: bool, published: bool) -> None:
    said = list(offered("o", END - timedelta(days=days), "fixed", A, {A: 1.0}, {A: (5000, 5000)}))
    decision = said[-1]
    assert isinstance(decision, ev.DecisionLogged)
    (found,) = joined([*(said if published else [decision]), became(decision, END)], AGES).judged
    assert found.answered is answered


CELL = tuple[int, int]


@pytest.mark.parametrize(
    ("cells", "first", "expected"),
    [
        ([(1, 0), (1, 0)], 3, None),
        ([(1, 0), (1, 0), (1, 0)], 3, True),
        ([(3, 0), (0, 1)], 3, True),
        ([(0, 1)], 3, False),
        ([(2, 0), (0, 1), (1, 0)], 3, False),
        # A miss that was none: paid in time after all, told at once or in two; of several the oldest.
        ([(1, 0), (0, 1), (1, 0), (1, -1)], 3, True),
        ([(0, 1), (0, -1)], 3, None),
        ([(1, 0), (0, 1), (1, 0), (0, 1), (1, -1)], 3, True),
        # A payment reversed: the newest kept instalment is not kept.
        ([(3, 0), (-1, 0)], 3, None),
        ([(3, 0), (-1, 1)], 3, False),
        # Two accounts have six first instalments.
        ([(2, 0), (2, 0), (1, 0)], 6, None),
        ([(2, 0), (2, 0), (2, 0)], 6, True),
    ],
)
def test_the_first_instalments_are_those_told_first(cells: list[CELL], first: int, expected: bool | None) -> None:
    told = [ev.CapacityCell(cell="b0t0r0a0", kept=kept, missed=missed) for kept, missed in cells]
    assert first_kept(told, first) is expected


def drifting() -> list[ev.Event]:
    """Return 200 offers of January, 100 of February and 20 of March; arrears, then propensities drift."""
    said: list[ev.Event] = []
    for month, offers, late in ((1, 200, 100), (2, 100, 80), (3, 20, 10)):
        for n in range(offers):
            row = features(burden=200, arrears=500 if n < late else 0)
            likely = 0.8 if month == 2 and n % 2 else 0.5
            shown = {A: likely, B: 1 - likely}
            day = date(2026, month, 5)
            said += offered(f"{month}-{n}", day, "learned", A, shown, {}, rows={A: row, B: row})
    return said


def test_drift_is_the_population_stability_index() -> None:
    found = report(drifting(), AGES)
    told = {s["name"]: s for s in msgspec.json.decode(msgspec.json.encode(found))["drift"]}
    assert list(told) == [name for name in FEATURES if name not in ("one", "recommended")] + ["propensity"]
    arrears = told["arrears"]
    assert (arrears["first"], arrears["first_offers"]) == ("2026-01", 200)
    # Bins up to 0, up to 0.5 and beyond, each with half an offer more.
    then, now = (100.5 / 201.5, 100.5 / 201.5, 0.5 / 201.5), (20.5 / 101.5, 80.5 / 101.5, 0.5 / 101.5)
    psi = sum((b - a) * log(b / a) for a, b in zip(then, now, strict=True))
    assert psi == near(0.406500)
    assert arrears["months"] == {
        "2026-02": {"offers": 100, "psi": near(psi), "chance": near(0.03), "reading": "major"},
        "2026-03": {"offers": 20, "psi": None, "chance": near(0.11), "reading": "too few"},
    }
    assert told["burden"]["months"]["2026-02"]["reading"] == "stable"
    # Half of the options at 0.5 still, a quarter each at 0.8 and at 0.2: two bins, up to 0.5 and beyond.
    then, later = (200.5 / 201, 0.5 / 201), (75.5 / 101, 25.5 / 101)
    psi = sum((b - a) * log(b / a) for a, b in zip(then, later, strict=True))
    assert told["propensity"]["months"]["2026-02"]["psi"] == near(psi)
    shown = {row[0]: row[1:] for row in tables(page(found))["Population stability index"]}
    assert shown["arrears"] == ["2026-01 (200)", "0.406 major (100)", "too few (20)"]


def test_the_first_period_is_as_many_months_as_it_takes() -> None:
    said = [e for e in drifting() if not isinstance(e, ev.DecisionLogged) or not e.offer_id.startswith("1-1")]
    found = {s.name: s for s in report(said, AGES).drift}["arrears"]
    # 89 offers of January and 100 of February are less than 200; with March there are 209.
    assert (found.first, found.first_offers, found.months) == ("2026-01 to 2026-03", 209, {})


def test_only_randomised_offers_show_drift_of_propensities() -> None:
    said = list(offered("o", END, "fixed", A, {A: 1.0, B: 0.0}, {}))
    assert "propensity" not in {s.name for s in report(said, AGES).drift}


def test_a_shift_is_cut_at_quantiles_and_read_as_is_usual() -> None:
    first = [(n / 400,) for n in range(400)]
    assert shift(first, first).psi == near(0.0)
    assert shift(first, first).chance == near(9 * 2 / 400)
    later = shift(first, [(n / 400,) for n in range(40, 400)])
    # The lowest of ten bins is empty now, the other nine are a ninth each.
    then, now = 40.5 / 405, 40.5 / 365
    assert later.psi == near((0.5 / 365 - then) * log(0.5 / 365 / then) + 9 * (now - then) * log(now / then))
    assert [reading_of(v) for v in (0.0999, 0.1, 0.2499, 0.25)] == ["stable", "moderate", "moderate", "major"]


def test_bins_do_not_part_what_was_foretold_alike() -> None:
    found = calibration([Predicted("2026-01", 0.5, n % 2 == 0) for n in range(10)])
    assert found is not None
    assert [(b.offers, b.predicted, b.observed) for b in found.bins] == [(10, 0.5, 0.5)]
    assert calibration([]) is None


def test_shares_and_ratios_have_the_textbooks_intervals() -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert share(81, 263).value == pytest.approx(0.3080, abs=5e-5)
    assert (share(81, 263).low, share(81, 263).high) == (
        pytest.approx(0.2553, abs=5e-5),
        pytest.approx(0.3662, abs=5e-5),
    )
    none = ratio(0, 50, 25, 50)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == near(0.02 * exp(Z * sqrt(2 - 1 / 50 + 1 / 25 - 1 / 50)))
    assert ratio(50, 50, 50, 50).holds(1.0)
    with pytest.raises(ValueError, match="at least one case"):
        share(0, 0)
    with pytest.raises(ValueError, match="not zero"):
        ratio(1, 2, 0, 2)


def test_nothing_is_said_of_rewards_before_any_offer_is_mature() -> None:
    found = report([e for e in small() if e.occurred_at.month < 4], AGES)
    assert found.estimates == {}
    assert found.against_fixed is None
    assert found.keeping is None
    assert found.notes[0].startswith("No offer is mature yet")
    assert "No offer is mature yet" in page(found)


def test_the_command_tells_maturity_by_the_policy(tmp_path: Path) -> None:
    log = tmp_path / "said.jsonl"
    log.write_bytes(b"".join(to_line(e) for e in small()))
    found = CliRunner().invoke(cli, ["evaluate", "--input", str(log), "--json"])
    assert found.exit_code == 0, found.output
    assert msgspec.json.decode(found.stdout) == msgspec.json.decode(msgspec.json.encode(report(small(), AGES)))
    shown = CliRunner().invoke(cli, ["evaluate", "--input", str(log), "--policy", "learning_on"])
    assert shown.exit_code == 0
    assert "8 offers answered, 7 of them mature (150 days)" in " ".join(shown.output.split())
    assert "keeping: 73.3% predicted, 66.7% observed, of 3; expected calibration error 0.333" in " ".join(
        shown.output.split()
    )


def test_the_command_says_where_to_look(tmp_path: Path) -> None:
    log = tmp_path / "said.jsonl"
    log.write_bytes(b"".join(to_line(e) for e in [*many(), *drifting()]))
    shown = " ".join(CliRunner().invoke(cli, ["evaluate", "--input", str(log)]).output.split())
    assert "look here: keeping of jurisdiction US is 0.67 of the highest group's (0.51 to 0.87, 40 offers)" in shown
    assert "shift of propensity in 2026-02" in shown


def test_features_of_another_width_are_not_compared() -> None:
    said = list(offered("o", END, "fixed", A, {A: 1.0}, {}, rows={A: (1000, 5, 0)}))
    assert WIDTH != 3
    assert report(said, AGES).drift == ()
