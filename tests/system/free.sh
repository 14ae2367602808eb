# Goal: `free` takes what is allocated, whole or in part, and nothing else:
# unaligned, interior, foreign and freed addresses are not_allocated, and a
# list of addresses is taken as a whole or not at all.
. "$(dirname "$0")/lib.sh"
need jq
start

expect 2 'free: not_allocated' ctl free 0x1000
expect 2 '"name": ?"not_allocated"' ctl -j free 0x1000
[ ! -s "$out" ] || fail "stdout isn't empty on an error"

A=$(ctl alloc 64K)
expect 2 not_allocated ctl free $((A + 4096))
expect 2 not_allocated ctl free $((A + 1))
expect 2 not_allocated ctl free "$A" --size 32K
expect 2 not_allocated ctl free "$A" --arena kmem
expect 0 '' ctl free "$A" --size 64K
expect 2 not_allocated ctl free "$A"

# Several, all or nothing.
A=$(ctl alloc 64K)
B=$(ctl alloc 1M)
expect 2 not_allocated ctl free "$A" "$B" 0x1000
expect 2 '' ctl free "$A" "$A"
equal 1114112 "$(inuse heap)" "bytes in use after refused lists"
equal '{"freed":2,"bytes":1114112}' \
    "$(json '{freed,bytes}' free "$A" "$B")" "free A B"

# In part: the middle, then what is left on both sides.
A=$(ctl alloc 1M)
expect 0 '' ctl free $((A + 262144)) --partial --size 256K
equal 786432 "$(inuse heap)" "bytes in use after a partial free"
expect 2 '' ctl free $((A + 262144)) --partial --size 256K
expect 2 '' ctl free $((A + 131072)) --partial --size 100
expect 2 '' ctl free $((A + 131072)) --partial --size 256K
expect 0 '' ctl free "$A"
expect 0 '' ctl free $((A + 524288))
# In part, of what came from a quantum cache.
A=$(ctl alloc 16K)
expect 0 '' ctl free $((A + 4096)) --partial --size 4K
expect 0 '' ctl free "$A"
expect 0 '' ctl free $((A + 8192))
equal 0 "$(inuse heap)" "bytes in use at the end"

# One way of saying what, exactly.
expect 2 invalid_params ctl call free '{"tag":"x","all":true}'
expect 2 invalid_params ctl call free '{}'
finish
