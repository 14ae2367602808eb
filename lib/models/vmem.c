/*
 * vmem.c - the model of libvmem: the daemon's layering, in one process.
 *
 *	kernel_va	addresses, quantum 4096
 *	  |-- kmem_va	wired ranges; quantum caches for 1..16 pages
 *	  `-- heap	pageable ranges, registered in the fault map; the same
 *	vmem_meta	boundary tags, in units of 512 bytes: real memory
 *	direct map	(if it is on) single wired pages, of no arena
 *
 * A range gets to the fault map if and only if it takes faults, and the fault
 * path is the pager's.  What the library asks memory for passes vmem_meta's
 * commit callback: so that is where asking inside an allocation, a free or a
 * fault is counted, and where a shortage is made.
 *
 * A free may ask for memory that it can do without (a magazine to put an
 * address into, say).  So that is counted, and isn't A-2, which is about what a
 * free can't do without; a free that was refused would be.
 *
 * The shortage: an arena of nobody's takes all boundary tags but so many, and
 * no memory for more is committed.
 *
 * libvmem is one in a process, and so is this model.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vmem.h>
#include <vmpager.h>

#include "kmem/direct.h"
#include "models/model.h"

#define BASE UINT64_C(0x100000000000)
#define META_BYTES (UINT64_C(4) << 30)
#define CACHED_PAGES 16u
#define FRAMES_BYTES (UINT64_C(256) << 20)
#define DIRECT_BYTES (UINT64_C(1) << 30)
#define TAG_BYTES 8u		/* of one in its unit */
#define UNIT_BYTES 512u
#define UNIT_TAGS 56u
#define BLOCK_BYTES 65536u	/* what the table of units grows by */
#define BLOCK_TAGS ((uint64_t)BLOCK_BYTES / UNIT_BYTES * UNIT_TAGS)
#define HOG_SIZE (UINT64_C(1) << 40)

struct vmem_model {
	struct model vd_model;		/* first */
	vmem_t *vd_va, *vd_meta, *vd_kmem, *vd_heap, *vd_hog;
	vmem_addr_t vd_heap_base;
	struct vmpager *vd_pager;
	struct vmpager_map *vd_map;
	struct direct *vd_direct;
	vmem_addr_t vd_meta_base;
	_Atomic uint64_t vd_committed;	/* bytes */
	_Atomic uint64_t vd_blocks;	/* of units, committed */
	uint64_t vd_blocks_max;		/* 0: no bound */
	_Atomic uint64_t vd_high_heap;	/* end of the highest range ever */
	_Atomic uint64_t vd_high_va;
};

static struct vmem_model *
of(struct model *m)
{
	return ((struct vmem_model *)(void *)m);
}

static void
reach(_Atomic uint64_t *high, uint64_t end)
{
	uint64_t seen = model_read(high);

	while (end > seen && !atomic_compare_exchange_weak_explicit(high,
	    &seen, end, memory_order_relaxed, memory_order_relaxed))
		continue;
}

/* ---- memory for tags ----------------------------------------------------- */

/* Units are at the low end of vmem_meta, what else there is at the high. */
static bool
is_block(const struct vmem_model *vd, vmem_addr_t addr, vmem_size_t size)
{
	return (size == BLOCK_BYTES &&
	    addr - vd->vd_meta_base < META_BYTES / 2);
}

static int
meta_commit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct vmem_model *vd = arg;
	bool block = is_block(vd, addr, size);
	bool refused = block && vd->vd_blocks_max != 0 &&
	    model_read(&vd->vd_blocks) >= vd->vd_blocks_max;

	if (model_context.cx_phase != PHASE_CREATE) {
		/* From the reserve that growing has (lib/arena/unit.c, 3). */
		model_enter_va(&vd->vd_model);
		model_asked(&vd->vd_model, refused);
		model_leave_va();
	}
	if (refused)
		return (ENOMEM);
	model_add(&vd->vd_committed, size);
	if (block)
		model_count(&vd->vd_blocks);
	return (0);
}

static void
meta_decommit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	struct vmem_model *vd = arg;

	model_add(&vd->vd_committed, (uint64_t)0 - size);
	if (is_block(vd, addr, size))
		model_add(&vd->vd_blocks, UINT64_MAX);
	(void)madvise((void *)(uintptr_t)addr, size, MADV_DONTNEED);
}

static bool
hog_one(struct vmem_model *vd, vmem_addr_t *addrp)
{
	return (vmem_xalloc(vd->vd_hog, 1, 0, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_NOSLEEP, addrp) == 0);
}

/* Tags that could be had: those of free units, and of blocks that may still be
 * committed. */
static uint64_t
tags_left(const struct vmem_model *vd)
{
	struct vmem_meta_stat ms;
	uint64_t bare = vd->vd_blocks_max - model_read(&vd->vd_blocks);

	vmem_meta_stat(&ms);
	return (ms.ms_tags_free < ms.ms_reserve ? 0 :
	    ms.ms_tags_free - ms.ms_reserve + bare * BLOCK_TAGS);
}

/*
 * Leave `records` boundary tags to the others: have memory for as many, give it
 * back, and take what is beyond.
 */
static int
make_short(struct vmem_model *vd, uint64_t records)
{
	vmem_addr_t addr;

	vd->vd_hog = vmem_create("hog", 0, HOG_SIZE, 1, NULL, NULL, NULL, 0,
	    VM_NOSLEEP | VM_FIRSTFIT);
	if (vd->vd_hog == NULL)
		return (errno);
	for (uint64_t i = 0; i < 2 * records; i++)
		if (!hog_one(vd, &addr))
			return (ENOMEM);
	vd->vd_blocks_max = model_read(&vd->vd_blocks);
	vmem_xfreeall(vd->vd_hog);
	while (tags_left(vd) > records && hog_one(vd, &addr))
		continue;
	return (0);
}

/* ---- the operations ------------------------------------------------------ */

static int
kmem_va_import(void *src, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	struct vmem_model *vd = src;
	int error = vmem_alloc_import(vd->vd_va, size, flags, addrp);

	if (error == 0)
		reach(&vd->vd_high_va, *addrp + size);
	return (error);
}

static void
kmem_va_release(void *src, vmem_addr_t addr, vmem_size_t size)
{
	struct vmem_model *vd = src;

	vmem_free_release(vd->vd_va, addr, size);
}

static vmem_size_t
rounded(uint64_t size)
{
	return ((size + MODEL_PAGE - 1) & ~(uint64_t)(MODEL_PAGE - 1));
}

static bool
through_cache(vmem_size_t size, unsigned int how)
{
	return (size <= CACHED_PAGES * MODEL_PAGE &&
	    (how & MODEL_ALIGNED) == 0);
}

static bool
is_direct(const struct vmem_model *vd, vmem_size_t size, unsigned int how)
{
	return (vd->vd_direct != NULL && size == MODEL_PAGE && how == 0);
}

static vmem_t *
arena_of(const struct vmem_model *vd, unsigned int how)
{
	return ((how & MODEL_PAGEABLE) != 0 ? vd->vd_heap : vd->vd_kmem);
}

static void
give(struct vmem_model *vd, vmem_addr_t addr, vmem_size_t size,
    unsigned int how)
{
	if (through_cache(size, how))
		vmem_free(arena_of(vd, how), addr, size);
	else
		vmem_xfree(arena_of(vd, how), addr, size);
}

static int
vd_alloc(struct model *m, uint64_t size, uint64_t align, unsigned int how,
    uint64_t *addrp)
{
	struct vmem_model *vd = of(m);
	vmem_addr_t addr;
	int error;

	size = rounded(size);
	if (is_direct(vd, size, how))
		return (direct_get(vd->vd_direct, addrp));
	model_enter_va(m);
	if (through_cache(size, how))
		error = vmem_alloc(
		    arena_of(vd, how), size, VM_NOSLEEP, &addr);
	else
		error = vmem_xalloc(arena_of(vd, how), size, align, 0, 0,
		    VMEM_ADDR_MIN, VMEM_ADDR_MAX, VM_NOSLEEP, &addr);
	model_leave_va();
	if (error != 0)
		return (error);
	if ((how & MODEL_PAGEABLE) != 0) {
		reach(&vd->vd_high_heap, addr + size);
		error = vmpager_register(vd->vd_map, addr, size);
		if (error != 0)
			give(vd, addr, size, how);
	}
	if (error == 0)
		*addrp = addr;
	return (error);
}

static int
vd_free(struct model *m, uint64_t addr, uint64_t size, unsigned int how)
{
	struct vmem_model *vd = of(m);

	size = rounded(size);
	if (is_direct(vd, size, how) && direct_contains(vd->vd_direct, addr)) {
		direct_put(vd->vd_direct, addr);
		return (0);
	}
	if ((how & MODEL_PAGEABLE) != 0)
		vmpager_unregister(vd->vd_map, addr, size);
	give(vd, addr, size, how);
	return (0);
}

/*
 * What vmem_xfree_part() takes are tags for what stays: from the arena's
 * stock, which it fills first if it is low.  That is asking for memory inside
 * a free, so it is counted as that.
 */
static int
vd_part(struct model *m, uint64_t addr, uint64_t size, uint64_t whole,
    unsigned int how)
{
	struct vmem_model *vd = of(m);
	struct vmem_stat before, after;
	int error;

	if (through_cache(rounded(whole), how))
		return (EBUSY);
	vmem_stat(arena_of(vd, how), &before);
	/* The fault map first, as always; if the addresses can't go, the range
	 * is registered once more. */
	if ((how & MODEL_PAGEABLE) != 0)
		vmpager_unregister(vd->vd_map, addr, size);
	error = vmem_xfree_part(arena_of(vd, how), addr, size, VM_NOSLEEP);
	if (error != 0 && (how & MODEL_PAGEABLE) != 0)
		(void)vmpager_register(vd->vd_map, addr, size);
	vmem_stat(arena_of(vd, how), &after);
	if (error != 0)
		model_asked(m, true);
	for (uint64_t n = before.vs_tags; error == 0 && n < after.vs_tags; n++)
		model_asked(m, false);
	return (error);
}

/* The last piece of a range may be smaller than what a cache serves, and yet
 * never came from one: the caller says by MODEL_ALIGNED. */
static int
vd_fault(struct model *m, uint64_t addr)
{
	struct vmem_model *vd = of(m);
	struct vmpager_touched pt;
	int error = vmpager_touch(vd->vd_map, addr, 1, true, &pt);

	model_count(&m->m_counts->ct_faults);
	model_count(&m->m_counts->ct_steps);	/* one page table entry */
	return (error);
}

static void
vd_tick(struct model *m, uint64_t now_ns)
{
	(void)m;
	(void)now_ns;
}

static void
vd_stat(struct model *m, struct model_stat *ms)
{
	struct vmem_model *vd = of(m);
	vmem_t *const arenas[] = { vd->vd_va, vd->vd_kmem, vd->vd_heap };
	struct vmem_meta_stat meta;
	struct direct_stat ds;
	struct vmem_stat vs;

	memset(ms, 0, sizeof(*ms));
	ms->ms_record_size = TAG_BYTES;
	for (size_t i = 0; i < sizeof(arenas) / sizeof(arenas[0]); i++) {
		vmem_stat(arenas[i], &vs);
		ms->ms_records += vs.vs_tags;
		ms->ms_bytes += vs.vs_meta_bytes;
	}
	/* Units that arenas have: rows of tags, trees, magazines, stocks. */
	vmem_meta_stat(&meta);
	ms->ms_records_peak = meta.ms_tags_total - meta.ms_tags_free;
	ms->ms_held = ms->ms_bytes + meta.ms_tag_bytes;
	ms->ms_bytes += ms->ms_records_peak / UNIT_TAGS * UNIT_BYTES;
	ms->ms_extent = model_read(&vd->vd_high_heap) - vd->vd_heap_base +
	    (model_read(&vd->vd_high_va) - BASE);
	if (vd->vd_direct != NULL) {
		direct_stat(vd->vd_direct, &ds);
		ms->ms_bytes += ds.ds_meta;
		ms->ms_held += ds.ds_meta;
	}
}

static const char *
vd_check(struct model *m)
{
	struct vmem_model *vd = of(m);
	vmem_t *const arenas[] = { vd->vd_va, vd->vd_kmem, vd->vd_heap };
	const char *why = NULL;

	for (size_t i = 0; i < sizeof(arenas) / sizeof(arenas[0]); i++)
		if (vmem_check_why(arenas[i], &why) != 0)
			return (why);
	return (vmpager_check(vd->vd_pager, &why) != 0 ? why : NULL);
}

/* ---- life ---------------------------------------------------------------- */

static int
make_roots(struct vmem_model *vd)
{
	uint64_t size = vd->vd_model.m_spec.sp_va_size;
	void *meta = mmap(NULL, META_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (meta == MAP_FAILED)
		return (ENOMEM);
	vd->vd_meta_base = (vmem_addr_t)(uintptr_t)meta;
	vd->vd_va = vmem_create("kernel_va", BASE, size, MODEL_PAGE, NULL,
	    NULL, NULL, 0, VM_NOSLEEP | VM_BOOTSTRAP);
	vd->vd_meta = vmem_create("vmem_meta", vd->vd_meta_base, META_BYTES,
	    MODEL_PAGE, NULL, NULL, NULL, 0, VM_NOSLEEP | VM_BOOTSTRAP);
	if (vd->vd_va == NULL || vd->vd_meta == NULL)
		return (errno);
	return (vmem_set_meta(vd->vd_meta, meta_commit, meta_decommit, vd));
}

/* heap takes the upper half of the addresses, at the far end. */
static int
make_leaves(struct vmem_model *vd)
{
	uint64_t half = vd->vd_model.m_spec.sp_va_size / 2 &
	    ~(uint64_t)(MODEL_PAGE - 1);
	int error;

	error = vmem_xalloc(vd->vd_va, half, 0, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_NOSLEEP | VM_LASTFIT, &vd->vd_heap_base);
	if (error != 0)
		return (error);
	vd->vd_high_heap = vd->vd_heap_base;
	vd->vd_high_va = BASE;
	vd->vd_kmem = vmem_create("kmem_va", 0, 0, MODEL_PAGE, kmem_va_import,
	    kmem_va_release, vd, CACHED_PAGES * MODEL_PAGE, VM_NOSLEEP);
	vd->vd_heap = vmem_create("heap", vd->vd_heap_base, half, MODEL_PAGE,
	    NULL, NULL, NULL, CACHED_PAGES * MODEL_PAGE, VM_NOSLEEP);
	if (vd->vd_kmem == NULL || vd->vd_heap == NULL)
		return (errno);
	return (vmpager_map_create(
	    vd->vd_pager, vd->vd_heap_base, half, &vd->vd_map));
}

static int
make_all(struct vmem_model *vd)
{
	const struct model_spec *sp = &vd->vd_model.m_spec;
	const struct vmpager_config config = { .pc_frames_bytes = FRAMES_BYTES,
		.pc_swap = "none" };
	int error = make_roots(vd);

	if (error == 0)
		error = vmpager_create(&config, &vd->vd_pager);
	if (error == 0)
		error = make_leaves(vd);
	if (error == 0 && sp->sp_direct)
		error = direct_create(BASE + sp->sp_va_size, DIRECT_BYTES,
		    NULL, &vd->vd_direct);
	if (error == 0 && sp->sp_records_max != 0)
		error = make_short(vd, sp->sp_records_max);
	return (error);
}

/* The library outlives it, and so does what its tags live in. */
static void
vd_destroy(struct model *m)
{
	struct vmem_model *vd = of(m);

	vmpager_map_destroy(vd->vd_map);
	vmpager_destroy(vd->vd_pager);
}

static const struct model_ops vmem_ops = {
	.mo_alloc = vd_alloc, .mo_free = vd_free, .mo_part = vd_part,
	.mo_fault = vd_fault, .mo_tick = vd_tick, .mo_stat = vd_stat,
	.mo_check = vd_check, .mo_destroy = vd_destroy
};

int
vmem_model_create(const struct model_spec *spec, struct model **mp)
{
	struct vmem_model *vd = calloc(1, sizeof(*vd));
	int error;

	if (vd == NULL)
		return (ENOMEM);
	model_init(&vd->vd_model, &vmem_ops, spec);
	error = make_all(vd);
	if (error != 0)
		return (error > 0 ? error : ENOMEM);
	*mp = &vd->vd_model;
	return (0);
}
