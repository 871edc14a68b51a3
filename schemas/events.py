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


Answer = Literal["accepted", "declined", "countered", "no_answer"]
AnswerReason = Literal["too_high", "too_long", "rate", "income_change", "dispute", "distress", "distrust", "other"]
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
    """The lender closed the account.

    closed_on: Without it, the date of occurred_at.
    """

    account_id: Id
    reason: Name
    closed_on: date | None = None


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


class AccountOpened(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A loan account exists from now on.

    product: credit_card, personal_loan, …
    jurisdiction: ISO 3166 country code, or EU.
    instalments: Empty for revolving credit.
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


class Amounts(Struct, frozen=True, kw_only=True, gc=False):
    """What is owed or forgiven, by component, in minor units."""

    principal: NonNegative = 0
    interest: NonNegative = 0
    fees: NonNegative = 0
    penalty: NonNegative = 0


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


class Contact(Struct, frozen=True, kw_only=True, gc=False):
    """When and how the borrower may be reached about an offer.

    not_before: UTC.
    not_after: UTC.
    held_back: Why not_before is later than the first open hour: cap_reached or quiet_after_conversation; empty where it is not. Without channels the borrower may not be reached at all.
    """

    not_before: Instant
    not_after: Instant
    channels: tuple[str, ...]
    time_zone: str = "UTC"
    held_back: str = ""


class ContactAttempted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Somebody tried to reach the borrower, or the borrower called.

    agent: Staff or system code, never a name.
    """

    attempt_id: Id
    account_id: Id
    channel: ContactChannel
    direction: Direction
    outcome: ContactOutcome
    agent: str


class ContactBreached(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An attempt to reach a borrower that was reported broke the contact rules of its account's policy, in the borrower's time zone, after all earlier attempts and conversations about any of his accounts. Said at the close of a day, once an attempt.

    attempted_at: When the attempt was made, UTC.
    rules: What it broke: outside_hours, cap_reached, quiet_after_conversation.
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


class ContactNoted(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: somebody was reached, or tried to be, about an account, told to the planner, who counts for the borrower.

    attempt: The lender tried; False where the borrower called.
    conversation: They spoke with each other.
    jurisdiction: Of the account, whose policy says what is allowed; empty where it was not said.
    product: Of the account.
    """

    borrower_id: Id
    account_id: Id
    attempt_id: Id
    caused_by: str
    attempt: bool
    conversation: bool
    jurisdiction: str = ""
    product: str = ""


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


class Corrected(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Something said before does not stand, since a later event changed what was true.

    business_date: The day of which it speaks.
    caused_by: event_id of the event that made it be said.
    supersedes: event_id of what no longer stands.
    """

    account_id: Id
    business_date: date
    caused_by: str
    supersedes: str
    superseded_type: str
    reason: str


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


class OptionRow(Struct, frozen=True, kw_only=True, gc=False):
    """What a decision knew of an option, and how likely it was to lead.

    propensity: Probability that this option was made to lead, 0 to 1.
    x: Features in thousandths, in the order of the model's version.
    """

    option_id: str
    propensity: float
    x: tuple[Long, ...]


class DecisionLogged(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """All that is needed to judge a decision afterwards.

    shown: The options in the order of the offer, with all that a model knew of them.
    group: How the lead was chosen: fixed, holdout, learned, challenger or borrower.
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
    group: str = "fixed"


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


class EvidenceGathered(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What an offer has taught since it was last told; adding up all evidence gives the model.

    business_date: The day at whose close it is told.
    counts: Offers, acceptances, broken plans and complaints, by how the lead was chosen.
    """

    model: Id
    offer_id: Id
    business_date: date
    caused_by: str
    rows: tuple[EvidenceRow, ...]
    cells: tuple[CapacityCell, ...] = ()
    counts: dict[str, Long] = field(default_factory=dict)


class GuardrailTripped(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A guardrail was breached: from the next business date on every lead is the fixed order's.

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
    until_on: Last day of the hold; without it, until released.
    """

    hold_id: Id
    account_id: Id
    kind: HoldKind
    from_on: date
    until_on: date | None = None


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


class InstalmentBilled(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A statement of revolving credit asks for a payment."""

    account_id: Id
    number: PositiveInt
    due_on: date
    principal: NonNegative
    interest: NonNegative
    fees: NonNegative


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


class ModelUpdated(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What was learned through a business date, written to every partition: all that planners decide by.

    business_date: Through whose close all evidence is in.
    version: How often it was updated.
    outer: Upper triangle of the sum of row times row, millionths.
    accepted: Sum of row times acceptance, millionths.
    reward: Sum of row times reward, millionths.
    tripped: The guardrail that put the fixed order back, null where none has.
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


class OfferAnswered(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """What the borrower said to an offer, online or on the hotline.

    counter_amount: Minor units a month that the borrower proposes.
    recording_ref: Where the recording of an oral agreement is kept.
    sealed: The personal fields, sealed for Reprieve alone; they are then empty here.
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


class OfferExpired(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An offer was not answered in time."""

    offer_id: Id
    borrower_id: Id
    business_date: date
    caused_by: str


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
    total_cost: All that the borrower pays under it.
    saves: Against paying the same debt at contract terms; negative if it costs more.
    npv: Value to the lender at the original effective rate.
    distressed_obligation_bps: Loss of present value at the original effective rate (EBA/GL/2016/07).
    shares: The same instalments, account by account.
    reasons: Why this option is here, in the borrower's language.
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


class OfferPublished(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Options that the borrower can keep, to choose from.

    kind: plan, token, moratorium or referral.
    sequence: How many offers this borrower has had in this episode.
    tone: neutral or supportive.
    balances: What each account owed when the offer was made, in the order of account_ids.
    """

    offer_id: Id
    borrower_id: Id
    account_ids: tuple[str, ...]
    options: tuple[Option, ...]
    lead_option_id: str | None = None
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


class OfferWithdrawn(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """An open offer no longer stands."""

    offer_id: Id
    borrower_id: Id
    business_date: date
    caused_by: str
    reason: str


class PaymentFailed(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """A payment was tried and did not come in."""

    payment_id: Id
    account_id: Id
    amount: Positive
    reason: Name


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
    """A payment did not stand: it counts as never made."""

    payment_id: Id
    account_id: Id
    reversed_on: date
    reason: Name


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
    outcome: kept, missed, broken, completed, replaced, postponed or adjusted.
    taken_back: It was said wrongly before, and no longer stands.
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


class PromiseMade(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """The borrower promised to pay."""

    promise_id: Id
    account_id: Id
    amount: Positive
    due_on: date


class WorkoutEnded(Event, frozen=True, kw_only=True, gc=False, tag=True):
    """Internal: an account no longer wants a plan.

    reason: cured, less_behind, plan_active, plans_used_up, closed or terminated.
    """

    borrower_id: Id
    account_id: Id
    business_date: date
    caused_by: str
    reason: str


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
    | AccountOpened
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
    | ContactNoted
    | ContactRevised
    | Corrected
    | CreditStandingChanged
    | DayClosed
    | DeadLetter
    | DecisionLogged
    | DelinquencyChanged
    | EducationCompleted
    | ErasureRequested
    | EvidenceGathered
    | GuardrailTripped
    | HoldPlaced
    | HoldReleased
    | ImpairmentChanged
    | InstalmentBilled
    | InstalmentCaughtUp
    | InstalmentMissed
    | ModelUpdated
    | OfferAnswered
    | OfferExpired
    | OfferPublished
    | OfferWithdrawn
    | PaymentFailed
    | PaymentReceived
    | PaymentReversed
    | PersonalDataErased
    | PersonalDataRead
    | PlanActivated
    | PlanBroken
    | PlanCompleted
    | PlanInstalmentKept
    | PlanInstalmentMissed
    | PlanPostponed
    | PlanProgressed
    | PlanReplaced
    | PlanReviewRequested
    | PlanScheduleAdjusted
    | PolicyChanged
    | ProfileReported
    | PromiseMade
    | WorkoutEnded
    | WorkoutRequested
)

EVENT_TYPES: dict[str, type[Event]] = {
    "AccountClosed": AccountClosed,
    "AccountOpened": AccountOpened,
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
    "ContactNoted": ContactNoted,
    "ContactRevised": ContactRevised,
    "Corrected": Corrected,
    "CreditStandingChanged": CreditStandingChanged,
    "DayClosed": DayClosed,
    "DeadLetter": DeadLetter,
    "DecisionLogged": DecisionLogged,
    "DelinquencyChanged": DelinquencyChanged,
    "EducationCompleted": EducationCompleted,
    "ErasureRequested": ErasureRequested,
    "EvidenceGathered": EvidenceGathered,
    "GuardrailTripped": GuardrailTripped,
    "HoldPlaced": HoldPlaced,
    "HoldReleased": HoldReleased,
    "ImpairmentChanged": ImpairmentChanged,
    "InstalmentBilled": InstalmentBilled,
    "InstalmentCaughtUp": InstalmentCaughtUp,
    "InstalmentMissed": InstalmentMissed,
    "ModelUpdated": ModelUpdated,
    "OfferAnswered": OfferAnswered,
    "OfferExpired": OfferExpired,
    "OfferPublished": OfferPublished,
    "OfferWithdrawn": OfferWithdrawn,
    "PaymentFailed": PaymentFailed,
    "PaymentReceived": PaymentReceived,
    "PaymentReversed": PaymentReversed,
    "PersonalDataErased": PersonalDataErased,
    "PersonalDataRead": PersonalDataRead,
    "PlanActivated": PlanActivated,
    "PlanBroken": PlanBroken,
    "PlanCompleted": PlanCompleted,
    "PlanInstalmentKept": PlanInstalmentKept,
    "PlanInstalmentMissed": PlanInstalmentMissed,
    "PlanPostponed": PlanPostponed,
    "PlanProgressed": PlanProgressed,
    "PlanReplaced": PlanReplaced,
    "PlanReviewRequested": PlanReviewRequested,
    "PlanScheduleAdjusted": PlanScheduleAdjusted,
    "PolicyChanged": PolicyChanged,
    "ProfileReported": ProfileReported,
    "PromiseMade": PromiseMade,
    "WorkoutEnded": WorkoutEnded,
    "WorkoutRequested": WorkoutRequested,
}
