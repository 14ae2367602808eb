# Goal: `touch` runs the fault path over pageable memory, counts its faults
# exactly, and is not_pageable for what isn't in kernel_map, though allocated.
. "$(dirname "$0")/lib.sh"
need jq
start
A=$(ctl alloc 1M)
equal '{"pages":256,"minor":256,"major":0}' \
    "$(json '{pages,minor,major}' touch "$A")" "first touch"
equal '{"pages":256,"minor":0,"major":0}' \
    "$(json '{pages,minor,major}' touch "$A" --write)" "second touch"
equal 2 "$(json .pages touch $((A + 4095)) --len 2)" "two bytes, two pages"
expect 0 '' ctl free "$A"
expect 2 not_allocated ctl touch "$A"

for arena in kmem kmem_va; do
	A=$(ctl alloc 64K --arena $arena)
	expect 2 not_pageable ctl touch "$A" --arena $arena
	expect 0 '' ctl free "$A" --arena $arena
done
expect 0 '' ctl arena create ids --size 1G
A=$(ctl alloc 64K --arena ids)
expect 2 not_pageable ctl touch "$A" --arena ids
finish
