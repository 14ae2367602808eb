# Goal: the simulation of depots works: recorded here, replayed, and plausible.
# Method: a quick run; one CPU has nobody to wait for, and is worth no more than
# one; every workload is there with magazines that grow and with those that
# don't, which stay at 15.
. "$(dirname "$0")/lib.sh"

sim=$top_builddir/bench/sim_depot
trace=$top_srcdir/tests/traces/b-sqlite3.vmt.xz

"$sim" --quick --line 40 "$trace" >"$work/out" || fail "sim_depot: exit $?"
grep -q '^A simulation of depots' "$work/out" || fail "doesn't say what it is"
for workload in churn sqlite burst handed; do
	for mode in grow "of 15 for ever"; do
		grep -q "^$workload: .*magazines $mode" "$work/out" ||
			fail "no $workload with magazines $mode"
	done
done
awk '
	/for ever$/ { fixed = 1 }
	/grow$/ { fixed = 0 }
	$1 ~ /^[0-9]+$/ && $5 == "%" {
		rows++
		if ($1 == 1 && ($4 != 0 || $8 > 1.05)) exit 1
		if (fixed && $2 != 15) exit 1
		if ($2 < 15 || $2 > 63 || $8 > $1 * 1.01) exit 1
	}
	END { if (rows < 8 * 8) exit 1 }' "$work/out" || {
	cat "$work/out"
	fail "an implausible row"
}

rc=0
"$sim" --spin x "$trace" >"$work/out" 2>"$work/err" || rc=$?
[ "$rc" -eq 1 ] || fail "--spin x: exit $rc, not 1"
grep -q -- '--spin' "$work/err" || fail "--spin x isn't named"
rc=0
"$sim" 2>"$work/err" || rc=$?
[ "$rc" -eq 1 ] || fail "no trace: exit $rc, not 1"
grep -q '^usage' "$work/err" || fail "no trace: no usage"
finish
