# Goal: malformed, over-long, over-deep, duplicated, NUL-bearing input gets the
# error of the protocol, and the connection goes on.  Method: each line of the
# table below goes over one connection, each followed by a ping.
. "$(dirname "$0")/lib.sh"
need jq
start
rawsock=$top_builddir/tests/system/rawsock
ping='{"jsonrpc":"2.0","id":"after","method":"ping"}'

# refuse CODE TEXT: sent as a line, with printf's escapes; then a ping.
refuse()
{
	# shellcheck disable=SC2059
	{
		printf "$2"
		printf '\n%s\n' "$ping"
	} >"$work/in"
	"$rawsock" "$VMEMD_SOCKET" 2 <"$work/in" >"$work/got" || {
		fail "the connection ended after: $(printf '%.60s' "$2")"
		return
	}
	equal "$1" "$(head -n 1 "$work/got" |
	    jq -c 'if type == "array" then .[0] else . end | .error.code')" \
	    "code for $(printf '%.60s' "$2")"
	equal '"after"' "$(tail -n 1 "$work/got" | jq -c .id)" "the ping after"
}

call='{"jsonrpc":"2.0","id":1,"method":'
refuse -32700 '{'
refuse -32700 'hello'
refuse -32700 '{"jsonrpc":"2.0","id":1,"method":"ping"} x'
refuse -32700 "$call"'"ping","method":"ping"}'
refuse -32700 "$call"'"ping\\000"}'
refuse -32700 "$call"'"ping"}\000'
refuse -32700 "$call"'"\377\376"}'
refuse -32700 "$call"'"alloc","params":{"size":9223372036854775808}}'
refuse -32600 '[]'
refuse -32600 '7'
refuse -32600 '{"id":1,"method":"ping"}'
refuse -32600 '{"jsonrpc":"1.0","id":1,"method":"ping"}'
refuse -32600 '{"jsonrpc":"2.0","id":1}'
refuse -32600 '{"jsonrpc":"2.0","id":1,"method":7}'
refuse -32600 '{"jsonrpc":"2.0","id":{},"method":"ping"}'
refuse -32601 "$call"'"nothing"}'
refuse -32602 "$call"'"ping","params":[]}'
refuse -32602 "$call"'"ping","params":{"x":1}}'
refuse -32602 "$call"'"alloc"}'
refuse -32602 "$call"'"alloc","params":{"size":0}}'
refuse -32602 "$call"'"alloc","params":{"size":-1}}'
refuse -32602 "$call"'"alloc","params":{"size":"64Q"}}'
refuse -32602 "$call"'"alloc","params":{"size":1.5}}'
refuse -32602 "$call"'"alloc","params":{"size":null}}'
refuse -32602 "$call"'"alloc","params":{"size":4096,"count":0}}'
refuse -32602 "$call"'"alloc","params":{"size":4096,"count":65537}}'
refuse -32602 "$call"'"alloc","params":{"size":4096,"arena":7}}'
refuse 1 "$call"'"alloc","params":{"size":"0xffffffffffffffff"}}'
refuse 1 "$call"'"alloc","params":{"size":9223372036854775807}}'
refuse 3 "$call"'"free","params":{"addr":4096}}'
refuse 3 "$call"'"free","params":{"addr":"0xffffffffffffffff"}}'

# Too deep, too long: one error each, and it takes up again behind the LF.
deep=$(printf '%040d' 0 | tr 0 '[')
refuse -32700 "$deep"
{
	printf '%s"ping","params":{"x":"' "$call"
	head -c 70000 /dev/zero | tr '\0' x
	printf '"}}\n%s\n' "$ping"
} >"$work/in"
"$rawsock" "$VMEMD_SOCKET" 2 <"$work/in" >"$work/got" || fail "over-long"
equal 2 "$(wc -l <"$work/got")" "replies around an over-long line"
equal true "$(head -n 1 "$work/got" | jq '.error.code < 0')" "over-long line"
equal '"after"' "$(tail -n 1 "$work/got" | jq -c .id)" "the ping after"

# A batch: one array of replies; a notification gets none.
printf '[%s"ping"},%s"bogus"},{"jsonrpc":"2.0","method":"ping"}]\n' \
    "$call" "$call" >"$work/in"
"$rawsock" "$VMEMD_SOCKET" 1 <"$work/in" >"$work/got"
equal '[true,-32601]' "$(jq -c '[(.[0].result != null), .[1].error.code]' \
    "$work/got")" "replies of a batch"
equal 2 "$(jq length "$work/got")" "number of replies of a batch"
finish
