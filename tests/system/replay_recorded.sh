# Goal: --speed recorded keeps to the times beside the trace: never faster.
. "$(dirname "$0")/lib.sh"
need jq xz
start
printf '# vmem-trace 1\na 1 4096\na 2 8192\nf 1\nf 2\n' |
    xz >"$work/t.vmt.xz"
printf '0\n200000000\n200000000\n100000000\n' | xz >"$work/t.times.xz"
from=$(date +%s%N)
expect 0 '' ctl replay "$work/t.vmt.xz" --speed recorded --clients 2
took=$((($(date +%s%N) - from) / 1000000))
[ $took -ge 500 ] || fail "500 ms of operations took $took ms"
rm "$work/t.times.xz"
expect 1 'times' ctl replay "$work/t.vmt.xz" --speed recorded
finish
