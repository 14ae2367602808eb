/*
 * records.c - see records.h.
 */
#include "config.h"

#include "models/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "models/model.h"
#include "util/assert.h"

#define NO_VA UINT64_MAX

struct record_page {
	TAILQ_ENTRY(record_page) rp_link;
	void *rp_list;		/* free records, linked by their first word */
	unsigned int rp_used;
	uint64_t rp_va;		/* NO_VA: it has no address */
};

#define HEADER_BYTES 64u
_Static_assert(sizeof(struct record_page) <= HEADER_BYTES, "header");

static struct record_page *
page_of(void *record)
{
	return ((void *)((uintptr_t)record & ~(uintptr_t)(MODEL_PAGE - 1)));
}

static void *
record_at(struct record_page *rp, const struct records *re, unsigned int i)
{
	return ((char *)rp + HEADER_BYTES + i * re->re_size);
}

void
records_init(
    struct records *re, size_t size, const struct record_source *source)
{
	memset(re, 0, sizeof(*re));
	re->re_source = source;
	re->re_size = size;
	re->re_per_page = (unsigned int)((MODEL_PAGE - HEADER_BYTES) / size);
	TAILQ_INIT(&re->re_open);
	TAILQ_INIT(&re->re_full);
}

void
records_fini(struct records *re)
{
	struct record_page *rp;

	while ((rp = TAILQ_FIRST(&re->re_open)) != NULL) {
		TAILQ_REMOVE(&re->re_open, rp, rp_link);
		free(rp);
	}
	while ((rp = TAILQ_FIRST(&re->re_full)) != NULL) {
		TAILQ_REMOVE(&re->re_full, rp, rp_link);
		free(rp);
	}
}

bool
records_short(const struct records *re)
{
	return (re->re_max != 0 && re->re_used >= re->re_max);
}

static void *
page_take(struct records *re, struct record_page *rp)
{
	void *record = rp->rp_list;

	memcpy(&rp->rp_list, record, sizeof(rp->rp_list));
	rp->rp_used++;
	re->re_free--;
	re->re_used++;
	if (re->re_used > re->re_peak)
		re->re_peak = re->re_used;
	if (rp->rp_list == NULL) {
		TAILQ_REMOVE(&re->re_open, rp, rp_link);
		TAILQ_INSERT_TAIL(&re->re_full, rp, rp_link);
	}
	return (record);
}

void *
records_take(struct records *re)
{
	struct record_page *rp = TAILQ_FIRST(&re->re_open);

	if (rp == NULL || records_short(re))
		return (NULL);
	return (page_take(re, rp));
}

static struct record_page *
page_new(struct records *re)
{
	struct record_page *rp = aligned_alloc(MODEL_PAGE, MODEL_PAGE);

	if (rp == NULL)
		return (NULL);
	memset(rp, 0, sizeof(*rp));
	rp->rp_va = NO_VA;
	for (unsigned int i = re->re_per_page; i-- > 0;) {
		void *record = record_at(rp, re, i);

		memcpy(record, &rp->rp_list, sizeof(rp->rp_list));
		rp->rp_list = record;
	}
	return (rp);
}

static void
page_open(struct records *re, struct record_page *rp)
{
	TAILQ_INSERT_TAIL(&re->re_open, rp, rp_link);
	re->re_free += re->re_per_page;
	re->re_pages++;
}

static void
page_close(struct records *re, struct record_page *rp)
{
	TAILQ_REMOVE(&re->re_open, rp, rp_link);
	re->re_free -= re->re_per_page;
	re->re_pages--;
	free(rp);
}

int
records_grow(struct records *re)
{
	const struct record_source *rs = re->re_source;
	struct record_page *rp;
	void *first = NULL;
	int error = 0;

	if (re->re_growing)
		return (EDEADLK);
	rp = page_new(re);
	if (rp == NULL)
		return (ENOMEM);
	if (rs == NULL) {
		page_open(re, rp);
		return (0);
	}
	/* Others must not take from it before it has an address: it isn't on
	 * the list yet, but its own record may be taken. */
	re->re_growing = true;
	if (rs->rs_describes) {
		page_open(re, rp);
		first = page_take(re, rp);
	}
	error = rs->rs_get(rs->rs_arg, first, &rp->rp_va);
	re->re_growing = false;
	if (error == 0 && !rs->rs_describes)
		page_open(re, rp);
	else if (error != 0 && rs->rs_describes) {
		re->re_used--;
		re->re_free++;
		page_close(re, rp);
	} else if (error != 0)
		free(rp);
	return (error);
}

int
records_rescue(struct records *re)
{
	struct record_page *rp = page_new(re);

	if (rp == NULL)
		return (ENOMEM);
	page_open(re, rp);
	return (0);
}

/* Of an open page: how many records are in use when none is anybody's. */
static unsigned int
resting(const struct records *re, const struct record_page *rp)
{
	return (re->re_source != NULL && re->re_source->rs_describes &&
	    rp->rp_va != NO_VA ? 1 : 0);
}

/* The page goes, with its address; if that can't be given back, it stays. */
static void
page_return(struct records *re, struct record_page *rp)
{
	const struct record_source *rs = re->re_source;
	void *first = rs != NULL && rs->rs_describes && rp->rp_va != NO_VA ?
	    record_at(rp, re, 0) : NULL;

	if (re->re_growing)
		return;
	re->re_growing = true;
	if (rs != NULL && rp->rp_va != NO_VA &&
	    rs->rs_put(rs->rs_arg, first, rp->rp_va) != 0) {
		re->re_growing = false;
		return;
	}
	re->re_growing = false;
	if (first != NULL) {
		re->re_used--;
		re->re_free++;
	}
	/* Giving its address back may have taken records from it. */
	if (rp->rp_used == (first != NULL ? 1u : 0u))
		page_close(re, rp);
	else
		rp->rp_va = NO_VA;
}

void
records_give(struct records *re, void *record)
{
	struct record_page *rp = page_of(record);
	bool was_full = rp->rp_list == NULL;

	memcpy(record, &rp->rp_list, sizeof(rp->rp_list));
	rp->rp_list = record;
	rp->rp_used--;
	re->re_used--;
	re->re_free++;
	if (was_full) {
		TAILQ_REMOVE(&re->re_full, rp, rp_link);
		TAILQ_INSERT_HEAD(&re->re_open, rp, rp_link);
	}
	/* One empty page is kept. */
	if (rp->rp_used <= resting(re, rp) &&
	    re->re_free >= 2 * (uint64_t)re->re_per_page - 2)
		page_return(re, rp);
}
