/*
 * replace_init.c - what policies keep of frames, made with the pager.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>

/* A power of two, twice the frames or more: a ghost of a page that is gone for
 * as many evictions as there are frames has probably not been overwritten. */
static unsigned int
ghost_bits(uint64_t frames)
{
	unsigned int bits = 6;

	while ((UINT64_C(1) << bits) < 2 * frames)
		bits++;
	return (bits);
}

static size_t
ghost_bytes(const struct replace_state *rs)
{
	return (sizeof(uint64_t) << (64 - rs->rs_ghost_shift));
}

int
replace_init(struct vmpager *pg)
{
	struct replace_state *rs = &pg->pg_policy;
	size_t total = frame_total(&pg->pg_pool);

	rs->rs_ghost_shift = 64 - ghost_bits(total);
	rs->rs_random = UINT64_C(0x2545f4914f6cdd1d);
	for (unsigned int i = 0; i < QUEUES; i++)
		rs->rs_queue[i] = (struct queue){ NO_FRAME, NO_FRAME, 0 };
	rs->rs_ghost = pager_mmap(ghost_bytes(rs), 0);
	rs->rs_links = pager_mmap(total * sizeof(rs->rs_links[0]), 0);
	rs->rs_stamp = pager_mmap(total * sizeof(rs->rs_stamp[0]), 0);
	if (rs->rs_ghost == NULL || rs->rs_links == NULL ||
	    rs->rs_stamp == NULL ||
	    pager_populate((void *)(uintptr_t)rs->rs_ghost, ghost_bytes(rs)) !=
		0 ||
	    pager_populate((char *)rs->rs_links,
		total * sizeof(rs->rs_links[0])) != 0 ||
	    pager_populate((void *)(uintptr_t)rs->rs_stamp,
		total * sizeof(rs->rs_stamp[0])) != 0)
		return (ENOMEM);
	return (vmpager_set_replacement(pg, "clock"));
}

void
replace_fini(struct vmpager *pg)
{
	struct replace_state *rs = &pg->pg_policy;
	size_t total = frame_total(&pg->pg_pool);

	if (rs->rs_ghost_shift == 0)
		return;		/* it never came so far */
	pager_munmap((void *)(uintptr_t)rs->rs_ghost, ghost_bytes(rs));
	pager_munmap(rs->rs_links, total * sizeof(rs->rs_links[0]));
	pager_munmap((void *)(uintptr_t)rs->rs_stamp,
	    total * sizeof(rs->rs_stamp[0]));
}
