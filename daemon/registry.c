/*
 * registry.c - see registry.h.
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

#include "daemon/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/assert.h"

#define ALLOC_OF_START(n)                                                    \
	((struct alloc *)(void *)((char *)(uintptr_t)(n) -                   \
	    offsetof(struct alloc, al_start)))
#define ALLOC_OF_WINDOW(n)                                                   \
	((struct alloc *)(void *)((char *)(uintptr_t)(n) -                   \
	    offsetof(struct alloc, al_window)))
#define GROUP_OF_NODE(n)                                                     \
	((struct holding *)(void *)((char *)(uintptr_t)(n) -                   \
	    offsetof(struct holding, gr_node)))

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

static uint64_t
hash_group(const struct arena *ar, uid_t uid, const char *tag)
{
	uint64_t h = (uint64_t)(uintptr_t)ar + uid * UINT64_C(0x9e3779b97f4a7c15);

	for (; *tag != '\0'; tag++)
		h = (h ^ (unsigned char)*tag) * UINT64_C(0x100000001b3);
	return (htab_mix(h));
}

static uint64_t
hash_of_group(const struct hnode *n)
{
	const struct holding *gr = GROUP_OF_NODE(n);

	return (hash_group(gr->gr_arena, gr->gr_account->ac_uid, gr->gr_tag));
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

/* ---- the registry ------------------------------------------------------- */

void
registry_init(struct registry *rg)
{
	memset(rg, 0, sizeof(*rg));
	lock_init(&rg->rg_lock, "registry", LOCK_REGISTRY);
	TAILQ_INIT(&rg->rg_arenas);
	TAILQ_INIT(&rg->rg_clients);
	TAILQ_INIT(&rg->rg_waiters);
	LIST_INIT(&rg->rg_accounts);
	htab_init(&rg->rg_groups, hash_of_group);
	rg->rg_client_next = 1;
}

void
registry_fini(struct registry *rg)
{
	ASSERT(TAILQ_EMPTY(&rg->rg_clients));
	htab_fini(&rg->rg_groups);
	lock_fini(&rg->rg_lock);
}

/* ---- arenas ------------------------------------------------------------- */

static struct arena *
arena_find(struct registry *rg, const char *name)
{
	struct arena *ar;

	TAILQ_FOREACH(ar, &rg->rg_arenas, ar_link)
		if (strcmp(ar->ar_name, name) == 0)
			return (ar);
	return (NULL);
}

int
reg_arena_add(struct registry *rg, struct arena *ar)
{
	int error = 0;

	lock_acquire(&rg->rg_lock);
	if (arena_find(rg, ar->ar_name) != NULL)
		error = EEXIST;
	else if (rg->rg_arena_count == ARENAS_MAX)
		error = EMFILE;
	else if (ar->ar_source != NULL && ar->ar_source->ar_dying)
		error = ENOENT;
	else {
		ar->ar_refs = 1;
		LIST_INIT(&ar->ar_groups);
		htab_init(&ar->ar_starts, hash_of_start);
		htab_init(&ar->ar_windows, hash_of_window);
		if (ar->ar_source != NULL)
			ar->ar_source->ar_children++;
		TAILQ_INSERT_TAIL(&rg->rg_arenas, ar, ar_link);
		rg->rg_arena_count++;
	}
	lock_release(&rg->rg_lock);
	return (error);
}

struct arena *
reg_arena_get(struct registry *rg, const char *name)
{
	struct arena *ar;

	lock_acquire(&rg->rg_lock);
	ar = arena_find(rg, name);
	if (ar != NULL && ar->ar_dying)
		ar = NULL;
	if (ar != NULL)
		ar->ar_refs++;
	lock_release(&rg->rg_lock);
	return (ar);
}

void
reg_arena_ref(struct registry *rg, struct arena *ar)
{
	lock_acquire(&rg->rg_lock);
	ar->ar_refs++;
	lock_release(&rg->rg_lock);
}

void
reg_arena_put(struct registry *rg, struct arena *ar)
{
	if (ar == NULL)
		return;
	lock_acquire(&rg->rg_lock);
	ASSERT(ar->ar_refs > 1);
	ar->ar_refs--;
	lock_release(&rg->rg_lock);
}

struct arena *
reg_arena_next(struct registry *rg, struct arena *prev)
{
	struct arena *ar;

	lock_acquire(&rg->rg_lock);
	ar = prev == NULL ? TAILQ_FIRST(&rg->rg_arenas) :
			    TAILQ_NEXT(prev, ar_link);
	while (ar != NULL && ar->ar_dying)
		ar = TAILQ_NEXT(ar, ar_link);
	if (ar != NULL)
		ar->ar_refs++;
	if (prev != NULL)
		prev->ar_refs--;
	lock_release(&rg->rg_lock);
	return (ar);
}

int
reg_arena_retire(struct registry *rg, struct arena *ar, bool force)
{
	int error = 0;

	lock_acquire(&rg->rg_lock);
	if (ar->ar_dying || ar->ar_children > 0 ||
	    (!force && (ar->ar_allocs > 0 || ar->ar_refs > 2)))
		error = EBUSY;
	else
		ar->ar_dying = true;
	lock_release(&rg->rg_lock);
	return (error);
}

bool
reg_arena_idle(struct registry *rg, struct arena *ar)
{
	bool idle;

	lock_acquire(&rg->rg_lock);
	idle = ar->ar_refs == 2 && ar->ar_allocs == 0;
	lock_release(&rg->rg_lock);
	return (idle);
}

void
reg_arena_remove(struct registry *rg, struct arena *ar)
{
	struct arena *source;

	lock_acquire(&rg->rg_lock);
	VERIFY(ar->ar_refs == 2 && ar->ar_allocs == 0);
	TAILQ_REMOVE(&rg->rg_arenas, ar, ar_link);
	rg->rg_arena_count--;
	if (ar->ar_source != NULL)
		ar->ar_source->ar_children--;
	lock_release(&rg->rg_lock);
	htab_fini(&ar->ar_starts);
	htab_fini(&ar->ar_windows);
	source = arena_unmake(ar);
	reg_arena_put(rg, source);
}

/* ---- accounts, clients, quotas ------------------------------------------ */

static struct account *
account_get_locked(struct registry *rg, uid_t uid) REQUIRES(rg->rg_lock)
{
	struct account *ac;

	LIST_FOREACH(ac, &rg->rg_accounts, ac_link)
		if (ac->ac_uid == uid)
			break;
	if (ac == NULL) {
		ac = calloc(1, sizeof(*ac));
		if (ac == NULL)
			return (NULL);
		ac->ac_uid = uid;
		LIST_INSERT_HEAD(&rg->rg_accounts, ac, ac_link);
	}
	ac->ac_refs++;
	return (ac);
}

static void
account_put_locked(struct account *ac)
{
	if (--ac->ac_refs > 0)
		return;
	LIST_REMOVE(ac, ac_link);
	free(ac);
}

struct client *
reg_client_add(struct registry *rg, uid_t uid, pid_t pid, bool privileged)
{
	struct client *cl = calloc(1, sizeof(*cl));

	if (cl == NULL)
		return (NULL);
	cl->cl_uid = uid;
	cl->cl_pid = pid;
	cl->cl_privileged = privileged;
	TAILQ_INIT(&cl->cl_allocs);
	TAILQ_INIT(&cl->cl_waiters);
	lock_acquire(&rg->rg_lock);
	cl->cl_account = account_get_locked(rg, uid);
	if (cl->cl_account != NULL) {
		cl->cl_id = rg->rg_client_next++;
		rg->rg_client_count++;
		TAILQ_INSERT_TAIL(&rg->rg_clients, cl, cl_link);
	}
	lock_release(&rg->rg_lock);
	if (cl->cl_account == NULL) {
		free(cl);
		return (NULL);
	}
	return (cl);
}

void
reg_client_remove(struct registry *rg, struct client *cl)
{
	lock_acquire(&rg->rg_lock);
	VERIFY(TAILQ_EMPTY(&cl->cl_allocs) && TAILQ_EMPTY(&cl->cl_waiters));
	VERIFY(cl->cl_bytes == 0 && cl->cl_segments == 0);
	TAILQ_REMOVE(&rg->rg_clients, cl, cl_link);
	rg->rg_client_count--;
	rg->rg_requests_gone +=
	    atomic_load_explicit(&cl->cl_requests, memory_order_relaxed);
	account_put_locked(cl->cl_account);
	lock_release(&rg->rg_lock);
	free(cl);
}

bool
reg_client_idle(struct registry *rg, struct client *cl)
{
	bool idle;

	lock_acquire(&rg->rg_lock);
	idle = TAILQ_EMPTY(&cl->cl_allocs) && TAILQ_EMPTY(&cl->cl_waiters);
	lock_release(&rg->rg_lock);
	return (idle);
}

static bool
over(uint64_t have, uint64_t more, uint64_t quota)
{
	return (quota != 0 && (more > quota || have > quota - more));
}

int
reg_charge(struct registry *rg, struct client *cl, bool keep, uint64_t bytes,
    uint64_t segments)
{
	uint64_t quota_bytes = atomic_load_explicit(
	    &rg->rg_quota_bytes, memory_order_relaxed);
	uint64_t quota_segments = atomic_load_explicit(
	    &rg->rg_quota_segments, memory_order_relaxed);
	struct account *ac = cl->cl_account;
	int error = 0;

	lock_acquire(&rg->rg_lock);
	if (over(ac->ac_bytes, bytes, quota_bytes) ||
	    over(ac->ac_segments, segments, quota_segments) ||
	    over(cl->cl_bytes, bytes, keep ? 0 : quota_bytes) ||
	    over(cl->cl_segments, segments, keep ? 0 : quota_segments))
		error = EDQUOT;
	else {
		ac->ac_bytes += bytes;
		ac->ac_segments += segments;
		cl->cl_bytes += keep ? 0 : bytes;
		cl->cl_segments += keep ? 0 : segments;
	}
	lock_release(&rg->rg_lock);
	return (error);
}

void
reg_uncharge(struct registry *rg, struct client *cl, bool keep,
    uint64_t bytes, uint64_t segments)
{
	lock_acquire(&rg->rg_lock);
	cl->cl_account->ac_bytes -= bytes;
	cl->cl_account->ac_segments -= segments;
	cl->cl_bytes -= keep ? 0 : bytes;
	cl->cl_segments -= keep ? 0 : segments;
	lock_release(&rg->rg_lock);
}

/* ---- groups ------------------------------------------------------------- */

struct holding_key {
	const struct arena *arena;
	uid_t uid;
	const char *tag;
};

static int
match_group(const struct hnode *n, const void *key)
{
	const struct holding *gr = GROUP_OF_NODE(n);
	const struct holding_key *k = key;

	return (gr->gr_arena == k->arena && gr->gr_account->ac_uid == k->uid &&
	    strcmp(gr->gr_tag, k->tag) == 0);
}

static struct holding *
group_new_locked(struct registry *rg, struct arena *ar, uid_t uid,
    const char *tag) REQUIRES(rg->rg_lock)
{
	size_t len = strlen(tag);
	struct holding *gr = calloc(1, sizeof(*gr) + len + 1);

	if (gr == NULL)
		return (NULL);
	gr->gr_arena = ar;
	memcpy(gr->gr_tag, tag, len + 1);
	TAILQ_INIT(&gr->gr_allocs);
	gr->gr_account = account_get_locked(rg, uid);
	if (gr->gr_account == NULL)
		goto fail;
	if (htab_insert(&rg->rg_groups, &gr->gr_node) != 0) {
		account_put_locked(gr->gr_account);
		goto fail;
	}
	LIST_INSERT_HEAD(&ar->ar_groups, gr, gr_link);
	return (gr);
fail:
	free(gr);
	return (NULL);
}

struct holding *
reg_group_get(struct registry *rg, struct arena *ar, struct client *cl,
    const char *tag)
{
	struct holding_key key = { ar, cl->cl_uid, tag != NULL ? tag : "" };
	struct hnode *n;
	struct holding *gr;

	lock_acquire(&rg->rg_lock);
	n = htab_find(&rg->rg_groups, hash_group(ar, key.uid, key.tag),
	    match_group, &key);
	gr = n != NULL ? GROUP_OF_NODE(n) :
			 group_new_locked(rg, ar, key.uid, key.tag);
	if (gr != NULL)
		gr->gr_refs++;
	lock_release(&rg->rg_lock);
	return (gr);
}

static void
group_put_locked(struct registry *rg, struct holding *gr) REQUIRES(rg->rg_lock)
{
	if (--gr->gr_refs > 0)
		return;
	ASSERT(TAILQ_EMPTY(&gr->gr_allocs));
	htab_remove(&rg->rg_groups, &gr->gr_node);
	LIST_REMOVE(gr, gr_link);
	account_put_locked(gr->gr_account);
	free(gr);
}

void
reg_group_put(struct registry *rg, struct holding *gr)
{
	if (gr == NULL)
		return;
	lock_acquire(&rg->rg_lock);
	group_put_locked(rg, gr);
	lock_release(&rg->rg_lock);
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

/* Into the tables and lists; the group is set, bytes are charged. */
static int
link_locked(struct registry *rg, struct alloc *al) REQUIRES(rg->rg_lock)
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

/* Out of them again; the group's reference stays with the allocation. */
static void
unlink_locked(struct registry *rg, struct alloc *al) REQUIRES(rg->rg_lock)
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
reg_insert(struct registry *rg, struct holding *gr, struct client *cl, bool keep,
    struct alloc **allocs, size_t count)
{
	size_t i;
	int error = 0;

	lock_acquire(&rg->rg_lock);
	for (i = 0; i < count && error == 0; i++) {
		allocs[i]->al_group = gr;
		allocs[i]->al_client = keep ? NULL : cl;
		error = link_locked(rg, allocs[i]);
	}
	if (error == 0)
		gr->gr_arena->ar_allocs += count;
	else
		for (i--; i > 0; i--) {
			unlink_locked(rg, allocs[i - 1]);
			gr->gr_refs--;
		}
	lock_release(&rg->rg_lock);
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

static struct alloc *
find_inside_locked(struct arena *ar, vmem_addr_t addr)
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

static int
may(const struct caller *ca, const struct alloc *al)
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
		error = may(ca, al);
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
group_matches(const struct holding *gr, uid_t uid, bool everyone, const char *tag)
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
		vmem_free(ar->ar_vm, addr, size);
	else
		vmem_xfree(ar->ar_vm, addr, size);
}

/* Uncount a segment, and bytes, of an allocation's owner. */
static void
uncount_locked(struct alloc *al, uint64_t bytes, uint64_t segments)
{
	struct account *ac = al->al_group->gr_account;

	ac->ac_bytes -= bytes;
	ac->ac_segments -= segments;
	if (al->al_client != NULL) {
		al->al_client->cl_bytes -= bytes;
		al->al_client->cl_segments -= segments;
	}
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
	unlink_locked(rg, al);
	uncount_locked(al, al->al_size, 1);
	group_put_locked(rg, al->al_group);
	lock_release(&rg->rg_lock);

	/* Addresses go back only when nothing can fault on them any more. */
	if (ar->ar_kind == ARENA_PAGEABLE)
		vmpager_unregister(ar->ar_map, al->al_addr, al->al_size);
	space_free(rg, ar, al);
	free(al);

	lock_acquire(&rg->rg_lock);
	ar->ar_allocs--;
	lock_release(&rg->rg_lock);
}

/* ---- partial free ------------------------------------------------------- */

/* What is needed at most, taken before anything is changed. */
struct part {
	struct alloc *pa_tail;	/* the piece after */
	struct block *pa_block;
};

static int
part_check_locked(struct arena *ar, const struct caller *ca, vmem_addr_t addr,
    vmem_size_t size, struct alloc **alp)
{
	struct alloc *al = find_inside_locked(ar, addr);
	int error;

	if (al == NULL)
		return (ENOENT);
	error = may(ca, al);
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

/*
 * Take [addr, addr + size) out of a claimed allocation's space.  What libvmem
 * can split is given back at once; what came from a quantum cache, and what
 * there were no boundary tags to split, becomes a block that goes back whole
 * with its last piece.
 */
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

/* Shrink the record to what is left: a piece before, a piece after, or both. */
static void
part_record(struct registry *rg, struct alloc *al, vmem_addr_t addr,
    vmem_size_t size, struct part *pa)
{
	vmem_size_t head = addr - al->al_addr;
	vmem_size_t tail = al->al_size - head - size;

	lock_acquire(&rg->rg_lock);
	unlink_locked(rg, al);
	al->al_group->gr_refs--;
	uncount_locked(al, size, 0);
	if (head > 0 && tail > 0) {
		struct alloc *rest = pa->pa_tail;

		pa->pa_tail = NULL;
		rest->al_addr = addr + size;
		rest->al_size = tail;
		rest->al_group = al->al_group;
		rest->al_client = al->al_client;
		rest->al_block = al->al_block;
		rest->al_cached = al->al_cached;
		al->al_group->gr_account->ac_segments++;
		if (al->al_client != NULL)
			al->al_client->cl_segments++;
		al->al_group->gr_arena->ar_allocs++;
		/* The tables are there: nothing to fail. */
		VERIFY(link_locked(rg, rest) == 0);
	}
	if (head == 0)
		al->al_addr = addr + size;
	al->al_size = head > 0 ? head : tail;
	al->al_claimed = false;
	VERIFY(link_locked(rg, al) == 0);
	lock_release(&rg->rg_lock);
}

int
reg_free_part(struct registry *rg, struct arena *ar, const struct caller *ca,
    vmem_addr_t addr, vmem_size_t size)
{
	struct part pa = { alloc_new(), calloc(1, sizeof(struct block)) };
	struct alloc *al = NULL;
	int error = ENOMEM;

	if (pa.pa_tail == NULL || pa.pa_block == NULL)
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
	part_free_space(rg, ar, al, addr, size, &pa);
	part_record(rg, al, addr, size, &pa);
out:
	alloc_delete(pa.pa_tail);
	free(pa.pa_block);
	return (error);
}

/* ---- pins, descriptions ------------------------------------------------- */

int
reg_pin(struct registry *rg, struct arena *ar, const struct caller *ca,
    vmem_addr_t addr, struct alloc **alp)
{
	struct alloc *al;
	int error = ENOENT;

	lock_acquire(&rg->rg_lock);
	al = find_inside_locked(ar, addr);
	if (al != NULL)
		error = may(ca, al);
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
		ai->ai_client = al->al_client != NULL ? al->al_client->cl_id : 0;
		memcpy(ai->ai_tag, al->al_group->gr_tag,
		    strlen(al->al_group->gr_tag) + 1);
	}
	lock_release(&rg->rg_lock);
	return (al != NULL);
}
