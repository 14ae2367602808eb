# Goal: the tarball holds what git does.  Method: make distdir, and compare its
# files with git ls-files, less what only a repository needs; what is only in
# the tarball may only be autotools' own output.
. "$(dirname "$0")/lib.sh"

cd "$top_srcdir"
[ -e .git ] || skip "not a repository"
command -v git >/dev/null || skip "no git"
$MAKE -s -C "$top_builddir" distdir distdir="$work/dist" >"$work/log" 2>&1 || {
	cat "$work/log"
	fail "make distdir"
	finish
}
git -c safe.directory='*' ls-files |
    grep -vE '^\.(gitignore|git-blame-ignore-revs)$' | sort >"$work/git"
(cd "$work/dist" && find . -type f -o -type l) | sed 's|^\./||' |
    sort >"$work/tarball"
comm -23 "$work/git" "$work/tarball" >"$work/missing"
comm -13 "$work/git" "$work/tarball" |
    grep -vE '^(configure|aclocal\.m4|config\.h\.in|Makefile\.in|m4/.*\.m4|build-aux/.*)$' \
    >"$work/extra" || :
[ ! -s "$work/missing" ] || {
	fail "in git, not in the tarball:"
	cat "$work/missing"
}
[ ! -s "$work/extra" ] || {
	fail "in the tarball, not in git:"
	cat "$work/extra"
}
finish
