/*
 * Goal: a recording is a sound trace whatever threads do: every operation once,
 * a range freed before anybody has it again, ids from 1 on in order; it ends
 * whole when it is stopped in the middle of things; and a file that can't grow
 * holds up nobody.
 * Method: events told by hand, line by line; random events against a naive
 * table, with a seed; threads that free each other's ranges in an arena that
 * is always full, whose trace may never hold more than there is.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/arena.h"
#include "daemon/record.h"
#include "daemon/tape.h"
#include "trace/trace.h"
#include "util/rng.h"

#define SEED 20261128u
#define QUANTUM 4096u
#define QUANTA 64u
#define BASE (UINT64_C(1) << 40)

static struct arena *arena;
static char path[64];

static int
new_file(void)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	(void)snprintf(path, sizeof(path), "%s/record.XXXXXX",
	    dir != NULL && strlen(dir) < 40 ? dir : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	return (fd);
}

static void
begin(void)
{
	const struct arena_spec spec = { .as_name = "test",
		.as_kind = ARENA_IDENTIFIERS, .as_base = BASE,
		.as_size = QUANTA * QUANTUM, .as_quantum = QUANTUM };

	assert_int_equal(arena_make(NULL, &spec, &arena), 0);
}

static void
end(void)
{
	(void)arena_unmake(arena);
	(void)unlink(path);
}

/* The operations of a file, "a 1 4096;f 1;"; to be freed. */
static char *
lines_of(const char *name)
{
	FILE *in = fopen(name, "re");
	char *text = calloc(1, 1 << 20), line[128];

	assert_non_null(in);
	assert_non_null(text);
	while (fgets(line, sizeof(line), in) != NULL) {
		if (line[0] == '#')
			continue;
		line[strcspn(line, "\n")] = ';';
		assert_true(strlen(text) + strlen(line) < 1 << 20);
		memcpy(text + strlen(text), line, strlen(line));
	}
	(void)fclose(in);
	return (text);
}

static struct trace *
load(void)
{
	char name[80];
	struct trace *tr;
	struct trace_error te;

	(void)snprintf(name, sizeof(name), "%s", path);
	if (trace_load(name, &tr, &te) != 0)
		fail_msg("%s", te.te_text);
	return (tr);
}

static void
test_lines(void **state)
{
	uint64_t ops = 0, number;
	char *text;

	(void)state;
	begin();
	record_free(arena, BASE);	/* nobody listens */
	assert_int_equal(record_start(arena, new_file()), 0);
	assert_int_equal(record_start(arena, 0), EINVAL);
	record_alloc(arena, BASE, 65536, 0);
	record_alloc(arena, 0, 1 << 20, 1 << 20);
	record_free(arena, BASE + QUANTUM);	/* from before */
	number = record_cut(arena, BASE);
	record_part(arena, number, 0, 4096);
	/* Its first part is somebody else's by now. */
	record_alloc(arena, BASE, 4096, 4096);
	record_part(arena, number, 8192, 4096);
	record_free(arena, BASE);
	record_last(arena, number);
	record_free(arena, 0);
	assert_int_equal(record_stop(arena, &ops), 0);
	assert_int_equal(ops, 8);
	assert_int_equal(record_stop(arena, &ops), ENOENT);
	record_free(arena, 0);
	text = lines_of(path);
	assert_string_equal(text, "a 1 65536;a 2 1048576 1048576;p 1 0 4096;"
	    "a 3 4096 4096;p 1 8192 4096;f 3;f 1;f 2;");
	free(text);
	trace_free(load());
	end();
}

/* ---- the tape ----------------------------------------------------------- */

static struct tape tape;

static void
tape_event(enum lane_event event, uint64_t a, uint64_t b)
{
	const uint64_t words[] = { (uint64_t)event, a, b };

	tape_put(&tape, words);
}

static void
test_late_frees(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(tape_init(&tape, new_file(), "# vmem-trace 1\n"), 0);
	tape_event(LANE_ALLOC, 0, 1);
	tape_event(LANE_ALLOC, 0, 2);
	tape_event(LANE_ALLOC, 0, 3);
	tape_event(LANE_FREE, 0, 0);
	tape_event(LANE_FREE, 0, 0);
	tape_event(LANE_FREE, 0, 0);
	tape_event(LANE_FREE, 0, 0);
	assert_int_equal(tape_fini(&tape), 0);
	(void)close(tape.tp_fd);
	text = lines_of(path);
	assert_string_equal(text, "a 1 1;f 1;a 2 2;f 2;a 3 3;f 3;");
	free(text);
	(void)unlink(path);
}

static void
test_numbers(void **state)
{
	char want[4096] = "", *text;
	uint32_t id = 0;
	uint64_t power = 1;

	(void)state;
	assert_int_equal(tape_init(&tape, new_file(), ""), 0);
	for (unsigned int i = 0; i < 20; i++, power *= 10)
		for (int off = -1; off <= 1; off++) {
			uint64_t n = power + (uint64_t)(int64_t)off;

			n = n == 0 ? UINT64_MAX : n;
			tape_event(LANE_ALLOC, ++id, n);
			(void)snprintf(want + strlen(want), 40, "a %" PRIu32
			    " %" PRIu64 ";", id, n);
		}
	assert_int_equal(tape_fini(&tape), 0);
	(void)close(tape.tp_fd);
	text = lines_of(path);
	assert_string_equal(text, want);
	free(text);
	(void)unlink(path);
}

/* Keys of all sorts, so that those of one home meet, against an array. */
static void
test_table(void **state)
{
	enum { KEYS = 5000, STEPS = 400000 };
	static uint32_t ids[KEYS];
	FILE *in;
	struct rng rng;
	uint32_t next = 0, id;
	char line[64];

	(void)state;
	assert_int_equal(tape_init(&tape, new_file(), ""), 0);
	for (unsigned int pass = 0; pass < 2; pass++) {
		rng_init(&rng, SEED);
		in = pass == 1 ? fopen(path, "re") : NULL;
		memset(ids, 0, sizeof(ids));
		next = 0;
		for (unsigned int i = 0; i < STEPS; i++) {
			uint64_t k = rng_below(&rng, KEYS);
			bool frees = ids[k] != 0 || rng_next(&rng) % 8 == 0;

			id = frees ? ids[k] : ++next;
			ids[k] = frees ? 0 : id;
			if (pass == 0)
				tape_event(frees ? LANE_FREE : LANE_ALLOC,
				    k % 2 != 0 ? k << 44 : k, 1 + k);
			else if (!frees || id != 0) {
				char want[64];

				(void)snprintf(want, sizeof(want), frees ?
				    "f %" PRIu32 "\n" : "a %" PRIu32 " %" PRIu64
				    "\n", id, 1 + k);
				assert_non_null(
				    fgets(line, sizeof(line), in));
				assert_string_equal(line, want);
			}
		}
		if (pass == 0) {
			assert_int_equal(tape_fini(&tape), 0);
			(void)close(tape.tp_fd);
		} else {
			assert_null(fgets(line, sizeof(line), in));
			(void)fclose(in);
		}
	}
	(void)unlink(path);
}

/* ---- threads ------------------------------------------------------------ */

#define THREADS 4u
#define TURNS 60000u

/* What anybody may free. */
static _Atomic uint64_t market[QUANTA];

struct trader {
	pthread_t thread;
	uint64_t seed;
	uint64_t allocs, frees;
	_Atomic bool stop;
	bool forever;
};

static void
sell(struct trader *tr, uint64_t addr, struct rng *rng)
{
	uint64_t old = atomic_exchange(
	    &market[rng_below(rng, QUANTA)], addr);

	if (old == 0)
		return;
	record_free(arena, old);
	vmem_free(arena->ar_vm, old, QUANTUM);
	tr->frees++;
}

static void *
trade(void *arg)
{
	struct trader *tr = arg;
	vmem_addr_t addr;
	struct rng rng;

	rng_init(&rng, tr->seed);
	for (unsigned int i = 0; tr->forever ? !atomic_load(&tr->stop) :
	     i < TURNS; i++) {
		if (vmem_alloc(arena->ar_vm, QUANTUM, VM_NOSLEEP, &addr) !=
		    0) {
			sell(tr, 0, &rng);
			continue;
		}
		record_alloc(arena, addr, QUANTUM, 0);
		tr->allocs++;
		sell(tr, addr, &rng);
	}
	record_retire(arena);
	return (NULL);
}

static void
trade_begin(struct trader *traders, bool forever)
{
	for (unsigned int i = 0; i < THREADS; i++) {
		memset(&traders[i], 0, sizeof(traders[i]));
		traders[i].seed = SEED + i;
		traders[i].forever = forever;
		assert_int_equal(pthread_create(
		    &traders[i].thread, NULL, trade, &traders[i]), 0);
	}
}

static void
trade_end(struct trader *traders)
{
	for (unsigned int i = 0; i < THREADS; i++) {
		atomic_store(&traders[i].stop, true);
		(void)pthread_join(traders[i].thread, NULL);
	}
}

static void
sell_out(struct trader *tr)
{
	struct rng rng;

	rng_init(&rng, SEED);
	for (unsigned int i = 0; i < QUANTA; i++) {
		uint64_t addr = atomic_exchange(&market[i], 0);

		if (addr == 0)
			continue;
		record_free(arena, addr);
		vmem_free(arena->ar_vm, addr, QUANTUM);
		tr->frees++;
	}
}

static void
test_threads_free_each_others(void **state)
{
	static struct trader traders[THREADS];
	uint64_t allocs = 0, frees = 0, ops;
	struct trace *tr;

	(void)state;
	begin();
	assert_int_equal(record_start(arena, new_file()), 0);
	trade_begin(traders, false);
	trade_end(traders);
	sell_out(&traders[0]);
	for (unsigned int i = 0; i < THREADS; i++) {
		allocs += traders[i].allocs;
		frees += traders[i].frees;
	}
	assert_int_equal(allocs, frees);
	assert_int_equal(record_stop(arena, &ops), 0);
	assert_int_equal(ops, allocs + frees);
	tr = load();
	assert_int_equal(tr->tr_allocs, allocs);
	assert_int_equal(tr->tr_frees, frees);
	assert_int_equal(tr->tr_end_count, 0);
	/* Full, and never more than that. */
	assert_true(tr->tr_peak_count <= QUANTA);
	assert_true(tr->tr_peak_count > QUANTA / 2);
	(void)printf("%" PRIu64 " operations, at most %" PRIu32 " of %u live\n",
	    ops, tr->tr_peak_count, QUANTA);
	trace_free(tr);
	end();
}

static void
test_stopped_in_the_middle(void **state)
{
	static struct trader traders[THREADS];
	const struct timespec pause = { 0, 5000000 };
	uint64_t ops;

	(void)state;
	begin();
	trade_begin(traders, true);
	for (unsigned int i = 0; i < 20; i++) {
		struct trace *tr;

		assert_int_equal(record_start(arena, new_file()), 0);
		(void)nanosleep(&pause, NULL);
		assert_int_equal(record_stop(arena, &ops), 0);
		tr = load();
		assert_int_equal(tr->tr_nops, ops);
		assert_true(tr->tr_peak_count <= QUANTA);
		trace_free(tr);
		(void)unlink(path);
	}
	trade_end(traders);
	sell_out(&traders[0]);
	end();
}

static void
test_file_that_is_full(void **state)
{
	static struct trader traders[THREADS];
	struct rlimit old, small;
	uint64_t ops;

	(void)state;
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 100000;
	begin();
	assert_int_equal(record_start(arena, new_file()), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	trade_begin(traders, false);
	trade_end(traders);
	assert_int_equal(record_stop(arena, &ops), EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	sell_out(&traders[0]);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_late_frees),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_threads_free_each_others),
		cmocka_unit_test(test_stopped_in_the_middle),
		cmocka_unit_test(test_file_that_is_full),
	};

	(void)printf("seed %u\n", SEED);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
