# Goal: the installed headers are plain C99 and C++, and need nothing before
# them.  Method: each is compiled alone, twice included, strictly.
. "$(dirname "$0")/lib.sh"

for header in "$top_srcdir"/lib/include/*.h; do
	name=$(basename "$header")
	printf '#include <%s>\n#include <%s>\nint used;\n' "$name" "$name" \
	    >"$work/one.c"
	cp "$work/one.c" "$work/one.cc"
	# shellcheck disable=SC2086
	$CC -std=c99 -pedantic -Wall -Wextra -Werror -Wstrict-prototypes \
	    -I"$top_srcdir/lib/include" -c -o "$work/one.o" "$work/one.c" ||
		fail "$name isn't C99 on its own"
	# shellcheck disable=SC2086
	$CXX -std=c++11 -pedantic -Wall -Wextra -Werror \
	    -I"$top_srcdir/lib/include" -c -o "$work/one.o" "$work/one.cc" ||
		fail "$name isn't C++ on its own"
	grep -nE 'config\.h|jansson|event2' "$header" &&
		fail "$name names what its users don't have"
done
finish
