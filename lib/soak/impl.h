/*
 * impl.h - what the two loops of a worker share (worker.c, plain.h).
 */
#ifndef SOAK_IMPL_H
#define SOAK_IMPL_H

#include "soak/soak.h"
#include "util/ticks.h"

#define SOAK_FNV UINT64_C(0x100000001b3)

/* One writer, so that load and store need not be one step. */
static inline void
soak_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter,
	    atomic_load_explicit(counter, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

/* An operation and what came of it, into the event hash. */
static inline void
soak_hash(struct soak_worker *sw, enum job_op op, uint64_t size,
    uint64_t addr, enum soak_outcome outcome)
{
	uint64_t hash = sw->sw_hash ^ size << 8 ^ (uint64_t)op << 4 ^
	    (uint64_t)outcome;

	hash = (hash ^ hash >> 32) * SOAK_FNV;
	if (sw->sw_hash_addresses && outcome == SOAK_DONE)
		hash = (hash ^ (addr - sw->sw_space.sp_base)) * SOAK_FNV;
	sw->sw_hash = hash;
}

/* Of an operation that isn't done: count it, or make it a finding. */
void soak_account(struct soak_worker *sw, enum soak_outcome outcome,
    const struct soak_result *sr);

/* The oracles of owners and wishes, and the memory of frees. */
bool soak_claim(struct soak_worker *sw, const struct job_range *ra);
void soak_disown(struct soak_worker *sw, const struct job_range *ra);
void soak_wish_broken(struct soak_worker *sw, const char *wish,
    const struct job_want *jw, const struct job_range *ra);

#define SOAK_QUANTA_BITS 24
#define SOAK_QUANTA_MASK ((UINT64_C(1) << SOAK_QUANTA_BITS) - 1)

static inline uint64_t
soak_quanta(uint64_t size, uint64_t quantum)
{
	uint64_t quanta = size >> __builtin_ctzll(quantum);

	return (quanta < SOAK_QUANTA_MASK ? quanta : SOAK_QUANTA_MASK);
}

static inline void
soak_remember_free(struct soak_worker *sw, uint64_t addr, uint64_t size)
{
	struct soak_tally *ta = sw->sw_tally;
	uint64_t n = atomic_load_explicit(
	    &ta->ta_freed_count, memory_order_relaxed);

	ta->ta_freed[n % SOAK_FREED] = (struct soak_freed) { addr,
		sw->sw_op << SOAK_QUANTA_BITS |
		    soak_quanta(size, sw->sw_space.sp_quantum) };
	/* Release: with the count comes the entry. */
	atomic_store_explicit(
	    &ta->ta_freed_count, n + 1, memory_order_release);
}

/* When an oracle began, or 0: some are timed, all are counted. */
static inline uint64_t
soak_oracle_begin(struct soak_worker *sw, enum soak_oracle oracle)
{
	if (sw->sw_oracle_untimed[oracle]-- != 0)
		return (0);
	sw->sw_oracle_untimed[oracle] = sw->sw_oracle_every - 1;
	return (ticks_now());
}

static inline void
soak_oracle_timed(
    struct soak_worker *sw, enum soak_oracle oracle, uint64_t from)
{
	struct soak_tally *ta = sw->sw_tally;

	if (from == 0)
		return;
	soak_add(&ta->ta_oracle_timed[oracle], 1);
	soak_add(&ta->ta_oracle_ns[oracle], ticks_ns(ticks_now() - from));
}

static inline void
soak_oracle_end(struct soak_worker *sw, enum soak_oracle oracle, uint64_t from)
{
	soak_add(&sw->sw_tally->ta_oracle_count[oracle], 1);
	soak_oracle_timed(sw, oracle, from);
}

#endif /* SOAK_IMPL_H */
