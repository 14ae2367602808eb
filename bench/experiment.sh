#!/bin/sh
# experiment.sh - measure doc/experiment.md anew: its tables and its pictures.
#
#	bench/experiment.sh [BUILD]	BUILD: where vmemctl was built (build)
#
# Replays two traces of the tree, and a-make-redis of $VMEM_TRACES (default:
# ../shared/traces beside the tree; left as it is when it isn't there), through
# the models by `vmemctl compare`.  What it measures goes between the marks
# <!-- NAME --> and <!-- end --> of the document; the words around them are
# people's: read them again after.  A minute, on a machine that does nothing
# else.  Needs jq.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$top/build}" && pwd)
traces=${VMEM_TRACES:-$top/../shared/traces}
doc=$top/doc/experiment.md
work=$(mktemp -d "${TMPDIR:-/tmp}/vmemd-experiment.XXXXXX")
trap 'rm -rf "$work"' EXIT
command -v jq >/dev/null || {
	echo "experiment.sh: no jq" >&2
	exit 1
}

# compare NAME TRACE OPTION...: into $work/NAME.json.
compare()
{
	name=$1
	shift
	echo "$name: vmemctl compare $*" >&2
	"$build/client/vmemctl" -j compare "$@" >"$work/$name.json"
}

# ---- tables ----------------------------------------------------------------

# table NAME FILE HEAD ROW: a markdown table, a row for each model.  ROW is a jq
# filter from a model to its cells, in which `fix(n)` rounds to n places.
table()
{
	{
		echo "$3"
		echo "$3" | sed 's/[^|]//g; s/||*/&/; s/|/| ---: /g; s/ ---: $//
		    s/^| ---: /| --- /; s/$/|/; s/||$/|/'
		jq -r 'def fix(n): . * pow(10; n) | round / pow(10; n);
		    def at: if .shown then "\(.value) @\(.first_op)"
			else "no" end;
		    def bytes: if . >= 1048576 then
			"\(. / 1048576 | fix(1)) MiB"
			else "\(. / 1024 | fix(1)) KiB" end;
		    .models[] | '"$4"' | map(tostring) |
		    "| " + join(" | ") + " |"' "$work/$2.json"
	} >"$work/$1.md"
}

costs()
{
	table "$1" "$2" '| design | alloc p50 ns | p99 | free p50 ns | p99 | metadata B/range | fixed | extent / peak |' '
	    [ "`\(.model)`", .ns_alloc, .alloc_latency.p99_ns, .ns_free,
	      .free_latency.p99_ns, (.bytes_per_range | fix(1)),
	      (.fixed_bytes | bytes), (.extent_over_peak | fix(3)) ]'
}

claims()
{
	table "$1" "$2" '| design | A-1 bytes of a record | A-2 asked for in whole frees | A-3 reserve failed | B allocations in faults | C depth |' '
	    [ "`\(.model)`",
	      (.claims["A-1"] | if .shown then .value else "no" end),
	      (.claims["A-2"] | at), (.claims["A-3"] | at),
	      (.claims["B"] | at), (.claims["C"] | at) ]'
}

shortages()
{
	table "$1" "$2" '| design | asked for in whole frees | in parts | 90 %: allocs refused | frees | parts | 50 %: allocs refused | frees | parts |' '
	    [ "`\(.model)`", .free_time_allocations_whole,
	      .free_time_allocations_part ] + [ .shortages[] |
	      .failed_allocs, .failed_frees, .failed_parts ]'
}

reserves()
{
	table "$1" "$2" '| design | records live | set aside | reserved | unused | failed | deadlocks in alloc | free | fault |' '
	    [ "`\(.model)`", .records, .records_set_aside, .reservations.made,
	      .reservations.unused, .reservations.exhausted,
	      .deadlocks_alloc, .deadlocks_free, .deadlocks_fault ]'
}

threads()
{
	table "$1" "$2" '| design | 1 thread: ns | 2 | 4 | 8 | held p50 ns | p99 | waits a lock, 8 threads |' '
	    [ "`\(.model)`" ] + [ .threads[] | .ns_per_op | round ] +
	    (.threads[-1] | [ .hold.p50_ns, .hold.p99_ns,
	      (if .locks_taken > 0 then .lock_waits / .locks_taken
	       else 0 end | fix(4)) ])'
}

lookups()
{
	table "$1" "$2" '| design | 100 | 1000 | 10,000 | 100,000 |' '
	    [ "`\(.model)`" ] + [ .lookups[].per_fault | fix(1) ]'
}

pools()
{
	{
		echo '| pool page | at most in such pages | of it no item'\''s |'
		echo '| ---: | ---: | ---: |'
		jq -r '.models[] | select(.model == "pools") | .pool_pages[] |
		    "| \(.page_bytes / 1024) KiB | \(.peak_bytes / 1048576 *
		    10 | round / 10) MiB | \(.waste_bytes / .peak_bytes *
		    100 | round) % |"' "$work/$2.json"
	} >"$work/$1.md"
}

# ---- the document ----------------------------------------------------------

# Put each $work/NAME.md between its marks.
fill_in()
{
	awk -v work="$work" '
	    /^<!-- end -->$/ { inside = 0 }
	    !inside { print }
	    /^<!-- [a-z-]+ -->$/ && $2 != "end" {
		file = work "/" $2 ".md"
		if ((getline line < file) > 0) {
			print line
			while ((getline line < file) > 0)
				print line
			inside = 1
		}
		close(file)
	    }' "$doc" >"$work/new"
	cat "$work/new" >"$doc"
}

# svg NAME: bars of that name in doc/.
svg()
{
	printf '%s' "$top/doc/experiment-$1.svg"
}

compare redis "$top/tests/traces/a-redis-server.vmt.xz" --svg "$(svg redis)"
compare wired "$top/tests/traces/a-redis-server.vmt.xz" --pageable 0 \
    --threads 1 --models kernel_map,kernel_map+nomerge,vmem
compare malloc "$top/tests/traces/b-sqlite3.vmt.xz" --threads 1 --models \
    kernel_map,pools,vmem,kmem+kernel_map,kmem+pools,kmem+vmem,kmem+vmem+direct_map
costs redis-costs redis
claims redis-claims redis
costs wired-costs wired
costs malloc-costs malloc
claims malloc-claims malloc
if [ -e "$traces/a-make-redis.vmt.xz" ]; then
	compare make "$traces/a-make-redis.vmt.xz" --svg "$(svg make)"
	for what in costs claims shortages reserves threads lookups pools; do
		$what make-$what make
	done
else
	echo "experiment.sh: no a-make-redis in $traces: left as it is" >&2
fi
{
	printf 'Measured on %s: %s, %s CPUs, Linux %s, commit %s.\n' \
	    "$(date -u +%F)" \
	    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
	    "$(nproc)" "$(uname -r)" \
	    "$(git -c safe.directory='*' -C "$top" rev-parse --short HEAD \
	    2>/dev/null || echo unknown)"
	jq -r '"A look at the clock takes \(.clock_ns) ns, and is in every" +
	    " time of one operation."' "$work/redis.json"
} >"$work/machine.md"
fill_in
