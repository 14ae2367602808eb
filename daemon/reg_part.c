/*
 * reg_part.c - see registry.h: reg_free_part().
 *
 * What libvmem can split is given back at once.  What came from a quantum
 * cache can't be split, nor can anything while there are no boundary tags: it
 * becomes a block, shared by its pieces, that goes back whole with the last of
 * them.  So a partial free never fails for want of memory once it has begun.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/record.h"
#include "daemon/registry_impl.h"
#include "util/assert.h"

/* What is needed at most, taken before anything is changed. */
struct part {
	struct alloc *pa_tail;	/* the piece after */
	struct block *pa_block;
	struct record_left *pa_left;
};

static int
part_check_locked(struct arena *ar, const struct caller *ca, vmem_addr_t addr,
    vmem_size_t size, struct alloc **alp)
{
	struct alloc *al = reg_inside_locked(ar, addr);
	int error;

	if (al == NULL)
		return (ENOENT);
	error = reg_may(ca, al);
	if (error != 0)
		return (error);
	if (addr % ar->ar_quantum != 0 || size % ar->ar_quantum != 0 ||
	    size == 0 || size > al->al_size - (addr - al->al_addr))
		return (EINVAL);
	if (al->al_pins > 0)
		return (EAGAIN);
	al->al_claimed = true;
	*alp = al;
	return (0);
}

/* Take [addr, addr + size) out of a claimed allocation's space. */
static void
part_free_space(struct registry *rg, struct arena *ar, struct alloc *al,
    vmem_addr_t addr, vmem_size_t size, struct part *pa)
{
	if (ar->ar_kind == ARENA_PAGEABLE)
		vmpager_unregister(ar->ar_map, addr, size);
	if (al->al_block == NULL && !al->al_cached &&
	    vmem_xfree_part(ar->ar_vm, addr, size, VM_NOSLEEP) == 0)
		return;
	if (al->al_block == NULL) {
		*pa->pa_block = (struct block) { .bl_addr = al->al_addr,
			.bl_size = al->al_size, .bl_left = al->al_size,
			.bl_cached = al->al_cached };
		al->al_block = pa->pa_block;
		pa->pa_block = NULL;
	}
	lock_acquire(&rg->rg_lock);
	al->al_block->bl_left -= size;
	lock_release(&rg->rg_lock);
}

/* To a trace, before anybody else can have it. */
static void
part_tell(struct arena *ar, const struct alloc *al, vmem_addr_t addr,
    vmem_size_t size, const struct part *pa)
{
	const struct record_left *rl = al->al_left;

	if (rl == NULL) {
		pa->pa_left->rl_number = record_cut(ar, al->al_addr);
		record_part(ar, pa->pa_left->rl_number, addr - al->al_addr,
		    size);
	} else
		record_part(ar, rl->rl_number, addr - rl->rl_base, size);
}

/* Shrink the record to what is left: a piece before, a piece after, or both. */
static void
part_record(struct registry *rg, struct alloc *al, vmem_addr_t addr,
    vmem_size_t size, struct part *pa)
{
	vmem_size_t head = addr - al->al_addr;
	vmem_size_t tail = al->al_size - head - size;

	lock_acquire(&rg->rg_lock);
	if (pa->pa_left->rl_number != 0) {
		pa->pa_left->rl_base = al->al_addr;
		pa->pa_left->rl_bytes = al->al_size;
		al->al_left = pa->pa_left;
		pa->pa_left = NULL;
	}
	if (al->al_left != NULL)
		al->al_left->rl_bytes -= size;
	reg_unlink_locked(rg, al);
	al->al_group->gr_refs--;
	reg_uncount_locked(al, size, 0);
	if (head > 0 && tail > 0) {
		struct alloc *rest = pa->pa_tail;

		pa->pa_tail = NULL;
		rest->al_addr = addr + size;
		rest->al_size = tail;
		rest->al_group = al->al_group;
		rest->al_client = al->al_client;
		rest->al_block = al->al_block;
		rest->al_left = al->al_left;
		rest->al_cached = al->al_cached;
		al->al_group->gr_account->ac_segments++;
		if (al->al_client != NULL)
			al->al_client->cl_segments++;
		al->al_group->gr_arena->ar_allocs++;
		/* The tables are there: nothing to fail. */
		VERIFY(reg_link_locked(rg, rest) == 0);
	}
	if (head == 0)
		al->al_addr = addr + size;
	al->al_size = head > 0 ? head : tail;
	al->al_claimed = false;
	VERIFY(reg_link_locked(rg, al) == 0);
	lock_release(&rg->rg_lock);
}

int
reg_free_part(struct registry *rg, struct arena *ar, const struct caller *ca,
    vmem_addr_t addr, vmem_size_t size)
{
	struct part pa = { alloc_new(), calloc(1, sizeof(struct block)),
		calloc(1, sizeof(struct record_left)) };
	struct alloc *al = NULL;
	int error = ENOMEM;

	if (pa.pa_tail == NULL || pa.pa_block == NULL || pa.pa_left == NULL)
		goto out;
	lock_acquire(&rg->rg_lock);
	error = part_check_locked(ar, ca, addr, size, &al);
	lock_release(&rg->rg_lock);
	if (error != 0)
		goto out;
	if (size == al->al_size) {
		reg_release(rg, al);
		goto out;
	}
	/* While it is claimed: its last piece can't go before. */
	if (record_wanted(ar))
		part_tell(ar, al, addr, size, &pa);
	part_free_space(rg, ar, al, addr, size, &pa);
	part_record(rg, al, addr, size, &pa);
out:
	alloc_delete(pa.pa_tail);
	free(pa.pa_block);
	free(pa.pa_left);
	return (error);
}
