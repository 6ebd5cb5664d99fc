# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Runs Molecule's scenarios with ansible-core $1 on the collection installed from its tarball: all of them, or those named.
set -eu
core=$1
shift
cd "$(dirname "$0")/.."
here=$(pwd)
collections=$here/build/installed-$core
test -e "$collections/ansible_collections/kuutamo/near" || {
    echo "molecule: the collection is not in $collections: run make gate-tarball" >&2
    exit 1
}
scenarios=--all
if [ $# -gt 0 ]; then
    scenarios=$(printf -- '--scenario-name %s ' "$@")
fi
export PATH="$here/build/ansible-$core/bin:$PATH" ANSIBLE_HOME="$here/build/home/.ansible"
export ANSIBLE_COLLECTIONS_PATH="$collections" NO_COLOR=1 ANSIBLE_NOCOLOR=1
export KUUTAMO_FLEET="$here/.venv/bin/kuutamo-fleet" KUUTAMO_MOLECULE_FLEET="${KUUTAMO_MOLECULE_FLEET:-molecule-$core}"
# shellcheck disable=SC2086 # several words
exec molecule test $scenarios --no-command-borders
