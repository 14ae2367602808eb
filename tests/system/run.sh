# Goal: `run` does a script of commands over one connection: in order, from a
# file or standard input; it stops at the first error, or with -k goes on and
# tells the first code.
. "$(dirname "$0")/lib.sh"
need jq
start
cat >"$work/script" <<'END'
# a comment, and an empty line

arena create lab --size 1M
alloc 64K --arena lab --tag a   # to the end of the line
alloc 64K --arena lab --tag "b c"
free --arena lab --tag "b c"
END
expect 0 '^0x' ctl run "$work/script"
equal 65536 "$(inuse lab)" "in use after the script: run keeps"

printf 'free 0x1000\nalloc 4K --arena lab\n' >"$work/script"
expect 2 not_allocated ctl run "$work/script"
equal 65536 "$(inuse lab)" "in use: stopped at the error"
expect 2 not_allocated ctl run -k "$work/script"
equal 69632 "$(inuse lab)" "in use: went on"

# Many, pipelined, from standard input: each reply once and in order.
i=0
while [ $i -lt 2000 ]; do
	echo "alloc 4K --arena many"
	i=$((i + 1))
done >"$work/script"
expect 0 '' ctl arena create many --size 8M
ctl run - <"$work/script" >"$out" || fail "run -"
equal 2000 "$(sort -u "$out" | wc -l)" "addresses of 2000 allocs"
sed 's/^/free /; s/$/ --arena many/' "$out" >"$work/script"
expect 0 '' ctl run "$work/script"
equal 0 "$(inuse many)" "in use once all are freed"

printf 'bogus\n' >"$work/script"
expect 1 'bogus' ctl run "$work/script"
expect 1 '' ctl run "$work/nothing"
finish
