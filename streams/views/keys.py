"""The keys of the views in Redis. A generation is one whole set of views; a rebuild makes the next."""

from __future__ import annotations

KINDS = {"account": "account", "planner": "borrower"}


class Keys:
    """Names the keys of one generation under a prefix."""

    def __init__(self, prefix: str, generation: int) -> None:
        self.prefix = prefix
        self.number = generation
        self.base = f"{prefix}{generation}:"

    def view(self, agent: str, key: str) -> str:
        """Return the hash of an account or a borrower."""
        return f"{self.base}{KINDS[agent]}:{key}"

    def index(self, name: str) -> str:
        """Return a sorted set."""
        return self.base + name

    @property
    def offsets(self) -> str:
        """The hash of how far each partition is in: the offset behind the last row that was written."""
        return self.base + "offsets"

    @property
    def currencies(self) -> str:
        """The set of currencies that have an index of bad debts."""
        return self.base + "currencies"

    @property
    def generation(self) -> str:
        """The number of the generation that readers go by."""
        return self.prefix + "generation"

    @property
    def changes(self) -> str:
        """The channel on which it is said what has changed, `account:ID` or `borrower:ID`."""
        return self.prefix + "changes"
