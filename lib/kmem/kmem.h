/*
 * kmem.h - NetBSD's kmem size table as caches, over any source of pages.
 *
 * A request of up to KMEM_MAX bytes is served by the smallest cache that is
 * large enough; larger ones are the caller's, who has pages.  Slabs are one
 * page, or one item where that is larger:
 *
 *	8 16 24 32 40 48 56 64 80 96 112 128 160 192 224 256 320 384 448 512
 *	768 1024 | 2048 4096 8192 16384
 *
 * The daemon's arena `kmem` is this over libvmem; lib/models has it over the
 * older designs too.
 */
#ifndef KMEM_KMEM_H
#define KMEM_KMEM_H

#include "kmem/slab.h"

#define KMEM_CACHES 26u
#define KMEM_MAX 16384u
#define KMEM_ALIGN 8u

struct kmem;

/* ENOMEM.  `source` must stay. */
int kmem_create(const struct slab_source *source, struct kmem **kmp);
/* Gives every slab back; panics if something is still out.  NULL is ignored. */
void kmem_destroy(struct kmem *km);

/* 1 <= size <= KMEM_MAX.  As slab_alloc() and slab_free(): freed with a size
 * of the same cache. */
int kmem_alloc(struct kmem *km, uint64_t size, uint64_t *addrp);
void kmem_free(struct kmem *km, uint64_t addr, uint64_t size);

/* What is taken from a cache for a request of that size. */
uint64_t kmem_rounded(uint64_t size);

/* Give back what is idle; returns the bytes. */
uint64_t kmem_reap(struct kmem *km);
/* Of one cache, by its place in the table; ENOENT past the end. */
int kmem_stat(struct kmem *km, unsigned int index, struct slab_stat *st);
int kmem_check(struct kmem *km, const char **why);

#endif /* KMEM_KMEM_H */
