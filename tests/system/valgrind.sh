# Goal: nobody reads or writes what isn't theirs where there are no restartable
# sequences: quantum caches under valgrind, whose processor has none.
# Method: their tests, shorter, in memcheck; VMEM_RSEQ doesn't matter there.
. "$(dirname "$0")/lib.sh"
need valgrind

if grep -q '^#define VMEM_SANITIZED' "$top_builddir/config.h"; then
	skip "a sanitizer and valgrind don't go together"
fi
t=$top_builddir/tests/unit/test_qcache_threads
[ -x "$t" ] || skip "no cmocka"
TEST_OPS=1000 valgrind -q --error-exitcode=99 --fair-sched=try "$t" \
    >"$work/log" 2>&1 || fail "exit $?: $(cat "$work/log")"
grep -q '^lock: ' "$work/log" ||
	fail "not by locks under valgrind: $(cat "$work/log")"
if grep -q '^rseq' "$work/log"; then
	fail "restartable sequences under valgrind?"
fi
finish
