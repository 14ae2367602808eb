/*
 * range.c - see range.h.
 */
#include "config.h"

#include "client/range.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/scan.h"

/* "0x…", or an integer. */
static bool
parse_u64(const struct span *sp, uint64_t *valuep)
{
	const char *p = sp->sp_start;

	if (p == NULL)
		return (false);
	if (*p == '"')
		p++;
	errno = 0;
	*valuep = strtoull(p, NULL, 0);
	return (errno == 0);
}

bool
range_of_result(const char *result, uint64_t *addrp, uint64_t *sizep)
{
	static const char *const names[] = { "addr", "size" };
	struct span sp[2];

	return (
	    scan_members(result, result + strlen(result), names, sp, 2) == 0 &&
	    parse_u64(&sp[0], addrp) && parse_u64(&sp[1], sizep));
}
