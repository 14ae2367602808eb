# Goal: `advise` does what vmemctl help says, reports the pages affected, and is
# refused where touch would be; replacement policies can be chosen as the daemon
# runs, and bytes outlive all of it.
. "$(dirname "$0")/lib.sh"
need jq
start --frames 4M --swap-size 64M --va-size 4G
A=$(ctl alloc 1M)
expect 0 '' ctl fill "$A" --seed 3
equal 256 "$(json .pages advise "$A" 1M dontneed)" "evicted"
equal 0 "$(json .pages advise "$A" 1M dontneed)" "nothing left to evict"
equal 256 "$(json .pages advise "$A" 1M prefetch)" "brought in"
equal 0 "$(json .major touch "$A")" "no fault any more"
equal 256 "$(json .pages advise "$A" 1M pin)" "pinned"
equal 256 "$(json .total.pager.pinned_pages stats)" "counted"
B=$(ctl alloc 16M)
for policy in s3fifo random2 clock; do
	expect 0 '' ctl set replacement $policy
	equal "\"$policy\"" "$(json .replacement info)" "the policy"
	expect 0 '' ctl fill "$B" --seed 4
	equal 0 "$(json .major touch "$A")" "$policy: pinned pages stay"
	expect 0 '' ctl verify "$B" --seed 4
	expect 0 '' ctl check
done
expect 2 invalid_params ctl set replacement lru
# Three quarters of the frames, and no more.
expect 2 no_frames ctl advise "$B" 16M pin
expect 0 '' ctl advise "$B" 16M unpin
equal 256 "$(json .pages advise "$A" 1M unpin)" "unpinned"
expect 0 '' ctl verify "$A" --seed 3
equal 0 "$(json .total.pager.pinned_pages stats)" "none pinned"
# Counters of all that.
json '.total.pager | [.accesses, .miss_ratio, .refaults, .pageouts] | map(. > 0)' \
    stats >"$out"
equal '[true,true,true,true]' "$(cat "$out")" "counters"
equal true "$(json '.total.fault_latency.major.count > 0' stats)" "latency"

K=$(ctl alloc 64K --arena kmem)
expect 2 not_pageable ctl advise "$K" 64K pin --arena kmem
expect 2 not_allocated ctl advise "$A" 2M pin
expect 1 '' ctl advise "$A" 1M magic
expect 0 '' ctl free "$A"
expect 2 not_allocated ctl advise "$A" 1M pin
finish
