"""The compiled readers, built from this tree beside what is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> None:
    """Build them below a folder. Raises CalledProcessError with what the compiler said."""
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(folder), "--build-temp", f"{folder}/o"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"REPRIEVE_COMPILED": "1"}, check=True, timeout=280)


def load(folder: Path, name: str) -> ModuleType:
    """Return a module that was built below a folder, by its full name; the one that is installed stays what it is."""
    (file,) = folder.glob(f"{name.replace('.', '/')}.*.so")
    loader = ExtensionFileLoader(name, str(file))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
