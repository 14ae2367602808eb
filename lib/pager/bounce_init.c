/*
 * bounce_init.c - making the buffers of bounce.c.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <errno.h>
#include <sys/mman.h>

int
bounce_init(struct bounce *bn)
{
	char *zeros = pager_mmap(CLUSTER_BYTES, 0);

	bn->bn_zeros = zeros;
	bn->bn_bytes = pager_mmap(BOUNCES * CLUSTER_BYTES, 0);
	if (zeros == NULL || bn->bn_bytes == NULL)
		return (ENOMEM);
	/* Locked if that is allowed: a page that the kernel swapped out would
	 * only make it slower. */
	(void)mlock(bn->bn_bytes, BOUNCES * CLUSTER_BYTES);
	if (pager_populate(zeros, CLUSTER_BYTES) != 0)
		return (ENOMEM);
	return (pager_populate(bn->bn_bytes, BOUNCES * CLUSTER_BYTES));
}

void
bounce_fini(struct bounce *bn)
{
	pager_munmap((void *)(uintptr_t)bn->bn_zeros, CLUSTER_BYTES);
	pager_munmap(bn->bn_bytes, BOUNCES * CLUSTER_BYTES);
}
