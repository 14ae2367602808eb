# Goal: clients that die in the middle of something leave nothing behind: half a
# request, a request whose answer nobody reads, a fill of much, a batch.
. "$(dirname "$0")/lib.sh"
need jq
start --frames 16M
rawsock=$top_builddir/tests/system/rawsock
alone()
{
	[ "$(ctl -j clients | jq length)" = 1 ]
}
under_way()
{
	ctl -j clients | jq -e 'length == 2' || ! alive "$client"
}
nothing()
{
	[ "$(inuse heap)" = 0 ]
}

# Half a line, then the end.
printf '{"jsonrpc":"2.0","id":1,"method":"alloc","params":{"si' |
    "$rawsock" "$VMEMD_SOCKET" 0
# A whole one without its LF, then the end.
printf '{"jsonrpc":"2.0","id":1,"method":"alloc","params":{"size":4096}}' |
    "$rawsock" "$VMEMD_SOCKET" 0
# Thousands of requests, and nobody to read the answers.
i=0
while [ $i -lt 3000 ]; do
	echo '{"jsonrpc":"2.0","id":1,"method":"alloc","params":{"size":4096}}'
	i=$((i + 1))
done >"$work/many"
"$rawsock" "$VMEMD_SOCKET" 0 <"$work/many" >"$work/few" || :
poll "the clients to go" alone
poll "what they held to come back" nothing

# A fill that takes long, by a client that is killed meanwhile.
A=$(ctl alloc 512M)
for round in 1 2 3; do
	"$vmemctl" fill "$A" --seed $round >/dev/null 2>&1 &
	client=$!
	background="$background $client"
	poll "the fill to be under way" under_way
	kill -KILL "$client" 2>/dev/null || :
	wait "$client" 2>/dev/null || :
done
poll "the clients to go" alone
expect 0 '' ctl free "$A"
equal 0 "$(inuse heap)" "in use at the end"
finish
