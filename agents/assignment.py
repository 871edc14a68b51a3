"""Who decides which option leads for a borrower, and what values his options: what was learned, or not.

A borrower stays where he is: the shares are taken by a hash of his id, so that the hold-out is permanent. Who is held
out is held out of all that was learned: of the lead, and of the estimate by which options are made and weighed.
"""

from __future__ import annotations

from hashlib import sha256

from agents.estimates import Estimate, LearnedEstimate, PriorEstimate
from agents.leading import VERSION, LearnedOrder, Uniform
from agents.ranking import FixedOrder, Ranker
from state.learning import Learned
from state.policy import Learning

BPS = 10_000
_SALT = "lead/"


def share_of(borrower_id: str) -> int:
    """Return where a borrower stands among all, 0 to 9,999, each as likely."""
    return int.from_bytes(sha256((_SALT + borrower_id).encode()).digest()[:8], "big") % BPS


def group_of(rules: Learning, borrower_id: str, learned: Learned | None) -> str:
    """Return the group that a borrower is in, under which his offers are logged: fixed, holdout, challenger or learned.

    All are in `fixed` unless learning is on, before anything was learned, or once a guardrail tripped.
    """
    if rules.mode != "on" or learned is None or learned.tripped:
        return "fixed"
    share = share_of(borrower_id)
    if share < rules.holdout_bps:
        return "holdout"
    if rules.challenger != "none" and share < rules.holdout_bps + rules.challenger_bps:
        return "challenger"
    return "learned"


def ranker_for(rules: Learning, borrower_id: str, learned: Learned | None) -> tuple[Ranker, str]:
    """Return who orders a borrower's options, and the group under which it is logged.

    What was learned says in its version by which `ModelUpdated.version` it decides.
    """
    group = group_of(rules, borrower_id, learned)
    if group == "learned" and learned is not None:
        version = f"{VERSION}@{learned.update.version}"
        return LearnedOrder(learned.posterior, rules.exploration_bps / BPS, version), group
    return (Uniform() if group == "challenger" and rules.challenger == "uniform" else FixedOrder()), group


def estimate_for(rules: Learning, borrower_id: str, learned: Learned | None) -> Estimate:
    """Return what values a borrower's options: what was learned of keeping plans, or the prior where that is held out.

    A challenger that leads by chance differs from the learner in the lead alone; one by the fixed order is what would
    be without a learner, as the hold-out is.
    """
    group = group_of(rules, borrower_id, learned)
    leads = group == "learned" or (group == "challenger" and rules.challenger == "uniform")
    return LearnedEstimate(learned.curve, learned.update.version) if leads and learned is not None else PriorEstimate()
