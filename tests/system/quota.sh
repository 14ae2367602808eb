# Goal: quotas bound the bytes and the segments of a connection and of a uid,
# and what is freed may be had again.
. "$(dirname "$0")/lib.sh"
need jq
start --quota-bytes 1M --quota-segments 10
A=$(ctl alloc 768K)
expect 2 'alloc: quota' ctl alloc 512K
expect 0 '' ctl alloc 256K
expect 2 quota ctl alloc 4K
expect 0 '' ctl free "$A"
expect 2 quota ctl alloc 4K --count 10
expect 0 '' ctl alloc 4K --count 9
expect 2 quota ctl alloc 4K
expect 0 '' ctl free --all
expect 0 '' ctl alloc 1M
finish
