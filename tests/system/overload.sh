# Goal: a full arena refuses, loses nothing, and serves again once there is
# room; several clients at once.
. "$(dirname "$0")/lib.sh"
need jq
start
expect 0 '' ctl arena create lab --size 16M --qcache-max 64K
i=0
while [ $i -lt 600 ]; do
	echo "alloc $((4096 * (1 + i % 16))) --arena lab --tag t"
	i=$((i + 1))
done >"$work/script"
clients=
for i in 1 2 3 4; do
	"$vmemctl" run -k "$work/script" >"$work/out.$i" 2>"$work/err.$i" &
	clients="$clients $!"
done
background="$background $clients"
for pid in $clients; do
	code=0
	wait "$pid" || code=$?
	equal 2 $code "exit code of a client that fills the arena"
done
grep -hvE 'no_space' "$work"/err.[1-4] && fail "another error than no_space"
cat "$work"/out.[1-4] | sort >"$work/addrs"
equal "$(wc -l <"$work/addrs")" "$(uniq "$work/addrs" | wc -l)" \
    "an address was given twice"
expect 0 '' ctl check
equal "$(wc -l <"$work/addrs")" "$(json .freed free --arena lab --tag t)" \
    "freed as many as were given"
equal 0 "$(inuse lab)" "in use once freed"
expect 0 '' ctl alloc 16M --arena lab
finish
