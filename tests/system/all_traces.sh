# Goal: every trace of $VMEM_TRACES replays clean from four clients with pattern
# verification.  Minutes long: make check-long.
. "$(dirname "$0")/lib.sh"
need jq
[ "${VMEM_LONG-}" = 1 ] || skip "long: make check-long"
set -- "$VMEM_TRACES"/*.vmt.xz
[ -f "$1" ] || skip "no traces in $VMEM_TRACES"
# a-node-workers has 53.7 GiB live at its peak, more than the default heap.
start --va-size 128G
for trace; do
	case $(basename "$trace") in
	b-*) arena=kmem ;;
	*) arena=heap ;;
	esac
	before=$(inuse $arena)
	echo "$(basename "$trace") into $arena"
	expect 0 '' ctl -t 1200000 replay "$trace" --arena $arena --clients 4 \
	    --verify pattern --max-fails 0
	cat "$out"
	equal "$before" "$(inuse $arena)" "bytes in use of $arena"
done
finish
