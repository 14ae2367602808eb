/*
 * cached.c - caches before another model: vacache, pools, kmem.
 *
 *	vacache	one page (low: 1 to 8 pages), 32 pages of the map at a time:
 *		per-map caches of addresses.  One chunk is kept when empty
 *	pools	the patch: an item of up to 16 MiB comes from the pool of its
 *		size, whose pool pages are 4 KiB, or 8 KiB, 16 KiB ... 16 MiB,
 *		the smallest that will do; idle ones are kept for ten seconds
 *	kmem	the size table up to 16 KiB, above it whole pages
 *
 * What takes faults goes to the model below, and so does what is too large or
 * aligned.  All are slab caches (lib/kmem) whose slabs are the other model's
 * ranges.  A part of an item can't be given back: it is kept until its whole
 * item goes.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kmem/kmem.h"
#include "models/model.h"

#define CHUNK_PAGES 32u
#define LOW_MAX 8u			/* pages, of vacache+low */
#define POOL_ITEM_MAX (16u << 20)
#define POOL_ITEMS (POOL_ITEM_MAX / MODEL_PAGE)
#define POOL_IDLE_NS UINT64_C(10000000000)
#define POOL_TICK_NS UINT64_C(1000000000)

struct cached {
	struct model cd_model;		/* first */
	struct model *cd_inner;
	struct slab_source cd_source;
	unsigned int cd_low;		/* vacache: pages of the largest */
	struct slab_cache *cd_items;	/* vacache, pools: by pages - 1 */
	unsigned int cd_count;		/* of them */
	struct kmem *cd_kmem;
	uint64_t cd_ticked;		/* by one thread */
	_Atomic bool *cd_seen;		/* cd_items that were ever used */
	/* pools, by the size of the pool page: now, and when most. */
	_Atomic uint64_t cd_bytes[MODEL_POOL_SIZES];
	_Atomic uint64_t cd_used[MODEL_POOL_SIZES];
	_Atomic uint64_t cd_peak[MODEL_POOL_SIZES];
	_Atomic uint64_t cd_waste[MODEL_POOL_SIZES];
};

static struct cached *
of(struct model *m)
{
	return ((struct cached *)(void *)m);
}

static uint64_t
pages_of(uint64_t size)
{
	return ((size + MODEL_PAGE - 1) / MODEL_PAGE);
}

/* 0: 4 KiB, 1: 8 KiB ... the smallest pool page that holds so many pages. */
static unsigned int
pool_class(uint64_t pages)
{
	unsigned int c = 0;

	while ((UINT64_C(1) << c) < pages)
		c++;
	return (c);
}

/* ---- slabs out of the model below ---------------------------------------- */

static int
source_get(void *arg, uint64_t size, uint64_t align, uint64_t *addrp)
{
	struct cached *cd = arg;
	unsigned int how = align > MODEL_PAGE ? MODEL_ALIGNED : 0;
	int error;

	/* A pool page is aligned to its size, which finds its header. */
	if (cd->cd_model.m_spec.sp_kind == MODEL_POOLS && size > MODEL_PAGE) {
		align = size;
		how = MODEL_ALIGNED;
	}
	error = cd->cd_inner->m_ops->mo_alloc(
	    cd->cd_inner, size, align, how, addrp);
	if (error == 0 && cd->cd_model.m_spec.sp_kind == MODEL_POOLS)
		model_add(&cd->cd_bytes[pool_class(pages_of(size))], size);
	return (error);
}

static int
source_put(void *arg, uint64_t addr, uint64_t size)
{
	struct cached *cd = arg;
	bool pools = cd->cd_model.m_spec.sp_kind == MODEL_POOLS;
	bool chunk = cd->cd_model.m_spec.sp_kind == MODEL_VACACHE;
	int error = cd->cd_inner->m_ops->mo_free(cd->cd_inner, addr, size,
	    chunk || (pools && size > MODEL_PAGE) ? MODEL_ALIGNED : 0);

	if (error == 0 && pools)
		model_add(&cd->cd_bytes[pool_class(pages_of(size))],
		    (uint64_t)0 - size);
	return (error);
}

/* ---- which cache --------------------------------------------------------- */

static bool
served(const struct cached *cd, uint64_t size, unsigned int how)
{
	if (how != 0)
		return (false);
	if (cd->cd_kmem != NULL)
		return (size <= KMEM_MAX);
	return (pages_of(size) <= cd->cd_count);
}

static void
pool_count(struct cached *cd, uint64_t size, bool out)
{
	unsigned int c = pool_class(pages_of(size));
	uint64_t item = pages_of(size) * MODEL_PAGE, bytes, peak;

	if (cd->cd_model.m_spec.sp_kind != MODEL_POOLS)
		return;
	model_add(&cd->cd_used[c], out ? item : (uint64_t)0 - item);
	bytes = model_read(&cd->cd_bytes[c]);
	peak = model_read(&cd->cd_peak[c]);
	if (bytes > peak && atomic_compare_exchange_strong_explicit(
	    &cd->cd_peak[c], &peak, bytes, memory_order_relaxed,
	    memory_order_relaxed))
		atomic_store_explicit(&cd->cd_waste[c],
		    bytes - model_read(&cd->cd_used[c]), memory_order_relaxed);
}

/* Of 4096 pools few are ever used: the others needn't be locked to see that
 * there is nothing.  Set before the cache is used, so by who would miss it. */
static bool
seen(const struct cached *cd, unsigned int i)
{
	return (atomic_load_explicit(&cd->cd_seen[i], memory_order_relaxed));
}

static uint64_t
reap(struct cached *cd, uint64_t before)
{
	uint64_t bytes = 0;

	if (cd->cd_kmem != NULL)
		return (kmem_reap(cd->cd_kmem));
	for (unsigned int i = 0; i < cd->cd_count; i++)
		if (seen(cd, i))
			bytes += slab_reap(&cd->cd_items[i], before);
	return (bytes);
}

static int
take(struct cached *cd, uint64_t size, uint64_t align, unsigned int how,
    uint64_t *addrp)
{
	if (!served(cd, size, how))
		return (cd->cd_inner->m_ops->mo_alloc(
		    cd->cd_inner, size, align, how, addrp));
	if (cd->cd_kmem != NULL)
		return (kmem_alloc(cd->cd_kmem, size, addrp));
	atomic_store_explicit(&cd->cd_seen[pages_of(size) - 1], true,
	    memory_order_relaxed);
	return (slab_alloc(&cd->cd_items[pages_of(size) - 1], addrp));
}

/* ---- the operations ------------------------------------------------------ */

static int
cd_alloc(struct model *m, uint64_t size, uint64_t align, unsigned int how,
    uint64_t *addrp)
{
	struct cached *cd = of(m);
	int error = take(cd, size, align, how, addrp);

	/* What the caches hold idle may be what is missing. */
	if (error == ENOMEM && reap(cd, UINT64_MAX) > 0)
		error = take(cd, size, align, how, addrp);
	if (error == 0 && served(cd, size, how))
		pool_count(cd, size, true);
	return (error);
}

static int
cd_free(struct model *m, uint64_t addr, uint64_t size, unsigned int how)
{
	struct cached *cd = of(m);

	if (!served(cd, size, how))
		return (cd->cd_inner->m_ops->mo_free(
		    cd->cd_inner, addr, size, how));
	if (cd->cd_kmem != NULL)
		kmem_free(cd->cd_kmem, addr, size);
	else
		slab_free(&cd->cd_items[pages_of(size) - 1], addr);
	pool_count(cd, size, false);
	return (0);
}

static int
cd_part(struct model *m, uint64_t addr, uint64_t size, uint64_t whole,
    unsigned int how)
{
	struct cached *cd = of(m);

	if (served(cd, whole, how))
		return (EBUSY);
	return (cd->cd_inner->m_ops->mo_part(
	    cd->cd_inner, addr, size, whole, how));
}

static int
cd_fault(struct model *m, uint64_t addr)
{
	return (of(m)->cd_inner->m_ops->mo_fault(of(m)->cd_inner, addr));
}

/* Once a second, pools look for pages that have been idle for ten. */
static void
cd_tick(struct model *m, uint64_t now_ns)
{
	struct cached *cd = of(m);

	cd->cd_inner->m_ops->mo_tick(cd->cd_inner, now_ns);
	if (m->m_spec.sp_kind != MODEL_POOLS ||
	    now_ns - cd->cd_ticked < POOL_TICK_NS)
		return;
	cd->cd_ticked = now_ns;
	for (unsigned int i = 0; i < cd->cd_count; i++)
		if (seen(cd, i))
			slab_tick(&cd->cd_items[i], now_ns);
	if (now_ns >= POOL_IDLE_NS)
		(void)reap(cd, now_ns - POOL_IDLE_NS);
}

static void
add_cache(struct model_stat *ms, const struct slab_stat *st)
{
	ms->ms_bytes += st->st_meta_used;
	ms->ms_held += st->st_meta;
}

static void
cd_stat(struct model *m, struct model_stat *ms)
{
	struct cached *cd = of(m);
	struct slab_stat st;

	cd->cd_inner->m_ops->mo_stat(cd->cd_inner, ms);
	for (unsigned int i = 0; i < cd->cd_count; i++)
		if (seen(cd, i)) {
			slab_cache_stat(&cd->cd_items[i], &st);
			add_cache(ms, &st);
		}
	for (unsigned int i = 0; cd->cd_kmem != NULL &&
	     kmem_stat(cd->cd_kmem, i, &st) == 0; i++)
		add_cache(ms, &st);
	for (unsigned int c = 0; m->m_spec.sp_kind == MODEL_POOLS &&
	     c < MODEL_POOL_SIZES; c++)
		if (model_read(&cd->cd_peak[c]) > 0) {
			ms->ms_pool[c].pp_size = (uint64_t)MODEL_PAGE << c;
			ms->ms_pool[c].pp_bytes = model_read(&cd->cd_peak[c]);
			ms->ms_pool[c].pp_waste =
			    model_read(&cd->cd_waste[c]);
		}
}

static const char *
cd_check(struct model *m)
{
	struct cached *cd = of(m);
	const char *why = cd->cd_inner->m_ops->mo_check(cd->cd_inner);

	for (unsigned int i = 0; why == NULL && i < cd->cd_count; i++)
		if (seen(cd, i))
			(void)slab_check(&cd->cd_items[i], &why);
	if (why == NULL && cd->cd_kmem != NULL)
		(void)kmem_check(cd->cd_kmem, &why);
	return (why);
}

/* ---- life ---------------------------------------------------------------- */

/* What is still out is the caller's; the caches' own memory goes. */
static void
cd_destroy(struct model *m)
{
	struct cached *cd = of(m);

	for (unsigned int i = 0; i < cd->cd_count; i++)
		slab_cache_fini(&cd->cd_items[i]);
	free(cd->cd_items);
	free(cd->cd_seen);
	kmem_destroy(cd->cd_kmem);
	model_destroy(cd->cd_inner);
	free(cd);
}

static int
make_items(struct cached *cd, unsigned int count)
{
	bool pools = cd->cd_model.m_spec.sp_kind == MODEL_POOLS;

	cd->cd_items = calloc(count, sizeof(*cd->cd_items));
	cd->cd_seen = calloc(count, sizeof(*cd->cd_seen));
	if (cd->cd_items == NULL || cd->cd_seen == NULL)
		return (ENOMEM);
	cd->cd_count = count;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t pages = i + 1;
		uint64_t slab = pools ? UINT64_C(1) << pool_class(pages) :
					CHUNK_PAGES;

		slab_cache_init(&cd->cd_items[i], &cd->cd_source,
		    pages * MODEL_PAGE, slab * MODEL_PAGE,
		    pools ? UINT32_MAX : 1);
	}
	return (0);
}

static int
make_caches(struct cached *cd)
{
	const struct model_spec *sp = &cd->cd_model.m_spec;

	if (sp->sp_kind == MODEL_KMEM)
		return (kmem_create(&cd->cd_source, &cd->cd_kmem));
	return (make_items(cd, sp->sp_kind == MODEL_POOLS ? POOL_ITEMS :
	    sp->sp_low ? LOW_MAX : 1));
}

static const struct model_ops cached_ops = {
	.mo_alloc = cd_alloc, .mo_free = cd_free, .mo_part = cd_part,
	.mo_fault = cd_fault, .mo_tick = cd_tick, .mo_stat = cd_stat,
	.mo_check = cd_check, .mo_destroy = cd_destroy
};

int
cached_model_create(const struct model_spec *spec, struct model **mp)
{
	struct cached *cd = calloc(1, sizeof(*cd));
	struct model_spec below = *spec;
	int error;

	if (cd == NULL)
		return (ENOMEM);
	model_init(&cd->cd_model, &cached_ops, spec);
	cd->cd_source = (struct slab_source) { source_get, source_put, cd };
	below.sp_kind =
	    spec->sp_kind == MODEL_KMEM ? spec->sp_over : MODEL_KMAP;
	error = model_create(&below, &cd->cd_inner);
	if (error == 0) {
		cd->cd_model.m_counts = cd->cd_inner->m_counts;
		error = make_caches(cd);
	}
	if (error != 0) {
		model_destroy(cd->cd_inner);
		free(cd->cd_items);
		free(cd->cd_seen);
		free(cd);
		return (error);
	}
	*mp = &cd->cd_model;
	return (0);
}
