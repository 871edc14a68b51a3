"""The vault of a process on Kafka: asked for when it starts, however long a KMS is away."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import structlog

from streams.kafka.retry import retry_until_available
from streams.security.vault import Vault
from streams.security.vault_factory import vault_of
from streams.settings import Settings

log: Any = structlog.get_logger(__name__)


async def vault_for(settings: Settings) -> Vault | None:
    """Return what seals personal data, None with `privacy.mode = "off"`. Raises FatalError without master keys."""
    if settings.privacy.mode == "off":
        log.warning("personal_data_in_the_clear", remedy="set privacy.mode to on and privacy.master_keys_file")
        return None
    ask = functools.partial(asyncio.to_thread, vault_of, settings.privacy)
    return await retry_until_available(settings, "asking for the master keys", ask)
