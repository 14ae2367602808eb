/*
 * sim_record.c - magazine exchanges of real runs: see sim_depot.c, 1.
 */
#include "config.h"

#include "bench/sim.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <vmem.h>

#include "qcache/qcache_impl.h"
#include "util/clock.h"
#include "util/rng.h"

#define PAGE 4096u
#define SPAN (UINT64_C(1) << 36)

/* ---- recording ------------------------------------------------------------- */

/* What the thread is at, or NULL: not to be recorded. */
static __thread struct recorder {
	struct recording *rr_to;
	unsigned int rr_size;	/* that magazines are to have */
	uint64_t rr_last_ns;
	uint32_t rr_ops;
	double rr_visit_ns;	/* the shortest visit */
} *recorder;

static double clock_cost_ns;

static void
exchange_begin(struct recorder *rr, const struct qcache *qc, uint64_t now)
{
	struct recording *re = rr->rr_to;

	if (re->re_count < VISITS && rr->rr_last_ns != 0)
		re->re_visit[re->re_count++] = (struct exchange) {
			(float)(now - rr->rr_last_ns), rr->rr_ops,
			(uint8_t)qc->qc_index };
	rr->rr_ops = 0;
}

static void
exchange_end(struct recorder *rr, struct depot *dp, uint64_t began)
{
	double took;

	/* It may have grown: this recording is of one size. */
	atomic_store_explicit(
	    &dp->dp_size, rr->rr_size, memory_order_relaxed);
	rr->rr_last_ns = clock_ns();
	took = (double)(rr->rr_last_ns - began) - clock_cost_ns;
	if (took > 0 && (rr->rr_visit_ns == 0 || took < rr->rr_visit_ns))
		rr->rr_visit_ns = took;
}

uint32_t __real_depot_exchange(
    struct qcache *qc, bool full, uint32_t give, uint32_t *victimp);
bool __real_depot_put(struct qcache *qc, uint32_t unit, bool full);
uint32_t __wrap_depot_exchange(
    struct qcache *qc, bool full, uint32_t give, uint32_t *victimp);
bool __wrap_depot_put(struct qcache *qc, uint32_t unit, bool full);

uint32_t
__wrap_depot_exchange(
    struct qcache *qc, bool full, uint32_t give, uint32_t *victimp)
{
	uint64_t now;
	uint32_t unit;

	if (recorder == NULL)
		return (__real_depot_exchange(qc, full, give, victimp));
	now = clock_ns();
	exchange_begin(recorder, qc, now);
	unit = __real_depot_exchange(qc, full, give, victimp);
	exchange_end(recorder, &qc->qc_depot, now);
	return (unit);
}

bool
__wrap_depot_put(struct qcache *qc, uint32_t unit, bool full)
{
	uint64_t now;
	bool ok;

	if (recorder == NULL)
		return (__real_depot_put(qc, unit, full));
	now = clock_ns();
	exchange_begin(recorder, qc, now);
	ok = __real_depot_put(qc, unit, full);
	exchange_end(recorder, &qc->qc_depot, now);
	return (ok);
}

/* ---- workloads -------------------------------------------------------------- */

struct work {
	vmem_t *wk_vm;
	struct recorder wk_recorder[ROLES];
	const struct trace *wk_trace;
};

static bool
recorded(const struct work *wk, unsigned int role)
{
	return (wk->wk_recorder[role].rr_to->re_count >=
	    (sim_quick ? VISITS / 40 : VISITS));
}

static uint64_t
get(vmem_t *vm, uint64_t size)
{
	vmem_addr_t addr;

	if (vmem_alloc(vm, size, VM_NOSLEEP, &addr) != 0)
		die("the arena is full");
	if (recorder != NULL)
		recorder->rr_ops++;
	return (addr);
}

static void
put(vmem_t *vm, uint64_t addr, uint64_t size)
{
	vmem_free(vm, addr, size);
	if (recorder != NULL)
		recorder->rr_ops++;
}

/* A random one of many is replaced by one of a random size. */
static void
work_churn(struct work *wk)
{
	static uint64_t addr[4096], pages[4096];
	uint64_t bound = sim_quick ? 400000 : 40000000;
	struct rng rng;

	rng_init(&rng, sim_seed);
	memset(addr, 0, sizeof(addr));
	recorder = &wk->wk_recorder[0];
	for (uint64_t n = 0; !recorded(wk, 0) && n < bound; n++) {
		uint64_t i = rng_below(&rng, 4096);

		if (addr[i] != 0)
			put(wk->wk_vm, addr[i], pages[i] * PAGE);
		pages[i] = 1 + rng_below(&rng, 16);
		addr[i] = get(wk->wk_vm, pages[i] * PAGE);
	}
	recorder = NULL;
}

/* Some hundred of one size at a time, and all freed again. */
static void
work_burst(struct work *wk)
{
	static uint64_t addr[512];
	struct rng rng;

	rng_init(&rng, sim_seed);
	recorder = &wk->wk_recorder[0];
	while (!recorded(wk, 0)) {
		uint64_t n = 1 + rng_below(&rng, 512);
		uint64_t size = (1 + rng_below(&rng, 4)) * PAGE;

		for (uint64_t i = 0; i < n; i++)
			addr[i] = get(wk->wk_vm, size);
		for (uint64_t i = 0; i < n; i++)
			put(wk->wk_vm, addr[i], size);
	}
	recorder = NULL;
}

/* One thread allocates, another frees. */
#define RING 4096u
static struct {
	_Alignas(64) atomic_ullong put; /* release, pairs with the taker's */
	_Alignas(64) atomic_ullong taken; /* and the other way round */
	_Alignas(64) atomic_bool stop;
	_Alignas(64) uint64_t at[RING];
} ring;

static void
wait_turn(unsigned int *turns)
{
	if (++*turns % 64 == 0)
		(void)sched_yield();
}

static void *
taker(void *arg)
{
	struct work *wk = arg;
	unsigned int turns = 0;

	recorder = &wk->wk_recorder[1];
	for (uint64_t i = 0;;) {
		uint64_t n = atomic_load_explicit(
		    &ring.put, memory_order_acquire);

		if (i == n) {
			if (atomic_load(&ring.stop) &&
			    atomic_load(&ring.put) == i)
				return (NULL);
			wait_turn(&turns);
		}
		for (; i < n; i++)
			put(wk->wk_vm, ring.at[i % RING], PAGE);
		atomic_store_explicit(&ring.taken, i, memory_order_release);
	}
}

static void
work_handed(struct work *wk)
{
	unsigned int turns = 0;
	pthread_t id;

	atomic_store(&ring.put, 0);
	atomic_store(&ring.taken, 0);
	atomic_store(&ring.stop, false);
	if (pthread_create(&id, NULL, taker, wk) != 0)
		die("can't make a thread");
	recorder = &wk->wk_recorder[0];
	for (uint64_t i = 0; !recorded(wk, 0); i++) {
		while (i - atomic_load_explicit(&ring.taken,
			       memory_order_acquire) >= RING)
			wait_turn(&turns);
		ring.at[i % RING] = get(wk->wk_vm, PAGE);
		atomic_store_explicit(&ring.put, i + 1, memory_order_release);
	}
	recorder = NULL;
	atomic_store(&ring.stop, true);
	(void)pthread_join(id, NULL);
}

/* A program's mallocs, of what the caches serve. */
#define TRACE_QUANTUM 16u
#define TRACE_MAX (VMEM_QCACHE_MAX * TRACE_QUANTUM)

static void
work_trace(struct work *wk)
{
	const struct trace *tr = wk->wk_trace;
	uint64_t *addr = calloc((size_t)tr->tr_allocs + 1, sizeof(*addr));
	uint64_t *size = calloc((size_t)tr->tr_allocs + 1, sizeof(*size));

	if (addr == NULL || size == NULL)
		die("out of memory");
	recorder = &wk->wk_recorder[0];
	for (uint32_t i = 0; i < tr->tr_nops && !recorded(wk, 0); i++) {
		const struct trace_op *op = &tr->tr_ops[i];

		if (op->op_kind == TRACE_ALLOC && op->op_size <= TRACE_MAX) {
			size[op->op_id] = op->op_size;
			addr[op->op_id] = get(wk->wk_vm, op->op_size);
		} else if (op->op_kind == TRACE_FREE && size[op->op_id] != 0)
			put(wk->wk_vm, addr[op->op_id], size[op->op_id]);
	}
	recorder = NULL;
	free(addr);
	free(size);
}

const struct workload workloads[] = {
	{ "churn", "a random one of 4096 is replaced, 1 to 16 pages",
	    work_churn, 1, PAGE, 16 },
	{ "sqlite", "the mallocs of up to 1 KiB of a run of SQLite",
	    work_trace, 1, TRACE_QUANTUM, VMEM_QCACHE_MAX },
	{ "burst", "up to 512 of one size allocated, then freed", work_burst,
	    1, PAGE, 16 },
	{ "handed", "half of the CPUs allocate, the others free", work_handed,
	    2, PAGE, 16 },
};
const size_t workloads_count = sizeof(workloads) / sizeof(workloads[0]);

/* ---- what the recordings give ----------------------------------------------- */

struct recording recordings[SIZES][ROLES];

unsigned int
size_at(unsigned int index)
{
	unsigned int size = ROUNDS_FIRST;

	while (index-- > 0)
		size = 2 * size + 1;
	return (size);
}

static void
measure_clock(void)
{
	uint64_t start = clock_ns();

	for (unsigned int i = 0; i < 10000; i++)
		(void)clock_ns();
	clock_cost_ns = (double)(clock_ns() - start) / 10001;
}

double
record(const struct workload *wl, const struct trace *tr)
{
	double visit_ns = 0;

	if (clock_cost_ns == 0)
		measure_clock();
	for (unsigned int s = 0; s < SIZES; s++) {
		struct work wk = { .wk_trace = tr };

		wk.wk_vm = vmem_create("recorded", PAGE, SPAN, wl->wl_quantum,
		    NULL, NULL, NULL,
		    (vmem_size_t)wl->wl_quanta * wl->wl_quantum, VM_SLEEP);
		if (wk.wk_vm == NULL)
			die("vmem_create: %s", strerror(errno));
		for (unsigned int i = 0; i < wl->wl_quanta; i++)
			atomic_store(&wk.wk_vm->vm_qcache->qs_caches[i]
			    .qc_depot.dp_size, size_at(s));
		for (unsigned int r = 0; r < wl->wl_roles; r++) {
			recordings[s][r].re_count = 0;
			wk.wk_recorder[r] = (struct recorder) {
				.rr_to = &recordings[s][r],
				.rr_size = size_at(s) };
		}
		wl->wl_work(&wk);
		for (unsigned int r = 0; r < wl->wl_roles; r++) {
			double ns = wk.wk_recorder[r].rr_visit_ns;

			if (recordings[s][r].re_count < 16)
				die("%s: only %u visits", wl->wl_name,
				    recordings[s][r].re_count);
			if (ns > visit_ns)
				visit_ns = ns;
		}
		vmem_xfreeall(wk.wk_vm);
		vmem_destroy(wk.wk_vm);
	}
	return (visit_ns);
}

/* Two threads hand a line to and fro. */
static _Alignas(64) atomic_uint baton; /* release, pairs with itself */
#define HANDINGS 2000u
#define BATCHES 50u

static void
await(unsigned int value)
{
	unsigned int turns = 0;

	while (atomic_load_explicit(&baton, memory_order_acquire) != value)
		if (++turns % 4096 == 0)
			(void)sched_yield(); /* one CPU only, or others' */
}

static void *
hand_back(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < BATCHES * HANDINGS; i++) {
		await(2 * i + 1);
		atomic_store_explicit(
		    &baton, 2 * i + 2, memory_order_release);
	}
	return (NULL);
}

/* The quickest batch, in which nobody was preempted. */
double
measure_line(void)
{
	double line_ns = -1;
	pthread_t id;

	if (pthread_create(&id, NULL, hand_back, NULL) != 0)
		die("can't make a thread");
	for (unsigned int b = 0; b < BATCHES; b++) {
		uint64_t start = clock_ns();
		double ns;

		for (unsigned int i = b * HANDINGS; i < (b + 1) * HANDINGS;
		     i++) {
			atomic_store_explicit(
			    &baton, 2 * i + 1, memory_order_release);
			await(2 * i + 2);
		}
		ns = (double)(clock_ns() - start) / (2.0 * HANDINGS);
		if (line_ns < 0 || ns < line_ns)
			line_ns = ns;
	}
	(void)pthread_join(id, NULL);
	return (line_ns);
}
