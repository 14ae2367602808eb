/*
 * pager_fixture.h - what the pager's tests share: a pager of so many pages, a
 * map at BASE, and the look over everything that ends each step.
 *
 * In software mode addresses are numbers, so BASE is one that no process could
 * map: what used it as a pointer would be found out.  A test of the modes of the
 * MMU sets fixture_mode, and BASE is then where fixture_open() mapped memory;
 * in uffd-thread mode a thread serves it.
 */
#ifndef PAGER_FIXTURE_H
#define PAGER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vmpager.h>

#define PAGE ((uint64_t)VMPAGER_PAGE)
#define BASE fixture_base
#define NO_SWAP 0

static vmem_addr_t fixture_base = 0xffff900000000000;
static enum vmpager_mode fixture_mode = VMPAGER_SOFTWARE;
static uint32_t fixture_without;	/* as pc_without */
static uint64_t fixture_room;	/* pages to map at BASE, if more than the map */

struct fixture {
	struct vmpager *fx_pager;
	struct vmpager_map *fx_map;
	size_t fx_bytes;	/* mapped at BASE, beside software mode */
	pthread_t fx_server;	/* of uffd-thread */
};

static inline void *
fixture_serve(void *arg)
{
	(void)vmpager_serve(arg);
	return (NULL);
}

/* Memory for a map, below which and above which nothing is. */
static inline void
fixture_memory(struct fixture *fx, uint64_t pages)
{
	void *mem;

	fx->fx_bytes = 0;
	if (fixture_mode == VMPAGER_SOFTWARE)
		return;
	fx->fx_bytes = (pages > fixture_room ? pages : fixture_room) * PAGE;
	mem = mmap(NULL, fx->fx_bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(mem != MAP_FAILED);
	fixture_base = (vmem_addr_t)(uintptr_t)mem;
}

static inline struct fixture
fixture_open(uint64_t frames, uint64_t slots, enum vmpager_commit commit,
    const char *swap, uint64_t map_pages)
{
	const struct vmpager_config config = {
		.pc_frames_bytes = frames * PAGE,
		.pc_swap_bytes = slots * PAGE,
		.pc_swap = slots == NO_SWAP ? "none" : swap,
		.pc_mode = fixture_mode,
		.pc_commit = commit,
		.pc_without = fixture_without,
	};
	struct fixture fx;

	fixture_memory(&fx, map_pages);
	assert_int_equal(vmpager_create(&config, &fx.fx_pager), 0);
	assert_int_equal(vmpager_map_create(fx.fx_pager, BASE,
			     map_pages * PAGE, &fx.fx_map), 0);
	if (fixture_mode == VMPAGER_UFFD_THREAD)
		assert_int_equal(pthread_create(&fx.fx_server, NULL,
		    fixture_serve, fx.fx_pager), 0);
	return (fx);
}

/* Nothing is under way: everything must add up; in uffd-thread mode as soon as
 * the server has done, whom a touch doesn't wait for once the page is there. */
static inline void
fixture_check(const struct fixture *fx)
{
	struct vmpager_stat ps;
	const char *why = "";

	if (vmpager_check(fx->fx_pager, &why) != 0)
		fail_msg("vmpager_check: %s", why);
	do
		vmpager_stat(fx->fx_pager, &ps);
	while (fixture_mode == VMPAGER_UFFD_THREAD &&
	    ps.ps_resident_pages + ps.ps_frames_free != ps.ps_frames_total &&
	    sched_yield() == 0);
	assert_int_equal(
	    ps.ps_resident_pages + ps.ps_frames_free, ps.ps_frames_total);
	assert_true(ps.ps_dirty_pages <= ps.ps_resident_pages);
	assert_true(ps.ps_swap_used_bytes <= ps.ps_swap_total_bytes);
}

static inline void
fixture_close(struct fixture *fx)
{
	struct vmpager_stat ps;

	fixture_check(fx);
	if (fixture_mode == VMPAGER_UFFD_THREAD) {
		vmpager_serve_stop(fx->fx_pager);
		assert_int_equal(pthread_join(fx->fx_server, NULL), 0);
	}
	vmpager_map_destroy(fx->fx_map);
	vmpager_stat(fx->fx_pager, &ps);
	assert_int_equal(ps.ps_resident_pages, 0);
	assert_int_equal(ps.ps_dirty_pages, 0);
	assert_int_equal(ps.ps_frames_free, ps.ps_frames_total);
	assert_int_equal(ps.ps_swap_used_bytes, 0);
	assert_int_equal(ps.ps_registered_pages, 0);
	assert_int_equal(ps.ps_map_entries, 0);
	vmpager_destroy(fx->fx_pager);
	if (fx->fx_bytes != 0)
		(void)munmap((void *)(uintptr_t)fixture_base, fx->fx_bytes);
}

/* A mode that has another way where the kernel has no UFFDIO_MOVE: the tests
 * again, by that way. */
static inline int
fixture_without_move(int (*group)(const char *name), const char *mode)
{
	char name[64];
	int failed;

	(void)snprintf(name, sizeof(name), "%s without UFFDIO_MOVE", mode);
	fixture_without = VMPAGER_HAS_MOVE;
	failed = group(name);
	fixture_without = 0;
	return (failed);
}

/* Run a group of tests in each of the modes that work here, or in the one that
 * $VMPAGER_MODE names.  Returns how many failed. */
static inline int
fixture_each_mode(int (*group)(const char *name))
{
	const char *only = getenv("VMPAGER_MODE"), *name;
	struct vmpager_support su;
	int failed = 0;

	vmpager_support(&su);
	for (unsigned int mode = 0; mode < VMPAGER_MODES; mode++) {
		name = vmpager_mode_name((enum vmpager_mode)mode);
		if (only != NULL && strcmp(only, name) != 0)
			continue;
#if defined(__SANITIZE_THREAD__)
		/* That a page is out of everybody's reach before it is read
		 * for the swap is the MMU's doing, which the thread sanitizer
		 * knows nothing of. */
		if (mode != VMPAGER_SOFTWARE) {
			printf("skipped: %s: thread sanitizer\n", name);
			continue;
		}
#endif
		if (su.su_error[mode] != 0) {
			printf("skipped: %s: %s\n", name, su.su_why[mode]);
			continue;
		}
		fixture_mode = (enum vmpager_mode)mode;
		failed += group(name);
		if ((su.su_kernel & VMPAGER_HAS_MOVE) != 0 &&
		    (mode == VMPAGER_UFFD || mode == VMPAGER_UFFD_THREAD))
			failed += fixture_without_move(group, name);
	}
	return (failed);
}

/* The states of pages [page, page + n), as text. */
static inline const char *
fixture_states(const struct fixture *fx, uint64_t page, size_t n)
{
	static char text[128];

	assert_true(n < sizeof(text));
	for (size_t i = 0; i < n; i++)
		text[i] = vmpager_page_state(
		    fx->fx_map, BASE + (page + i) * PAGE);
	text[n] = '\0';
	return (text);
}

#endif /* PAGER_FIXTURE_H */
