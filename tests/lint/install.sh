# Goal: what `make install` leaves is enough to use the library.  Method:
# install below a directory of our own, then build small C and C++ programs
# through pkg-config, against the shared library and against the static one.
. "$(dirname "$0")/lib.sh"

command -v pkg-config >/dev/null || skip "no pkg-config"
[ -z "$san_flags" ] || skip "a sanitized library wants its users sanitized"
$MAKE -s -C "$top_builddir" install DESTDIR="$work/root" >"$work/log" 2>&1 || {
	cat "$work/log"
	fail "make install DESTDIR"
	finish
}
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")
root=$work/root
PKG_CONFIG_PATH=$(dirname "$(find "$root" -name libvmem.pc)")
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cflags=$(pkg-config --cflags libvmem)
libs=$(pkg-config --libs libvmem)
static=$(pkg-config --libs --static libvmem)
libdir=$root$(pkg-config --variable=libdir libvmem | sed "s|^$root||")

cat >"$work/user.c" <<'END'
#include <vmem.h>
#include <vmpager.h>

int
main(void)
{
	vmem_t *vm = vmem_create("user", 4096, 1 << 20, 4096, NULL, NULL,
	    NULL, 0, VM_SLEEP);
	vmem_addr_t addr;

	if (vm == NULL || vmem_alloc(vm, 8192, VM_SLEEP, &addr) != 0)
		return (1);
	vmem_free(vm, addr, 8192);
	if (vmem_check(vm) != 0)
		return (2);
	vmem_destroy(vm);
	return (0);
}
END
cp "$work/user.c" "$work/user.cc"

# program NAME COMPILER...: it compiles, links and runs.
program()
{
	name=$1
	shift
	if ! "$@" -o "$work/$name"; then
		fail "$name doesn't build: $*"
	elif ! LD_LIBRARY_PATH=$libdir "$work/$name"; then
		fail "$name doesn't run"
	fi
}

for compiler in "$CC user.c" "$CXX user.cc"; do
	source=${compiler##* }
	compiler=${compiler% *}
	# shellcheck disable=SC2086
	program "shared-$source" $compiler -Wall -Werror $cflags \
	    "$work/$source" $libs
	if [ -f "$libdir/libvmem.a" ]; then
		# Only libvmem itself, so that no static libc is needed.
		archive=$(printf '%s' "$static" |
		    sed 's/-lvmem\>/-l:libvmem.a/')
		# shellcheck disable=SC2086
		program "static-$source" $compiler -Wall -Werror $cflags \
		    "$work/$source" $archive
	fi
done

for file in sbin/vmemd bin/vmemctl include/vmem.h include/vmpager.h \
    include/vmemclient.h; do
	[ -f "$root$prefix/$file" ] || fail "not installed: $file"
done
finish
