"""What would borrowers do? Seeded populations with known truth."""

from simulator.runs import closed_loop, open_loop, simulate
from simulator.world import World

__all__ = ["World", "closed_loop", "open_loop", "simulate"]
