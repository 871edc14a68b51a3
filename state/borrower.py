"""What is true of one borrower: means, debts in trouble, the open offer, and what answers have taught.

Days are proleptic ordinals, 0 for none; instants are milliseconds since the epoch. The state holds no option
and no schedule: an offer is recorded as a fact beside it, and read again only when it is accepted.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas import events as ev
from state.profile import Consent, Reading
from state.storage import stored

OfferEnd = Literal["", "accepted", "declined", "countered", "expired", "withdrawn"]
PauseReason = Literal["", "dispute", "distress"]


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

    expires: last day on which it can be accepted. limit, known and principal: what it rests on; principal
    by account, in the order of account_ids. unanswered: it has been counted as met with silence.
    reach: the instant from which the offer said that he may be reached, 0 where it said of no channel. window: from
    when and until when he may be, as the last word on it says; (0, 0) not at all. revisions: how many
    followed the offer's own.
    """

    offer_id: str
    kind: str
    tone: str
    currency: str
    account_ids: tuple[str, ...]
    principal: tuple[int, ...]
    choices: tuple[Choice, ...]
    lead: str
    published: int
    expires: int
    limit: int
    known: bool
    unanswered: bool = False
    end: OfferEnd = ""
    reach: int = 0
    window: tuple[int, int] = (0, 0)
    revisions: int = 0


class Commitment(Struct, frozen=True, array_like=True, gc=False):
    """An active plan on an account: the most it asks for a month, from its activation to its last due date.

    strained: the limit for which a review was asked for, -1 where none was. ended: it was completed or broke.
    """

    plan_id: str
    currency: str
    instalment: int
    activated: int
    until: int
    jurisdiction: str = ""
    product: str = ""
    strained: int = -1
    ended: bool = False

    def runs(self, day: int) -> bool:
        """Say whether it asks for anything on a day or after it."""
        return not self.ended and self.until >= day


class Reached(Struct, frozen=True, array_like=True, gc=False):
    """A contact with the borrower: an attempt of the lender, a conversation, or an attempt that became one.

    account_id, attempt_id: its identity; jurisdiction and product: of the account, whose rules it is judged by.
    judge_on: day at whose close it is judged by the contact rules, 0 once it has been. breached: it broke them.
    """

    at: int
    attempt: bool
    conversation: bool
    account_id: str = ""
    attempt_id: str = ""
    jurisdiction: str = ""
    product: str = ""
    judge_on: int = 0
    breached: bool = False


class Watched(Struct, frozen=True, array_like=True, gc=False):
    """An offer with options, of which it is still watched what becomes.

    published: the day of the offer. group: how its lead was chosen. accounts: how many plans an acceptance makes.
    options, rows, cells: the options shown, what each was like (`state.learning.FEATURES`), and its cell of the curve
    of `state.keeping`. settled: it is known how it ended. accepted: the number of the option that was chosen, from 1,
    0 for none. kept, missed, broken: instalments of its plans, and plans. told: what the learner was told.
    """

    published: int
    group: str
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
    told: tuple[int, ...] = ()


@stored(version=1)
class BorrowerState(Struct, array_like=True):
    """One borrower.

    home: day, account and currency of the first case; amounts reported without a currency are in that one.
    sequence: offers of this episode; plans_offered and referrals: those with and without options, each capped.
    decide_on: day at whose close an offer is to be decided. not_before: no further offer before that day.
    paused_until, pause_reason: no offer at all before that day. too_high, max_term: what answers tightened.
    ceiling: a monthly amount, in a currency, that was refused as too high.
    rate_matters, explained: said `rate`; `distrust` was met. income_changed: incomes as of an earlier day no
    longer count. quiet_since: last day on which a case ended. erased: instant of the last erasure.
    contacts: attempts to reach him and conversations with him that the contact rules may still count, oldest first.
    watched: offers of which it is still to be learned what becomes. tell_on: day at whose close that is told.
    judge_on: first day at whose close a contact is to be judged by the contact rules.
    """

    borrower_id: str
    readings: tuple[Reading, ...] = ()
    consents: tuple[Consent, ...] = ()
    cases: dict[str, Case] = {}
    plans: dict[str, Commitment] = {}
    home: tuple[int, str, str] = (0, "", "")

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
    quiet_since: int = 0
    education: tuple[str, ...] = ()
    erased: int = 0
    contacts: tuple[Reached, ...] = ()
    watched: dict[str, Watched] = {}
    tell_on: int = 0
    judge_on: int = 0

    def open_offer(self) -> LastOffer | None:
        """Return the offer that can be accepted, None where there is none."""
        return self.offer if self.offer is not None and not self.offer.end else None
