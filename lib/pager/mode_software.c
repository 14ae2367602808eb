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

static void
software_enter(
    struct vmpager_map *mp, uint64_t page, uint32_t frame, bool write)
{
	(void)mp;
	(void)page;
	(void)frame;
	(void)write;
}

static void
software_remove(struct vmpager_map *mp, uint64_t page, uint32_t frame)
{
	(void)mp;
	(void)page;
	(void)frame;
}

static void *
software_bytes(struct vmpager_map *mp, uint64_t page, uint32_t frame)
{
	(void)page;
	return (frame_bytes(&mp->mp_pager->pg_pool, frame));
}

const struct mode mode_software = {
	.md_name = "software",
	.md_map_init = software_map_init,
	.md_map_fini = software_map_fini,
	.md_enter = software_enter,
	.md_remove = software_remove,
	.md_bytes = software_bytes,
};
