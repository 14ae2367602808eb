# lib.sh - what the lint tests share; sourced by them.  make check sets the
# variables; to run one by hand: top_srcdir=. top_builddir=build sh tests/...
# shellcheck shell=sh disable=SC2034
set -eu
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${top_builddir:=$top_srcdir/build}"
: "${CC:=cc}" "${CXX:=c++}" "${MAKE:=make}"
work=$(mktemp -d "${TMPDIR:-/tmp}/vmemd-lint.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
failures=0

# skip WHY: automake's code for a test that can't run here.
skip()
{
	printf 'skipped: %s\n' "$*"
	exit 77
}

fail()
{
	printf 'FAIL: %s\n' "$*"
	failures=$((failures + 1))
}

# same A B TEXT: two sorted lists are equal.
same()
{
	if ! diff "$1" "$2" >"$work/diff"; then
		fail "$3 (< $(basename "$1"), > $(basename "$2"))"
		cat "$work/diff"
	fi
}

finish()
{
	[ "$failures" -eq 0 ] || exit 1
	exit 0
}

# The sanitizers of the build, as automake's SAN_FLAGS: what links against a
# sanitized libvmem needs them too.
san_flags=$(sed -n 's/^SAN_FLAGS = *//p' "$top_builddir/Makefile" | head -1)

# declared HEADER...: the functions that it exports, sorted.
declared()
{
	grep -hv '^#' "$@" | tr '\n' ' ' | grep -oE 'VMEM(CLIENT)?_EXPORT [^;]*' |
	    sed 's/(.*//; s/.*[ *]//' | sort -u
}

# mapped MAP: the names that a symbol map makes global, sorted.
mapped()
{
	sed -n '/^global:/,/^local:/p' "$1" | grep -v ':$' |
	    tr -d '\t ' | tr ';' '\n' | sed '/^$/d' | sort -u
}
