/*
 * pager_fixture.h - what the pager's tests share: a pager of so many pages, a
 * map at BASE, and the look over everything that ends each step.
 *
 * In software mode addresses are numbers, so BASE is one that no process could
 * map: what used it as a pointer would be found out.
 */
#ifndef PAGER_FIXTURE_H
#define PAGER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <vmpager.h>

#define PAGE ((uint64_t)VMPAGER_PAGE)
#define BASE ((vmem_addr_t)0xffff900000000000)
#define NO_SWAP 0

struct fixture {
	struct vmpager *fx_pager;
	struct vmpager_map *fx_map;
};

static inline struct fixture
fixture_open(uint64_t frames, uint64_t slots, enum vmpager_commit commit,
    const char *swap, uint64_t map_pages)
{
	const struct vmpager_config config = {
		.pc_frames_bytes = frames * PAGE,
		.pc_swap_bytes = slots * PAGE,
		.pc_swap = slots == NO_SWAP ? "none" : swap,
		.pc_mode = VMPAGER_SOFTWARE,
		.pc_commit = commit,
	};
	struct fixture fx;

	assert_int_equal(vmpager_create(&config, &fx.fx_pager), 0);
	assert_int_equal(vmpager_map_create(fx.fx_pager, BASE,
			     map_pages * PAGE, &fx.fx_map), 0);
	return (fx);
}

/* Nothing is under way: everything must add up. */
static inline void
fixture_check(const struct fixture *fx)
{
	struct vmpager_stat ps;
	const char *why = "";

	if (vmpager_check(fx->fx_pager, &why) != 0)
		fail_msg("vmpager_check: %s", why);
	vmpager_stat(fx->fx_pager, &ps);
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
	vmpager_map_destroy(fx->fx_map);
	vmpager_stat(fx->fx_pager, &ps);
	assert_int_equal(ps.ps_resident_pages, 0);
	assert_int_equal(ps.ps_dirty_pages, 0);
	assert_int_equal(ps.ps_frames_free, ps.ps_frames_total);
	assert_int_equal(ps.ps_swap_used_bytes, 0);
	assert_int_equal(ps.ps_registered_pages, 0);
	assert_int_equal(ps.ps_map_entries, 0);
	vmpager_destroy(fx->fx_pager);
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
