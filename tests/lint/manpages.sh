# Goal: the man pages are sound mdoc, and say what the programs say.  Method:
# mandoc's own checks; and every option that the programs' help names is in
# their page.
. "$(dirname "$0")/lib.sh"

command -v mandoc >/dev/null || skip "no mandoc"
for page in "$top_srcdir"/doc/*.[1358]; do
	mandoc -Tlint -W warning "$page" || fail "$page"
done

# undocumented PAGE: of the long options on standard input, those that the page
# doesn't have.
undocumented()
{
	grep -oE -- '--(\[no-\])?[a-z][a-z-]+' | sed 's/^--//; s/^\[no-\]//' |
	    sort -u |
	while read -r option; do
		grep -qE -- "(Fl|\|) -$option( |\$)" "$1" || echo "--$option"
	done
}

"$top_builddir/daemon/vmemd" --help >"$work/help"
undocumented "$top_srcdir/doc/vmemd.8" <"$work/help" >"$work/vmemd"
[ ! -s "$work/vmemd" ] || {
	fail "options of vmemd --help that vmemd.8 doesn't have:"
	cat "$work/vmemd"
}

vmemctl=$top_builddir/client/vmemctl
"$vmemctl" help | sed -n 's/^  \([a-z][a-z ]*[a-z]\)   *[a-z].*/\1/p' \
    >"$work/commands"
[ "$(wc -l <"$work/commands")" -gt 30 ] || fail "which commands has vmemctl?"
while read -r command; do
	# shellcheck disable=SC2086  # "arena list" is two words
	"$vmemctl" help $command | grep '^  -' || :
done <"$work/commands" | undocumented "$top_srcdir/doc/vmemctl.1" \
    >"$work/vmemctl"
[ ! -s "$work/vmemctl" ] || {
	fail "options of vmemctl that vmemctl.1 doesn't have:"
	cat "$work/vmemctl"
}
finish
