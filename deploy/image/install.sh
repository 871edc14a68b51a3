#!/bin/sh
# Installs Reprieve into a folder of its own. The container file runs this, and so does tests/kafka/test_image.py.
# `install.sh packages PREFIX` takes what is locked, by its hashes, compiling nothing; `install.sh ours PREFIX` takes the
# source of the current folder, and leaves no build tool behind.
set -eu
step=$1
prefix=$2

into() { python3 -m pip --quiet --disable-pip-version-check --no-input --python "$prefix/bin/python" "$@"; }

case $step in
packages)
    python3 -m venv --without-pip "$prefix"
    into install --no-cache-dir --only-binary :all: --require-hashes --requirement requirements.lock
    ;;
ours)
    into install --no-cache-dir --no-deps --no-build-isolation .
    into uninstall --yes setuptools wheel
    into check
    ;;
*)
    echo "install.sh: there is no step $step; say packages or ours" >&2
    exit 2
    ;;
esac
