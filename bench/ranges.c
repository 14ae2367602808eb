/*
 * ranges.c - libvmem and malloc behind one interface: see ranges.h.
 */
#include "config.h"

#include "bench/ranges.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

#include <vmem.h>

void *
ranges_open(const struct ranges *ra, uint64_t span, uint64_t live)
{
	struct sysinfo si;
	double need = (double)live * (double)ra->ra_rss_each +
	    (double)span * ra->ra_rss_share;

	if (sysinfo(&si) == 0 && need > 0.5 * (double)si.totalram * si.mem_unit)
		bench_skip("would touch some %.0f GiB of memory",
		    need / 0x1p30);
	return (ra->ra_open(span));
}

/* ---- libvmem ------------------------------------------------------------- */

static vmem_t *
vmem_open(uint64_t span, vm_flag_t policy)
{
	vmem_t *vm = vmem_create("bench", RANGES_BASE, span, RANGES_PAGE, NULL,
	    NULL, NULL, 0, VM_NOSLEEP | policy);

	if (vm == NULL)
		bench_die("no arena of %ju bytes", (uintmax_t)span);
	return (vm);
}

static void *
vmem_instant_open(uint64_t span)
{
	return (vmem_open(span, VM_INSTANTFIT));
}

static void *
vmem_best_open(uint64_t span)
{
	return (vmem_open(span, VM_BESTFIT));
}

uint64_t
ranges_vmem_get(void *arena, uint64_t size)
{
	vmem_addr_t addr;

	return (vmem_alloc(arena, size, VM_NOSLEEP, &addr) == 0 ? addr : 0);
}

void
ranges_vmem_put(void *arena, uint64_t addr, uint64_t size)
{
	vmem_free(arena, addr, size);
}

static uint64_t
vmem_get_aligned(void *arena, uint64_t size, uint64_t align)
{
	vmem_addr_t addr;

	return (vmem_xalloc(arena, size, align, 0, 0, VMEM_ADDR_MIN,
	    VMEM_ADDR_MAX, VM_NOSLEEP, &addr) == 0 ? addr : 0);
}

static void
vmem_put_aligned(void *arena, uint64_t addr, uint64_t size)
{
	vmem_xfree(arena, addr, size);
}

const struct ranges ranges_vmem = { vmem_instant_open, ranges_vmem_get,
	ranges_vmem_put, vmem_get_aligned, vmem_put_aligned, 100, 0 };
const struct ranges ranges_best = { vmem_best_open, ranges_vmem_get,
	ranges_vmem_put, vmem_get_aligned, vmem_put_aligned, 100, 0 };

/* ---- malloc, whoever's it is ---------------------------------------------- */

static void *
malloc_open(const char *symbol, const char *package)
{
	if (dlsym(RTLD_DEFAULT, symbol) == NULL)
		bench_skip("not there; apt-get install %s", package);
	return (NULL);
}

static void *
jemalloc_open(uint64_t span)
{
	(void)span;
	return (malloc_open("mallctl", "libjemalloc2"));
}

static void *
mimalloc_open(uint64_t span)
{
	(void)span;
	return (malloc_open("mi_malloc", "libmimalloc2.0"));
}

static uint64_t
malloc_get(void *arena, uint64_t size)
{
	void *p = malloc(size);

	(void)arena;
	__asm__ volatile("" : "+r"(p));
	return ((uint64_t)(uintptr_t)p);
}

static uint64_t
malloc_get_aligned(void *arena, uint64_t size, uint64_t align)
{
	void *p = aligned_alloc(align, size);

	(void)arena;
	__asm__ volatile("" : "+r"(p));
	return ((uint64_t)(uintptr_t)p);
}

static void
malloc_put(void *arena, uint64_t addr, uint64_t size)
{
	(void)arena, (void)size;
	free((void *)(uintptr_t)addr);
}

const struct ranges ranges_jemalloc = { jemalloc_open, malloc_get, malloc_put,
	malloc_get_aligned, malloc_put, 400, 0 };
const struct ranges ranges_mimalloc = { mimalloc_open, malloc_get, malloc_put,
	malloc_get_aligned, malloc_put, 2 * RANGES_PAGE, 0.002 };

/* ---- nothing -------------------------------------------------------------- */

static void *
harness_open(uint64_t span)
{
	(void)span;
	return (bench_alloc(sizeof(uint64_t)));
}

static uint64_t
harness_get(void *arena, uint64_t size)
{
	return (*(uint64_t *)arena += size);
}

static uint64_t
harness_get_aligned(void *arena, uint64_t size, uint64_t align)
{
	(void)align;
	return (*(uint64_t *)arena += size);
}

static void
harness_put(void *arena, uint64_t addr, uint64_t size)
{
	(void)arena, (void)addr, (void)size;
}

const struct ranges ranges_harness = { harness_open, harness_get, harness_put,
	harness_get_aligned, harness_put, 0, 0 };

/* ---- Boost, unless ranges_boost.cc has it --------------------------------- */

#ifndef HAVE_BOOST
static void *
boost_open(uint64_t span)
{
	(void)span;
	bench_skip("built without it; apt-get install libboost-dev, configure");
}

const struct ranges ranges_boost = { .ra_open = boost_open };
#endif

/* ---- sizes ----------------------------------------------------------------- */

void
sizes_init(struct sizes *sz, enum mix mix)
{
	uint32_t n = 1u << SIZES_BITS;
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		double u = (double)i / n;
		uint16_t pages = 0;

		switch (mix) {
		case MIX_SMALL:
			pages = (uint16_t)(1 + i * 16 / n);
			break;
		case MIX_LOG:
			pages = (uint16_t)exp(u * log(1025));
			break;
		case MIX_POWERS:
			pages = (uint16_t)(16u << i * 6 / n);
			break;
		}
		sz->sz_pages[i] = pages;
		sum += pages;
	}
	sz->sz_mean = sum / n;
}
