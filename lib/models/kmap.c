/*
 * kmap.c - see kmap.h: allocating, freeing, faults; and the model of it.
 */
#include "config.h"

#include "models/kmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/assert.h"

/* What stands for the kernel's object, and for an amap. */
static const char kernel_object[] = "kernel_object";

void
kmap_fill(struct kmap_entry *ke, uint64_t start, uint64_t end, int flags)
{
	bool pageable = (flags & KE_PAGEABLE) != 0;

	memset(ke, 0, sizeof(*ke));
	ke->ke_start = start;
	ke->ke_end = end;
	ke->ke_object = pageable ? NULL : kernel_object;
	ke->ke_offset = pageable ? 0 : start - KMAP_BASE;
	ke->ke_protection = 3;
	ke->ke_max_protection = 7;
	ke->ke_inherit = pageable ? 1 : 3;
	ke->ke_wired = !pageable;
	ke->ke_flags = flags;
}

/* May [start, end) with these flags become part of ke, which touches it? */
static bool
mergeable(const struct kmap *km, const struct kmap_entry *ke, int flags)
{
	struct kmap_entry like;

	if (km->km_model->m_spec.sp_nomerge || ke == NULL ||
	    ke == &km->km_header || ((ke->ke_flags | flags) & KE_NOMERGE) != 0)
		return (false);
	kmap_fill(&like, 0, 0, flags);
	return (ke->ke_object == like.ke_object &&
	    ke->ke_type == like.ke_type &&
	    ke->ke_protection == like.ke_protection &&
	    ke->ke_max_protection == like.ke_max_protection &&
	    ke->ke_inherit == like.ke_inherit &&
	    ke->ke_advice == like.ke_advice &&
	    ke->ke_wired == like.ke_wired && ke->ke_flags == like.ke_flags);
}

/* ---- allocating ---------------------------------------------------------- */

/* Where it will go. */
struct place {
	struct kmap_entry *prev, *next;	/* next: only if it touches */
	uint64_t start;
	bool back, front;		/* merges with prev, with next */
};

static int
find_place(struct kmap *km, uint64_t size, uint64_t align, int flags,
    struct place *pl)
{
	struct kmap_entry *next;

	pl->prev = kmap_space(km, size, align, &pl->start);
	if (pl->prev == NULL)
		return (ENOMEM);
	next = pl->prev->ke_next;
	pl->next = next != NULL && next->ke_start == pl->start + size ? next :
									NULL;
	pl->back = pl->prev->ke_end == pl->start &&
	    mergeable(km, pl->prev, flags);
	pl->front = mergeable(km, pl->next, flags);
	return (0);
}

/* The range becomes part of its neighbours; returns an entry that is spare
 * now, if two became one. */
static struct kmap_entry *
merge(struct kmap *km, const struct place *pl, uint64_t size)
{
	struct kmap_entry *spare = NULL;
	uint64_t end = pl->start + size;

	model_count(&km->km_model->m_counts->ct_merges);
	if (pl->back && pl->front) {
		spare = pl->next;
		end = spare->ke_end;
		kmap_remove(km, spare);
	}
	if (pl->back) {
		pl->prev->ke_end = end;
		kmap_changed(km, pl->prev);
	} else {
		pl->next->ke_start = pl->start;
		kmap_changed(km, pl->next);
	}
	return (spare);
}

/* Put the range there.  `own` is an entry for it, which is spare if it merges;
 * with a stash it is taken all the same, so that a split will find it. */
static void
occupy(struct kmap *km, const struct place *pl, struct kmap_entry *own,
    uint64_t size, int flags)
{
	struct kmap_entry *spare;

	if (!pl->back && !pl->front) {
		kmap_fill(own, pl->start, pl->start + size, flags);
		kmap_insert(km, pl->prev, own);
		return;
	}
	spare = merge(km, pl, size);
	if (spare != NULL)
		kmap_entry_spare(km, spare);
	if (own != NULL)
		kmap_entry_spare(km, own);
}

int
kmap_alloc_locked(struct kmap *km, struct kmap_op *ko, uint64_t size,
    uint64_t align, int flags, uint64_t *addrp)
{
	bool stash = km->km_model->m_spec.sp_reserve == RESERVE_STASH;
	struct kmap_entry *own = NULL;
	struct place pl;
	int error;

	model_enter_va(km->km_model);
	if (model_context.cx_depth > 1)
		model_shows(km->km_model, CLAIM_C);
	error = find_place(km, size, align, flags, &pl);
	if (error == 0 && (stash || !(pl.back || pl.front))) {
		uint64_t generation = km->km_generation;

		own = kmap_entry_get(km, ko, false);
		if (own == NULL)
			error = ENOMEM;
		/* Getting it may have taken VA, perhaps this very place. */
		else if (generation != km->km_generation)
			error = find_place(km, size, align, flags, &pl);
	}
	if (error == 0) {
		*addrp = pl.start;
		occupy(km, &pl, own, size, flags);
	} else if (own != NULL)
		kmap_entry_put(km, own);
	model_leave_va();
	return (error);
}

int
kmap_alloc(struct kmap *km, uint64_t size, uint64_t align, int flags,
    uint64_t *addrp)
{
	struct kmap_op ko;
	int error;

	size = (size + MODEL_PAGE - 1) & ~(uint64_t)(MODEL_PAGE - 1);
	error = kmap_reserve(km, &ko);
	if (error != 0)
		return (error);
	lock_acquire(&km->km_lock);
	error = kmap_alloc_locked(km, &ko, size, align, flags, addrp);
	lock_release(&km->km_lock);
	kmap_unreserve(km, &ko);
	return (error);
}

/* ---- freeing ------------------------------------------------------------- */

/* [start, at) becomes an entry of its own before ke, or [at, end) after. */
static void
clip_start(struct kmap *km, struct kmap_entry *ke, struct kmap_entry *new,
    uint64_t at)
{
	kmap_fill(new, ke->ke_start, at, ke->ke_flags);
	ke->ke_start = at;
	if (ke->ke_object != NULL)
		ke->ke_offset = at - KMAP_BASE;
	kmap_insert(km, ke->ke_prev, new);
	model_count(&km->km_model->m_counts->ct_splits);
}

static void
clip_end(struct kmap *km, struct kmap_entry *ke, struct kmap_entry *new,
    uint64_t at)
{
	kmap_fill(new, at, ke->ke_end, ke->ke_flags);
	ke->ke_end = at;
	kmap_insert(km, ke, new);
	model_count(&km->km_model->m_counts->ct_splits);
}

/* The entry that the range lies in; anything else is the caller's mistake. */
static struct kmap_entry *
entry_of(struct kmap *km, uint64_t addr, uint64_t size)
{
	uint64_t steps = 0;
	struct kmap_entry *ke = kmap_seek(km, addr, &steps);

	if (ke == &km->km_header || addr + size > ke->ke_end)
		vmem_panic("kmap_free(0x%llx, %llu): expected a range inside "
		    "one entry", (unsigned long long)addr,
		    (unsigned long long)size);
	return (ke);
}

/* Entries for the clips that the range needs, before anything is changed: all
 * of them or none.  Getting them may change the map, and so their number. */
static int
get_clips(struct kmap *km, struct kmap_op *ko, uint64_t addr, uint64_t size,
    struct kmap_entry *clips[2])
{
	unsigned int have = 0, need = 0;
	const struct kmap_entry *ke;

	for (;;) {
		ke = entry_of(km, addr, size);
		need = (unsigned int)(ke->ke_start < addr) +
		    (unsigned int)(ke->ke_end > addr + size);
		if (have >= need)
			break;
		clips[have] = kmap_entry_get(km, ko, true);
		if (clips[have] == NULL)
			break;
		have++;
	}
	if (have >= need && have <= 2) {
		while (have > need)
			kmap_entry_put(km, clips[--have]);
		return (0);
	}
	while (have > 0)
		kmap_entry_put(km, clips[--have]);
	return (ENOMEM);
}

int
kmap_free_locked(
    struct kmap *km, struct kmap_op *ko, uint64_t addr, uint64_t size)
{
	struct kmap_entry *clips[2] = { NULL, NULL }, *ke;
	unsigned int used = 0;
	int error = get_clips(km, ko, addr, size, clips);

	if (error != 0)
		return (error);
	ke = entry_of(km, addr, size);
	if ((ke->ke_flags & KE_PAGEABLE) != 0)
		kmap_anons_drop(km, addr, size);
	/* Dropping anons may have given their page's VA back. */
	ke = entry_of(km, addr, size);
	if (ke->ke_start < addr)
		clip_start(km, ke, clips[used++], addr);
	if (ke->ke_end > addr + size)
		clip_end(km, ke, clips[used++], addr + size);
	kmap_remove(km, ke);
	kmap_entry_put(km, ke);
	return (0);
}

int
kmap_free(struct kmap *km, uint64_t addr, uint64_t size)
{
	struct kmap_op ko;
	int error;

	size = (size + MODEL_PAGE - 1) & ~(uint64_t)(MODEL_PAGE - 1);
	error = kmap_reserve(km, &ko);
	if (error != 0)
		return (error);
	lock_acquire(&km->km_lock);
	error = kmap_free_locked(km, &ko, addr, size);
	lock_release(&km->km_lock);
	kmap_unreserve(km, &ko);
	return (error);
}

/* ---- faults -------------------------------------------------------------- */

/*
 * An anon, in the fault.  In a self-fed map a page for anons needs an address
 * from the map that the fault holds: that is a deadlock, which kernels get
 * around by letting go of everything and faulting once more.
 */
static void *
anon_get(struct kmap *km, bool *again)
{
	struct model *m = km->km_model;
	void *anon = records_take(&km->km_anons);

	model_shows(m, CLAIM_B);
	if (anon == NULL) {
		if (m->m_spec.sp_self) {
			model_count(&m->m_counts->ct_deadlocks[PHASE_FAULT]);
			model_count(&m->m_counts->ct_retries);
			*again = true;
		}
		if (records_grow(&km->km_anons) == 0)
			anon = records_take(&km->km_anons);
	}
	model_asked(m, anon == NULL);
	return (anon);
}

int
kmap_fault(struct kmap *km, uint64_t addr)
{
	struct model_counts *ct = km->km_model->m_counts;
	const struct kmap_entry *ke;
	uint64_t steps = 0;
	bool again = false;
	int error = 0;
	void *anon;

	lock_acquire(&km->km_lock);
	ke = kmap_seek(km, addr, &steps);
	if (ke == &km->km_header || addr >= ke->ke_end ||
	    (ke->ke_flags & KE_PAGEABLE) == 0)
		error = EFAULT;
	else if (!kmap_anon_there(km, addr)) {
		anon = anon_get(km, &again);
		error = anon == NULL ? ENOMEM : kmap_anon_add(km, addr, anon);
		if (again)
			(void)kmap_seek(km, addr, &steps);
	}
	lock_release(&km->km_lock);
	model_count(&ct->ct_faults);
	model_add(&ct->ct_steps, steps);
	return (error);
}

/* ---- statistics, check --------------------------------------------------- */

void
kmap_stat(struct kmap *km, struct model_stat *ms)
{
	const struct records *re = &km->km_entries;

	lock_acquire(&km->km_lock);
	ms->ms_record_size = re->re_size;
	ms->ms_records = re->re_used;
	ms->ms_records_peak = re->re_peak;
	ms->ms_bytes = re->re_used * re->re_size;
	ms->ms_held = re->re_pages * MODEL_PAGE;
	ms->ms_extent = km->km_high - KMAP_BASE;
	ms->ms_stash = km->km_stash_count;
	lock_release(&km->km_lock);
}

static const char *
check_entry(const struct kmap *km, const struct kmap_entry *ke)
{
	uint64_t next =
	    ke->ke_next != NULL ? ke->ke_next->ke_start : km->km_end;

	if (ke->ke_start >= ke->ke_end || ke->ke_end > next)
		return ("entries are empty, or overlap");
	if (ke->ke_gap != next - ke->ke_end)
		return ("a gap isn't what lies between two entries");
	if (ke->ke_maxgap < ke->ke_gap ||
	    (ke->ke_left != NULL && ke->ke_left->ke_maxgap > ke->ke_maxgap) ||
	    (ke->ke_right != NULL &&
		ke->ke_right->ke_maxgap > ke->ke_maxgap))
		return ("a subtree has a larger gap than is said");
	if (ke->ke_start < km->km_first_free->ke_end &&
	    ke != km->km_first_free && ke->ke_gap != 0)
		return ("there is a gap before first_free");
	return (NULL);
}

const char *
kmap_check(struct kmap *km)
{
	const struct kmap_entry *ke;
	const char *why = NULL;
	uint64_t n = 0;

	lock_acquire(&km->km_lock);
	for (ke = km->km_header.ke_next; why == NULL && ke != NULL;
	     ke = ke->ke_next) {
		why = check_entry(km, ke);
		n++;
	}
	if (why == NULL && n != km->km_count)
		why = "the number of entries isn't what was counted";
	if (why == NULL && n + km->km_stash_count != km->km_entries.re_used)
		why = "entries in use are neither in the map nor the stash";
	lock_release(&km->km_lock);
	return (why);
}

void
kmap_shorten(struct kmap *km, uint64_t records)
{
	lock_acquire(&km->km_lock);
	km->km_entries.re_max = km->km_entries.re_used + records;
	lock_release(&km->km_lock);
}

/* ---- life ---------------------------------------------------------------- */

int
kmap_create(struct model *m, struct kmap **kmp)
{
	struct kmap *km = calloc(1, sizeof(*km));
	uint64_t size = m->m_spec.sp_va_size;

	if (km == NULL)
		return (ENOMEM);
	lock_init(&km->km_lock, "kernel_map", LOCK_MODEL);
	km->km_model = m;
	km->km_header.ke_start = km->km_header.ke_end = KMAP_BASE;
	km->km_header.ke_gap = size;
	km->km_first_free = km->km_hint = &km->km_header;
	km->km_end = KMAP_BASE + size;
	km->km_high = KMAP_BASE;
	kmap_sources_init(km);
	/* The boot's own: the first entries are part of the kernel's image. */
	if (records_rescue(&km->km_entries) != 0) {
		kmap_destroy(km);
		return (ENOMEM);
	}
	if (m->m_spec.sp_records_max != 0)
		kmap_shorten(km, m->m_spec.sp_records_max);
	*kmp = km;
	return (0);
}

void
kmap_destroy(struct kmap *km)
{
	if (km == NULL)
		return;
	kmap_anons_drop(km, KMAP_BASE, km->km_end - KMAP_BASE);
	records_fini(&km->km_anons);
	records_fini(&km->km_entries);
	lock_fini(&km->km_lock);
	free(km);
}

/* ---- the model: nothing but the map -------------------------------------- */

struct kmap_model {
	struct model kd_model;	/* first */
	struct kmap *kd_map;
};

static struct kmap *
map_of(struct model *m)
{
	return (((struct kmap_model *)(void *)m)->kd_map);
}

static int
kd_alloc(struct model *m, uint64_t size, uint64_t align, unsigned int how,
    uint64_t *addrp)
{
	return (kmap_alloc(map_of(m), size, align,
	    (how & MODEL_PAGEABLE) != 0 ? KE_PAGEABLE : 0, addrp));
}

static int
kd_free(struct model *m, uint64_t addr, uint64_t size, unsigned int how)
{
	(void)how;
	return (kmap_free(map_of(m), addr, size));
}

static int
kd_part(struct model *m, uint64_t addr, uint64_t size, uint64_t whole,
    unsigned int how)
{
	(void)whole;
	return (kd_free(m, addr, size, how));
}

static int
kd_fault(struct model *m, uint64_t addr)
{
	return (kmap_fault(map_of(m), addr));
}

static void
kd_tick(struct model *m, uint64_t now_ns)
{
	(void)m;
	(void)now_ns;
}

static void
kd_stat(struct model *m, struct model_stat *ms)
{
	memset(ms, 0, sizeof(*ms));
	kmap_stat(map_of(m), ms);
}

static const char *
kd_check(struct model *m)
{
	return (kmap_check(map_of(m)));
}

static void
kd_destroy(struct model *m)
{
	kmap_destroy(map_of(m));
	free(m);
}

static const struct model_ops kmap_ops = {
	.mo_alloc = kd_alloc, .mo_free = kd_free, .mo_part = kd_part,
	.mo_fault = kd_fault, .mo_tick = kd_tick, .mo_stat = kd_stat,
	.mo_check = kd_check, .mo_destroy = kd_destroy
};

int
kmap_model_create(const struct model_spec *spec, struct model **mp)
{
	struct kmap_model *kd = calloc(1, sizeof(*kd));
	int error;

	if (kd == NULL)
		return (ENOMEM);
	model_init(&kd->kd_model, &kmap_ops, spec);
	error = kmap_create(&kd->kd_model, &kd->kd_map);
	if (error != 0) {
		free(kd);
		return (error);
	}
	*mp = &kd->kd_model;
	return (0);
}
