# Goal: SIGTERM, SIGINT and `shutdown` drain: a waiting request is answered, the
# socket is gone, the exit code is 0.
. "$(dirname "$0")/lib.sh"
need jq
for how in TERM INT shutdown; do
	start
	expect 0 '' ctl arena create lab --size 64K
	ctl alloc 64K --arena lab >/dev/null
	waiting=0
	"$vmemctl" alloc 64K --arena lab --sleep-ms -1 >"$work/wait.out" \
	    2>"$work/wait.err" &
	waiter=$!
	background="$background $waiter"
	queued()
	{
		ctl -j stats --arena lab | jq -e '[.. | .waits? // empty] |
		    max > 0'
	}
	poll "the request to queue" queued
	if [ $how = shutdown ]; then
		expect 0 '' ctl shutdown
		ended=0
		wait "$daemon" || ended=$?
		daemon=
		equal 0 "$ended" "exit code after shutdown"
	else
		stop $how
	fi
	wait "$waiter" || waiting=$?
	equal 2 "$waiting" "exit code of who waited, $how"
	grep -qE 'shutting_down|cancelled' "$work/wait.err" ||
		fail "$how: $(cat "$work/wait.err")"
	[ ! -e "$VMEMD_SOCKET" ] || fail "$how: the socket is left"
done
finish
