"""The image: built by its own steps from what its context has, and run as an orchestrator would run it.

There is no container engine here; `box.py` says what stands for one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from deploy.local.processes import free_port, is_listening
from deploy.local.redis import RedisServer
from simulator.runs import simulate
from tests.support.sandbox import USER, Box, signalled
from tests.support.worker_cluster import WorkerCluster

# The image is built within the first test's time.
pytestmark = pytest.mark.timeout(1_800)

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "image" / "Containerfile"
NOWHERE = {"HOME": "/nonexistent"}


def instructions() -> list[tuple[str, str]]:
    """Return the container file's instructions and what they say."""
    text = re.sub(r"^#.*\n", "", FILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [(word, re.sub(r"\s+", " ", rest.strip())) for word, _, rest in pairs]


def let_through() -> set[str]:
    """Return what .dockerignore lets into the build."""
    return set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))


def environment() -> dict[str, str]:
    """Return what the image sets, beside a home that is not there."""
    (said,) = [rest for word, rest in instructions() if word == "ENV" and "REPRIEVE" in rest]
    return NOWHERE | dict(part.split("=", 1) for part in said.split())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build what the image has in /opt/reprieve, by the steps of its container file."""
    folder = tmp_path_factory.mktemp("image")
    source, prefix = folder / "source", folder / "prefix"
    for made in (source, prefix):
        made.mkdir()
    for name in let_through():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, source)
    box = Box(folder / "root", writable={"/source": source, "/opt/reprieve": prefix}, readable={}, user=None)
    # How this machine's pip reaches its packages; the rest is the base image's.
    given = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_")) or k.lower().endswith("_proxy")}
    given |= NOWHERE | {"PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin", "PIP_ROOT_USER_ACTION": "ignore"}
    steps = [rest for word, rest in instructions() if word == "RUN" and "/opt/reprieve" in rest]
    assert [step.split()[-2:] for step in steps] == [["packages", "/opt/reprieve"], ["ours", "/opt/reprieve"]]
    for step in steps:
        *_, what, where = step.split()
        code, said = box.run("sh", "deploy/image/install.sh", what, where, environment=given, patience=900)
        assert code == 0, said
    return prefix


@pytest.fixture
def box(image: Path, tmp_path: Path) -> Box:
    """A container of the image: everything read-only but /data and /tmp."""
    return boxed(image, tmp_path / "box")


def boxed(image: Path, folder: Path) -> Box:
    """Return a container with a data folder of its own."""
    data = folder / "data"
    data.mkdir(parents=True)
    os.chown(data, USER, USER)
    return Box(folder / "root", writable={"/data": data}, readable={"/opt/reprieve": image})


@contextmanager
def running(box: Box, log: Path, *command: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command as process 1 of a container, and end it with the block."""
    with log.open("wb") as out:
        process = box.start(*command, environment=environment() | settings, log=out)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def settings_of(workers: WorkerCluster) -> Mapping[str, str]:
    """Return a workers's settings as variables; no key is at hand by which personal data would be sealed."""
    return {
        "REPRIEVE_PRIVACY__MODE": "off",
        "REPRIEVE_KAFKA__BOOTSTRAP_SERVERS": workers.bootstrap,
        "REPRIEVE_TOPICS__PREFIX": workers.prefix,
        "REPRIEVE_TOPICS__PARTITIONS": str(workers.partitions),
        "REPRIEVE_WORKER__APPLICATION_ID": workers.group,
        "REPRIEVE_WORKER__SESSION_TIMEOUT_SECONDS": "3",
    }


def test_the_container_file_is_as_hadolint_wants_it() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not here")
    found = subprocess.run([program, str(FILE)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_it_has_a_user_and_all_our_packages_with_its_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    said = instructions()
    assert ("USER", f"{USER}:{USER}") in said
    assert ("ENTRYPOINT", '["reprieve"]') in said
    assert ("ARG", f"VERSION={project['project']['version']}") in said
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= let_through()
    (base,) = {rest.partition("=")[2] for word, rest in said if word == "ARG" and rest.startswith("BASE=")}
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)


def test_unprivileged_and_read_only_it_shows_the_whole_loop(box: Box, image: Path) -> None:
    code, said = box.run("reprieve", "--version", environment=environment())
    assert (code, said) == (0, f"reprieve, version {version('reprieve')}\n")
    days = ("--history", "120", "--days", "20", "--accounts", "60", "--exit")
    code, said = box.run("reprieve", "demo", *days, environment=environment(), patience=480)
    assert code == 0, said
    assert "One borrower's story" in said
    code, said = box.run("sh", "-c", "touch /opt/reprieve/x /etc/x /x; id -u; id -g", environment=environment())
    assert said.count("Read-only file system") == 3
    assert said.endswith(f"{USER}\n{USER}\n")


def test_no_build_tool_is_left_in_it(box: Box) -> None:
    for name in ("pip", "setuptools", "wheel"):
        code, said = box.run("/opt/reprieve/bin/python", "-c", f"import {name}", environment=environment())
        assert (code, "ModuleNotFoundError" in said) == (1, True), said


def test_the_page_ends_in_order_when_its_container_is_stopped(box: Box, tmp_path: Path) -> None:
    port = free_port()
    script = "reprieve simulate --accounts 5 --days 40 --seed 1 --output events.jsonl && reprieve publish events.jsonl"
    code, said = box.run("sh", "-c", script, environment=environment())
    assert code == 0, said
    log = tmp_path / "log"
    with running(box, log, "reprieve", "console", "--port", str(port)) as process:
        until = time.monotonic() + 30
        while not is_listening(port):
            assert time.monotonic() < until, log.read_text("utf-8")
            time.sleep(0.05)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
            assert answer.status == 200
        assert signalled(process, signal.SIGTERM) == 0, log.read_text("utf-8")


def test_a_worker_and_the_views_work_in_it_and_end_in_order(
    image: Path, workers: WorkerCluster, tmp_path: Path
) -> None:
    events = list(simulate(accounts=10, days=12, seed=3, start=date(2026, 1, 5), close_every=4))
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not here")
    worker, views = tmp_path / "worker.log", tmp_path / "views.log"
    with RedisServer(tmp_path / "redis") as redis:
        settings = {**settings_of(workers), "REPRIEVE_REDIS__URL": redis.url}
        with (
            running(boxed(image, tmp_path / "1"), worker, "reprieve", "worker", **settings) as one,
            running(boxed(image, tmp_path / "2"), views, "reprieve", "views", "run", **settings) as two,
        ):
            workers.publish(events)
            workers.wait_until_idle()
            assert one.poll() is None, worker.read_text("utf-8")
            assert signalled(one, signal.SIGTERM) == 0, worker.read_text("utf-8")
            assert signalled(two, signal.SIGTERM) == 0, views.read_text("utf-8")
    workers.assert_exact(events)
