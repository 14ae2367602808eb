# Goal: what can't start says why, on standard error, and exits with 1.
. "$(dirname "$0")/lib.sh"

# refuse PATTERN OPTION...: the daemon ends at once, with 1 and that message.
refuse()
{
	pattern=$1
	shift
	expect 1 "$pattern" timeout 60 "$vmemd" "$@"
	[ -s "$err" ] || fail "nothing on standard error: $*"
}

refuse 'no/such' --socket "$work/no/such/dir/sock"
# /proc is unwritable for root too.
refuse 'proc' --socket /proc/vmemd.sock
refuse 'too long|long' --socket "$work/$(printf '%0200d' 0)"
for option in --bogus "--threads many" "--threads 100000" "--va-size 64Q" \
    "--va-size 0" "--frames -1" "--commit maybe" "--fault-mode magic" \
    "--log-level loud" "--swap-size x" "--quota-bytes 1.5" operand; do
	# shellcheck disable=SC2086
	refuse '' --socket "$work/s" $option
done
refuse 'no/such' --socket "$work/s" --config "$work/no/such/file"
refuse 'no/such' --socket "$work/s" --swap "$work/no/such/file"
refuse 'group' --socket "$work/s" --group no-such-group-here
[ ! -e "$work/s" ] || fail "a socket is left behind"
expect 0 'vmemd' "$vmemd" --version
expect 0 'socket' "$vmemd" --help

# And for vmemctl: usage is 1, and a daemon that isn't there 4.
for args in '' bogus '-z' 'arena' 'arena bogus' 'free' 'alloc' \
    'alloc 4K 5K' 'alloc 4K --bogus 1' 'alloc 4K --align' 'call' \
    'replay' 'replay x --clients 0' 'arena create'; do
	# shellcheck disable=SC2086
	expect 1 '' ctl $args
	[ ! -s "$out" ] || fail "usage on standard output: $args"
done
expect 4 '' ctl ping
expect 4 '' ctl -s "$work/elsewhere" ping
expect 0 'alloc' ctl help
expect 0 'nocross' ctl help alloc
finish
