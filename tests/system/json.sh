# Goal: -j prints the `result` member as one JSON value; an error is one line on
# standard error and nothing on standard output; `call` sends params as they
# are.
. "$(dirname "$0")/lib.sh"
need jq
start
for command in ping info methods stats "arena list" "arena info heap" \
    "alloc 4K" "alloc 4K --count 3" "free --all" reap check dump \
    "dump segments" "dump free" "dump caches" "dump faults" "dump map" \
    clients; do
	# shellcheck disable=SC2086
	expect 0 '' ctl -j $command
	equal 1 "$(jq -s length "$out")" "JSON values of -j $command"
done
equal '{}' "$(ctl -j ping | jq -c .)" ping
equal '{"violations":0}' "$(json '{violations}' check)" check
equal number "$(ctl -j info | jq -r '.pid | type')" "type of pid"
equal "$daemon" "$(json .pid info)" pid
equal "$(id -u)" "$(json .uid info)" uid

expect 2 '' ctl -j free 0x1000
[ ! -s "$out" ] || fail "stdout isn't empty on an error"
equal 1 "$(wc -l <"$err")" "lines of the error"
equal '[3,"not_allocated","EINVAL"]' \
    "$(jq -c '[.code, .data.name, .data.errno]' "$err")" "the error"
expect 2 '' ctl -j call alloc '{"size":0}'
equal '[-32602,"size"]' "$(jq -c '[.code, .data.field]' "$err")" "the field"

expect 0 '^[{]' ctl call arena.info '{"arena":"kmem"}'
expect 2 method_not_found ctl call nonsense
expect 2 invalid_params ctl call ping '{"x":1}'
expect 2 invalid_params ctl call alloc '{"size":4096,"Size":1}'
expect 1 '' ctl call alloc 'not json'
for later in map subscribe; do
	params=$(ctl -j methods | jq -c --arg m "$later" '
		.[] | select(.name == $m) | .params | . as $s |
		[(.required // [])[] | {(.): (
			$s.properties[.] |
			if .enum then .enum[0] elif .type == "integer" then 1
			elif .type == "string" then "x"
			else 4096 end)}] | add // {}')
	expect 2 not_supported ctl call $later "$params"
done
expect 2 not_supported ctl call alloc '{"size":4096,"idem":"a"}'
# A method in the table is a method that the daemon lists.
"$top_builddir/doc/gen_protocol" methods | sort >"$work/table"
ctl -j methods | jq -r '.[].name' | sort >"$work/listed"
cmp "$work/table" "$work/listed" || fail "methods: not those of the table"
finish
