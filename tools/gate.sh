# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Runs the gate named $1, the command that follows: one line when it passes, and all that it said when it doesn't.
set -eu
name=$1
shift
mkdir -p build/gates
said=build/gates/$(printf '%s' "$name" | tr -c 'a-zA-Z0-9.' '-').log
begun=$(date +%s)
if "$@" >"$said" 2>&1; then
    echo "gate: $name: passed in $(($(date +%s) - begun)) s"
else
    cat "$said"
    echo "gate: $name: FAILED" >&2
    exit 1
fi
