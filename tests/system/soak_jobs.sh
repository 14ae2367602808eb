# Goal: every built-in job passes on a daemon as it starts, and leaves nothing.
# Method: each for a second; then what is peculiar to some: killed clients are
# restarted, sleepers sleep, an arena that is too small refuses, what is handed
# over is freed.
. "$(dirname "$0")/lib.sh"
need jq
start --frames 64M

jobs=$(ctl soak --list | awk '{ print $1 }')
for job in $jobs; do
	expect 0 'verdict +passed' ctl soak "$job" --duration 1s --seed 1 \
	    --out "$work/$job"
done
of() { jq "$2" "$work/$1/verdict.json"; }
[ "$(of kill-clients .total.kills)" -gt 0 ] || fail "nobody was killed"
[ "$(of oom .total.fails.no_space)" -gt 0 ] || fail "oom had room"
[ "$(of imports .total.counts.arena)" -gt 0 ] || fail "no arenas were made"
[ "$(of waiters .during.free_bytes)" -lt 4194304 ] || fail "waiters had room"
[ "$(of producer-consumer .groups.consumers.counts.free)" -gt 0 ] ||
    fail "nothing was handed over"
equal 0 "$(of producer-consumer .groups.producers.counts.free)" \
    "frees of producers"
equal 0 "$(inuse heap)" "bytes in use of heap"
expect 0 '' ctl arena list
grep -q soak "$out" && fail "a soak's arena is left"

# Sizes from a trace, for both kinds of workers: only those that it asks for.
need numfmt xz
xz -dc "$traces/a-python.vmt.xz" | awk '$1 == "a" { print $3 }' |
    sort -u >"$work/sizes"
for where in client daemon; do
	printf '[global]\nops = 1000\n[t]\nwhere = %s\nlive = 50\n' $where \
	    >"$work/trace.job"
	printf 'touch = 0.1\nsizes = trace:%s\n' "$traces/a-python.vmt.xz" \
	    >>"$work/trace.job"
	expect 0 'verdict +passed' ctl soak "$work/trace.job" --out "$work/trace"
	[ "$(of trace .groups.t.counts.free)" -gt 100 ] || fail "$where: few frees"
	of trace .job_text | sed -n 's/.*nsizes = list:\([^\\]*\).*/\1/p' |
	    tr ',' '\n' | sed 's/\*.*//' | numfmt --from=iec >"$work/drawn"
	equal "" "$(sort -u "$work/drawn" | comm -23 - "$work/sizes")" \
	    "$where: sizes that aren't the trace's"
	equal "$(sort -n "$work/sizes" | tail -n 1)" \
	    "$(tail -n 1 "$work/drawn")" "$where: the largest"
done
sed 's|trace:.*|trace:/nonexistent|' "$work/trace.job" >"$work/nt.job"
expect 1 '\[t\] sizes: /nonexistent: No such file' ctl soak "$work/nt.job"
sed "s|trace:.*|trace:$work/trace.job|" "$work/trace.job" >"$work/nt.job"
expect 1 '\[t\] sizes: .*trace.job' ctl soak "$work/nt.job"
expect 2 'the daemon reads no traces' ctl call soak.start \
    '{"job":"[t]\nwhere = daemon\nsizes = trace:x\n"}'

# Inside the daemon alone: by the methods.
cat >"$work/d.job" <<'EOF'
[global]
duration = 10m
interval = 50ms
[t]
where = daemon
workers = 2
EOF
expect 0 '' ctl -j soak start "$work/d.job"
id=$(jq .id "$out")
running() { [ "$(ctl -j soak status "$id" | jq .ops)" -gt 0 ]; }
poll "the job to do something" running
json '.running, .violations' soak status "$id" >"$work/status"
equal "true 0" "$(tr '\n' ' ' <"$work/status" | sed 's/ $//')" "status"
json '.running' soak stop "$id" >"$work/status"
equal false "$(cat "$work/status")" "running after stop"
expect 2 'no soak job' ctl soak status "$id"
expect 2 'no group with where' ctl call soak.start '{"job":"[a]\n"}'
expect 2 'did you mean' ctl call soak.start '{"job":"[a]\nlve = 1\n"}'

# Progress, and the end with the connection.
"$top_builddir/tests/system/rawsock" "$VMEMD_SOCKET" 4 >"$out" 2>&1 <<'EOF'
{"jsonrpc":"2.0","id":1,"method":"soak.start","params":{"job":"[global]\nduration = 10m\ninterval = 20ms\nverify = overlap\n[t]\nwhere = daemon\n"}}
EOF
equal 3 "$(grep -c '"method":"progress","params":{"id"' "$out")" \
    "progress notifications"
nobody() { [ "$(inuse heap)" -eq 0 ]; }
poll "the job to end with its connection" nobody
finish
