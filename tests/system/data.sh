# Goal: bytes go in and come out; new memory is zero, also where others wrote
# before; the pattern of fill is found by verify, and what spoils it too.
. "$(dirname "$0")/lib.sh"
need jq
start --frames 16M --swap-size 64M

for arena in heap kmem; do
	A=$(ctl alloc 256K --arena $arena)
	head -c 40000 "$vmemd" >"$work/part"
	ctl write $((A + 100)) --arena $arena <"$work/part" >/dev/null ||
		fail "write to $arena"
	ctl read $((A + 100)) 40000 --arena $arena >"$work/back"
	cmp "$work/part" "$work/back" || fail "$arena: read isn't written"
	ctl read "$A" 100 --arena $arena | tr -d '\0' >"$work/zeros"
	[ ! -s "$work/zeros" ] || fail "$arena: not zero before the data"

	expect 0 '' ctl fill "$A" --arena $arena --seed 7
	expect 0 '' ctl verify "$A" --arena $arena --seed 7
	expect 5 mismatch ctl verify "$A" --arena $arena --seed 8
	# Another byte than is there: which that is hangs on the address.
	other=X
	[ "$(ctl read $((A + 70000)) 1 --arena $arena | tr -d '\0')" != X ] ||
		other=Y
	printf %s $other | ctl write $((A + 70000)) --arena $arena >/dev/null
	got=0
	ctl -j verify "$A" --arena $arena --seed 7 >"$out" 2>"$err" || got=$?
	equal 5 $got "exit code of verify"
	equal "$(printf '0x%x' $((A + 70000)))" \
	    "$(jq -r '.data.addr' "$err")" "$arena: the first wrong byte"
	ctl free "$A" --arena $arena >/dev/null

	# Zero again for whoever comes next.
	A=$(ctl alloc 256K --arena $arena)
	ctl read "$A" 256K --arena $arena | tr -d '\0' >"$work/zeros"
	[ ! -s "$work/zeros" ] || fail "$arena: another's bytes"
	ctl free "$A" --arena $arena >/dev/null
	equal 0 "$(inuse $arena)" "in use in $arena"
done

# More than the frames: through the swap and back.
A=$(ctl alloc 48M)
expect 0 '' ctl fill "$A" --seed 3
expect 0 '' ctl verify "$A" --seed 3
equal true "$(ctl -j stats | jq '[.. | .evictions? // empty] | max > 0')" \
    "evictions"
expect 0 '' ctl free "$A"

# Beyond the end of an allocation, and outside all.
A=$(ctl alloc 64K)
expect 2 not_allocated ctl read $((A + 65535)) 2
expect 2 not_allocated ctl fill "$A" --len 64M
expect 2 not_allocated ctl touch 0x1000
expect 2 invalid_params ctl call read "{\"addr\":\"$A\",\"len\":\"2M\"}"
finish
