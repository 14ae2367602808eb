# Goal: `alloc` gives what was asked for, prints just addresses, and refuses
# what can't be, with the right exit code and name.
. "$(dirname "$0")/lib.sh"
need jq
start

# As the README has it, one line.
{ A=$(ctl alloc 64K) && ctl free "$A"; } ||
	fail "allocated and freed in one line of shell"
printf '%s\n' "$A" | grep -qxE '0x[0-9a-f]+' || fail "not just an address: $A"

# Sizes in all their spellings are the same size, rounded to the quantum.
for size in 65536 0x10000 64K 64k 61441; do
	equal 65536 "$(json .size alloc "$size" --tag sizes)" "size of $size"
done
expect 0 '' ctl free --tag sizes

# Several at once: one address a line, all different, all or nothing.
ctl alloc 1M --count 100 --tag many >"$work/many"
equal 100 "$(sort -u "$work/many" | wc -l)" "different addresses"
equal '{"freed":100,"bytes":104857600}' \
    "$(json '{freed,bytes}' free --tag many)" "free --tag"

# Constraints.
A=$(ctl alloc 4K --align 2M --phase 8K --tag c)
equal 8192 "$((A % 2097152))" "align 2M, phase 8K"
A=$(ctl alloc 12K --nocross 16K --tag c)
equal "$((A / 16384))" "$(((A + 12287) / 16384))" "nocross 16K"
heap=$(json .base arena info heap | tr -d '"')
top=$(printf '0x%x' $((heap + 1048575)))
A=$(ctl alloc 8K --min "$heap" --max "$top" --tag c)
[ $((A >= heap && A + 8191 <= top)) -eq 1 ] || fail "min and max: $A"
at=$(printf '0x%x' $((heap + 536870912)))
equal "$at" "$(ctl alloc 64K --at "$at" --tag c)" "at"
expect 2 'exists' ctl alloc 64K --at "$at"
for fit in instant best first next last; do
	expect 0 '^0x' ctl alloc 20K --fit "$fit" --tag c
done
expect 0 '' ctl free --tag c

# What can't be.
expect 2 'alloc: no_space' ctl alloc 4T
expect 2 'no_arena' ctl alloc 4K --arena nowhere
expect 2 'invalid_params' ctl alloc 0
expect 2 'invalid_params' ctl alloc 4K --align 3000
expect 2 'invalid_params' ctl alloc 4K --align 4K --phase 8K
expect 2 'invalid_params' ctl alloc 8K --nocross 4K
expect 2 'invalid_params' ctl alloc 4K --min 0x20000 --max 0x10000
for size in 64Q -1 1.5K '' 0x 18446744073709551616 99999999E; do
	expect 1 '' ctl alloc "$size"
	[ ! -s "$out" ] || fail "alloc '$size' printed something"
done
# 2^63 and 2^64-1 are sizes, but never to be had.
for size in 9223372036854775808 18446744073709551615; do
	expect 2 'no_space|invalid_params' ctl alloc "$size"
done
expect 2 'no_space' ctl alloc 40G --count 100
equal 0 "$(inuse heap)" "bytes in use at the end"
finish
