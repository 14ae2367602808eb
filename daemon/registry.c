/*
 * registry.c - see registry.h: arenas, clients and their quotas, groups.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/registry_impl.h"
#include "util/assert.h"

#define GROUP_OF_NODE(n)                                                     \
	((struct holding *)(void *)((char *)(uintptr_t)(n) -                   \
	    offsetof(struct holding, gr_node)))

static uint64_t
hash_group(const struct arena *ar, uid_t uid, const char *tag)
{
	uint64_t h = (uint64_t)(uintptr_t)ar +
	    uid * UINT64_C(0x9e3779b97f4a7c15);

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
		reg_tables_init(ar);
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

void
reg_group_put_locked(struct registry *rg, struct holding *gr)
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
	reg_group_put_locked(rg, gr);
	lock_release(&rg->rg_lock);
}
