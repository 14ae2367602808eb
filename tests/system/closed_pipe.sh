# Goal: a closed pipe is not an error, interruption never is success.
. "$(dirname "$0")/lib.sh"
need jq
start
ctl alloc 4K --count 20000 >/dev/null
{
	code=0
	ctl dump segments --stream 2>"$err" || code=$?
	echo "$code" >"$work/code"
} | head -n 1 >/dev/null
equal 0 "$(cat "$work/code")" "exit code with the pipe closed"
[ ! -s "$err" ] || fail "it complains: $(cat "$err")"

expect 0 '' ctl arena create lab --size 64K
ctl alloc 64K --arena lab >/dev/null
queued()
{
	ctl -j clients | jq -e 'length == 2'
}
for signal in INT TERM; do
	# A shell's background command ignores SIGINT, unless told not to.
	env --default-signal=INT,TERM "$vmemctl" \
	    alloc 64K --arena lab --sleep-ms -1 >"$out" 2>"$err" &
	pid=$!
	background="$background $pid"
	poll "the request to wait" queued
	kill -$signal $pid
	code=0
	wait $pid || code=$?
	case $signal in
	INT) equal 130 $code "exit code after SIGINT" ;;
	TERM) equal 143 $code "exit code after SIGTERM" ;;
	esac
done
# -t is a time out of the client's.
expect 4 '' "$vmemctl" -t 100 alloc 64K --arena lab \
    --sleep-ms -1
finish
