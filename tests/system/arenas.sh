# Goal: the arenas that a daemon starts with are those of the contract; others
# can be made, used and ended, and what can't be made is refused.
. "$(dirname "$0")/lib.sh"
need jq
start
names=$(ctl -j arena list | jq -r '.[].name' | sort | tr '\n' ' ')
equal "heap kernel_va kmem kmem_va vmem_meta " "$names" "arenas"
equal '[4096,null]' "$(json '[.quantum,.source]' arena info kernel_va)" kernel_va
equal '["kernel_va",65536]' "$(json '[.source,.qcache_max]' arena info kmem_va)" \
    kmem_va
equal '["kmem_va",8,false]' "$(json '[.source,.quantum,.pageable]' \
    arena info kmem)" kmem
equal '["kernel_va",4096,65536,true]' "$(json \
    '[.source,.quantum,.qcache_max,.pageable]' arena info heap)" heap
equal 51539607552 "$(json .size arena info heap)" "3/4 of 64G"
expect 2 no_arena ctl arena info nothing

# An identifier arena, at the bottom of all addresses: 0 is one of them.
expect 0 '' ctl arena create ids --size 100 --quantum 1
equal 0x0 "$(ctl alloc 1 --arena ids --fit first)" "the first id"
equal 0x1 "$(ctl alloc 1 --arena ids --fit first)" "the second"
expect 2 exists ctl arena create ids --size 100 --quantum 1
expect 2 busy ctl arena destroy ids
expect 0 '' ctl free 0x0 --arena ids
expect 0 '' ctl arena destroy ids --force
expect 2 no_arena ctl alloc 1 --arena ids

# And at the top.
expect 0 '' ctl arena create top --base 0xffffffffffff0000 --size 64K
equal 0xfffffffffffff000 "$(ctl alloc 4K --arena top --fit last)" "last page"
expect 2 no_space ctl alloc 64K --arena top
expect 0 '' ctl free 0xfffffffffffff000 --arena top
expect 0 '' ctl arena destroy top

# Below another.
expect 0 '' ctl arena create sub --source heap --qcache-max 64K
A=$(ctl alloc 64K --arena sub)
expect 2 busy ctl arena destroy heap
expect 0 '' ctl free "$A" --arena sub
expect 0 '' ctl arena destroy sub
equal 0 "$(inuse heap)" "in use when the arena below is gone"

# What can't be made.
for params in '{"name":"x"}' '{"name":"x","size":0}' \
    '{"name":"x","size":4096,"quantum":3000}' \
    '{"name":"x","size":5000}' '{"name":"","size":4096}' \
    '{"name":"a/b","size":4096}' '{"name":"x","size":4096,"base":1}' \
    '{"name":"x","size":8192,"base":"0xfffffffffffff000"}' \
    '{"name":"x","size":4096,"qcache_max":"1G"}' \
    '{"name":"x","size":4096,"policy":"worst"}' \
    '{"name":"x23456789012345678901234567890123","size":4096}'; do
	expect 2 invalid_params ctl call arena.create "$params"
done
expect 2 no_arena ctl call arena.create '{"name":"x","source":"nowhere"}'
for name in kernel_va kmem_va vmem_meta; do
	expect 2 'busy|not_owner' ctl arena destroy "$name" --force
done
finish
