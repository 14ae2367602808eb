# Goal: soak does what it says: jobs are listed, printed, parsed strictly; a
# run passes, leaves its files, can be repeated, is judged, and is never a
# success when interrupted.
# Method: short runs of built-in jobs and of small ones, their exit codes, the
# files read back with jq.
. "$(dirname "$0")/lib.sh"
need jq

# Without a daemon: what a job may be.
expect 0 '^everything ' ctl soak --list
expect 0 'workers' ctl soak --keys
awk 'length > 80 { exit 1 }' "$out" || fail "--keys is wider than 80 columns"
expect 0 '^\[thresholds\]' ctl soak --print smoke
ctl soak --print churn >"$work/churn.job"
expect 0 'lifetime = random' ctl soak "$work/churn.job" --parse-only
expect 1 'smoke' ctl soak smke
expect 1 'which job' ctl soak
printf '[a]\nworkrs = 2\n' >"$work/bad.job"
expect 1 'bad.job:2: .*workrs.*did you mean "workers"' \
    ctl soak "$work/bad.job"
expect 4 'reach' ctl soak smoke

start

# It passes, and everything is there.
expect 0 '^verdict +passed' ctl soak smoke --duration 2s --seed 7 \
    --out "$work/run" --log "$work/log"
head -n 1 "$out" | grep -q '^seed .*vmemctl soak smoke --seed 7' ||
    fail "the seed comes first: $(head -n 1 "$out")"
jq -e '.verdict == "passed" and .exit == 0 and .complete and .seed == 7 and
    .violations == 0 and .total.ops > 0 and (.job_hash | length) == 16 and
    .groups.clients.where == "client" and .groups.clients.counts.alloc > 0 and
    .groups.threads.where == "daemon" and .groups.threads.counts.free > 0 and
    (.thresholds | map(.held) | all) and
    (.total.latency.alloc | .count ==
	(.buckets | map(.[1]) | add))' "$work/run/verdict.json" >/dev/null ||
    fail "verdict.json"
jq -e '.t_s > 0 and .ops > 0 and (.map.used | length) == 64' \
    "$work/run/intervals.ndjson" >/dev/null || fail "intervals.ndjson"
cmp "$work/log" "$work/run/intervals.ndjson" || fail "--log"
grep -q '</html>' "$work/run/report.html" || fail "report.html"
grep -qE 'src=|href=|<script' "$work/run/report.html" &&
    fail "report.html isn't self-contained"

# A page of the same from the files alone.
mv "$work/run/report.html" "$work/first.html"
expect 0 'report.html' ctl report "$work/run"
cmp "$work/first.html" "$work/run/report.html" || fail "report makes another"
expect 1 'verdict.json' ctl report "$work"

# As JSON: one document.
expect 0 '' ctl -j soak smoke --duration 1s
jq -e '.verdict == "passed"' "$out" >/dev/null || fail "soak -j"

# The same seed, the same events; another, others.
cat >"$work/one.job" <<'EOF'
[global]
ops = 20000
arena = soak-one
arena_size = 64M
arena_pageable = yes
[only]
where = daemon
live = 200
align = 0.1
fit = instant best first next last
read = 0.05
EOF
for seed in 1 1 2; do
	json .total.event_hash soak "$work/one.job" --seed $seed
done >"$work/hashes" 2>/dev/null
equal 2 "$(sort -u "$work/hashes" | wc -l)" "hashes of seeds 1, 1, 2"
equal 2 "$(head -n 2 "$work/hashes" | sort | uniq -c | awk '{ print $1 }')" \
    "two runs of one seed"
sed 's/daemon/client/; s/20000/2000/' "$work/one.job" >"$work/client.job"
for seed in 1 1; do
	json .total.event_hash soak "$work/client.job" --seed $seed
done >"$work/hashes" 2>/dev/null
equal 1 "$(sort -u "$work/hashes" | wc -l)" "hashes of a client worker"

# The same of one that only allocates and frees, which has a loop of its own;
# with and without the oracles, and however much is timed.
cat >"$work/plain.job" <<'EOF'
[global]
ops = 20000
arena = plain
arena_size = 64M
verify = overlap
[a]
where = daemon
touch = 0
live = 300
EOF
sed 's/overlap/off/; s/^ops/timed = 17\n&/' "$work/plain.job" >"$work/fast.job"
for seed in 1 1 2; do
	json .total.event_hash soak "$work/plain.job" --seed $seed
done >"$work/hashes" 2>/dev/null
json .total.event_hash soak "$work/fast.job" --seed 1 >"$work/fast" 2>/dev/null
equal 2 "$(sort -u "$work/hashes" | wc -l)" "plain: hashes of seeds 1, 1, 2"
equal "$(sed -n 1p "$work/hashes") $(sed -n 1p "$work/hashes")" \
    "$(sed -n 2p "$work/hashes") $(cat "$work/fast")" "plain: runs of one seed"
json '.total | [.ops, .counts.alloc - .counts.free,
    .counts.alloc - .latency.alloc.count, .counts.free - .latency.free.count,
    .oracles.owners.count - .counts.alloc - .counts.free]' \
    soak "$work/plain.job" --seed 1 >"$work/got" 2>/dev/null
equal '[20000,0,0,0,0]' "$(tr -d ' \n' <"$work/got")" \
    "every operation is timed, and verified"
json '.total | .latency.alloc.count == ((.counts.alloc + 16) / 17 | floor)' \
    soak "$work/fast.job" --seed 1 >"$work/got" 2>/dev/null
equal true "$(cat "$work/got")" "one allocation in 17 is timed"

# A threshold decides.
cat >"$work/miss.job" <<'EOF'
[global]
ops = 100
[a]
[thresholds]
alloc_p50_us <= 0.001
ops = 100
EOF
expect 3 'NOT HELD +alloc_p50_us' ctl soak "$work/miss.job"
expect 3 '' ctl soak "$work/miss.job" --out "$work/missed"
jq -e '.verdict == "missed" and .exit == 3' "$work/missed/verdict.json" \
    >/dev/null || fail "a missed threshold's verdict"

# What can't be written is told, and isn't passed over.
if [ -c /dev/full ]; then
	expect 1 'soak: /dev/full: ' ctl soak smoke --duration 1s --log /dev/full
fi
expect 1 'Not a directory' ctl soak smoke --out "$work/log"

# Interrupted halfway: 130, what there is, never a success; SIGUSR1 on the way.
"$vmemctl" soak smoke --duration 10m --out "$work/cut" >"$out" 2>"$err" &
soak=$!
background=$soak
poll "an interval" test -s "$work/cut/intervals.ndjson"
kill -USR1 $soak
poll "a status line" grep -q 'ETA' "$err"
kill -INT $soak
got=0
wait $soak || got=$?
equal 130 $got "exit code when interrupted"
jq -e '.verdict == "interrupted" and .exit == 130 and (.complete | not) and
    .violations == 0 and .total.ops > 0' "$work/cut/verdict.json" >/dev/null ||
    fail "the verdict when interrupted"
equal 0 "$(inuse heap)" "bytes in use after the interruption"

# The daemon ends first: said so, and no success.
"$vmemctl" soak smoke --duration 10m --out "$work/gone" >"$out" 2>"$err" &
soak=$!
background=$soak
poll "an interval" test -s "$work/gone/intervals.ndjson"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || :
daemon=
got=0
wait $soak || got=$?
equal 4 $got "exit code when the daemon broke off"
jq -e '.verdict == "broken off" and .exit == 4 and (.complete | not) and
    .violations == 0 and (.finding | test("broke off"))' \
    "$work/gone/verdict.json" >/dev/null || fail "the verdict without a daemon"
finish
