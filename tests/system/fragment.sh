# Goal: `fragment` reaches the fragmentation asked for with every pattern, the
# same each time for one seed, and what it leaves is freed by its tag.
. "$(dirname "$0")/lib.sh"
need jq
start
for pattern in checkerboard random comb aging; do
	expect 0 '' ctl arena create lab --size 256M
	ctl -j fragment --arena lab --pattern $pattern --target 0.6 --seed 11 \
	    --tag holes >"$out" || fail "fragment $pattern"
	jq -e '.after.external_fragmentation >= 0.5' "$out" >/dev/null || {
		fail "$pattern: below 0.5"
		cat "$out"
	}
	jq -e '.after.free_segments > 10 and .arena_before.free_segments == 1' \
	    "$out" >/dev/null || fail "$pattern: free segments"
	ctl -j dump segments --arena lab --limit 100000 >"$work/first"
	expect 0 '' ctl check --arena lab
	expect 0 '' ctl free --arena lab --tag holes
	equal 0 "$(inuse lab)" "$pattern: in use once freed"
	expect 0 '' ctl fragment --arena lab --pattern $pattern --target 0.6 \
	    --seed 11 --tag holes
	ctl -j dump segments --arena lab --limit 100000 >"$work/second"
	cmp "$work/first" "$work/second" || fail "$pattern: not the same again"
	expect 0 '' ctl arena destroy lab --force
done
expect 2 invalid_params ctl call fragment '{"target":1.5}'
expect 2 invalid_params ctl call fragment '{"sizes":"loguniform:9-"}'
expect 2 invalid_params ctl call fragment '{"pattern":"zebra"}'
finish
