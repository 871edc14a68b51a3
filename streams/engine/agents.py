"""Reprieve's own agents, as every runtime runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from agents.account.agent import AccountAgent
from agents.base import Agent
from agents.learner.agent import LearnerAgent
from agents.planner.agent import PlannerAgent
from state.account import AccountState
from state.borrower import BorrowerState
from state.learning import LearnerState

Agents = Sequence[tuple[Agent[Any], type[Struct]]]


def all_agents() -> Agents:
    """Return the agents with the kinds of their states, in the order in which they close a day."""
    return ((AccountAgent(), AccountState), (PlannerAgent(), BorrowerState), (LearnerAgent(), LearnerState))
