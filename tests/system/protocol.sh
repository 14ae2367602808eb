#!/bin/sh
# The raw protocol: errors, limits, order, batches, waits, ownership, slow
# readers, the end.  protocol.py does it, where there is a python.
set -eu
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${top_builddir:=$top_srcdir/build}"
if ! command -v python3 >/dev/null; then
	echo 'skipped: no python3'
	exit 77
fi
VMEMD=${VMEMD:-$top_builddir/daemon/vmemd}
export VMEMD
exec python3 "$top_srcdir/tests/system/protocol.py"
