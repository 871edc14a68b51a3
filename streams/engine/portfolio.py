"""What all accounts of a task come to, kept up as they change."""

from __future__ import annotations

from state.account import AccountState
from state.policy import PolicyBook
from state.portfolio import Portfolio
from state.storage import unpack
from streams.engine.agent_task import AgentTask
from streams.engine.state_store import TaskStore

_NAME = "portfolio"
_PAGE = 10_000


def load_portfolio(account: AgentTask, store: TaskStore, book: PolicyBook) -> Portfolio:
    """Return what the accounts come to, as stored, or counted anew where it is not; it is kept up from now on."""
    text = store.meta(_NAME)
    found = Portfolio(book) if text is None else Portfolio.of(text, book)
    if text is None or found is None:
        found = Portfolio(book)
        name, keys = account.agent.name, account.rows.keys(account.agent.name)
        for start in range(0, len(keys), _PAGE):
            for _, state in account.rows.states(name, keys[start : start + _PAGE]):
                found.move(None, unpack(state, AccountState))
    account.store.watch = found.move
    return found


def store_portfolio(portfolio: Portfolio, store: TaskStore) -> None:
    """Store what the accounts come to, for the next who has the task."""
    store.set_meta(_NAME, portfolio.text())
