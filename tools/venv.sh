# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Makes a virtual environment in $1 from the locked requirements $2 with a Python 3.$3 to 3.$4 (or with the interpreter
# $5). Needs pip; works without Debian's python3-venv. Ends with status 3 where there is no such interpreter.
set -eu
target=$1
lock=$2
oldest=$3
newest=$4
tools=$(cd "$(dirname "$0")" && pwd)

if ! python=$(sh "$tools/find-python.sh" "$oldest" "$newest" "${5:-}"); then
    echo "venv: $target needs Python 3.$oldest to 3.$newest (found: ${5:-$(python3 --version 2>&1 || true)})" >&2
    exit 3
fi

rm -rf "$target"
if ! "$python" -m venv "$target" >/dev/null 2>&1; then
    # Debian keeps ensurepip in python3-venv; virtualenv carries its own pip.
    virtualenv=$tools/../build/virtualenv
    rm -rf "$target" "$virtualenv"
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        echo "venv: $python has neither venv nor pip: apt-get install python3-venv" >&2
        exit 1
    fi
    "$python" -m pip install --quiet --target "$virtualenv" virtualenv
    PYTHONPATH="$virtualenv" "$python" -m virtualenv --quiet "$target"
fi
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
