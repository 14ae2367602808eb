/*
 * tag.c - boundary tags: the pool, its bootstrap, the reserve.
 *
 * 1. One table.  All tags of the process are in one table of address space,
 * so that a link is 28 bits, and a tag 32 bytes.  Blocks of 64 KiB of it get
 * memory when needed, the lowest first, and lose it when no tag of theirs is
 * in use and enough others are free.  A block holds tags, or units of 512
 * bytes (nodes of trees, magazines).  A block's free items are a list; those
 * never used yet aren't on it, so that a new block isn't touched.
 *
 * 2. Bootstrap.  A tag pool that takes its memory from an arena needs tags to
 * do so.  The order (DESIGN 2): two static blocks in the program's bss, one of
 * tags and one of units, serve arenas made with VM_BOOTSTRAP; the first other
 * arena, or vmem_set_meta(), moves them to the real table: links are indexes,
 * so copying is all.  Without vmem_set_meta() the table is an mmap; with it, a
 * range of the meta arena, grown in extents at the addresses that follow.
 *
 * 3. The reserve.  Each arena has a stock of its own, and every operation
 * makes sure, before it takes the arena's lock for good, that the stock has
 * what the worst case takes (TAGS_PER_OP): so no operation needs a tag that it
 * hasn't got.  Refilling the stock may grow the table, which is an operation
 * on the meta arena.  That one is served from what the pool keeps back:
 *
 *	an extent at a fixed place of the meta arena	2 tags (a split)
 *	for its stock to be full again			TAGS_PER_OP
 *
 * Of that, growing takes what the meta arena's stock lacks of TAGS_PER_OP, and
 * leaves the reserve full again: the new memory has room for it.  The span that
 * the meta arena has when vmem_set_meta() is called is all that the table ever
 * grows into, so growing never imports, and the depth of the tree of arenas
 * doesn't enter.  One thread grows at a time (the
 * pool's lock), so the number of threads doesn't either.  POOL_RESERVE is that
 * sum, with as much again for an ordinary operation on the meta arena that was
 * overtaken.  Static bootstrap tags obey the same rule.
 *
 * 4. Locks.  The pool's lock is taken before an arena's, never after.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_TAGS 2048u
#define BLOCK_BYTES (BLOCK_TAGS * sizeof(struct tag))
#define BLOCK_UNITS (BLOCK_TAGS / TAGS_PER_UNIT)
#define BLOCKS_MAX ((1u << TAG_INDEX_BITS) / BLOCK_TAGS)
#define STATIC_BLOCKS 2u /* one of tags, one of units */
/* See 3.: 2 + TAGS_PER_OP, twice. */
#define POOL_RESERVE (2 * (2 + TAGS_PER_OP))
/* Blocks kept though wholly free: one, and an eighth of what is in use. */
#define KEEP_BLOCKS(used) (1 + (used) / 8)
/* The first extent of the table in the meta arena, a multiple of a block. */
#define EXTENT_MIN (1u << 20)
#define HUGE_FROM ((size_t)4 << 20)

struct block {
	uint32_t bk_free;   /* list of free items, by bt_link or the word */
	uint16_t bk_nfree;  /* on the list, or never used */
	uint16_t bk_carved; /* items used once */
};

/* Which blocks have something free (or no memory): two levels of bits. */
struct bitmap {
	uint64_t bm_bits[BLOCKS_MAX / 64];
	uint64_t bm_summary[BLOCKS_MAX / 64 / 64];
};

static struct tag static_table[STATIC_BLOCKS * BLOCK_TAGS]
    __attribute__((aligned(64)));
struct tag *tag_table = static_table;

static struct {
	struct lock lock;
	pthread_once_t once;
	bool ready;		/* the real table is in use */
	size_t limit;		/* blocks of address space */
	uint64_t total[POOL_KINDS]; /* items with memory */
	uint64_t free[POOL_KINDS];
	size_t blocks;		/* with memory */
	struct bitmap open[POOL_KINDS]; /* of that kind, with free items */
	struct bitmap bare;	/* without memory */
	struct block block[BLOCKS_MAX];
	struct vmem *meta;
	int (*commit)(void *, vmem_addr_t, vmem_size_t);
	void (*decommit)(void *, vmem_addr_t, vmem_size_t);
	void *arg;
	size_t grown;		/* bytes of the extents */
} pool = { .once = PTHREAD_ONCE_INIT };

/* ---- bitmaps ------------------------------------------------------------ */

static void
bit_set(struct bitmap *bm, size_t i)
{
	bm->bm_bits[i / 64] |= UINT64_C(1) << (i % 64);
	bm->bm_summary[i / 4096] |= UINT64_C(1) << (i / 64 % 64);
}

static void
bit_clear(struct bitmap *bm, size_t i)
{
	bm->bm_bits[i / 64] &= ~(UINT64_C(1) << (i % 64));
	if (bm->bm_bits[i / 64] == 0)
		bm->bm_summary[i / 4096] &= ~(UINT64_C(1) << (i / 64 % 64));
}

static size_t
bit_first(const struct bitmap *bm)
{
	for (size_t s = 0; s < BLOCKS_MAX / 4096; s++)
		if (bm->bm_summary[s] != 0) {
			size_t w = s * 64 +
			    (size_t)__builtin_ctzll(bm->bm_summary[s]);

			return (w * 64 +
			    (size_t)__builtin_ctzll(bm->bm_bits[w]));
		}
	return (BLOCKS_MAX);
}

/* ---- blocks ------------------------------------------------------------- */

void *
unit_ptr(uint32_t unit)
{
	return (TAG(unit));
}

static unsigned int
items_of(enum pool_kind kind)
{
	return (kind == POOL_TAGS ? BLOCK_TAGS : BLOCK_UNITS);
}

static uint32_t
item_index(size_t block, enum pool_kind kind, unsigned int item)
{
	return ((uint32_t)(block * BLOCK_TAGS +
	    item * (kind == POOL_TAGS ? 1 : TAGS_PER_UNIT)));
}

static void
block_open(size_t b, enum pool_kind kind)
{
	struct block *bk = &pool.block[b];

	bit_clear(&pool.bare, b);
	bk->bk_free = TAG_NIL;
	bk->bk_carved = 0;
	bk->bk_nfree = (uint16_t)items_of(kind);
	pool.blocks++;
	pool.total[kind] += bk->bk_nfree;
	pool.free[kind] += bk->bk_nfree;
	bit_set(&pool.open[kind], b);
}

static void
block_close(size_t b, enum pool_kind kind)
{
	struct block *bk = &pool.block[b];
	void *at = TAG((uint32_t)(b * BLOCK_TAGS));

	bit_clear(&pool.open[kind], b);
	pool.total[kind] -= bk->bk_nfree;
	pool.free[kind] -= bk->bk_nfree;
	pool.blocks--;
	if (pool.meta != NULL)
		pool.decommit(pool.arg, (uintptr_t)at, BLOCK_BYTES);
	else
		(void)madvise(at, BLOCK_BYTES, MADV_DONTNEED);
	bit_set(&pool.bare, b);
}

static uint32_t
block_take(size_t b, enum pool_kind kind)
{
	struct block *bk = &pool.block[b];
	uint32_t index;

	if (bk->bk_free != TAG_NIL) {
		index = bk->bk_free;
		bk->bk_free = TAG(index)->bt_link;
	} else
		index = item_index(b, kind, bk->bk_carved++);
	pool.free[kind]--;
	if (--bk->bk_nfree == 0)
		bit_clear(&pool.open[kind], b);
	return (index);
}

static void
block_give(uint32_t index, enum pool_kind kind)
{
	size_t b = index / BLOCK_TAGS;
	struct block *bk = &pool.block[b];

	TAG(index)->bt_type = TAG_UNUSED;
	TAG(index)->bt_link = bk->bk_free & TAG_INDEX_MASK;
	bk->bk_free = index;
	pool.free[kind]++;
	if (bk->bk_nfree++ == 0)
		bit_set(&pool.open[kind], b);
	if (bk->bk_nfree == items_of(kind) && pool.ready &&
	    pool.free[kind] > bk->bk_nfree +
		KEEP_BLOCKS(pool.total[kind] / items_of(kind)) * items_of(kind))
		block_close(b, kind);
}

/* The static blocks, before anything else. */
static void
pool_init_once(void)
{
	lock_init(&pool.lock, "tag pool", LOCK_TAG_POOL);
	pool.limit = STATIC_BLOCKS;
	block_open(0, POOL_TAGS);
	block_open(1, POOL_UNITS);
	(void)block_take(0, POOL_TAGS); /* index 0 is nil */
}

static void
pool_init(void)
{
	(void)pthread_once(&pool.once, pool_init_once);
}

/* ---- growth ------------------------------------------------------------- */

/* From the reserve: what one operation on the meta arena may need. */
static void
stock_fill(struct vmem *vm)
{
	uint32_t tags[TAGS_PER_OP];
	unsigned int n = 0, want;

	lock_acquire(&vm->vm_lock);
	want = vm->vm_ntags < TAGS_PER_OP ? TAGS_PER_OP - vm->vm_ntags : 0;
	lock_release(&vm->vm_lock);
	while (n < want && pool.free[POOL_TAGS] > 0)
		tags[n++] =
		    block_take(bit_first(&pool.open[POOL_TAGS]), POOL_TAGS);
	lock_acquire(&vm->vm_lock);
	while (n > 0)
		tag_give(vm, tags[--n]);
	lock_release(&vm->vm_lock);
}

/* The reserve serves this operation (see 3.). */
static int
extent_take(size_t size)
{
	uintptr_t at = (uintptr_t)tag_table + pool.grown;
	int error = ENOMEM;

	/* Others may use up the meta arena's stock meanwhile: then again. */
	for (unsigned int try = 0; try < 3; try++) {
		stock_fill(pool.meta);
		error = arena_get_at(pool.meta, at, size, false);
		if (error != ENOBUFS)
			break;
	}
	return (error == 0 ? 0 : ENOMEM);
}

/*
 * The next extent of the table from the meta arena.  Extents double, so that
 * there are few; when that is too much to be had, a small one.
 */
static int
extent_grow(void)
{
	size_t size = pool.grown < EXTENT_MIN ? EXTENT_MIN : pool.grown;
	int error;

	if (pool.grown + size > pool.limit * BLOCK_BYTES)
		size = pool.limit * BLOCK_BYTES - pool.grown;
	if (size == 0)
		return (ENOMEM);
	error = extent_take(size);
	if (error != 0 && size > EXTENT_MIN) {
		size = EXTENT_MIN;
		error = extent_take(size);
	}
	if (error != 0)
		return (error);
	for (size_t b = 0; b < size / BLOCK_BYTES; b++)
		bit_set(&pool.bare, pool.grown / BLOCK_BYTES + b);
	pool.grown += size;
	return (0);
}

/* One more block with memory, of that kind. */
static int
block_grow(enum pool_kind kind)
{
	size_t b = bit_first(&pool.bare);
	uintptr_t at;
	int error;

	if (b == BLOCKS_MAX && pool.meta != NULL) {
		error = extent_grow();
		if (error != 0)
			return (error);
		b = bit_first(&pool.bare);
	}
	if (b >= pool.limit)
		return (ENOMEM);
	at = (uintptr_t)TAG((uint32_t)(b * BLOCK_TAGS));
	if (pool.meta != NULL) {
		error = pool.commit(pool.arg, at, BLOCK_BYTES);
		if (error != 0)
			return (error);
	}
	block_open(b, kind);
	return (0);
}

/* The same, and the reserve full again, which growing for units took from. */
static int
pool_grow(enum pool_kind kind)
{
	int error = block_grow(kind);

	if (error == 0 && pool.meta != NULL &&
	    pool.free[POOL_TAGS] < POOL_RESERVE)
		(void)block_grow(POOL_TAGS);
	return (error);
}

/* Take up to `want` items; returns how many.  With the pool's lock held, the
 * last POOL_RESERVE tags are kept back. */
unsigned int
pool_get(enum pool_kind kind, uint32_t *items, unsigned int want)
{
	uint64_t keep = kind == POOL_TAGS && pool.meta != NULL ? POOL_RESERVE :
								 0;
	unsigned int n = 0;

	pool_init();
	lock_acquire(&pool.lock);
	while (n < want) {
		if (pool.free[kind] <= keep && pool_grow(kind) != 0)
			break;
		if (pool.free[kind] > keep)
			items[n++] =
			    block_take(bit_first(&pool.open[kind]), kind);
	}
	lock_release(&pool.lock);
	return (n);
}

void
pool_put(enum pool_kind kind, const uint32_t *items, unsigned int count)
{
	lock_acquire(&pool.lock);
	for (unsigned int i = 0; i < count; i++)
		block_give(items[i], kind);
	lock_release(&pool.lock);
}

/* ---- bootstrap ---------------------------------------------------------- */

/* Move from the static tags to the real table: 8 GiB of addresses, or less if
 * there is a limit on them (ulimit -v, valgrind). */
static void
table_open(void *table, size_t blocks)
{
	struct tag *to = table;

	memcpy(to, static_table,
	    pool.block[0].bk_carved * sizeof(struct tag));
	memcpy(to + BLOCK_TAGS, static_table + BLOCK_TAGS,
	    pool.block[1].bk_carved * TAGS_PER_UNIT * sizeof(struct tag));
	tag_table = to;
	pool.limit = blocks;
	pool.ready = true;
}

static int
table_mmap(void)
{
	size_t bytes = (size_t)BLOCKS_MAX * BLOCK_BYTES;
	void *table = MAP_FAILED;

	for (; bytes >= 16 * BLOCK_BYTES; bytes /= 2) {
		table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (table != MAP_FAILED)
			break;
	}
	if (table == MAP_FAILED)
		return (ENOMEM);
	/* Huge pages, but for the start: a small user stays small. */
	if (bytes > HUGE_FROM)
		(void)madvise((char *)table + HUGE_FROM, bytes - HUGE_FROM,
		    MADV_HUGEPAGE);
	for (size_t b = STATIC_BLOCKS; b < bytes / BLOCK_BYTES; b++)
		bit_set(&pool.bare, b);
	table_open(table, bytes / BLOCK_BYTES);
	return (0);
}

/* Before an arena is made: the static blocks do for VM_BOOTSTRAP only. */
int
pool_open(bool bootstrap)
{
	int error = 0;

	pool_init();
	lock_acquire(&pool.lock);
	if (!pool.ready && !bootstrap)
		error = table_mmap();
	lock_release(&pool.lock);
	return (error);
}

int
vmem_set_meta(vmem_t *meta,
    int (*commit)(void *, vmem_addr_t, vmem_size_t),
    void (*decommit)(void *, vmem_addr_t, vmem_size_t), void *arg)
{
	vmem_size_t room = vmem_size(meta, VMEM_MAXFREE) / 2;
	vmem_addr_t at;
	int error;

	pool_init();
	if (pool.ready || pool.meta != NULL)
		return (EBUSY);
	if (room > (vmem_size_t)BLOCKS_MAX * BLOCK_BYTES)
		room = (vmem_size_t)BLOCKS_MAX * BLOCK_BYTES;
	room -= room % BLOCK_BYTES;
	if (room < EXTENT_MIN)
		return (ENOMEM);
	/* The table's first extent, where all of its room is free; the rest is
	 * taken as it grows, from the other end than everything else
	 * (meta_alloc()). */
	error = vmem_xalloc(meta, room, BLOCK_BYTES, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_NOSLEEP | VM_FIRSTFIT, &at);
	if (error != 0)
		return (error);
	vmem_xfree(meta, at, room);
	error = vmem_xalloc_addr(meta, at, EXTENT_MIN, VM_NOSLEEP);
	if (error != 0)
		return (error);
	error = commit(arg, at, STATIC_BLOCKS * BLOCK_BYTES);
	if (error != 0) {
		vmem_xfree(meta, at, EXTENT_MIN);
		return (error);
	}
	lock_acquire(&pool.lock);
	pool.meta = meta;
	pool.commit = commit;
	pool.decommit = decommit;
	pool.arg = arg;
	pool.grown = EXTENT_MIN;
	for (size_t b = STATIC_BLOCKS; b < EXTENT_MIN / BLOCK_BYTES; b++)
		bit_set(&pool.bare, b);
	table_open((void *)(uintptr_t)at, room / BLOCK_BYTES);
	lock_release(&pool.lock);
	return (0);
}

/* ---- memory for tables -------------------------------------------------- */

static size_t
page_round(size_t size)
{
	return ((size + 4095) & ~(size_t)4095);
}

void *
meta_alloc(size_t size)
{
	vmem_addr_t at;
	void *ptr;

	size = page_round(size);
	if (pool.meta != NULL) {
		if (vmem_xalloc(pool.meta, size, 4096, 0, 0, VMEM_ADDR_MIN,
			VMEM_ADDR_MAX, VM_NOSLEEP | VM_LASTFIT, &at) != 0)
			return (NULL);
		if (pool.commit(pool.arg, at, size) == 0)
			return ((void *)(uintptr_t)at);
		vmem_xfree(pool.meta, at, size);
		return (NULL);
	}
	ptr = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ptr == MAP_FAILED)
		return (NULL);
	/* A table is looked into at random: fewer misses of the TLB. */
	if (size >= HUGE_FROM)
		(void)madvise(ptr, size, MADV_HUGEPAGE);
	return (ptr);
}

void
meta_free(void *ptr, size_t size)
{
	size = page_round(size);
	if (pool.meta != NULL &&
	    vmem_contains(pool.meta, (uintptr_t)ptr, size)) {
		pool.decommit(pool.arg, (uintptr_t)ptr, size);
		vmem_xfree(pool.meta, (uintptr_t)ptr, size);
	} else
		(void)munmap(ptr, size);
}

/* ---- an arena's stock --------------------------------------------------- */

/* With vm_lock held; the stock is never empty where this is called. */
uint32_t
tag_take(struct vmem *vm)
{
	uint32_t tag = vm->vm_tags;

	VERIFY(tag != TAG_NIL);
	vm->vm_tags = TAG(tag)->bt_link;
	vm->vm_ntags--;
	vm->vm_tags_used++;
	return (tag);
}

/* With vm_lock held. */
static void
stock_push(struct vmem *vm, uint32_t tag)
{
	TAG(tag)->bt_type = TAG_UNUSED;
	TAG(tag)->bt_link = vm->vm_tags & TAG_INDEX_MASK;
	vm->vm_tags = tag;
	vm->vm_ntags++;
}

void
tag_give(struct vmem *vm, uint32_t tag)
{
	if (TAG(tag)->bt_type != TAG_UNUSED)
		vm->vm_tags_used--;
	stock_push(vm, tag);
}

/* Without locks: fill the stock of tags and nodes.  ENOMEM: not a full
 * operation's worth of tags could be had. */
int
tags_refill(struct vmem *vm)
{
	uint32_t tags[TAGS_FILL], nodes[NODES_FILL];
	unsigned int ntags, nnodes = 0;
	bool low;
	int error;

	ntags = pool_get(POOL_TAGS, tags, TAGS_FILL);
	lock_acquire(&vm->vm_lock);
	low = vm->vm_nnodes < NODES_PER_OP;
	lock_release(&vm->vm_lock);
	if (low)
		nnodes = pool_get(POOL_UNITS, nodes, NODES_FILL);
	lock_acquire(&vm->vm_lock);
	while (ntags > 0)
		stock_push(vm, tags[--ntags]);
	while (nnodes > 0 && vm->vm_nnodes < NODES_HIGH)
		vm->vm_nodes[vm->vm_nnodes++] = nodes[--nnodes];
	error = vm->vm_ntags < TAGS_PER_OP ? ENOMEM : 0;
	lock_release(&vm->vm_lock);
	if (nnodes > 0)
		pool_put(POOL_UNITS, nodes, nnodes);
	return (error);
}

/* Without locks: give the surplus of the stock back. */
void
tags_drain(struct vmem *vm)
{
	uint32_t tags[TAGS_HIGH], nodes[NODES_HIGH];
	unsigned int ntags = 0, nnodes = 0;

	lock_acquire(&vm->vm_lock);
	while (vm->vm_ntags > TAGS_FILL && ntags < TAGS_HIGH) {
		tags[ntags++] = vm->vm_tags;
		vm->vm_tags = TAG(vm->vm_tags)->bt_link;
		vm->vm_ntags--;
	}
	while (vm->vm_nnodes > NODES_FILL && nnodes < NODES_HIGH)
		nodes[nnodes++] = vm->vm_nodes[--vm->vm_nnodes];
	lock_release(&vm->vm_lock);
	if (ntags > 0)
		pool_put(POOL_TAGS, tags, ntags);
	if (nnodes > 0)
		pool_put(POOL_UNITS, nodes, nnodes);
}

/* At the end of an arena: all of it. */
void
tags_return_all(struct vmem *vm)
{
	uint32_t tag;

	while ((tag = vm->vm_tags) != TAG_NIL) {
		vm->vm_tags = TAG(tag)->bt_link;
		pool_put(POOL_TAGS, &tag, 1);
	}
	vm->vm_ntags = 0;
	pool_put(POOL_UNITS, vm->vm_nodes, vm->vm_nnodes);
	vm->vm_nnodes = 0;
}

void
vmem_meta_stat(struct vmem_meta_stat *ms)
{
	pool_init();
	lock_acquire(&pool.lock);
	ms->ms_tags_total = pool.total[POOL_TAGS];
	ms->ms_tags_free = pool.free[POOL_TAGS];
	ms->ms_tag_bytes = pool.blocks * BLOCK_BYTES;
	ms->ms_reserve = pool.meta != NULL ? POOL_RESERVE : 0;
	lock_release(&pool.lock);
}
