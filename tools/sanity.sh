# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Runs all sanity tests of the ansible-test in the environment $1 on a fresh copy of the collection under $2.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
sh "$tools/collection.sh" "$2"
bin=$(cd "$1/bin" && pwd)
home=$tools/../build/ansible-test
"$bin/python" "$tools/ansible_test_home.py" "$home"
home=$(cd "$home" && pwd)
fetched=$(cd "$tools/../build" && pwd)/tools/usr/bin
cd "$2/ansible_collections/kuutamo/near"
# Python's own directory comes first, and pyenv's shims not at all: they answer for versions that they can't run.
HOME=$home PATH=$bin:$fetched:/usr/local/bin:/usr/bin:/bin ansible-test sanity --local --requirements --color no
