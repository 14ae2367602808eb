# Goal: a tag frees what carries it, in its arena, and nothing else; --all frees
# the rest.
. "$(dirname "$0")/lib.sh"
need jq
start
ctl alloc 64K --count 10 --tag red >"$work/red"
ctl alloc 64K --count 5 --tag blue >"$work/blue"
ctl alloc 64K >"$work/none"
ctl alloc 64K --arena kmem --tag red >"$work/kmem"
equal '{"freed":10,"bytes":655360}' \
    "$(json '{freed,bytes}' free --tag red)" "free --tag red"
equal '{"freed":0,"bytes":0}' \
    "$(json '{freed,bytes}' free --tag red)" "the same again"
equal '{"freed":1,"bytes":65536}' \
    "$(json '{freed,bytes}' free --tag red --arena kmem)" "in kmem"
equal '{"freed":6,"bytes":393216}' \
    "$(json '{freed,bytes}' free --all)" "free --all"
expect 0 '' ctl alloc 4K --tag "$(printf '%0128d' 0)"
expect 2 invalid_params ctl alloc 4K --tag "$(printf '%0129d' 0)"
expect 2 invalid_params ctl call alloc '{"size":4096,"tag":""}'
finish
