# Goal: the documentation knows every method, parameter and error, and none
# that isn't; so for functions, locks and the tests that it names.  Method: what is generated from the tables is generated anew and
# compared; the table of errors, which people write, is compared by name, code
# and errno.
. "$(dirname "$0")/lib.sh"

gen=$top_builddir/doc/gen_protocol
mkdir "$work/doc"
sh "$top_srcdir/doc/generated.sh" "$gen" "$top_srcdir" "$work/doc"
for file in protocol.md vmemctl.1; do
	diff "$top_srcdir/doc/$file" "$work/doc/$file" ||
		fail "doc/$file is older than lib/proto/methods.c: make docs"
done

"$gen" errors | sort >"$work/errors.c"
# shellcheck disable=SC2016  # backquotes are Markdown's
sed -n 's/^| \(-*[0-9][0-9]*\) | `\([a-z_]*\)` | \([A-Z]*\) |.*/\1 \2 \3/p' \
    "$top_srcdir/doc/protocol.md" | sort >"$work/protocol.md"
same "$work/errors.c" "$work/protocol.md" "the errors differ"

# vmem.3 knows every function of vmem.h (and types of callbacks).
declared "$top_srcdir/lib/include/vmem.h" >"$work/vmem.h"
grep -oE '^\.F[no] vmem_[a-z_]+' "$top_srcdir/doc/vmem.3" |
    sed 's/^.F[no] //' | grep -v '_t$' | sort -u >"$work/vmem.3"
same "$work/vmem.h" "$work/vmem.3" "vmem.3 and vmem.h differ"

# doc/locking.md draws the order of lock.h.
sed -n 's/^.\(LOCK_[A-Z_]*\) = \([1-9][0-9]*\),\{0,1\}.*/\1 \2/p' \
    "$top_srcdir/lib/util/lock.h" >"$work/lock.h"
sed -n 's/^ *\(LOCK_[A-Z_]*\)  *\([0-9][0-9]*\) .*/\1 \2/p' \
    "$top_srcdir/doc/locking.md" >"$work/locking.md"
same "$work/lock.h" "$work/locking.md" "the order of locks differs"

# Every test that tests/README.md names exists.
# shellcheck disable=SC2016  # backquotes are Markdown's
grep -oE '`test_[a-z0-9_]+|(unit|system)/[a-z][a-z_]*' \
    "$top_srcdir/tests/README.md" | tr -d '`' | sort -u >"$work/named"
while read -r name; do
	case $name in
	unit/test_* | system/*)
		[ -f "$top_srcdir/tests/$name.c" ] ||
			[ -f "$top_srcdir/tests/$name.sh" ] ||
			fail "tests/README.md names $name"
		;;
	test_*)
		grep -q "^$name" "$top_srcdir"/tests/unit/*.c ||
			fail "tests/README.md names $name"
		;;
	esac
done <"$work/named"
finish
