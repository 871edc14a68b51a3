"""What all tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support import compiled_readers as compiled

IN_CI = os.environ.get("CI") == "true"

# A broker that lives for a minute is not worth what the JVM's second compiler takes: a third of its time on two cores.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
# Programs are started hundreds of times: without bytecode that is kept, each start compiles all modules of ours.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI, where every part that a test needs can be had."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {call.excinfo.value if call.excinfo else ''}"
    return report


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the source tree."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def compiled_readers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder below which the compiled readers of this tree were built."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler (cc)")
    folder = tmp_path_factory.mktemp("compiled")
    compiled.build(folder)
    return folder


@pytest.fixture(scope="session")
def node(repository: Path) -> Path:
    """Return the folder of checks that run on Node, with their packages installed as locked."""
    folder = repository / "tests" / "node"
    if shutil.which("npm") is None:
        pytest.skip("npm is not here")
    with (folder / ".lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        installed, lock = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=folder, check=True, timeout=240)
    return folder


@pytest.fixture(scope="session")
def go_programs(repository: Path) -> Path:
    """Return the folder of checks that are written in Go, with others' own code, built from locked modules."""
    folder = repository / "tests" / "go"
    if shutil.which("go") is None:
        pytest.skip("Go is not here")
    with (folder / ".lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        got = subprocess.run(["go", "mod", "download"], cwd=folder, capture_output=True, text=True, check=False)
        if got.returncode:
            pytest.skip(f"Go's modules cannot be had: {got.stderr.strip()}")
        # Go's own cache keeps what was built before.
        subprocess.run(["go", "build", "-o", "built/", "./..."], cwd=folder, check=True, timeout=280)
    return folder / "built"


# For one file: as long as it is open, its event loop is that of the thread, and nothing else can run one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield a real Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium")
    # Of a page, in milliseconds: as long as it may take on a machine that does much else.
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="session")
def axe(node: Path) -> Callable[[Page], list[object]]:
    """Return what asks axe for the faults of a page, by their ids and where they are."""
    script = (node / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")

    def faults(page: Page) -> list[object]:
        # Through the debugger: a page's own policy forbids scripts from elsewhere.
        page.evaluate(script)
        asked = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html).slice(0, 3)]))"
        found: list[object] = page.evaluate(asked)
        return found

    return faults
