# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Prints the first Python 3 whose minor version is $1 to $2: on PATH, else pyenv's. With $3, only that one will do.
# Ends with status 3 and prints nothing where there is none.
set -eu
oldest=$1
newest=$2
python=${3:-}

fits() {
    "$1" -c "import sys; sys.exit(not (3, $oldest) <= sys.version_info[:2] <= (3, $newest))" 2>/dev/null
}

candidates=python3
minor=$newest
while [ "$minor" -ge "$oldest" ]; do
    candidates="$candidates python3.$minor"
    for installed in "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor."*/bin/python; do
        candidates="$candidates $installed"
    done
    minor=$((minor - 1))
done

for candidate in ${python:-$candidates}; do
    if command -v "$candidate" >/dev/null && fits "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done
exit 3
