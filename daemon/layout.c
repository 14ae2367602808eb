/*
 * layout.c - see layout.h.
 *
 *	kernel_va	the reservation; quantum 4096, no caches
 *	  |-- vmem_meta	boundary tags and hash tables of libvmem
 *	  |-- kmem_va	VA only, caches for 1..16 pages
 *	  |    `-- kmem	wired on import, quantum 8, the size table's caches
 *	  `-- heap	pageable, 3/4 of it all, caches for 1..16 pages
 *
 * vmem_meta takes its span whole, a sixteenth: libvmem grows into what it is
 * given and never imports.  The first two are made before libvmem has memory
 * of its own: from static tags.  Then vmem_meta is given to it, and the rest
 * is made from there.
 */
#include "config.h"

#include "daemon/layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/cache.h"
#include "daemon/log.h"
#include "kmem/kmem.h"

#define PAGES(n) ((vmem_size_t)(n) * VMPAGER_PAGE)

/* libvmem wants 2 MiB for the first extent of its tags, and as much again. */
#define SPAN_MIN (UINT64_C(4) << 20)

struct layout_row {
	const char *name;
	const char *source;
	enum arena_kind kind;
	vmem_size_t quantum;
	vmem_size_t qcache_max;
	unsigned int share_num, share_den; /* of va-size, taken at creation */
	bool bootstrap;
	bool size_table;	/* kmem's caches, up to qcache_max */
};

static const struct layout_row layout[] = {
	{ "kernel_va", NULL, ARENA_VA, PAGES(1), 0, 1, 1, true, false },
	{ "vmem_meta", "kernel_va", ARENA_VA, PAGES(1), 0, 1, 16, true, false },
	{ "kmem_va", "kernel_va", ARENA_VA, PAGES(1), PAGES(16), 0, 1, false,
	    false },
	{ "kmem", "kmem_va", ARENA_WIRED, KMEM_ALIGN, KMEM_MAX, 0, 1, false,
	    true },
	{ "heap", "kernel_va", ARENA_PAGEABLE, PAGES(1), PAGES(16), 3, 4,
	    false, false },
};

static int
meta_commit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	const struct backing *bk = arg;

	return (vmpager_wire(bk->bk_meta, addr, size) == 0 ? 0 : ENOMEM);
}

static void
meta_decommit(void *arg, vmem_addr_t addr, vmem_size_t size)
{
	const struct backing *bk = arg;

	vmpager_unwire(bk->bk_meta, addr, size);
}

static int
make_row(struct registry *rg, struct backing *bk, const struct settings *se,
    const struct layout_row *row)
{
	struct arena_spec as = { .as_name = row->name, .as_kind = row->kind,
		.as_bootstrap = row->bootstrap, .as_quantum = row->quantum,
		.as_qcache_max = row->qcache_max,
		.as_kmem = row->size_table, .as_uid = geteuid() };
	struct arena *ar = NULL;
	int error;

	as.as_size = se->se_va_size / row->share_den * row->share_num;
	if (row->share_num != 0 && as.as_size < SPAN_MIN)
		as.as_size = SPAN_MIN;
	as.as_size -= as.as_size % row->quantum;
	if (row->source != NULL)
		as.as_source = reg_arena_get(rg, row->source);
	else
		as.as_base = bk->bk_base;
	error = arena_make(bk, &as, &ar);
	if (error != 0) {
		reg_arena_put(rg, as.as_source);
		return (error);
	}
	ar->ar_builtin = true;
	ar->ar_private = strcmp(row->name, "vmem_meta") == 0;
	error = reg_arena_add(rg, ar);
	if (error == 0 && ar->ar_private)
		error = vmem_set_meta(
		    ar->ar_vm, meta_commit, meta_decommit, bk);
	return (error);
}

int
layout_make(struct registry *rg, struct backing *bk, const struct settings *se,
    char why[SETTINGS_WHY_MAX])
{
	for (size_t i = 0; i < sizeof(layout) / sizeof(layout[0]); i++) {
		int error = make_row(rg, bk, se, &layout[i]);

		if (error != 0) {
			(void)snprintf(why, SETTINGS_WHY_MAX,
			    "can't make the arena %s: %s", layout[i].name,
			    strerror(error));
			return (error);
		}
	}
	return (0);
}

/* ---- the end ------------------------------------------------------------ */

/* Free what clients left (keep: true), and look whether that was all. */
static int
empty(struct registry *rg, struct arena *ar)
{
	struct alloc *some[64];
	const char *why = NULL;
	size_t n;

	while ((n = reg_claim_matching(rg, ar, 0, true, NULL, some, 64)) > 0)
		while (n > 0)
			reg_release(rg, some[--n]);
	(void)cache_reap(ar);
	if (cache_check(ar, &why) != 0) {
		log_error("%s: broken invariant: %s", ar->ar_name, why);
		return (EIO);
	}
	if (vmem_size(ar->ar_vm, VMEM_ALLOC) != 0 && ar->ar_children == 0) {
		log_error("%s: %llu bytes left over", ar->ar_name,
		    (unsigned long long)vmem_size(ar->ar_vm, VMEM_ALLOC));
		return (EIO);
	}
	return (0);
}

/* An arena that none imports from, and that isn't libvmem's own ground. */
static struct arena *
next_leaf(struct registry *rg)
{
	struct arena *ar = NULL;

	while ((ar = reg_arena_next(rg, ar)) != NULL)
		if (ar->ar_children == 0 && !ar->ar_private &&
		    ar->ar_source != NULL)
			return (ar);
	return (NULL);
}

static struct arena *
next_identifiers(struct registry *rg)
{
	struct arena *ar = NULL;

	while ((ar = reg_arena_next(rg, ar)) != NULL)
		if (ar->ar_children == 0 && ar->ar_kind == ARENA_IDENTIFIERS)
			return (ar);
	return (NULL);
}

int
layout_unmake(struct registry *rg)
{
	struct arena *ar;
	int error = 0;

	/* Leaves first, so that each one's spans are back before its source is
	 * looked at.  What is wrong is left as it is, rather than destroyed:
	 * libvmem would panic, and hide the message. */
	while ((ar = next_leaf(rg)) != NULL ||
	    (ar = next_identifiers(rg)) != NULL) {
		error = empty(rg, ar);
		if (error != 0) {
			reg_arena_put(rg, ar);
			return (error);
		}
		(void)reg_arena_retire(rg, ar, true);
		reg_arena_remove(rg, ar);
	}
	ar = reg_arena_get(rg, "kernel_va");
	error = ar != NULL ? empty(rg, ar) : 0;
	reg_arena_put(rg, ar);
	return (error);
}
