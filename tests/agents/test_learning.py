"""What is learned of offers, and how it leads."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from agents.base import DecisionContext
from agents.learner.agent import LearnerAgent
from agents.learner.ranking import FixedOrder, LearnedOrder, Uniform, place_in_trial, ranker_for
from schemas import events as ev
from state.learning import (
    FEATURES,
    MILLI,
    WIDTH,
    LearnerState,
    ModelSnapshot,
    Posterior,
    RepaymentModel,
    SufficientStatistics,
    _inputs,
    cell_of,
    cholesky,
    solve,
)
from state.policy import Learning, PolicyBook
from state.policy_packs.loader import default_book
from tests.support.agent_driver import PlannerDriver, only
from tests.support.borrower_events import BorrowerEvents
from tests.support.choices import learned, opportunities, play

BOOK = default_book()
HOUSE = BOOK.policy_for("", "")
MILLION = 1_000_000
NIGHT = datetime(2026, 3, 1, 23, tzinfo=UTC)
CHANCES = list(opportunities(40, 1, BOOK.policy_for("CN", "personal_loan")))

rows = st.lists(st.integers(0, 2_000), min_size=WIDTH, max_size=WIDTH).map(tuple)
seen = st.builds(
    ev.EvidenceRow,
    x=rows,
    shown=st.integers(0, 1),
    accepted=st.sampled_from([0, MILLI, -MILLI]),
    reward=st.sampled_from([0, 300, 600, 1_000, -600]),
)


def evidence(name: str, found: tuple[ev.EvidenceRow, ...], **fields: object) -> ev.OfferOutcomeReported:
    """Return what an offer taught."""
    return msgspec.structs.replace(
        ev.OfferOutcomeReported(
            event_id=name,
            occurred_at=NIGHT,
            source="test",
            model="lead",
            offer_id=name,
            business_date=date(2026, 3, 1),
            caused_by="night",
            rows=found,
        ),
        **fields,
    )


def closed(day: date) -> ev.DayClosed:
    """Return a day's close."""
    return ev.DayClosed(event_id=f"night-{day}", occurred_at=NIGHT, source="test", business_date=day, calendar="none")


def learn(*given: ev.OfferOutcomeReported, book: PolicyBook = BOOK) -> ev.ModelUpdated:
    """Return what the learner tells of evidence at the close of its day."""
    agent, state, context = LearnerAgent(), None, DecisionContext(book)
    for event in given:
        before = deepcopy(state)
        step = agent.handle(state, event, context)
        assert state == before
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(step.state), type=LearnerState)
    assert state is not None
    assert agent.due(state) == date(2026, 3, 1).toordinal()
    step = agent.close(state, closed(date(2026, 3, 1)), context)
    assert agent.due(step.state) is None
    (update,) = [e for e in step.outputs if isinstance(e, ev.ModelUpdated)]
    return update


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(seen, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_evidence_in_any_order_and_parts_gives_one_model(found, chance) -> None:  # type: ignore[no-untyped-def]
    whole = learn(evidence("all", tuple(found)))
    mixed = list(found)
    chance.shuffle(mixed)
    parts = learn(*(evidence(f"part-{n}", (row,)) for n, row in enumerate(mixed)))
    assert parts == whole


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(seen, max_size=30))
def test_beliefs_are_those_of_bayesian_ridge_regression(found) -> None:  # type: ignore[no-untyped-def]
    statistics = SufficientStatistics()
    for row in found:
        statistics.add(row)
    x = np.array([r.x for r in found if r.shown], dtype=float).reshape(-1, WIDTH) / MILLI
    every = np.array([r.x for r in found], dtype=float).reshape(-1, WIDTH) / MILLI
    y = np.array([r.reward for r in found], dtype=float) / MILLI
    prior = np.zeros(WIDTH)
    prior[FEATURES.index("prior")] = 1.0
    precision = x.T @ x + 3.0 * np.eye(WIDTH)
    mean = np.linalg.solve(precision, every.T @ y + 3.0 * prior)
    asked = np.array([c.x for c in found[:3]], dtype=float).reshape(-1, WIDTH) / MILLI
    asked[:, FEATURES.index("recommended")] = 0.0
    beliefs = Posterior(statistics).predict([r.x for r in found[:3]])
    assert np.allclose(beliefs.reward, asked @ mean, atol=1e-9)
    assert np.allclose(beliefs.covariance, 0.15**2 * asked @ np.linalg.inv(precision) @ asked.T, atol=1e-12)


def test_small_algebra_is_that_of_numpy() -> None:
    chance = np.random.default_rng(7)
    for size in range(1, 13):
        half = chance.normal(size=(size, size))
        matrix, right = half @ half.T + np.eye(size), chance.normal(size=size)
        factor = cholesky(matrix.tolist())
        assert np.allclose(factor, np.linalg.cholesky(matrix))
        assert np.allclose(solve(factor, right.tolist()), np.linalg.solve(matrix, right))


@pytest.mark.parametrize("ranker", [LearnedOrder(Posterior(SufficientStatistics()), 0.05), Uniform()])
def test_every_option_has_a_known_positive_probability(ranker) -> None:  # type: ignore[no-untyped-def]
    for chance in CHANCES:
        context = chance.context
        names = [o.option_id for o in context.options]
        ranking = ranker.rank(context)
        assert ranking == ranker.rank(context)
        assert sorted(ranking.order) == sorted(names)
        assert ranking.recommended == ranking.order[0]
        assert sum(ranking.propensities.values()) == pytest.approx(1)
        assert min(ranking.propensities.values()) >= 0.05 / len(names) - 1e-12
        assert ranking.propensity == ranking.propensity_of(ranking.recommended)


def test_leads_come_as_often_as_their_propensities_say() -> None:
    context = CHANCES[0].context
    ranker = LearnedOrder(Posterior(SufficientStatistics()), 0.3)
    known = ranker.rank(context).propensities
    leads = [ranker.rank(msgspec.structs.replace(context, seed=seed)).recommended for seed in range(4_000)]
    for name, probability in known.items():
        error = (probability * (1 - probability) / len(leads)) ** 0.5
        assert abs(leads.count(name) / len(leads) - probability) < 4 * error + 1e-9


def test_learning_recommends_nothing_where_it_is_off() -> None:
    update = learn(evidence("one", ()))
    told = ModelSnapshot(update)
    on = Learning(mode="on")
    everybody = [f"B{n}" for n in range(4_000)]
    for rules, known in (
        (Learning(mode="off"), told),
        (Learning(mode="shadow"), told),
        (on, None),
        (on, ModelSnapshot(msgspec.structs.replace(update, tripped="complaints"))),
    ):
        assert {ranker_for(rules, b, known)[1] for b in everybody} == {"fixed"}
    rules = Learning(mode="on", challenger="uniform", challenger_bps=1_000)
    groups = [ranker_for(rules, b, told)[1] for b in everybody]
    # Within four standard errors of 5 % and 10 %.
    assert abs(groups.count("holdout") - 200) < 56
    assert abs(groups.count("challenger") - 400) < 76
    assert all(isinstance(ranker_for(rules, b, told)[0], FixedOrder) for b in everybody if place_in_trial(b) < 500)


def test_what_is_long_past_counts_for_less() -> None:
    agent, context = LearnerAgent(), DecisionContext(BOOK)
    row = ev.EvidenceRow(x=(MILLI,) * WIDTH, shown=1, accepted=MILLI, reward=-MILLI)
    step = agent.close(agent.handle(None, evidence("a", (row,)), context).state, closed(date(2026, 3, 1)), context)
    assert (step.state.statistics.accepted[0], step.state.statistics.reward[0]) == (MILLI**2, -(MILLI**2))
    step = agent.close(agent.handle(step.state, evidence("b", ()), context).state, closed(date(2026, 3, 3)), context)
    assert (step.state.statistics.accepted[0], step.state.statistics.reward[0]) == (998_001, -998_001)
    step = agent.close(agent.handle(step.state, evidence("c", ()), context).state, closed(date(2040, 3, 3)), context)
    assert 0 <= step.state.statistics.accepted[0] < 30_000


def test_kept_and_missed_instalments_fade_gradually() -> None:
    agent, context = LearnerAgent(), DecisionContext(BOOK)
    cell = cell_of(0.35, 24, 0.0, 45)
    once = evidence("a", (), cells=(ev.CapacityCell(cell=cell, kept=1, missed=-1),))
    step = agent.close(agent.handle(None, once, context).state, closed(date(2026, 3, 1)), context)
    assert step.state.cells == {cell: (MILLION, -MILLION)}
    step = agent.close(agent.handle(step.state, evidence("b", ()), context).state, closed(date(2026, 3, 3)), context)
    assert step.state.cells == {cell: (998_001, -998_001)}
    # What is told of it is read in instalments.
    (update,) = step.outputs
    assert isinstance(update, ev.ModelUpdated)
    assert update.unit == MILLION
    assert ModelSnapshot(update).repayment_model._weights == RepaymentModel({cell: (0.998001, -0.998001)})._weights
    assert ModelSnapshot(msgspec.structs.replace(update, unit=1, cells=once.cells)).repayment_model._weights == (
        RepaymentModel({cell: (1, -1)})._weights
    )
    # Half is left after 693 days, and what is kept of 14 years of silence is next to nothing.
    step = agent.close(agent.handle(None, once, context).state, closed(date(2026, 3, 1)), context)
    later = agent.close(agent.handle(step.state, evidence("c", ()), context).state, closed(date(2028, 1, 23)), context)
    assert later.state.cells[cell][0] == pytest.approx(MILLION / 2, rel=0.002)
    later = agent.close(agent.handle(step.state, evidence("c", ()), context).state, closed(date(2040, 3, 1)), context)
    assert 0 <= later.state.cells[cell][0] < 30_000


def test_the_keeping_curve_starts_at_the_prior() -> None:
    prior = RepaymentModel({})
    assert prior.plan(0.35, 36, 0.0, 60) == pytest.approx(1 - 0.209, abs=0.02)
    assert prior.plan(0.5, 36, 0.0, 60) == pytest.approx(1 - 0.29, abs=0.02)
    cell = cell_of(0.35, 30, 0.05, 75)
    few, many = RepaymentModel({cell: (3, 3)}), RepaymentModel({cell: (500, 500)})
    assert prior.instalment(0.35, 30, 0.05, 75) > few.instalment(0.35, 30, 0.05, 75) > 0.6
    assert many.instalment(0.35, 30, 0.05, 75) == pytest.approx(0.5, abs=0.01)
    # A counter that was corrected below nothing counts as nothing.
    assert RepaymentModel({cell: (-1, 0)}).instalment(0.2, 12, 0, 30) == prior.instalment(0.2, 12, 0, 30)


def test_the_curve_is_a_penalised_logistic_regression() -> None:
    chance = np.random.default_rng(3)
    for _ in range(10):
        cells = {
            cell_of(*map(float, chance.uniform((0, 3, 0, 0), (1.2, 60, 0.4, 300)))): (
                int(chance.integers(0, 400)),
                int(chance.integers(0, 400)),
            )
            for _ in range(30)
        }
        counted = [(*_inputs(cell), kept, missed) for cell, (kept, missed) in sorted(cells.items())]
        offset, x, kept, missed = (np.array(column, dtype=float) for column in zip(*counted, strict=True))

        def loss(w, offset=offset, x=x, kept=kept, missed=missed):  # type: ignore[no-untyped-def]
            odds = offset + x @ w
            return (kept * np.logaddexp(0, -odds) + missed * np.logaddexp(0, odds)).sum() + w @ w / 2

        assert np.allclose(RepaymentModel(cells)._weights, minimize(loss, np.zeros(5), tol=1e-10).x, atol=1e-3)


def test_an_offer_reports_outcomes_in_stages_and_retracts() -> None:
    driver, tell = PlannerDriver(), BorrowerEvents()
    driver.feed(tell.granted(0), tell.report(0, 1_000_000), tell.request(0))
    driver.close(0)
    offer = driver.offer()
    lead = next(o for o in offer.options if o.option_id == offer.recommended_option_id)
    driver.feed(tell.answer(1, offer.offer_id, "accepted", option_id=lead.option_id))
    driver.close(1)
    (first,) = driver.evidence
    number = offer.options.index(lead)
    assert [row.shown for row in first.rows] == [1] * len(offer.options)
    assert [(r.accepted, r.reward) for r in first.rows] == [
        (MILLI, 300) if n == number else (0, 0) for n in range(len(offer.options))
    ]
    assert first.counts == {"fixed.offers": 1, "fixed.accepted": 1}
    assert first.offered_on == offer.business_date
    plan = only(driver.outputs, ev.PlanActivated)[0]
    for day, outcome in enumerate(("kept", "kept", "kept", "missed", "broken"), 2):
        driver.feed(
            ev.PlanProgressed(
                event_id=f"p{day}",
                occurred_at=NIGHT,
                source="test",
                borrower_id="B1",
                account_id=plan.account_id,
                plan_id=plan.plan_id,
                offer_id=offer.offer_id,
                business_date=date(2026, 3, 2 + day),
                caused_by="test",
                outcome=outcome,
            )
        )
        driver.close(day)
    told = driver.evidence[1:]
    assert [sum(r.reward for r in e.rows) for e in told] == [300, 0, 400, 0, -1_000]
    assert [(c.kept, c.missed) for e in told for c in e.cells] == [(1, 0), (1, 0), (1, 0), (0, 1)]
    assert [e.counts for e in told] == [{"fixed.due": 1}] * 4 + [{"fixed.broken": 1}]
    assert all(r.shown == 0 for e in told for r in e.rows)


def test_an_offer_that_ended_for_other_reasons_teaches_nothing() -> None:
    driver, tell = PlannerDriver(), BorrowerEvents()
    driver.feed(tell.granted(0), tell.report(0, 1_000_000), tell.request(0))
    driver.close(0)
    assert driver.offer().options
    driver.feed(tell.ended(1))
    driver.run(1, 30)
    assert driver.evidence == []


def test_learning_beats_uniform_choice_by_far_on_a_known_truth() -> None:
    chances = list(opportunities(900, 5, BOOK.policy_for("CN", "personal_loan")))
    by_chance, by_learning = play(chances, Uniform()).regret(), play(chances, learned).regret()
    assert by_learning <= 0.4 * by_chance
