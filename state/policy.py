"""The rules, as data. A pack is a YAML file in `state/policy_packs/packs/`; this is its shape once resolved.

Amounts are minor units of the account's currency, rates basis points, dates business dates.
`state.policy_packs.loader` reads and validates packs; every rule there carries a source and whether it was
verified. Here only values are left, since a decision needs no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from schemas.events import ContactOutcome, HoldKind, Shape
from state.calendars import DueDateConvention, DueDays
from state.texts import Lender, Locale, Localised, Messages, messages_of

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
HoldDays = Annotated[int, Meta(ge=1, le=3_650)]
Months = Annotated[int, Meta(ge=1, le=600)]
MonthsOrZero = Annotated[int, Meta(ge=0, le=600)]
Money = Annotated[int, Meta(ge=0, le=2**62)]
Bps = Annotated[int, Meta(ge=0, le=1_000_000)]
Share = Annotated[int, Meta(ge=0, le=10_000)]
Hour = Annotated[int, Meta(ge=0, le=24)]

CostDisclosure = Literal["all_in_cost", "contingent_cost"]
Step = Annotated[str, Meta(pattern=r"^(past_due|due|advance)\.(penalty|fees|interest|principal)$")]


class Allocation(Struct, frozen=True, forbid_unknown_fields=True):
    """The payment waterfall: each of the 12 steps once, in order; within a step the oldest due date first.

    sweep: `component` finishes a step over all instalments before the next; `instalment` runs the
        steps of one timing on the oldest instalment before it turns to the next.
    """

    performing: tuple[Step, ...]
    non_performing: tuple[Step, ...]
    sweep: Literal["component", "instalment"] = "component"


class Delinquency(Struct, frozen=True, forbid_unknown_fields=True):
    """When an instalment counts as unpaid, and when arrears are material.

    An instalment is unpaid above max(tolerance_absolute, tolerance_bps of it). Grace moves what
    is reported, never the legal date.

    hold_days: days of a hold, its first included, by its kind, where it comes without an end; others last until they
        are released.
    """

    tolerance_absolute: Money = 0
    tolerance_bps: Share = 0
    grace_days: Days = 0
    material_absolute: Money = 0
    material_relative_bps: Share = 0
    pausing_holds: tuple[HoldKind, ...] = ()
    hold_days: dict[HoldKind, HoldDays] = {}


class Charges(Struct, frozen=True, forbid_unknown_fields=True):
    """Penalty interest (actual/365, on overdue principal) and late fees.

    penalty_rate_bps: the annual rate of penalty interest, whatever the contract rate is.
    penalty_markup_bps: in its place, the contract rate and so much of it on top (5000: half as much again); at most one
        of the two is set.
    penalty_on_interest: overdue contract interest bears penalty interest too (compounding).
    cap_bps: all charges ever made, in bps of the principal of the account; 0 charges nothing.
    """

    penalty_rate_bps: Bps = 0
    late_fee_flat: Money = 0
    late_fee_bps: Share = 0
    late_fee_cap: Money = 0
    cap_bps: Bps = 0
    penalty_markup_bps: Bps = 0
    penalty_on_interest: bool = False


class ClassThreshold(Struct, frozen=True, forbid_unknown_fields=True):
    """The class that applies from this many days past due."""

    name: str
    from_days: Days


class Classification(Struct, frozen=True, forbid_unknown_fields=True):
    """Classes under one pack, best first; worse at once, better only through probation.

    material_counter: measure by the material counter rather than by days past due (EU).
    probation_days: clean days before an upgrade; `after_plan_days` where there was a plan.
    probation_months, after_plan_months: the same in calendar months, where a source counts months; 0 counts days.
    distressed: the class that a distressed restructuring makes of an account at once, whatever its days, until the
        probation is served from the day of the plan on (EU: default, CRR Art 178(3)(d)); empty where it makes none.
        What is distressed, `Options.distressed_over_bps` says.
    """

    policy: str
    thresholds: tuple[ClassThreshold, ...]
    probation_days: Days = 0
    after_plan_days: Days = 0
    material_counter: bool = False
    distressed: str = ""
    probation_months: MonthsOrZero = 0
    after_plan_months: MonthsOrZero = 0


class BadDebt(Struct, frozen=True, forbid_unknown_fields=True):
    """none -> candidate when (missed >= N or days past due > T), arrears are material,
    failed contact attempts >= K, and no blocking hold is in force.

    recognition: `automatic` once a candidate has been in impairment stage 3 for `recognise_after_days`;
        `review` waits for a BadDebtReviewed.
    charge_off_after: days past due at which material arrears are charged off, whatever was tried; None by review only.
    charge_off_after_hold: days after the notice of a hold, by its kind, at which the debt is charged off, whatever its
        days past due (bankruptcy, fraud, death).
    cure_probation_days: clean days after all arrears are paid before recognised -> cured; cure_probation_months the
        same in calendar months, 0 counts days.
    recovery_lapse_days: days without a payment after which recovering -> charged_off.
    """

    policy: str
    missed_at_least: Count = 3
    days_past_due_over: Days = 90
    attempts_at_least: Count = 3
    failed_outcomes: tuple[ContactOutcome, ...] = ("no_answer", "refused", "wrong_party")
    broken_promise_counts: bool = True
    blocking_holds: tuple[HoldKind, ...] = ()
    recognition: Literal["automatic", "review"] = "automatic"
    recognise_after_days: Days = 0
    charge_off_after: Days | None = None
    cure_probation_days: Days = 90
    recovery_lapse_days: Days = 90
    charge_off_grounds: tuple[str, ...] = ()
    termination_grounds: tuple[str, ...] = ()
    cure_probation_months: MonthsOrZero = 0
    charge_off_after_hold: dict[HoldKind, Days] = {}


class Impairment(Struct, frozen=True, forbid_unknown_fields=True):
    """Stages (IFRS 9) by days past due, and the allowance as a share of what is outstanding.

    probation_months: `probation_days` in calendar months; 0 counts days.
    """

    stage2_over_days: Days = 30
    stage3_from_days: Days = 90
    coverage_bps: tuple[Share, Share, Share] = (100, 1_000, 5_000)
    bad_debt_coverage_bps: Share = 8_000
    probation_days: Days = 90
    probation_months: MonthsOrZero = 0


class Plans(Struct, frozen=True, forbid_unknown_fields=True):
    """The life of a plan.

    kept_within_days: an instalment paid this many days after it is due is still kept.
    broken_after_missed: missed plan instalments in a row that break it.
    waiver_returns: what was waived is owed again when the plan breaks.
    request_over_days: an account wants a plan once more than this many days past due, or …
    request_missed: … with this many missed instalments.
    due_date_convention: what becomes of a due date on which banks do not work (ISDA 2006, 4.12), by the calendar of the
        place: it stays (none), or moves to the next business day (following), so but back within the month
        (modified_following), or to the last one before (preceding).
    """

    max_term_months: Months = 60
    kept_within_days: Days = 5
    broken_after_missed: Annotated[int, Meta(ge=1, le=100)] = 2
    waiver_returns: bool = True
    probation_days: Days = 180
    max_broken: Count = 3
    request_over_days: Days = 30
    request_missed: Count = 1
    due_date_convention: DueDateConvention = "none"


class Arrangements(Struct, frozen=True, forbid_unknown_fields=True):
    """Arrangements for a time, for borrowers who can afford no plan: what they are and what they do to lateness.

    offered: the types that may be offered, best first. token_months: monthly payments of a token arrangement; how much
    is `options.token_payment`. A payment holiday lasts `options.moratorium_months`.
    review_days: how long before its last day the next arrangement is offered.
    days_past_due: `run_on` leaves the contract's due dates; `deferred` makes all that falls due by the last day due on
        it, so that nothing is past due meanwhile.
    """

    offered: tuple[Literal["token", "payment_holiday"], ...] = ()
    token_months: Annotated[int, Meta(ge=1, le=24)] = 3
    review_days: Annotated[int, Meta(ge=1, le=60)] = 21
    days_past_due: Literal["run_on", "deferred"] = "run_on"


class Floor(Struct, frozen=True, forbid_unknown_fields=True):
    """The least a household needs a month: `single` for the first head, `each` for every other.

    region: as profiles name it; `*` holds where no floor names the region.
    """

    currency: str
    region: str
    single: Money
    each: Money


class Affordability(Struct, frozen=True, forbid_unknown_fields=True):
    """What a borrower can really pay.

    An instalment is at most alpha_bps of the surplus (public credit data: 4,073 loans).
    sources: profile kinds from most to least trusted; a field older than fresh_days yields to a fresh one.
    purposes: of consents that let means be used. consent_wait_days: how long a report waits for such a consent before
    its values are deleted.
    """

    alpha_bps: Share = 4_000
    alpha_step_bps: Share = 500
    alpha_least_bps: Share = 1_500
    floors: tuple[Floor, ...] = ()
    sources: tuple[Literal["bureau", "interview", "third_party", "declared"], ...] = (
        "interview",
        "bureau",
        "third_party",
        "declared",
    )
    fresh_days: Days = 180
    purposes: tuple[str, ...] = ("repayment_planning",)
    consent_wait_days: Days = 7
    assumed_income_multiple_bps: Bps = 0


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """The grid of options and the authority within which it may move.

    rate_cuts_bps: cuts of the contract rate in bps of it (10000 is interest-free).
    max_npv_loss_bps: the largest loss of present value at the original effective rate.
    rate_relief_score: a rate cut beyond `authority_rate_cut_bps` needs this credit score.
    distressed_over_bps: a plan with a larger loss of present value is a distressed restructuring (EBA/GL/2016/07); what
        follows for an account's class, `Classification.distressed` says.
    """

    terms: tuple[Months, ...] = (3, 6, 12, 18, 24, 36, 48, 60)
    rate_cuts_bps: tuple[Share, ...] = (0, 2_500, 5_000, 10_000)
    waivers: tuple[tuple[Literal["penalty", "interest"], ...], ...] = ((), ("penalty",), ("penalty", "interest"))
    shapes: tuple[Shape, ...] = ("level", "step_up", "deferred")
    deferred_months: tuple[Annotated[int, Meta(ge=1, le=12)], ...] = (1, 2, 3)
    step_up_bps: Share = 5_000
    rounding: Literal["half_up", "up", "half_even"] = "half_up"
    max_published: Annotated[int, Meta(ge=1, le=10)] = 4
    max_npv_loss_bps: Share = 4_000
    authority_rate_cut_bps: Share = 10_000
    rate_relief_score: Count = 0
    authority_waiver_bps: Share = 10_000
    minimum_instalment: Money = 0
    token_payment: Money = 0
    moratorium_months: Months = 3
    no_deal_recovery_bps: Share = 2_500
    no_deal_months: Months = 24
    cost_per_plan: Money = 0
    distressed_over_bps: Share = 100


class Offers(Struct, frozen=True, forbid_unknown_fields=True):
    """Publishing offers: how long one is open, and how often another may follow in one episode.

    oral_needs_recording: an answer by telephone accepts an offer only with a reference to its recording.
    cost_disclosures: what of the cost is disclosed besides: `all_in_cost`, the annual cost of all that is paid when all
        is paid in time; `contingent_cost`, what it costs not to pay.
    """

    open_days: Days = 14
    pause_days: Days = 7
    max_in_episode: Count = 6
    distress_pause_days: Days = 30
    disclosures: tuple[str, ...] = ()
    default_locale: Literal["zh", "en"] = "en"
    oral_needs_recording: bool = False
    cost_disclosures: tuple[CostDisclosure, ...] = ()

    @property
    def stated(self) -> tuple[str, ...]:
        """Return the keys of all that an offer and an agreement have to state."""
        return (*self.disclosures, *self.cost_disclosures)


class Contacts(Struct, frozen=True, forbid_unknown_fields=True):
    """When a borrower may be reached, in the borrower's time zone; hours are [from_hour, to_hour).

    cap: attempts within cap_days local days, on any channel and about any account of the borrower.
    conversation_cap: effective contacts, in which they spoke with each other, within conversation_cap_days local days;
        0 sets no such cap.
    quiet_days_after_conversation: local days without an attempt, the day of the conversation being the first.
    """

    from_hour: Hour = 8
    to_hour: Hour = 21
    cap: Count = 7
    cap_days: Days = 7
    quiet_days_after_conversation: Days = 0
    conversation_cap: Count = 0
    conversation_cap_days: Days = 1
    channels: tuple[str, ...] = ("app", "sms", "email", "call")
    time_zone: str = "UTC"


class Parties(Struct, frozen=True, forbid_unknown_fields=True):
    """Several people on one account: joint borrowers and guarantors.

    joint_acceptance: `any` one of the borrower and the joint borrowers accepts an offer for all; `all` have to accept
        the same option.
    guarantors_from: the bucket of days past due from which a guarantor may be contacted, or `never`. A subsidiary
        guarantor may not be before the debt was enforced without success, whatever the bucket.
    holds_for_all: kinds of hold in which one joint borrower's concerns the whole account; others concern that person.
    """

    joint_acceptance: Literal["any", "all"] = "any"
    guarantors_from: Literal["never", "dpd_1_30", "dpd_31_60", "dpd_61_90", "dpd_over_90"] = "dpd_31_60"
    holds_for_all: tuple[HoldKind, ...] = ("dispute", "breathing_space", "bankruptcy", "fraud")


class Learning(Struct, frozen=True, forbid_unknown_fields=True):
    """What is learned from answers, and how far it may decide which option is recommended.

    mode: `off` learns nothing; `shadow` learns, and the fixed order recommends; `on` lets what was learned recommend.
    exploration_bps: share of recommendations that are left to chance, so that every propensity is known and positive.
    holdout_bps: share of borrowers for whom the fixed order always recommends, by which the others are measured.
    challenger, challenger_bps: another way to recommend, for a further share of borrowers.
    fade_bps: what is kept of all evidence from one day to the next. maturity_days: how long after an offer what
    becomes of its plan still counts.
    least_acceptance_bps: the guardrail trips where the acceptance of learned recommendations falls below this share of
    that of the fixed order; most_broken_bps, most_complaints_bps: where more of learned offers' plans break for the
    instalments that fell due, or offers meet complaints, than this share of the fixed order's. guardrail_offers: of
    each, before it is looked at. guardrail_days: how far back it looks, or further where there are fewer offers.
    guardrail_deviations: by how many standard deviations of chance the two have to differ.
    guardrail_reset_id: a number above all earlier ones lets what was learned decide again after a breach.
    """

    mode: Literal["off", "shadow", "on"] = "shadow"
    exploration_bps: Share = 500
    holdout_bps: Share = 500
    challenger: Literal["none", "fixed", "uniform"] = "none"
    challenger_bps: Share = 0
    fade_bps: Share = 9_990
    maturity_days: Days = 150
    least_acceptance_bps: Share = 8_000
    most_broken_bps: Bps = 15_000
    most_complaints_bps: Bps = 20_000
    guardrail_offers: Count = 200
    guardrail_days: Days = 30
    guardrail_deviations: Annotated[int, Meta(ge=0, le=100)] = 4
    guardrail_reset_id: Count = 1


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """All rules that apply to one kind of account, resolved from its packs.

    retry_failed_payment_days: how long after a failed payment another attempt is proposed, on a business day.
    most_days_skipped: how far behind the last close a business date may be closed. most_days_ahead: how far behind it
    a fact may count from. Beyond, it is a slip of the date and is refused. texts: all messages to borrowers, as Fluent
    source by locale; empty for those of the package.
    """

    name: str
    version: str
    allocation: Allocation
    delinquency: Delinquency
    charges: Charges
    classifications: tuple[Classification, ...]
    bad_debt: BadDebt
    impairment: Impairment
    plans: Plans
    affordability: Affordability
    options: Options
    offers: Offers
    contacts: Contacts
    learning: Learning
    business_time_zone: str = "UTC"
    unknown_account_wait_days: Days = 3
    retry_failed_payment_days: Days = 5
    most_days_skipped: Days = 92
    most_days_ahead: Days = 366
    holiday_calendar: str | None = None
    lender: Lender = Lender()
    texts: Localised = Localised()
    parties: Parties = Parties()
    arrangements: Arrangements = Arrangements()

    def messages(self, locale: Locale, jurisdiction: str) -> Messages:
        """Return what borrowers read, in a locale and as dates and amounts are written in a jurisdiction."""
        return messages_of(self.texts, self.lender, locale, jurisdiction)

    @property
    def due_days(self) -> DueDays:
        """Return how due dates of plans keep clear of days on which banks do not work."""
        return DueDays(self.plans.due_date_convention, self.holiday_calendar)


class Scope(Protocol):
    """Which accounts a book was written for."""

    def problems(self, jurisdiction: str, product: str) -> dict[str, str]:
        """Return why no account of a jurisdiction and product may be opened, with the remedy, by the field at fault."""
        ...

    def is_by_default(self, jurisdiction: str, product: str) -> bool:
        """Say whether no row names the jurisdiction, so that the row for everywhere stands in."""
        ...


class PolicyBook:
    """Which policy applies to an account, and from when on. `resolve` is called once a (jurisdiction, product).

    resolve_in: the same with amounts in minor units of a currency, where they differ by currency.
    later: books that take its place, each from a business date (ordinal) on, in the order of these. files: the texts of
    which `state.policy_packs.book.book_of` made it, if it did. scope: the accounts that it was written for;
    without one, every account.
    """

    __slots__ = ("_cache", "_resolve", "_resolve_in", "files", "later", "name", "scope")

    def __init__(
        self,
        name: str,
        resolve: Callable[[str, str], Policy],
        later: tuple[tuple[int, PolicyBook], ...] = (),
        files: Mapping[str, str] | None = None,
        scope: Scope | None = None,
        resolve_in: Callable[[str, str, str], Policy] | None = None,
    ) -> None:
        self.name = name
        self.later = later
        self.files = files
        self.scope = scope
        self._resolve = resolve
        self._resolve_in = resolve_in
        self._cache: dict[tuple[str, str, str], Policy] = {}

    def policy_for(self, jurisdiction: str, product: str, currency: str = "") -> Policy:
        """Return the policy of a jurisdiction and product before any change.

        currency: of the account, which its amounts are in; without one they are in that of the place.
        """
        key = (jurisdiction, product, currency)
        policy = self._cache.get(key)
        if policy is None:
            if currency and self._resolve_in is not None:
                policy = self._resolve_in(jurisdiction, product, currency)
            else:
                policy = self._resolve(jurisdiction, product)
            self._cache[key] = policy
        return policy

    def problems(self, jurisdiction: str, product: str) -> dict[str, str]:
        """Return why no account of a jurisdiction and product may be opened, with the remedy, by the field at fault."""
        return {} if self.scope is None else self.scope.problems(jurisdiction, product)

    def places_by_default(self) -> list[tuple[str, str]]:
        """Return the jurisdictions and products that were asked for and that only the row for everywhere takes."""
        if self.scope is None:
            return []
        asked = dict.fromkeys(key[:2] for key in self._cache if key[0])
        return [key for key in asked if not self.scope.problems(*key) and self.scope.is_by_default(*key)]

    def is_by_default(self, jurisdiction: str, product: str) -> bool:
        """Say whether no row of the book names an account's jurisdiction, so that the row for everywhere takes it."""
        return self.scope is not None and self.scope.is_by_default(jurisdiction, product)

    def resolved_policies(self) -> list[Policy]:
        """Return the policies that were asked for."""
        return list(self._cache.values())

    def in_force_on(self, day: int) -> PolicyBook:
        """Return the book that applies on a business date (ordinal), 0 for one before all changes."""
        book = self
        for first, other in self.later:
            if day < first:
                break
            book = other
        return book

    def changes_between(self, after: int, through: int) -> bool:
        """Say whether another book begins to apply behind a business date (ordinals), through another."""
        return bool(self.later) and any(after < first <= through for first, _ in self.later)

    def with_amendments(self, later: Iterable[tuple[int, PolicyBook]]) -> PolicyBook:
        """Return this book with others that take its place."""
        by_day = tuple(sorted(later, key=lambda change: change[0]))
        return PolicyBook(self.name, self.policy_for, by_day, self.files, self.scope, self.policy_for)

    def named(self, name: str) -> PolicyBook:
        """Return this book under another name."""
        return PolicyBook(name, self.policy_for, self.later, self.files, self.scope, self.policy_for)
