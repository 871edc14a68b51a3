"""Typed events and their parts. Made by `python -m schemas.generate` from `schemas/avsc`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

MAX_LONG = 2**63 - 1

Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\s\x00-\x1f\x7f]+(?!\s)$")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Currency = Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")]
Long = Annotated[int, Meta(ge=-MAX_LONG - 1, le=MAX_LONG)]
Int = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=MAX_LONG)]
NonNegative = Annotated[int, Meta(ge=0, le=MAX_LONG)]
PositiveInt = Annotated[int, Meta(ge=1, le=2**31 - 1)]
NonNegativeInt = Annotated[int, Meta(ge=0, le=2**31 - 1)]
RateBps = Annotated[int, Meta(ge=0, le=1_000_000)]
Stage = Annotated[int, Meta(ge=1, le=3)]
HouseholdSize = Annotated[int, Meta(ge=1, le=50)]
Rating = Annotated[int, Meta(ge=1, le=5)]
Instant = Annotated[datetime, Meta(tz=True)]


class Event(Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """What happened. `occurred_at` is UTC; money is integer minor units; rates are basis points."""

    event_id: Id
    occurred_at: Instant
    source: Name


PartyRole = Literal["joint", "guarantor"]
Suretyship = Literal["subsidiary", "joint_and_several"]
Answer = Literal["accepted", "declined", "countered", "no_answer"]
AnswerReason = Literal["too_high", "too_long", "rate", "income_change", "dispute", "distress", "distrust", "other"]
Arrangement = Literal["repayment", "token", "payment_holiday"]
BadDebtStatus = Literal["none", "candidate", "recognised", "charged_off", "recovering", "terminated", "cured"]
ReviewDecision = Literal["recognise", "reject", "charge_off", "terminate"]
Bucket = Literal["current", "grace", "dpd_1_30", "dpd_31_60", "dpd_61_90", "dpd_over_90"]
ChargeKind = Literal["penalty_interest", "late_fee"]
ContactChannel = Literal["call", "sms", "email", "letter", "visit", "app", "other"]
Direction = Literal["outbound", "inbound"]
ContactOutcome = Literal[
    "reached", "no_answer", "wrong_party", "promised", "refused", "disputed", "hardship", "complaint"
]
CreditStanding = Literal["good", "arrears", "defaulted", "restructured", "repairing"]
HoldKind = Literal["dispute", "breathing_space", "bankruptcy", "deceased", "fraud", "vulnerability"]
FeedbackChannel = Literal["online", "hotline"]
Shape = Literal["level", "step_up", "deferred"]
ProfileKind = Literal["bureau", "interview", "third_party", "declared"]


class AccountClosed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The lender closes the account. From that day on nothing accrues, falls due or is offered, unless the reason says otherwise.

    reason: repaid: nothing is owed except interest of months to come, which an early settlement does not owe; where more is unpaid, the account stays open and InputNotApplied reports how much. settled: the lender forgives the rest. sold: the claim belongs to another lender. opened_in_error: the account never existed; corrections supersede everything reported about it. With any other reason, the account ends with the balance that it has.
    closed_on: Without it, the date of occurred_at.
    """

    account_id: Id
    reason: Name
    closed_on: date | None = None


class Amounts(Struct, frozen=True, kw_only=True, gc=False):
    """What is owed or forgiven, by component, in minor units."""

    principal: NonNegative = 0
    interest: NonNegative = 0
    fees: NonNegative = 0
    penalty: NonNegative = 0


class AccountEnded(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Reprieve reports that AccountClosed took effect: nothing accrues, falls due or is offered from this day on.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    reason: The reason of AccountClosed.
    outstanding: What was owed at the end. It is no longer owed to this lender.
    plan_id: The plan that ended with it, empty without one.
    offer_id: The offer of that plan.
    """

    account_id: Id
    business_date: date
    caused_by: str
    reason: str
    outstanding: Amounts
    currency: str
    plan_id: str = ""
    offer_id: str = ""


class Instalment(Struct, frozen=True, kw_only=True, gc=False):
    """One payment that a loan contract or a statement asks for.

    number: Position in the account's schedule, from 1.
    due_on: The legal due date.
    principal: Minor units.
    interest: Minor units.
    fees: Minor units.
    """

    number: PositiveInt
    due_on: date
    principal: NonNegative
    interest: NonNegative
    fees: NonNegative


class Party(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody beside the borrower who answers for an account.

    borrower_id: The person, by the id that they have everywhere else.
    role: joint: owes the whole debt like the borrower. guarantor: answers for it.
    suretyship: Of a guarantor. subsidiary: they may refuse until the debt was enforced against the debtor without success. joint_and_several: they may be asked once the debtor does not pay.
    enforced: Of a subsidiary guarantor: the debt was enforced without success, or the guarantor may not refuse for another reason.
    """

    borrower_id: Id
    role: PartyRole
    suretyship: Suretyship = "subsidiary"
    enforced: bool = False


class AccountOpened(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A loan account exists from now on.

    product: credit_card, personal_loan, … — one of those that the policy book lists; else the opening is a dead letter.
    jurisdiction: ISO 3166 code of a country or its subdivision (DE, US-CA), or EU; else the opening is a dead letter.
    instalments: Empty for revolving credit.
    reported_from: First business date of which Reprieve reports anything. It computes earlier days from the account's history and publishes nothing about them. Without it, every day is reported.
    parties: Joint borrowers and guarantors, beside the borrower.
    """

    account_id: Id
    borrower_id: Id
    product: Name
    jurisdiction: Name
    currency: Currency
    opened_on: date
    annual_rate_bps: RateBps
    principal: NonNegative
    instalments: tuple[Instalment, ...]
    reported_from: date | None = None
    parties: tuple[Party, ...] = ()


class AccountReopened(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The lender reopens a closed account. It owes what it owed when it was closed, changed by what was reported since.

    reopened_on: First day on which the account is open again.
    """

    account_id: Id
    reopened_on: date
    reason: Name


class AccountRestored(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Reprieve reports that a closed account is open again, after AccountReopened or after a reversed payment.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    reason: The reason of AccountReopened or of PaymentReversed.
    outstanding: What is owed.
    """

    account_id: Id
    business_date: date
    caused_by: str
    reason: str
    outstanding: Amounts
    currency: str


class AdjustmentReversed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An adjustment is withdrawn: Reprieve computes the account as if it had never been made.

    adjustment_id: That of the InstalmentAdjusted.
    reversed_on: The day on which the lender withdrew it.
    """

    adjustment_id: Id
    account_id: Id
    reversed_on: date
    reason: Name


class AnswerNotApplied(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Reprieve accepted and stored an answer to an offer, and it has no effect. It is not in the dead letters.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    feedback_id: Of the answer.
    code: Stable code for programs: accepted_before, nothing_to_accept, not_recorded, offer_open, no_offers_now, nothing_to_offer, offers_used_up, offer_ended or counted_before.
    reason: Why the answer has no effect, and what can be done. For people.
    """

    borrower_id: Id
    business_date: date
    caused_by: str
    offer_id: Id
    feedback_id: Id
    answer: Answer
    code: str
    reason: str


class BadDebtChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The account's bad-debt status changed.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    evidence: Ids of the events that it rests on.
    """

    account_id: Id
    business_date: date
    caused_by: str
    from_: BadDebtStatus = field(name="from")
    to: BadDebtStatus
    policy: str
    days_past_due: Int
    missed: Int
    attempts: Int
    outstanding: Amounts
    currency: str
    reasons: tuple[str, ...]
    evidence: tuple[str, ...]


class BadDebtReviewed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A person decided on a bad debt.

    reviewer: Staff code, never a name.
    ground: A coded ground of the policy pack.
    """

    review_id: Id
    account_id: Id
    decision: ReviewDecision
    reviewer: str
    ground: str


class BarrierReached(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: an agent's partition has come to a point of a business date's close; written to every partition.

    agent: The agent that says so.
    partition: Its partition, from 0.
    phase: ready: all that came in before the close is processed. closed: the date is closed.
    """

    business_date: date
    agent: Name
    partition: NonNegativeInt
    phase: Name


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """One option that was weighed, and why it was kept or dropped.

    value: Minor units to the lender.
    accept_bps: Estimated probability of acceptance.
    keep_bps: Estimated probability that the plan is kept.
    verdict: kept, or the constraint that dropped it.
    """

    option_id: str
    value: float
    accept_bps: Int
    keep_bps: Int
    verdict: str


class CapacityCell(Struct, frozen=True, kw_only=True, gc=False):
    """Plan instalments kept and missed by borrowers and options of one kind.

    cell: Bins of burden, term, relief and arrears.
    kept: Negative in evidence that takes back.
    """

    cell: str
    kept: Long
    missed: Long


class ChargeAccrued(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Penalty interest or a late fee became owed.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    number: The instalment of a late fee.
    """

    account_id: Id
    business_date: date
    caused_by: str
    kind: ChargeKind
    amount: Long
    currency: str
    number: Int | None = None


class ClassificationChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The account's class under one policy pack changed.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    policy: str
    from_: str = field(name="from")
    to: str
    days_past_due: Int
    reasons: tuple[str, ...]


class CollectionResumed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Collection may go on.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    reason: str


class CollectionStopped(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Nobody may collect on this account until it is resumed.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    reason: str


class ConsentGranted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The borrower allows data to be used for a purpose."""

    borrower_id: Id
    consent_id: Id
    purpose: Name


class ConsentWithdrawn(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The borrower takes a consent back."""

    borrower_id: Id
    consent_id: Id
    purpose: Name


class ContactWindow(Struct, frozen=True, kw_only=True, gc=False):
    """Hours of one day in which the borrower may be reached.

    not_before: UTC; the first instant of the window.
    not_after: UTC; the first instant behind the window.
    """

    not_before: Instant
    not_after: Instant


class Contact(Struct, frozen=True, kw_only=True, gc=False):
    """When and how the borrower may be reached about an offer.

    not_before: UTC.
    not_after: UTC.
    held_back: Why not_before is later than the first open hour: cap_reached or quiet_after_conversation; empty where it is not. Without channels the borrower may not be reached at all.
    windows: Every window while the offer is open, at most one per day of the borrower's time zone, by the contacts known when this was published; the first one is not_before and not_after. Empty where there is none, and in events of before windows were published.
    """

    not_before: Instant
    not_after: Instant
    channels: tuple[str, ...]
    time_zone: str = "UTC"
    held_back: str = ""
    windows: tuple[ContactWindow, ...] = ()


class ContactAttempted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Somebody tried to reach the borrower, or the borrower called.

    agent: Staff or system code, never a name.
    borrower_id: Who was contacted, where it was not the account's borrower: a joint borrower, a guarantor, or somebody else whose id is known.
    """

    attempt_id: Id
    account_id: Id
    channel: ContactChannel
    direction: Direction
    outcome: ContactOutcome
    agent: str
    borrower_id: Id | None = None


class ContactBreached(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An attempt to reach a borrower that was reported broke the contact rules of its account's policy, in the borrower's time zone, after all earlier attempts and conversations about any of his accounts. Said at the close of a day, once an attempt.

    attempted_at: When the attempt was made, UTC.
    rules: What it broke: outside_hours, cap_reached (of attempts or of conversations), quiet_after_conversation.
    time_zone: In which it was judged: the borrower's, or the policy's where that is unknown.
    policy: Policy and version whose rules these are: that of the account on the day of the attempt.
    """

    borrower_id: Id
    account_id: Id
    attempt_id: Id
    attempted_at: Instant
    rules: tuple[str, ...]
    time_zone: str
    policy: str
    business_date: date
    caused_by: str


class ContactRecorded(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: a contact or an attempt about an account, reported to the planner, which counts them by borrower.

    attempt: The lender tried; False where the borrower called.
    conversation: They spoke with each other.
    jurisdiction: Of the account, whose policy says what is allowed; empty where it was not said.
    product: Of the account.
    disputed: The borrower said not to owe the debt.
    past: It was before the first day of which anything is reported of the account: it counts, and is not judged.
    party: The person is not the account's borrower.
    """

    borrower_id: Id
    account_id: Id
    attempt_id: Id
    caused_by: str
    attempt: bool
    conversation: bool
    jurisdiction: str = ""
    product: str = ""
    disputed: bool = False
    past: bool = False
    party: bool = False


class ContactRevised(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What happened since an open offer was published makes its window untrue: from now on this one holds in its place. The offer stands as it is.

    contact: The whole of it, in the place of the offer's and of any earlier revision's.
    reason: cap_reached, quiet_after_conversation, or outside_hours where the time zone or the hours are others now.
    number: Counts the revisions of an offer from 1 on; the highest holds.
    """

    offer_id: Id
    borrower_id: Id
    contact: Contact
    business_date: date
    caused_by: str
    reason: str
    number: PositiveInt = 1


class CreditStandingChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What a bureau may be told of the account changed.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    from_: CreditStanding = field(name="from")
    to: CreditStanding
    reasons: tuple[str, ...]


class DayClosed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A business date is closed; written to every partition."""

    business_date: date
    calendar: Name


class DeadLetter(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An input that was refused, kept as it came.

    code: A stable code of schemas.errors.
    message: What is wrong, where, and what to do.
    field: The field at fault.
    sealed: Key, value and headers, sealed where they may be personal; those fields are then empty.
    """

    topic: str
    partition: Int
    offset: Long
    key: bytes | None = None
    value: bytes | None = None
    headers: dict[str, bytes] = field(default_factory=dict)
    code: str
    message: str
    field: str | None = None
    sealed: bytes | None = None


class Debt(Struct, frozen=True, kw_only=True, gc=False):
    """An account's debt at the close of a business date, as the planner needs it.

    annual_rate_bps: Contract rate.
    outstanding: All principal, and interest and fees that are due or were billed.
    missed: Unpaid instalments past due.
    stage: IFRS 9 stage.
    remaining_months: Months to the last instalment due.
    contract_instalment: What the next contractual instalment asks for.
    oldest_due_on: Due date of the oldest unpaid instalment.
    holds: Holds in force.
    attempts: Failed contact attempts of this episode.
    contract_total: All that the contract still asks for if nothing changes, minor units: unpaid instalments with interest to come, and charges already made; of an account under a plan, what the plan still asks for. Null where it was not said.
    dispute_ended_on: First day without the last dispute hold; null where there was none or one is in force.
    joint_borrower_ids: Those who owe the debt beside the borrower, in order.
    """

    account_id: Id
    product: Name
    jurisdiction: Name
    currency: Currency
    annual_rate_bps: RateBps
    outstanding: Amounts
    overdue_amount: NonNegative
    days_past_due: NonNegativeInt
    missed: NonNegativeInt
    bucket: Bucket
    bad_debt: BadDebtStatus
    stage: Stage
    remaining_months: NonNegativeInt
    contract_instalment: NonNegative
    oldest_due_on: date | None = None
    plans_broken: NonNegativeInt = 0
    holds: tuple[HoldKind, ...] = ()
    attempts: NonNegativeInt = 0
    contract_total: NonNegative | None = None
    dispute_ended_on: date | None = None
    joint_borrower_ids: tuple[str, ...] = ()


class OptionRow(Struct, frozen=True, kw_only=True, gc=False):
    """What a decision knew of an option, and how likely it was to be recommended.

    propensity: Probability with which this option was recommended, 0 to 1.
    x: Features in thousandths, in the order of the model's version.
    """

    option_id: str
    propensity: float
    x: tuple[Long, ...]


class DecisionLogged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """All that is needed to judge a decision afterwards.

    model_version: What chose the recommended option; behind an @ the ModelUpdated.version by which it did, where it was learned.
    shown: The options in the order of the offer, with all that a model knew of them.
    arm: Treatment arm, by which the recommended option was chosen: fixed, holdout, learned, challenger or borrower.
    estimate_version: What valued the candidates, named as model_version is; empty where none was valued.
    assumed: Fields of the profile that nobody reported, and something else stood for: monthly_expenses (spending, else the floor), household_size (1), other_debt_payments (0), monthly_income (by the policy's multiple), household_floor (none in the policy for this currency and region), plans_in_other_currencies (left out of what can be afforded).
    """

    offer_id: str
    borrower_id: str
    policy_version: str
    model_version: str
    candidates: tuple[Candidate, ...]
    feasible: tuple[str, ...]
    chosen: str | None = None
    propensity: float
    features_hash: str
    seed: Long
    reasons: tuple[str, ...]
    business_date: date
    caused_by: str
    shown: tuple[OptionRow, ...] = ()
    arm: str = "fixed"
    estimate_version: str = ""
    assumed: tuple[str, ...] = ()


class DelinquencyChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The account moved to another delinquency bucket.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    counter_days: Consecutive days above both materiality thresholds.
    """

    account_id: Id
    business_date: date
    caused_by: str
    from_: Bucket = field(name="from")
    to: Bucket
    days_past_due: Int
    counter_days: Int
    missed: Int
    overdue_amount: Long
    currency: str


class EducationCompleted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The borrower finished an education item."""

    borrower_id: Id
    item_id: Id


class ErasureRequested(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The borrower wants the personal data erased."""

    borrower_id: Id


class EventSuperseded(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An event published before no longer stands, since a later event changed what was true.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that caused it.
    supersedes: event_id of what no longer stands.
    """

    account_id: Id
    business_date: date
    caused_by: str
    supersedes: str
    superseded_type: str
    reason: str


class EvidenceRow(Struct, frozen=True, kw_only=True, gc=False):
    """One option that was shown: what it is like, and by how much what is known of it moves.

    x: Features in thousandths, in the order of the model's version.
    shown: 1 where it is told for the first time, 0 for a correction.
    accepted: Thousandths; negative where what was told is taken back.
    reward: Thousandths; negative where what was told is taken back.
    """

    x: tuple[Long, ...]
    shown: Int
    accepted: Int
    reward: Int


class GuardrailTripped(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A guardrail was breached: from the next business date on the fixed order recommends every option.

    guardrail: acceptance, broken_plans or complaints.
    offers: How many offers it was measured on.
    """

    model: Id
    business_date: date
    caused_by: str
    guardrail: Name
    measured_bps: Int
    limit_bps: Int
    offers: Long


class HoldPlaced(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Collection and ageing pause.

    from_on: First day of the hold.
    until_on: Last day of the hold. Without it, the policy may set one by the kind (60 days of a breathing space in England and Wales); else the hold lasts until released.
    borrower_id: Whose hold it is, where it is not the borrower's and not the debt's. A hold of a joint borrower concerns the account where the policy says so of its kind, else that person alone; one of a guarantor concerns that person alone.
    crisis: Of a breathing_space: a mental health crisis moratorium, which has no length of its own and lasts until released, 30 days from the day on which the treatment ends.
    """

    hold_id: Id
    account_id: Id
    kind: HoldKind
    from_on: date
    until_on: date | None = None
    borrower_id: Id | None = None
    crisis: bool = False


class HoldReleased(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A hold ends.

    released_on: First day without the hold.
    """

    hold_id: Id
    account_id: Id
    released_on: date


class ImpairmentChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The impairment stage or the allowance changed.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    allowance: Minor units.
    """

    account_id: Id
    business_date: date
    caused_by: str
    stage: Int
    allowance: Long
    exposure: Long
    currency: str
    from_stage: Int


class InputNotApplied(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Reprieve accepted and stored an event about the account, and it has no effect. It is not in the dead letters.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    fact_type: The record's name, such as BadDebtReviewed.
    fact_id: The natural id of the event, such as its review_id.
    code: Stable code for programs; docs/rules.md lists them.
    reason: Why the event has no effect, and what can be done. For people.
    """

    account_id: Id
    business_date: date
    caused_by: str
    fact_type: str
    fact_id: str
    code: str
    reason: str


class InstalmentAdjusted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The lender changes what one instalment asks for, from a day on: a credit note, waived interest or fees, goodwill, or a correction upwards.

    adjustment_id: Identifies the adjustment within the account.
    number: The instalment's number.
    effective_on: First day on which the changed amounts count.
    principal: Minor units of the account's currency to add; a negative amount lowers it.
    interest: Minor units of the account's currency to add; a negative amount lowers it.
    fees: Minor units of the account's currency to add; a negative amount lowers it.
    penalty: Minor units of the account's currency of penalty interest and late fees to add; a negative amount lowers those of the oldest instalment that has some, then of the next.
    """

    adjustment_id: Id
    account_id: Id
    number: PositiveInt
    effective_on: date
    principal: Long = 0
    interest: Long = 0
    fees: Long = 0
    penalty: Long = 0
    reason: Name


class InstalmentBilled(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A statement of revolving credit asks for a payment.

    revision: 0 for the statement's first form, then 1, 2, … for each correction. Of one number, the highest revision counts, in whichever order they arrive. A revision with all amounts 0 withdraws the statement.
    billed_on: First day on which the statement counts. Without it, the date of occurred_at. A revision without it counts from the day of the first form that came of the statement; where only revisions came, from due_on at the latest.
    """

    account_id: Id
    number: PositiveInt
    due_on: date
    principal: NonNegative
    interest: NonNegative
    fees: NonNegative
    revision: NonNegativeInt = 0
    billed_on: date | None = None


class InstalmentCaughtUp(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A missed instalment has been paid.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    number: Int
    due_on: date
    days_late: Int


class InstalmentMissed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An instalment is unpaid past its due date and any grace.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    overdue_amount: What is still unpaid of it, minor units.
    """

    account_id: Id
    business_date: date
    caused_by: str
    number: Int
    due_on: date
    overdue_amount: Long
    currency: str


class LenderContact(Struct, frozen=True, kw_only=True, gc=False):
    """How the lender calls itself and can be reached, in the offer's locale, by the policy. What the policy does not say is empty.

    reply_link: Where the borrower answers this offer.
    portal_link: Where the borrower sees all accounts.
    advice_link: Independent debt advice.
    """

    name: str = ""
    telephone: str = ""
    reply_link: str = ""
    portal_link: str = ""
    advice_link: str = ""


class Lesson(Struct, frozen=True, kw_only=True, gc=False):
    """A lesson that goes with an offer.

    item_id: As in EducationCompleted.
    title: In the offer's locale.
    link: Where it can be read; empty where the policy says of no place.
    """

    item_id: Id
    title: str
    link: str = ""


class ModelUpdated(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What was learned through a business date, written to every partition: all that planners decide by.

    business_date: Through whose close all evidence is in.
    version: How often it was updated.
    outer: Upper triangle of the sum of row times row, millionths.
    accepted: Sum of row times acceptance, millionths.
    reward: Sum of row times reward, millionths.
    counts: What evidence counted since the beginning, by treatment arm.
    tripped: The guardrail that put the fixed order back, null where none has.
    unit: As what one instalment counts in cells, which fade.
    """

    model: Id
    business_date: date
    caused_by: str
    version: PositiveInt
    rows: Long
    outer: tuple[Long, ...]
    accepted: tuple[Long, ...]
    reward: tuple[Long, ...]
    cells: tuple[CapacityCell, ...]
    counts: dict[str, Long]
    tripped: str | None = None
    unit: PositiveInt = 1


class OfferAnswered(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What the borrower said to an offer, online or on the hotline.

    counter_amount: Minor units a month that the borrower proposes.
    recording_ref: Where the recording of an oral agreement is kept.
    sealed: The personal fields, sealed for Reprieve alone; they are then empty here.
    answered_by: Who answered, where it was not the borrower to whom the offer was made: one of its joint_borrower_ids.
    """

    feedback_id: Id
    offer_id: Id
    borrower_id: Id
    answer: Answer
    option_id: str | None = None
    reasons: tuple[AnswerReason, ...] = ()
    counter_amount: Positive | None = None
    rating: Rating | None = None
    channel: FeedbackChannel
    recording_ref: str | None = None
    comment: str | None = None
    sealed: bytes | None = None
    answered_by: Id | None = None


class OfferExpired(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An offer was not answered in time."""

    offer_id: Id
    borrower_id: Id
    business_date: date
    caused_by: str


class OfferOutcomeReported(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What became of an offer since the last report of it; the sum of all reports gives the model.

    business_date: The day at whose close it is reported.
    counts: Offers, acceptances, instalments due, broken plans and complaints, by treatment arm.
    offered_on: The business date of the offer.
    """

    model: Id
    offer_id: Id
    business_date: date
    caused_by: str
    rows: tuple[EvidenceRow, ...]
    cells: tuple[CapacityCell, ...] = ()
    counts: dict[str, Long] = field(default_factory=dict)
    offered_on: date | None = None


class PlanInstalment(Struct, frozen=True, kw_only=True, gc=False):
    """One payment of a repayment plan.

    amount: Minor units; principal + interest.
    principal: Minor units; arrears that the plan takes over count as principal.
    interest: Minor units.
    """

    number: PositiveInt
    due_on: date
    amount: NonNegative
    principal: NonNegative
    interest: NonNegative


class Share(Struct, frozen=True, kw_only=True, gc=False):
    """One account's part of an option over several accounts.

    financed: What the plan repays of this account's debt before new interest.
    """

    account_id: Id
    financed: NonNegative
    waived: Amounts
    annual_rate_bps: RateBps
    instalments: tuple[PlanInstalment, ...]


class Option(Struct, frozen=True, kw_only=True, gc=False):
    """One way to repay.

    instalments: Over all accounts, by due date.
    instalment_amount: The regular instalment; for a step-up the largest.
    annual_rate_bps: The highest rate that any of its accounts is charged.
    total_cost: All that the borrower pays under it.
    saves: What the contracts still ask for if nothing changes (Debt.contract_total), less total_cost; negative if the option costs more; 0 where a contract_total is not known.
    npv: Value to the lender at the original effective rate.
    distressed_obligation_bps: Loss of present value at the original effective rate (EBA/GL/2016/07).
    shares: The same instalments, account by account.
    reasons: Why this option is here, in the borrower's language.
    arrangement: What is agreed.
    review_on: Of an arrangement for a time: the day at whose close the next one is offered; null for a repayment.
    ends_on: Of an arrangement for a time: its last day; null for a repayment.
    """

    option_id: Id
    label: str
    instalments: tuple[PlanInstalment, ...]
    term_months: PositiveInt
    instalment_amount: NonNegative
    annual_rate_bps: RateBps
    waived: Amounts
    total_cost: NonNegative
    saves: Long
    npv: Long
    distressed_obligation_bps: Int
    shape: Shape = "level"
    shares: tuple[Share, ...] = ()
    reasons: tuple[str, ...] = ()
    arrangement: Arrangement = "repayment"
    review_on: date | None = None
    ends_on: date | None = None


class OfferPublished(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Options that the borrower can keep, to choose from.

    expires_on: Last day on which it can be accepted, in the borrower's time zone (contact.time_zone).
    kind: plan, pay_in_full (too little for a plan, and can be paid at once), token, moratorium or referral.
    sequence: How many offers this borrower has had in this episode.
    tone: neutral or supportive.
    balances: What each account owed when the offer was made, in the order of account_ids.
    headings: The heading of each disclosure, by the key of the disclosure.
    lessons: The lessons of `education`, in its order, with titles and links.
    lender: How the lender can be reached.
    token_amount: Minor units a month that a token offer asks for; null in other offers.
    joint_borrower_ids: Those who owe the debts of this offer beside the borrower: they may be shown account_ids, options, disclosures and expires_on, and may answer (OfferAnswered.answered_by). message, reasons, support, education, tone and contact are the borrower's alone.
    acceptance: Who has to accept: any, the borrower or one of joint_borrower_ids; all, the borrower and each of them, the same option.
    """

    offer_id: Id
    borrower_id: Id
    account_ids: tuple[str, ...]
    options: tuple[Option, ...]
    recommended_option_id: str | None = None
    expires_on: date
    locale: str
    message: str
    reasons: tuple[str, ...]
    support: tuple[str, ...]
    education: tuple[str, ...]
    disclosures: dict[str, str]
    contact: Contact
    business_date: date
    caused_by: str
    currency: str
    kind: str = "plan"
    sequence: Int = 1
    tone: str = "neutral"
    balances: tuple[Amounts, ...] = ()
    headings: dict[str, str] = field(default_factory=dict)
    lessons: tuple[Lesson, ...] = ()
    lender: LenderContact | None = None
    token_amount: Long | None = None
    joint_borrower_ids: tuple[str, ...] = ()
    acceptance: str = "any"


class OfferWithdrawn(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An open offer no longer stands."""

    offer_id: Id
    borrower_id: Id
    business_date: date
    caused_by: str
    reason: str


class PositionInstalment(Struct, frozen=True, kw_only=True, gc=False):
    """What is unpaid of one instalment at an opening position, due or not.

    number: Position in the account's schedule, from 1.
    principal: Unpaid. Minor units of the account's currency.
    interest: Unpaid. Minor units of the account's currency.
    fees: Unpaid. Minor units of the account's currency.
    penalty: Unpaid penalty interest and late fees on this instalment. Minor units of the account's currency.
    amount_due: What the instalment asked for, without charges and before payments. Minor units of the account's currency. Without it, what is unpaid.
    paid: What was paid toward amount_due. Minor units of the account's currency. Without it, amount_due less what is unpaid.
    billed: A statement asked for it: its interest and fees are owed before its due date.
    """

    number: PositiveInt
    due_on: date
    principal: NonNegative
    interest: NonNegative
    fees: NonNegative
    penalty: NonNegative = 0
    amount_due: NonNegative | None = None
    paid: NonNegative | None = None
    billed: bool = False


class PositionPlan(Struct, frozen=True, kw_only=True, gc=False):
    """The repayment plan in force at an opening position.

    offer_id: Empty where the plan comes from no offer of Reprieve.
    activated_on: The day on which the plan took effect.
    annual_rate_bps: The plan's rate, in basis points.
    instalments: Every plan instalment that is not paid in full. The position's own instalments are what the plan replaced.
    kept: Number of plan instalments kept so far.
    missed: Number of plan instalments missed so far.
    missed_in_a_row: Number of the latest plan instalments missed in a row.
    paid: What was paid under the plan. Minor units of the account's currency. If the plan breaks, it is allocated to what the plan replaced.
    waived: What the plan forgave. If the plan breaks, it is owed again where the policy says so.
    arrangement: What is agreed. Under an arrangement for a time the position's own instalments stand, and `instalments` are what it asks for.
    review_on: Of an arrangement for a time: the day at whose close the next one is offered; null for a repayment.
    ends_on: Of an arrangement for a time: its last day; null for a repayment.
    """

    plan_id: Id
    offer_id: str = ""
    activated_on: date
    annual_rate_bps: RateBps
    instalments: tuple[PositionInstalment, ...]
    kept: NonNegativeInt = 0
    missed: NonNegativeInt = 0
    missed_in_a_row: NonNegativeInt = 0
    paid: NonNegative = 0
    waived: Amounts = Amounts()
    arrangement: Arrangement = "repayment"
    review_on: date | None = None
    ends_on: date | None = None


class OpeningPosition(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The lender hands over an account as it stood at the close of a day, from another system or another lender. It opens the account; AccountOpened is not needed. Events that count from that day or before are history: Reprieve stores and shows them, and they change nothing. Holds and promises of the history that still last count on.

    product: credit_card, personal_loan, … — one of those that the policy book lists; else the opening is a dead letter.
    jurisdiction: ISO 3166 code of a country or its subdivision (DE, US-CA), or EU; else the opening is a dead letter.
    opened_on: The day on which the loan was opened.
    as_of: The position is that of the close of this day. Reprieve keeps the account from the next day on and reports nothing about earlier days.
    annual_rate_bps: The contract rate, in basis points.
    principal: The original principal. Minor units of the account's currency; 0 for revolving credit.
    instalments: Every instalment that is not paid in full, due or not. Where a plan is in force, what the plan replaced.
    revision: 0 for the first form, then 1, 2, … for each correction, such as a payment of the past that was not known. The highest revision counts, in whichever order they arrive.
    credit: Money received and not yet allocated. Minor units of the account's currency.
    charged: Penalty interest and late fees charged so far, paid or not. Minor units of the account's currency. The cap on charges counts them.
    statement_principal: Principal that statements have asked for so far. Minor units of the account's currency. Where there is no original principal, the cap on charges is a share of it.
    last_payment_on: The value date of the last payment. Without it, a recovering debt lapses so many days after bad_debt_on.
    clean_since: First day without arrears, where a probation is running.
    material_since: First day of the current run of days on which the arrears exceed both materiality thresholds.
    classes: The class by classification, such as cn_2023. The first close classifies by days past due where a classification is missing here.
    stage: The IFRS 9 stage. Without it, the first close sets it by days past due.
    allowance: The impairment allowance on the books. Minor units of the account's currency.
    bad_debt: The bad-debt status.
    bad_debt_on: The day on which the account got that status.
    rejected: A review rejected the bad debt in the current arrears: it is not proposed again while they last.
    failed_attempts: Failed contact attempts in the current arrears.
    standing: The credit standing.
    plans_broken: Number of plans broken so far.
    had_plan: A plan was in force during the current arrears, or since the last ones ended: the probation after a plan applies.
    collection_stopped: Collection is stopped. If it is, and neither a hold nor a plan of this account says so, the first close resumes it.
    plan: The repayment plan in force, if any.
    stage_by_days: The stage that days past due and their probation make, where bad debt makes `stage` 3. Without it, by the days past due.
    parties: Joint borrowers and guarantors at the position, beside the borrower.
    """

    account_id: Id
    borrower_id: Id
    product: Name
    jurisdiction: Name
    currency: Currency
    opened_on: date
    as_of: date
    annual_rate_bps: RateBps
    principal: NonNegative
    instalments: tuple[PositionInstalment, ...]
    revision: NonNegativeInt = 0
    credit: NonNegative = 0
    charged: NonNegative = 0
    statement_principal: NonNegative = 0
    last_payment_on: date | None = None
    clean_since: date | None = None
    material_since: date | None = None
    classes: dict[str, str] = field(default_factory=dict)
    stage: Stage | None = None
    allowance: NonNegative = 0
    bad_debt: BadDebtStatus = "none"
    bad_debt_on: date | None = None
    rejected: bool = False
    failed_attempts: NonNegativeInt = 0
    standing: CreditStanding = "good"
    plans_broken: NonNegativeInt = 0
    had_plan: bool = False
    collection_stopped: bool = False
    plan: PositionPlan | None = None
    stage_by_days: Stage | None = None
    parties: tuple[Party, ...] = ()


class PartyChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """From a day on somebody is a joint borrower or a guarantor of an account, is one otherwise, or is none any more.

    borrower_id: The person; not the account's borrower, who stays the same.
    from_on: First day on which it is so.
    role: Without it, they answer for the account no more.
    suretyship: Of a guarantor. subsidiary: they may refuse until the debt was enforced against the debtor without success. joint_and_several: they may be asked once the debtor does not pay.
    enforced: Of a subsidiary guarantor: the debt was enforced without success, or the guarantor may not refuse for another reason.
    """

    account_id: Id
    borrower_id: Id
    from_on: date
    role: PartyRole | None = None
    suretyship: Suretyship = "subsidiary"
    enforced: bool = False


class PartyContactChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Whether and when a joint borrower or a guarantor may be contacted about the debt of an account; it holds until the next one about the same person and account. Whoever got none may not be contacted about it.

    borrower_id: The person: the limits are theirs, counted over all accounts about which they are contacted.
    role: joint or guarantor; empty where they are nothing to the account any more.
    contact: Without channels they may not be contacted.
    reason: Why not: not_in_arrears, collection_stopped, hold (one of their own), not_enforced (a subsidiary guarantor), too_early (by the policy), guarantors_not_contacted (by the policy), terminated, closed, or no_party; empty where they may.
    number: Counts what was said of this person and account from 1 on; the highest holds.
    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    borrower_id: Id
    account_id: Id
    role: str
    contact: Contact
    reason: str
    number: PositiveInt
    business_date: date
    caused_by: str


class PartyNoted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: what a person beside the borrower is to an account, and whether they may be asked for its debt, told to the planner, who keeps what is known of each person.

    borrower_id: The person.
    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    role: joint, guarantor, or empty where they are nothing to the account.
    reason: Why they may not be contacted about its debt; empty where they may. As in PartyContactChanged.
    jurisdiction: Of the account.
    product: Of the account.
    currency: Of the account.
    """

    borrower_id: Id
    account_id: Id
    business_date: date
    caused_by: str
    role: str
    reason: str
    jurisdiction: str = ""
    product: str = ""
    currency: str = ""


class PaymentFailed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A payment was attempted and no money came in. Each attempt has its own payment_id.

    failed_on: The day of the attempt. Without it, the date of occurred_at.
    """

    payment_id: Id
    account_id: Id
    amount: Positive
    reason: Name
    failed_on: date | None = None


class PaymentFailureReported(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Reprieve reports a failed payment to those who notify the borrower, and proposes a date for the next attempt.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    amount: Minor units.
    reason: The reason of PaymentFailed.
    failures: Failed payments since money last came in, this one included.
    retry_on: The proposed date of the next attempt.
    """

    account_id: Id
    business_date: date
    caused_by: str
    borrower_id: str
    payment_id: str
    amount: Long
    currency: str
    reason: str
    failures: Int
    retry_on: date


class PaymentReceived(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Money came in.

    amount: Minor units.
    value_on: The day from which it counts.
    """

    payment_id: Id
    account_id: Id
    amount: Positive
    currency: Currency
    value_on: date
    channel: Name


class PaymentReversed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A payment was returned, refunded or charged back, in whole or in part. That part counts as never paid.

    payment_id: That of the PaymentReceived.
    reversed_on: The day on which the money went back.
    amount: The part of the payment that went back. Minor units of the account's currency. Without it, the whole payment.
    reversal_id: Distinguishes several partial reversals of one payment. Without it, a payment has one reversal.
    """

    payment_id: Id
    account_id: Id
    reversed_on: date
    reason: Name
    amount: Positive | None = None
    reversal_id: Id | None = None


class PersonalDataErased(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What was personal of a borrower is erased: the proof of it, which holds nothing personal.

    caused_by: The event that asked for it, or that ended the reason to keep.
    through: What was said up to this instant is erased; what comes in later but was said before is erased as it comes.
    readings: Readings of means that were destroyed.
    reports: Recorded reports that were emptied.
    answers: Recorded answers that were emptied.
    consents: Consents that were voided.
    education: Completed education items that were forgotten.
    recordings_kept: References to recordings of oral agreements that stay until their debt is settled.
    kept: What stays and why: its kind, a colon, the ground.
    """

    borrower_id: Id
    caused_by: str
    through: Instant
    readings: Int
    reports: Int
    answers: Int
    consents: Int
    education: Int
    recordings_kept: Int
    kept: tuple[str, ...] = ()


class PersonalDataRead(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A person or program was shown personal data of a borrower. The records of a writer are a chain of hashes.

    chain: The writer, one chain each.
    number: Place in the chain, from 1.
    previous: The digest of the record before, empty for the first.
    digest: SHA-256 of all other fields, in hexadecimal.
    actor: Who was shown it.
    purpose: What for.
    fields: What was shown, without its values.
    """

    borrower_id: Id
    chain: Id
    number: Positive
    previous: str
    digest: str
    actor: Name
    purpose: Name
    fields: tuple[str, ...] = ()


class PlanActivated(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The borrower accepted an option; from now on it is the schedule.

    recording_ref: No longer said: where the recording of an oral agreement is kept is known to the planner alone.
    locale: Language of the agreement, in which its clauses are.
    balance: What the account owed when the plan was offered.
    clauses: What the agreement states, by the keys that the policy asks for.
    broken_after_missed: Missed instalments in a row with which the plan ends, 0 where it was not said.
    policy: Policy and version under which it was agreed.
    distressed_obligation_bps: Loss of present value of the option that was accepted, over all its accounts, at the original effective rate, in basis points rounded up, so that what is above a limit is above it here; 0 where it was not said (EBA/GL/2016/07).
    agreed_on: The borrower's own date, in their time zone, when they accepted. activated_on is the business date from which the plan counts.
    agreed_by: Who accepted it, where others owe the debt beside the borrower; empty where nobody does.
    arrangement: What is agreed.
    review_on: Of an arrangement for a time: the day at whose close the next one is offered; null for a repayment.
    ends_on: Of an arrangement for a time: its last day; null for a repayment.
    """

    account_id: Id
    borrower_id: Id
    plan_id: Id
    offer_id: Id
    option_id: Id
    currency: Currency
    activated_on: date
    annual_rate_bps: RateBps
    waived: Amounts
    instalments: tuple[PlanInstalment, ...]
    caused_by: str
    recording_ref: str | None = None
    locale: str = "en"
    balance: Amounts | None = None
    clauses: dict[str, str] = field(default_factory=dict)
    broken_after_missed: Int = 0
    policy: str = ""
    distressed_obligation_bps: Int = 0
    agreed_on: date | None = None
    agreed_by: tuple[str, ...] = ()
    arrangement: Arrangement = "repayment"
    review_on: date | None = None
    ends_on: date | None = None


class PlanBroken(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Too many of a plan's instalments were missed; it no longer stands.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    reason: str
    kept: Int
    missed: Int


class PlanCompleted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """All of a plan was paid.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    early: It was paid off before its last instalment fell due.
    interest_saved: Interest that was not yet earned and is no longer owed.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    kept: Int
    missed: Int
    early: bool = False
    interest_saved: NonNegative = 0


class PlanEnded(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An arrangement for a time has ended on its last day, as agreed. The contract, which it left as it was, asks for its instalments again.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    kept: Int
    missed: Int


class PlanInstalmentKept(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A plan's instalment was paid in time.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    number: Int
    due_on: date


class PlanInstalmentMissed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A plan's instalment was not paid in time.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    number: Int
    due_on: date
    unpaid: Long


class PlanPostponed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A hold paused the plan; what fell due meanwhile and all that follows is due later.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    months: By how many months.
    next_due_on: The next unpaid instalment.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    months: Int
    next_due_on: date
    last_due_on: date


class PlanProgressed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: what became of an instalment of a plan, or of the plan, told to the planner.

    business_date: The day of which it speaks.
    number: The instalment; months by which the end moved where it was postponed or adjusted; else 0.
    outcome: kept, missed, broken, completed, replaced, postponed, adjusted, ended with its account, or taken_over with an opening position or a reopened account.
    taken_back: It was said wrongly before, and no longer stands.
    instalment: Of a plan that was taken over: the most that it asks for a month, minor units.
    until: Of a plan that was taken over: its last due date.
    currency: Of a plan that was taken over.
    jurisdiction: Of its account.
    product: Of its account.
    """

    borrower_id: Id
    account_id: Id
    plan_id: str
    offer_id: str
    business_date: date
    caused_by: str
    number: Int = 0
    outcome: Name
    taken_back: bool = False
    instalment: Long = 0
    until: date | None = None
    currency: str = ""
    jurisdiction: str = ""
    product: str = ""


class PlanReplaced(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Another plan took the place of this one, by agreement, since the borrower's means had changed.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    by_plan_id: str
    kept: Int
    missed: Int


class PlanReviewRequested(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: the borrower can no longer pay what a plan asks for; the account is asked for its debt.

    requested_on: The business date from which it counts.
    """

    account_id: Id
    borrower_id: Id
    plan_id: Id
    requested_on: date
    caused_by: str


class PlanScheduleAdjusted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What the account owed changed between the offer and its acceptance; this schedule counts. No instalment grew beyond the largest that was agreed, unless the legal term left no other way.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    difference: What is to be repaid less what was offered to be, minor units; more is asked for behind the last instalment, less is taken off the last ones.
    agreed: How many instalments were agreed; those behind them were added.
    instalments: The whole schedule.
    forgiven: Of the difference, what is within the tolerance of an instalment and is not asked for, minor units.
    beside: What was billed, is not yet due, and had no room within the legal term: it stays to be paid on its own dates.
    """

    account_id: Id
    business_date: date
    caused_by: str
    plan_id: str
    offer_id: str
    difference: Long
    agreed: NonNegativeInt
    instalments: tuple[PlanInstalment, ...]
    forgiven: NonNegative = 0
    beside: tuple[Instalment, ...] = ()


class PolicyChanged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Other policies apply from a business date on; written to every partition.

    change_id: Unique id of this change.
    effective_on: The first business date; of two changes for one, that which occurred later counts.
    files: Texts (YAML) by name: of the book, named book, and of the packs that it names.
    """

    change_id: Id
    effective_on: date
    files: dict[str, str]


class ProfileReported(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What a source says of a borrower's means.

    spending: Minor units a month by category.
    currency: Without it, that of the borrower's accounts.
    time_zone: IANA name, for contact hours.
    locale: zh or en.
    partner_id: The partner that reports it.
    sealed: The personal fields, sealed for Reprieve alone; they are then empty here.
    """

    borrower_id: Id
    kind: ProfileKind
    as_of: date
    consent_id: Id
    monthly_income: NonNegative | None = None
    monthly_expenses: NonNegative | None = None
    other_debt_payments: NonNegative | None = None
    household_size: HouseholdSize | None = None
    region: str | None = None
    credit_score: NonNegativeInt | None = None
    employment: str | None = None
    spending: dict[str, Long] = field(default_factory=dict)
    currency: Currency | None = None
    time_zone: str | None = None
    locale: str | None = None
    partner_id: str | None = None
    sealed: bytes | None = None


class PromiseBroken(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Payments did not cover a promise by the end of its last day.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    due_on: Last day of the promise.
    amount: What was promised. Minor units.
    paid: What came in toward it. Minor units.
    """

    account_id: Id
    business_date: date
    caused_by: str
    promise_id: str
    due_on: date
    amount: Long
    paid: Long
    currency: str


class PromiseKept(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Payments covered a promise by the end of its last day. One payment counts toward one promise.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    due_on: Last day of the promise.
    amount: What was promised. Minor units.
    """

    account_id: Id
    business_date: date
    caused_by: str
    promise_id: str
    due_on: date
    amount: Long
    currency: str


class PromiseMade(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The borrower promised to pay an amount by a day.

    amount: Minor units of the account's currency.
    due_on: Last day on which the promise can be kept.
    replaces: promise_id of an earlier promise that this one replaces. Neither PromiseKept nor PromiseBroken is reported for that one from now on.
    """

    promise_id: Id
    account_id: Id
    amount: Positive
    due_on: date
    replaces: Id | None = None


class QuarantineReleased(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A key that is in quarantine, since its agent failed on it, is processed again from there on; written to every partition.

    agent: The agent that failed, as its dead letter names it.
    key: The account, borrower or model.
    actor: Who released it.
    reason: What was mended, for the record.
    """

    agent: Name
    key: Id
    actor: Name
    reason: Name | None = None


class ScheduleRevised(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The loan system replaces the rest of the contract's schedule from a day on: an early settlement, a partial prepayment or a re-amortisation. Instalments that are due by then stay as they are.

    revision: Counts the revisions of the account's schedule: 1, 2, … Of two that count from one day, the higher applies.
    effective_on: First day of the new schedule. Instalments due on that day or before stay as they are.
    instalments: All instalments due after that day. They replace those of the earlier schedule; what was paid toward those is credited to the new ones. So an amount that is prepaid is an instalment of its own here, paid like any other. They may not use the number of an instalment that stays.
    annual_rate_bps: The contract rate from that day on, in basis points. Without it, the rate stays.
    """

    account_id: Id
    revision: PositiveInt
    effective_on: date
    instalments: tuple[Instalment, ...]
    annual_rate_bps: RateBps | None = None
    reason: Name


class WorkoutEnded(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: an account no longer wants a plan.

    reason: cured, less_behind, plan_active, plans_used_up, closed, terminated, or no_party (another borrower owes the debt).
    dispute_ended_on: First day without the last dispute hold; null where there was none or one is in force.
    """

    borrower_id: Id
    account_id: Id
    business_date: date
    caused_by: str
    reason: str
    dispute_ended_on: date | None = None


class WorkoutRequested(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: an account wants a plan, or its debt changed while it does."""

    borrower_id: Id
    account_id: Id
    business_date: date
    caused_by: str
    trigger: str
    debt: Debt


AnyEvent = (
    AccountClosed
    | AccountEnded
    | AccountOpened
    | AccountReopened
    | AccountRestored
    | AdjustmentReversed
    | AnswerNotApplied
    | BadDebtChanged
    | BadDebtReviewed
    | BarrierReached
    | ChargeAccrued
    | ClassificationChanged
    | CollectionResumed
    | CollectionStopped
    | ConsentGranted
    | ConsentWithdrawn
    | ContactAttempted
    | ContactBreached
    | ContactRecorded
    | ContactRevised
    | CreditStandingChanged
    | DayClosed
    | DeadLetter
    | DecisionLogged
    | DelinquencyChanged
    | EducationCompleted
    | ErasureRequested
    | EventSuperseded
    | GuardrailTripped
    | HoldPlaced
    | HoldReleased
    | ImpairmentChanged
    | InputNotApplied
    | InstalmentAdjusted
    | InstalmentBilled
    | InstalmentCaughtUp
    | InstalmentMissed
    | ModelUpdated
    | OfferAnswered
    | OfferExpired
    | OfferOutcomeReported
    | OfferPublished
    | OfferWithdrawn
    | OpeningPosition
    | PartyChanged
    | PartyContactChanged
    | PartyNoted
    | PaymentFailed
    | PaymentFailureReported
    | PaymentReceived
    | PaymentReversed
    | PersonalDataErased
    | PersonalDataRead
    | PlanActivated
    | PlanBroken
    | PlanCompleted
    | PlanEnded
    | PlanInstalmentKept
    | PlanInstalmentMissed
    | PlanPostponed
    | PlanProgressed
    | PlanReplaced
    | PlanReviewRequested
    | PlanScheduleAdjusted
    | PolicyChanged
    | ProfileReported
    | PromiseBroken
    | PromiseKept
    | PromiseMade
    | QuarantineReleased
    | ScheduleRevised
    | WorkoutEnded
    | WorkoutRequested
)

EVENT_TYPES: dict[str, type[Event]] = {
    "AccountClosed": AccountClosed,
    "AccountEnded": AccountEnded,
    "AccountOpened": AccountOpened,
    "AccountReopened": AccountReopened,
    "AccountRestored": AccountRestored,
    "AdjustmentReversed": AdjustmentReversed,
    "AnswerNotApplied": AnswerNotApplied,
    "BadDebtChanged": BadDebtChanged,
    "BadDebtReviewed": BadDebtReviewed,
    "BarrierReached": BarrierReached,
    "ChargeAccrued": ChargeAccrued,
    "ClassificationChanged": ClassificationChanged,
    "CollectionResumed": CollectionResumed,
    "CollectionStopped": CollectionStopped,
    "ConsentGranted": ConsentGranted,
    "ConsentWithdrawn": ConsentWithdrawn,
    "ContactAttempted": ContactAttempted,
    "ContactBreached": ContactBreached,
    "ContactRecorded": ContactRecorded,
    "ContactRevised": ContactRevised,
    "CreditStandingChanged": CreditStandingChanged,
    "DayClosed": DayClosed,
    "DeadLetter": DeadLetter,
    "DecisionLogged": DecisionLogged,
    "DelinquencyChanged": DelinquencyChanged,
    "EducationCompleted": EducationCompleted,
    "ErasureRequested": ErasureRequested,
    "EventSuperseded": EventSuperseded,
    "GuardrailTripped": GuardrailTripped,
    "HoldPlaced": HoldPlaced,
    "HoldReleased": HoldReleased,
    "ImpairmentChanged": ImpairmentChanged,
    "InputNotApplied": InputNotApplied,
    "InstalmentAdjusted": InstalmentAdjusted,
    "InstalmentBilled": InstalmentBilled,
    "InstalmentCaughtUp": InstalmentCaughtUp,
    "InstalmentMissed": InstalmentMissed,
    "ModelUpdated": ModelUpdated,
    "OfferAnswered": OfferAnswered,
    "OfferExpired": OfferExpired,
    "OfferOutcomeReported": OfferOutcomeReported,
    "OfferPublished": OfferPublished,
    "OfferWithdrawn": OfferWithdrawn,
    "OpeningPosition": OpeningPosition,
    "PartyChanged": PartyChanged,
    "PartyContactChanged": PartyContactChanged,
    "PartyNoted": PartyNoted,
    "PaymentFailed": PaymentFailed,
    "PaymentFailureReported": PaymentFailureReported,
    "PaymentReceived": PaymentReceived,
    "PaymentReversed": PaymentReversed,
    "PersonalDataErased": PersonalDataErased,
    "PersonalDataRead": PersonalDataRead,
    "PlanActivated": PlanActivated,
    "PlanBroken": PlanBroken,
    "PlanCompleted": PlanCompleted,
    "PlanEnded": PlanEnded,
    "PlanInstalmentKept": PlanInstalmentKept,
    "PlanInstalmentMissed": PlanInstalmentMissed,
    "PlanPostponed": PlanPostponed,
    "PlanProgressed": PlanProgressed,
    "PlanReplaced": PlanReplaced,
    "PlanReviewRequested": PlanReviewRequested,
    "PlanScheduleAdjusted": PlanScheduleAdjusted,
    "PolicyChanged": PolicyChanged,
    "ProfileReported": ProfileReported,
    "PromiseBroken": PromiseBroken,
    "PromiseKept": PromiseKept,
    "PromiseMade": PromiseMade,
    "QuarantineReleased": QuarantineReleased,
    "ScheduleRevised": ScheduleRevised,
    "WorkoutEnded": WorkoutEnded,
    "WorkoutRequested": WorkoutRequested,
}
# Former names, by which bytes of earlier releases are read.
RECORD_ALIASES: dict[str, str] = {
    "ContactNoted": "ContactRecorded",
    "Corrected": "EventSuperseded",
    "EvidenceGathered": "OfferOutcomeReported",
}
FIELD_ALIASES: dict[str, dict[str, str]] = {
    "DecisionLogged": {"group": "arm"},
    "OfferPublished": {"lead_option_id": "recommended_option_id"},
}
