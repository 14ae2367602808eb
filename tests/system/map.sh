# Goal: `dump map` draws: text in the terminal, a picture as SVG that parses and
# as PNG that decodes.
. "$(dirname "$0")/lib.sh"
need jq
start
expect 0 '' ctl arena create lab --size 64M
expect 0 '' ctl fragment --arena lab --pattern comb --target 0.7
expect 0 '' ctl dump map --arena lab
[ "$(wc -l <"$out")" -ge 2 ] || fail "the map is empty"
grep -q "$(printf '\033')" "$out" && fail "colours though not a terminal"
expect 0 '' ctl -j dump map --arena lab --columns 16
jq -e . "$out" >/dev/null || fail "dump map -j isn't JSON"

expect 0 '' ctl dump map --arena lab --svg "$work/map.svg"
grep -q '</svg>' "$work/map.svg" || fail "no SVG"
if command -v xmllint >/dev/null; then
	xmllint --noout "$work/map.svg" || fail "the SVG doesn't parse"
fi
expect 0 '' ctl dump map --arena lab --png "$work/map.png"
equal 89504e470d0a1a0a "$(head -c 8 "$work/map.png" | od -An -tx1 |
    tr -d ' \n')" "signature of the PNG"
"$top_builddir/tests/system/pngcheck" "$work/map.png" ||
	fail "the PNG doesn't decode"
expect 1 '' ctl dump map --arena lab --svg "$work/no/such/dir.svg"
finish
