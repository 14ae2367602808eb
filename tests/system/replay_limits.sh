# Goal: what can't fit is skipped and said, what is refused is counted, and is
# exit code 3 above --max-fails.
. "$(dirname "$0")/lib.sh"
need jq
start --frames 8M --swap-size 8M --commit strict
expect 0 '' ctl arena create small --size 16M
# Larger than the arena: skipped.
printf '# vmem-trace 1\na 1 4096\na 2 33554432\nf 2\nf 1\n' >"$work/t.vmt"
expect 0 '' ctl -j replay "$work/t.vmt" --arena small
equal 1 "$(jq .skipped_ranges "$out")" "skipped: larger than the arena"
expect 0 'skip' ctl replay "$work/t.vmt" --arena small
# Larger than frames and swap, under strict commit.
expect 0 '' ctl -j replay "$work/t.vmt" --arena heap
equal 1 "$(jq .skipped_ranges "$out")" "skipped: larger than frames and swap"
# Fits alone, but not all at once: refused.
{
	echo '# vmem-trace 1'
	for i in 1 2 3 4 5 6; do
		echo "a $i 4194304"
	done
	echo 'f 1'
	echo 'f 6'
} >"$work/t.vmt"
expect 3 '' ctl -j replay "$work/t.vmt" --arena small
equal 2 "$(jq .failed_allocs "$out")" "refused"
expect 0 '' ctl replay "$work/t.vmt" --arena small --max-fails 2
expect 3 '' ctl replay "$work/t.vmt" --arena small --max-fails 1
equal 0 "$(inuse small)" "in use after the refusals"
finish
