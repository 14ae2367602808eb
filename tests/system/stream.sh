# Goal: a long dump comes whole, page by page with a cursor or as a stream, and
# both say the same.
. "$(dirname "$0")/lib.sh"
need jq
start
expect 0 '' ctl arena create lab --size 64M
ctl alloc 4K --arena lab --count 5000 --fit first >"$work/addrs"
awk 'NR % 2 == 0' "$work/addrs" | sed 's/^/free /; s/$/ --arena lab/' |
    ctl run - >/dev/null

cursor=
pages=0
while :; do
	if [ -n "$cursor" ]; then
		ctl -j dump segments --arena lab --limit 700 --cursor "$cursor"
	else
		ctl -j dump segments --arena lab --limit 700
	fi >"$work/page"
	jq -c '.. | objects | select(has("addr")) | .addr' "$work/page" \
	    >>"$work/paged"
	pages=$((pages + 1))
	cursor=$(jq -r '.cursor // empty' "$work/page")
	[ -n "$cursor" ] || break
	[ $pages -lt 100 ] || break
done
equal 1 "$((pages >= 4 && pages < 100))" "pages: $pages"
equal 2500 "$(sort -u "$work/paged" | wc -l)" "segments of the pages"
equal 2500 "$(wc -l <"$work/paged")" "segments, each once"
ctl -j dump segments --arena lab --stream >"$work/stream"
jq -c '.. | objects | select(has("addr")) | .addr' "$work/stream" \
    >"$work/streamed"
cmp "$work/paged" "$work/streamed" || fail "the stream says something else"
expect 2 invalid_params ctl call dump '{"what":"segments","cursor":"bogus"}'
finish
