"""The planner agent: keeps what is known of a borrower and offers plans over all of his troubled accounts.

What arrives of debts and means is noted; the offer that it calls for is decided at the day's close, once, so
that a borrower with several accounts gets one joint offer and the order of arrival within the day changes
nothing. What takes something away (an account that no longer wants a plan, an erasure) and what the borrower
himself answers (`agents.answers`) acts at once.

An open offer is withdrawn when it may no longer stand: its debts changed, a hold forbids it, it is not
affordable any more. It is replaced when a better one can be made: at once where an account joined or the
income became known, else no sooner than the policy's pause. A debt that only aged changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from agents import cases, plausible
from agents.answers import answer, pause_after
from agents.base import Environment, Step
from agents.cases import decide_at
from agents.conduct import judge, note, revise
from agents.erasure import erase, is_past, keeps_recording, scrubbed, settled
from agents.estimates import Estimate
from agents.grounds import Grounds, grounds_of, outdated, unsound
from agents.offers import FACT, Desk
from agents.plan_review import review_plans
from agents.ranking import Ranker
from agents.watching import progressed, tell, untold
from schemas import events as ev
from schemas.errors import BadInput
from state.borrower import BorrowerState, LastOffer
from state.policy import Policy, PolicyBook
from state.profile import add_consent, add_readings, readings_of

NATURAL_ID: dict[type[ev.Event], tuple[str, Callable[[Any], str]]] = {
    ev.WorkoutRequested: ("workout", lambda e: e.event_id),
    ev.WorkoutEnded: ("workout_end", lambda e: e.event_id),
    ev.PlanProgressed: ("progress", lambda e: e.event_id),
    ev.ContactNoted: ("contact", lambda e: f"{e.account_id}/{e.attempt_id}"),
    ev.ProfileReported: ("profile", lambda e: e.event_id),
    ev.ConsentGranted: ("grant", lambda e: e.event_id),
    ev.ConsentWithdrawn: ("withdrawal", lambda e: e.event_id),
    ev.ErasureRequested: ("erasure", lambda e: e.event_id),
    ev.OfferAnswered: ("feedback", lambda e: e.feedback_id),
    ev.EducationCompleted: ("education", lambda e: e.item_id),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FROM_OUTSIDE = (
    ev.ProfileReported,
    ev.ConsentGranted,
    ev.ConsentWithdrawn,
    ev.ErasureRequested,
    ev.OfferAnswered,
    ev.EducationCompleted,
)
PERSONAL = (ev.ProfileReported, ev.ConsentGranted, ev.ConsentWithdrawn, ev.EducationCompleted)


class PlannerAgent:
    """Decides on the offers of one borrower.

    ranker, estimate: what leads among options and what values them, in the place of what policy and learner say.
    """

    name = "planner"
    daily = False
    accepts: frozenset[type[ev.Event]] = frozenset(NATURAL_ID)

    def __init__(self, ranker: Ranker | None = None, estimate: Estimate | None = None) -> None:
        self._ranker = ranker
        self._estimate = estimate

    def fact_key(self, event: ev.Event) -> str:
        """Return the fact's identity within its borrower."""
        kind, natural = NATURAL_ID[type(event)]
        return f"{kind}:{natural(event)}"

    def due(self, state: BorrowerState) -> int | None:
        """Return the next day whose close matters: a decision to take, a contact to judge, or an offer that expires."""
        offer = state.open_offer()
        days = [d for d in (state.decide_on, state.tell_on, state.judge_on, offer.expires if offer else 0) if d]
        return min(days, default=None)

    def outdated(self, state: BorrowerState, policies: PolicyBook, through: int) -> bool:
        """Say that other policies apply to what is decided from then on, and leave what was decided."""
        return False

    def handle(self, state: BorrowerState | None, event: ev.Event, env: Environment) -> Step[BorrowerState]:
        """Take a fact. Raises BadInput where it breaks a rule, or contradicts what its id said before."""
        plausible.check(event)
        env = env.on(_day_of(event, env))
        s = copy(state) if state is not None else BorrowerState(event.borrower_id)  # type: ignore[attr-defined]
        if state is not None and is_past(event, state):
            answered = isinstance(event, ev.OfferAnswered)
            if isinstance(event, PERSONAL) or (answered and env.known is not None):
                return Step(state)
            if isinstance(event, ev.OfferAnswered):
                # An agreement stands whenever it is heard of; what he said of himself is no longer to be known.
                event = replace(event, reasons=(), rating=None, comment=None)
        fact = _kept(event, s, env)
        if env.known is not None:
            if _content(env.known) == _content(fact):
                return Step(state or s)
            raise BadInput(
                "conflicting_duplicate",
                f"{type(event).__name__} {self.fact_key(event)} of borrower {s.borrower_id} was sent before with "
                "different content, which stands. Send a correction under a new id.",
            )
        return self._take(s, event, fact, env)

    def close(self, state: BorrowerState, day: ev.DayClosed, env: Environment) -> Step[BorrowerState]:
        """Let offers run out and decide on new ones, at the close of a business date."""
        s = copy(state)
        today = day.business_date.toordinal()
        policies, env = env.policies, env.on(today)
        desk = Desk(s, day, today, env.learned, self._ranker, self._estimate)
        judge(desk, policies)
        offer = s.open_offer()
        if offer is not None and offer.expires <= today:
            desk.expire(offer)
            if offer.choices and not offer.unanswered:
                s.unanswered += 1
            s.not_before = max(s.not_before, today + pause_after(_policy(s, env.policies), s.unanswered))
            s.decide_on = today
        if s.decide_on and s.decide_on <= today:
            self._decide(desk, env.policies)
        if untold(s):
            desk.outputs += tell(s, day, env.policies.policy_for("", "").learning.maturity_days)
        s.tell_on = 0
        return Step(s, desk.outputs, desk.facts)

    # -- facts

    def _take(self, s: BorrowerState, event: ev.Event, fact: ev.Event, env: Environment) -> Step[BorrowerState]:
        facts: list[tuple[str, ev.Event]] = [(self.fact_key(event), fact)]
        if isinstance(event, ev.ProfileReported | ev.ConsentGranted | ev.EducationCompleted):
            plausible.check_room(event, len(s.consents) + len(s.education) + len(s.readings))
        policy = _policy(s, env.policies)
        said_on = event.occurred_at.astimezone(ZoneInfo(policy.business_time_zone)).date()
        following = env.closed_through + timedelta(days=1) if env.closed_through else said_on
        if isinstance(event, ev.WorkoutRequested | ev.WorkoutEnded | ev.PlanProgressed):
            today = event.business_date
        else:
            today = max(said_on, following)
        # What the account says carries the instant of its cause, which may be when a history was loaded.
        if isinstance(event, FROM_OUTSIDE):
            plausible.check_ahead(event, said_on.toordinal(), following.toordinal() - 1, policy.most_days_ahead)
        desk = Desk(s, event, today.toordinal(), env.learned, self._ranker, self._estimate)
        gone: list[tuple[str, ev.Event]] = []
        if isinstance(event, ev.WorkoutRequested):
            cases.request(s, event)
        elif isinstance(event, ev.WorkoutEnded):
            cases.end(desk, event)
            gone = settled(desk, event, env)
        elif isinstance(event, ev.ProfileReported):
            if event.as_of > said_on + timedelta(days=1):
                raise BadInput(
                    "out_of_range",
                    f"ProfileReported {event.event_id} speaks of a day after that on which it was made. Send it with "
                    "the date on which it was true.",
                    "as_of",
                )
            s.readings = add_readings(s.readings, readings_of(event))
            decide_at(s, following.toordinal())
        elif isinstance(event, ev.ConsentGranted | ev.ConsentWithdrawn):
            s.consents = add_consent(s.consents, event)
            decide_at(s, following.toordinal())
        elif isinstance(event, ev.ErasureRequested):
            gone = erase(desk, event, env)
            decide_at(s, following.toordinal())
        elif isinstance(event, ev.OfferAnswered):
            answer(desk, event, said_on.toordinal(), policy, env)
        elif isinstance(event, ev.PlanProgressed):
            progressed(s, event, env.policies.policy_for("", "").learning.maturity_days)
            cases.follow(s, event)
            gone = settled(desk, event, env)
        elif isinstance(event, ev.ContactNoted):
            note(desk, event, env.closed_through or said_on, env.policies)
        elif isinstance(event, ev.EducationCompleted):
            s.education = tuple(sorted({*s.education, event.item_id}))
        if isinstance(event, ev.ContactNoted | ev.ProfileReported | ev.ConsentGranted | ev.ConsentWithdrawn):
            revise(desk, env)
        if untold(s):
            s.tell_on = min(s.tell_on or following.toordinal(), following.toordinal())
        erased = bool(gone) or isinstance(event, ev.ErasureRequested)
        return Step(s, desk.outputs, facts + gone + desk.facts, erased=erased)

    # -- decisions

    def _decide(self, desk: Desk, policies: PolicyBook) -> None:
        """Withdraw, replace or make an offer as the grounds of today ask for it."""
        s, today = desk.s, desk.today
        s.decide_on = 0
        if s.plans:
            review_plans(desk, policies)
        if not s.cases:
            return
        grounds = grounds_of(s, policies, today)
        offer = s.open_offer()
        reason = unsound(offer, s, grounds) if offer is not None else ""
        if reason:
            desk.withdraw(reason)
            offer = None
        if grounds is None:
            return
        better = outdated(offer, grounds) if offer is not None else ""
        if offer is not None and not better:
            return
        # What offers nothing to choose is not sent once more in other words.
        unlike = offer if offer is not None and not offer.choices else None
        wait = max(s.paused_until, s.not_before if offer is None else _quiet_until(offer, grounds))
        if wait > today:
            s.decide_on = wait
        elif grounds.vulnerable:
            until = today + grounds.policy.offers.distress_pause_days
            if desk.publish(grounds, ("vulnerability",), person=True, until=until - 1, unlike=unlike, instead=better):
                s.paused_until, s.pause_reason = until, "distress"
        else:
            codes = ("income_change",) if s.income_changed and not grounds.capacity.known else ()
            desk.publish(grounds, codes, unlike=unlike, instead=better)


def _quiet_until(offer: LastOffer, grounds: Grounds) -> int:
    """Return the day from which an open offer may be replaced by a better one."""
    only_more = (
        bool(offer.choices)
        and set(offer.account_ids) == set(grounds.account_ids)
        and offer.known == grounds.capacity.known
    )
    return offer.published + grounds.policy.offers.pause_days if only_more else 0


def _kept(event: ev.Event, s: BorrowerState, env: Environment) -> ev.Event:
    """Return what is kept of a fact: a comment is free text about a person, and no decision reads it."""
    if not isinstance(event, ev.OfferAnswered):
        return event
    if is_past(event, s):
        offer = dict(env.history()).get(FACT + event.offer_id)
        made = offer if isinstance(offer, ev.OfferPublished) else None
        return scrubbed(event, keeps_recording(s, event, made, env.policies))
    return replace(event, comment=None, sealed=None)


def _content(event: ev.Event) -> ev.Event:
    """Return what a fact says. What has an id of its own may be sent again later, by another system."""
    if isinstance(event, ev.OfferAnswered | ev.EducationCompleted):
        return replace(event, event_id="", source="", occurred_at=EPOCH)
    return event


def _day_of(event: ev.Event, env: Environment) -> int:
    """Return the business date by whose policies an event is judged: that of which it speaks, or the open one."""
    if isinstance(event, ev.WorkoutRequested | ev.WorkoutEnded | ev.PlanProgressed):
        return event.business_date.toordinal()
    return env.open_day


def _policy(s: BorrowerState, policies: PolicyBook) -> Policy:
    """Return the policy of the borrower's first case, the house's where there is none."""
    case = min(s.cases.items(), default=None, key=lambda item: item[0])
    if case is None:
        return policies.policy_for("", "")
    return policies.policy_for(case[1].debt.jurisdiction, case[1].debt.product)
