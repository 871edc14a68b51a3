"""What would borrowers do? Seeded populations with known truth."""

from simulator.runs import open_loop, simulate
from simulator.world import World

__all__ = ["World", "open_loop", "simulate"]
