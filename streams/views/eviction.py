"""Whether a Redis throws keys away when it is full: views would vanish one by one, and nobody would notice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a user has to be allowed for the question.
ASKED = "memory"


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
