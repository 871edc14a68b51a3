"""Offers: publishing one with all that belongs to it, and ending it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from msgspec.structs import replace

from agents.amounts import total
from agents.assignment import ranker_for
from agents.base import derived_id
from agents.contacting import contact_of
from agents.decisions import context_of, decision_of
from agents.disclosures import Terms, disclosures_of
from agents.education import items_for, titles
from agents.estimates import Estimate, LearnedEstimate, PriorEstimate
from agents.grounds import Grounds
from agents.messages import message_of, reasons_of, support_of
from agents.options import OptionSet, build_options, counter_option
from agents.ranking import Ranker, Ranking, RankingContext, led_by
from agents.watching import ended, watch
from schemas import events as ev
from state.borrower import BorrowerState, Choice, LastOffer, OfferEnd
from state.calendars import add_months
from state.learning import Learned
from state.profile import millis

SOURCE = "reprieve.planner"
FACT = "offer:"


class Desk:
    """Makes the offers of one borrower on one day; `s` is changed in place, what is said is collected.

    today: ordinal of the business date. cause: the event on which all of it is said. ranker, estimate: in the place of
    those that the policy and what was learned call for.
    """

    def __init__(
        self,
        s: BorrowerState,
        cause: ev.Event,
        today: int,
        learned: Learned | None = None,
        ranker: Ranker | None = None,
        estimate: Estimate | None = None,
    ) -> None:
        self.s = s
        self.cause = cause
        self.today = today
        self.learned = learned
        self._ranker = ranker
        self._estimate = estimate
        self.outputs: list[ev.Event] = []
        self.facts: list[tuple[str, ev.Event]] = []

    # -- publishing

    def publish(
        self,
        grounds: Grounds,
        codes: Sequence[str] = (),
        *,
        counter: int | None = None,
        unlike: LastOffer | None = None,
        person: bool = False,
        until: int = 0,
        instead: str = "",
        end: OfferEnd = "withdrawn",
    ) -> bool:
        """Publish an offer unless the episode has had its share; say whether it was.

        codes: reasons that come first. counter: the monthly amount that the borrower proposed. unlike: an offer
        that must not be repeated. person: refer to a person, whatever could be afforded. until: ordinal of the
        last day on which the offer stands at least. instead, end: why and how an open offer ends for this one.
        """
        rules = grounds.policy.offers
        first_due = self._first_due(rules.open_days)
        found = OptionSet((), (), "referral", ()) if person else self._options(grounds, first_due)
        said = [*codes, *(c for c in found.reasons if c not in codes)]
        options, proposed = found.options, None
        if counter is not None and found.kind == "plan":
            proposed = self._counter(grounds, first_due, counter)
            said.append("counter_met" if proposed else "counter_too_low")
            if proposed is not None:
                others = [o for o in options if o.option_id != proposed.option_id]
                options = (proposed, *others[: grounds.policy.options.max_published - 1])
        elif counter is not None:
            said.append("counter_too_low")
        had = self.s.plans_offered if options else self.s.referrals
        if had >= rules.max_in_episode:
            return False
        offer_id = derived_id(self.cause.event_id, "offer", self.s.borrower_id)
        context = context_of(self.s, grounds, options, offer_id)
        ranking, group = self._ranked(grounds, context)
        if proposed is not None:
            ranking, group = led_by(ranking, proposed.option_id), "borrower"
        if unlike is not None and self._same(unlike, options, ranking, found.kind):
            return False
        self.withdraw(instead, end)
        by_id = {o.option_id: o for o in options}
        ordered = tuple(by_id[name] for name in ranking.order)
        expires = max(self.today + rules.open_days, until)
        owed = tuple(d.outstanding for d in grounds.debts)
        offer = self._offer(grounds, offer_id, found.kind, ordered, ranking, said, expires, owed)
        self._note(offer, grounds)
        self._say(offer, decision_of(self.cause, grounds, offer, found.candidates, ranking, context, said, group))
        watch(self.s, offer, context, group)
        return True

    def confirm(self, offer: ev.OfferPublished, option_id: str, grounds: Grounds) -> None:
        """Publish an offer again as it was, led by the option that still has to be confirmed.

        It proposes nothing new, so it is not capped. Where its first instalment falls due before he could confirm it,
        what can be offered now is offered instead.
        """
        codes = ["recording_missing"]
        first_due = min(i.due_on.toordinal() for o in offer.options for i in o.instalments)
        expires = min(self.today + grounds.policy.offers.open_days, first_due - 1)
        if expires <= self.today:
            self.publish(grounds, codes, instead="recording_missing")
            return
        before = self.s.offer
        self.withdraw("recording_missing")
        offer_id = derived_id(self.cause.event_id, "offer", self.s.borrower_id)
        context = context_of(self.s, grounds, offer.options, offer_id)
        ranking = led_by(self._ranked(grounds, context)[0], option_id)
        by_id = {o.option_id: o for o in offer.options}
        ordered = tuple(by_id[name] for name in ranking.order)
        # The options stand as they were made, so what they repay does too.
        owed = offer.balances
        again = self._offer(grounds, offer_id, offer.kind, ordered, ranking, codes, expires, owed)
        self._note(again, grounds)
        if self.s.offer is not None and before is not None:
            # How far the debts have moved counts from when the options were made.
            self.s.offer = replace(self.s.offer, principal=before.principal)
        self._say(again, decision_of(self.cause, grounds, again, (), ranking, context, codes, "borrower"))
        watch(self.s, again, context, "borrower")

    def _ranked(self, grounds: Grounds, context: RankingContext) -> tuple[Ranking, str]:
        """Return the order of the options, and how their lead was chosen."""
        if self._ranker is not None:
            return self._ranker.rank(context), "fixed"
        ranker, group = ranker_for(grounds.policy.learning, self.s.borrower_id, self.learned)
        return ranker.rank(context), group

    def estimate(self, grounds: Grounds) -> Estimate:
        """Return what values options: what was learned of keeping plans, where the policy lets it lead."""
        if self._estimate is not None:
            return self._estimate
        learned = self.learned
        if grounds.policy.learning.mode != "on" or learned is None or learned.tripped:
            return PriorEstimate()
        return LearnedEstimate(learned.curve)

    def _options(self, grounds: Grounds, first_due: date) -> OptionSet:
        """Return options within what the borrower said, or, where there are none, nearest to it, and say so."""
        means, refused = grounds.capacity, grounds.ceiling
        terms: list[tuple[int | None, tuple[str, ...]]] = [(means.max_term_months, ())]
        if means.max_term_months is not None:
            # A plan that is longer than wished is better than none.
            terms.append((None, ("no_shorter_term",)))
        limits: list[tuple[int, tuple[str, ...]]] = [(means.limit, ())]
        if refused:
            limits = [(refused - 1, ()), (refused, ("lowest_possible",)), (means.limit, ("lowest_possible",))]
        first: OptionSet | None = None
        for months, longer in terms:
            for limit, lowest in limits:
                bound = replace(means, limit=min(means.limit, limit), max_term_months=months)
                found = build_options(
                    grounds.debts, bound, grounds.policy, first_due, self.estimate(grounds), grounds.locale
                )
                if found.kind == "plan":
                    return replace(found, reasons=(*found.reasons, *longer, *lowest))
                first = first or found
        assert first is not None
        return first

    def _counter(self, grounds: Grounds, first_due: date, amount: int) -> ev.Option | None:
        return counter_option(
            grounds.debts, grounds.capacity, grounds.policy, first_due, amount, self.estimate(grounds), grounds.locale
        )

    def _first_due(self, open_days: int) -> date:
        """Return the first due date: a month on, and not before the offer can no longer be accepted."""
        today = date.fromordinal(self.today)
        return max(add_months(today, 1), today + timedelta(days=open_days + 1))

    def _same(self, before: LastOffer, options: Sequence[ev.Option], ranking: Ranking, kind: str) -> bool:
        choices = {(c.option_id, c.instalment) for c in before.choices}
        return (
            kind == before.kind
            and (ranking.lead or "") == before.lead
            and {(o.option_id, o.instalment_amount) for o in options} == choices
        )

    def _offer(
        self,
        grounds: Grounds,
        offer_id: str,
        kind: str,
        options: tuple[ev.Option, ...],
        ranking: Ranking,
        codes: Sequence[str],
        expires: int,
        balances: tuple[ev.Amounts, ...],
    ) -> ev.OfferPublished:
        s, locale = self.s, grounds.locale
        tone = "supportive" if grounds.supportive else "neutral"
        lead = next((o for o in options if o.option_id == ranking.lead), None)
        items = items_for(codes, kind, s.education)
        until = date.fromordinal(expires)
        worded = [*codes]
        if options:
            worded += ["affordable", "several_accounts"] if len(grounds.debts) > 1 else ["affordable"]
        return ev.OfferPublished(
            event_id=derived_id(self.cause.event_id, "OfferPublished", s.borrower_id),
            occurred_at=self.cause.occurred_at,
            source=SOURCE,
            offer_id=offer_id,
            borrower_id=s.borrower_id,
            account_ids=grounds.account_ids,
            balances=balances,
            options=options,
            lead_option_id=ranking.lead,
            expires_on=until,
            locale=locale,
            message=message_of(kind, tone, len(options), until, titles(items, locale), locale, codes=codes),
            reasons=reasons_of(worded, locale),
            support=support_of(codes, kind, tone, (d.jurisdiction for d in grounds.debts), locale),
            education=items,
            disclosures=_disclosed(grounds, lead, balances) if lead is not None else {},
            contact=contact_of(grounds, s.contacts, self.cause.occurred_at),
            business_date=date.fromordinal(self.today),
            caused_by=self.cause.event_id,
            currency=grounds.capacity.currency,
            kind=kind,
            sequence=s.sequence + 1,
            tone=tone,
        )

    def _note(self, offer: ev.OfferPublished, grounds: Grounds) -> None:
        s = self.s
        s.sequence += 1
        if offer.options:
            s.plans_offered += 1
        else:
            s.referrals += 1
        s.offer = LastOffer(
            offer.offer_id,
            offer.kind,
            offer.tone,
            offer.currency,
            offer.account_ids,
            tuple(d.outstanding.principal for d in grounds.debts),
            tuple(Choice(o.option_id, o.term_months, o.instalment_amount) for o in offer.options),
            offer.lead_option_id or "",
            self.today,
            offer.expires_on.toordinal(),
            grounds.capacity.limit,
            grounds.capacity.known,
            reach=millis(offer.contact.not_before) if offer.contact.channels else 0,
            window=(millis(offer.contact.not_before), millis(offer.contact.not_after)),
        )
        self.facts.append((FACT + offer.offer_id, offer))

    # -- ending

    def withdraw(self, reason: str, end: OfferEnd = "withdrawn") -> None:
        """Take the open offer back, if there is one."""
        offer = self.s.open_offer()
        if offer is None:
            return
        self.s.offer = replace(offer, end=end)
        ended(self.s, offer.offer_id, end)
        self._say(
            ev.OfferWithdrawn(
                # Once an offer, by whichever of several accounts it is that is heard of first.
                event_id=derived_id(offer.offer_id, "OfferWithdrawn"),
                occurred_at=self.cause.occurred_at,
                source=SOURCE,
                offer_id=offer.offer_id,
                borrower_id=self.s.borrower_id,
                business_date=date.fromordinal(self.today),
                caused_by=self.cause.event_id,
                reason=reason,
            )
        )

    def expire(self, offer: LastOffer) -> None:
        """Let an open offer run out."""
        self.s.offer = replace(offer, end="expired")
        ended(self.s, offer.offer_id, "expired")
        self._say(
            ev.OfferExpired(
                event_id=derived_id(self.cause.event_id, "OfferExpired", offer.offer_id),
                occurred_at=self.cause.occurred_at,
                source=SOURCE,
                offer_id=offer.offer_id,
                borrower_id=self.s.borrower_id,
                business_date=date.fromordinal(self.today),
                caused_by=self.cause.event_id,
            )
        )

    def _say(self, *events: ev.Event) -> None:
        self.outputs += events


def _disclosed(grounds: Grounds, lead: ev.Option, balances: Sequence[ev.Amounts]) -> dict[str, str]:
    terms = Terms(
        total(balances),
        grounds.capacity.currency,
        lead.instalments,
        max(s.annual_rate_bps for s in lead.shares),
        grounds.policy.plans.broken_after_missed,
    )
    return disclosures_of(grounds.policy.offers.disclosures, terms, grounds.locale)
