"""Who decides which option leads for a borrower: the fixed order, what was learned, or a challenger.

A borrower stays where he is: the shares are taken by a hash of his id, so that the hold-out is permanent.
"""

from __future__ import annotations

from hashlib import sha256

from agents.leading import LearnedOrder, Uniform
from agents.ranking import FixedOrder, Ranker
from state.learning import Learned
from state.policy import Learning

BPS = 10_000
_SALT = "lead/"


def share_of(borrower_id: str) -> int:
    """Return where a borrower stands among all, 0 to 9,999, each as likely."""
    return int.from_bytes(sha256((_SALT + borrower_id).encode()).digest()[:8], "big") % BPS


def ranker_for(rules: Learning, borrower_id: str, learned: Learned | None) -> tuple[Ranker, str]:
    """Return who orders a borrower's options, and the group under which it is logged.

    Nothing but the fixed order leads unless learning is on, before anything was learned, or once a guardrail tripped.
    """
    if rules.mode != "on" or learned is None or learned.tripped:
        return FixedOrder(), "fixed"
    share = share_of(borrower_id)
    if share < rules.holdout_bps:
        return FixedOrder(), "holdout"
    if rules.challenger != "none" and share < rules.holdout_bps + rules.challenger_bps:
        return (Uniform() if rules.challenger == "uniform" else FixedOrder()), "challenger"
    return LearnedOrder(learned.posterior, rules.exploration_bps / BPS), "learned"
