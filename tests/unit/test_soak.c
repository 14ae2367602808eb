/*
 * Goal: what a soak relies on: owners are told apart whatever the edges and
 * the threads; what is handed over arrives once; sums survive JSON exactly;
 * and the loop finds what a broken target does.
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

enum lie { HONEST, TWICE, OUTSIDE, SMALL, CROSSING, MISALIGNED, ELSEWHERE };

struct liar {
	enum lie lie;
	uint64_t next;		/* a counter hands out addresses */
	uint64_t after;		/* allocations, before it lies */
	uint64_t live;
};

#define LIAR_BASE (UINT64_C(1) << 32)
#define LIAR_SIZE (UINT64_C(1) << 34)

static enum soak_outcome
liar_alloc(struct soak_worker *sw, const struct job_want *jw,
    struct job_range *ra, struct soak_result *sr)
{
	struct liar *li = sw->sw_own;
	bool lies = li->after == 0;

	(void)sr;
	li->after -= !lies;
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
		ra->ra_addr = job_stream_at(&sw->sw_stream, 0)->ra_addr;
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

static const struct soak_target liar_target = { .st_alloc = liar_alloc,
	.st_free = liar_free };

/* Run a job on a liar; the first finding, to be freed, or NULL. */
static char *
run_liar(const char *text, enum lie lie, uint64_t *hashp)
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
		.sw_target = &liar_target, .sw_own = &li, .sw_control = co,
		.sw_tally = ta, .sw_owners = &ow, .sw_hash_addresses = true,
		.sw_space = { LIAR_BASE + LIAR_SIZE / 2, LIAR_SIZE / 2,
		    4096 } };
	assert_int_equal(soak_worker_run(sw), 0);
	*hashp = atomic_load(&ta->ta_hash);
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
	uint64_t hash, again;
	char *found = run_liar("[global]\nops = 5000\nverify = overlap\n"
	    "seed = 3\n[a]\nlive = 100\n", HONEST, &hash);

	(void)state;
	if (found != NULL)
		fail_msg("an honest target: %s", found);
	assert_null(run_liar("[global]\nops = 5000\nverify = overlap\n"
	    "seed = 3\n[a]\nlive = 100\n", HONEST, &again));
	assert_int_equal(hash, again);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), "[global]\nops = 5000\n"
		    "verify = overlap\n[a]\n%s%s",
		    strstr(lies[i].extra, "live") == NULL ? "live = 100\n" :
		    "", lies[i].extra);
		found = run_liar(text, lies[i].lie, &hash);
		if (found == NULL || strstr(found, lies[i].says) == NULL)
			fail_msg("lie %d: \"%s\" doesn't say \"%s\"",
			    (int)lies[i].lie, found != NULL ? found : "",
			    lies[i].says);
		assert_non_null(strstr(found, "a/0 operation "));
		free(found);
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
	};

	job_setup();
	(void)printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
