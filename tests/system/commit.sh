# Goal: with strict commit a range is refused unless frames and swap cover it;
# with overcommit it costs nothing until it is touched, and running out is the
# error of the one operation that touched.
. "$(dirname "$0")/lib.sh"
need jq
start --frames 16M --swap-size 16M --commit strict
A=$(ctl alloc 20M)
expect 2 'alloc: no_frames' ctl alloc 20M
expect 0 '' ctl alloc 10M
expect 0 '' ctl free "$A"
expect 0 '' ctl alloc 20M
expect 0 '' ctl free --all
expect 0 '' ctl set commit overcommit
A=$(ctl alloc 1G)
expect 2 'touch: no_frames' ctl touch "$A" --write
expect 2 'set: ' ctl set commit strict
expect 0 '' ctl free "$A"
expect 0 '' ctl set commit strict
expect 2 no_frames ctl alloc 1G
expect 2 invalid_params ctl set commit sometimes
finish
