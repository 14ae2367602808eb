# Goal: the tour of README.md works as it is written.  Method: the commands
# between its ```sh fences are one script, run by a shell as a newcomer would,
# from a directory in which build/ and tests/ are where they are in the tree.
. "$(dirname "$0")/lib.sh"

mkdir "$work/top"
ln -s "$top_builddir" "$work/top/build"
ln -s "$top_srcdir/tests" "$work/top/tests"
{
	# A tour that breaks off leaves no daemon.
	# shellcheck disable=SC2016  # for the other shell
	echo 'VMEMD=; trap "kill \$VMEMD 2>/dev/null || :" EXIT'
	# shellcheck disable=SC2016  # the quotes are Markdown's
	sed -n '/^```sh$/,/^```$/p' "$top_srcdir/README.md" | grep -v '^```'
} >"$work/tour.sh"
[ "$(wc -l <"$work/tour.sh")" -ge 30 ] || fail "where is the tour?"
# A group of its own, to be ended as a whole if it hangs.
(
	unset VMEMD_SOCKET
	cd "$work/top"
	TMPDIR=$work timeout -k 5 300 sh -eu "$work/tour.sh"
) >"$out" 2>"$err" </dev/null || fail "the tour ended with $?"
cat "$out" "$err"

for line in 'hello, arena' 'exit 2' 'wired memory takes no faults: exit 2' \
    'full: exit 2' 'drained: 0'; do
	grep -qxF "$line" "$out" || fail "the tour didn't say: $line"
done
[ -s "$work/top/map.png" ] || fail "the tour drew no map.png"
finish
