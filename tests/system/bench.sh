# Goal: every benchmark works, and says what it measured in a form that can be
# read.  Method: each is run at smoke size, in both forms; no time is judged.
. "$(dirname "$0")/lib.sh"
need jq

# json PROGRAM FILTER WHAT: the filter holds for the document in $work/json.
json()
{
	jq -e "$2" "$work/json" >/dev/null || {
		fail "$1 --quick --json: $3"
		head -n 60 "$work/json"
	}
}

seen=0
for bench in "$top_builddir"/bench/bench_*; do
	case $bench in *.*) continue ;; esac
	[ -x "$bench" ] || continue
	name=$(basename "$bench")
	seen=$((seen + 1))

	"$bench" --list >"$work/list" || fail "$name --list: exit $?"
	[ -s "$work/list" ] || fail "$name has no cases"

	"$bench" --quick --json >"$work/json" 2>"$work/err" ||
		fail "$name --quick --json: exit $?: $(cat "$work/err")"
	[ ! -s "$work/err" ] ||
		fail "$name says on stderr: $(cat "$work/err")"
	json "$name" ".bench == \"$name\" and .schema_version == 1 and .quick
	    and (.machine.cpus > 0) and (.commit | length > 0)" "the head"
	json "$name" ".cases | length == $(wc -l <"$work/list")" \
	    "a case of --list is missing"
	json "$name" '[.cases[].results[] | select(.status == "failed")]
	    | length == 0' "a contender failed"
	json "$name" '[.cases[].results[] | select(.status == "skipped")
	    | .reason | length > 0] | all' "skipped without a reason"
	json "$name" '[.cases[].results[] | select(.status == "ok")
	    | (.metrics | length > 0)] | all' "a contender without a result"
	# shellcheck disable=SC2016
	json "$name" '[.cases[] | .counted as $counted | .results[].metrics[]
	    | (.phases | length) == (if $counted then 1 else 2 end)
	    and .min <= .median and .median <= .max and .mad >= 0] | all' \
	    "a metric whose figures contradict each other"

	# The table: of one case, and 80 columns wide.
	one=$(sed -n '1s/ .*//p' "$work/list")
	"$bench" --quick --only "$one" --json="$work/json" >"$work/table" ||
		fail "$name --only $one: exit $?"
	json "$name" ".cases[0].name == \"$one\"" "--only $one"
	grep -q "^$one: " "$work/table" || fail "$name: no table of $one"
	awk 'length > 80' "$work/table" | grep . &&
		fail "$name: wider than 80 columns"

	"$bench" --help | grep -q "^usage: $name" || fail "$name --help"
	for bad in --nonsense --only=no-such-case --phases=1 extra; do
		rc=0
		"$bench" --quick "$bad" >/dev/null 2>&1 || rc=$?
		[ "$rc" -eq 1 ] || fail "$name --quick $bad: exit $rc, not 1"
	done
done
[ "$seen" -gt 0 ] || fail "no benchmark was built"
finish
