/*
 * Goal: several threads on one model lose nothing and break nothing.
 * Method: a random trace, whose ids are shared out, run through every model by
 * four threads, each in a process of its own; then the model's invariants, and
 * the number of operations done.  Under TSan this is what finds a race.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "models/run.h"
#include "util/rng.h"

#define LIVE 300u
#define OPS 12000u
#define THREADS 4u

static struct trace_op ops[OPS];
static struct trace trace = { .tr_ops = ops };

/* Fill up, then free a random one and allocate one in turn. */
static void
make_trace(uint64_t seed)
{
	static struct { uint32_t id; uint64_t size; } live[LIVE];
	unsigned int n = 0;
	struct rng rng;

	rng_init(&rng, seed);
	while (trace.tr_nops < OPS) {
		struct trace_op *op = &ops[trace.tr_nops++];

		op->op_line = trace.tr_nops;
		if (n < LIVE) {
			live[n].size = 4096 * (1 + rng_below(&rng, 40));
			live[n].id = ++trace.tr_allocs;
			op->op_kind = TRACE_ALLOC;
			op->op_id = live[n].id;
			op->op_size = live[n++].size;
		} else {
			unsigned int i = (unsigned int)rng_below(&rng, n);

			op->op_kind = TRACE_FREE;
			op->op_id = live[i].id;
			live[i] = live[--n];
			trace.tr_frees++;
		}
	}
}

static int
run_model(const char *name)
{
	const struct run_config rc = { .rc_trace = &trace, .rc_nops = OPS,
		.rc_pageable = 25, .rc_threads = THREADS };
	struct run_result *rr = malloc(sizeof(*rr));
	char why[MODEL_WHY_MAX];
	struct model_spec spec;
	struct model *m;
	const char *wrong;

	if (rr == NULL || model_parse(name, &spec, why) != 0)
		return (1);
	/* A smaller space than the default: a sanitizer's shadow of the fault
	 * map is dear. */
	spec.sp_va_size = UINT64_C(1) << 30;
	if (model_create(&spec, &m) != 0 || run_trace(m, &rc, rr) != 0)
		return (2);
	wrong = m->m_ops->mo_check(m);
	if (wrong != NULL)
		(void)fprintf(stderr, "%s: %s\n", name, wrong);
	if (wrong != NULL || rr->rr_alloc_fails != 0 || rr->rr_free_fails != 0)
		return (3);
	return (rr->rr_allocs == trace.tr_allocs &&
	    rr->rr_frees == trace.tr_frees ? 0 : 4);
}

static void
test_every_model(void **state)
{
	uint64_t seed = (uint64_t)getpid();

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	make_trace(seed);
	for (size_t i = 0; model_defaults[i] != NULL; i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(run_model(model_defaults[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("%s: status %#x", model_defaults[i],
			    (unsigned int)status);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
	    test_every_model) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
