# Goal: in each fault mode a client sees the same: four times as many pages as
# frames are filled and verified, touch counts its faults, what isn't pageable is
# refused, and running out of frames and swap is the error of one request.
# Method: a daemon a mode, and one as an unprivileged user where that can be.
. "$(dirname "$0")/lib.sh"
need jq

# frames PATTERN ...: under sigsegv too, 8M are few enough.
in_mode()
{
	start --fault-mode "$1" --frames 8M --swap-size 64M --va-size 4G
	equal "\"$1\"" "$(json .fault_mode info)" "the mode"
	A=$(ctl alloc 32M)
	B=$(ctl alloc 1M)
	expect 0 '' ctl fill "$A" --seed 5
	expect 0 '' ctl fill "$B" --seed 6
	expect 0 '' ctl verify "$A" --seed 5
	expect 0 '' ctl verify "$B" --seed 6
	expect 5 mismatch ctl verify "$B" --seed 7
	# The fill's last pages may be there; 24M and more are not.
	major=$(json .major touch "$A")
	[ "$major" -ge 1000 ] || fail "$1: $major major faults"
	equal 8192 "$(json .pages touch "$A" --write)" "$1: pages"
	expect 0 '' ctl verify "$A" --seed 5
	K=$(ctl alloc 64K --arena kmem)
	expect 2 not_pageable ctl touch "$K" --arena kmem
	expect 0 '' ctl free "$A"
	C=$(ctl alloc 1M)
	equal 1048576 "$(ctl read "$C" 1M | tr -d '\0' | wc -c |
	    awk '{ print 1048576 - $1 }')" "$1: zeros"
	expect 0 '' ctl verify "$B" --seed 6
	stop

	start --fault-mode "$1" --frames 1M --swap none --va-size 1G
	A=$(ctl alloc 4M)
	expect 2 no_frames ctl touch "$A" --write
	expect 2 no_frames ctl fill "$A"
	expect 0 '' ctl ping
	expect 0 '' ctl free "$A"
	A=$(ctl alloc 512K)
	expect 0 '' ctl fill "$A"
	expect 0 '' ctl verify "$A"
	expect 0 '' ctl check
	stop
}

start
for mode in software uffd uffd_thread sigsegv; do
	if [ "$(json ".features.$mode" info)" = true ]; then
		modes="${modes-} $(echo $mode | tr _ -)"
	else
		echo "skipped: $mode isn't supported here"
	fi
done
stop
for mode in $modes; do
	in_mode "$mode"
done
case " $modes " in
*' sigsegv '*)
	expect 1 'max_map_count' "$vmemd" --socket "$work/s" \
	    --fault-mode sigsegv --frames 4G
	;;
esac
finish
