"""The vault of a process on Kafka: asked for when it starts, however long a KMS is away."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import structlog

from streams.kafka.broker import patiently
from streams.privacy.opening import vault_of
from streams.privacy.vault import Vault
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)


async def vault_for(settings: Settings) -> Vault | None:
    """Return what seals personal data, None with `privacy.mode = "off"`. Raises Fatal without master keys."""
    if settings.privacy.mode == "off":
        log.warning("personal_data_in_the_clear", remedy="set privacy.mode to on and privacy.master_keys_file")
        return None
    ask = functools.partial(asyncio.to_thread, vault_of, settings.privacy)
    return await patiently(settings, "asking for the master keys", ask)
