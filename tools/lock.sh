# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Renews the locked requirements, each with the oldest Python that it is for: $1 for what runs on every Python that the
# project supports, and a Python 3.12 or newer for ansible-core 2.21, whose lock stays as it is where there is none.
set -eu
python=$1
cd "$(dirname "$0")/.."

renew() {
    python=$1
    shift
    tools=build/pip-tools-$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
    "$python" -m pip install --quiet --upgrade --target "$tools" pip-tools
    for name in "$@"; do
        PYTHONPATH=$tools "$python" -m piptools compile --quiet --upgrade --generate-hashes --allow-unsafe \
            --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-options --no-header \
            --output-file "$name.lock" "$name.in"
    done
}

renew "$python" requirements/dev requirements/py-consul requirements/ansible-2.19 files/kuutamod/requirements
if newer=$(sh tools/find-python.sh 12 12) || newer=$(sh tools/find-python.sh 12 14); then
    renew "$newer" requirements/ansible-2.21
else
    echo "lock: requirements/ansible-2.21.lock stays as it is: there is no Python 3.12 or newer here" >&2
fi
