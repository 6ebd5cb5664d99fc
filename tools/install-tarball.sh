# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Installs the tarball $1 into the empty directory $2, as a user would, and checks that Ansible finds what is in it.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
rm -rf "$2"
mkdir -p "$2"
ansible-galaxy collection install --offline --collections-path "$2" "$1"
ANSIBLE_COLLECTIONS_PATH=$(cd "$2" && pwd) python "$tools/check_installed.py" "$tools/.." "$2"
