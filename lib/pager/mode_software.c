/*
 * mode_software.c - pages reached through the pager's own page table.
 *
 * The page of a frame is the frame: nothing needs to be mapped, moved or taken
 * away, because nobody reaches the bytes but through vmpager_access(), which
 * goes by the page table entry and holds a pin meanwhile.  The addresses of a
 * map are mere numbers here: they need not be mapped, nor even exist.
 */
#include "config.h"

#include "pager/pager_impl.h"

#include <string.h>

static int
software_probe(const char **why)
{
	(void)why;
	return (0);
}

static int
software_init(struct vmpager *pg, uint64_t frames)
{
	return (frame_pool_init(&pg->pg_pool, frames, pg->pg_swap.sw_slots != 0,
	    FRAME_POPULATED));
}

static void
software_fini(struct vmpager *pg)
{
	(void)pg;
}

static int
software_map_init(struct vmpager_map *mp)
{
	(void)mp;
	return (0);
}

static void
software_map_fini(struct vmpager_map *mp)
{
	(void)mp;
}

static char *
software_room(struct vmpager *pg, const struct run *rn, char *bounce)
{
	(void)bounce;
	ASSERT(rn->rn_count == 1);
	return (frame_bytes(&pg->pg_pool, rn->rn_frame[0]));
}

static int
software_enter(const struct run *rn, const char *room, bool write)
{
	const struct frame_pool *fp = &rn->rn_map->mp_pager->pg_pool;

	(void)write;
	if (room == NULL)
		memset(frame_bytes(fp, rn->rn_frame[0]), 0, VMPAGER_PAGE);
	return (0);
}

static int
software_revoke(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		vi[i].vi_bytes = frame_bytes(&pg->pg_pool, vi[i].vi_frame);
	return (0);
}

static void
software_drop(struct vmpager *pg, struct victim *vi, unsigned int n)
{
	(void)pg;
	(void)vi;
	(void)n;
}

static void
software_restore(struct vmpager *pg, struct victim *vi)
{
	(void)pg;
	(void)vi;
}

static void
software_discard(struct vmpager_map *mp, uint64_t page, unsigned int n)
{
	(void)mp;
	(void)page;
	(void)n;
}

static void *
software_bytes(struct vmpager_map *mp, uint64_t page, uint32_t frame)
{
	(void)page;
	return (frame_bytes(&mp->mp_pager->pg_pool, frame));
}

static int
software_upgrade(struct vmpager_map *mp, uint64_t page)
{
	(void)mp;
	(void)page;
	return (0);
}

const struct mode mode_software = {
	.md_name = "software",
	.md_probe = software_probe,
	.md_init = software_init,
	.md_fini = software_fini,
	.md_map_init = software_map_init,
	.md_map_fini = software_map_fini,
	.md_room = software_room,
	.md_enter = software_enter,
	.md_revoke = software_revoke,
	.md_drop = software_drop,
	.md_restore = software_restore,
	.md_discard = software_discard,
	.md_bytes = software_bytes,
	.md_upgrade = software_upgrade,
};
