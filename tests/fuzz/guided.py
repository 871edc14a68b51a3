"""Coverage-guided fuzzing of one target, in a process of its own: `python -m tests.fuzz.guided TARGET FOLDER SECONDS`.

Atheris watches which lines an input reaches and keeps those that reach new ones. A finding is written to
`FOLDER/findings` once and the search goes on; one that hangs or eats the memory ends the process, and libFuzzer
leaves the input beside them.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["schemas", "state", "agents", "streams", "console", "tests.fuzz"]):
    from tests.fuzz.invariants import MOST_BYTES, bounded, named
    from tests.fuzz.targets import TARGETS


def search(name: str, folder: Path, seconds: int) -> None:
    """Search for findings; does not return, since libFuzzer ends the process."""
    target = TARGETS[name]
    corpus, findings = folder / "corpus", folder / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    for seed in target.seeds():
        (corpus / f"seed-{hashlib.sha256(seed).hexdigest()[:16]}").write_bytes(seed)
    seen = {file.read_text().partition("\n")[0] for file in findings.glob("*.txt")}

    def attempt(data: bytes) -> None:
        try:
            with bounded():
                target.attempt(data)
        except Exception as error:
            what = named(error)
            if what not in seen:
                seen.add(what)
                stem = findings / hashlib.sha256(what.encode()).hexdigest()[:12]
                stem.with_suffix(".bin").write_bytes(data)
                stem.with_suffix(".txt").write_text(what + "\n" + traceback.format_exc())

    flags = [f"-max_total_time={seconds}", "-timeout=30", "-rss_limit_mb=1500", f"-max_len={MOST_BYTES}"]
    flags += [f"-artifact_prefix={findings}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    search(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
