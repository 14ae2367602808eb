# Goal: what the build leaves is where it is promised: vmemd and vmemctl are
# programs that run in place, not libtool's wrappers, and the library is there
# shared and static.
. "$(dirname "$0")/lib.sh"

for program in daemon/vmemd client/vmemctl; do
	magic=$(head -c 4 "$top_builddir/$program" | od -An -tx1 | tr -d ' ')
	[ "$magic" = 7f454c46 ] || fail "$program isn't an ELF program"
	ldd "$top_builddir/$program" | grep -E 'libvmem|not found' &&
		fail "$program needs a library that isn't installed"
done
[ -n "$(find "$top_builddir/lib" -name libvmem.a)" ] || fail "no libvmem.a"
# A build with --disable-shared has none.
if grep -q '^build_libtool_libs=yes' "$top_builddir/libtool"; then
	[ -n "$(find "$top_builddir/lib" -name libvmem.so)" ] ||
		fail "no libvmem.so"
fi
finish
