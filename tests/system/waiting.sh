# Goal: a request that can wait is answered when another client frees the
# space, in the order of the queue, and holds up nobody; its time runs out;
# it can be cancelled; its client may be killed.
. "$(dirname "$0")/lib.sh"
need jq
start --threads 1
expect 0 '' ctl arena create lab --size 128K
A=$(ctl alloc 64K --arena lab)
B=$(ctl alloc 64K --arena lab)

# waits N: N requests have queued in lab so far.
waits()
{
	[ "$(ctl -j stats --arena lab |
	    jq '[.. | .waits? // empty] | max')" = "$1" ]
}

expect 2 'timed_out' ctl alloc 64K --arena lab --sleep-ms 50
poll "the wait to be counted" waits 1

# Two wait for the same: first come, first served.
"$vmemctl" alloc 64K --arena lab --sleep-ms -1 >"$work/first" &
first=$!
background="$background $first"
poll "the first to queue" waits 2
"$vmemctl" alloc 64K --arena lab --sleep-ms 600000 >"$work/second" &
second=$!
background="$background $second"
poll "the second to queue" waits 3
expect 0 '' ctl ping		# the one worker serves others
ctl free "$A" --arena lab >/dev/null
wait "$first" || fail "the first ended with $?"
equal "$A" "$(cat "$work/first")" "what the first got"
[ ! -s "$work/second" ] || fail "the second has got something, too"
ctl free "$B" --arena lab >/dev/null
wait "$second" || fail "the second ended with $?"
equal "$B" "$(cat "$work/second")" "what the second got"

# Cancelled by another client.
"$vmemctl" alloc 128K --arena lab --sleep-ms -1 >"$work/third" 2>"$work/err3" &
third=$!
background="$background $third"
poll "the third to queue" waits 4
ctl -j clients >"$work/clients"
# The one connection with something waiting.
jq -c '[.[] | select((.waiting | if type == "array" then length else . end)
    > 0)][0] | [.id // .client,
    (.waiting | if type == "array" then (.[0] | .id? // .) else 1 end)]' \
    "$work/clients" >"$work/who"
client=$(jq -r '.[0]' "$work/who")
id=$(jq -c '.[1]' "$work/who")
expect 0 '' ctl call cancel "{\"id\":$id,\"client\":$client}"
code=0
wait "$third" || code=$?
equal 2 "$code" "exit code of the cancelled"
grep -q cancelled "$work/err3" || fail "not cancelled: $(cat "$work/err3")"
expect 2 '' ctl call cancel "{\"id\":$id,\"client\":$client}"

# Killed while it waits: the space goes to the next one, not to it.
"$vmemctl" alloc 128K --arena lab --sleep-ms -1 >"$work/fourth" &
fourth=$!
poll "the fourth to queue" waits 5
kill -KILL "$fourth"
wait "$fourth" 2>/dev/null || :
gone()
{
	[ "$(ctl -j clients | jq length)" = 1 ]
}
poll "the killed client to go" gone
expect 0 '' ctl free "$A" "$B" --arena lab
equal 0 "$(inuse lab)" "in use once all is free"

# Destroying the arena cancels who waits.
ctl alloc 128K --arena lab >/dev/null
"$vmemctl" alloc 128K --arena lab --sleep-ms -1 >"$work/fifth" 2>"$work/err5" &
fifth=$!
background="$background $fifth"
poll "the fifth to queue" waits 6
expect 2 busy ctl arena destroy lab
expect 0 '' ctl arena destroy lab --force
code=0
wait "$fifth" || code=$?
equal 2 "$code" "exit code of who waited for a destroyed arena"
grep -q cancelled "$work/err5" || fail "not cancelled: $(cat "$work/err5")"

# What can never be had doesn't wait.
expect 0 '' ctl arena create lab --size 128K
expect 2 no_space ctl alloc 256K --arena lab --sleep-ms -1
finish
