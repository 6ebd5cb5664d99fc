# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Runs a command with the tools of the environment $1, on the collections in $2, and with nothing of the user's own
# Ansible: ansible-env.sh build/ansible-2.19 build/collections ansible-lint ...
set -eu
bin=$(cd "$1/bin" && pwd)
collections=$(cd "$2" && pwd)
home=$(cd "$(dirname "$0")/.." && pwd)/build/home
shift 2
mkdir -p "$home"
: >"$home/ansible.cfg"
export HOME="$home" ANSIBLE_HOME="$home/.ansible" ANSIBLE_COLLECTIONS_PATH="$collections" ANSIBLE_NOCOLOR=1 NO_COLOR=1
export ANSIBLE_CONFIG="$home/ansible.cfg" PATH="$bin:/usr/local/bin:/usr/bin:/bin"
unset ANSIBLE_ROLES_PATH ANSIBLE_LIBRARY ANSIBLE_INVENTORY
exec "$@"
