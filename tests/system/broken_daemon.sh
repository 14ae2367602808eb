# Goal: a daemon that dies, says nonsense, or nothing is exit code 4, never 0.
. "$(dirname "$0")/lib.sh"
need jq
start
expect 0 '' ctl arena create lab --size 64K
ctl alloc 64K --arena lab >/dev/null
"$vmemctl" alloc 64K --arena lab --sleep-ms -1 >"$out" 2>"$err" &
pid=$!
background="$background $pid"
queued()
{
	ctl -j clients | jq -e 'length == 2'
}
poll "the request to wait" queued
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || :
daemon=
code=0
wait $pid || code=$?
equal 4 $code "exit code when the daemon is killed"
expect 4 '' ctl ping
finish
