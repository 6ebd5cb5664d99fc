# SPDX-License-Identifier: Apache-2.0
# Renews the locked requirements with the interpreter $1; run it with the oldest Python the project supports.
set -eu
python=$1
cd "$(dirname "$0")/.."
"$python" -m pip install --quiet --target build/pip-tools pip-tools
for name in requirements/dev requirements/py-consul files/kuutamod/requirements; do
    PYTHONPATH=build/pip-tools "$python" -m piptools compile --quiet --upgrade --generate-hashes --allow-unsafe \
        --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-options --no-header \
        --output-file "$name.lock" "$name.in"
done
