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
    state = store.state("learner", MODEL)
    known = state if isinstance(state, LearnerState) else LearnerState(MODEL)
    return {
        "version": known.version,
        "rows": known.statistics.rows,
        "arms": dict(sorted(projection.arms.items())),
        "counts": known.counts,
        "tripped": known.tripped,
        "weights": _weights(projection.model) if known is state else [],
        "recommendations": projection.recommendations.table(),
    }


def _weights(model: ev.ModelUpdated | None) -> list[dict[str, Any]]:
    """Return the mean and standard deviation of each feature's weight in the expected reward."""
    if model is None:
        return []
    return [
        {"name": name, "mean": mean, "deviation": deviation}
        for name, (mean, deviation) in zip(FEATURES, ModelSnapshot(model).posterior.weights(), strict=True)
    ]
