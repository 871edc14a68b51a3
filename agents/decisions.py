"""What a decision rests on, and what is logged of it: all that is needed to judge it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from agents.base import derived_id
from agents.grounds import Grounds
from agents.leading import row_of
from agents.ranking import Ranking, RankingContext
from agents.weighing import owed
from schemas import events as ev
from state.borrower import BorrowerState

SOURCE = "reprieve.planner"


def seed_of(offer_id: str) -> int:
    """Return the 63-bit seed of an offer's chance."""
    return int.from_bytes(sha256(offer_id.encode()).digest()[:8], "big") >> 1


def context_of(s: BorrowerState, grounds: Grounds, options: tuple[ev.Option, ...], offer_id: str) -> RankingContext:
    """Return what a ranker may know of an offer to be made."""
    debts = grounds.debts
    return RankingContext(
        options=options,
        seed=seed_of(offer_id),
        surplus=grounds.capacity.surplus,
        limit=grounds.capacity.limit,
        owed=sum(owed(d) for d in debts),
        overdue=sum(d.overdue_amount for d in debts),
        days_past_due=max(d.days_past_due for d in debts),
        accounts=len(debts),
        plans_broken=sum(d.plans_broken for d in debts),
        sequence=s.sequence + 1,
        rate_matters=s.rate_matters,
        supportive=grounds.supportive,
    )


def decision_of(
    cause: ev.Event,
    grounds: Grounds,
    offer: ev.OfferPublished,
    candidates: tuple[ev.Candidate, ...],
    ranking: Ranking,
    context: RankingContext,
    codes: Sequence[str],
    group: str,
    estimate_version: str = "",
) -> ev.DecisionLogged:
    """Return what is logged of an offer's decision. estimate_version: of what valued the candidates, if any were."""
    return ev.DecisionLogged(
        event_id=derived_id(cause.event_id, "DecisionLogged", offer.borrower_id),
        occurred_at=cause.occurred_at,
        source=SOURCE,
        offer_id=offer.offer_id,
        borrower_id=offer.borrower_id,
        policy_version=f"{grounds.policy.name}@{grounds.policy.version}",
        model_version=ranking.model_version,
        candidates=candidates,
        feasible=tuple(o.option_id for o in offer.options),
        chosen=ranking.lead,
        propensity=ranking.propensity,
        features_hash=context.features_hash(),
        seed=ranking.seed,
        reasons=tuple(codes),
        business_date=offer.business_date,
        caused_by=cause.event_id,
        shown=tuple(
            ev.OptionRow(
                option_id=o.option_id,
                propensity=ranking.propensity_of(o.option_id),
                x=row_of(o, context, o.option_id == ranking.lead),
            )
            for o in offer.options
        ),
        group=group,
        estimate_version=estimate_version,
    )
