/*
 * reg_alloc.c - see registry.h: allocations, by address and by owner.
 *
 * Finding an allocation.  By its first address: a hash table.  By an address
 * inside (touch, read, partial free): an allocation of n quanta is of class
 * c = ceil(log2 n), and is filed under the window of 2^c quanta that its start
 * lies in.  At most two of a class start in one window, since each is larger
 * than half of it; and what covers an address starts in the address's own
 * window or in the one before:
 *
 *	class 3	|. . . . . . . .|. . . . . . . .|. . . .   windows of 8 quanta
 *		           ^ start ########
 *				        ^ addr: in this window, or the last
 *
 * So a lookup is at most two probes a class in use, O(1) in the number of
 * allocations, with no tree to balance.  Those of one quantum (class 0) need
 * no window: the first table finds them.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cache.h"
#include "daemon/plant.h"
#include "daemon/record.h"
#include "daemon/registry_impl.h"
#include "util/assert.h"

#define ALLOC_OF_START(n)                                                    \
	((struct alloc *)(void *)((char *)(uintptr_t)(n) -                   \
	    offsetof(struct alloc, al_start)))
#define ALLOC_OF_WINDOW(n)                                                   \
	((struct alloc *)(void *)((char *)(uintptr_t)(n) -                   \
	    offsetof(struct alloc, al_window)))
/* ---- hashing ------------------------------------------------------------ */

static unsigned int
class_of(const struct arena *ar, vmem_size_t size)
{
	vmem_size_t quanta = size / ar->ar_quantum;

	return (quanta <= 1 ? 0 :
	    64u - (unsigned int)__builtin_clzll(quanta - 1));
}

static vmem_addr_t
window_of(const struct arena *ar, vmem_addr_t addr, unsigned int class)
{
	vmem_addr_t quanta = addr / ar->ar_quantum;

	return (class >= 64 ? 0 : quanta >> class);
}

static uint64_t
hash_window(unsigned int class, vmem_addr_t window)
{
	return (htab_mix(window * SIZE_CLASSES + class));
}

static uint64_t
hash_of_start(const struct hnode *n)
{
	return (htab_mix(ALLOC_OF_START(n)->al_addr));
}

static uint64_t
hash_of_window(const struct hnode *n)
{
	const struct alloc *al = ALLOC_OF_WINDOW(n);
	const struct arena *ar = al->al_group->gr_arena;
	unsigned int class = class_of(ar, al->al_size);

	return (hash_window(class, window_of(ar, al->al_addr, class)));
}

static int
match_start(const struct hnode *n, const void *key)
{
	return (ALLOC_OF_START(n)->al_addr == *(const vmem_addr_t *)key);
}

static int
match_inside(const struct hnode *n, const void *key)
{
	const struct alloc *al = ALLOC_OF_WINDOW(n);
	vmem_addr_t addr = *(const vmem_addr_t *)key;

	return (addr >= al->al_addr && addr - al->al_addr < al->al_size);
}

void
reg_tables_init(struct arena *ar)
{
	htab_init(&ar->ar_starts, hash_of_start);
	htab_init(&ar->ar_windows, hash_of_window);
}

/* ---- allocations -------------------------------------------------------- */

struct alloc *
alloc_new(void)
{
	return (calloc(1, sizeof(struct alloc)));
}

void
alloc_delete(struct alloc *al)
{
	free(al);
}

int
reg_link_locked(struct registry *rg, struct alloc *al)
{
	struct holding *gr = al->al_group;
	struct arena *ar = gr->gr_arena;
	unsigned int class = class_of(ar, al->al_size);

	if (htab_insert(&ar->ar_starts, &al->al_start) != 0)
		return (ENOMEM);
	if (class > 0 && htab_insert(&ar->ar_windows, &al->al_window) != 0) {
		htab_remove(&ar->ar_starts, &al->al_start);
		return (ENOMEM);
	}
	ar->ar_classes[class]++;
	ar->ar_inuse += al->al_size;
	TAILQ_INSERT_TAIL(&gr->gr_allocs, al, al_group_link);
	gr->gr_refs++;
	if (al->al_client != NULL)
		TAILQ_INSERT_TAIL(
		    &al->al_client->cl_allocs, al, al_client_link);
	rg->rg_allocs++;
	return (0);
}

void
reg_unlink_locked(struct registry *rg, struct alloc *al)
{
	struct arena *ar = al->al_group->gr_arena;
	unsigned int class = class_of(ar, al->al_size);

	htab_remove(&ar->ar_starts, &al->al_start);
	if (class > 0)
		htab_remove(&ar->ar_windows, &al->al_window);
	ar->ar_classes[class]--;
	ar->ar_inuse -= al->al_size;
	TAILQ_REMOVE(&al->al_group->gr_allocs, al, al_group_link);
	if (al->al_client != NULL)
		TAILQ_REMOVE(&al->al_client->cl_allocs, al, al_client_link);
	rg->rg_allocs--;
}

int
reg_insert(struct registry *rg, struct holding *gr, struct client *cl,
    bool keep, struct alloc **allocs, size_t count)
{
	struct arena *ar = gr->gr_arena;
	size_t i;
	int error = 0;

	/* Before anybody can free them. */
	for (i = 0; record_wanted(ar) && i < count; i++)
		record_alloc(ar, allocs[i]->al_addr, allocs[i]->al_size,
		    allocs[i]->al_align);
	lock_acquire(&rg->rg_lock);
	for (i = 0; i < count && error == 0; i++) {
		allocs[i]->al_group = gr;
		allocs[i]->al_client = keep ? NULL : cl;
		error = reg_link_locked(rg, allocs[i]);
	}
	if (error == 0)
		ar->ar_allocs += count;
	else
		for (i--; i > 0; i--) {
			reg_unlink_locked(rg, allocs[i - 1]);
			gr->gr_refs--;
		}
	lock_release(&rg->rg_lock);
	for (i = 0; error != 0 && record_wanted(ar) && i < count; i++)
		record_free(ar, allocs[i]->al_addr);
	return (error);
}

static struct alloc *
find_start_locked(struct arena *ar, vmem_addr_t addr)
{
	struct hnode *n = htab_find(
	    &ar->ar_starts, htab_mix(addr), match_start, &addr);

	return (n != NULL && !ALLOC_OF_START(n)->al_claimed ?
		ALLOC_OF_START(n) : NULL);
}

struct alloc *
reg_inside_locked(struct arena *ar, vmem_addr_t addr)
{
	struct alloc *al = find_start_locked(ar, addr - addr % ar->ar_quantum);

	for (unsigned int c = 1; al == NULL && c < SIZE_CLASSES; c++) {
		vmem_addr_t w = window_of(ar, addr, c);
		struct hnode *n;

		if (ar->ar_classes[c] == 0)
			continue;
		n = htab_find(&ar->ar_windows, hash_window(c, w), match_inside,
		    &addr);
		if (n == NULL && w > 0)
			n = htab_find(&ar->ar_windows, hash_window(c, w - 1),
			    match_inside, &addr);
		if (n != NULL)
			al = ALLOC_OF_WINDOW(n);
	}
	return (al != NULL && !al->al_claimed ? al : NULL);
}

int
reg_may(const struct caller *ca, const struct alloc *al)
{
	if (ca->ca_privileged || al->al_group->gr_account->ac_uid == ca->ca_uid)
		return (0);
	return (EPERM);
}

int
reg_claim(struct registry *rg, struct arena *ar, const struct caller *ca,
    vmem_addr_t addr, vmem_size_t size, struct alloc **alp)
{
	struct alloc *al;
	int error = ENOENT;

	lock_acquire(&rg->rg_lock);
	al = find_start_locked(ar, addr);
	if (al != NULL)
		error = reg_may(ca, al);
	if (error == 0 && size != 0 && size != al->al_size)
		error = EINVAL;
	if (error == 0) {
		al->al_claimed = true;
		*alp = al;
	}
	lock_release(&rg->rg_lock);
	return (error);
}

size_t
reg_claim_client(struct registry *rg, struct client *cl, struct alloc **allocs,
    size_t max)
{
	struct alloc *al;
	size_t n = 0;

	lock_acquire(&rg->rg_lock);
	TAILQ_FOREACH(al, &cl->cl_allocs, al_client_link) {
		if (n == max)
			break;
		if (al->al_claimed)
			continue;
		al->al_claimed = true;
		allocs[n++] = al;
	}
	lock_release(&rg->rg_lock);
	return (n);
}

static bool
group_matches(const struct holding *gr, uid_t uid, bool everyone,
    const char *tag)
{
	return ((everyone || gr->gr_account->ac_uid == uid) &&
	    (tag == NULL || strcmp(gr->gr_tag, tag) == 0));
}

size_t
reg_claim_matching(struct registry *rg, struct arena *ar, uid_t uid,
    bool everyone, const char *tag, struct alloc **allocs, size_t max)
{
	struct holding *gr;
	struct alloc *al;
	size_t n = 0;

	lock_acquire(&rg->rg_lock);
	LIST_FOREACH(gr, &ar->ar_groups, gr_link) {
		if (!group_matches(gr, uid, everyone, tag))
			continue;
		TAILQ_FOREACH(al, &gr->gr_allocs, al_group_link) {
			if (n == max)
				break;
			if (al->al_claimed)
				continue;
			al->al_claimed = true;
			allocs[n++] = al;
		}
		if (n == max)
			break;
	}
	lock_release(&rg->rg_lock);
	return (n);
}

uint64_t
reg_count_matching(struct registry *rg, struct arena *ar, uid_t uid,
    bool everyone, const char *tag)
{
	struct holding *gr;
	uint64_t n = 0;

	lock_acquire(&rg->rg_lock);
	/* Every allocation of a group holds a reference to it. */
	LIST_FOREACH(gr, &ar->ar_groups, gr_link)
		if (group_matches(gr, uid, everyone, tag))
			n += gr->gr_refs;
	lock_release(&rg->rg_lock);
	return (n);
}

void
reg_unclaim(struct registry *rg, struct alloc *al)
{
	lock_acquire(&rg->rg_lock);
	al->al_claimed = false;
	lock_release(&rg->rg_lock);
}

/* Give the space of something unlinked back to libvmem.  A piece of a block
 * only counts down; its last piece gives back the block. */
static void
space_free(struct registry *rg, struct arena *ar, struct alloc *al)
{
	vmem_addr_t addr = al->al_addr;
	vmem_size_t size = al->al_size;
	struct block *bl = al->al_block;
	bool cached = al->al_cached;

	if (bl != NULL) {
		bool last;

		lock_acquire(&rg->rg_lock);
		bl->bl_left -= size;
		last = bl->bl_left == 0;
		lock_release(&rg->rg_lock);
		if (!last)
			return;
		addr = bl->bl_addr;
		size = bl->bl_size;
		cached = bl->bl_cached;
		free(bl);
	}
	if (cached)
		cache_put(ar, addr, size);
	else if (!plant_bears(PLANT_LEAK))
		vmem_xfree(ar->ar_vm, addr, size);
}

void
reg_uncount_locked(struct alloc *al, uint64_t bytes, uint64_t segments)
{
	struct account *ac = al->al_group->gr_account;

	ac->ac_bytes -= bytes;
	ac->ac_segments -= segments;
	if (al->al_client != NULL) {
		al->al_client->cl_bytes -= bytes;
		al->al_client->cl_segments -= segments;
	}
}

/* Of a trace: the last piece frees all, another only a part. */
static void
record_gone(struct registry *rg, struct arena *ar, const struct alloc *al)
{
	struct record_left *rl = al->al_left;
	bool last;

	if (rl == NULL) {
		record_free(ar, al->al_addr);
		return;
	}
	lock_acquire(&rg->rg_lock);
	rl->rl_bytes -= al->al_size;
	last = rl->rl_bytes == 0;
	lock_release(&rg->rg_lock);
	if (last)
		record_last(ar, rl->rl_number);
	else
		record_part(ar, rl->rl_number, al->al_addr - rl->rl_base,
		    al->al_size);
	if (last)
		free(rl);
}

void
reg_release(struct registry *rg, struct alloc *al)
{
	struct arena *ar;

	lock_acquire(&rg->rg_lock);
	ASSERT(al->al_claimed);
	ar = al->al_group->gr_arena;
	if (al->al_pins > 0) {
		al->al_release = true;
		lock_release(&rg->rg_lock);
		return;
	}
	reg_unlink_locked(rg, al);
	reg_uncount_locked(al, al->al_size, 1);
	reg_group_put_locked(rg, al->al_group);
	lock_release(&rg->rg_lock);

	if (record_wanted(ar))
		record_gone(rg, ar, al);
	/* Addresses go back only when nothing can fault on them any more. */
	if (ar->ar_kind == ARENA_PAGEABLE)
		vmpager_unregister(ar->ar_map, al->al_addr, al->al_size);
	space_free(rg, ar, al);
	free(al);

	lock_acquire(&rg->rg_lock);
	ar->ar_allocs--;
	lock_release(&rg->rg_lock);
}

/* ---- pins, descriptions ------------------------------------------------- */

int
reg_pin(struct registry *rg, struct arena *ar, const struct caller *ca,
    vmem_addr_t addr, struct alloc **alp)
{
	struct alloc *al;
	int error = ENOENT;

	lock_acquire(&rg->rg_lock);
	al = reg_inside_locked(ar, addr);
	if (al != NULL)
		error = reg_may(ca, al);
	if (error == 0) {
		al->al_pins++;
		*alp = al;
	}
	lock_release(&rg->rg_lock);
	return (error);
}

void
reg_unpin(struct registry *rg, struct alloc *al)
{
	bool release;

	lock_acquire(&rg->rg_lock);
	release = --al->al_pins == 0 && al->al_release;
	lock_release(&rg->rg_lock);
	if (release)
		reg_release(rg, al);
}

bool
reg_describe(struct registry *rg, struct arena *ar, vmem_addr_t addr,
    struct alloc_info *ai)
{
	struct alloc *al;

	lock_acquire(&rg->rg_lock);
	al = find_start_locked(ar, addr);
	if (al != NULL) {
		ai->ai_size = al->al_size;
		ai->ai_uid = al->al_group->gr_account->ac_uid;
		ai->ai_client =
		    al->al_client != NULL ? al->al_client->cl_id : 0;
		memcpy(ai->ai_tag, al->al_group->gr_tag,
		    strlen(al->al_group->gr_tag) + 1);
	}
	lock_release(&rg->rg_lock);
	return (al != NULL);
}
