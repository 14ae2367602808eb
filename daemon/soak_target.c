/*
 * soak_target.c - a daemon worker's operations: calls of libvmem.
 *
 * The order is that of alloc and free for clients (doc/architecture.md):
 * addresses, then backing; and back, the pages first.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cache.h"
#include "daemon/plant.h"
#include "daemon/record.h"
#include "daemon/soak.h"
#include "soak/plain.h"
#include "util/clock.h"
#include "util/futex.h"
#include "util/pattern.h"

#define CACHED 0x01u		/* ra_flags: pairs with cache_put() */
#define LOOK_NS 100000000u	/* who waits looks so often if the run ends */
/* Who was granted is told within so many looks: by looks, not by the clock, so
 * that a machine that was stopped meanwhile isn't taken for a lost wake-up. */
#define WAKE_LOOKS 50u
#define DUMP_SEGMENTS 200
#define OWN_BASE 4096u		/* of an arena made on the way */
#define OWN_SIZE (1u << 20)

static enum soak_outcome
failed(struct soak_result *sr, enum job_cause cause)
{
	sr->sr_cause = cause;
	return (SOAK_FAILED);
}

static enum soak_outcome
wrong(struct soak_result *sr, const char *what, uint64_t addr)
{
	(void)snprintf(sr->sr_text, sizeof(sr->sr_text), "%s: 0x%" PRIx64,
	    what, addr);
	return (SOAK_WRONG);
}

/* ---- waiting ------------------------------------------------------------ */

struct nap {
	_Atomic uint32_t na_granted;
};

static void
nap_over(struct vmem_request *vr, int error)
{
	struct nap *na = vr->vr_arg;

	(void)error;
	if (plant_bears(PLANT_LOST_WAKEUP))
		return;
	/* Release: the addresses are there when it is seen. */
	atomic_store_explicit(&na->na_granted, 1, memory_order_release);
	futex_wake(&na->na_granted, 1);
}

static bool
nap_until(struct nap *na, uint64_t deadline)
{
	uint64_t now = clock_ns();
	struct timespec ts = { 0, 0 };

	if (now < deadline) {
		uint64_t left = deadline - now;

		ts.tv_nsec = (long)(left < LOOK_NS ? left : LOOK_NS);
		futex_wait(&na->na_granted, 0, &ts);
	}
	return (atomic_load_explicit(
	    &na->na_granted, memory_order_acquire) != 0);
}

/*
 * Queued: until it is granted, time is up, or the run ends.  Who can't be
 * cancelled any more has been granted its range, and must be told of it.
 */
static int
sleep_for(struct soak_worker *sw, vmem_t *vm, struct vmem_request *vr,
    struct nap *na)
{
	uint64_t deadline = clock_ns() +
	    (uint64_t)sw->sw_group->jg_sleep_ms * UINT64_C(1000000);
	bool stopping = false;

	while (!nap_until(na, deadline)) {
		stopping = soak_stopping(sw);
		if (!stopping && clock_ns() < deadline)
			continue;
		if (vmem_cancel(vm, vr) == 0)
			return (stopping ? ECANCELED : ETIMEDOUT);
		for (unsigned int i = 0; !nap_until(na, UINT64_MAX); i++)
			if (i == WAKE_LOOKS)
				return (EDEADLK);
		return (0);
	}
	return (0);
}

static int
take_sleeping(struct soak_worker *sw, vmem_t *vm, const struct job_want *jw,
    vmem_size_t size, vmem_addr_t *addrp)
{
	struct nap na = { 0 };
	struct vmem_request vr = { .vr_size = size, .vr_align = jw->jw_align,
		.vr_nocross = jw->jw_nocross, .vr_min = jw->jw_min,
		.vr_max = jw->jw_max, .vr_count = 1, .vr_addrs = addrp,
		.vr_done = nap_over, .vr_arg = &na,
		.vr_flags = jw->jw_fit >= 0 ?
		    arena_fit_flag((unsigned int)jw->jw_fit) : 0 };
	int error = vmem_submit(vm, &vr);

	return (error == EINPROGRESS ? sleep_for(sw, vm, &vr, &na) : error);
}

/* ---- alloc, free -------------------------------------------------------- */

static int
take(struct soak_worker *sw, const struct arena *ar,
    const struct job_want *jw, vmem_size_t size, struct job_range *ra)
{
	vmem_t *vm = ar->ar_vm;

	if (jw->jw_at) {
		ra->ra_addr = jw->jw_min;
		return (
		    vmem_xalloc_addr(vm, jw->jw_min, size, VM_NOSLEEP));
	}
	if (sw->sw_group->jg_sleep_ms != 0)
		return (take_sleeping(sw, vm, jw, size, &ra->ra_addr));
	if (jw->jw_fit < 0 && jw->jw_align == 0 && jw->jw_nocross == 0 &&
	    jw->jw_max == VMEM_ADDR_MAX) {
		ra->ra_flags = CACHED;
		return (cache_get(ar, size, &ra->ra_addr));
	}
	return (vmem_xalloc(vm, size, jw->jw_align, 0, jw->jw_nocross,
	    jw->jw_min, jw->jw_max, VM_NOSLEEP |
		(jw->jw_fit >= 0 ? arena_fit_flag((unsigned int)jw->jw_fit) :
				   0), &ra->ra_addr));
}

SOAK_INLINE void
give_back(const struct arena *ar, const struct job_range *ra)
{
	if (ra->ra_size > ar->ar_qcache_max && plant_bears(PLANT_LEAK))
		return;
	if (ra->ra_flags & CACHED)
		cache_put(ar, ra->ra_addr, ra->ra_size);
	else
		vmem_xfree(ar->ar_vm, ra->ra_addr, ra->ra_size);
}

/* A bug may be planted here: the real range goes back, another is told. */
SOAK_INLINE void
tell_another(const struct arena *ar, struct job_range *ra)
{
	uint64_t told =
	    plant_address(ra->ra_addr, ra->ra_size, ar->ar_quantum);

	if (told == ra->ra_addr)
		return;
	if (ar->ar_kind == ARENA_PAGEABLE)
		vmpager_unregister(ar->ar_map, ra->ra_addr, ra->ra_size);
	give_back(ar, ra);
	ra->ra_addr = told;
}

/* What comes with the addresses; false: no frames, and they went back. */
SOAK_INLINE bool
settle(struct arena *ar, struct job_range *ra)
{
	if (ar->ar_kind == ARENA_PAGEABLE &&
	    vmpager_register(ar->ar_map, ra->ra_addr, ra->ra_size) != 0) {
		give_back(ar, ra);
		return (false);
	}
	if (ar->ar_kind == ARENA_WIRED)
		memset((void *)(uintptr_t)ra->ra_addr, 0, ra->ra_size);
	if (ar->ar_kind == ARENA_PAGEABLE && plant_bears(PLANT_STALE))
		(void)vmpager_write(ar->ar_map, ra->ra_addr, "stale", 5);
	tell_another(ar, ra);
	return (true);
}

static enum soak_outcome
do_alloc(struct soak_worker *sw, const struct job_want *jw,
    struct job_range *ra, struct soak_result *sr)
{
	struct arena *ar = sw->sw_own;
	vmem_size_t size;

	if (arena_round(ar, jw->jw_size, &size) != 0)
		return (failed(sr, JOB_NO_SPACE));
	switch (take(sw, ar, jw, size, ra)) {
	case 0:
		break;
	case ETIMEDOUT:
		return (failed(sr, JOB_TIMED_OUT));
	case ECANCELED:
		return (SOAK_STOPPED);
	case EDEADLK:
		vmem_xfree(ar->ar_vm, ra->ra_addr, size);
		return (wrong(sr, "lost wake-up: granted, and not woken",
		    ra->ra_addr));
	default:
		return (failed(sr, jw->jw_at ? JOB_EXISTS : JOB_NO_SPACE));
	}
	ra->ra_size = size;
	if (!settle(ar, ra))
		return (failed(sr, JOB_NO_FRAMES));
	if (record_wanted(ar))
		record_alloc(ar, ra->ra_addr, size, jw->jw_align);
	return (SOAK_DONE);
}

static enum soak_outcome
do_free(struct soak_worker *sw, const struct job_range *ra,
    struct soak_result *sr)
{
	struct arena *ar = sw->sw_own;

	(void)sr;
	if (record_wanted(ar))
		record_free(ar, ra->ra_addr);
	if (ar->ar_kind == ARENA_PAGEABLE)
		vmpager_unregister(ar->ar_map, ra->ra_addr, ra->ra_size);
	give_back(ar, ra);
	return (SOAK_DONE);
}

/* ---- both, of plain workers --------------------------------------------- */

SOAK_INLINE enum soak_outcome
plain_get(struct soak_worker *sw, uint64_t size, struct job_range *ra,
    struct soak_result *sr)
{
	struct arena *ar = sw->sw_own;
	vmem_addr_t addr;
	vmem_size_t given;

	/* Not into *ra, which so needn't be in memory: two words written one
	 * by one, and read as a pair, are a stall. */
	if (arena_round(ar, size, &given) != 0 ||
	    cache_get(ar, given, &addr) != 0)
		return (failed(sr, JOB_NO_SPACE));
	*ra = (struct job_range) { addr, given, 0, CACHED, 0 };
	return (settle(ar, ra) ? SOAK_DONE : failed(sr, JOB_NO_FRAMES));
}

SOAK_INLINE void
plain_put(struct soak_worker *sw, uint64_t addr, uint64_t size)
{
	const struct job_range ra = { addr, size, 0, CACHED, 0 };
	struct arena *ar = sw->sw_own;

	if (ar->ar_kind == ARENA_PAGEABLE)
		vmpager_unregister(ar->ar_map, addr, size);
	give_back(ar, &ra);
}

SOAK_INLINE void
plain_note(struct soak_tape *tape, enum job_op op, uint64_t ticks,
    uint64_t addr, uint64_t size)
{
	struct lane *ln = (void *)tape;

	if (op == JOB_ALLOC)
		lane_put_alloc(ln, ticks, addr, size, 0);
	else
		lane_put_free(ln, ticks, addr);
}

static void
do_plain(struct soak_worker *sw, unsigned int n)
{
	struct lane *ln = record_wanted((struct arena *)sw->sw_own) ?
	    record_enter(sw->sw_own) : NULL;

	soak_plain(sw, n, plain_get, plain_put, (void *)ln, plain_note);
	if (ln != NULL)
		record_leave(ln);
}

/* ---- bytes -------------------------------------------------------------- */

struct access {
	uint64_t ac_seed;
	uint64_t ac_bad;
};

static int
page_fill(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	const struct access *ac = arg;

	pattern_fill(bytes, len, addr, ac->ac_seed);
	plant_flip(bytes, len);
	return (0);
}

static int
page_verify(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	struct access *ac = arg;

	return (pattern_verify(bytes, len, addr, ac->ac_seed, &ac->ac_bad) ?
		0 : EILSEQ);
}

static int
page_zero(void *arg, vmem_addr_t addr, void *bytes, size_t len)
{
	struct access *ac = arg;
	const char *p = bytes;

	for (size_t i = 0; i < len; i++)
		if (p[i] != 0) {
			ac->ac_bad = addr + i;
			return (EILSEQ);
		}
	return (0);
}

/* Wasn't it done for want of a frame, or because the swap failed?  Then nothing
 * is lost.  Otherwise a page is. */
static bool
refused(const struct arena *ar, vmem_addr_t addr, uint64_t len, int error)
{
	vmem_addr_t bad;

	return (error == ENOMEM || error == ENOSPC ||
	    (error == EIO && !arena_lost(ar, addr, len, &bad)));
}

/* fn on each page's share, wherever the arena's bytes are. */
static enum soak_outcome
on_bytes(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, uint64_t seed, bool write,
    int (*fn)(void *, vmem_addr_t, void *, size_t), struct soak_result *sr)
{
	const struct arena *ar = sw->sw_own;
	struct access ac = { seed, 0 };
	vmem_addr_t addr = ra->ra_addr + offset;
	struct vmpager_touched pt;
	int error;

	/* Touched first: an access brings its pages in by itself, but a touch
	 * is a fault of the CPU in the modes that have such. */
	if (ar->ar_kind == ARENA_PAGEABLE) {
		error = vmpager_touch(ar->ar_map, addr, len, write, &pt);
		if (error == 0)
			error = vmpager_access(
			    ar->ar_map, addr, len, write, fn, &ac);
	} else
		error = fn(&ac, addr, (void *)(uintptr_t)addr, (size_t)len);
	if (error == 0)
		return (SOAK_DONE);
	if (error == EILSEQ)
		return (wrong(sr, fn == page_zero ?
		    "stale bytes: fresh memory isn't zero" :
		    "bytes changed", ac.ac_bad));
	return (refused(ar, addr, len, error) ? failed(sr, JOB_NO_FRAMES) :
	    wrong(sr, "the page is lost", addr));
}

static enum soak_outcome
do_touch(struct soak_worker *sw, const struct job_range *ra,
    struct soak_result *sr)
{
	const struct arena *ar = sw->sw_own;
	struct vmpager_touched pt;
	int error = 0;

	if (ar->ar_kind == ARENA_PAGEABLE)
		error = vmpager_touch(
		    ar->ar_map, ra->ra_addr, ra->ra_size, true, &pt);
	return (error == 0 ? SOAK_DONE :
	    refused(ar, ra->ra_addr, ra->ra_size, error) ?
	    failed(sr, JOB_NO_FRAMES) : wrong(sr, "touch", ra->ra_addr));
}

static enum soak_outcome
do_zero(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, struct soak_result *sr)
{
	return (on_bytes(sw, ra, offset, len, 0, false, page_zero, sr));
}

static enum soak_outcome
do_fill(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, uint64_t seed, struct soak_result *sr)
{
	return (on_bytes(sw, ra, offset, len, seed, true, page_fill, sr));
}

static enum soak_outcome
do_verify(struct soak_worker *sw, const struct job_range *ra, uint64_t offset,
    uint64_t len, uint64_t seed, struct soak_result *sr)
{
	return (on_bytes(sw, ra, offset, len, seed, false, page_verify, sr));
}

/* ---- the rest ----------------------------------------------------------- */

static enum soak_outcome
do_reap(struct soak_worker *sw, struct soak_result *sr)
{
	const struct arena *ar = sw->sw_own;

	(void)sr;
	(void)cache_reap(ar);
	return (SOAK_DONE);
}

static enum soak_outcome
do_dump(struct soak_worker *sw, struct soak_result *sr)
{
	const struct arena *ar = sw->sw_own;
	struct vmem_seg segs[DUMP_SEGMENTS];
	vmem_addr_t cursor = 0;
	bool more;
	size_t n = vmem_walk_from(ar->ar_vm, VMEM_ALLOC | VMEM_FREE, &cursor,
	    segs, DUMP_SEGMENTS, &more);

	for (size_t i = 1; i < n; i++)
		if (segs[i].seg_addr <= segs[i - 1].seg_addr)
			return (wrong(sr, "segments out of order",
			    segs[i].seg_addr));
	return (SOAK_DONE);
}

/* Every second one imports from the arena under test. */
static vmem_t *
make_arena(const struct soak_worker *sw)
{
	const struct arena *ar = sw->sw_own;
	const vm_flag_t flags = VM_NOSLEEP | VM_BESTFIT | VM_CHECK;

	if (atomic_load_explicit(&sw->sw_tally->ta_counts[JOB_ARENA],
		memory_order_relaxed) % 2 == 0)
		return (vmem_create("soak", OWN_BASE, OWN_SIZE, OWN_BASE, NULL,
		    NULL, NULL, 0, flags));
	return (vmem_create("soak", 0, 0, ar->ar_quantum, vmem_alloc_import,
	    vmem_free_release, ar->ar_vm, 0, flags));
}

static enum soak_outcome
do_arena(struct soak_worker *sw, struct soak_result *sr)
{
	vmem_t *vm = make_arena(sw);
	vmem_addr_t addrs[3];
	size_t n = 0;
	const char *why = NULL;

	if (vm == NULL)
		return (failed(sr, JOB_NO_SPACE));
	while (n < 3 && vmem_alloc(vm, 20000, VM_NOSLEEP, &addrs[n]) == 0)
		n++;
	if (vmem_check_why(vm, &why) != 0) {
		(void)snprintf(sr->sr_text, sizeof(sr->sr_text),
		    "check of a new arena: %s", why);
		return (SOAK_WRONG);
	}
	for (size_t i = 0; i < n; i++)
		vmem_free(vm, addrs[i], 20000);
	vmem_destroy(vm);
	return (n == 3 ? SOAK_DONE : failed(sr, JOB_NO_SPACE));
}

static const struct soak_target with_memory = { do_alloc, do_free, do_touch,
	do_zero, do_fill, do_verify, do_verify, do_fill, do_reap, do_dump,
	do_arena, do_plain };
static const struct soak_target without_memory = { do_alloc, do_free, NULL,
	NULL, NULL, NULL, NULL, NULL, do_reap, do_dump, do_arena,
	do_plain };

const struct soak_target *
soak_target_of(const struct arena *ar)
{
	return (arena_has_memory(ar) ? &with_memory : &without_memory);
}
