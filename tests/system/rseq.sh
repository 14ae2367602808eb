# Goal: VMEM_RSEQ chooses how quantum caches are per CPU, info and dump caches
# say which it is, and whichever it is they serve and count the same.
# Method: a daemon with each value; the same requests, and the caches' counters.
. "$(dirname "$0")/lib.sh"
need jq

# caches FILTER: of the heap's cache of four pages.
caches()
{
	json "[.entries[] | select(.size == 16384)][0] | $1" \
	    dump caches --arena heap
}

# with VALUE: a daemon with VMEM_RSEQ=VALUE; sets $mechanism.
with()
{
	VMEM_RSEQ=$1
	export VMEM_RSEQ
	start --frames 16M
	mechanism=$(json .qcache_mechanism info | tr -d '"')
	equal "\"$mechanism\"" "$(caches .mechanism)" "VMEM_RSEQ=$1: dump caches"
	case $mechanism in
	rseq-*) has=true ;;
	*) has=false ;;
	esac
	equal "$has" "$(json .features.rseq info)" "VMEM_RSEQ=$1: the feature"
	for _ in 1 2 3; do
		A=$(ctl alloc 16K) && expect 0 '' ctl free "$A"
		expect 2 not_allocated ctl free "$A"
	done
	equal 3 "$(caches '.hits + .misses')" "VMEM_RSEQ=$1: allocations"
	expect 0 '' ctl reap
	equal 0 "$(caches .held)" "VMEM_RSEQ=$1: held after reap"
	expect 0 '' ctl check
	stop
}

with off
equal lock "$mechanism" "VMEM_RSEQ=off"
with cpu
cpu=$mechanism
with ""
best=$mechanism
# Where there are sequences, both kinds are; what isn't there isn't claimed.
case $cpu in
lock) equal lock "$best" "no sequences by CPU" ;;
rseq-cpu)
	case $best in
	rseq-cpu | rseq-mm_cid) ;;
	*) fail "VMEM_RSEQ=cpu gives $cpu, and without it it is $best" ;;
	esac
	;;
*) fail "VMEM_RSEQ=cpu gives $cpu" ;;
esac
finish
