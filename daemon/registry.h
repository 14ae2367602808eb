/*
 * registry.h - who has what: arenas by name, allocations by address, owners,
 * quotas, and who waits.
 *
 * libvmem hands out ranges and takes them back on trust.  Clients aren't to be
 * trusted, so every range handed to one is recorded here, and a request is
 * believed only after it has been looked up: that is what keeps misuse from
 * ever reaching a panic.
 *
 *	client (a connection) --- allocs that end with it (keep: false)
 *	group (arena, uid, tag) --- all of its allocs: `free` by tag, or all
 *	account (uid) --- bytes and segments, for quotas
 *	arena --- allocs by start, and by window (see reg_alloc.c)
 *
 * Life of an allocation: made by alloc_new(), filled by the allocating code
 * (space taken, backing ready), reg_insert()ed.  To free it, reg_claim() takes
 * it out of the tables, so that nobody else can free or use it; reg_release()
 * then gives the space back, and reg_unclaim() would undo the claim.  Data
 * methods hold a pin for one slice (at most a millisecond) of their work; the
 * space of an allocation claimed meanwhile goes back with the last pin, so
 * that it can't be someone else's yet.
 *
 * One lock (LOCK_REGISTRY) guards it all; nothing foreign runs under it.
 */
#ifndef DAEMON_REGISTRY_H
#define DAEMON_REGISTRY_H

#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <vmem.h>

#include "daemon/arena.h"
#include "daemon/htab.h"
#include "proto/methods.h"
#include "util/lock.h"

#define ARENAS_MAX 256		/* hosted at a time */

struct account {		/* all [R] */
	LIST_ENTRY(account) ac_link;
	uid_t ac_uid;
	uint64_t ac_refs;	/* clients and groups */
	uint64_t ac_bytes;
	uint64_t ac_segments;
};

struct alloc;
struct waiter;
struct record_left;

/* A connection, as others see it. */
struct client {
	uint64_t cl_id;			/* [I] */
	uid_t cl_uid;			/* [I] */
	pid_t cl_pid;			/* [I] */
	bool cl_privileged;		/* [I] root, or the daemon's uid */
	struct account *cl_account;	/* [I] */
	TAILQ_ENTRY(client) cl_link;	/* [R] */
	TAILQ_HEAD(, alloc) cl_allocs;	/* [R] that end with it */
	TAILQ_HEAD(, waiter) cl_waiters; /* [R] */
	unsigned int cl_waiter_count;	/* [R] changed by its worker only */
	uint64_t cl_bytes;		/* [R] bound to it */
	uint64_t cl_segments;		/* [R] */
	_Atomic uint64_t cl_requests;
	_Atomic uint64_t cl_backlog;	/* bytes it hasn't read yet */
};

/* Allocations of one uid, in one arena, with one tag. */
struct holding {			/* all [R] but what is [I] */
	LIST_ENTRY(holding) gr_link;	/* of its arena */
	struct hnode gr_node;
	struct arena *gr_arena;		/* [I] */
	struct account *gr_account;	/* [I] */
	TAILQ_HEAD(, alloc) gr_allocs;
	uint64_t gr_refs;		/* allocs, and who is making some */
	char gr_tag[];			/* [I] "": none */
};

/* A range of libvmem's that is shared by pieces: see reg_part.c. */
struct block {
	vmem_addr_t bl_addr;
	vmem_size_t bl_size;
	vmem_size_t bl_left;		/* [R] bytes in pieces that are left */
	bool bl_cached;
};

struct alloc {
	struct hnode al_start;		/* [R] arena's ar_starts */
	struct hnode al_window;		/* [R] arena's ar_windows */
	vmem_addr_t al_addr;		/* changes only while claimed */
	vmem_size_t al_size;		/* rounded; likewise */
	struct holding *al_group;		/* [I] once inserted */
	struct client *al_client;	/* [R] that it ends with, or NULL */
	struct block *al_block;		/* of which it is a piece, or NULL */
	struct record_left *al_left;	/* [R] shared by pieces; or NULL */
	vmem_size_t al_align;		/* that was asked for; 0: none */
	TAILQ_ENTRY(alloc) al_client_link;	/* [R] */
	TAILQ_ENTRY(alloc) al_group_link;	/* [R] */
	unsigned int al_pins;		/* [R] */
	bool al_cached;			/* pairs with vmem_free() */
	bool al_claimed;		/* [R] */
	bool al_release;		/* [R] to go with the last pin */
};

struct registry {
	struct lock rg_lock;
	TAILQ_HEAD(, arena) rg_arenas;
	unsigned int rg_arena_count;
	TAILQ_HEAD(, client) rg_clients;
	TAILQ_HEAD(, waiter) rg_waiters;	/* see wait.h */
	uint64_t rg_client_next;
	uint64_t rg_client_count;
	uint64_t rg_requests_gone;	/* of clients that have ended */
	LIST_HEAD(, account) rg_accounts;
	struct htab rg_groups;
	uint64_t rg_allocs;
	_Atomic uint64_t rg_quota_bytes;	/* 0: none */
	_Atomic uint64_t rg_quota_segments;	/* 0: none */
};

void registry_init(struct registry *rg);
void registry_fini(struct registry *rg);

/* ---- arenas --------------------------------------------------------------
 * reg_arena_add: make it known; its first reference is the registry's own.
 * EEXIST: the name is taken.  EMFILE: ARENAS_MAX.  ENOENT: its source is about
 * to end.
 * reg_arena_get: by name, with a reference; NULL.
 * reg_arena_put: give one back.
 * reg_arena_next: the one after `prev` (NULL: the first), whose reference is
 * put, with a reference; for loops over all.
 * reg_arena_retire: 0: no longer found by name, by the caller who is to
 * finish it with reg_arena_remove().  EBUSY: others are at it, or without
 * `force` it holds allocations or others refer to it.
 * reg_arena_idle: does only the registry's and the caller's reference remain?
 * reg_arena_remove: drop the registry's reference and the caller's, the last;
 * the arena is ended.
 */
int reg_arena_add(struct registry *rg, struct arena *ar);
struct arena *reg_arena_get(struct registry *rg, const char *name);
void reg_arena_ref(struct registry *rg, struct arena *ar);
void reg_arena_put(struct registry *rg, struct arena *ar);
struct arena *reg_arena_next(struct registry *rg, struct arena *prev);
int reg_arena_retire(struct registry *rg, struct arena *ar, bool force);
bool reg_arena_idle(struct registry *rg, struct arena *ar);
void reg_arena_remove(struct registry *rg, struct arena *ar);

/* ---- clients and accounts ------------------------------------------------
 * reg_client_add: NULL without memory.  reg_client_remove: one that is
 * idle: it has neither allocations nor waiters any more.
 */
struct client *reg_client_add(
    struct registry *rg, uid_t uid, pid_t pid, bool privileged);
void reg_client_remove(struct registry *rg, struct client *cl);
bool reg_client_idle(struct registry *rg, struct client *cl);

/*
 * Quotas.  reg_charge counts `segments` ranges of `bytes` in all to the uid,
 * and to the connection unless they are kept.  EDQUOT: over one of the quotas,
 * and nothing is counted.  What is charged is either uncharged, or taken over
 * by reg_insert().
 */
int reg_charge(struct registry *rg, struct client *cl, bool keep,
    uint64_t bytes, uint64_t segments);
void reg_uncharge(struct registry *rg, struct client *cl, bool keep,
    uint64_t bytes, uint64_t segments);

/* ---- allocations ---------------------------------------------------------
 * reg_group_get: the group of this uid, arena and tag (NULL: none), with a
 * reference; NULL without memory.
 * reg_insert: record allocs[0..count), whose address, size, block and cached
 * are filled and whose bytes have been charged.  ENOMEM, and none is recorded.
 */
struct holding *reg_group_get(struct registry *rg, struct arena *ar,
    struct client *cl, const char *tag);
void reg_group_put(struct registry *rg, struct holding *gr);
struct alloc *alloc_new(void);
void alloc_delete(struct alloc *al);	/* one never inserted */
int reg_insert(struct registry *rg, struct holding *gr, struct client *cl,
    bool keep, struct alloc **allocs, size_t count);

/* Who asks, and whether it may reach what is another uid's. */
struct caller {
	uid_t ca_uid;
	bool ca_privileged;
};

/*
 * reg_claim: the allocation that starts at addr.  ENOENT: none does; EINVAL:
 * its size (rounded) isn't `size` (0: any); EPERM: it is another uid's.
 * reg_claim_client: up to max of a connection's own, whatever they are.
 * reg_claim_matching: up to max in the arena, of the uid (or of everyone),
 * with the tag (NULL: with any).
 */
int reg_claim(struct registry *rg, struct arena *ar, const struct caller *ca,
    vmem_addr_t addr, vmem_size_t size, struct alloc **alp);
size_t reg_claim_client(struct registry *rg, struct client *cl,
    struct alloc **allocs, size_t max);
size_t reg_claim_matching(struct registry *rg, struct arena *ar, uid_t uid,
    bool everyone, const char *tag, struct alloc **allocs, size_t max);
uint64_t reg_count_matching(struct registry *rg, struct arena *ar, uid_t uid,
    bool everyone, const char *tag);
void reg_unclaim(struct registry *rg, struct alloc *al);
void reg_release(struct registry *rg, struct alloc *al);

/*
 * reg_free_part: give back [addr, addr + size) of the allocation that it lies
 * in.  ENOENT: in none; EINVAL: not aligned to the quantum, or it reaches
 * beyond the allocation; EPERM; EAGAIN: pinned, try again soon; ENOMEM.
 */
int reg_free_part(struct registry *rg, struct arena *ar,
    const struct caller *ca, vmem_addr_t addr, vmem_size_t size);

/* reg_pin: the allocation that addr lies in.  ENOENT, EPERM. */
int reg_pin(struct registry *rg, struct arena *ar, const struct caller *ca,
    vmem_addr_t addr, struct alloc **alp);
void reg_unpin(struct registry *rg, struct alloc *al);

/* For dumps: what is recorded at exactly that address. */
struct alloc_info {
	vmem_size_t ai_size;
	uid_t ai_uid;
	uint64_t ai_client;	/* 0: kept, ends with none */
	char ai_tag[PROTO_TAG_MAX + 1];
};
bool reg_describe(struct registry *rg, struct arena *ar, vmem_addr_t addr,
    struct alloc_info *ai);

#endif /* DAEMON_REGISTRY_H */
