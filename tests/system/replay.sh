# Goal: real traces replay clean: no overlap, nothing lost, nothing left, the
# arena's bytes in use as before.  Method: the three traces of the tree, with
# pattern verification, from one client and from four.
. "$(dirname "$0")/lib.sh"
need jq
start

# clean TRACE ARENA OPTION...: it passes, and its report is plausible.
clean()
{
	trace=$1
	arena=$2
	shift 2
	before=$(inuse "$arena")
	expect 0 '' ctl -j replay "$traces/$trace.vmt.xz" --arena "$arena" "$@"
	jq -e '.ops_per_s > 0 and .peak_live_bytes > 0 and
	    .extent_bytes >= .peak_live_bytes and .overlaps == 0 and
	    .corrupt == 0 and .lost_bytes == 0 and .violations == 0 and
	    .failed_allocs == 0 and .skipped_ranges == 0' "$out" >/dev/null || {
		fail "$trace: the report"
		cat "$out"
	}
	equal "$before" "$(inuse "$arena")" "$trace: bytes in use of $arena"
}

clean a-python heap --clients 4 --verify pattern
clean a-redis-server heap --clients 4 --verify pattern
clean a-redis-server heap --fit best
clean a-python heap --verify off
clean b-sqlite3 kmem --clients 4
expect 0 'extent' ctl replay "$traces/a-python.vmt.xz" --clients 2
finish
