/*
 * count.c - counting in shards.
 */
#include "config.h"

#include "pager/pager_impl.h"

static _Atomic unsigned int shard_next;
static __thread __attribute__((tls_model("initial-exec"))) unsigned int
    shard_mine;		/* from 1; 0: not given yet */

static __attribute__((noinline)) unsigned int
shard_give(void)
{
	unsigned int shard =
	    1 + atomic_fetch_add_explicit(&shard_next, 1, memory_order_relaxed);

	return (shard < COUNT_SHARDS ? shard : COUNT_SHARDS);
}

/* The number of this thread, from 1; all from COUNT_SHARDS on have that. */
static inline unsigned int
count_me(void)
{
	if (__builtin_expect(shard_mine == 0, 0))
		shard_mine = shard_give();
	return (shard_mine);
}

static inline void
count_many(struct vmpager_map *mp, enum count kind, uint64_t n)
{
	unsigned int me = count_me();
	_Atomic uint64_t *countp = &mp->mp_count[me - 1].cs_count[kind];

	if (__builtin_expect(me == COUNT_SHARDS, 0))
		(void)atomic_fetch_add_explicit(
		    countp, n, memory_order_relaxed);
	else	/* ours alone to write */
		atomic_store_explicit(countp,
		    atomic_load_explicit(countp, memory_order_relaxed) + n,
		    memory_order_relaxed);
}

void
count_add(struct vmpager_map *mp, enum count kind)
{
	count_many(mp, kind, 1);
}
