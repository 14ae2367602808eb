/*
 * kmap_entry.c - where entries come from, and how they are reserved (kmap.h, 3).
 */
#include "config.h"

#include "models/kmap.h"

#include <errno.h>

static void
push(struct kmap_entry **list, struct kmap_entry *ke)
{
	ke->ke_next = *list;
	*list = ke;
}

static struct kmap_entry *
pop(struct kmap_entry **list)
{
	struct kmap_entry *ke = *list;

	*list = ke->ke_next;
	return (ke);
}

/* ---- pages of entries whose addresses are the map's own ------------------ */

static int
self_get(void *arg, void *first, uint64_t *vap)
{
	(void)first;
	return (kmap_alloc_locked(arg, NULL, MODEL_PAGE, 0, 0, vap));
}

static int
self_put(void *arg, void *first, uint64_t va)
{
	(void)first;
	return (kmap_free_locked(arg, NULL, va, MODEL_PAGE));
}

/* The page's first entry describes the page: it needs VA, and no entry. */
static int
host_get(void *arg, void *first, uint64_t *vap)
{
	struct kmap *km = arg;
	struct kmap_entry *ke = first, *prev;
	uint64_t start;

	model_enter_va(km->km_model);
	if (model_context.cx_depth > 1)
		model_shows(km->km_model, CLAIM_C);
	prev = kmap_space(km, MODEL_PAGE, 0, &start);
	if (prev != NULL) {
		kmap_fill(ke, start, start + MODEL_PAGE, KE_NOMERGE | KE_HOST);
		kmap_insert(km, prev, ke);
		*vap = start;
	}
	model_leave_va();
	return (prev != NULL ? 0 : ENOMEM);
}

static int
host_put(void *arg, void *first, uint64_t va)
{
	(void)va;
	kmap_remove(arg, first);
	return (0);
}

void
kmap_sources_init(struct kmap *km)
{
	const struct model_spec *sp = &km->km_model->m_spec;
	bool host = sp->sp_reserve == RESERVE_PAGE;

	km->km_entry_source = (struct record_source) {
		.rs_get = host ? host_get : self_get,
		.rs_put = host ? host_put : self_put,
		.rs_arg = km, .rs_describes = host };
	km->km_anon_source = (struct record_source) {
		.rs_get = self_get, .rs_put = self_put, .rs_arg = km };
	records_init(&km->km_entries, sizeof(struct kmap_entry),
	    sp->sp_self ? &km->km_entry_source : NULL);
	records_init(&km->km_anons, 40,
	    sp->sp_self ? &km->km_anon_source : NULL);
}

/* ---- getting one --------------------------------------------------------- */

/* An entry is needed to get an entry: it is counted, and then had from a page
 * that no kernel has. */
static int
deadlock(struct kmap *km)
{
	struct model *m = km->km_model;

	model_count(&m->m_counts->ct_deadlocks[model_context.cx_phase]);
	model_shows(m, CLAIM_C);
	if (m->m_spec.sp_reserve != RESERVE_NONE)
		model_shows(m, CLAIM_A3);
	return (records_rescue(&km->km_entries));
}

/* No VA for a page of entries.  In a free, nothing but a free would help. */
static void
no_va(struct kmap *km)
{
	struct model *m = km->km_model;
	enum model_phase phase = model_context.cx_phase;

	if (m->m_spec.sp_reserve == RESERVE_NONE)
		return;
	model_count(&m->m_counts->ct_exhausted);
	model_shows(m, CLAIM_A3);
	if (phase == PHASE_FREE || phase == PHASE_PART)
		model_count(&m->m_counts->ct_deadlocks[phase]);
}

static struct kmap_entry *
from_records(struct kmap *km)
{
	struct kmap_entry *ke = records_take(&km->km_entries);
	int error = 0;

	while (ke == NULL && error == 0 && !records_short(&km->km_entries)) {
		error = records_grow(&km->km_entries);
		if (error == EDEADLK)
			error = deadlock(km);
		else if (error != 0)
			no_va(km);
		ke = records_take(&km->km_entries);
	}
	model_asked(km->km_model, ke == NULL);
	if (model_context.cx_phase == PHASE_FREE)
		model_shows(km->km_model, CLAIM_A2);
	return (ke);
}

struct kmap_entry *
kmap_entry_get(struct kmap *km, struct kmap_op *ko, bool split)
{
	struct model *m = km->km_model;
	enum model_reserve reserve = m->m_spec.sp_reserve;

	if (ko != NULL && ko->ko_count > 0) {
		ko->ko_count--;
		return (pop(&ko->ko_list));
	}
	if (reserve == RESERVE_STASH && split && km->km_stash_count > 0) {
		km->km_stash_count--;
		return (pop(&km->km_stash));
	}
	/* What was reserved doesn't do, or the stash is empty. */
	if ((reserve == RESERVE_STASH && split) ||
	    (reserve == RESERVE_TWO && ko != NULL)) {
		model_count(&m->m_counts->ct_exhausted);
		model_shows(m, CLAIM_A3);
	}
	return (from_records(km));
}

void
kmap_entry_spare(struct kmap *km, struct kmap_entry *ke)
{
	if (km->km_model->m_spec.sp_reserve != RESERVE_STASH) {
		kmap_entry_put(km, ke);
		return;
	}
	push(&km->km_stash, ke);
	km->km_stash_count++;
	model_count(&km->km_model->m_counts->ct_made);
}

void
kmap_entry_put(struct kmap *km, struct kmap_entry *ke)
{
	records_give(&km->km_entries, ke);
}

/* ---- two, before locking ------------------------------------------------- */

static void
give_back(struct kmap *km, struct kmap_op *ko)
{
	while (ko->ko_count > 0) {
		ko->ko_count--;
		kmap_entry_put(km, pop(&ko->ko_list));
	}
}

int
kmap_reserve(struct kmap *km, struct kmap_op *ko)
{
	struct model_counts *ct = km->km_model->m_counts;
	int error = 0;

	ko->ko_list = NULL;
	ko->ko_count = 0;
	if (km->km_model->m_spec.sp_reserve != RESERVE_TWO)
		return (0);
	lock_acquire(&km->km_lock);
	while (error == 0 && ko->ko_count < 2) {
		struct kmap_entry *ke = from_records(km);

		if (ke == NULL)
			error = ENOMEM;
		else {
			push(&ko->ko_list, ke);
			ko->ko_count++;
		}
	}
	if (error == 0)
		model_add(&ct->ct_made, 2);
	else {
		model_count(&ct->ct_exhausted);
		model_shows(km->km_model, CLAIM_A3);
		give_back(km, ko);
	}
	lock_release(&km->km_lock);
	return (error);
}

void
kmap_unreserve(struct kmap *km, struct kmap_op *ko)
{
	if (ko->ko_count == 0)
		return;
	lock_acquire(&km->km_lock);
	model_add(&km->km_model->m_counts->ct_unused, ko->ko_count);
	give_back(km, ko);
	lock_release(&km->km_lock);
}
