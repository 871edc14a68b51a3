"""Treatment arms: whether the learned model, or the fixed order and the prior, decide for a borrower.

A borrower stays in their arm: it follows from a hash of their id, so that the hold-out is permanent. Who is held out is
held out of all that was learned: of the recommendation, and of the estimate by which options are made and weighed.
"""

from __future__ import annotations

from hashlib import sha256

from agents.learner.estimates import Estimate, LearnedEstimate, PriorEstimate
from agents.learner.ranking import VERSION, FixedOrder, LearnedOrder, Ranker, Uniform
from state.learning import ModelSnapshot
from state.policy import Learning

BPS = 10_000
_SALT = "lead/"


def place_in_trial(borrower_id: str) -> int:
    """Return where a borrower stands among all, 0 to 9,999, each as likely."""
    return int.from_bytes(sha256((_SALT + borrower_id).encode()).digest()[:8], "big") % BPS


def arm_of(rules: Learning, borrower_id: str, learned: ModelSnapshot | None) -> str:
    """Return the arm that a borrower is in, under which his offers are logged: fixed, holdout, challenger or learned.

    All are in `fixed` unless learning is on, before anything was learned, or once a guardrail tripped.
    """
    if rules.mode != "on" or learned is None or learned.tripped:
        return "fixed"
    share = place_in_trial(borrower_id)
    if share < rules.holdout_bps:
        return "holdout"
    if rules.challenger != "none" and share < rules.holdout_bps + rules.challenger_bps:
        return "challenger"
    return "learned"


def ranker_for(rules: Learning, borrower_id: str, learned: ModelSnapshot | None) -> tuple[Ranker, str]:
    """Return who orders a borrower's options, and the arm under which it is logged.

    What was learned says in its version by which `ModelUpdated.version` it decides.
    """
    arm = arm_of(rules, borrower_id, learned)
    if arm == "learned" and learned is not None:
        version = f"{VERSION}@{learned.update.version}"
        return LearnedOrder(learned.posterior, rules.exploration_bps / BPS, version), arm
    return (Uniform() if arm == "challenger" and rules.challenger == "uniform" else FixedOrder()), arm


def estimate_for(rules: Learning, borrower_id: str, learned: ModelSnapshot | None) -> Estimate:
    """Return what values a borrower's options: what was learned of keeping plans, or the prior where that is held out.

    A challenger that recommends by chance differs from the learner in the recommendation alone; one by the fixed order
    is what would be without a learner, as the hold-out is.
    """
    arm = arm_of(rules, borrower_id, learned)
    is_learned = arm == "learned" or (arm == "challenger" and rules.challenger == "uniform")
    return (
        LearnedEstimate(learned.repayment_model, learned.update.version)
        if is_learned and learned is not None
        else PriorEstimate()
    )
