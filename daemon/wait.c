/*
 * wait.c - see wait.h.
 */
#include "config.h"

#include "daemon/wait.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/plant.h"

#include "util/assert.h"

#define WAITER_OF_MSG(ms)                                                    \
	((struct waiter *)(void *)((char *)(ms) -                            \
	    offsetof(struct waiter, wt_msg)))

static struct registry *
registry_of(const struct waiter *wt)
{
	return (&wt->wt_worker->wk_daemon->dm_registry);
}

static void
waiter_put(struct registry *rg, struct waiter *wt)
{
	bool last;

	lock_acquire(&rg->rg_lock);
	last = --wt->wt_refs == 0;
	lock_release(&rg->rg_lock);
	if (last)
		free(wt);
}

static void
waits_no_more(struct waiter *wt)
{
	(void)atomic_fetch_sub_explicit(
	    &wt->wt_arena->ar_waiters, 1, memory_order_seq_cst);
}

/* In its worker: it is out of libvmem's queue; answer. */
static void
waiter_end(struct waiter *wt, enum proto_error error)
{
	struct registry *rg = registry_of(wt);
	struct conn *cn = wt->wt_request->rq_conn;

	if (wt->wt_timed)
		(void)evtimer_del(&wt->wt_timer);
	lock_acquire(&rg->rg_lock);
	TAILQ_REMOVE(&rg->rg_waiters, wt, wt_link);
	TAILQ_REMOVE(&wt->wt_client->cl_waiters, wt, wt_client_link);
	wt->wt_client->cl_waiter_count--;
	/* The id is the request's, which ends before the waiter may. */
	wt->wt_id = NULL;
	lock_release(&rg->rg_lock);
	waits_no_more(wt);
	wt->wt_done(wt, error);
	conn_wake(cn);
}

static void
waiter_message(struct worker *wk, struct msg *ms)
{
	struct waiter *wt = WAITER_OF_MSG(ms);

	(void)wk;
	waiter_end(wt, wt->wt_error);
}

/* libvmem's call, in the thread that made room. */
static void
waiter_granted(struct vmem_request *vr, int error)
{
	struct waiter *wt = vr->vr_arg;

	wt->wt_error = error == 0 ? PE_OK : PE_NO_SPACE;
	if (plant_keeps(wt->wt_worker, &wt->wt_msg))
		return;
	worker_post(wt->wt_worker, &wt->wt_msg);
}

static void
waiter_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct waiter *wt = arg;

	(void)fd;
	(void)what;
	/* Otherwise it has just been granted: the message is on its way. */
	if (vmem_cancel(wt->wt_arena->ar_vm, &wt->wt_vr) == 0)
		waiter_end(wt, PE_TIMED_OUT);
}

struct waiter *
wait_new(struct request *rq, struct arena *ar,
    void (*done)(struct waiter *, enum proto_error))
{
	struct waiter *wt = calloc(1, sizeof(*wt));

	if (wt == NULL)
		return (NULL);
	wt->wt_client = rq->rq_conn->cn_client;
	wt->wt_arena = ar;
	wt->wt_worker = rq->rq_worker;
	wt->wt_request = rq;
	wt->wt_id = rq->rq_id;
	wt->wt_refs = 1;
	wt->wt_done = done;
	wt->wt_msg.ms_run = waiter_message;
	wt->wt_vr.vr_done = waiter_granted;
	wt->wt_vr.vr_arg = wt;
	return (wt);
}

int
wait_begin(struct waiter *wt, int64_t timeout_ms)
{
	struct registry *rg = registry_of(wt);
	int error;

	if (wt->wt_client->cl_waiter_count >= WAITS_MAX)
		return (EBUSY);
	/* From here on frees empty the caches: those before are emptied by
	 * vmem_submit() itself.  Pairs with cache_put(). */
	(void)atomic_fetch_add_explicit(
	    &wt->wt_arena->ar_waiters, 1, memory_order_seq_cst);
	error = vmem_submit(wt->wt_arena->ar_vm, &wt->wt_vr);
	if (error != EINPROGRESS) {
		waits_no_more(wt);
		return (error);
	}
	/* Should it be granted before it is listed: the message is handled by
	 * this thread, later. */
	lock_acquire(&rg->rg_lock);
	TAILQ_INSERT_TAIL(&rg->rg_waiters, wt, wt_link);
	TAILQ_INSERT_TAIL(&wt->wt_client->cl_waiters, wt, wt_client_link);
	wt->wt_client->cl_waiter_count++;
	lock_release(&rg->rg_lock);
	wt->wt_timed = timeout_ms >= 0;
	if (wt->wt_timed) {
		const struct timeval tv = { timeout_ms / 1000,
			timeout_ms % 1000 * 1000 };

		(void)evtimer_assign(&wt->wt_timer, wt->wt_worker->wk_base,
		    waiter_timeout, wt);
		(void)evtimer_add(&wt->wt_timer, &tv);
	}
	return (EINPROGRESS);
}

void
wait_drop(struct waiter *wt)
{
	if (wt != NULL)
		waiter_put(registry_of(wt), wt);
}

/* The list is changed by this thread only, so it may be walked unlocked. */
void
wait_cancel_client(struct conn *cn, enum proto_error why)
{
	struct waiter *wt, *next;

	for (wt = TAILQ_FIRST(&cn->cn_client->cl_waiters); wt != NULL;
	    wt = next) {
		next = TAILQ_NEXT(wt, wt_client_link);
		if (vmem_cancel(wt->wt_arena->ar_vm, &wt->wt_vr) == 0)
			waiter_end(wt, why);
	}
}

/* Another thread's waiter, referenced (and its arena) by the caller. */
static int
cancel_foreign(struct waiter *wt, enum proto_error why)
{
	int error = vmem_cancel(wt->wt_arena->ar_vm, &wt->wt_vr);

	if (error != 0)
		return (error);
	wt->wt_error = why;
	worker_post(wt->wt_worker, &wt->wt_msg);
	return (0);
}

static struct waiter *
find_locked(struct registry *rg, uint64_t client, const char *id)
{
	struct client *cl;
	struct waiter *wt;

	TAILQ_FOREACH(cl, &rg->rg_clients, cl_link) {
		if (cl->cl_id != client)
			continue;
		TAILQ_FOREACH(wt, &cl->cl_waiters, wt_client_link)
			if (wt->wt_id != NULL && strcmp(wt->wt_id, id) == 0)
				return (wt);
	}
	return (NULL);
}

int
wait_cancel(struct daemon *dm, uint64_t client, const char *id,
    enum proto_error why)
{
	struct registry *rg = &dm->dm_registry;
	struct arena *ar = NULL;
	struct waiter *wt;
	int error;

	lock_acquire(&rg->rg_lock);
	wt = find_locked(rg, client, id);
	if (wt != NULL) {
		wt->wt_refs++;
		ar = wt->wt_arena;
		ar->ar_refs++;
	}
	lock_release(&rg->rg_lock);
	if (wt == NULL)
		return (ENOENT);
	error = cancel_foreign(wt, why);
	waiter_put(rg, wt);
	reg_arena_put(rg, ar);
	return (error);
}

size_t
wait_cancel_arena(struct daemon *dm, struct arena *ar, enum proto_error why)
{
	struct registry *rg = &dm->dm_registry;
	struct waiter *some[64], *wt;
	size_t n = 0;

	lock_acquire(&rg->rg_lock);
	TAILQ_FOREACH(wt, &rg->rg_waiters, wt_link) {
		if (wt->wt_arena != ar)
			continue;
		wt->wt_refs++;
		some[n++] = wt;
		if (n == sizeof(some) / sizeof(some[0]))
			break;
	}
	lock_release(&rg->rg_lock);
	for (size_t i = 0; i < n; i++) {
		(void)cancel_foreign(some[i], why);
		waiter_put(rg, some[i]);
	}
	return (n);
}
