# Goal: the recipes of doc/soak.md work as they are written.  Method: the
# commands between its ```sh fences are one script, run by a shell as a newcomer
# would; the job in it is parsed, too.
. "$(dirname "$0")/lib.sh"

mkdir "$work/top"
ln -s "$top_builddir" "$work/top/build"
ln -s "$top_srcdir/tests" "$work/top/tests"
page=$top_srcdir/doc/soak.md
{
	# Recipes that break off leave no daemon.
	# shellcheck disable=SC2016  # for the other shell
	echo 'VMEMD=; trap "kill \$VMEMD 2>/dev/null || :" EXIT'
	# shellcheck disable=SC2016  # the quotes are Markdown's
	sed -n '/^```sh$/,/^```$/p' "$page" | grep -v '^```'
} >"$work/recipes.sh"
[ "$(grep -c 'vmemctl soak' "$work/recipes.sh")" -ge 4 ] ||
    fail "where are the recipes?"
(
	unset VMEMD_SOCKET
	cd "$work/top"
	TMPDIR=$work timeout -k 5 300 sh -eu "$work/recipes.sh"
) >"$out" 2>"$err" </dev/null || fail "the recipes ended with $?"
cat "$out" "$err"
for file in gate/verdict.json gate/report.html frag/intervals.ndjson \
    best/verdict.json night.ndjson night/report.html; do
	[ -s "$work/top/$file" ] || fail "no $file"
done
for fit in instant best first next last; do
	grep -q "^$fit \"external_fragmentation\"" "$out" || fail "no line $fit"
done

# shellcheck disable=SC2016
sed -n '/^```ini$/,/^```$/p' "$page" | grep -v '^```' >"$work/page.job"
expect 0 'kill = 0.1' ctl soak "$work/page.job" --parse-only
finish
