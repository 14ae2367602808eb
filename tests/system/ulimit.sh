# Goal: where the reservation can't be had, the daemon doesn't start, and names
# the option that makes it smaller; with that it starts.
# shellcheck disable=SC3045  # every shell of Debian has ulimit -v
. "$(dirname "$0")/lib.sh"
need jq
nm -D "$vmemd" 2>/dev/null | grep -qE '__(asan|tsan)_init' &&
	skip "a sanitizer's shadow needs all of the address space"
got=0
(
	ulimit -v 8000000
	exec timeout 60 "$vmemd" --socket "$VMEMD_SOCKET"
) >"$out" 2>"$err" </dev/null || got=$?
equal 1 "$got" "exit code under ulimit -v"
grep -q -- '--va-size' "$err" || fail "--va-size isn't named: $(cat "$err")"

ulimit -v 8000000
start --va-size 1G --frames 64M --swap-size 64M --wired 64M
ulimit -v unlimited 2>/dev/null || :
equal 805306368 "$(json .size arena info heap)" "3/4 of 1G"
A=$(ctl alloc 1M)
expect 0 '' ctl fill "$A"
expect 0 '' ctl verify "$A"
finish
