/*
 * unit.c - the memory of boundary tags: the pool, its bootstrap, the reserve.
 *
 * 1. One table.  All that arenas remember is in units of 512 bytes (rows of
 * tags, nodes of trees, bins, magazines) out of one table of address space, so
 * that a reference is 23 bits.  Blocks of 64 KiB of it get memory when needed,
 * the lowest first, and lose it when no unit of theirs is in use and enough
 * others are free.  A block's free units are a list; those never used yet
 * aren't on it, so that a new block isn't touched.
 *
 * 2. Bootstrap.  A pool that takes its memory from an arena needs units to do
 * so.  The order (DESIGN 2): a static block in the program's bss serves arenas
 * made with VM_BOOTSTRAP; the first other arena, or vmem_set_meta(), moves it
 * to the real table: references are numbers, so copying is all.  Without
 * vmem_set_meta() the table is an mmap; with it, a range of the meta arena,
 * grown in extents at the addresses that follow.
 *
 * 3. The reserve.  Each arena has a stock of its own, and every operation
 * makes sure, before it takes the arena's lock for good, that the stock has
 * what the worst case takes (vm_low, derived at arena_low()): so no operation
 * needs a unit that it hasn't got, and debug builds check that none took more
 * (arena_leave()).  An arena whose stock can't be had isn't made.  A free takes none that it couldn't do without.  Refilling
 * the stock may grow the table, which is an operation on the meta arena.  That
 * one is served from what the pool keeps back: what the meta arena's stock
 * lacks of vm_low, which is UNITS_LOW_MAX at most; afterwards the reserve is
 * full again, for the new memory has room for it.  The span that the meta
 * arena has when vmem_set_meta() is called is all that the table ever grows
 * into, so growing never imports, and the depth of the tree of arenas doesn't
 * enter.  One thread grows at a time (the pool's lock), so the number of
 * threads doesn't either.  POOL_RESERVE is that, with as much again for an
 * ordinary operation on the meta arena that was overtaken.  The static block
 * obeys the same rule.
 *
 * 4. Locks.  The pool's lock is taken before an arena's, never after.
 */
#include "config.h"

#include "arena/arena_impl.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#ifndef BLOCK_UNITS
#define BLOCK_UNITS 128u
#endif
#define BLOCK_BYTES ((size_t)BLOCK_UNITS * UNIT_BYTES)
#define BLOCKS_MAX ((1u << UNIT_BITS) / BLOCK_UNITS)
#define STATIC_BLOCKS 1u
/* See 3. */
#define POOL_RESERVE (2 * UNITS_LOW_MAX)
/* Blocks kept though wholly free: one, and an eighth of what is in use. */
#define KEEP_BLOCKS(used) (1 + (used) / 8)
/* The first extent of the table in the meta arena, a multiple of a block. */
#define EXTENT_MIN (1u << 20)
#define HUGE_FROM ((size_t)4 << 20)

struct block {
	uint32_t bk_free;   /* list of free units, by their first word */
	uint16_t bk_nfree;  /* on the list, or never used */
	uint16_t bk_carved; /* units used once */
};

/* Which blocks have something free (or no memory): two levels of bits. */
struct bitmap {
	uint64_t bm_bits[BLOCKS_MAX / 64];
	uint64_t bm_summary[BLOCKS_MAX / 64 / 64];
};

static char static_table[STATIC_BLOCKS * BLOCK_BYTES]
    __attribute__((aligned(64)));
char *unit_table = static_table;

static struct {
	struct lock lock;
	pthread_once_t once;
	bool ready;		/* the real table is in use */
	size_t limit;		/* blocks of address space */
	uint64_t total;		/* units with memory */
	uint64_t free;
	struct bitmap open;	/* blocks with free units */
	struct bitmap bare;	/* without memory */
	struct block block[BLOCKS_MAX];
	struct vmem *meta;
	int (*commit)(void *, vmem_addr_t, vmem_size_t);
	void (*decommit)(void *, vmem_addr_t, vmem_size_t);
	void *arg;
	size_t grown;		/* bytes of the extents */
	/* Failure injection, for tests: pool_inject(). */
	uint64_t calls, fail_first, fail_count;
	bool scarce;
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

static void
block_open(size_t b)
{
	struct block *bk = &pool.block[b];

	bit_clear(&pool.bare, b);
	bk->bk_free = UNIT_NIL;
	bk->bk_carved = 0;
	bk->bk_nfree = BLOCK_UNITS;
	pool.total += BLOCK_UNITS;
	pool.free += BLOCK_UNITS;
	bit_set(&pool.open, b);
}

static void
block_close(size_t b)
{
	void *at = UNIT((uint32_t)(b * BLOCK_UNITS));

	bit_clear(&pool.open, b);
	pool.total -= BLOCK_UNITS;
	pool.free -= BLOCK_UNITS;
	if (pool.meta != NULL)
		pool.decommit(pool.arg, (uintptr_t)at, BLOCK_BYTES);
	else
		(void)madvise(at, BLOCK_BYTES, MADV_DONTNEED);
	bit_set(&pool.bare, b);
}

static uint32_t
block_take(size_t b)
{
	struct block *bk = &pool.block[b];
	uint32_t unit = bk->bk_free;

	if (unit != UNIT_NIL)
		bk->bk_free = *(const uint32_t *)UNIT(unit);
	else
		unit = (uint32_t)(b * BLOCK_UNITS + bk->bk_carved++);
	pool.free--;
	if (--bk->bk_nfree == 0)
		bit_clear(&pool.open, b);
	return (unit);
}

static void
block_give(uint32_t unit)
{
	size_t b = unit / BLOCK_UNITS;
	struct block *bk = &pool.block[b];

	*(uint32_t *)UNIT(unit) = bk->bk_free;
	bk->bk_free = unit;
	pool.free++;
	if (bk->bk_nfree++ == 0)
		bit_set(&pool.open, b);
	if (bk->bk_nfree == BLOCK_UNITS && pool.ready &&
	    pool.free > BLOCK_UNITS +
		KEEP_BLOCKS(pool.total / BLOCK_UNITS) * BLOCK_UNITS)
		block_close(b);
}

/* The static block, before anything else. */
static void
pool_init_once(void)
{
	lock_init(&pool.lock, "unit pool", LOCK_TAG_POOL);
	pool.limit = STATIC_BLOCKS;
	block_open(0);
	(void)block_take(0); /* unit 0 is nil */
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
	uint32_t units[UNITS_LOW_MAX];
	unsigned int n = 0, want;

	lock_acquire(&vm->vm_lock);
	want = vm->vm_nunits < vm->vm_low ? vm->vm_low - vm->vm_nunits : 0;
	lock_release(&vm->vm_lock);
	while (n < want && n < UNITS_LOW_MAX && pool.free > 0)
		units[n++] = block_take(bit_first(&pool.open));
	lock_acquire(&vm->vm_lock);
	while (n > 0 && vm->vm_nunits < vm->vm_low + UNITS_HIGH)
		unit_give(vm, units[--n]);
	lock_release(&vm->vm_lock);
	while (n > 0)
		block_give(units[--n]);
}

/* The reserve serves this operation (see 3.). */
static int
extent_take(size_t size)
{
	uintptr_t at = (uintptr_t)unit_table + pool.grown;
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

/* One more block with memory. */
static int
block_grow(void)
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
	at = (uintptr_t)UNIT((uint32_t)(b * BLOCK_UNITS));
	if (pool.meta != NULL) {
		error = pool.commit(pool.arg, at, BLOCK_BYTES);
		if (error != 0)
			return (error);
	}
	block_open(b);
	return (0);
}

/* Take up to `want` units; returns how many.  The last POOL_RESERVE are kept
 * back for growing. */
unsigned int
pool_get(uint32_t *units, unsigned int want)
{
	uint64_t keep;
	unsigned int n = 0;

	pool_init();
	lock_acquire(&pool.lock);
	if (++pool.calls - pool.fail_first < pool.fail_count)
		want = 0;
	if (pool.scarce && want > UNITS_FILL)
		want -= UNITS_FILL;
	keep = pool.meta != NULL ? POOL_RESERVE : 0;
	while (n < want) {
		if (pool.free <= keep && block_grow() != 0)
			break;
		if (pool.free > keep)
			units[n++] = block_take(bit_first(&pool.open));
	}
	lock_release(&pool.lock);
	return (n);
}

/*
 * As if there were no units left: the calls from the first-th on fail, so many
 * of them.  scarce: nobody gets more than is needed, so that every operation
 * that finds its stock short begins with vm_low units and no more.
 */
void
pool_inject(uint64_t first, uint64_t count, bool scarce)
{
	pool_init();
	lock_acquire(&pool.lock);
	pool.calls = 0;
	pool.fail_first = first;
	pool.fail_count = count;
	pool.scarce = scarce;
	lock_release(&pool.lock);
}

/* Calls since then. */
uint64_t
pool_calls(void)
{
	uint64_t calls;

	lock_acquire(&pool.lock);
	calls = pool.calls;
	lock_release(&pool.lock);
	return (calls);
}

void
pool_put(const uint32_t *units, unsigned int count)
{
	lock_acquire(&pool.lock);
	for (unsigned int i = 0; i < count; i++)
		block_give(units[i]);
	lock_release(&pool.lock);
}

/* ---- bootstrap ---------------------------------------------------------- */

/* Move from the static units to the real table: 4 GiB of addresses, or less if
 * there is a limit on them (ulimit -v, valgrind). */
static void
table_open(void *table, size_t blocks)
{
	memcpy(table, static_table,
	    (size_t)pool.block[0].bk_carved * UNIT_BYTES);
	unit_table = table;
	pool.limit = blocks;
	pool.ready = true;
}

static int
table_mmap(void)
{
	size_t bytes = (size_t)BLOCKS_MAX * BLOCK_BYTES;
	void *table = MAP_FAILED;

	NOFAULT_ASSERT();
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

/* From now on what UNIT() gives stays where it is. */
bool
pool_ready(void)
{
	bool ready;

	lock_acquire(&pool.lock);
	ready = pool.ready;
	lock_release(&pool.lock);
	return (ready);
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

bool
meta_is(const struct vmem *vm)
{
	return (vm == pool.meta);
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

/* ---- fork(2): fork.c ----------------------------------------------------- */

void
pool_fork(bool hold)
{
	pool_init();
	if (hold)
		lock_hold(&pool.lock);
	else
		lock_let_go(&pool.lock);
}

/* ---- an arena's stock --------------------------------------------------- */

/* Without locks: fill the stock.  ENOMEM: not a full operation's worth could be
 * had. */
int
units_refill(struct vmem *vm)
{
	uint32_t units[UNITS_LOW_MAX + UNITS_FILL];
	unsigned int want, n = 0;
	int error;

	lock_acquire(&vm->vm_lock);
	want = vm->vm_low + UNITS_FILL;
	want = vm->vm_nunits < want ? want - vm->vm_nunits : 0;
	lock_release(&vm->vm_lock);
	if (want > 0)
		n = pool_get(units, want);
	lock_acquire(&vm->vm_lock);
	while (n > 0 && vm->vm_nunits < vm->vm_low + UNITS_HIGH)
		unit_give(vm, units[--n]);
	error = units_at_hand(vm, vm->vm_low) ? 0 : ENOMEM;
	lock_release(&vm->vm_lock);
	if (n > 0)
		pool_put(units, n);
	return (error);
}

/* Without locks: give the surplus of the stock back, and with it pieces of bins
 * that are empty: a unit that stays keeps a block of 64 KiB. */
void
units_drain(struct vmem *vm)
{
	uint32_t units[UNITS_MAX + BIN_PIECES];
	unsigned int n;

	lock_acquire(&vm->vm_lock);
	n = fl_trim(vm, units);
	while (vm->vm_nunits > vm->vm_low + UNITS_FILL)
		units[n++] = unit_take(vm);
	lock_release(&vm->vm_lock);
	if (n > 0)
		pool_put(units, n);
}

/* At the end of an arena: all of it. */
void
units_return_all(struct vmem *vm)
{
	pool_put(vm->vm_units, vm->vm_nunits);
	vm->vm_nunits = 0;
}

void
vmem_meta_stat(struct vmem_meta_stat *ms)
{
	pool_init();
	lock_acquire(&pool.lock);
	ms->ms_tags_total = pool.total * ROW_TAGS;
	ms->ms_tags_free = pool.free * ROW_TAGS;
	ms->ms_tag_bytes = pool.total * UNIT_BYTES;
	ms->ms_reserve = pool.meta != NULL ? POOL_RESERVE * ROW_TAGS : 0;
	lock_release(&pool.lock);
}
