"""Evidence that no planner can have gathered is refused, and the model stays as it was."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from msgspec.structs import replace

from agents.base import DecisionContext
from agents.learner.agent import MOST, LearnerAgent
from schemas import events as ev
from schemas.errors import InvalidEventError
from state.learning import WIDTH
from state.policy_packs.loader import default_book
from state.storage import pack

ROW = ev.EvidenceRow(x=(1_000,) * WIDTH, shown=1, accepted=1_000, reward=300)
EVIDENCE = ev.OfferOutcomeReported(
    event_id="e1",
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    source="test",
    model="lead",
    offer_id="O1",
    business_date=date(2026, 1, 1),
    caused_by="close",
    rows=(ROW,),
    cells=(ev.CapacityCell(cell="x", kept=1, missed=0),),
    counts={"learned.offers": 1},
)
STRAY = {
    "a feature less": {"rows": (replace(ROW, x=ROW.x[1:]),)},
    "a feature more": {"rows": (replace(ROW, x=(*ROW.x, 1)),)},
    "a feature beyond all": {"rows": (replace(ROW, x=(MOST + 1, *ROW.x[1:])),)},
    "a reward beyond all": {"rows": (replace(ROW, reward=-(2**31)),)},
    "shown less than never": {"rows": (replace(ROW, shown=-1),)},
    "a count beyond all": {"counts": {"learned.offers": 2**63 - 1}},
    "a cell beyond all": {"cells": (ev.CapacityCell(cell="x", kept=-(2**63), missed=0),)},
    "a day that is none": {"business_date": date(9999, 12, 31)},
}


@pytest.mark.parametrize("wrong", STRAY.values(), ids=STRAY.keys())
def test_stray_evidence_is_refused_and_the_model_stays(wrong: dict[str, object]) -> None:
    agent, context = LearnerAgent(), DecisionContext(default_book())
    state = agent.handle(None, EVIDENCE, context).state
    before = pack(state)
    with pytest.raises(InvalidEventError) as refused:
        agent.handle(state, replace(EVIDENCE, event_id="e2", **wrong), context)
    assert refused.value.code == "out_of_range"
    assert pack(state) == before


def test_a_guardrail_counts_excess_retractions_as_none() -> None:
    agent, context = LearnerAgent(), DecisionContext(default_book())
    counts = {"learned.offers": 300, "fixed.offers": 300, "fixed.complaints": -1, "fixed.broken": -1}
    state = agent.handle(None, replace(EVIDENCE, counts=counts), context).state
    day = ev.DayClosed(
        event_id="d", occurred_at=EVIDENCE.occurred_at, source="t", business_date=date(2026, 1, 1), calendar="none"
    )
    said = agent.close(state, day, context).outputs
    assert [type(e).__name__ for e in said][-1] == "ModelUpdated"
