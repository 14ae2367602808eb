/*
 * Goal: what a soak relies on: owners are told apart whatever the edges and
 * the threads; what is handed over arrives once; sums survive JSON exactly;
 * the loop finds what a broken target does; and that of plain workers does what
 * the other does.
 * Method: owners against a naive array, with a seed; four threads at each end
 * of a queue; a target over a counter that lies on demand.
 */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "soak/plain.h"
#include "soak/soak.h"
#include "soak/sum.h"

#define SEED 20261127u

/* ---- owners ------------------------------------------------------------- */

static void
test_owners_model(void **state)
{
	enum { QUANTA = 97, Q = 16 };
	const uint64_t base = 160;
	unsigned char model[QUANTA] = { 0 };
	struct owners_conflict oc;
	struct owners ow;
	struct rng rng;

	(void)state;
	rng_init(&rng, SEED);
	assert_int_equal(owners_init(&ow, base, QUANTA * Q, Q), 0);
	for (unsigned int step = 0; step < 200000; step++) {
		uint64_t from = rng_below(&rng, QUANTA);
		uint64_t n = 1 + rng_below(&rng, 20);
		unsigned int owner = 1 + (unsigned int)rng_below(&rng, 3);
		bool release = (rng_next(&rng) & 1) != 0, fine;
		unsigned int want = release ? owner : 0;
		enum owners_error error;
		uint64_t i;

		error = (release ? owners_release : owners_claim)(&ow,
		    base + from * Q, n * Q, owner, &oc);
		if (from + n > QUANTA) {
			assert_int_equal(error, OWNERS_OUTSIDE);
			continue;
		}
		for (i = from; i < from + n && model[i] == want; i++)
			;
		fine = i == from + n;
		assert_int_equal(error == OWNERS_OK, fine);
		if (!fine) {
			assert_int_equal(oc.oc_addr, base + i * Q);
			assert_int_equal(oc.oc_owner, model[i]);
			continue;
		}
		memset(model + from, release ? 0 : (int)owner, n);
		i = rng_below(&rng, QUANTA);
		assert_int_equal(owners_of(&ow, base + i * Q + 3), model[i]);
	}
	for (unsigned int owner = 1; owner <= 3; owner++) {
		uint64_t n = 0;

		for (unsigned int i = 0; i < QUANTA; i++)
			n += model[i] == owner;
		assert_int_equal(owners_clear(&ow, owner), n);
	}
	assert_int_equal(owners_claim(&ow, base, QUANTA * Q, 255, &oc), 0);
	owners_fini(&ow);
}

static void
test_owners_edges(void **state)
{
	const uint64_t top = UINT64_MAX - 4095;
	struct owners_conflict oc;
	struct owners ow;

	(void)state;
	assert_int_not_equal(owners_init(&ow, 0, 0, 1), 0);
	assert_int_not_equal(owners_init(&ow, 0, 4096, 3), 0);
	assert_int_not_equal(owners_init(&ow, 0, UINT64_MAX, 1), 0);
	assert_int_equal(owners_init(&ow, top - 4096, 8192, 4096), 0);
	assert_int_equal(owners_claim(&ow, top, 4096, 1, &oc), OWNERS_OK);
	assert_int_equal(
	    owners_claim(&ow, top, 8192, 1, &oc), OWNERS_OUTSIDE);
	assert_int_equal(
	    owners_claim(&ow, top - 4096, 100, 1, &oc), OWNERS_UNALIGNED);
	assert_int_equal(
	    owners_claim(&ow, top - 4096, 8192, 2, &oc), OWNERS_TAKEN);
	assert_int_equal(oc.oc_addr, top);
	assert_int_equal(owners_of(&ow, top - 1), 0);
	owners_fini(&ow);
}

/* ---- handover ----------------------------------------------------------- */

#define GIVEN 20000u

struct ends {
	struct handover *ho;
	uint64_t sum;
	uint64_t from;
};

static void *
give_all(void *arg)
{
	struct ends *en = arg;

	for (uint64_t i = 0; i < GIVEN; i++) {
		const struct job_range ra = { .ra_addr = en->from + i };

		while (!handover_give(en->ho, &ra))
			(void)sched_yield();
		en->sum += ra.ra_addr;
	}
	handover_leave(en->ho);
	return (NULL);
}

static void *
take_all(void *arg)
{
	struct ends *en = arg;
	struct job_range ra;

	while (!handover_over(en->ho)) {
		if (handover_take(en->ho, &ra))
			en->sum += ra.ra_addr;
		else
			(void)sched_yield();
	}
	return (NULL);
}

static void
test_handover_threads(void **state)
{
	struct handover *ho =
	    aligned_alloc(_Alignof(struct handover), sizeof(*ho));
	struct ends ends[8];
	pthread_t threads[8];
	uint64_t given = 0, taken = 0;

	(void)state;
	assert_non_null(ho);
	memset(ho, 0, sizeof(*ho));
	handover_init(ho, 4);
	for (unsigned int i = 0; i < 8; i++) {
		ends[i] = (struct ends) { ho, 0, i * UINT64_C(1000000) };
		assert_int_equal(pthread_create(&threads[i], NULL,
		    i < 4 ? give_all : take_all, &ends[i]), 0);
	}
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		if (i < 4)
			given += ends[i].sum;
		else
			taken += ends[i].sum;
	}
	assert_int_equal(given, taken);
	free(ho);
}

/* ---- sums --------------------------------------------------------------- */

static void
test_sums_there_and_back(void **state)
{
	struct soak_sum *sums = calloc(3, sizeof(*sums));
	struct rng rng;
	json_t *tree;
	char *text;

	(void)state;
	assert_non_null(sums);
	rng_init(&rng, SEED);
	soak_sum_init(&sums[0]);
	sums[0].su_ops = 12;
	sums[0].su_counts[JOB_FREE] = 5;
	sums[0].su_causes[JOB_QUOTA] = 3;
	sums[0].su_causes[JOB_EXISTS] = 4;
	sums[0].su_hash = rng_next(&rng);
	for (unsigned int i = 0; i < 10000; i++)
		hist_record(&sums[0].su_latency[JOB_ALLOC],
		    rng_next(&rng) >> (24 + rng_below(&rng, 40)));
	tree = soak_sum_json(&sums[0]);
	text = json_dumps(tree, JSON_COMPACT);
	json_decref(tree);
	tree = json_loads(text, 0, NULL);
	assert_int_equal(soak_sum_parse(tree, &sums[1]), 0);
	assert_memory_equal(&sums[0].su_latency[JOB_ALLOC],
	    &sums[1].su_latency[JOB_ALLOC], sizeof(struct hist));
	assert_int_equal(sums[1].su_hash, sums[0].su_hash);
	assert_int_equal(soak_sum_fails(&sums[1]), 3);
	soak_sum_init(&sums[2]);
	soak_sum_add(&sums[2], &sums[0]);
	soak_sum_add(&sums[2], &sums[1]);
	assert_int_equal(sums[2].su_ops, 24);
	assert_int_equal(sums[2].su_latency[JOB_ALLOC].hi_count, 20000);
	hist_subtract(&sums[2].su_latency[JOB_ALLOC],
	    &sums[0].su_latency[JOB_ALLOC]);
	assert_memory_equal(sums[2].su_latency[JOB_ALLOC].hi_buckets,
	    sums[1].su_latency[JOB_ALLOC].hi_buckets,
	    sizeof(sums[1].su_latency[JOB_ALLOC].hi_buckets));
	assert_int_not_equal(
	    soak_sum_parse(json_object_get(tree, "fails"), &sums[1]), 0);
	json_decref(tree);
	free(text);
	for (unsigned int i = 0; i < 3; i++)
		soak_sum_fini(&sums[i]);
	free(sums);
}

/* ---- the loop, and a target that lies ----------------------------------- */

enum lie { HONEST, FULL, TWICE, OUTSIDE, SMALL, CROSSING, MISALIGNED, ELSEWHERE };

struct liar {
	enum lie lie;
	uint64_t next;		/* a counter hands out addresses */
	uint64_t after;		/* allocations, before it lies */
	uint64_t live, asked;
};

#define LIAR_BASE (UINT64_C(1) << 32)
#define LIAR_SIZE (UINT64_C(1) << 34)

static enum soak_outcome
liar_alloc(struct soak_worker *sw, const struct job_want *jw,
    struct job_range *ra, struct soak_result *sr)
{
	struct liar *li = sw->sw_own;
	bool lies = li->after == 0;

	li->after -= !lies;
	/* One in 7 is refused, now and then some in a row. */
	if (lies && li->lie == FULL && ++li->asked % 64 < 10) {
		sr->sr_cause = JOB_NO_SPACE;
		return (SOAK_FAILED);
	}
	li->next = (li->next + 0xfffff) & ~UINT64_C(0xfffff);
	ra->ra_addr = jw->jw_at ? jw->jw_min : li->next;
	ra->ra_size = (jw->jw_size + 4095) & ~UINT64_C(4095);
	if (jw->jw_max != UINT64_MAX && !jw->jw_at)
		ra->ra_addr = (jw->jw_min + 4095) & ~UINT64_C(4095);
	li->next += ra->ra_size;
	li->live++;
	if (!lies)
		return (SOAK_DONE);
	if (li->lie == TWICE)
		ra->ra_addr = sw->sw_stream.st_places[0].pl_addr;
	else if (li->lie == OUTSIDE)
		ra->ra_addr = LIAR_BASE - 4096;
	else if (li->lie == SMALL)
		ra->ra_size -= 4096;
	else if (li->lie == CROSSING && jw->jw_nocross != 0)
		ra->ra_addr += jw->jw_nocross - 4096;
	else if (li->lie == MISALIGNED && jw->jw_align > 4096)
		ra->ra_addr += 4096;
	else if (li->lie == ELSEWHERE && jw->jw_at)
		ra->ra_addr = li->next + (UINT64_C(1) << 33);
	return (SOAK_DONE);
}

static enum soak_outcome
liar_free(struct soak_worker *sw, const struct job_range *ra,
    struct soak_result *sr)
{
	struct liar *li = sw->sw_own;

	(void)ra;
	(void)sr;
	li->live--;
	return (SOAK_DONE);
}

SOAK_INLINE enum soak_outcome
liar_get(struct soak_worker *sw, uint64_t size, struct job_range *ra,
    struct soak_result *sr)
{
	const struct job_want jw = { .jw_size = size, .jw_max = UINT64_MAX };

	return (liar_alloc(sw, &jw, ra, sr));
}

SOAK_INLINE void
liar_put(struct soak_worker *sw, uint64_t addr, uint64_t size)
{
	(void)addr;
	(void)size;
	(void)liar_free(sw, NULL, NULL);
}

SOAK_INLINE void
liar_note(struct soak_tape *tape, enum job_op op, uint64_t ticks,
    uint64_t addr, uint64_t size)
{
	(void)tape;
	(void)op;
	(void)ticks;
	(void)addr;
	(void)size;
}

static void
liar_plain(struct soak_worker *sw, unsigned int n)
{
	soak_plain(sw, n, liar_get, liar_put, NULL, liar_note);
}

/* Without and with a loop of its own for plain workers. */
static const struct soak_target liar_targets[2] = {
	{ .st_alloc = liar_alloc, .st_free = liar_free },
	{ .st_alloc = liar_alloc, .st_free = liar_free,
	    .st_plain = liar_plain },
};

/* What of a run the loops must agree in. */
struct outcome {
	uint64_t hash, ops, counts[2], timed[2], failed, freed;
};

/* Run a job on a liar; the first finding, to be freed, or NULL. */
static char *
run_liar(const char *text, enum lie lie, bool plain, struct outcome *oc)
{
	struct liar li = { .lie = lie, .next = LIAR_BASE, .after = 50 };
	struct soak_control *co = calloc(1, sizeof(*co));
	struct soak_tally *ta = calloc(1, sizeof(*ta));
	struct soak_worker *sw = calloc(1, sizeof(*sw));
	struct job_error err;
	struct owners ow;
	struct job *job;
	char *found;

	assert_int_equal(job_parse(text, "liar", &job, &err), 0);
	assert_int_equal(owners_init(&ow, LIAR_BASE, LIAR_SIZE, 4096), 0);
	assert_true(co != NULL && ta != NULL && sw != NULL);
	soak_tally_init(ta);
	*sw = (struct soak_worker) { .sw_job = job,
		.sw_group = &job->jo_groups[0], .sw_owner = 1,
		.sw_target = &liar_targets[plain], .sw_own = &li, .sw_control = co,
		.sw_tally = ta,
		.sw_owners = job->jo_verify == JOB_VERIFY_OFF ? NULL : &ow,
		.sw_hash_addresses = true,
		.sw_space = { LIAR_BASE + LIAR_SIZE / 2, LIAR_SIZE / 2,
		    4096 } };
	assert_int_equal(soak_worker_run(sw), 0);
	*oc = (struct outcome) { atomic_load(&ta->ta_hash),
		atomic_load(&ta->ta_ops), { ta->ta_counts[JOB_ALLOC],
		    ta->ta_counts[JOB_FREE] },
		{ ta->ta_latency[JOB_ALLOC].hi_count,
		    ta->ta_latency[JOB_FREE].hi_count },
		ta->ta_causes[JOB_NO_SPACE], ta->ta_freed_count };
	found = co->co_first[0] != '\0' ? strdup(co->co_first) : NULL;
	if (found == NULL) {
		assert_int_equal(atomic_load(&ta->ta_live_bytes), 0);
		assert_int_equal(li.live, 0);
		assert_int_equal(owners_clear(&ow, 1), 0);
	}
	owners_fini(&ow);
	job_free(job);
	free(co);
	free(ta);
	free(sw);
	return (found);
}

static const struct {
	enum lie lie;
	const char *extra, *says;
} lies[] = {
	{ TWICE, "", "overlap" },
	{ OUTSIDE, "", "outside of the arena" },
	{ SMALL, "sizes = fixed:8K\n", "size: asked for 8192" },
	{ CROSSING, "nocross = 1\nsizes = fixed:8K\n", "nocross: asked" },
	{ MISALIGNED, "align = 1\n", "align: asked" },
	{ ELSEWHERE, "at = 1\nlive = 1\n", "at: asked" },
};

static void
test_lies_are_found(void **state)
{
	struct outcome oc, again;
	char *found = run_liar("[global]\nops = 5000\nverify = overlap\n"
	    "seed = 3\n[a]\nlive = 100\n", HONEST, false, &oc);

	(void)state;
	if (found != NULL)
		fail_msg("an honest target: %s", found);
	assert_null(run_liar("[global]\nops = 5000\nverify = overlap\n"
	    "seed = 3\n[a]\nlive = 100\n", HONEST, false, &again));
	assert_int_equal(oc.hash, again.hash);
	for (size_t i = 0; i < 2 * sizeof(lies) / sizeof(lies[0]); i++) {
		const size_t which = i / 2;
		char text[256];

		(void)snprintf(text, sizeof(text), "[global]\nops = 5000\n"
		    "verify = overlap\n[a]\ntouch = 0\n%s%s",
		    strstr(lies[which].extra, "live") == NULL ?
		    "live = 100\n" : "", lies[which].extra);
		found = run_liar(text, lies[which].lie, i % 2 != 0, &oc);
		if (found == NULL || strstr(found, lies[which].says) == NULL)
			fail_msg("lie %d: \"%s\" doesn't say \"%s\"",
			    (int)lies[which].lie, found != NULL ? found : "",
			    lies[which].says);
		assert_non_null(strstr(found, "a/0 operation "));
		free(found);
	}
}

/* The loop of plain workers does what the other does. */
static void
test_loops_agree(void **state)
{
	static const char *const sizes[] = { "fixed:8K", "uniform:4K-64K",
		"loguniform:4K-1M", "list:4K*3,12K*1" };
	static const char *const lifetimes[] = { "random", "lifo", "fifo" };

	(void)state;
	for (unsigned int i = 0; i < 4 * 3 * 2 * 2; i++) {
		struct outcome ways[2];
		char text[256];

		(void)snprintf(text, sizeof(text), "[global]\nops = %u\n"
		    "verify = %s\nseed = %u\n[a]\ntouch = 0\nlive = %u\n"
		    "sizes = %s\nlifetime = %s\n", 5001 + i,
		    i % 2 != 0 ? "overlap" : "off", i, 1 + 13 * i,
		    sizes[i / 4 % 4], lifetimes[i / 16]);
		for (unsigned int way = 0; way < 2; way++) {
			char *found = run_liar(text,
			    i / 2 % 2 != 0 ? FULL : HONEST, way != 0,
			    &ways[way]);

			if (found != NULL)
				fail_msg("%s: %s", text, found);
		}
		assert_memory_equal(&ways[0], &ways[1], sizeof(ways[0]));
		assert_int_equal(ways[0].ops, 5001 + i);
		/* Every operation is timed. */
		assert_int_equal(ways[0].timed[0], ways[0].counts[0]);
		assert_int_equal(ways[0].timed[1], ways[0].counts[1]);
		assert_int_equal(ways[0].counts[0],
		    ways[0].counts[1] + ways[0].failed);
		assert_int_equal(ways[0].freed, i % 2 != 0 ?
		    ways[0].counts[1] : 0);
		assert_true((ways[0].failed > 0) == (i / 2 % 2 != 0));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners_model),
		cmocka_unit_test(test_owners_edges),
		cmocka_unit_test(test_handover_threads),
		cmocka_unit_test(test_sums_there_and_back),
		cmocka_unit_test(test_lies_are_found),
		cmocka_unit_test(test_loops_agree),
	};

	job_setup();
	(void)printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
