"""What runs on Java, fetched by Maven once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from schemas.errors import FatalError

OTHERWISE = "or run `docker compose up -d` where Docker is at hand"


def cache() -> Path:
    """Return the folder for what is fetched once: REPRIEVE_CACHE, or ~/.cache/reprieve."""
    return Path(os.environ.get("REPRIEVE_CACHE") or Path.home() / ".cache" / "reprieve")


def java() -> str:
    """Return the Java to run. Raises FatalError where there is none."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        raise FatalError(
            f"Java is missing. Install Java 17 or newer (Debian: apt-get install default-jre), {OTHERWISE}."
        )
    return found


def classpath() -> str:
    """Return the class path of Apache Kafka, fetched where it is not there.

    Raises FatalError where it cannot be had.
    """
    return jars_in(fetched(Path(__file__).with_name("kafka-pom.xml"), "Apache Kafka"))


def jars_in(folder: Path) -> str:
    """Return the class path of all jars in a folder."""
    return os.pathsep.join(str(jar) for jar in sorted(folder.glob("*.jar")))


def fetched(pom: Path, what: str) -> Path:
    """Return the folder with what a pom depends on, archives unpacked, fetched where it is not there.

    Raises FatalError, which names it by `what`, where it cannot be had.
    """
    folder = cache() / f"{pom.parent.name}-{pom.stem}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:16]}"
    done = folder / "jars"
    if not done.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            # Several test processes may want them at once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.is_dir():
                _fetch(pom, what, folder, done)
    return done


def _fetch(source: Path, what: str, folder: Path, done: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise FatalError(f"Maven is missing. Install it (Debian: apt-get install maven), {OTHERWISE}.")
    pom = folder / "pom.xml"
    shutil.copyfile(source, pom)
    fresh = folder / "fetching"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        last = (made.stdout + made.stderr).strip().splitlines()[-1:] or ["no reason given"]
        raise FatalError(f"Maven could not fetch {what}: {last[0]}. See to its network and settings, {OTHERWISE}.")
    for archive in fresh.glob("*.tar.gz"):
        with tarfile.open(archive) as packed:
            packed.extractall(fresh, filter="data")
        archive.unlink()
    fresh.rename(done)
