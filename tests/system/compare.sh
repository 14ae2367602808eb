# Goal: vmemctl compare needs no daemon, fills in every row, says for each claim
# whether it shows and where; --stop-at replays to there; what is wrong is told.
# Method: a trace of the tree through all models, in every form of output; a
# trace of five lines; a soak job; one interrupted.
. "$(dirname "$0")/lib.sh"
need jq
trace=$traces/a-redis-server.vmt.xz

expect 0 '' ctl -j compare "$trace" --svg "$work/bars.svg"
jq -e '.models | length == 16 and all(.[]; has("error") | not)' "$out" \
    >/dev/null || fail "sixteen models, none failed"
jq -e '.models | all(.[];
    .ns_alloc > 0 and .ns_free > 0 and .bytes_per_range > 0 and
    .extent_over_peak >= 1 and .fault_time_allocations >= 0 and
    .free_time_allocations >= 0 and .free_time_failures >= 0 and
    (.shortages | length) == 2 and (.lookups | length) == 4 and
    (.threads | length) == 4 and all(.threads[]; .hold.count > 0) and
    (.claims | keys) == ["A-1","A-2","A-3","B","C"] and
    all(.claims[]; .shown == (.first_op != null)))' "$out" >/dev/null ||
	fail "every figure of every row"

# shown MODEL: its claims that show, in order.
shown()
{
	jq -r --arg m "$1" '.models[] | select(.model == $m) | .claims |
	    to_entries | map(select(.value.shown).key) | join(" ")' "$out"
}
equal 'A-1 A-2 B' "$(shown kernel_map)" 'kernel_map'
equal 'A-1 B' "$(shown kernel_map+nomerge)" 'without merging'
equal 'A-1 A-2 A-3 B' "$(shown kernel_map+stash)" 'a stash'
equal 'A-1 A-2 B C' "$(shown kernel_map+self)" 'entries in the map'
equal '' "$(shown vmem)" 'libvmem'
equal '' "$(shown kmem+vmem)" 'kmem over libvmem'

# whole FILTER: what holds for every range but those freed in parts.
jq -e '.models[] | select(.model == "vmem") |
    all(.shortages[]; .failed_frees == 0) and
    .free_time_allocations_part > 0 and
    all(.lookups[]; .per_fault == 1)' "$out" >/dev/null ||
	fail "libvmem: whole frees never refused, parts cost tags, one lookup"
grep -q '^<svg.*viewBox' "$work/bars.svg" || fail "the picture"
grep -q '</svg>$' "$work/bars.svg" || fail "the picture's end"

# The text: a line for each model in each table, and no wider than a terminal.
expect 0 '^vmem  .*\.[0-9]' ctl compare "$trace" --models kernel_map,pools,vmem \
    --threads 2 --shortage 75
equal 5 "$(grep -c '^vmem ' "$out")" 'rows of vmem'
awk 'length > 80 { print; wide = 1 } END { exit wide }' "$out" ||
	fail "wider than 80 columns"
grep -q 'pool pages' "$out" || fail "the waste of pool pages"

# Five operations: the free at the fourth is where A-2 shows first.
cat >"$work/abc.vmt" <<'END'
# vmem-trace 1
# name: abc
a 1 4096
a 2 4096
a 3 4096
f 2
f 1
END
expect 0 '' ctl -j compare "$work/abc.vmt" --models kernel_map --pageable 0
equal 4 "$(jq '.models[0].claims["A-2"].first_op' "$out")" 'where A-2 begins'
expect 0 'stopped after operation 4: f 2 \(line 6\)' ctl compare \
    "$work/abc.vmt" --models kernel_map --pageable 0 --stop-at 4
expect 0 '' ctl -j compare "$work/abc.vmt" --models kernel_map --pageable 0 \
    --stop-at 3
equal null "$(jq '.models[0].claims["A-2"].first_op' "$out")" 'one before'

# A job.
cat >"$work/job.ini" <<'END'
[global]
seed = 7
ops = 2000
[small]
workers = 2
sizes = loguniform:4K-64K
live = 200
END
expect 0 '' ctl -j compare "$work/job.ini" --models kernel_map,vmem --threads 1
jq -e '.ops == 4000 and (.models | length) == 2' "$out" >/dev/null ||
	fail "a job's operations"

# What is wrong.
expect 1 'no model "uvm"' ctl compare "$trace" --models uvm
expect 1 'no toggle "x"' ctl compare "$trace" --models kernel_map+x
expect 1 'models over a kernel_map' ctl compare "$trace" --models vmem+self
expect 1 'shortage' ctl compare "$trace" --shortage 0
expect 1 'No such file' ctl compare "$work/none.vmt"
expect 1 'svg' ctl compare "$work/abc.vmt" --models vmem --svg "$work/no/x.svg"
expect 0 'replay, [0-9]+%' ctl compare "$work/abc.vmt" --models vmem --progress
expect 0 'counterexample|--stop-at' ctl help compare

# Interrupted: never 0, and no child is left behind.
"$vmemctl" compare "$trace" --progress >/dev/null 2>"$work/progress" &
background=$!
poll 'the progress' grep -q 'operations' "$work/progress"
kill -TERM "$background"
ended=0
wait "$background" || ended=$?
background=
equal 143 "$ended" 'interrupted'
finish
