#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# killed_at.sh WORDS COMMAND...: run the command, and kill it with all its processes as soon as it has printed the words.
# Prints what it printed, and ends with 137 if it was killed, with 3 if it came to an end before.
words=$1
shift
out=$(mktemp)
trap 'rm -f "$out"' EXIT
setsid "$@" > "$out" 2>&1 &
pid=$!
while ! grep -q "$words" "$out" && kill -0 "$pid" 2> /dev/null; do
  sleep 0.2
done
if kill -s KILL -- "-$pid" 2> /dev/null; then
  code=137
else
  code=3
fi
wait "$pid"
cat "$out"
exit "$code"
