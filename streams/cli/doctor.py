"""`reprieve doctor`: whether all that a worker needs is there, and what to do where it is not."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import Literal

import click
from aiokafka.errors import KafkaError

from schemas.errors import FatalError, ReprieveError
from streams.cli.cluster import config_option, settings_of
from streams.cli.common import json_option, say_json
from streams.kafka.auth_check import check_credentials
from streams.kafka.deployment import disagreements
from streams.kafka.retry import permanent_error
from streams.kafka.topic_admin import admin_client, find_differences
from streams.registry import codec_for, subjects
from streams.security.vault_factory import master_keys_of
from streams.settings import Settings

# Free bytes that a data directory should have; a million accounts take about two gibibytes.
_ROOM = 4 * 1024**3
# Seconds that Redis's clock may differ from ours.
_SKEW = 5.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found of one part. `message`: how it is, and what to do where it is bad."""

    part: str
    verdict: Literal["ok", "bad", "skipped"]
    message: str


@click.command("doctor")
@config_option
@json_option
def doctor_command(config: Path | None, as_json: bool) -> None:
    """Look at packages, disk, Kafka, topics, registry and Redis, and say what to do; exit code 1 where one is bad."""
    found = asyncio.run(examined(settings_of(config)))
    if as_json:
        say_json([{"part": f.part, "verdict": f.verdict, "message": f.message} for f in found])
    else:
        for finding in found:
            click.echo(f"{finding.verdict:<7}  {finding.part}: {finding.message}")
    sys.exit(1 if any(finding.verdict == "bad" for finding in found) else 0)


async def examined(settings: Settings) -> list[Diagnosis]:
    """Look at everything, one behind the other; nothing is changed, and nothing of it raises."""
    found = [
        *_packages(),
        _disk(settings),
        await _master_keys(settings),
        await _looked(settings, "Kafka", lambda: _kafka(settings)),
    ]
    if found[-1].verdict == "ok":
        found.append(await _looked(settings, "topics", lambda: _topics(settings)))
        found.append(await _looked(settings, "deployment", lambda: _deployment(settings)))
    else:
        found += [Diagnosis(part, "skipped", "Kafka does not answer") for part in ("topics", "deployment")]
    if settings.registry.url is None:
        found.append(Diagnosis("registry", "skipped", "registry.url is not set; events are in single-object encoding"))
    else:
        found.append(await _looked(settings, "registry", lambda: _registry(settings)))
    if settings.redis.url is None:
        found.append(Diagnosis("Redis", "skipped", "redis.url is not set"))
    else:
        found.append(await _looked(settings, "Redis", lambda: _redis(settings)))
    return found


async def _looked(settings: Settings, part: str, look: Callable[[], Awaitable[str]]) -> Diagnosis:
    try:
        return Diagnosis(part, "ok", await look())
    except ReprieveError as error:
        return Diagnosis(part, "bad", str(error))
    except (KafkaError, OSError) as error:
        final = permanent_error(settings, f"looking at {part}", error)
        if final is not None:
            return Diagnosis(part, "bad", str(final))
        return Diagnosis(part, "bad", f"{type(error).__name__}: {error}. Start it, or correct its settings.")


def _packages() -> Iterator[Diagnosis]:
    """Hold the packages of which parts are replaced against the versions that this was built for."""
    yield Diagnosis("Python", "ok", ".".join(map(str, sys.version_info[:3])))
    for requirement in requires("reprieve") or ():
        pinned = re.match(r"([A-Za-z0-9_-]+)==([^ ;]+)$", requirement)
        if pinned is not None:
            name, wanted = pinned.groups()
            here = version(name)
            fits = here == wanted
            told = here if fits else f"{here}, but parts of it are replaced that are as in {wanted}. Install {wanted}."
            yield Diagnosis(name, "ok" if fits else "bad", told)


def _disk(settings: Settings) -> Diagnosis:
    folder = settings.worker.data_dir
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Diagnosis("data directory", "bad", f"{folder}: {error.strerror}. Set worker.data_dir to another.")
    told = f"{folder}, {free / 1024**3:.1f} GiB free"
    if free < _ROOM:
        return Diagnosis("data directory", "bad", f"{told}. Make room, or set worker.data_dir to another.")
    return Diagnosis("data directory", "ok", told)


async def _master_keys(settings: Settings) -> Diagnosis:
    if settings.privacy.mode == "off":
        told = (
            "privacy.mode is off: what is stored of borrowers is readable. Set it to on, for anything but development."
        )
        return Diagnosis("master keys", "bad", told)
    return await _looked(settings, "master keys", lambda: _opened(settings))


async def _opened(settings: Settings) -> str:
    masters = await asyncio.to_thread(master_keys_of, settings.privacy)
    return f"{len(masters.ids)}, of which {masters.current} wraps, from {masters.place}"


async def _kafka(settings: Settings) -> str:
    await check_credentials(settings)
    async with admin_client(settings) as admin:
        brokers = (await admin.describe_cluster())["brokers"]
    wanted = settings.topics.replication_factor
    if len(brokers) < wanted:
        raise FatalError(
            f"{len(brokers)} brokers, but topics.replication_factor is {wanted}. Start more, or set it lower."
        )
    return f"{len(brokers)} brokers"


async def _topics(settings: Settings) -> str:
    found = await find_differences(settings)
    if found:
        raise FatalError(f"{found[0].topic} {found[0].message}; {len(found)} in all. See `reprieve topics check`.")
    return f"as they have to be, under {settings.topics.prefix}"


async def _deployment(settings: Settings) -> str:
    found = await disagreements(settings)
    if found:
        raise FatalError(f"{found[0]} {len(found)} in all: `reprieve deployment show`.")
    return "as recorded, or not recorded yet"


async def _registry(settings: Settings) -> str:
    await asyncio.to_thread(codec_for(settings).prepare, subjects(settings))
    return f"has every schema, at {settings.registry.url}"


async def _redis(settings: Settings) -> str:
    from redis import Redis
    from redis.exceptions import NoPermissionError, RedisError

    from streams.views.keys import MEMORY, evicts

    def ask() -> tuple[int, str | None]:
        # A client that blocks closes its socket at once, where TLS in an event loop would outlive the loop.
        with Redis.from_url(**settings.redis.client_options()) as client:
            seconds: int = client.time()[0]
            try:
                return seconds, evicts(client.info(MEMORY))
            except NoPermissionError:
                return seconds, None

    try:
        seconds, why = await asyncio.to_thread(ask)
    except RedisError as error:
        raise FatalError(
            f"{type(error).__name__}: {error}. See to redis.url, redis.username, redis.password and redis.ca_file."
        ) from error
    skew = abs(seconds - time.time())
    if skew > _SKEW:
        raise FatalError(f"its clock and ours differ by {skew:.0f} s. Set both by NTP.")
    if why is not None:
        raise FatalError(why)
    return f"answers; its clock and ours differ by less than {_SKEW:.0f} s"
