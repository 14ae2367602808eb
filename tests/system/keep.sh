# Goal: what isn't `keep` goes with its connection, however that ends; what is
# stays.  A connection is held open by rawsock, whose input is a pipe.
. "$(dirname "$0")/lib.sh"
need jq
start
rawsock=$top_builddir/tests/system/rawsock

ctl call alloc '{"size":65536}' >/dev/null
equal 0 "$(inuse heap)" "after the end of a connection"
ctl call alloc '{"size":65536,"keep":true}' >/dev/null
equal 65536 "$(inuse heap)" "kept"
ctl free --all >/dev/null

# Held open: it is there, for other connections of the uid too.
mkfifo "$work/in"
"$rawsock" "$VMEMD_SOCKET" 9 <"$work/in" >"$work/replies" &
client=$!
background="$background $client"
exec 9>"$work/in"
echo '{"jsonrpc":"2.0","id":1,"method":"alloc","params":{"size":"1M","count":50}}' >&9
poll "a reply" grep -q addrs "$work/replies"
equal 52428800 "$(inuse heap)" "while the connection is open"
first=$(jq -r '.result.addrs[0]' "$work/replies")
expect 0 '' ctl free "$first"
# Killed: everything else of it goes.
kill -KILL "$client"
wait "$client" 2>/dev/null || :
exec 9>&-
none_left()
{
	[ "$(inuse heap)" = 0 ]
}
poll "the release of a killed client's ranges" none_left

# A partial free leaves pieces that are bound to the connection as well.
mkfifo "$work/in2"
"$rawsock" "$VMEMD_SOCKET" 9 <"$work/in2" >"$work/replies2" &
client=$!
background="$background $client"
exec 9>"$work/in2"
echo '{"jsonrpc":"2.0","id":1,"method":"alloc","params":{"size":"1M"}}' >&9
poll "a reply" grep -q addr "$work/replies2"
A=$(jq -r .result.addr "$work/replies2")
expect 0 '' ctl free $((A + 65536)) --partial --size 64K
equal 983040 "$(inuse heap)" "pieces"
kill -KILL "$client"
wait "$client" 2>/dev/null || :
exec 9>&-
poll "the release of the pieces" none_left
finish
