# lib.sh - what the system tests share; sourced by them.  make check sets the
# variables; to run one by hand: sh tests/system/NAME.sh (the build is build/,
# or $top_builddir).
#
# Each script has a directory of its own, $work, below $TMPDIR, and in it the
# socket of its daemon, where vmemctl finds it ($VMEMD_SOCKET).  Nothing is
# timed: what has to happen is polled for, and a test that hangs is ended by
# vmemctl's -t or make check's watchdog.
# shellcheck shell=sh disable=SC2034,SC2119,SC2120
set -eu
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${top_builddir:=$top_srcdir/build}"
: "${VMEM_TRACES:=$top_srcdir/../shared/traces}"
traces=$top_srcdir/tests/traces
vmemd=$top_builddir/daemon/vmemd
vmemctl=$top_builddir/client/vmemctl
work=$(mktemp -d "${TMPDIR:-/tmp}/vmemd-test.XXXXXX")
VMEMD_SOCKET=$work/sock
export VMEMD_SOCKET
unset XDG_RUNTIME_DIR || :
NO_COLOR=1
export NO_COLOR
daemon=			# pid of the daemon, while it runs
daemon_log=$work/vmemd.log
background=		# pids of what else this test started
failures=0
# How a big address space is refused by the sanitizers' own wrappers is none of
# our business.
ASAN_OPTIONS=allocator_may_return_null=1:${ASAN_OPTIONS-}
export ASAN_OPTIONS

cleanup()
{
	status=$?
	trap - EXIT
	trap '' INT TERM HUP
	for pid in $background $daemon; do
		kill -KILL "$pid" 2>/dev/null || :
	done
	if [ "$status" -ne 0 ] && [ -s "$daemon_log" ]; then
		echo "--- the daemon's log"
		tail -n 50 "$daemon_log"
	fi
	chmod -R u+rwx "$work"
	rm -rf "$work"
	exit "$status"
}

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# skip WHY: automake's code for a test that can't run here.
skip()
{
	printf 'skipped: %s\n' "$*"
	exit 77
}

need()
{
	for program; do
		command -v "$program" >/dev/null || skip "no $program"
	done
}

fail()
{
	printf 'FAIL: %s\n' "$*"
	failures=$((failures + 1))
}

# The last line of every test: ends the daemon, which must then be sound, and
# judges.
finish()
{
	if [ -n "$daemon" ]; then
		expect 0 '' ctl check
		stop
	fi
	[ "$failures" -eq 0 ] || {
		echo "$failures expectations failed"
		exit 1
	}
	exit 0
}

# vmemctl, with a bound on what hangs.  In the background, write "$vmemctl":
# $! of a function is a shell, which would be killed alone.
ctl()
{
	"$vmemctl" -t 120000 "$@"
}

# poll WHAT COMMAND...: until the command succeeds; gives up after a minute,
# which is for a machine that stands still rather than for a slow one.
poll()
{
	what=$1
	shift
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -ge 1200 ]; then
			echo "waited in vain for $what"
			exit 1
		fi
		sleep 0.05
	done
}

alive()
{
	kill -0 "$1" 2>/dev/null
}

ready_or_dead()
{
	ctl ping || ! alive "$daemon"
}

# start OPTION...: a daemon on $VMEMD_SOCKET.
start()
{
	"$vmemd" --socket "$VMEMD_SOCKET" "$@" >>"$daemon_log" 2>&1 \
	    </dev/null &
	daemon=$!
	poll "vmemd to start" ready_or_dead
	ctl ping >/dev/null || {
		echo "vmemd didn't start: $*"
		exit 1
	}
}

# stop [SIGNAL]: ends the daemon by its pid; it must drain and end with 0.
stop()
{
	kill -"${1:-TERM}" "$daemon"
	ended=0
	wait "$daemon" || ended=$?
	daemon=
	[ "$ended" -eq 0 ] || fail "vmemd ended with $ended, expected 0"
}

# expect CODE PATTERN COMMAND...: the command's exit code, and an extended
# regular expression that some line of its output (both streams) matches; ''
# for none.  What it printed is left in $out (standard output) and $err.
out=$work/out
err=$work/err
expect()
{
	expect_code=$1
	expect_pattern=$2
	shift 2
	got=0
	"$@" >"$out" 2>"$err" </dev/null || got=$?
	if [ "$got" -ne "$expect_code" ]; then
		fail "exit code $got, expected $expect_code: $*"
		head -n 20 "$out" "$err"
	elif [ -n "$expect_pattern" ] &&
	    ! cat "$out" "$err" | grep -qE -- "$expect_pattern"; then
		fail "expected /$expect_pattern/: $*"
		head -n 20 "$out" "$err"
	fi
}

# equal EXPECTED GOT TEXT
equal()
{
	[ "$1" = "$2" ] || fail "$3: got '$2', expected '$1'"
}

# json FILTER COMMAND...: jq's view of the command's -j output, compact.
json()
{
	filter=$1
	shift
	ctl -j "$@" | jq -c "$filter"
}

# inuse ARENA: bytes allocated there, without what the caches hold.
inuse()
{
	ctl reap --arena "$1" >/dev/null
	ctl -j stats --arena "$1" | jq '.. | .inuse_bytes? // empty' | head -n 1
}
