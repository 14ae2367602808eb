/*
 * model.h - the older designs, and libvmem, behind one table of operations.
 *
 * DESIGN 1 argues that one structure which both hands out a kernel's addresses
 * and serves its page faults leads to a chain of troubles (A-1, A-2, A-3, B,
 * C), and that a vmem arena, with a fault map beside it, has none of them.
 * Here each design is small enough to be read, does what it did, and counts:
 *
 *	kernel_map	map entries: kmap.h
 *	vacache		the same, and caches of page addresses before it
 *	pools		the same, and pools of large pages before it
 *	kmem		the kmem size table over one of: kernel_map, pools, vmem
 *	vmem		libvmem in the layering of the daemon
 *
 * Addresses are numbers: nothing is mapped.  Records (map entries, anons,
 * boundary tags) are real memory.  What a design would need at a time when it
 * can't be had is counted and then had all the same, from a rescue that no
 * kernel has, so that the run goes on: a deadlock is a number here, never a
 * process that hangs.
 */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_PAGE 4096u
#define MODEL_NAME_MAX 64
#define MODEL_POOL_SIZES 13	/* 4 KiB, and the patch's 8 KiB ... 16 MiB */

/* What an operation of the trace is doing, when memory is asked for. */
enum model_phase {
	PHASE_CREATE,	/* before the first operation */
	PHASE_ALLOC,
	PHASE_FREE,	/* of a whole allocation */
	PHASE_PART,	/* of a part */
	PHASE_FAULT,
	PHASES
};

/* DESIGN 1's claims. */
enum model_claim { CLAIM_A1, CLAIM_A2, CLAIM_A3, CLAIM_B, CLAIM_C, CLAIMS };
extern const char *const model_claim_names[CLAIMS];

enum model_kind { MODEL_KMAP, MODEL_VACACHE, MODEL_POOLS, MODEL_KMEM,
	MODEL_VMEM };

/* How a map makes sure of entries: DESIGN 2's three schemes. */
enum model_reserve { RESERVE_NONE, RESERVE_TWO, RESERVE_STASH, RESERVE_PAGE };

/* A model and its toggles, as its name says: "kernel_map+self+page". */
struct model_spec {
	char sp_name[MODEL_NAME_MAX];
	enum model_kind sp_kind;
	enum model_kind sp_over;	/* kmem: over which */
	enum model_reserve sp_reserve;
	bool sp_nomerge;	/* neighbouring entries stay apart */
	bool sp_self;		/* entries live in what the map maps */
	bool sp_low;		/* vacache: low multiples of the page, too */
	bool sp_direct;		/* vmem: the direct map is on */
	uint64_t sp_va_size;	/* addresses to hand out */
	uint64_t sp_records_max; /* a shortage: as many records at most, once
				 * the model is made; 0: no bound */
};

/*
 * Counted as it happens.  Relaxed atomics, since several threads count;
 * nothing is ordered by them.
 */
struct model_counts {
	_Atomic uint64_t ct_asked[PHASES];	/* records asked for */
	_Atomic uint64_t ct_failed[PHASES];	/* and not had */
	_Atomic uint64_t ct_made;	/* reservations: records set aside */
	_Atomic uint64_t ct_unused;	/* of them not needed after all */
	_Atomic uint64_t ct_exhausted;	/* times a reserve didn't have it */
	_Atomic uint64_t ct_deadlocks[PHASES];	/* an entry to get an entry;
					 * in a fault: the map, to fault */
	_Atomic uint64_t ct_depth;	/* deepest VA allocation within one */
	_Atomic uint64_t ct_merges;
	_Atomic uint64_t ct_splits;
	_Atomic uint64_t ct_faults;
	_Atomic uint64_t ct_steps;	/* entries looked at by faults */
	_Atomic uint64_t ct_retries;	/* faults begun anew */
	_Atomic uint64_t ct_kept;	/* bytes of parts kept back */
	_Atomic uint64_t ct_first[CLAIMS];	/* operation, from 1; 0: none */
};

struct model_stat {
	uint64_t ms_record_size;	/* bytes of one */
	uint64_t ms_records;		/* in use: entries, or boundary tags */
	uint64_t ms_records_peak;	/* that there was memory for */
	uint64_t ms_bytes;		/* of records in use, tables, headers */
	uint64_t ms_held;		/* memory held for them */
	uint64_t ms_extent;		/* addresses ever reached into */
	uint64_t ms_stash;		/* records set aside, in ms_records */
	struct {
		uint64_t pp_size;	/* of a pool page; 0: unused row */
		uint64_t pp_bytes;	/* in such pages, most ever */
		uint64_t pp_waste;	/* of them not for items, then */
	} ms_pool[MODEL_POOL_SIZES];
};

struct model;

/* What is known of a range, the same when it is allocated and freed. */
#define MODEL_PAGEABLE 0x1u	/* it will take faults */
#define MODEL_ALIGNED 0x2u	/* to more than its size's own caches do */

/*
 * The operations.  Errors: 0, ENOMEM.  A free that fails has changed nothing,
 * and may be tried again.
 *
 * mo_alloc	`size` > 0 bytes; align a power of two or 0
 * mo_free	all of one piece: what mo_alloc() gave, or what mo_part() left
 * mo_part	a page-aligned part of one piece of what was `whole` bytes.
 *		EBUSY: it is kept; free what mo_alloc() gave when the last of
 *		it is to go
 * mo_fault	a page of a pageable piece is touched
 * mo_tick	the time now, in ns
 * mo_check	every invariant: NULL, or what is wrong
 */
struct model_ops {
	int (*mo_alloc)(struct model *m, uint64_t size, uint64_t align,
	    unsigned int how, uint64_t *addrp);
	int (*mo_free)(
	    struct model *m, uint64_t addr, uint64_t size, unsigned int how);
	int (*mo_part)(struct model *m, uint64_t addr, uint64_t size,
	    uint64_t whole, unsigned int how);
	int (*mo_fault)(struct model *m, uint64_t addr);
	void (*mo_tick)(struct model *m, uint64_t now_ns);
	void (*mo_stat)(struct model *m, struct model_stat *ms);
	const char *(*mo_check)(struct model *m);
	void (*mo_destroy)(struct model *m);
};

/* What every model begins with. */
struct model {
	const struct model_ops *m_ops;
	struct model_spec m_spec;
	struct model_counts *m_counts;	/* its own, or those of the one below */
	struct model_counts m_own;
};

/* Of a name: 0; or EINVAL, and `why` says what is wrong with it. */
#define MODEL_WHY_MAX 160
int model_parse(
    const char *name, struct model_spec *spec, char why[MODEL_WHY_MAX]);
/* The names that are compared when none are asked for; NULL ends them. */
extern const char *const model_defaults[];
/* One line about it. */
const char *model_about(const struct model_spec *spec);

/* ENOMEM.  A libvmem model can be made once in a process. */
int model_create(const struct model_spec *spec, struct model **mp);
void model_destroy(struct model *m);

/* ---- for the models ----------------------------------------------------- */

/* The operation that this thread is at: set by whoever runs the model. */
struct model_context {
	uint64_t cx_op;			/* from 1 */
	enum model_phase cx_phase;
	unsigned int cx_depth;		/* allocations of VA under way */
};
extern _Thread_local struct model_context model_context;

static inline void
model_count(_Atomic uint64_t *counter)
{
	(void)atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline void
model_add(_Atomic uint64_t *counter, uint64_t n)
{
	(void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline uint64_t
model_read(const _Atomic uint64_t *counter)
{
	return (atomic_load_explicit(counter, memory_order_relaxed));
}

/* It shows here, at the operation under way; the first time is kept. */
void model_shows(struct model *m, enum model_claim claim);

/* A record was asked for (and, `failed`, not had) in the phase under way.
 * Whether a free couldn't do without is for the caller to show. */
void model_asked(struct model *m, bool failed);

/* An allocation of VA begins and ends: how deep they are nested. */
void model_enter_va(struct model *m);
void model_leave_va(void);

void model_init(struct model *m, const struct model_ops *ops,
    const struct model_spec *spec);

/* The makers, one a kind. */
int kmap_model_create(const struct model_spec *spec, struct model **mp);
int cached_model_create(const struct model_spec *spec, struct model **mp);
int vmem_model_create(const struct model_spec *spec, struct model **mp);

#endif /* MODELS_MODEL_H */
