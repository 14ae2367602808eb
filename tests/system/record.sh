# Goal: what happens in an arena can be recorded, and replays: every kind of
# operation, from clients and from the daemon's own workers.
# Method: a trace of known operations, line by line; a soak recorded and
# replayed; what is refused.
. "$(dirname "$0")/lib.sh"
need jq
start

plus() { printf '0x%x' $(($1 + $2)); }
early=$(ctl alloc 4K)
expect 0 '' ctl record start "$work/known.vmt"
expect 2 'recorded already' ctl record start "$work/other.vmt"
a=$(ctl alloc 64K)
b=$(ctl alloc 1M --align 1M)
ctl free "$early" >/dev/null
ctl free "$a" --size 4K --partial >/dev/null
ctl free "$(plus "$a" 8192)" --size 4K --partial >/dev/null
ctl free "$(plus "$a" 4096)" >/dev/null
ctl free "$(plus "$a" 12288)" >/dev/null
ctl free "$b" >/dev/null
expect 0 '^operations +7' ctl record stop
grep -v '^#' "$work/known.vmt" | tr '\n' ';' >"$work/got"
equal 'a 1 65536;a 2 1048576 1048576;p 1 0 4096;p 1 8192 4096;p 1 4096 4096;f 1;f 2;' \
    "$(cat "$work/got")" "the trace"
expect 0 'verdict +passed' ctl replay "$work/known.vmt" --verify pattern
expect 2 "isn't being recorded" ctl record stop
expect 2 'no descriptor' ctl call record.start '{}'
expect 2 'not of a regular file' ctl record start /dev/null

# Again, into another: ids begin anew.
keep=$(ctl alloc 4K)
expect 0 '' ctl record start "$work/again.vmt"
ctl free "$(ctl alloc 8K)" >/dev/null
ctl free "$keep" >/dev/null
expect 0 '^operations +2' ctl record stop
grep -v '^#' "$work/again.vmt" | tr '\n' ';' >"$work/got"
equal 'a 1 8192;f 1;' "$(cat "$work/got")" "the second trace"

# A soak of both kinds of workers, of which some are killed.
cat >"$work/r.job" <<'EOF'
[global]
duration = 1s
seed = 1
[clients]
workers = 2
live = 100
align = 0.2
kill = 3/s
[threads]
where = daemon
live = 100
rate = 5000/s
touch = 0.1
EOF
expect 0 'verdict +passed' ctl soak "$work/r.job" --record "$work/soak.vmt"
expect 0 'verdict +passed' ctl replay "$work/soak.vmt" --clients 2 --stop-at 20000
[ "$(grep -c '^a' "$work/soak.vmt")" -gt 1000 ] || fail "few were recorded"
expect 2 "isn't being recorded" ctl record stop

# Threads inside that free each other's ranges, in an arena that is nearly full:
# the trace never holds more than the arena does.
cat >"$work/cross.job" <<'EOF'
[global]
ops = 30000
seed = 2
arena = tight
arena_size = 4M
verify = overlap
[give]
where = daemon
workers = 2
sizes = fixed:4K
touch = 0
live = 400
free_by = take
[take]
where = daemon
workers = 2
sizes = fixed:4K
touch = 0
live = 300
[own]
where = daemon
sizes = fixed:4K
touch = 0
live = 200
EOF
expect 0 'verdict +passed' ctl soak "$work/cross.job" --record "$work/cross.vmt"
awk '/^a/ { n++; live++; if (live > most) most = live; at[$2] = 1 }
    /^f/ { if (!at[$2]) bad++; delete at[$2]; live--; f++ }
    END { print (bad + 0), (n == f), (n > 5000), (most <= 1024) }' \
    "$work/cross.vmt" >"$work/got"
equal '0 1 1 1' "$(cat "$work/got")" "what threads hand over, in the trace"
expect 0 'verdict +passed' ctl replay "$work/cross.vmt" --clients 2 \
    --stop-at 20000

# One that is still being recorded when the daemon ends is whole.
expect 0 '' ctl record start "$work/end.vmt" --arena kmem
ctl free --arena kmem "$(ctl alloc 4K --arena kmem)" >/dev/null
expect 0 '' ctl check
stop
grep -v '^#' "$work/end.vmt" | tr '\n' ';' >"$work/got"
equal 'a 1 4096;f 1;' "$(cat "$work/got")" "the trace of kmem"
finish
