# Goal: a broken trace is refused with the number of its line, and leaves
# nothing allocated.
. "$(dirname "$0")/lib.sh"
need jq xz
start

# refuse LINE TEXT: with printf's escapes, below the first line.
refuse()
{
	# shellcheck disable=SC2059
	{
		printf '# vmem-trace 1\n'
		printf "$2"
	} >"$work/t.vmt"
	expect 1 "(line |:)$1([^0-9]|\$)" ctl replay "$work/t.vmt"
}

refuse 2 'x 1 4096\n'
refuse 2 'a 1\n'
refuse 2 'a 1 0\n'
refuse 2 'a 1 -5\n'
refuse 2 'a 1 18446744073709551616\n'
refuse 2 'a 2 4096\n'
refuse 2 'a 1 4096 3\n'
refuse 2 'a 1 4096 t\n'
refuse 2 'a 1  4096\n'
refuse 2 'f 1\n'
refuse 3 'a 1 4096\nf 2\n'
refuse 4 'a 1 4096\nf 1\nf 1\n'
refuse 3 'a 1 4096\na 1 4096\n'
refuse 3 'a 1 8192\np 1 4096 8192\n'
refuse 3 'a 1 8192\np 1 0 0\n'
refuse 3 'a 1 8192\np 1 0 8192\n'
refuse 4 'a 1 16384\np 1 4096 4096\np 1 0 8192\n'
refuse 3 'a 1 4096\nf 1'
refuse 2 'a 1 40\00096\n'

printf 'a 1 4096\n' >"$work/t.vmt"
expect 1 '(line |:)1' ctl replay "$work/t.vmt"
: >"$work/t.vmt"
expect 1 '' ctl replay "$work/t.vmt"
expect 1 '' ctl replay "$work/nothing.vmt"
expect 1 '' ctl replay "$work"
head -c 50000 "$traces/a-python.vmt.xz" >"$work/t.vmt.xz"
expect 1 '(line |:)[0-9]+' ctl replay "$work/t.vmt.xz"
head -c 60000 "$traces/a-python.vmt.xz" >"$work/t.vmt.xz"
tail -c +60100 "$traces/a-python.vmt.xz" >>"$work/t.vmt.xz"
expect 1 '(line |:)[0-9]+' ctl replay "$work/t.vmt.xz"
equal 0 "$(inuse heap)" "in use at the end"
finish
