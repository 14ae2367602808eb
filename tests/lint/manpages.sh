# Goal: the man pages are sound mdoc, and say what the programs say.  Method:
# mandoc's own checks; and every option that the programs' help names is in
# their page.
. "$(dirname "$0")/lib.sh"

command -v mandoc >/dev/null || skip "no mandoc"
for page in "$top_srcdir"/doc/*.[1358]; do
	mandoc -Tlint -W warning "$page" || fail "$page"
done

# options PROGRAM PAGE: long options of the help that the page doesn't have.
options()
{
	"$1" --help 2>&1 | grep -oE -- '--[a-z][a-z-]+' | sort -u |
	while read -r option; do
		grep -qE -- "Fl -${option#--}( |\$)" "$2" ||
			echo "$option"
	done
}

options "$top_builddir/daemon/vmemd" "$top_srcdir/doc/vmemd.8" \
    >"$work/undocumented"
[ ! -s "$work/undocumented" ] || {
	fail "options of vmemd --help that vmemd.8 doesn't have:"
	cat "$work/undocumented"
}
finish
