"""The engines that are measured, and how each is started on one set of topics."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.jars import cache, fetched, jars_in, java
from streams.security.key_file import make

HERE = Path(__file__).parent
# What decoding, deciding and packing import, in the versions of our own lock.
_SHARED = ("msgspec", "fastavro", "holidays", "python-dateutil", "pyyaml", "tzdata", "babel", "fluent-runtime")


@dataclass(frozen=True)
class Run:
    """Where an engine runs once: fresh topics, a fresh group, an empty folder."""

    bootstrap: str
    prefix: str
    group: str
    folder: Path
    partitions: int

    def flags(self) -> list[str]:
        """Return them as the peers in Python take them."""
        return [
            *("--bootstrap", self.bootstrap, "--prefix", self.prefix, "--group", self.group),
            *("--state", str(self.folder / "state"), "--partitions", str(self.partitions)),
        ]


@dataclass(frozen=True)
class Engine:
    """An engine. `counts_itself`: it says how much it has processed, since it keeps no offsets in Kafka."""

    name: str
    guarantee: str
    command: Callable[[Run], Sequence[str]]
    counts_itself: bool = False


def _reprieve(run: Run) -> Sequence[str]:
    config, keys = run.folder / "reprieve.toml", run.folder / "master-keys.json"
    if not keys.exists():
        # An engine is started twice: for the loans, and for the payments.
        make(keys)
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{run.bootstrap}"\n'
        f'[topics]\nprefix = "{run.prefix}"\npartitions = {run.partitions}\n'
        f'[privacy]\nmaster_keys_file = "{keys}"\n'
        f'[worker]\napplication_id = "{run.group}"\ndata_dir = "{run.folder / "state"}"\nlog_level = "WARNING"\n',
        "utf-8",
    )
    return [sys.executable, "-m", "streams.cli", "worker", "--config", str(config)]


def _plain_faust(run: Run) -> Sequence[str]:
    return [sys.executable, "-m", "bench.peers.plain_faust", *run.flags()]


def _quix(run: Run) -> Sequence[str]:
    return [str(_python("quixstreams==3.28.0")), "-m", "bench.peers.quix", *run.flags()]


def _bytewax(run: Run) -> Sequence[str]:
    return [str(_python("bytewax[kafka]==0.21.1")), "-m", "bench.peers.bytewax_flow", *run.flags()]


def _kafka_streams(run: Run) -> Sequence[str]:
    path = jars_in(fetched(HERE / "streams" / "pom.xml", "Kafka Streams"))
    options = ["-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", path]
    return [java(), *options, str(HERE / "streams" / "Account.java"), *run.flags()[1:8:2]]


def _python(package: str) -> Path:
    """Return the Python of a venv with an engine in it: engines pin what other engines pin otherwise."""
    lock = (HERE.parents[1] / "requirements.lock").read_text("utf-8").splitlines()
    pinned = [line.split(" ")[0] for line in lock if line.split("==")[0] in _SHARED]
    wanted = [package, *pinned]
    folder = cache() / f"peer-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "done").touch()
    return python


ENGINES = (
    Engine("Reprieve", "exactly once", _reprieve),
    Engine("Faust", "at least once", _plain_faust),
    Engine("Quix Streams", "exactly once", _quix),
    Engine("Bytewax", "at least once", _bytewax, counts_itself=True),
    Engine("Kafka Streams, without the rules", "exactly once", _kafka_streams),
)


def environment() -> dict[str, str]:
    """Return the environment of a peer, which finds our packages in this folder's root."""
    return {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
