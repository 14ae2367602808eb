# Goal: libvmem's interface is what its symbol map says, and what its headers
# declare.  Method: nm -D of the shared library, the map and the prototypes
# marked VMEM_EXPORT are three lists that must be one; so for libvmemclient.
. "$(dirname "$0")/lib.sh"

# exported LIBRARY: its dynamic symbols, without their version.
exported()
{
	nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' |
	    sed 's/@.*//' | grep -v '^_\(init\|fini\)$' | sort -u
}

include=$top_srcdir/lib/include
hot=$top_srcdir/lib/pager/hot.c
lib=$top_builddir/lib/.libs/libvmem.so
[ -f "$lib" ] || skip "no shared library in this build"
mapped "$top_srcdir/lib/libvmem.map" >"$work/libvmem.map"
declared "$include/vmem.h" "$include/vmpager.h" >"$work/headers"
same "$work/libvmem.map" "$work/headers" "the map and the headers differ"
case $san_flags in
'')
	exported "$lib" >"$work/libvmem.so"
	same "$work/libvmem.map" "$work/libvmem.so" \
	    "the map and the library differ"
	;;
esac
# Nothing of arenas can be named in the fault path.
grep '^vmem_' "$work/libvmem.map" >"$work/arenas"
sed -n 's/^#pragma GCC poison //p' "$hot" | tr ' ' '\n' | grep '^vmem_' |
    sort -u >"$work/poisoned"
same "$work/arenas" "$work/poisoned" \
    "the map and what lib/pager/hot.c poisons differ"
nm -D "$lib" | grep -E ' U (malloc|calloc|realloc|free|strdup|printf)(@|$)' &&
	fail "libvmem calls malloc, or prints"

lib=$top_builddir/lib/.libs/libvmemclient.so
declared "$include/vmemclient.h" >"$work/vmemclient.h"
mapped "$top_srcdir/lib/libvmemclient.map" >"$work/libvmemclient.map"
same "$work/vmemclient.h" "$work/libvmemclient.map" \
    "vmemclient.h and its map differ"
exported "$lib" >"$work/libvmemclient.so"
[ -n "$san_flags" ] ||
	same "$work/vmemclient.h" "$work/libvmemclient.so" \
	    "vmemclient.h and the library differ"
finish
