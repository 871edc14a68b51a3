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
    def closed(self) -> str:
        """The hash of the last closed day (ordinal) of the accounts of each partition."""
        return self.base + "closed"

    @property
    def rules(self) -> str:
        """The hash of the policies by which accounts are aged, as the workers keep them; for projectors alone."""
        return self.base + "rules"

    @property
    def currencies(self) -> str:
        """The set of currencies that have an index of bad debts."""
        return self.base + "currencies"

    @property
    def generation(self) -> str:
        """The number of the generation that readers go by."""
        return self.prefix + "generation"

    @property
    def generations(self) -> str:
        """The number of the newest generation that was ever begun."""
        return self.prefix + "generations"

    @property
    def rebuilding(self) -> str:
        """The lock of whoever makes the views anew: who it is, and since when."""
        return self.prefix + "rebuilding"

    @property
    def changes(self) -> str:
        """The channel on which changes are published: `account:ID`, `borrower:ID`, or `closed:PARTITION`."""
        return self.prefix + "changes"
