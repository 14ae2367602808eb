/*
 * sim_depot.c - question: how far do the depots of quantum caches scale, with
 * more CPUs than there are here?
 *
 * A simulation, fed by what the library really does on this machine:
 *
 * 1. Recorded.  Workloads run on real arenas, with the real caches; each visit
 * to a depot (depot_get(), depot_put(), wrapped by the linker) is written down:
 * of which cache, how long after this thread's previous one, and how many
 * operations.  Each workload is recorded once for each size that magazines can
 * have.  The time that a visit takes when nobody else is there, and that a cache
 * line takes from one CPU to another, are measured as well.
 *
 * 2. Replayed.  N simulated CPUs, each from another place of a recording, go
 * from visit to visit.  A depot is a lock: who finds it held has waited.  It spins
 * for SPIN, and takes it when it is let go, unless another one is quicker; then
 * it sleeps, and comes again WAKE after it was let go, as a futex does.  A visit takes the measured time, and VISIT_LINES cache lines more if
 * the last one was another CPU's.  Magazines grow by the library's own rule
 * (depot_next_size()): a CPU goes on in the recording of the size that its
 * magazines have by then.
 *
 * 3. Reported.  The share of visits that waited; what an operation takes, of
 * which in the depot; and how many CPUs' worth of work is done, which is their
 * number times the share of time that isn't spent in depots.  The first half of
 * the visits is not counted: magazines grow in it.
 *
 * What it leaves out: that N CPUs share memory bandwidth and caches, the slabs'
 * lock (a visit to the slabs is counted among the time between visits), and
 * preemption.  So what it says of the depot is about the depot only.
 */
#include "config.h"

#include "bench/sim.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmem.h>

#include "qcache/qcache_impl.h"
#include "util/rng.h"

#define CPUS_MAX 256u
#define VISIT_LINES 3u	/* the lock, the lists, a magazine */

bool sim_quick;
uint64_t sim_seed = 1;
static double wake_ns = 5000, spin_ns = 500, line_ns = -1;
static double visit_ns;
static const char *trace_path;

void
die(const char *fmt, ...)
{
	va_list ap;

	(void)fprintf(stderr, "sim_depot: ");
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	exit(1);
}

/* ---- the simulation ---------------------------------------------------------- */

struct simdepot {
	double sd_free_ns;	/* when its lock is let go */
	unsigned int sd_last;	/* CPU that had it */
	unsigned int sd_size;	/* index of the magazines' size */
	unsigned int sd_visits, sd_waited; /* of the window */
};

struct simcpu {
	double sm_at_ns;	/* arrives then */
	double sm_since_ns;	/* ... and did so first */
	double sm_until_ns;	/* spins */
	unsigned int sm_role;
	uint32_t sm_place[SIZES]; /* in each recording */
	struct exchange sm_visit;	/* what it comes for */
	uint32_t sm_done;	/* visits */
};

struct sums {
	double su_visits, su_waited, su_ops, su_depot_ns, su_gap_ns;
	double su_size;		/* of magazines, by visits */
};

static struct simdepot depots[VMEM_QCACHE_MAX];
static struct simcpu cpus[CPUS_MAX];
static unsigned int heap[CPUS_MAX], heap_count;

static void
heap_down(unsigned int i)
{
	for (;;) {
		unsigned int k = 2 * i + 1, t;

		if (k >= heap_count)
			return;
		if (k + 1 < heap_count &&
		    cpus[heap[k + 1]].sm_at_ns < cpus[heap[k]].sm_at_ns)
			k++;
		if (cpus[heap[i]].sm_at_ns <= cpus[heap[k]].sm_at_ns)
			return;
		t = heap[i];
		heap[i] = heap[k];
		heap[k] = t;
		i = k;
	}
}

/* On to its next visit, in the recording of the size that it has. */
static void
cpu_goes_on(struct simcpu *sm, double now, bool grows)
{
	unsigned int size = grows ? depots[sm->sm_visit.vi_cache].sd_size : 0;
	const struct recording *re = &recordings[size][sm->sm_role];

	sm->sm_visit = re->re_visit[sm->sm_place[size]++ % re->re_count];
	sm->sm_at_ns = sm->sm_since_ns = now + sm->sm_visit.vi_gap_ns;
	sm->sm_until_ns = sm->sm_at_ns + spin_ns;
}

static void
window_count(struct simdepot *sd, bool waited)
{
	sd->sd_waited += waited;
	if (++sd->sd_visits < DEPOT_WINDOW)
		return;
	if (depot_next_size(size_at(sd->sd_size), sd->sd_waited) >
	    size_at(sd->sd_size))
		sd->sd_size++;
	sd->sd_visits = sd->sd_waited = 0;
}

/* CPU c is at the depot now: false, it has to come again. */
static bool
depot_visited(
    unsigned int c, unsigned int ncpus, bool grows, struct sums *su)
{
	struct simcpu *sm = &cpus[c];
	struct simdepot *sd = &depots[sm->sm_visit.vi_cache];
	double done = sm->sm_at_ns + visit_ns;

	if (sd->sd_free_ns > sm->sm_at_ns) {
		if (sd->sd_free_ns > sm->sm_until_ns) {
			sm->sm_at_ns = sd->sd_free_ns + wake_ns;
			sm->sm_until_ns = sm->sm_at_ns + spin_ns;
		} else
			sm->sm_at_ns = sd->sd_free_ns;
		return (false);
	}
	if (sd->sd_last != c && ncpus > 1)
		done += VISIT_LINES * line_ns;
	sd->sd_last = c;
	sd->sd_free_ns = done;
	if (grows)
		window_count(sd, sm->sm_at_ns > sm->sm_since_ns);
	if (su != NULL) {
		su->su_visits++;
		su->su_waited += sm->sm_at_ns > sm->sm_since_ns;
		su->su_ops += sm->sm_visit.vi_ops;
		su->su_gap_ns += sm->sm_visit.vi_gap_ns;
		su->su_depot_ns += done - sm->sm_since_ns;
		su->su_size += size_at(sd->sd_size);
	}
	sm->sm_at_ns = done;
	return (true);
}

static struct sums
simulate(const struct workload *wl, unsigned int n, bool grows)
{
	uint32_t each = sim_quick ? 400 : 8000;
	struct sums su = { 0 };
	struct rng rng;

	rng_init(&rng, sim_seed);
	memset(depots, 0, sizeof(depots));
	heap_count = n;
	for (unsigned int c = 0; c < n; c++) {
		cpus[c] = (struct simcpu) { .sm_role = c % wl->wl_roles };
		for (unsigned int s = 0; s < SIZES; s++)
			cpus[c].sm_place[s] = (uint32_t)rng_below(&rng, VISITS);
		cpu_goes_on(&cpus[c], 0, grows);
		heap[c] = c;
	}
	for (unsigned int i = n; i-- > 0;)
		heap_down(i);
	for (uint64_t left = (uint64_t)each * n; left > 0;) {
		struct simcpu *sm = &cpus[heap[0]];

		if (depot_visited(heap[0], n, grows,
			left <= (uint64_t)each * n / 2 ? &su : NULL)) {
			cpu_goes_on(sm, sm->sm_at_ns, grows);
			left--;
		}
		heap_down(0);
	}
	return (su);
}

/* ---- report ------------------------------------------------------------------ */

static void
report(const struct workload *wl, bool grows)
{
	printf("\n%s: %s; %s\n"
	    "  CPUs  magazine  ops/visit    waited  in depot     ns/op"
	    "  CPUs' worth\n", wl->wl_name, wl->wl_text,
	    grows ? "magazines grow" : "magazines of 15 for ever");
	for (unsigned int n = wl->wl_roles; n <= CPUS_MAX; n *= 2) {
		struct sums su = simulate(wl, n, grows);
		double all_ns = su.su_gap_ns + su.su_depot_ns;

		printf("  %4u  %8.0f  %9.1f  %7.3f %%  %8.2f  %8.2f  %11.1f\n",
		    n, su.su_size / su.su_visits, su.su_ops / su.su_visits,
		    100 * su.su_waited / su.su_visits,
		    su.su_depot_ns / su.su_ops, all_ns / su.su_ops,
		    n * su.su_gap_ns / all_ns);
	}
}

static void
usage(FILE *to)
{
	(void)fprintf(to,
	    "usage: sim_depot [--quick] [--seed N] [--line NS] [--spin NS]"
	    " [--wake NS] TRACE\n\n"
	    "Records magazine exchanges of real runs here, and simulates depots"
	    " with up to %u\nCPUs.  TRACE is a trace of mallocs:"
	    " tests/traces/b-sqlite3.vmt.xz.\n\n"
	    "  --quick    whether it works, not what it says\n"
	    "  --seed N   of every random choice (1)\n"
	    "  --line NS  a cache line takes so long from CPU to CPU"
	    " (as measured)\n"
	    "  --spin NS  who waits for a lock tries so long before it sleeps"
	    " (500)\n"
	    "  --wake NS  from a lock's release until who slept for it is"
	    " back (5000)\n", CPUS_MAX);
}

static double
number(const char *text, const char *option)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0) || value > 1e9)
		die("%s %s: expected a number from 0 to 1e9", option, text);
	return (value);
}

static void
options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "seed", required_argument, NULL, 's' },
		{ "line", required_argument, NULL, 'l' },
		{ "spin", required_argument, NULL, 'p' },
		{ "wake", required_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' }, { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "h", table, NULL)) != -1)
		switch (c) {
		case 'q':
			sim_quick = true;
			break;
		case 's':
			sim_seed = (uint64_t)number(optarg, "--seed");
			break;
		case 'l':
			line_ns = number(optarg, "--line");
			break;
		case 'p':
			spin_ns = number(optarg, "--spin");
			break;
		case 'w':
			wake_ns = number(optarg, "--wake");
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(1);
		}
	if (optind != argc - 1) {
		usage(stderr);
		exit(1);
	}
	trace_path = argv[optind];
}

int
main(int argc, char **argv)
{
	struct trace_error err;
	struct trace *tr;

	options(argc, argv);
	if (trace_load(trace_path, &tr, &err) != 0)
		die("%s", err.te_text);
	if (line_ns < 0)
		line_ns = measure_line();
	printf("A simulation of depots: magazine exchanges recorded here (%s),"
	    "\nreplayed by N CPUs.  A cache line takes %.0f ns from CPU to CPU;"
	    " who waits spins for\n%.0f ns, and a wake-up takes %.0f ns.\n",
	    vmem_qcache_mechanism(), line_ns, spin_ns, wake_ns);
	for (size_t i = 0; i < workloads_count; i++) {
		const struct workload *wl = &workloads[i];

		visit_ns = record(wl, tr);
		report(wl, true);
		report(wl, false);
		(void)fflush(stdout);
	}
	trace_free(tr);
	return (0);
}
