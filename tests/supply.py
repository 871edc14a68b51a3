"""The supply chain: what is locked, under which licences, what is known to be at fault in it, and a list of it all.

`python -m tests.supply scan` works offline; `audit` asks the vulnerability service of the package index; `sbom FILE`
writes a CycloneDX list of what is locked.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # nosec B405

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[A-Za-z0-9,._-]*\])?==([^\s;]+)(?:\s*;[^-]*)?")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_PERMISSIVE = (
    "MIT",
    "MIT-0",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "3-Clause BSD License",
    "Apache-2.0",
    "Apache Software License",
    "MIT License",
    "BSD License",
    "PSF-2.0",
    "Python Software Foundation License",
    # Of venusian: BSD with a clause on the name.
    "Repoze Public License",
)
# Changes to their own files must be passed on; what uses them is free.
WEAK_COPYLEFT = ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0")


def requirements(lock: str) -> dict[str, str]:
    """Return the version of each package of a lock file. Raises ValueError that names a line that is not locked."""
    found = {}
    joined = re.sub(r"\\\n\s*", " ", lock)
    for line in joined.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        head, *hashes = re.split(r"\s+--hash=", line.strip())
        match = _REQUIREMENT.fullmatch(head)
        if match is None or not hashes or not all(map(_HASH.fullmatch, hashes)):
            raise ValueError(f"{line.strip()[:60]!r} is no version with hashes alone")
        found[match[1].lower()] = match[2]
    return found


def npm_faults(lock: str) -> list[str]:
    """Return the packages of an npm lock that are not pinned by a hash, or name where they come from."""
    packages = json.loads(lock)["packages"]
    return [
        name
        for name, package in packages.items()
        if name and (not package.get("integrity", "").startswith("sha512-") or "resolved" in package)
    ]


def pom_faults(pom: str) -> list[str]:
    """Return the dependencies of a Maven project whose version is not one version."""
    # Ours, from this folder: no document of a stranger.
    tree = ElementTree.fromstring(pom)  # nosec B314
    namespace = {"m": "http://maven.apache.org/POM/4.0.0"}
    faults = []
    for one in tree.iterfind(".//m:dependency", namespace):
        version = one.findtext("m:version", "", namespace)
        if not re.fullmatch(r"[0-9][A-Za-z0-9.\-]*", version) or version.endswith("SNAPSHOT"):
            faults.append(one.findtext("m:artifactId", "", namespace))
    return faults


def licence(name: str) -> str | None:
    """Return the licence that an installed package states, None where it is not installed."""
    try:
        told: Any = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    if told.get("License-Expression"):
        return str(told["License-Expression"])
    classes = [c.rpartition(" :: ")[2] for c in told.get_all("Classifier") or [] if c.startswith("License :: ")]
    return " OR ".join(classes) or str(told.get("License", "")).strip()


def verdict(stated: str) -> str:
    """Return what a licence means for us: `permissive`, `weak copyleft` or `not allowed`."""
    # Of alternatives one is enough; of parts each counts.
    worst_of_best = "not allowed"
    for way in re.split(r" OR ", stated):
        parts = [part.strip(" ") for part in way.split(" AND ")]
        if all(part in _PERMISSIVE for part in parts):
            return "permissive"
        if all(part in _PERMISSIVE + WEAK_COPYLEFT for part in parts):
            worst_of_best = "weak copyleft"
    return worst_of_best


def licences(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the stated licence and the verdict of each installed package."""
    stated = {name: licence(name) for name in names}
    return {name: (told, verdict(told)) for name, told in stated.items() if told is not None}


def scan() -> int:
    """Check all that can be checked offline, and say what is at fault; returns the exit code."""
    faults = []
    for lock in LOCKS:
        try:
            requirements((ROOT / lock).read_text("utf-8"))
        except ValueError as error:
            faults.append(f"{lock}: {error}. Make it anew: make lock.")
    faults += [f"tests/node/package-lock.json: {name}" for name in npm_faults(_text("tests/node/package-lock.json"))]
    poms = [
        p for p in ROOT.rglob("*pom.xml") if not set(p.relative_to(ROOT).parts) & {".venv", "node_modules", "build"}
    ]
    faults += [f"{pom.relative_to(ROOT)}: {name}" for pom in poms for name in pom_faults(pom.read_text("utf-8"))]
    for name, (stated, means) in sorted(licences(requirements(_text("requirements.lock"))).items()):
        if means == "weak copyleft":
            print(f"{name}: {stated}: weak copyleft, used unchanged")
        elif means != "permissive":
            faults.append(f"{name}: the licence {stated!r} is not among those allowed (tests/supply.py)")
    faults += [
        f"{what} finds something" for what, found in (("bandit", _bandit()), ("detect-secrets", _secrets())) if found
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    print("The supply chain has faults." if faults else "Locks, licences, code and secrets are as they have to be.")
    return 1 if faults else 0


def _bandit() -> int:
    folders = (
        "agents",
        "state",
        "schemas",
        "streams",
        "console",
        "deploy",
        "simulator",
        "evaluation",
        "bench",
        "tests/chaos",
        "tests/real_data",
        "tests/support",
    )
    here = [folder for folder in folders if (ROOT / folder).is_dir()]
    return _run("-m", "bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", *here)


def _secrets() -> int:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # nosec B607
    if listed.returncode:
        print("git does not list files here; secrets are not looked for", file=sys.stderr)
        return 0
    # A file that was deleted is listed until that is committed.
    files = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    found = _run("-m", "detect_secrets.pre_commit_hook", "--baseline", ".secrets.baseline", *files)
    # 3: what is known stands on other lines now.
    return 0 if found == 3 else found


def audit() -> int:
    """Ask which locked packages are known to be at fault; 1 where any is, or where nobody answers for one."""
    given = ["--strict", "--require-hashes", "--disable-pip", "--progress-spinner", "off", "-r", "requirements.lock"]
    asked = subprocess.run(
        [sys.executable, "-m", "pip_audit", *given], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(asked.stdout, end="")
    if "error" in asked.stderr.lower():
        # Without --strict it would say that nothing is known to be at fault.
        print(asked.stderr.strip().splitlines()[-1], file=sys.stderr)
        print(
            "NOT AUDITED: the vulnerability service does not answer for these packages. Run it where pypi.org can be "
            "reached.",
            file=sys.stderr,
        )
        return 1
    return asked.returncode


def sbom(file: Path) -> int:
    """Write a list of all that is locked: names, versions, hashes. The same lock gives the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    given = ["--pyproject", "pyproject.toml", "--output-reproducible", "--of", "JSON", "-o", str(file.resolve())]
    return _run("-W", "ignore", "-m", "cyclonedx_py", "requirements", LOCKS[0], *given)


def _run(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def main(arguments: list[str]) -> int:
    """Do what is asked for; returns the exit code."""
    asked: dict[str, Callable[[], int]] = {"scan": scan, "audit": audit}
    if len(arguments) == 1 and arguments[0] in asked:
        return asked[arguments[0]]()
    if len(arguments) == 2 and arguments[0] == "sbom":
        return sbom(Path(arguments[1]))
    print("python -m tests.supply scan | audit | sbom FILE", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
