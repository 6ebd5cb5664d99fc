# SPDX-License-Identifier: Apache-2.0
# Makes the project's virtual environment in $1 with the interpreter $2 (or the best one found), from the locked
# requirements. Needs Python 3.11 or newer and pip; works without Debian's python3-venv.
set -eu
target=$1
python=${2:-}
here=$(cd "$(dirname "$0")/.." && pwd)

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -z "$python" ]; then
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ] || ! new_enough "$python"; then
    echo "venv: Python 3.11 or newer is needed (found: $(python3 --version 2>&1 || true)); name one with make PYTHON=..." >&2
    exit 1
fi

rm -rf "$target"
if ! "$python" -m venv "$target" >/dev/null 2>&1; then
    # Debian keeps ensurepip in python3-venv; virtualenv carries its own pip.
    rm -rf "$target" "$here/build/virtualenv"
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        echo "venv: $python has neither venv nor pip: apt-get install python3-venv" >&2
        exit 1
    fi
    "$python" -m pip install --quiet --target "$here/build/virtualenv" virtualenv
    PYTHONPATH="$here/build/virtualenv" "$python" -m virtualenv --quiet "$target"
fi
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements/dev.lock"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    -e "$here/files/kuutamod" -e "$here/localnet/standin" -e "$here/localnet/network"
touch "$target/ready"
