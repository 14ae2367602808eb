/*
 * bench_soak.c - question: what does a soak cost beside what it soaks?
 *
 *	plain/...	workers in threads of vmemd, in an arena without quantum
 *	cached/...	caches (bench_arena's workload W2, with its sizes, its
 *			room of twice the bytes live, its policy), and in one
 *			with them:
 *		library	libvmem's own loop in this process, the same arena,
 *			sizes and ranges live; the next victim is prefetched a
 *			pair ahead, as bench_arena's is
 *		soak	oracles off, every operation timed
 *		sampled	the same with `timed = 17`
 *		overlap	owners and wishes verified
 *		record	as `soak`, and recorded
 *	client/...	one client worker, a process of vmemctl soak: without
 *			verification, with owners, with bytes, recorded
 *
 * Workload: random churn, as bench_arena's: a pair frees a random range and
 * allocates one of 1..16 pages.  Inside, nothing is touched; the client's
 * ranges are 4K to 64K, log-uniform, and half of them touched, which with
 * `pattern` is filling, and one request more before the free.
 *
 * Method: a phase of `library` is a number of pairs.  A phase of the others is
 * a job of its own, run by a daemon of the contender's: its rate between two
 * looks, once it has filled up; of vmemctl the rate that it reports.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vmem.h>

#include "bench/bench.h"
#include "util/clock.h"
#include "util/rng.h"
#include "vmemclient.h"

#define PAGE 4096u
#define QCACHE (16 * PAGE)
#define THREADS_MAX 2
#define MEAN (17 * PAGE / 2)	/* of a range's size */

/* What the cases differ by, but for ranges live. */
struct setting {
	unsigned int se_threads;
	uint64_t se_qcache;
};

static void
sleep_ms(long ms)
{
	const struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* ---- libvmem's own loop -------------------------------------------------- */

struct loop_thread {
	struct loop *lt_loop;
	pthread_t lt_thread;
	struct rng lt_rng;
	uint64_t *lt_addrs, *lt_sizes;
	uint64_t lt_pairs;
};

struct loop {
	vmem_t *lo_vm;
	uint64_t lo_live, lo_pairs;
	unsigned int lo_threads;
	struct loop_thread lo_list[THREADS_MAX];
};

static void
loop_alloc(struct loop_thread *lt, uint64_t i)
{
	lt->lt_sizes[i] = (1 + rng_below(&lt->lt_rng, 16)) * PAGE;
	if (vmem_alloc(lt->lt_loop->lo_vm, lt->lt_sizes[i], VM_NOSLEEP,
		&lt->lt_addrs[i]) != 0)
		bench_die("the arena is full");
}

static void *
loop_run(void *arg)
{
	struct loop_thread *lt = arg;
	uint64_t live = lt->lt_loop->lo_live;
	uint64_t next = rng_below(&lt->lt_rng, live);

	for (uint64_t n = 0; n < lt->lt_pairs; n++) {
		uint64_t i = next;

		next = rng_below(&lt->lt_rng, live);
		__builtin_prefetch(&lt->lt_addrs[next], 1);
		__builtin_prefetch(&lt->lt_sizes[next], 1);
		vmem_free(
		    lt->lt_loop->lo_vm, lt->lt_addrs[i], lt->lt_sizes[i]);
		loop_alloc(lt, i);
	}
	return (NULL);
}

static const struct setting *
setting_of(const struct bench_run *run)
{
	return (run->br_case->bc_arg);
}

/* Live ranges of a thread are the case's number. */
static uint64_t
live_of(const struct bench_run *run)
{
	return (run->br_quick ? 100 : run->br_case->bc_number);
}

static uint64_t
size_of(const struct bench_run *run)
{
	return (2 * MEAN * live_of(run) * setting_of(run)->se_threads);
}

static void *
loop_setup(const struct bench_run *run)
{
	struct loop *lo = bench_alloc(sizeof(*lo));

	lo->lo_live = live_of(run);
	lo->lo_pairs = run->br_quick ? 100 : 2000000;
	lo->lo_threads = setting_of(run)->se_threads;
	lo->lo_vm = vmem_create("bench", 0, size_of(run), PAGE, NULL, NULL,
	    NULL, setting_of(run)->se_qcache, VM_NOSLEEP | VM_CHECK);
	if (lo->lo_vm == NULL)
		bench_die("vmem_create: %s", strerror(errno));
	for (unsigned int t = 0; t < lo->lo_threads; t++) {
		struct loop_thread *lt = &lo->lo_list[t];

		lt->lt_loop = lo;
		lt->lt_addrs = bench_alloc(lo->lo_live * sizeof(uint64_t));
		lt->lt_sizes = bench_alloc(lo->lo_live * sizeof(uint64_t));
		rng_init(&lt->lt_rng, run->br_seed + t);
		for (uint64_t i = 0; i < lo->lo_live; i++)
			loop_alloc(lt, i);
		lt->lt_pairs = lo->lo_live;
		(void)loop_run(lt);
	}
	return (lo);
}

static void
loop_phase(void *state, struct bench_out *out)
{
	struct loop *lo = state;
	uint64_t from = clock_ns();

	for (unsigned int t = 0; t < lo->lo_threads; t++) {
		lo->lo_list[t].lt_pairs = lo->lo_pairs;
		if (pthread_create(&lo->lo_list[t].lt_thread, NULL, loop_run,
			&lo->lo_list[t]) != 0)
			bench_die("no thread");
	}
	for (unsigned int t = 0; t < lo->lo_threads; t++)
		(void)pthread_join(lo->lo_list[t].lt_thread, NULL);
	/* Of each thread, as the soaks' below. */
	bench_value(out, "pair", "ns/pair",
	    (double)(clock_ns() - from) / (double)lo->lo_pairs);
}

/* ---- a daemon ------------------------------------------------------------ */

struct soak {
	const struct bench_run *so_run;
	char so_dir[64], so_top[512];
	pid_t so_daemon;
	struct vmemclient *so_conn;
	struct vmemclient_reply so_reply;
};

/* What varies, as text after the contender's name. */
struct variant {
	const char *va_verify;
	unsigned int va_timed;
	bool va_record;
};

/* The top of the build tree: this program is in bench/. */
static void
find_top(char *top, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", top, size - 1);
	char *slash;

	if (n < 0)
		bench_die("/proc/self/exe: %s", strerror(errno));
	top[n] = '\0';
	for (int i = 0; i < 2; i++) {
		slash = strrchr(top, '/');
		if (slash == NULL)
			bench_die("%s: where is vmemd?", top);
		/* Behind a wrapper of libtool's, it is in .libs/. */
		if (i == 0 && slash - top > 5 &&
		    strncmp(slash - 5, ".libs", 5) == 0)
			i--;
		*slash = '\0';
	}
}

static void
run_daemon(const struct soak *so)
{
	char program[600], socket[100];

	(void)snprintf(program, sizeof(program), "%s/daemon/vmemd", so->so_top);
	(void)snprintf(socket, sizeof(socket), "%s/sock", so->so_dir);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)execl(program, "vmemd", "--socket", socket, "--log-level",
	    "error", (char *)NULL);
	_exit(127);
}

static void *
soak_setup(const struct bench_run *run)
{
	struct soak *so = bench_alloc(sizeof(*so));
	char socket[100];

	so->so_run = run;
	find_top(so->so_top, sizeof(so->so_top));
	(void)snprintf(so->so_dir, sizeof(so->so_dir), "%s/soak.XXXXXX",
	    getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 40 ?
	    getenv("TMPDIR") : "/tmp");
	if (mkdtemp(so->so_dir) == NULL)
		bench_die("%s: %s", so->so_dir, strerror(errno));
	so->so_daemon = fork();
	if (so->so_daemon == 0)
		run_daemon(so);
	(void)snprintf(socket, sizeof(socket), "%s/sock", so->so_dir);
	for (int i = 0; vmemclient_connect(socket, 1000, &so->so_conn) != 0;
	     i++) {
		if (i == 500 || waitpid(so->so_daemon, NULL, WNOHANG) != 0)
			bench_die("vmemd doesn't start: is it built?");
		sleep_ms(20);
	}
	return (so);
}

static void
soak_teardown(void *state)
{
	struct soak *so = state;
	char path[100];

	vmemclient_close(so->so_conn);
	(void)kill(so->so_daemon, SIGTERM);
	(void)waitpid(so->so_daemon, NULL, 0);
	(void)snprintf(path, sizeof(path), "%s/trace.vmt", so->so_dir);
	(void)unlink(path);
	(void)rmdir(so->so_dir);
}

static json_t *
call(struct soak *so, const char *method, const char *params)
{
	int error = vmemclient_call(
	    so->so_conn, method, params, 60000, &so->so_reply);
	json_t *result;

	if (error != 0)
		bench_die("%s: %s", method, strerror(error));
	if (so->so_reply.code != 0)
		bench_die("%s: %s", method, so->so_reply.message);
	result = json_loads(so->so_reply.result, JSON_DECODE_ANY, NULL);
	return (result);
}

/* ---- inside -------------------------------------------------------------- */

static void
start_recording(struct soak *so, const char *arena)
{
	char path[100], params[64];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/trace.vmt", so->so_dir);
	(void)snprintf(params, sizeof(params), "{\"arena\":\"%s\"}", arena);
	out = fopen(path, "we");
	if (out == NULL || vmemclient_call_fd(so->so_conn, "record.start",
		params, fileno(out), 60000, &so->so_reply) != 0 ||
	    so->so_reply.code != 0)
		bench_die("record.start failed");
	(void)fclose(out);
}

static void
status(struct soak *so, json_int_t id, double *opsp, double *secondsp)
{
	char params[64];
	json_t *result;

	(void)snprintf(params, sizeof(params), "{\"id\":%lld}", (long long)id);
	result = call(so, "soak.status", params);
	*opsp = json_number_value(json_object_get(result, "ops"));
	*secondsp = json_number_value(json_object_get(result, "seconds"));
	json_decref(result);
}

/* Two looks at a job that runs: ns for each pair of operations of a thread. */
static double
rate_between(struct soak *so, json_int_t id)
{
	double live = (double)live_of(so->so_run);
	double ops[2], seconds[2];
	bool quick = so->so_run->br_quick;

	do {
		sleep_ms(quick ? 10 : 50);
		status(so, id, &ops[0], &seconds[0]);
	} while (ops[0] < 4 * live * setting_of(so->so_run)->se_threads);
	do {
		sleep_ms(quick ? 20 : 300);
		status(so, id, &ops[1], &seconds[1]);
	} while (ops[1] <= ops[0]);
	return ((seconds[1] - seconds[0]) * 2e9 * setting_of(so->so_run)->se_threads /
	    (ops[1] - ops[0]));
}

static void
inside_phase(void *state, struct bench_out *out)
{
	struct soak *so = state;
	const struct variant *va = so->so_run->br_contender->bn_arg;
	char params[1024];
	json_t *result;
	json_int_t id;
	double ns;

	(void)snprintf(params, sizeof(params), "{\"name\":\"bench\",\"size\":%"
	    PRIu64 ",\"qcache_max\":%" PRIu64 "}", size_of(so->so_run),
	    setting_of(so->so_run)->se_qcache);
	json_decref(call(so, "arena.create", params));
	if (va->va_record)
		start_recording(so, "bench");
	(void)snprintf(params, sizeof(params), "{\"job\":\"[global]\\narena = "
	    "bench\\nduration = 10m\\ncheck = 0\\nverify = %s\\ntimed = %u\\n"
	    "seed = %" PRIu64 "\\n[t]\\nwhere = daemon\\nworkers = %u\\nsizes = uniform:4K-64K\\n"
	    "touch = 0\\nlive = %" PRIu64 "\\n\"}", va->va_verify,
	    va->va_timed, so->so_run->br_seed, setting_of(so->so_run)->se_threads, live_of(so->so_run));
	result = call(so, "soak.start", params);
	id = json_integer_value(json_object_get(result, "id"));
	json_decref(result);
	ns = rate_between(so, id);
	(void)snprintf(params, sizeof(params), "{\"id\":%lld}", (long long)id);
	json_decref(call(so, "soak.stop", params));
	if (va->va_record)
		json_decref(call(so, "record.stop", "{\"arena\":\"bench\"}"));
	json_decref(call(so, "arena.destroy", "{\"arena\":\"bench\"}"));
	bench_value(out, "pair", "ns/pair", ns);
}

/* ---- clients ------------------------------------------------------------- */

static void
client_phase(void *state, struct bench_out *out)
{
	struct soak *so = state;
	const struct variant *va = so->so_run->br_contender->bn_arg;
	char command[2048];
	double ops, seconds;
	json_t *verdict;
	FILE *in;

	(void)snprintf(command, sizeof(command), "printf '[global]\\nduration ="
	    " %s\\ncheck = 0\\nverify = %s\\nseed = 1\\n[c]\\nlive = %" PRIu64
	    "\\n' | %s/client/vmemctl -s %s/sock -j soak - %s%s%s 2>/dev/null",
	    so->so_run->br_quick ? "50ms" : "500ms", va->va_verify,
	    live_of(so->so_run), so->so_top, so->so_dir,
	    va->va_record ? "--record " : "", va->va_record ? so->so_dir : "",
	    va->va_record ? "/trace.vmt" : "");
	in = popen(command, "re");
	if (in == NULL)
		bench_die("popen: %s", strerror(errno));
	verdict = json_loadf(in, 0, NULL);
	if (pclose(in) != 0 || verdict == NULL)
		bench_die("vmemctl soak didn't pass");
	/* Of the worker's own time: what comes before and after isn't. */
	ops = json_number_value(json_object_get(
	    json_object_get(verdict, "total"), "ops"));
	seconds = so->so_run->br_quick ? .05 : .5;
	json_decref(verdict);
	bench_value(out, "pair", "ns/pair", seconds * 2e9 / ops);
}

/* ---- cases --------------------------------------------------------------- */

static const struct variant off = { "off", 1, false },
	sampled = { "off", 17, false }, overlap = { "overlap", 1, false },
	pattern = { "pattern", 1, false }, record = { "off", 1, true };

static const struct bench_contender library = { "library", NULL, NULL, NULL,
	loop_setup, loop_phase, NULL };
static const struct bench_contender inside_off = { "soak", NULL, NULL, &off,
	soak_setup, inside_phase, soak_teardown };
static const struct bench_contender inside_sampled = { "sampled", NULL, NULL,
	&sampled, soak_setup, inside_phase, soak_teardown };
static const struct bench_contender inside_overlap = { "overlap", NULL, NULL,
	&overlap, soak_setup, inside_phase, soak_teardown };
static const struct bench_contender inside_record = { "record", NULL, NULL,
	&record, soak_setup, inside_phase, soak_teardown };
static const struct bench_contender client_off = { "off", NULL, NULL, &off,
	soak_setup, client_phase, soak_teardown };
static const struct bench_contender client_overlap = { "overlap", NULL, NULL,
	&overlap, soak_setup, client_phase, soak_teardown };
static const struct bench_contender client_pattern = { "pattern", NULL, NULL,
	&pattern, soak_setup, client_phase, soak_teardown };
static const struct bench_contender client_record = { "record", NULL, NULL,
	&record, soak_setup, client_phase, soak_teardown };

static const struct bench_contender *const inside[] = { &library, &inside_off,
	&inside_sampled, &inside_overlap, &inside_record, NULL };
static const struct bench_contender *const clients[] = { &client_off,
	&client_overlap, &client_pattern, &client_record, NULL };

static const struct setting one = { 1, 0 }, two = { 2, 0 },
	one_cached = { 1, QCACHE }, two_cached = { 2, QCACHE };

static const struct bench_case cases[] = {
	{ .bc_name = "plain/1e4", .bc_text = "W2, a thread, 1e4 ranges live",
	    .bc_contenders = inside, .bc_number = 10000, .bc_arg = &one },
	{ .bc_name = "plain/1e5", .bc_text = "W2, a thread, 1e5 ranges live",
	    .bc_contenders = inside, .bc_number = 100000, .bc_arg = &one },
	{ .bc_name = "plain/2x1e5",
	    .bc_text = "W2, two threads, 1e5 ranges live in each",
	    .bc_contenders = inside, .bc_number = 100000, .bc_arg = &two },
	{ .bc_name = "cached/1e4",
	    .bc_text = "quantum caches, a thread, 1e4 ranges live",
	    .bc_contenders = inside, .bc_number = 10000,
	    .bc_arg = &one_cached },
	{ .bc_name = "cached/1e5",
	    .bc_text = "quantum caches, a thread, 1e5 ranges live",
	    .bc_contenders = inside, .bc_number = 100000,
	    .bc_arg = &one_cached },
	{ .bc_name = "cached/2x1e5", .bc_text =
		"quantum caches, two threads, 1e5 ranges live in each",
	    .bc_contenders = inside, .bc_number = 100000,
	    .bc_arg = &two_cached },
	{ .bc_name = "client/1e3",
	    .bc_text = "a client worker, 1e3 ranges live",
	    .bc_contenders = clients, .bc_number = 1000, .bc_arg = &one },
};

int
main(int argc, char **argv)
{
	const struct bench be = {
		.be_name = "bench_soak",
		.be_question =
		    "what does a soak cost beside what it soaks?",
		.be_workload = "random churn of 1..16 pages, nothing touched;"
		    " the client's ranges are"
		    " 4K to 64K, and half of them touched",
		.be_warmup = "filled, and churned as often as there are ranges,"
		    " before a phase is timed",
		.be_cases = cases,
		.be_ncases = sizeof(cases) / sizeof(cases[0]),
	};

	return (bench_main(&be, argc, argv));
}
