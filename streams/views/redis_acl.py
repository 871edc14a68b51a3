"""What a user of Redis needs to write views, and what to read them: rules of its ACL."""

from __future__ import annotations

from streams.views.keys import Keys

# What a client asks before anything else.
_CONNECTING = "+ping +hello +auth +select +client|setname +client|id"
_WRITING = (
    "+info +get +set +hget +hgetall +hset +del +unlink +sadd +smembers +zadd +zrem +publish +scan +watch +unwatch "
    "+multi +exec +discard"
)
_READING = "+get +hgetall +smembers +zrange +zrevrange +subscribe +unsubscribe"


def rules(prefix: str) -> dict[str, str]:
    """Return the rules of the projector and of readers, without their names and passwords.

    Nobody may do more than views need, nor touch another's keys. `scan` tells names of keys without their values,
    whoever's they are: give views a database of their own where that matters.
    """
    changes = Keys(prefix, 0).changes
    return {
        "projector": f"resetkeys resetchannels -@all ~{prefix}* &{changes} {_CONNECTING} {_WRITING}",
        "reader": f"resetkeys resetchannels -@all %R~{prefix}* &{changes} {_CONNECTING} {_READING}",
    }
