"""What is true of one borrower: means, debts in trouble, the open offer, and what their answers have shown.

Days are proleptic ordinals, 0 for none; instants are milliseconds since the epoch. The state holds no option
and no schedule: an offer is recorded as a fact beside it, and read again only when it is accepted.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from msgspec import Struct

from schemas import events as ev
from state.profile import Consent, ReportedValue
from state.storage import appended, stored

OfferEnd = Literal["", "accepted", "declined", "countered", "expired", "withdrawn"]
PauseReason = Literal["", "dispute", "distress"]
NEVER = date.max.toordinal()


class Case(Struct, frozen=True, array_like=True, gc=False):
    """A troubled account: its debt at the close of `day`. review: it has a plan, which the means no longer carry."""

    day: int
    debt: ev.Debt
    review: bool = False


class Choice(Struct, frozen=True, array_like=True, gc=False):
    """What is remembered of an option of the last offer."""

    option_id: str
    term_months: int
    instalment: int


class LastOffer(Struct, frozen=True, array_like=True, gc=False):
    """The borrower's last offer, and how it ended; an empty end is open.

    expires: last day on which it can be accepted. affordability_limit, income_known and principal: what it rests on;
    principal by account, in the order of account_ids. recommended: the option shown first as recommended, empty for
    none. unanswered: it has been counted as met with silence. contactable_from: the instant from which the offer let
    the borrower be contacted, 0 where it named no channel. contact_window: from when and until when they may be
    contacted, as last published; (0, 0) not at all. revisions: how many followed the offer's own. until: first instant
    at which it can no longer be accepted, the end of `expires` in the borrower's time zone. over: first business date
    at whose end that is past, NEVER where it stands until a dispute is settled. Both are 0 in states of before they
    were stored. windows: digest of the contact windows last published, 0 for none. joint: who owes the debts beside the
    borrower. accepted: who has accepted which option, where all have to.
    """

    offer_id: str
    kind: str
    tone: str
    currency: str
    account_ids: tuple[str, ...]
    principal: tuple[int, ...]
    choices: tuple[Choice, ...]
    recommended: str
    published: int
    expires: int
    affordability_limit: int
    income_known: bool
    unanswered: bool = False
    end: OfferEnd = ""
    contactable_from: int = 0
    contact_window: tuple[int, int] = (0, 0)
    revisions: int = 0
    until: int = 0
    over: int = 0
    windows: int = 0
    joint: tuple[str, ...] = ()
    accepted: tuple[tuple[str, str], ...] = ()

    def ends_on(self) -> int:
        """Return the business date at whose close it ends."""
        return self.over or self.expires


class Dispute(Struct, frozen=True, array_like=True, gc=False):
    """A debt that the borrower says not to owe: on which day they said so, and the accounts that it may be about."""

    since: int
    accounts: tuple[str, ...]


class Commitment(Struct, frozen=True, array_like=True, gc=False):
    """An active plan on an account: the most it asks for a month, from its activation to its last due date.

    reviewed_at_limit: the affordability limit for which a review was requested, -1 where none was. ended: it was
    completed or broken.
    """

    plan_id: str
    currency: str
    instalment: int
    activated: int
    until: int
    jurisdiction: str = ""
    product: str = ""
    reviewed_at_limit: int = -1
    ended: bool = False

    def runs(self, day: int) -> bool:
        """Say whether it asks for anything on a day or after it."""
        return not self.ended and self.until >= day


class ContactRecord(Struct, frozen=True, array_like=True, gc=False):
    """A contact with the borrower: an attempt of the lender, a conversation, or an attempt that became one.

    account_id, attempt_id: its identity; jurisdiction and product: of the account, by whose rules it is reviewed.
    review_on: day at whose close it is reviewed against the contact rules, 0 once it has been. breached: it broke them,
    or is not reviewed since it was before anything was reported of its account. party: it is about somebody else's
    account.
    """

    at: int
    attempt: bool
    conversation: bool
    account_id: str = ""
    attempt_id: str = ""
    jurisdiction: str = ""
    product: str = ""
    review_on: int = 0
    breached: bool = False
    party: bool = False


class PartyCase(Struct, frozen=True, array_like=True, gc=False):
    """An account of somebody else that the person answers for, and what was published of contacting them about it.

    role: joint or guarantor, empty where no more. reason: why they may not be contacted, empty where they may. day: of
    which that was reported. reach: the instant from which windows were published. until: the last day (ordinal) of
    those. told: digest of what was last published, number: how often it was. spans: from after which day they may or
    may not be contacted, as far as an attempt is still to be reviewed.
    """

    role: str
    reason: str
    day: int
    jurisdiction: str
    product: str
    currency: str
    contactable_from: int = 0
    until: int = 0
    told: int = 0
    number: int = 0
    spans: tuple[tuple[int, bool], ...] = ()

    def allowed_on(self, day: int) -> bool:
        """Say whether it had been said, before a day (ordinal), that the person may be contacted."""
        return next((may for since, may in reversed(self.spans) if since < day), False)


class TrackedOffer(Struct, frozen=True, array_like=True, gc=False):
    """An offer with options whose outcome is still being tracked.

    published: the day of the offer. arm: the treatment arm, which says how its recommended option was chosen. accounts:
    how many plans an acceptance makes. options, rows, cells: the options shown, the features of each
    (`state.learning.FEATURES`), and its cell in `state.learning`. settled: how it ended is known. accepted: the
    number of the option that was chosen, from 1, 0 for none. kept, missed, broken: instalments of its plans, and plans.
    reported: what the learner has received of it.
    """

    published: int
    arm: str
    accounts: int
    options: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    cells: tuple[str, ...]
    settled: bool = False
    accepted: int = 0
    complained: bool = False
    kept: int = 0
    missed: int = 0
    broken: int = 0
    reported: tuple[int, ...] = ()


@stored(version=2, upgrades={1: appended})
class BorrowerState(Struct, array_like=True):
    """One borrower.

    base_currency: day, account and currency of the first case; amounts reported without a currency are in that one.
    sequence: offers of this episode; plans_offered and referrals: those with and without options, each capped.
    decide_on: day at whose close an offer is to be decided. not_before: no further offer before that day. paused_until,
    pause_reason: no offer at all before that day; a pause for a dispute is of an earlier release. too_high, max_term:
    what answers tightened. ceiling: a monthly amount, in a currency, that was refused as too high. rate_matters,
    explained: they answered `rate`; `distrust` was met. income_changed: incomes as of an earlier day no longer count.
    last_case_closed_on: last day on which a case ended. erased: instant of the last erasure. contacts: attempts and
    conversations that the contact rules may still count, oldest first. tracked: offers whose outcome is still tracked.
    report_on: day at whose close outcomes are reported. review_on: first day at whose close a contact is to be reviewed
    against the contact rules. lapsed: offers of this episode that expired: an acceptance that was given in time counts
    whenever it is received. disputes: what the borrower disputes and nobody has settled; nothing is offered meanwhile.
    disputes_ended: first day without the last dispute hold, by account. parties: accounts of others that they answer
    for. delete_on: first day at whose close a report is deleted whose consent is not in force.
    """

    borrower_id: str
    readings: tuple[ReportedValue, ...] = ()
    consents: tuple[Consent, ...] = ()
    cases: dict[str, Case] = {}
    plans: dict[str, Commitment] = {}
    base_currency: tuple[int, str, str] = (0, "", "")

    offer: LastOffer | None = None
    sequence: int = 0
    plans_offered: int = 0
    referrals: int = 0
    unanswered: int = 0

    decide_on: int = 0
    not_before: int = 0
    paused_until: int = 0
    pause_reason: PauseReason = ""

    too_high: int = 0
    max_term: int = 0
    ceiling: tuple[int, str] = (0, "")
    rate_matters: bool = False
    explained: bool = False
    distressed: bool = False
    income_changed: int = 0
    last_case_closed_on: int = 0
    education: tuple[str, ...] = ()
    erased: int = 0
    contacts: tuple[ContactRecord, ...] = ()
    tracked: dict[str, TrackedOffer] = {}
    report_on: int = 0
    review_on: int = 0
    lapsed: tuple[LastOffer, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    disputes_ended: dict[str, int] = {}
    parties: dict[str, PartyCase] = {}
    delete_on: int = 0

    def open_offer(self) -> LastOffer | None:
        """Return the offer that can be accepted, None where there is none."""
        return self.offer if self.offer is not None and not self.offer.end else None
