"""What a decision rests on, and what is logged of it: all that is needed to judge it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from agents.learner.ranking import Ranking, RankingContext, row_of
from agents.planner.assessment import Assessment
from agents.planner.figures import exposure_of, lateness_of
from agents.planner.update import Header
from schemas import events as ev
from state.borrower import BorrowerState


def seed_of(offer_id: str) -> int:
    """Return the 63-bit seed of an offer's chance."""
    return int.from_bytes(sha256(offer_id.encode()).digest()[:8], "big") >> 1


def context_of(
    s: BorrowerState, assessment: Assessment, options: tuple[ev.Option, ...], offer_id: str
) -> RankingContext:
    """Return what a ranker may know of an offer to be made."""
    debts = assessment.debts
    return RankingContext(
        options=options,
        seed=seed_of(offer_id),
        surplus=assessment.capacity.disposable_income,
        limit=assessment.capacity.max_instalment,
        owed=exposure_of(debts),
        overdue=sum(d.overdue_amount for d in debts),
        days_past_due=lateness_of(debts),
        accounts=len(debts),
        plans_broken=sum(d.plans_broken for d in debts),
        sequence=s.sequence + 1,
        rate_matters=s.rate_matters,
        supportive=assessment.supportive,
    )


def decision_of(
    header: Header,
    assessment: Assessment,
    offer: ev.OfferPublished,
    candidates: tuple[ev.Candidate, ...],
    ranking: Ranking,
    context: RankingContext,
    codes: Sequence[str],
    arm: str,
    estimate_version: str = "",
) -> ev.DecisionLogged:
    """Return what is logged of an offer's decision. estimate_version: of what valued the candidates, if any were."""
    return ev.DecisionLogged(
        **header,
        offer_id=offer.offer_id,
        policy_version=f"{assessment.policy.name}@{assessment.policy.version}",
        model_version=ranking.model_version,
        candidates=candidates,
        feasible=tuple(o.option_id for o in offer.options),
        chosen=ranking.recommended,
        propensity=ranking.propensity,
        features_hash=context.features_hash(),
        seed=ranking.seed,
        reasons=tuple(codes),
        shown=tuple(
            ev.OptionRow(
                option_id=o.option_id,
                propensity=ranking.propensity_of(o.option_id),
                x=row_of(o, context, o.option_id == ranking.recommended),
            )
            for o in offer.options
        ),
        arm=arm,
        estimate_version=estimate_version,
        assumed=assessment.capacity.assumed,
    )
