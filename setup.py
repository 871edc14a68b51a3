"""The optional compiled core: `REPRIEVE_COMPILED=1 pip wheel .` builds the deciding modules with Cython and a compiler.

Without it the wheel is pure Python, which always works; both are the same code and pass the same tests
(`make compiled`). REPRIEVE_COMPILED may also name modules, separated by commas.
"""

import os
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
# What decides, and is called for every event. msgspec's Structs, which the states are, are compiled already.
CORE = (
    "agents/**/*.py",
    "state/affordability.py",
    "state/calendars.py",
    "state/contact_rules.py",
    "state/delinquency.py",
    "state/ledger.py",
    "state/schedules.py",
    "streams/engine/agent_store.py",
)

wanted = os.environ.get("REPRIEVE_COMPILED", "")
extensions = []
if wanted:
    from Cython.Build import cythonize

    patterns = CORE if wanted == "1" else wanted.split(",")
    found = {str(f.relative_to(HERE)) for pattern in patterns for f in HERE.glob(pattern) if f.name != "__init__.py"}
    extensions = cythonize(
        sorted(found),
        nthreads=os.cpu_count() or 1,
        language_level=3,
        build_dir="build/cython",
        # Annotations are for mypy: a value that is not what they say must fail as it does in Python.
        compiler_directives={"annotation_typing": False, "binding": True},
    )

setup(ext_modules=extensions, options={"build_ext": {"parallel": os.cpu_count() or 1}})
