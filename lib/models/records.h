/*
 * records.h - memory for the records of a map: entries, anons.
 *
 * Records of one size live in pages, which begin with a header: so many are
 * used, and a list of those free.  Where the pages come from is the point:
 *
 *	ordinary	from somewhere that doesn't need this map
 *	self-fed	a page must have an address, out of the very map whose
 *			entries it is to hold: rs_get() allocates it
 *
 * A page whose records are all free goes back, but for one that is kept.
 * Guarded by the caller's lock.
 */
#ifndef MODELS_RECORDS_H
#define MODELS_RECORDS_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_page;
TAILQ_HEAD(record_pages, record_page);

/*
 * A page is to be had: the address it is to have, and whether it may go.
 * rs_get: `page` is there already, and `first` its first record (already
 * taken), for who lets a page describe itself.  0 or ENOMEM.
 */
struct record_source {
	int (*rs_get)(void *arg, void *first, uint64_t *vap);
	int (*rs_put)(void *arg, void *first, uint64_t va);
	void *rs_arg;
	bool rs_describes;	/* the first record of a page is the page's */
};

struct records {
	const struct record_source *re_source;	/* NULL: ordinary */
	size_t re_size;
	unsigned int re_per_page;
	struct record_pages re_open;	/* with free records */
	struct record_pages re_full;
	uint64_t re_free;		/* records on open pages */
	uint64_t re_used, re_peak;
	uint64_t re_max;		/* at most in use; 0: no bound */
	uint64_t re_pages;
	bool re_growing;		/* a page is being had */
};

void records_init(
    struct records *re, size_t size, const struct record_source *source);
void records_fini(struct records *re);

/* A record, from pages that are there; NULL: there is none (or the bound). */
void *records_take(struct records *re);
/* May another page be had?  0; ENOMEM: no memory or address for it; EDEADLK:
 * having it is what is under way. */
int records_grow(struct records *re);
/* The same without asking the source: the rescue. */
int records_rescue(struct records *re);
/* Give one back; a page that has become free goes, unless it is the only. */
void records_give(struct records *re, void *record);
/* Is the bound reached? */
bool records_short(const struct records *re);

#endif /* MODELS_RECORDS_H */
