/*
 * ranges_boost.cc - Boost.Interprocess's rbtree_best_fit behind the interface
 * of ranges.h: exact best fit by a red-black tree of its free blocks, over one
 * reserved mapping, without a lock.  Its headers (16 bytes) and links are in
 * the blocks themselves.
 */
#include "config.h"

#include "bench/ranges.h"

#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <new>
#include <sys/mman.h>

using algorithm = boost::interprocess::rbtree_best_fit<
    boost::interprocess::null_mutex_family>;

/* The span is what can be handed out; the arena's own head comes atop. */
static void *
boost_open(uint64_t span)
{
	std::size_t head = algorithm::get_min_size(0);
	void *p = mmap(nullptr, span + head, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		bench_skip("no mapping of %.0f GiB",
		    static_cast<double>(span) / 0x1p30);
	return (new (p) algorithm(span + head, 0));
}

static uint64_t
boost_get(void *arena, uint64_t size)
{
	return (reinterpret_cast<uintptr_t>(
	    static_cast<algorithm *>(arena)->allocate(size)));
}

static uint64_t
boost_get_aligned(void *arena, uint64_t size, uint64_t align)
{
	return (reinterpret_cast<uintptr_t>(
	    static_cast<algorithm *>(arena)->allocate_aligned(size, align)));
}

static void
boost_put(void *arena, uint64_t addr, uint64_t)
{
	static_cast<algorithm *>(arena)->deallocate(
	    reinterpret_cast<void *>(addr));
}

extern "C" const struct ranges ranges_boost = { boost_open, boost_get,
	boost_put, boost_get_aligned, boost_put, RANGES_PAGE, 0.04 };
