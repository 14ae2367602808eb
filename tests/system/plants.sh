# Goal: every bug that is planted is found by the soak: exit 5, and the first
# bad operation is named; and faults at random make failures, but nothing wrong.
# Method: each plant, with client workers and with daemon workers, on a daemon
# of its own; jobs under chaos, which must have met with each kind of fault.
# Needs --enable-fault-injection.
. "$(dirname "$0")/lib.sh"
need jq

# end: the daemon that had a bug; how it ends is no matter.
end()
{
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null || :
	daemon=
}

# What the address sanitizer keeps of freed memory isn't the daemon's: else the
# bound on resident memory, which is an oracle too, would be missed.
ASAN_OPTIONS=quarantine_size_mb=1:${ASAN_OPTIONS-}
export ASAN_OPTIONS

start --frames 32M
[ "$(ctl -j info | jq .features.fault_injection)" = true ] || {
	# Here it must say why it can't.
	expect 2 'fault-injection' ctl soak smoke --plant leak
	stop
	skip "built without --enable-fault-injection"
}

# Refused operations are excused, whatever the thresholds; nothing else is.
for job in smoke fault-storm imports waiters; do
	expect 0 '^injected +import [0-9]' ctl soak "$job" --chaos \
	    --duration 1s --seed 3 --out "$work/$job"
	jq -e '.verdict == "passed" and .chaos and .faults.plant == 0' \
	    "$work/$job/verdict.json" >/dev/null || fail "$job under chaos"
done
for kind in import frame swap_read swap_write wake; do
	[ "$(jq -s "map(.faults.$kind) | add" "$work"/*/verdict.json)" -gt 0 ] ||
	    fail "no fault of kind $kind was injected"
done
jq -e '.thresholds | map(select(.metric == "fails"))[0] |
    .excused and .held and .measured > 0' "$work/imports/verdict.json" \
    >/dev/null || fail "what chaos had refused isn't excused"
expect 0 'excused' ctl soak imports --chaos --duration 1s --seed 3
expect 0 'no occasion' ctl soak imports --plant flip --duration 1s
expect 0 '' ctl check
stop

cat >"$work/bytes.job" <<'EOF'
[global]
seed = 5
duration = 20s
check = 0
[g]
workers = 2
sizes = loguniform:4K-256K
live = 200
touch = 1
EOF
cat >"$work/waits.job" <<'EOF'
[global]
seed = 5
duration = 60s
check = 0
arena = waits
arena_size = 1M
verify = overlap
[g]
workers = 4
sizes = fixed:64K
live = 6
touch = 0
sleep_ms = 300
EOF

# Nothing but allocations and frees: inside, a loop of its own.
cat >"$work/plain.job" <<'EOF'
[global]
seed = 5
duration = 20s
check = 0
verify = overlap
[g]
workers = 2
sizes = loguniform:4K-256K
live = 200
touch = 0
EOF

# caught WHERE PLANT JOB PATTERN OPTION...
caught()
{
	where=$1
	plant=$2
	sed "s/^workers/where = $where\n&/" "$work/$3.job" >"$work/p.job"
	pattern=$4
	shift 4
	start
	expect 5 "^first +g/[0-9]+ operation [0-9]+: .*$pattern" \
	    ctl soak "$work/p.job" --plant "$plant" --out "$work/out.d" "$@"
	jq -e '.verdict == "failed" and .exit == 5 and .violations > 0 and
	    (.finding | test("^g/[0-9]+ operation [0-9]+: "))' \
	    "$work/out.d/verdict.json" >/dev/null ||
	    fail "$where $plant: the verdict"
	end
}

for where in client daemon; do
	caught "$where" overlap bytes 'overlap: was given'
	caught "$where" double-hand-out bytes 'overlap: was given'
	caught "$where" flip bytes 'bytes changed'
	caught "$where" stale-mapping bytes "stale bytes: fresh memory isn't zero"
	caught "$where" leak bytes 'leak: .* is still allocated' --duration 1s
	caught "$where" overlap plain 'overlap: was given'
	caught "$where" double-hand-out plain 'overlap: was given'
	caught "$where" leak plain 'leak: .* is still allocated' --duration 1s
	caught "$where" lost-wakeup waits 'lost wake-up'
done
finish
