#!/bin/sh
# pictures.sh - draw the picture of the README anew.
#
#	doc/pictures.sh [BUILD]		BUILD: where vmemd was built (build)
#
# Fragments an arena of a daemon of its own, always in the same way, and leaves
# vmemctl's picture of it in doc/map.png.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-$top/build}" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/vmemd-pictures.XXXXXX")
pid=
trap '[ -z "$pid" ] || kill "$pid"; wait; rm -rf "$work"' EXIT
VMEMD_SOCKET=$work/sock
export VMEMD_SOCKET
PATH=$build/client:$PATH

"$build/daemon/vmemd" --socket "$VMEMD_SOCKET" 2>"$work/log" &
pid=$!
until vmemctl ping >/dev/null 2>&1; do
	kill -0 "$pid"
	sleep 0.05
done
vmemctl arena create picture --size 128M --base 0x10000000 >/dev/null
vmemctl fragment --arena picture --pattern aging --target 0.7 \
    --seed 5 >/dev/null
vmemctl dump map --arena picture --png "$top/doc/map.png"
