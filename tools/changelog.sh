# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Checks the fragments and the changelog of the collection in $1, and that CHANGELOG.rst is what is generated from it.
set -eu
cd "$1"
antsibull-changelog lint
antsibull-changelog lint-changelog-yaml --strict changelogs/changelog.yaml
cp CHANGELOG.rst CHANGELOG.was
antsibull-changelog generate
diff -u CHANGELOG.was CHANGELOG.rst
rm CHANGELOG.was
