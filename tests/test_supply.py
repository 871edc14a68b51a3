"""What is locked, under which licences, and what a release is made of; each check shown to find what it is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.supply import LOCKS, licences, npm_faults, pom_faults, requirements, sbom, verdict

GOOD = "a==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via b\n"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_lock_line_is_one_version_with_its_hashes(repository: Path, lock: str) -> None:
    text = (repository / lock).read_text("utf-8")
    assert len(requirements(text)) > 50
    assert "://" not in text


def test_what_is_used_is_what_is_used_in_development_too(repository: Path) -> None:
    used, developed = (requirements((repository / lock).read_text("utf-8")) for lock in LOCKS)
    assert used.items() <= developed.items()


@pytest.mark.parametrize(
    "line",
    [
        "a==1.0\n",
        "a>=1.0 --hash=sha256:" + "0" * 64,
        "a==1.0 --hash=md5:" + "0" * 32,
        "a==1.0 --hash=sha256:" + "0" * 63,
        "--index-url https://index.example/simple\n",
        "--extra-index-url=https://index.example/simple\n",
        "--find-links https://index.example\n",
        "-e .\n",
        "a @ https://index.example/a.whl --hash=sha256:" + "0" * 64,
        "a==1.0 ; python_version > '3' --index-url https://index.example --hash=sha256:" + "0" * 64,
    ],
)
def test_a_line_that_is_not_locked_is_found(line: str) -> None:
    assert requirements(GOOD) == {"a": "1.0"}
    with pytest.raises(ValueError, match="no version with hashes alone"):
        requirements(GOOD + line)


def test_packages_of_node_and_of_maven_are_pinned_too(repository: Path) -> None:
    lock = (repository / "tests/node/package-lock.json").read_text("utf-8")
    assert npm_faults(lock) == []
    assert len(json.loads(lock)["packages"]) > 3
    assert npm_faults(
        '{"packages": {"": {}, "x": {"version": "1"}, "y": {"integrity": "sha512-a", "resolved": "z"}}}'
    ) == [
        "x",
        "y",
    ]
    named = json.loads((repository / "tests/node/package.json").read_text("utf-8"))["dependencies"]
    assert all(version[0].isdigit() for version in named.values())
    poms = sorted((repository / "deploy").rglob("*pom.xml"))
    assert poms
    for pom in poms:
        assert pom_faults(pom.read_text("utf-8")) == [], pom.name
        for open_version in ("LATEST", "[1.0,2.0)", "1.0-SNAPSHOT", "${v}", ""):
            one = poms[0].read_text("utf-8").replace("<version>4.1.2</version>", f"<version>{open_version}</version>")
            assert pom_faults(one), open_version


def test_every_package_in_use_has_an_allowed_licence(repository: Path) -> None:
    found = licences(requirements((repository / "requirements.lock").read_text("utf-8")))
    assert len(found) > 50
    assert {name: told for name, told in found.items() if told[1] == "not allowed"} == {}
    assert {name for name, told in found.items() if told[1] == "weak copyleft"} <= {"certifi"}


@pytest.mark.parametrize(
    ("stated", "means"),
    [
        ("MIT", "permissive"),
        ("Apache-2.0 AND MIT", "permissive"),
        ("GPL-3.0-only OR MIT", "permissive"),
        ("MIT AND GPL-3.0-only", "not allowed"),
        ("GNU General Public License v3 (GPLv3)", "not allowed"),
        ("AGPL-3.0-or-later", "not allowed"),
        ("", "not allowed"),
        ("MPL-2.0", "weak copyleft"),
        ("MPL-2.0 AND MIT", "weak copyleft"),
    ],
)
def test_a_licence_means_what_its_best_way_means(stated: str, means: str) -> None:
    assert verdict(stated) == means


def test_the_bill_of_materials_is_whole_and_reproducible(repository: Path, tmp_path: Path) -> None:
    assert sbom(tmp_path / "whole") == 0
    made = json.loads((tmp_path / "whole").read_text("utf-8"))
    listed = {c["name"].lower(): c["version"] for c in made["components"]}
    assert listed == requirements((repository / "requirements.lock").read_text("utf-8"))
    assert made["metadata"]["component"]["name"] == "reprieve"
    # Nothing in it is of the moment, or by chance: so the same lock gives the same bytes.
    assert "serialNumber" not in made
    assert "timestamp" not in made["metadata"]


def test_what_bandit_and_detect_secrets_are_for_they_find(repository: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import subprocess\nsubprocess.run('ls', shell=True)\n")
    command = [sys.executable, "-m", "bandit", "-q", "-c", str(repository / "pyproject.toml"), str(bad)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    bad.write_text("key = '" + "AKIA" + "IOSFODNN7EXAMPLE" + "'\n")
    command = [sys.executable, "-m", "detect_secrets.pre_commit_hook", str(bad)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_what_is_known_of_secrets_was_looked_at(repository: Path) -> None:
    known = json.loads((repository / ".secrets.baseline").read_text("utf-8"))["results"]
    for file, found in known.items():
        # Passwords of tests, hashes in documents that are made, and names of Kubernetes' secrets.
        assert file.startswith(("tests/", "docs/", "deploy/kubernetes/")), file
        assert all(one["is_secret"] is False for one in found), file
