"""The program with a fault in it: on a payment of one account the account agent raises what nobody expected.

`python -m tests.support.programs.faulty_agent ACCOUNT worker …`.
"""

from __future__ import annotations

import sys
from typing import Any

from agents.account.agent import AccountAgent
from schemas import events as ev
from streams.cli import main


def make_faulty(account: str) -> None:
    """Let the account agent of this process raise at every payment of an account."""
    sound = AccountAgent.handle

    def handle(self: AccountAgent, state: Any, event: ev.Event, context: Any) -> Any:
        if isinstance(event, ev.PaymentReceived) and event.account_id == account:
            raise ZeroDivisionError("a fault of the agent")
        return sound(self, state, event, context)

    AccountAgent.handle = handle  # type: ignore[method-assign]


if __name__ == "__main__":
    make_faulty(sys.argv.pop(1))
    main()
