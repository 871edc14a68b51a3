"""What many accounts come to: how many there are of each kind, and what they owe, kept as they change.

A portfolio is the sum of what each of its accounts adds, so the sum over partitions is the whole. Nothing in it
names an account or a borrower.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from msgspec import Struct, field, json

from state.account import AccountState, Receivable
from state.policy import PolicyBook

# In which a debt is bad: what is paid meanwhile is recovered.
BAD = frozenset({"candidate", "recognised", "charged_off", "recovering"})
# Of the text, so that a portfolio that counted otherwise is counted anew.
_VERSION = 2
_SEPARATOR = "|"


class Line(Struct, array_like=True):
    """So many accounts (instalments of which something is owed, for what is due of plans), and minor units."""

    count: int = 0
    amount: int = 0


class _Text(Struct):
    version: int
    lines: dict[str, Line]
    names: dict[str, list[str]] = field(default_factory=dict)


class Portfolio:
    """Lines by measure and what they are of, as ("bucket", "CNY", "dpd_1_30").

    | measure | of | amount |
    |---|---|---|
    | bucket | currency, bucket | owed |
    | bad_debt | currency, status | owed |
    | bad_since | currency, month in which it became bad (year times twelve plus month) | owed |
    | class | currency, classification, rank | owed |
    | stage | currency, stage | owed |
    | allowance | currency, stage | allowance |
    | standing | standing | 0 |
    | plan | currency | owed |
    | plan_due | currency, month | what active plans ask for in it |
    | recovered | currency | what was paid on bad debts, all in all |

    names: of each classification, the names of its ranks. changed: since it was last written.
    """

    def __init__(self, book: PolicyBook) -> None:
        self.lines: dict[tuple[str, ...], Line] = {}
        self.names: dict[str, list[str]] = {}
        self.changed = False
        self.adopt(book)

    def adopt(self, book: PolicyBook) -> None:
        """Name classes by a book, which agrees with the one before it on all days that were folded."""
        self._book = book
        self._known_places: dict[tuple[object, ...], list[tuple[str, ...]]] = {}

    def move(self, before: AccountState | None, after: AccountState) -> None:
        """Count an account as it is now, where it was counted as it was before."""
        moved = before is not None and self._book.changes_between(before.folded_through, after.folded_through)
        if before is not None and not moved and _alike(before, after):
            return
        self.changed = True
        if before is not None and not moved and _same_places(before, after):
            # What most payments do: the account is where it was, and owes less.
            owed = _owed_since(before, after)
            for key in self._places(after):
                self._line(key, 0, owed)
            return
        if before is not None:
            self._add(before, -1)
            if before.bad_debt in BAD and before.received != after.received:
                self._line(("recovered", after.currency), 0, after.received - before.received)
        self._add(after, 1)

    def _add(self, s: AccountState, sign: int) -> None:
        if s.closed_on:
            return
        owed = _owed(s) * sign
        for key in self._places(s):
            self._line(key, sign, owed)
        self._line(("allowance", s.currency, str(s.ifrs9_stage)), sign, s.allowance * sign)
        self._line(("standing", s.credit_standing), sign, 0)
        if s.plan is not None:
            self._line(("plan", s.currency), sign, owed)
            for r in s.receivables:
                if r.plan and r.owed():
                    self._line(("plan_due", s.currency, str(month_of(r.due))), sign, r.owed() * sign)

    def _places(self, s: AccountState) -> list[tuple[str, ...]]:
        book = self._book.in_force_on(s.folded_through)
        since = month_of(s.bad_debt_on) if s.bad_debt in BAD else 0
        where = (s.currency, s.bucket, s.ifrs9_stage, s.bad_debt, since, *s.classes.items())
        kind = (s.jurisdiction, s.product, id(book), *where)
        found = self._known_places.get(kind)
        if found is None:
            found = self._known_places[kind] = self._places_by(book, s)
        return found

    def _places_by(self, book: PolicyBook, s: AccountState) -> list[tuple[str, ...]]:
        currency, classes = s.currency, s.classes
        places: list[tuple[str, ...]] = [("bucket", currency, s.bucket), ("stage", currency, str(s.ifrs9_stage))]
        if s.bad_debt != "none":
            places.append(("bad_debt", currency, s.bad_debt))
        if s.bad_debt in BAD:
            places.append(("bad_since", currency, str(month_of(s.bad_debt_on))))
        rules = book.policy_for(s.jurisdiction, s.product).classifications
        self.names |= {rule.policy: [t.name for t in rule.thresholds] for rule in rules}
        return places + [("class", currency, rule.policy, str(classes.get(rule.policy, 0))) for rule in rules]

    def _line(self, key: tuple[str, ...], count: int, amount: int) -> None:
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line()
        line.count += count
        line.amount += amount
        if not line.count and not line.amount:
            del self.lines[key]

    # -- kept

    def text(self) -> str:
        """Return it as text, to be kept beside the states."""
        lines = {_SEPARATOR.join(key): line for key, line in sorted(self.lines.items())}
        return json.encode(_Text(_VERSION, lines, self.names)).decode()

    @staticmethod
    def of(text: str, book: PolicyBook) -> Portfolio | None:
        """Return a portfolio from its text, None where it counted otherwise."""
        read = json.decode(text, type=_Text)
        if read.version != _VERSION:
            return None
        made = Portfolio(book)
        made.lines = {tuple(key.split(_SEPARATOR)): line for key, line in read.lines.items()}
        made.names = read.names
        return made

    def copy(self) -> Mapping[tuple[str, ...], tuple[int, int]]:
        """Return the lines as they are now, which stay so."""
        return {key: (line.count, line.amount) for key, line in self.lines.items()}


def month_of(day: int) -> int:
    """Return a day's month, counted from the year 0."""
    at = date.fromordinal(day)
    return at.year * 12 + at.month - 1


def _owed(s: AccountState) -> int:
    """Return principal and charges, and interest and fees that were billed or are past due: others are owed nowhere.

    What falls due is owed here a day later, on which it is visited; of a debt that was terminated nothing more is.
    """
    return _owed_of(s.receivables, s.bad_debt_on if s.bad_debt == "terminated" else s.folded_through)


def _owed_of(receivables: Iterable[Receivable], day: int) -> int:
    owed = 0
    for r in receivables:
        owed += r.principal + r.penalty
        if r.billed or r.due < day:
            owed += r.interest + r.fees
    return owed


def _owed_since(before: AccountState, after: AccountState) -> int:
    """Return how much more a later state of an account owes; of debts that were not terminated.

    The instalments to come, which are most, are the same in both, and are not counted.
    """
    old, new, day = before.receivables, after.receivables, after.folded_through
    # A payment changes the first one or two.
    for ahead in range(min(len(old), len(new)), 0, -1)[:3]:
        if new[-ahead].due >= day and old[-ahead:] == new[-ahead:]:
            old, new = old[:-ahead], new[:-ahead]
            break
    return _owed_of(new, day) - _owed_of(old, before.folded_through)


def _same_places(a: AccountState, b: AccountState) -> bool:
    """Say whether two states of an account may differ in what is owed, and in nothing else that is counted."""
    return (
        a.bucket == b.bucket
        and a.bad_debt == b.bad_debt == "none"
        and a.ifrs9_stage == b.ifrs9_stage
        and a.allowance == b.allowance
        and a.plan is None
        and b.plan is None
        and a.credit_standing == b.credit_standing
        and not a.closed_on
        and not b.closed_on
        and (a.classes is b.classes or a.classes == b.classes)
    )


def _alike(a: AccountState, b: AccountState) -> bool:
    """Say whether two states of an account add the same; what is shared by both is not looked into."""
    return (
        a.receivables is b.receivables
        and (a.folded_through == b.folded_through or _owed(a) == _owed(b))
        and a.bucket == b.bucket
        and a.received == b.received
        and a.bad_debt == b.bad_debt
        and a.ifrs9_stage == b.ifrs9_stage
        and a.allowance == b.allowance
        and a.plan is b.plan
        and a.credit_standing == b.credit_standing
        and a.closed_on == b.closed_on
        and (a.classes is b.classes or a.classes == b.classes)
    )
