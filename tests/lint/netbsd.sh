# Goal: a consumer of NetBSD's vmem(9) changes the include, drops the ipl
# argument, casts the callbacks' source, and is done.  Method: such a consumer,
# netbsd_consumer.c, compiles strictly, links with the archive, and runs.
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2086
$CC -std=gnu99 -Wall -Wextra -Werror $san_flags \
    -I"$top_srcdir/lib/include" -o "$work/consumer" \
    "$top_srcdir/tests/lint/netbsd_consumer.c" \
    "$top_builddir/lib/.libs/libvmem.a" -lpthread -lm ||
	fail "the consumer doesn't build"
"$work/consumer" || fail "the consumer ended with $?"
finish
