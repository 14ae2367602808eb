# Goal: the scripts are portable and say what they mean.  Method: shellcheck,
# on every one of them, as POSIX sh.
. "$(dirname "$0")/lib.sh"

command -v shellcheck >/dev/null || skip "no shellcheck"
cd "$top_srcdir"
find quickstart .ci doc tests contrib \( -name '*.sh' -o -name run -o \
    -name quickstart \) -type f >"$work/scripts" 2>/dev/null || :
while read -r script; do
	shellcheck -s sh -x -P SCRIPTDIR -e SC1091,SC2317 "$script" ||
		fail "$script"
done <"$work/scripts"
finish
