# Goal: one socket has one daemon; a socket that nobody listens on is taken
# over; a file that isn't a socket is left alone.
. "$(dirname "$0")/lib.sh"
start
second=0
"$vmemd" --socket "$VMEMD_SOCKET" >"$out" 2>&1 || second=$?
equal 1 "$second" "exit code of the second daemon"
grep -q "$VMEMD_SOCKET" "$out" || fail "it doesn't name the socket"
expect 0 '' ctl ping
stop
[ ! -e "$VMEMD_SOCKET" ] || fail "the socket is left behind"

start
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || :
daemon=
[ -S "$VMEMD_SOCKET" ] || fail "no stale socket to take over"
expect 4 '' ctl ping
start
expect 0 '' ctl ping
equal 660 "$(stat -c %a "$VMEMD_SOCKET")" "mode of the socket"
stop

echo precious >"$VMEMD_SOCKET"
second=0
"$vmemd" --socket "$VMEMD_SOCKET" >"$out" 2>&1 || second=$?
equal 1 "$second" "exit code with a file in the way"
equal precious "$(cat "$VMEMD_SOCKET")" "the file in the way"
rm "$VMEMD_SOCKET"
finish
