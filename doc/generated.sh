#!/bin/sh
# generated.sh - bring the generated parts of the documentation up to date.
#
#	doc/generated.sh GEN_PROTOCOL SRCDIR OUTDIR
#
# Writes OUTDIR/protocol.md and OUTDIR/vmemctl.1, made from those of
# SRCDIR/doc with what GEN_PROTOCOL says between their markers.  `make docs`
# calls it with OUTDIR = SRCDIR/doc.
set -eu

gen=$1 srcdir=$2 out=$3

# fill FILE MODE: replaces the lines between `generated: begin` and `generated:
# end` with the output of $gen MODE.
fill()
{
	"$gen" "$2" >"$out/$1.part"
	awk -v part="$out/$1.part" '
		/generated: end/ { inside = 0 }
		!inside { print }
		/generated: begin/ {
			inside = 1
			while ((getline line < part) > 0)
				print line
		}' "$srcdir/doc/$1" >"$out/$1.new"
	rm "$out/$1.part"
	mv "$out/$1.new" "$out/$1"
}

fill protocol.md markdown
fill vmemctl.1 mdoc
