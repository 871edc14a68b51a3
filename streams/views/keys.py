"""Views in a Redis: the keys under which they stand, the rights that they take, and whether they are safe there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = {"account": "account", "planner": "borrower"}
# The section of INFO that tells of memory, which a user has to be allowed to ask for.
MEMORY = "memory"
# What a client asks before anything else.
_CONNECTING = "+ping +hello +auth +select +client|setname +client|id"
_WRITING = (
    "+info +get +set +hget +hgetall +hset +del +unlink +sadd +smembers +zadd +zrem +publish +scan +watch +unwatch "
    "+multi +exec +discard"
)
_READING = "+get +hgetall +smembers +zrange +zrevrange +subscribe +unsubscribe"


class Keys:
    """Names the keys of one generation under a prefix.

    A generation is one whole set of views; a rebuild makes the next.
    """

    def __init__(self, prefix: str, generation: int) -> None:
        self.prefix = prefix
        self.number = generation
        self.base = base = f"{prefix}{generation}:"
        # Hashes: of how far each partition is in, the offset behind the last row that was written; of the last closed
        # day (ordinal) of the accounts of each partition; of the policies by which accounts are aged, as the workers
        # keep them, for projectors alone.
        self.offsets, self.closed, self.rules = f"{base}offsets", f"{base}closed", f"{base}rules"
        # The set of currencies that have an index of bad debts.
        self.currencies = f"{base}currencies"
        # The numbers of the generation that readers go by, and of the newest one that was ever begun.
        self.generation, self.generations = f"{prefix}generation", f"{prefix}generations"
        # The lock of whoever makes the views anew: who it is, and since when.
        self.rebuilding = f"{prefix}rebuilding"
        # The channel on which changes are published: `account:ID`, `borrower:ID`, or `closed:PARTITION`.
        self.changes = f"{prefix}changes"

    def view(self, agent: str, key: str) -> str:
        """Return the hash of an account or a borrower."""
        return f"{self.base}{KINDS[agent]}:{key}"

    def index(self, name: str) -> str:
        """Return a sorted set."""
        return self.base + name


def acl_rules(prefix: str) -> dict[str, str]:
    """Return the rules of the projector and of readers, without their names and passwords.

    Nobody may do more than views need, nor touch another's keys. `scan` tells names of keys without their values,
    whoever's they are: give views a database of their own where that matters.
    """
    changes = Keys(prefix, 0).changes
    return {
        "projector": f"resetkeys resetchannels -@all ~{prefix}* &{changes} {_CONNECTING} {_WRITING}",
        "reader": f"resetkeys resetchannels -@all %R~{prefix}* &{changes} {_CONNECTING} {_READING}",
    }


def evicts(memory: Mapping[str, Any]) -> str | None:
    """Return why views are not safe in a Redis, by what INFO tells of its memory; None where they are.

    Policies that begin with `volatile` evict keys that expire alone, and no view does. Without `maxmemory` nothing is
    evicted.
    """
    policy, most = str(memory.get("maxmemory_policy", "noeviction")), int(memory.get("maxmemory", 0))
    if not policy.startswith("allkeys") or not most:
        return None
    room = f"{most / 1024**2:,.0f} MiB"
    return (
        f"maxmemory-policy is {policy}: once {room} (maxmemory) are taken, Redis evicts views, and readers miss "
        "accounts without being told. Set maxmemory-policy to noeviction, or give views a Redis of their own; then "
        "make them anew with `reprieve views rebuild`."
    )
