# Goal: kmem serves NetBSD's size table from caches, wired, with statistics for
# each; the direct map, switched while running, makes single pages cost no VA,
# and what was handed out under either setting stays good.
# Method: allocate each size of the table and look at the cache that it came
# from; fill and verify; compare kmem's and kmem_va's bytes with the switch on
# and off; a request that waits while the caches hold what it needs.
. "$(dirname "$0")/lib.sh"
need jq
start --wired 16M

# served SIZE: requests that kmem's cache of that size has had.
served()
{
	json "[.entries[] | select(.size == $1) | .hits + .misses][0]" \
	    dump caches --arena kmem
}

va()
{
	ctl -j stats --arena kmem_va | jq '.. | .inuse_bytes? // empty' |
	    head -n 1
}

pages()
{
	ctl -j stats --arena kmem | jq '.. | .direct_map? // empty | .pages'
}

sizes=$(json '[.entries[].size]' dump caches --arena kmem)
equal '[8,16,24,32,40,48,56,64,80,96,112,128,160,192,224,256,320,384,448,512,768,1024,2048,4096,8192,16384]' \
    "$sizes" 'the size table'

# Each request is served by the smallest cache that is large enough.
for pair in 1:8 8:8 9:16 100:112 513:768 1024:1024 1025:2048 4096:4096 \
    4097:8192 16384:16384; do
	size=${pair%:*}
	serves=${pair#*:}
	before=$(served "$serves")
	A=$(ctl alloc "$size" --arena kmem --tag t)
	equal $((before + 1)) "$(served "$serves")" "$size comes from the cache of $serves"
	expect 0 '' ctl fill "$A" --arena kmem --seed 3
	expect 0 '' ctl verify "$A" --arena kmem --seed 3
	expect 2 not_pageable ctl touch "$A" --arena kmem
done
expect 0 '' ctl check
equal 10 "$(json '[.entries[] | select(.type == "alloc")] | length' \
    dump segments --arena kmem)" 'all are listed'
ctl free --tag t --arena kmem >/dev/null

# Beyond the table, and with a wish: ranges of the arena itself.
all='[.entries[] | .hits + .misses] | add'
before=$(json "$all" dump caches --arena kmem)
ctl alloc 64K --arena kmem --tag t >/dev/null
ctl alloc 64 --align 64 --arena kmem --tag t >/dev/null
equal "$before" "$(json "$all" dump caches --arena kmem)" \
    'neither came from a cache'
ctl free --tag t --arena kmem >/dev/null

# What is freed is zero for the next.
A=$(ctl alloc 48 --arena kmem)
ctl fill "$A" --arena kmem --seed 9 >/dev/null
ctl free "$A" --arena kmem >/dev/null
B=$(ctl alloc 48 --arena kmem)
equal "$A" "$B" 'the same item again'
equal '' "$(ctl read "$B" 48 --arena kmem | tr -d '\000')" 'zero'
ctl free "$B" --arena kmem >/dev/null

# A part of an item is kept until all of it goes.
A=$(ctl alloc 1024 --arena kmem)
expect 0 '' ctl free "$A" --arena kmem --size 512 --partial
expect 0 '' ctl free "$(printf '0x%x' $((A + 512)))" --arena kmem
ctl reap >/dev/null
equal 0 "$(inuse kmem)" 'nothing is left in kmem'

# The direct map.
equal false "$(json .direct_map info)" 'off at first'
empty=$(va)
off=$(ctl alloc 4K --arena kmem)
[ "$(va)" -gt "$empty" ] || fail 'a page costs VA while it is off'
ctl set direct_map on >/dev/null
equal true "$(json .direct_map info)" 'switched on'
before=$(va)
ctl alloc 4K --arena kmem --count 200 --tag d >/dev/null
equal "$before" "$(va)" 'two hundred pages cost no VA'
equal 200 "$(pages)" 'they are of the window'
equal 201 "$(json '[.entries[] | select(.type == "alloc")] | length' \
    dump segments --arena kmem --limit 1000)" 'and are listed'
equal 201 "$(json '[.entries[] | select(.type == "alloc")] | length' \
    dump segments --arena kmem)" 'with the default limit as well'
on=$(ctl alloc 100 --arena kmem)
equal "$before" "$(va)" 'nor does a slab of one page'
expect 0 '' ctl fill "$on" --arena kmem --seed 5
expect 2 not_pageable ctl touch "$on" --arena kmem
expect 0 '' ctl check
ctl set direct_map false >/dev/null
expect 0 '' ctl verify "$on" --arena kmem --seed 5
expect 0 '' ctl free "$on" --arena kmem
expect 0 '' ctl free "$off" --arena kmem
ctl free --tag d --arena kmem >/dev/null
ctl reap >/dev/null
equal 0 "$(pages)" 'all pages are back'
expect 1 '' ctl set direct_map
expect 2 'on or off' ctl set direct_map perhaps

# The window is bounded by --wired, and then pages are had from the arena, as
# long as there is wired memory at all; running out is an error, and undone.
ctl set direct_map on >/dev/null
expect 2 no_space ctl alloc 4K --arena kmem --count 5000
ctl reap >/dev/null
equal 0 "$(inuse kmem)" 'a refused count leaves nothing'
equal 0 "$(pages)" 'nor pages of the window'

# Who waits is served though the caches hold what it needs.
ctl set direct_map off >/dev/null
ctl alloc 4K --arena kmem --count 3000 --tag w >/dev/null
"$vmemctl" -t 120000 alloc 8M --arena kmem --sleep-ms -1 >"$work/waited" &
background=$!
waiting()
{
	[ "$(json '[.. | .waiting? // empty] | first' stats --arena kmem)" = 1 ]
}
poll 'the request to wait' waiting
ctl free --tag w --arena kmem >/dev/null
wait "$background" || fail 'the waiting request'
background=
expect 0 '' ctl free "$(cat "$work/waited")" --arena kmem
stop

# From the start, by the option and by the file.
start --direct-map on
equal true "$(json .direct_map info)" '--direct-map on'
stop
printf 'direct-map = on\n' >"$work/conf"
start --config "$work/conf"
equal true "$(json .direct_map info)" 'direct-map = on'
# A signal reads the file again.
printf 'direct-map = off\n' >"$work/conf"
kill -HUP "$daemon"
is_off()
{
	[ "$(json .direct_map info)" = false ]
}
poll 'the file to be read again' is_off
finish
