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
for file in gate/verdict.json gate/report.html frag/report.html \
    night.ndjson night/verdict.json night/report.html; do
	[ -s "$work/top/$file" ] || fail "no $file"
done
equal 3 "$(grep -cE '^[0-9.e-]+ at [0-9.]+ s$' "$out")" "worst moments"
for fit in instant best first next last; do
	grep -qE "^$fit +refused " "$out" || fail "no line $fit"
done
equal 2 "$(grep -cE '^(instant|next) +refused +no_space' "$out")" \
    "fits that had no room"
grep -q '^\[python\]' "$out" || fail "no soak of a trace's sizes"
grep -q 'ETA' "$work/top/night.txt" || fail "no status in the night"

# shellcheck disable=SC2016
sed -n '/^```ini$/,/^```$/p' "$page" | grep -v '^```' >"$work/page.job"
expect 0 'kill = 0.1' ctl soak "$work/page.job" --parse-only
finish
