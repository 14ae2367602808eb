/*
 * direct.h - the direct map: single wired pages that cost no address space.
 *
 * Where all of memory is mapped once and for all, a single page needs no range
 * of an arena, no boundary tag, no mapping of its own: its address is the
 * window's base and its frame's number.  What is allocated here is a frame:
 *
 *	window	|used|free|used|used|....never used yet....|
 *		 warm frames: free, and still wired	(a stack, bounded)
 *		 bare frames: free, their memory given back	(a stack)
 *
 * get and put are O(1): a pop and a push.  Both work whether or not the switch
 * is on; it says whether callers are to come here (direct_on()), so that what
 * was handed out stays valid after it is turned off.
 */
#ifndef KMEM_DIRECT_H
#define KMEM_DIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIRECT_PAGE 4096u

/* How a page of the window gets its memory (0 or ENOMEM) and loses it.  Called
 * without locks; NULL: addresses only. */
struct direct_backing {
	int (*db_wire)(void *arg, uint64_t addr, uint64_t size);
	void (*db_unwire)(void *arg, uint64_t addr, uint64_t size);
	void *db_arg;
};

struct direct;

struct direct_stat {
	uint64_t ds_base, ds_size;	/* the window */
	uint64_t ds_gets, ds_puts, ds_fails;
	uint64_t ds_used;	/* pages out */
	uint64_t ds_warm;	/* pages free and wired */
	uint64_t ds_meta;	/* bytes of its own */
};

/* base and size are multiples of the page; the window is the caller's. */
int direct_create(uint64_t base, uint64_t size,
    const struct direct_backing *backing, struct direct **dmp);
/* Panics if a page is out.  NULL is ignored. */
void direct_destroy(struct direct *dm);

void direct_switch(struct direct *dm, bool on);
bool direct_on(const struct direct *dm);	/* false for NULL, too */
bool direct_contains(const struct direct *dm, uint64_t addr);

/* ENOMEM: the window is full, or there is no memory. */
int direct_get(struct direct *dm, uint64_t *addrp);
/* Panics on what isn't a page that is out. */
void direct_put(struct direct *dm, uint64_t addr);
/* Give back the memory of free pages; returns the bytes. */
uint64_t direct_reap(struct direct *dm);

/* The first page that is out at `from` or above; false: there is none. */
bool direct_next(struct direct *dm, uint64_t from, uint64_t *addrp);
void direct_stat(struct direct *dm, struct direct_stat *ds);

#endif /* KMEM_DIRECT_H */
