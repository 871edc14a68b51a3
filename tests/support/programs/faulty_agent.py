"""The program with a fault in it: on a payment of one account the account agent raises what nobody expected.

`python -m tests.support.programs.faulty_agent ACCOUNT worker …`.
"""

from __future__ import annotations

import sys

from agents import input_limits
from schemas import events as ev
from streams.cli import main


def make_faulty(account: str) -> None:
    """Let the limits that the account agent checks raise at every payment of an account."""
    sound = input_limits.check_event

    def check_event(event: ev.Event) -> None:
        if isinstance(event, ev.PaymentReceived) and event.account_id == account:
            raise ZeroDivisionError("a fault of the agent")
        sound(event)

    input_limits.check_event = check_event


if __name__ == "__main__":
    make_faulty(sys.argv.pop(1))
    main()
