"""The optional compiled readers: `REPRIEVE_COMPILED=1 pip wheel .` builds them with Cython and a C compiler.

Without them the wheel is pure Python, which always works: Avro is read by a twin in Python, records by aiokafka's own
reader, and each payment becomes an event before it is judged. The same tests hold for both (`make compiled`). To build
them in a tree that is worked in: `REPRIEVE_COMPILED=1 python setup.py build_ext --inplace`.
"""

import os

from setuptools import Extension, setup

READERS = ("schemas.avro_reader", "streams.kafka.record_reader", "agents.account.payment_reader")

extensions = []
if os.environ.get("REPRIEVE_COMPILED"):
    from Cython.Build import cythonize

    found = [Extension(name, [f"{name.replace('.', '/')}.pyx"]) for name in READERS]
    extensions = cythonize(found, build_dir="build/cython")

setup(ext_modules=extensions)
