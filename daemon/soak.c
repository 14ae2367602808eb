/*
 * soak.c - see soak.h: jobs, their threads, their end.
 */
#include "config.h"

#include "daemon/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/cache.h"
#include "daemon/log.h"
#include "daemon/record.h"
#include "daemon/request.h"
#include "daemon/thread.h"
#include "util/assert.h"
#include "util/clock.h"

#define ORACLE_EVERY 17u	/* one in so many is timed, for its cost */
#define LEAD_NS 20000000		/* the leader looks so often */
#define NS UINT64_C(1000000000)

/* [S]: what this lock guards. */
static struct lock soak_lock;
static TAILQ_HEAD(, soak_job) soak_jobs = TAILQ_HEAD_INITIALIZER(soak_jobs);
static unsigned int soak_count GUARDED_BY(soak_lock);
static uint64_t soak_next_id GUARDED_BY(soak_lock);
/* Threads that lead a job, detached: soak_join_all() waits for none. */
static _Atomic unsigned int soak_leaders;

void
soak_init(void)
{
	lock_init(&soak_lock, "soak jobs", LOCK_LEAF);
}

/* ---- references --------------------------------------------------------- */

static void
soak_free(struct soak_job *sj)
{
	if (sj->sj_arena != NULL)
		reg_arena_put(&sj->sj_daemon->dm_registry, sj->sj_arena);
	owners_fini(&sj->sj_owners);
	job_free(sj->sj_job);
	free(sj->sj_handovers);
	free(sj->sj_control);
	free(sj->sj_threads);
	free(sj);
}

struct soak_job *
soak_get(uint64_t id)
{
	struct soak_job *sj;

	lock_acquire(&soak_lock);
	TAILQ_FOREACH(sj, &soak_jobs, sj_link)
		if (sj->sj_id == id) {
			sj->sj_refs++;
			break;
		}
	lock_release(&soak_lock);
	return (sj);
}

void
soak_put(struct soak_job *sj)
{
	bool last;

	if (sj == NULL)
		return;
	lock_acquire(&soak_lock);
	last = --sj->sj_refs == 0;
	lock_release(&soak_lock);
	if (last)
		soak_free(sj);
}

void
soak_forget(struct soak_job *sj)
{
	bool listed = false;
	struct soak_job *other;

	lock_acquire(&soak_lock);
	TAILQ_FOREACH(other, &soak_jobs, sj_link)
		listed = listed || other == sj;
	if (listed) {
		TAILQ_REMOVE(&soak_jobs, sj, sj_link);
		soak_count--;
	}
	lock_release(&soak_lock);
	if (listed)
		soak_put(sj);
}

void
soak_end(struct soak_job *sj)
{
	atomic_store(&sj->sj_control->co_stop, 1);
}

bool
soak_wait(struct soak_job *sj, struct soak_waiter *sk)
{
	bool ended;

	lock_acquire(&soak_lock);
	ended = sj->sj_ended;
	if (!ended)
		STAILQ_INSERT_TAIL(&sj->sj_waiters, sk, sk_link);
	lock_release(&soak_lock);
	return (ended);
}

/* ---- the leader --------------------------------------------------------- */

/* An invariant is broken: the job has found it, and the daemon must know. */
static void
check(struct soak_job *sj)
{
	struct soak_worker *sw = &sj->sj_threads[0].st_worker;
	const struct arena *ar = sj->sj_arena;
	const char *why = NULL;

	atomic_fetch_add(&sj->sj_checks, 1);
	if (cache_check(ar, &why) == 0 &&
	    (ar->ar_kind != ARENA_PAGEABLE ||
		vmpager_check(ar->ar_backing->bk_pager, &why) == 0))
		return;
	daemon_set_corrupt(sj->sj_daemon, ar->ar_name,
	    why != NULL ? why : "an invariant");
	soak_finding(sw, "check: %s", why != NULL ? why : "an invariant");
}

static void *
thread_main(void *arg)
{
	struct soak_thread *st = arg;
	char name[16];

	(void)snprintf(name, sizeof(name), "soak-%u", st->st_worker.sw_owner);
	(void)pthread_setname_np(pthread_self(), name);
	if (soak_worker_run(&st->st_worker) != 0)
		soak_finding(&st->st_worker, "no memory for its ranges");
	record_retire(st->st_worker.sw_own);
	return (NULL);
}

/* Whether the workers are still at it is for pthread_tryjoin_np(3) to say. */
static void
lead_until_end(struct soak_job *sj, unsigned int started)
{
	const struct timespec pause = { 0, LEAD_NS };
	uint64_t due = clock_ns() + sj->sj_job->jo_check_ns;
	unsigned int joined = 0;

	while (joined < started) {
		if (pthread_tryjoin_np(
			sj->sj_threads[joined].st_thread, NULL) == 0) {
			joined++;
			continue;
		}
		(void)nanosleep(&pause, NULL);
		if (sj->sj_job->jo_check_ns == 0 || clock_ns() < due)
			continue;
		check(sj);
		due = clock_ns() + sj->sj_job->jo_check_ns;
	}
}

/*
 * At the end, if nobody else was in the arena: what is still allocated that a
 * worker has freed?
 */
static void
find_leak(struct soak_job *sj, uint64_t inuse_before)
{
	vmem_t *vm = sj->sj_arena->ar_vm;
	struct vmem_seg segs[64];
	vmem_addr_t cursor = 0;
	bool more = true;

	if (job_workers(sj->sj_job, JOB_CLIENT) > 0)
		return;
	vmem_reap(vm);
	while (more && vmem_size(vm, VMEM_ALLOC) > inuse_before) {
		size_t n = vmem_walk_from(
		    vm, VMEM_ALLOC, &cursor, segs, 64, &more);

		for (size_t i = 0; i < n * sj->sj_thread_count; i++) {
			const struct vmem_seg *seg = &segs[i % n];
			struct soak_thread *st = &sj->sj_threads[i / n];
			uint64_t op;
			struct alloc_info ai;

			if (!soak_find_freed(&st->st_tally, seg->seg_addr,
				seg->seg_size, sj->sj_arena->ar_quantum, &op) ||
			    reg_describe(&sj->sj_daemon->dm_registry,
				sj->sj_arena, seg->seg_addr, &ai))
				continue;
			st->st_worker.sw_op = op;
			soak_finding(&st->st_worker, "leak: 0x%" PRIx64 " (%"
			    PRIu64 " bytes) was freed, and is still allocated",
			    seg->seg_addr, seg->seg_size);
			return;
		}
	}
}

/* Its last word: who waits is told, under the lock that they came with. */
static void
lead_end(struct soak_job *sj)
{
	STAILQ_HEAD(, soak_waiter) waiters;
	struct soak_waiter *sk;

	atomic_store(&sj->sj_ended_ns, clock_ns());
	STAILQ_INIT(&waiters);
	lock_acquire(&soak_lock);
	sj->sj_ended = true;
	STAILQ_CONCAT(&waiters, &sj->sj_waiters);
	lock_release(&soak_lock);
	while ((sk = STAILQ_FIRST(&waiters)) != NULL) {
		STAILQ_REMOVE_HEAD(&waiters, sk_link);
		worker_post(sk->sk_worker, &sk->sk_msg);
	}
}

static void *
soak_lead(void *arg)
{
	struct soak_job *sj = arg;
	uint64_t inuse;
	unsigned int n = 0;

	(void)pthread_detach(pthread_self());
	(void)pthread_setname_np(pthread_self(), "soak-leader");
	vmem_reap(sj->sj_arena->ar_vm);
	inuse = vmem_size(sj->sj_arena->ar_vm, VMEM_ALLOC);
	while (n < sj->sj_thread_count &&
	    thread_start(&sj->sj_threads[n].st_thread, thread_main,
		&sj->sj_threads[n]) == 0)
		n++;
	if (n < sj->sj_thread_count)
		soak_finding(
		    &sj->sj_threads[n].st_worker, "can't start a thread");
	lead_until_end(sj, n);
	check(sj);
	find_leak(sj, inuse);
	log_info("soak %llu: %s: ended%s%s", (unsigned long long)sj->sj_id,
	    sj->sj_job->jo_name, sj->sj_control->co_first[0] != '\0' ? ": " :
	    "", sj->sj_control->co_first);
	/* The arena may be destroyed once the job has ended, however long its
	 * books are kept. */
	reg_arena_put(&sj->sj_daemon->dm_registry, sj->sj_arena);
	sj->sj_arena = NULL;
	lead_end(sj);
	soak_put(sj);
	/* Release: who sees none left finds everything given back. */
	(void)atomic_fetch_sub_explicit(
	    &soak_leaders, 1, memory_order_release);
	return (NULL);
}

/* ---- start -------------------------------------------------------------- */

/* All addresses that the arena may hand out: see find_world() of the client. */
static void
spaces(const struct arena *ar, struct job_space *own, struct job_space *world)
{
	const struct arena *root = ar;

	*own = (struct job_space) { .sp_quantum = ar->ar_quantum };
	while (root->ar_source != NULL && root->ar_kind != ARENA_PAGEABLE &&
	    !root->ar_shared)
		root = root->ar_source;
	*world = (struct job_space) { root->ar_base, root->ar_size,
		ar->ar_quantum };
	if (root == ar)
		*own = *world;
}

static unsigned int
givers(const struct job *job, unsigned int group)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < job->jo_group_count; i++)
		if (job->jo_groups[i].jg_freer == group)
			n += (unsigned int)job->jo_groups[i].jg_workers;
	return (n);
}

static void
make_worker(struct soak_job *sj, struct soak_worker *sw, unsigned int group)
{
	const struct job *job = sj->sj_job;
	const struct job_group *jg = &job->jo_groups[group];

	sw->sw_job = job;
	sw->sw_group = jg;
	sw->sw_group_index = group;
	sw->sw_target = soak_target_of(sj->sj_arena);
	sw->sw_own = sj->sj_arena;
	sw->sw_control = sj->sj_control;
	sw->sw_time_every = (unsigned int)job->jo_timed;
	sw->sw_oracle_every = ORACLE_EVERY;
	sw->sw_pattern = job->jo_verify == JOB_VERIFY_PATTERN &&
	    arena_has_memory(sj->sj_arena);
	sw->sw_hash_addresses = job_repeats(job);
	if (job->jo_verify != JOB_VERIFY_OFF)
		sw->sw_owners = &sj->sj_owners;
	if (jg->jg_freer != JOB_NONE)
		sw->sw_give = &sj->sj_handovers[jg->jg_freer];
	if (jg->jg_frees)
		sw->sw_take = &sj->sj_handovers[group];
}

static void
make_workers(struct soak_job *sj, const struct job_space *own)
{
	const struct job *job = sj->sj_job;
	unsigned int owner = 1, n = 0;

	for (unsigned int g = 0; g < job->jo_group_count; g++) {
		const struct job_group *jg = &job->jo_groups[g];

		handover_init(&sj->sj_handovers[g], givers(job, g));
		for (unsigned int i = 0; i < jg->jg_workers; i++, owner++) {
			struct soak_thread *st = &sj->sj_threads[n];

			if (jg->jg_where != JOB_DAEMON)
				continue;
			n++;
			soak_tally_init(&st->st_tally);
			make_worker(sj, &st->st_worker, g);
			st->st_worker.sw_index = i;
			st->st_worker.sw_owner = owner;
			st->st_worker.sw_tally = &st->st_tally;
			st->st_worker.sw_space = *own;
		}
	}
}

static int
make_parts(struct soak_job *sj)
{
	const struct job *job = sj->sj_job;
	size_t slots = job->jo_group_count * sizeof(struct handover);
	struct job_space own, world;

	sj->sj_thread_count = job_workers(job, JOB_DAEMON);
	sj->sj_threads = calloc(sj->sj_thread_count, sizeof(*sj->sj_threads));
	sj->sj_control = calloc(1, sizeof(*sj->sj_control));
	sj->sj_handovers = aligned_alloc(_Alignof(struct handover), slots);
	if (sj->sj_threads == NULL || sj->sj_control == NULL ||
	    sj->sj_handovers == NULL)
		return (ENOMEM);
	memset(sj->sj_handovers, 0, slots);
	spaces(sj->sj_arena, &own, &world);
	make_workers(sj, &own);
	if (job->jo_verify == JOB_VERIFY_OFF)
		return (0);
	return (owners_init(&sj->sj_owners, world.sp_base, world.sp_size,
	    world.sp_quantum));
}

/* Into the list, with references for it, for the leader and the caller. */
static int
enlist(struct soak_job *sj)
{
	int error = 0;

	lock_acquire(&soak_lock);
	if (soak_count == SOAK_JOBS_MAX) {
		error = EAGAIN;
	} else {
		soak_count++;
		sj->sj_id = ++soak_next_id;
		sj->sj_refs = 3;
		TAILQ_INSERT_TAIL(&soak_jobs, sj, sj_link);
	}
	lock_release(&soak_lock);
	return (error);
}

int
soak_start(struct daemon *dm, struct arena *ar, struct job *job, uid_t uid,
    bool keep, struct soak_job **sjp)
{
	struct soak_job *sj = calloc(1, sizeof(*sj));
	pthread_t leader;
	int error;

	if (sj == NULL)
		return (ENOMEM);
	sj->sj_daemon = dm;
	sj->sj_uid = uid;
	sj->sj_keep = keep;
	sj->sj_job = job;
	sj->sj_arena = ar;
	STAILQ_INIT(&sj->sj_waiters);
	reg_arena_ref(&dm->dm_registry, ar);
	error = make_parts(sj);
	if (error == 0)
		error = enlist(sj);
	if (error != 0) {
		sj->sj_job = NULL;
		soak_free(sj);
		return (error);
	}
	sj->sj_started_ns = clock_ns();
	atomic_store(&sj->sj_control->co_start_ns, sj->sj_started_ns);
	(void)atomic_fetch_add_explicit(
	    &soak_leaders, 1, memory_order_relaxed);
	error = thread_start(&leader, soak_lead, sj);
	if (error == 0) {
		*sjp = sj;
		return (0);
	}
	(void)atomic_fetch_sub_explicit(
	    &soak_leaders, 1, memory_order_relaxed);
	sj->sj_job = NULL;
	soak_forget(sj);
	soak_put(sj);
	soak_put(sj);
	return (error);
}

/* ---- status ------------------------------------------------------------- */

static json_t *
groups_json(struct soak_job *sj, struct soak_sum *total)
{
	json_t *groups = json_object();
	struct soak_sum *su = malloc(sizeof(*su));

	for (unsigned int g = 0; su != NULL && g < sj->sj_job->jo_group_count;
	     g++) {
		if (sj->sj_job->jo_groups[g].jg_where != JOB_DAEMON)
			continue;
		soak_sum_init(su);
		for (unsigned int i = 0; i < sj->sj_thread_count; i++)
			if (sj->sj_threads[i].st_worker.sw_group_index == g)
				soak_sum_tally(
				    su, &sj->sj_threads[i].st_tally);
		soak_sum_add(total, su);
		(void)json_object_set_new(groups,
		    sj->sj_job->jo_groups[g].jg_name, soak_sum_json(su));
		soak_sum_fini(su);
	}
	free(su);
	return (groups);
}

json_t *
soak_status_json(struct soak_job *sj, bool brief)
{
	uint64_t ended = atomic_load(&sj->sj_ended_ns);
	uint64_t now = ended != 0 ? ended : clock_ns();
	struct soak_sum *total = malloc(sizeof(*total));
	bool found = atomic_load(&sj->sj_control->co_violations) != 0;
	json_t *status, *groups;

	if (total == NULL)
		return (NULL);
	soak_sum_init(total);
	groups = groups_json(sj, total);
	status = json_pack("{s:I, s:s, s:s, s:I, s:b, s:f, s:I, s:I, s:I, s:I}",
	    "id", (json_int_t)sj->sj_id, "job", sj->sj_job->jo_name, "arena",
	    sj->sj_job->jo_arena, "seed", (json_int_t)sj->sj_job->jo_seed,
	    "running", ended == 0, "seconds",
	    (double)(now - sj->sj_started_ns) / 1e9, "ops",
	    (json_int_t)total->su_ops, "fails",
	    (json_int_t)soak_sum_fails(total), "violations",
	    (json_int_t)total->su_violations, "checks",
	    (json_int_t)atomic_load(&sj->sj_checks));
	(void)json_object_set_new(status, "finding", found ?
	    json_string(sj->sj_control->co_first) : json_null());
	if (brief)
		json_decref(groups);
	else
		(void)json_object_set_new(status, "groups", groups);
	soak_sum_fini(total);
	free(total);
	return (status);
}

/* ---- the end ------------------------------------------------------------ */

void
soak_end_all(void)
{
	struct soak_job *sj;

	lock_acquire(&soak_lock);
	TAILQ_FOREACH(sj, &soak_jobs, sj_link)
		soak_end(sj);
	lock_release(&soak_lock);
}

void
soak_join_all(void)
{
	const struct timespec pause = { 0, LEAD_NS };
	struct soak_job *sj;

	soak_end_all();
	while (atomic_load_explicit(&soak_leaders, memory_order_acquire) > 0)
		(void)nanosleep(&pause, NULL);
	while ((sj = TAILQ_FIRST(&soak_jobs)) != NULL)
		soak_forget(sj);
}
