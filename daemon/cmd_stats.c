/*
 * cmd_stats.c - stats.
 *
 * Put together arena by arena, in slices, in a buffer of its own; nothing is
 * walked and no arena is stopped for it.
 */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/counters.h"
#include "daemon/plant.h"
#include "daemon/request.h"
#include "util/clock.h"
#include "util/fault.h"

struct stats_state {
	struct arena *ss_at;		/* the arena written last, referenced */
	bool ss_arenas_done;
	struct buf ss_arenas;		/* "NAME":{…},… */
	size_t ss_method;		/* the next one */
	struct buf ss_methods;		/* "NAME":{…},… */
	struct hist ss_hist[2];
	struct counters ss_total;
	struct counters ss_one;
};

static void
stats_fini(struct request *rq)
{
	struct stats_state *ss = rq->rq_state;

	reg_arena_put(&rq->rq_daemon->dm_registry, ss->ss_at);
	buf_fini(&ss->ss_arenas);
	buf_fini(&ss->ss_methods);
	free(ss);
}

/* One method's latencies, of all workers; nothing if it was never called. */
static void
write_method(struct stats_state *ss, struct daemon *dm, size_t method)
{
	struct hist *sum = &ss->ss_hist[0], *copy = &ss->ss_hist[1];

	hist_init(sum);
	for (unsigned int w = 0; w < dm->dm_worker_count; w++) {
		const struct hist *hi = atomic_load_explicit(
		    &dm->dm_workers[w]->wk_latency[method],
		    memory_order_acquire);

		if (hi == NULL)
			continue;
		hist_copy(copy, hi);
		hist_merge(sum, copy);
	}
	if (sum->hi_count == 0)
		return;
	jw_key(&ss->ss_methods, proto_methods[method].pm_name);
	hist_write(&ss->ss_methods, sum);
}

static void
append(struct buf *b, const struct buf *part)
{
	if (buf_len(part) > 0)
		buf_append(b, part->b_data + part->b_start, buf_len(part));
}

/* Entries of a directory of /proc, but for the two that each has. */
static uint64_t
entries(const char *path)
{
	DIR *dir = opendir(path);
	uint64_t n = 0;

	if (dir == NULL)
		return (0);
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return (n > 2 ? n - 2 : 0);
}

/* The process as the kernel sees it: what a soak wants back as it was. */
static void
write_process(struct buf *b)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f != NULL) {
		if (fscanf(f, "%*u %llu", &pages) != 1)
			pages = 0;
		(void)fclose(f);
	}
	jw_ku64(b, "rss_bytes", pages * (uint64_t)sysconf(_SC_PAGESIZE));
	/* But for the one that reads the directory. */
	jw_ku64(b, "open_files", entries("/proc/self/fd") - 1);
	jw_ku64(b, "tasks", entries("/proc/self/task"));
}

/* What went wrong on purpose so far: what a soak sets beside its findings. */
static void
write_faults(struct buf *b)
{
#ifdef VMEM_FAULT_INJECTION
	jw_kopen(b, "faults", '{');
	for (unsigned int i = 0; i < FAULT_POINTS; i++)
		jw_ku64(b, fault_names[i], fault_count(i));
	jw_ku64(b, "plant", plant_count());
	jw_close(b, '}');
#else
	(void)b;
#endif
}

static void
write_daemon(struct buf *b, const struct stats_state *ss, struct daemon *dm)
{
	struct registry *rg = &dm->dm_registry;
	struct client *cl;
	uint64_t clients, allocs, requests = 0;

	lock_acquire(&rg->rg_lock);
	clients = rg->rg_client_count;
	allocs = rg->rg_allocs;
	TAILQ_FOREACH(cl, &rg->rg_clients, cl_link)
		requests += atomic_load_explicit(
		    &cl->cl_requests, memory_order_relaxed);
	requests += rg->rg_requests_gone;
	lock_release(&rg->rg_lock);
	jw_kopen(b, "daemon", '{');
	jw_ku64(b, "uptime_s",
	    (clock_ns() - dm->dm_started_ns) / UINT64_C(1000000000));
	jw_ku64(b, "threads", dm->dm_worker_count);
	jw_ku64(b, "clients", clients);
	jw_ku64(b, "requests", requests);
	jw_ku64(b, "allocations", allocs);
	jw_ku64(b, "wired_bytes", vmpager_wired_bytes(dm->dm_backing.bk_wired));
	jw_ku64(b, "wired_limit_bytes", dm->dm_settings.se_wired);
	jw_ku64(b, "meta_bytes", vmpager_wired_bytes(dm->dm_backing.bk_meta));
	write_process(b);
	write_faults(b);
	jw_kbool(b, "corrupt", daemon_corrupt(dm));
	jw_kbool(b, "draining", daemon_draining(dm));
	jw_kopen(b, "latency", '{');
	append(b, &ss->ss_methods);
	buf_append(b, "}}", 2);
}

/* The parts, in slices; true: all of them are there. */
static bool
stats_gather(struct request *rq, struct stats_state *ss)
{
	struct daemon *dm = rq->rq_daemon;

	while (!ss->ss_arenas_done) {
		ss->ss_at = reg_arena_next(&dm->dm_registry, ss->ss_at);
		ss->ss_arenas_done = ss->ss_at == NULL;
		if (ss->ss_arenas_done)
			break;
		counters_of(ss->ss_at, &ss->ss_one);
		counters_add(&ss->ss_total, ss->ss_at, &ss->ss_one);
		jw_kopen(&ss->ss_arenas, ss->ss_at->ar_name, '{');
		counters_write(&ss->ss_arenas, &ss->ss_one);
		jw_close(&ss->ss_arenas, '}');
		if (request_slice_over(rq))
			return (false);
	}
	while (ss->ss_method < proto_method_count) {
		write_method(ss, dm, ss->ss_method++);
		if (request_slice_over(rq))
			return (false);
	}
	return (true);
}

static enum step
stats_all(struct request *rq)
{
	struct stats_state *ss = rq->rq_state;
	struct daemon *dm = rq->rq_daemon;
	struct buf *b;

	if (!stats_gather(rq, ss))
		return (STEP_AGAIN);
	vmpager_stat(dm->dm_backing.bk_pager, &ss->ss_total.co_pager);
	ss->ss_total.co_vmpager = dm->dm_backing.bk_pager;
	b = reply_begin(rq);
	jw_open(b, '{');
	write_daemon(b, ss, dm);
	jw_kopen(b, "total", '{');
	counters_write(b, &ss->ss_total);
	jw_close(b, '}');
	jw_kopen(b, "arenas", '{');
	append(b, &ss->ss_arenas);
	buf_append(b, "}}", 2);
	return (STEP_DONE);
}

static enum step
stats_one(struct request *rq)
{
	struct stats_state *ss = rq->rq_state;
	struct buf *b;

	ss->ss_at = request_arena(rq, ARG_ALL_ARENA);
	if (ss->ss_at == NULL)
		return (STEP_DONE);
	counters_of(ss->ss_at, &ss->ss_one);
	b = reply_begin(rq);
	jw_open(b, '{');
	jw_kstr(b, "arena", ss->ss_at->ar_name);
	counters_write(b, &ss->ss_one);
	jw_close(b, '}');
	return (STEP_DONE);
}

enum step
cmd_stats(struct request *rq)
{
	struct stats_state *ss = calloc(1, sizeof(*ss));

	if (ss == NULL)
		return (reply_fail(rq, PE_INTERNAL, NULL, "no memory"));
	counters_clear(&ss->ss_total);
	rq->rq_state = ss;
	rq->rq_fini = stats_fini;
	rq->rq_step =
	    rq->rq_args[ARG_ALL_ARENA].pa_given ? stats_one : stats_all;
	return (rq->rq_step(rq));
}
