"""The page of the learner: the model, its arms, and what it recommends to whom."""

from __future__ import annotations

from typing import Any

from agents.planner.offer_outcomes import MODEL
from console.overview_projection import OverviewProjection
from console.read_store import ReadStore
from schemas import events as ev
from state.learning import FEATURES, LearnerState, ModelSnapshot


def learner_page(store: ReadStore, projection: OverviewProjection) -> dict[str, Any]:
    """Return the model's weights, decisions by arm, and the statistics of recommendations."""
    state, arms = store.state("learner", MODEL), dict(sorted(projection.arms.items()))
    recommendations = projection.recommendations.table()
    if not isinstance(state, LearnerState):
        return {
            "version": 0,
            "arms": arms,
            "counts": {},
            "rows": 0,
            "tripped": "",
            "weights": [],
            "recommendations": recommendations,
        }
    return {
        "version": state.version,
        "rows": state.statistics.rows,
        "arms": arms,
        "counts": state.counts,
        "tripped": state.tripped,
        "weights": _weights(projection.model),
        "recommendations": recommendations,
    }


def _weights(model: ev.ModelUpdated | None) -> list[dict[str, Any]]:
    """Return the mean and standard deviation of each feature's weight in the expected reward."""
    if model is None:
        return []
    return [
        {"name": name, "mean": mean, "deviation": deviation}
        for name, (mean, deviation) in zip(FEATURES, ModelSnapshot(model).posterior.weights(), strict=True)
    ]
