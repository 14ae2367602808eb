# Goal: nothing of the machine that this was written on is in the tree.
# Method: no absolute path below a home or a working directory in any text
# file.
. "$(dirname "$0")/lib.sh"

cd "$top_srcdir"
[ -e .git ] || skip "not a repository"
command -v git >/dev/null || skip "no git"
git -c safe.directory='*' ls-files >"$work/files"
# Put together here, so that this file doesn't find itself.
slash=/
pattern="(^|[^A-Za-z0-9_.\$}-])${slash}(work|home|root|Users|tmp/[a-z])${slash}[A-Za-z0-9]"
while read -r file; do
	case $file in
	*.xz | *.png) continue ;;
	esac
	grep -nHE "$pattern" "$file" && fail "$file names a path of one machine"
done <"$work/files"
finish
