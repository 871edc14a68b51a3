"""Offers: planning one, which publishes nothing, and publishing what was planned with the decision that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from msgspec import Struct

from agents.amounts import exposure_of, lateness_of, rate_of, total
from agents.base import derived_id
from agents.learner.estimates import Estimate
from agents.learner.ranking import (
    Ranker,
    Ranking,
    RankingContext,
    estimate_for,
    first_by_reason,
    ranker_for,
    recommending,
    row_of,
    true_of,
)
from agents.planner.assessment import Assessment
from agents.planner.contacts import contact_of, windows_digest
from agents.planner.offer_outcomes import track
from agents.planner.offer_texts import (
    DisclosedTerms,
    Occasion,
    disclosures_of,
    headings_of,
    items_for,
    lender_of,
    lessons_of,
    message_of,
    reasons_of,
    support_of,
)
from agents.planner.options import NO_OPTIONS, counter_option, options_within
from agents.planner.update import OFFER_FACT, BorrowerHeader, BorrowerUpdate
from schemas import events as ev
from state.borrower import NEVER, BorrowerState, Choice, LastOffer, OfferEnd
from state.calendars import add_months, end_of, over_at_close
from state.contact_rules import zone_for
from state.learning import ModelSnapshot
from state.policy import Policy
from state.profile import millis


class OfferRequest(Struct, frozen=True):
    """What kind of offer is wanted; the class methods are the kinds there are.

    codes: reasons that come first. counter_amount: what the borrower proposed to pay a month. not_same_as: an offer
    that must not be repeated. refer_to_specialist: offer no options, whatever could be afforded. valid_until: ordinal
    of the last day on which the offer stands at least. supersedes_reason, close_as: why and how an open offer ends for
    this one.
    """

    codes: tuple[str, ...] = ()
    counter_amount: int | None = None
    not_same_as: LastOffer | None = None
    refer_to_specialist: bool = False
    valid_until: int = 0
    supersedes_reason: str = ""
    close_as: OfferEnd = "withdrawn"

    @classmethod
    def at_close(cls, codes: Sequence[str], not_same_as: LastOffer | None, supersedes_reason: str) -> OfferRequest:
        """Return what a day's close asks for: an offer to a borrower who has none, or a better one."""
        return cls(tuple(codes), not_same_as=not_same_as, supersedes_reason=supersedes_reason)

    @classmethod
    def for_vulnerable(cls, not_same_as: LastOffer | None, supersedes_reason: str, valid_until: int) -> OfferRequest:
        """Return a referral for a borrower on whose account a vulnerability is reported."""
        return cls(
            ("vulnerability",),
            not_same_as=not_same_as,
            refer_to_specialist=True,
            valid_until=valid_until,
            supersedes_reason=supersedes_reason,
        )

    @classmethod
    def after_late_acceptance(cls) -> OfferRequest:
        """Return an offer for a borrower who accepted one that no longer stands."""
        return cls(("earlier_offer_ended",))

    @classmethod
    def after_missing_recording(cls) -> OfferRequest:
        """Return an offer in the place of one whose oral acceptance has no recording, and whose dates are past."""
        return cls(("recording_missing",), supersedes_reason="recording_missing")

    @classmethod
    def for_counter(
        cls, codes: Sequence[str], amount: int | None, not_same_as: LastOffer | None, end: OfferEnd
    ) -> OfferRequest:
        """Return an offer that meets the monthly amount of a counter-offer as far as it may."""
        return cls(tuple(codes), amount, not_same_as, supersedes_reason=end, close_as=end)

    @classmethod
    def after_refusal(cls, codes: Sequence[str], not_same_as: LastOffer | None, end: OfferEnd) -> OfferRequest:
        """Return the next offer after one that was declined for reasons that it takes up."""
        return cls(tuple(codes), not_same_as=not_same_as, supersedes_reason=end, close_as=end)

    @classmethod
    def lowest_refused(cls, codes: Sequence[str], end: OfferEnd) -> OfferRequest:
        """Return a referral after the lowest instalment that may be granted was refused as too high."""
        return cls((*codes, "lowest_possible"), refer_to_specialist=True, supersedes_reason=end, close_as=end)

    @classmethod
    def for_distress_or_dispute(cls, codes: Sequence[str], valid_until: int, end: OfferEnd) -> OfferRequest:
        """Return a referral for a borrower who reports distress, or disputes a debt."""
        return cls(tuple(codes), refer_to_specialist=True, valid_until=valid_until, supersedes_reason=end, close_as=end)


class OfferPlan(Struct, frozen=True):
    """An offer that was decided and is not published yet.

    options: in the order of the ranking. principal: of each account, from which counts how far the debts have moved.
    balances: what the options repay. candidates, estimate_version: what was weighed, and by what.
    """

    request: OfferRequest
    assessment: Assessment
    offer_id: str
    kind: str
    options: tuple[ev.Option, ...]
    codes: tuple[str, ...]
    expires: int
    balances: tuple[ev.Amounts, ...]
    principal: tuple[int, ...]
    context: RankingContext
    ranking: Ranking
    arm: str
    candidates: tuple[ev.Candidate, ...] = ()
    estimate_version: str = ""


class OfferBuilder:
    """Plans the offers of one borrower on one day, and publishes them.

    ranker, estimate: in the place of those that the policy and the learned model call for.
    """

    def __init__(
        self,
        update: BorrowerUpdate,
        learned: ModelSnapshot | None = None,
        ranker: Ranker | None = None,
        estimate: Estimate | None = None,
    ) -> None:
        self.update = update
        self._learned = learned
        self._ranker = ranker
        self._estimate = estimate

    # -- planning

    def plan(self, assessment: Assessment, request: OfferRequest) -> OfferPlan | None:
        """Return the offer to publish, None where the episode has had its share or it would repeat `not_same_as`."""
        s, rules = self.update.s, assessment.policy.offers
        first_due, estimate = self._first_due(assessment.policy), self.estimate(assessment)
        known = (assessment.debts, assessment.capacity, assessment.policy, first_due, estimate, assessment.locale)
        found = NO_OPTIONS if request.refer_to_specialist else options_within(*known, refused=assessment.ceiling)
        codes = [*request.codes, *(c for c in found.reasons if c not in request.codes)]
        options, proposed, counter = found.options, None, request.counter_amount
        if counter is not None and found.kind == "plan":
            proposed = counter_option(*known, counter_amount=counter)
            codes.append("counter_met" if proposed else "counter_too_low")
            if proposed is not None:
                others = [o for o in options if o.option_id != proposed.option_id]
                options = (proposed, *others[: assessment.policy.options.max_published - 1])
        elif counter is not None and "nothing_affordable" in codes and counter <= assessment.capacity.max_instalment:
            codes.append("counter_too_low")
        if (s.plans_offered if options else s.referrals) >= rules.max_in_episode:
            return None
        context = context_of(s, assessment, options, self._offer_id())
        ranking, arm = self._ranked(assessment, context)
        first = first_by_reason(options, proposed, codes)
        if found.kind != "plan" and options:
            # Types of arrangement are not ranked: the policy says which comes first.
            first = options[0]
        if first is not None and (ranking.recommended != first.option_id or ranking.propensity < 1):
            ranking, arm = recommending(ranking, first.option_id), "borrower" if found.kind == "plan" else "fixed"
        codes = true_of(first, options, proposed, codes)
        if request.not_same_as is not None and _same(request.not_same_as, options, ranking, found.kind):
            return None
        return OfferPlan(
            request,
            assessment,
            self._offer_id(),
            found.kind,
            _ordered(options, ranking),
            tuple(codes),
            max(self.update.today + rules.open_days, request.valid_until),
            tuple(d.outstanding for d in assessment.debts),
            tuple(d.outstanding.principal for d in assessment.debts),
            context,
            ranking,
            arm,
            found.candidates,
            estimate.version if found.candidates else "",
        )

    def plan_confirmation(
        self, offer: ev.OfferPublished, option_id: str, assessment: Assessment, principal: tuple[int, ...]
    ) -> OfferPlan | None:
        """Return an offer again as it was, with the option recommended that still has to be confirmed.

        principal: of each account when the options were made.

        It proposes nothing new, so it is not capped. Where its first instalment falls due before the borrower could
        confirm it, what can be offered now is offered instead; None where nothing can be.
        """
        request = OfferRequest.after_missing_recording()
        first_due = min(_first_due_of(o).toordinal() for o in offer.options)
        expires = min(self.update.today + assessment.policy.offers.open_days, first_due - 1)
        if expires <= self.update.today:
            return self.plan(assessment, request)
        context = context_of(self.update.s, assessment, offer.options, self._offer_id())
        ranking = recommending(self._ranked(assessment, context)[0], option_id)
        return OfferPlan(
            request,
            assessment,
            self._offer_id(),
            offer.kind,
            _ordered(offer.options, ranking),
            request.codes,
            expires,
            # The options stand as they were made, so what they repay does too.
            offer.balances,
            principal,
            context,
            ranking,
            "borrower",
        )

    def estimate(self, assessment: Assessment) -> Estimate:
        """Return what values options: the learned model, where the borrower's treatment arm has it."""
        if self._estimate is not None:
            return self._estimate
        return estimate_for(assessment.policy.learning, self.update.s.borrower_id, self._learned)

    def _ranked(self, assessment: Assessment, context: RankingContext) -> tuple[Ranking, str]:
        """Return the order of the options, and the treatment arm that chose it."""
        if self._ranker is not None:
            return self._ranker.rank(context), "fixed"
        ranker, arm = ranker_for(assessment.policy.learning, self.update.s.borrower_id, self._learned)
        return ranker.rank(context), arm

    def _offer_id(self) -> str:
        return derived_id(self.update.identity, "offer", self.update.s.borrower_id)

    def _first_due(self, policy: Policy) -> date:
        """Return the first due date: a month on, and not before the offer can no longer be accepted."""
        today, open_days = date.fromordinal(self.update.today), policy.offers.open_days
        return policy.due_days.first_behind(today + timedelta(days=open_days), add_months(today, 1))

    # -- publishing

    def publish(self, plan: OfferPlan) -> None:
        """Publish a planned offer in the place of an open one, with its decision, and store it as a fact."""
        update = self.update
        update.withdraw_offer(plan.request.supersedes_reason, plan.request.close_as)
        offer = self._event(plan)
        self._remember(plan, offer)
        update.emit(offer, OFFER_FACT + offer.offer_id)
        update.emit(
            decision_of(
                update.header(derived_id(offer.offer_id, "DecisionLogged")),
                plan.assessment,
                offer,
                plan.candidates,
                plan.ranking,
                plan.context,
                plan.codes,
                plan.arm,
                plan.estimate_version,
            )
        )
        if plan.kind == "plan":
            # An arrangement for a time teaches nothing of plans.
            track(update.s, offer, plan.context, plan.arm)

    def _event(self, plan: OfferPlan) -> ev.OfferPublished:
        update, s, assessment, options = self.update, self.update.s, plan.assessment, plan.options
        messages, rules = assessment.messages, assessment.policy.options
        tone = "supportive" if assessment.supportive else "neutral"
        recommended = next((o for o in options if o.option_id == plan.ranking.recommended), None)
        items = items_for(plan.codes, plan.kind, s.education)
        until = date.fromordinal(plan.expires)
        worded = [*plan.codes]
        if plan.kind == "plan" and "income_assumed" not in plan.codes:
            worded.append("affordable")
        if options and len(assessment.debts) > 1:
            worded.append("several_accounts")
        about = Occasion(
            plan.kind,
            tone,
            len(options),
            until,
            plan.codes,
            items,
            plan.offer_id,
            assessment.capacity.currency,
            rules,
            exposure_of(assessment.debts),
            options[0].instalment_amount if options else 0,
        )
        disclosed = {} if recommended is None else _disclosed(plan, recommended, date.fromordinal(update.today))
        return ev.OfferPublished(
            **update.header(derived_id(update.identity, "OfferPublished", s.borrower_id)),
            offer_id=plan.offer_id,
            account_ids=assessment.account_ids,
            balances=plan.balances,
            options=options,
            recommended_option_id=plan.ranking.recommended,
            expires_on=until,
            locale=assessment.locale,
            message=message_of(about, messages),
            reasons=reasons_of(worded, about, messages),
            support=support_of(plan.codes, plan.kind, tone, (d.jurisdiction for d in assessment.debts), messages),
            education=items,
            disclosures=disclosed,
            contact=contact_of(assessment, s.contacts, update.cause.occurred_at, until),
            currency=assessment.capacity.currency,
            kind=plan.kind,
            sequence=s.sequence + 1,
            tone=tone,
            headings=headings_of(disclosed, messages),
            lessons=lessons_of(items, messages),
            lender=lender_of(plan.offer_id, messages),
            token_amount=options[0].instalment_amount if plan.kind == "token" else None,
            joint_borrower_ids=(joint := assessment.debts[0].joint_borrower_ids),
            acceptance=assessment.policy.parties.joint_acceptance if joint else "any",
        )

    def _remember(self, plan: OfferPlan, offer: ev.OfferPublished) -> None:
        """Make the offer the borrower's last one, and count it."""
        s, assessment = self.update.s, plan.assessment
        s.sequence += 1
        if offer.options:
            s.plans_offered += 1
        else:
            s.referrals += 1
        zone = zone_for(assessment.policy.contacts, assessment.profile.text("time_zone"))
        business = ZoneInfo(assessment.policy.business_time_zone)
        s.offer = LastOffer(
            offer.offer_id,
            offer.kind,
            offer.tone,
            offer.currency,
            offer.account_ids,
            plan.principal,
            tuple(Choice(o.option_id, o.term_months, o.instalment_amount) for o in offer.options),
            offer.recommended_option_id or "",
            self.update.today,
            plan.expires,
            assessment.capacity.max_instalment,
            assessment.capacity.known,
            contactable_from=millis(offer.contact.not_before) if offer.contact.channels else 0,
            contact_window=(millis(offer.contact.not_before), millis(offer.contact.not_after)),
            until=millis(end_of(offer.expires_on, zone)),
            over=NEVER
            if s.disputes and not offer.options
            else over_at_close(offer.expires_on, zone, business).toordinal(),
            windows=windows_digest(offer.contact.windows),
            joint=offer.joint_borrower_ids,
        )


def _first_due_of(option: ev.Option) -> date:
    """Return the day by which an option has to be accepted: of its first instalment, or of the review without one."""
    return min((i.due_on for i in option.instalments), default=option.review_on or date.max)


def _ordered(options: Sequence[ev.Option], ranking: Ranking) -> tuple[ev.Option, ...]:
    by_id = {o.option_id: o for o in options}
    return tuple(by_id[name] for name in ranking.order)


def _same(before: LastOffer, options: Sequence[ev.Option], ranking: Ranking, kind: str) -> bool:
    choices = {(c.option_id, c.instalment) for c in before.choices}
    return (
        kind == before.kind
        and (ranking.recommended or "") == before.recommended
        and {(o.option_id, o.instalment_amount) for o in options} == choices
    )


def _disclosed(plan: OfferPlan, recommended: ev.Option, today: date) -> dict[str, str]:
    assessment = plan.assessment
    terms = DisclosedTerms(
        total(plan.balances),
        assessment.capacity.currency,
        recommended.instalments,
        rate_of(recommended.shares),
        assessment.policy.plans.broken_after_missed,
        len(plan.options),
        today,
        assessment.policy.charges,
        recommended.review_on,
        recommended.ends_on,
    )
    return disclosures_of(assessment.policy.offers.stated, terms, assessment.messages)


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
    header: BorrowerHeader,
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
            for o in (offer.options if offer.kind == "plan" else ())
        ),
        arm=arm,
        estimate_version=estimate_version,
        assumed=assessment.capacity.assumed,
    )
