# Goal: without swap the frames are all there is: one page more is no_frames,
# and what was there stays intact.
. "$(dirname "$0")/lib.sh"
need jq
start --frames 4M --swap none
A=$(ctl alloc 2M)
expect 0 '' ctl fill "$A" --seed 9
B=$(ctl alloc 64M)
expect 2 no_frames ctl fill "$B"
expect 0 '' ctl verify "$A" --seed 9
expect 0 '' ctl free "$B"
expect 0 '' ctl alloc 1M
expect 0 '' ctl verify "$A" --seed 9
finish
