# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Lays the checkout out as Ansible's tools want a collection, in $1/ansible_collections/kuutamo/near: what git tracks or
# would track, in a repository of its own. They refuse any other path, and judge leftovers as if they were ours.
set -eu
cd "$(dirname "$0")/.."
copy=$1/ansible_collections/kuutamo/near
rm -rf "$copy"
mkdir -p "$copy"
# A file that is deleted but still tracked is in both lists, so it falls out.
{
    git ls-files -z --deduplicate --cached --others --exclude-standard
    git ls-files -z --deleted
} | sort -z | uniq -z -u | tar --create --null --files-from=- | tar --extract --directory="$copy"
git -C "$copy" init --quiet
git -C "$copy" add --all
